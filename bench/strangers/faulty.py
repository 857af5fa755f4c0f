"""Layers made with settings and with the name of a fault, and the cases made of them.

What a case is stands in the package; the layers are in the modules that use this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import Case, family, normal

__all__ = ["Array", "Layer", "cases_of", "keeper", "normal", "positive"]

Array = np.ndarray
Inputs = Callable[[np.random.Generator], tuple[Any, ...]]


class Layer:
    """A layer that goes wrong where `self.fault` names the place; the right one has no fault."""

    def __init__(self, fault: str = "", **settings: Any) -> None:
        self.fault = fault
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        self.setup(np.random.default_rng(11), **settings)

    def setup(self, rng: np.random.Generator) -> None:
        """Make the parameters."""


def cases_of(
    layer: type[Layer],
    inputs: Inputs,
    faults: dict[str, tuple[str, ...]] | None = None,
    constants: tuple[int, ...] = (),
    note: str = "",
    **settings: Any,
) -> list[Case]:
    """Return the right layer and one wrong layer for each fault: what it does, what names it."""
    shown = "".join(f" {key}={value}" for key, value in settings.items())
    name = f"{layer.__module__.rpartition('.')[2]} {layer.__name__}{shown}{note and ', '}{note}"

    def make(fault: str = "") -> Layer:
        return layer(fault, **settings)

    return family(name, make, inputs, faults or {}, constants=constants)


def positive(*shapes: tuple[int, ...]) -> Inputs:
    """Return a maker of inputs between 1/5 and 2."""
    return lambda rng: tuple(rng.uniform(0.2, 2, shape) for shape in shapes)


def keeper(cases: list[Case]) -> Callable[..., Any]:
    """Return a decorator that adds the class below it to the cases; a wrong one says why."""

    def case(mistake: str = "", cause: str = "", inputs: Inputs | None = None) -> Any:
        def keep(kind: type) -> type:
            cases.append(
                Case(kind.__name__, kind, inputs or normal((5, 4)), not mistake, mistake, cause)
            )
            return kind

        return keep

    return case
