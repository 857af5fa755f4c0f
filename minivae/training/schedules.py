"""What changes in the course of a run: beta and the learning rate as functions of the step.

Each is a pure function, so that a run that is resumed, and every process, finds the same value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from minivae.errors import ArgumentError

Schedule = Callable[[int], float]


def weight(text: str, per_epoch: int) -> Schedule:
    """Return beta by the step: "0.1:1:20epochs" rises in a straight line and then stays.

    "0:1:10epochs:cyclical" rises in the first half of each 10 epochs, stays in the other, and
    begins again (Fu and others 2019).

    Parameters
    ----------
    text : str
        As above; steps for epochs: "0:1:500steps".
    per_epoch : int
        Steps of an epoch.

    Raises
    ------
    ArgumentError
        If the text is no such schedule.
    """
    first, last, span, *rest = [*text.split(":"), "", "", ""][: max(3, text.count(":") + 1)]
    length = _length(span, per_epoch)
    begin, end = _number(first), _number(last)
    if length is None or begin is None or end is None or rest not in ([], ["cyclical"]):
        raise ArgumentError(
            f"beta {text!r:.50} is no schedule: 0.1:1:20epochs rises from 0.1 to 1 in 20 epochs, "
            "0:1:10epochs:cyclical begins again every 10 epochs"
        )
    if rest:
        return lambda step: begin + (end - begin) * min(2 * (step % length) / length, 1.0)
    return lambda step: begin + (end - begin) * min(step / length, 1.0)


def factor(text: str, per_epoch: int) -> Schedule:
    """Return what the learning rate is multiplied by, by the step: a product of one or several.

    "warmup:500steps" rises to 1 in a straight line; "cosine:50epochs" falls to 0 along half a
    cosine (Loshchilov and Hutter 2017); "steps:0.1:20epochs" is multiplied by 0.1 every 20 epochs.
    With commas: "warmup:1epochs,cosine:50epochs".

    Parameters and errors are those of `weight`.
    """
    return _product([_factor(one, per_epoch, text) for one in text.split(",")])


def _product(parts: list[Schedule]) -> Schedule:
    return lambda step: math.prod(part(step) for part in parts)


def _factor(one: str, per_epoch: int, text: str) -> Schedule:
    kind, *settings = one.strip().split(":")
    length = _length(settings[-1], per_epoch) if settings else None
    if length is not None:
        n = length
        if kind == "warmup" and len(settings) == 1:
            return lambda step: min((step + 1) / n, 1.0)
        if kind == "cosine" and len(settings) == 1:
            return lambda step: 0.5 * (1 + math.cos(math.pi * min(step / n, 1.0)))
        by = _number(settings[0])
        if kind == "steps" and len(settings) == 2 and by is not None:
            return lambda step: by ** (step // n)
    raise ArgumentError(
        f"learning rate schedule {text!r:.70} is unknown: warmup:500steps, cosine:50epochs, "
        "steps:0.1:20epochs, or several with commas"
    )


def _number(text: str) -> float | None:
    """Return a number of 0 or larger, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def _length(text: str, per_epoch: int) -> int | None:
    """Return "20epochs" or "500steps" as steps, or None."""
    found = re.fullmatch(r"([1-9][0-9]{0,9}) ?(epoch|step)s?", text.strip())
    if not found:
        return None
    return int(found[1]) * (per_epoch if found[2] == "epoch" else 1)
