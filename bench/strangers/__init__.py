"""Layers as other people write them, right and wrong, on which to judge a gradient checker.

Here are the form of a case and the few lines all layers share; the layers are in the modules beside
this one, and `verify.py` holds each right one right and each wrong one wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

MODULES = (
    *("convolution", "norms", "attention", "recurrent", "losses", "flows", "activations"),
    *("linear", "other"),
    *("pictures", "scaling", "sequences", "targets", "operations", "habits"),
    *("modern", "science"),
)

# The general cause that one would want said. A case may name two, joined by " or ".
# term: missing or added; sum: over the wrong axis; mask: also corners.
CAUSES = {
    *("sign", "scale", "term", "axes", "sum", "mask", "state", "aliasing", "zero", "chain"),
    *("swapped", "index", "shape", "dtype", "random", "nan", "other"),
}


class Case(NamedTuple):
    """One layer, its inputs and what is known of it.

    ``make()`` gives a fresh layer with ``forward(*inputs)`` and ``backward(dy)``, or ``(dy1, dy2)``
    of several outputs as two arguments, or nothing of a loss; or a pair of functions
    ``forward(*inputs)``, ``backward(dy, *inputs)``. ``undetectable`` says why no check that only
    calls the layer at sensible inputs could see the mistake. ``constants`` are the places of float
    inputs that are data, such as targets or noise: backward says None of them.
    """

    name: str
    make: Callable[[], Any]
    inputs: Callable[[np.random.Generator], tuple]
    right: bool
    mistake: str = ""
    cause: str = ""
    undetectable: str = ""
    constants: tuple[int, ...] = ()


class Layer:
    """A layer that is right, unless it is made with the name of one of its faults or of two."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.setup(np.random.default_rng(7))

    def setup(self, rng: np.random.Generator) -> None:
        """Make the parameters."""

    def has(self, fault: str) -> bool:
        return fault in self.fault.split("+")


def family(
    name: str,
    make: Callable[..., Any],
    inputs: Callable[[np.random.Generator], tuple],
    faults: dict[str, tuple[str, ...]],
    also: dict[str, Callable[[np.random.Generator], tuple]] | None = None,
    constants: tuple[int, ...] = (),
) -> list[Case]:
    """Return the right layer (also at other inputs), and it with each fault.

    ``faults`` has, by the fault's name, the mistake, its cause, and why it cannot be seen if so.
    """
    cases = [Case(name, make, inputs, True)]
    cases += [Case(f"{name}, {what}", make, other, True) for what, other in (also or {}).items()]
    cases += [
        Case(f"{name}: {fault}", lambda fault=fault: make(fault), inputs, False, *said)
        for fault, said in faults.items()
    ]
    return [case._replace(constants=constants) for case in cases]


def normal(*shapes: tuple[int, ...], scale: float = 1.0, shift: float = 0.0, dtype: str = "f8"):
    """Return the function of a generator that draws one normal array for each shape."""
    return lambda rng: tuple(
        (shift + scale * rng.standard_normal(shape)).astype(dtype) for shape in shapes
    )


def every() -> list[Case]:
    """Return the cases of all modules."""
    return [case for module in MODULES for case in import_module(f"{__name__}.{module}").CASES]
