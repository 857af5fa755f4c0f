"""Who computes what of a step: which rows of a batch, and which part of the parameters.

How processes start and meet is for crew.py; model and layers know of none of this.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

ADAM = 150  # rows: by 4 ns a parameter and 75 GFLOP/s of products, on Zen 3
NARROW = 64  # columns: a product of fewer takes as long
SUM = 12  # rows of a product, which uses a number often, take as long as one that is only added
CALL = 1_200_000  # numbers of a product's rows take as long as calling it, 15 us


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


def parts(model: Any, n: int, batch: int = 128) -> list[slice]:
    """Return the model's flat vector cut into n parts of nearly equal work for such batches.

    A layer that `splits` is cut between rows of its weight, others not at all. A cut near the end
    of a layer is made there: products of whole layers are quicker.
    """
    size, costs = model.theta.size, _costs(model, batch)
    total = sum((one.stop - one.start) * cost for one, cost in costs)
    ends = [0]
    for k in range(1, n):
        work = total * k // n
        for one, cost in costs:
            end = one.start + work // cost
            if end < one.stop:
                break
            work -= (one.stop - one.start) * cost
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


def _costs(model: Any, batch: int) -> list[tuple[slice, int]]:
    """Return pieces of the flat vector, in order, each with the work for a parameter there.

    Its gradient takes a product's row for each image and use, in a decoder for each draw of z too,
    more of them where a product is narrow or a sum; the optimizer, which passes over several
    vectors, as much as ADAM rows.
    """
    draws = model.noise // model.latent
    decoder = {id(layer) for layer in model.decoder.leaves()}
    costs, end = [], 0
    for layer in model.leaves():
        rows = batch * layer.uses * (draws if id(layer) in decoder else 1)
        for place, shape in zip(layer.places, layer.shapes.values(), strict=True):
            times = max(1, NARROW / min(shape[0], math.prod(shape[1:]))) if shape[1:] else SUM
            call = CALL // max(1, place.stop - end)
            costs.append((slice(end, place.stop), int(rows * times) + ADAM + call))
            end = place.stop
    return costs
