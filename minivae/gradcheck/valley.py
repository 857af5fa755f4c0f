"""The error of central differences against their step: a valley between truncation and rounding.

plots.py draws it; the checker itself extrapolates and needs no such search.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.gradcheck.clone import clone
from minivae.gradcheck.function import build
from minivae.gradcheck.report import GradcheckError
from minivae.gradcheck.subject import Array, Subject

STEPS = np.logspace(-13, 0, 79)


def valley(layer: Any, inputs: list[Array], seed: int = 0) -> dict[str, Array]:
    """Return the relative errors of (f(x+hv) - f(x-hv)) / 2h for each h of STEPS, by dtype.

    f is the weighted sum of the outputs, v a random direction in all inputs and parameters that
    have a gradient; the error is against the layer's own gradient in float64.
    """
    exact = Subject(clone(layer, np.float64), _cast(inputs, np.float64), seed)
    exact.forward(exact.layer, exact.inputs)
    gradients = {
        name: one
        for name, one in exact.backward(exact.layer, exact.weights).items()
        if one is not None
    }
    rng = np.random.default_rng(seed)
    directions = {name: rng.choice([-1.0, 1.0], one.shape) for name, one in gradients.items()}
    slope = sum(float(np.vdot(directions[name], one)) for name, one in gradients.items())
    if not slope:
        raise GradcheckError(f"{exact.title}: the gradient along a random direction is 0")
    return {
        np.dtype(dtype).name: _errors(layer, inputs, dtype, seed, directions, slope)
        for dtype in (np.float32, np.float64)
    }


def _errors(
    layer: Any,
    inputs: list[Array],
    dtype: Any,
    seed: int,
    directions: dict[str, Array],
    slope: float,
) -> Array:
    subject = Subject(clone(layer, dtype), _cast(inputs, dtype), seed)
    f = build(subject, None)
    start = {name: f.variables[name].copy() for name in directions}
    errors = []
    for step in STEPS:
        values = []
        for sign in (1, -1):
            for name, direction in directions.items():
                f.variables[name][...] = start[name] + sign * step * direction
            values.append(f.evaluate().astype(float))
        found = float(f.weights @ (values[0] - values[1])) / (2 * step)
        errors.append(abs(found - slope) / abs(slope))
    return np.array(errors)


def _cast(inputs: list[Array], dtype: Any) -> tuple[Array, ...]:
    given = [np.asarray(one) for one in inputs]
    return tuple(one.astype(dtype) if one.dtype.kind == "f" else one for one in given)
