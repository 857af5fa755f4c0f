"""Who computes what of a step: which rows of a batch, and which part of the parameters.

How processes start and meet is for crew.py; model and layers know of none of this.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple


class Batch(NamedTuple):
    """What one process needs for n images that are passed at once.

    `whole` is the model whose buffers hold the batch (this rank's share of it), `mine` its window
    on this process's rows, the first of which is at `place` of the whole batch;
    x (b, D), eps (b, K Z), raw (b, D) and uniform (b, D, or None) are those rows of the arrays that
    the batch is gathered into.
    """

    whole: Any
    mine: Any
    rows: slice
    place: int
    x: Any
    eps: Any
    raw: Any
    uniform: Any


def parts(model: Any, n: int) -> list[slice]:
    """Return the model's flat vector cut into n parts of nearly equal size.

    A layer that `splits` is cut between rows of its weight, others not at all. A cut near the end
    of a layer is made there: products of whole layers are quicker.
    """
    size = model.theta.size
    ends = [0]
    for k in range(1, n):
        end = size * k // n
        for layer in model.leaves():
            places = layer.places
            if places and places[0].start <= end < places[-1].stop:
                weight, first, last = places[0], places[0].start, places[-1].stop
                before, after = end - first, last - end
                if not layer.splits or min(before, after) <= size // 64:
                    end = first if before < after else last
                elif end < weight.stop:
                    rows = next(iter(layer.own_shapes.values()))[0]
                    end -= before % ((weight.stop - first) // rows)
                break
        ends.append(end)
    ends.append(size)
    return [slice(start, stop) for start, stop in pairwise(ends)]
