"""Jacobians of layers as arrays, and second derivatives of scalar functions.

Whether a gradient is right is for check.py; the picture of a Jacobian is in looking/plots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minivae.errors import ArgumentError
from minivae.gradcheck.check import check
from minivae.gradcheck.function import build
from minivae.gradcheck.intake import Pair
from minivae.gradcheck.jacobian import analytic_rows
from minivae.gradcheck.numeric import differences
from minivae.gradcheck.report import GradcheckError, Report
from minivae.gradcheck.subject import Array, Subject
from minivae.inputs import numeric, typed


@dataclass
class Jacobian:
    """Both Jacobians of one array: (numbers of all outputs, numbers of the array)."""

    analytic: Array
    numeric: Array

    @property
    def difference(self) -> Array:
        """What the analytic one has too much."""
        return self.analytic - self.numeric


@typed
def jacobian(layer: Any, *inputs: Any, seed: int = 0) -> dict[str, Jacobian]:
    """Return the Jacobians of all float inputs and parameters, by name.

    The numeric one is of differences in float64, the analytic one of one backward for each number
    of the outputs (300 at most).

    Raises
    ------
    GradcheckError
        If the layer cannot be run, or has too many outputs.
    """
    layer = Pair(*layer) if isinstance(layer, tuple) else layer
    subject = Subject(layer, inputs, seed)
    function, found = build(subject, float), {}
    gradients = subject.run(subject.fresh(), subject.inputs, subject.weights)
    for name, gradient in gradients.items():
        if gradient is None:
            continue
        indices = np.arange(gradient.size)
        analytic = analytic_rows(subject, name, indices)
        if analytic is None:
            raise GradcheckError(f"{subject.title}: a Jacobian needs 1 to 300 outputs, no loss")
        numeric = [differences(function, name, int(i), np.inf, 1e-9).change for i in indices]
        found[name] = Jacobian(analytic.T, np.array(numeric).T)
    return found


@typed
def hessian_vector(gradient: Callable[[Array], Array], x: Any, v: Any) -> Array:
    """Return the second derivative along v: the change of the gradient over a small step.

    Parameters
    ----------
    gradient : callable
        Of a scalar function, at an array of x's shape.
    x, v : array_like of one shape
    """
    x, v = (numeric(one, name).astype(float) for one, name in ((x, "x"), (v, "v")))
    if x.shape != v.shape or not (np.isfinite(x).all() and np.isfinite(v).all()):
        raise ArgumentError(f"x {x.shape} and v {v.shape} must be finite numbers of one shape")
    size = float(np.abs(x).max(initial=0.0)) or 1.0
    step = 1e-3 * size / (float(np.abs(v).max(initial=0.0)) or 1.0)
    coarse, fine = (
        (np.asarray(gradient(x + h * v)) - np.asarray(gradient(x - h * v))) / (2 * h)
        for h in (step, step / 4)
    )
    return (16 * fine - coarse) / 15


@typed
def check_second(
    gradient: Callable[[Array], Array],
    hessian_product: Callable[[Array, Array], Array],
    x: Any,
    seed: int = 0,
) -> Report:
    """Check second derivatives: ``hessian_product(x, v)`` against differences of the gradient."""
    return check((gradient, lambda v, x: hessian_product(x, v)), x, seed=seed)
