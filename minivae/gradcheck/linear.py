"""Finds gradients that are not linear in the output's gradient, and says how they depend on it.

Right ones are linear, whatever the layer; those that are, and wrong, are for the other modules.
"""

from __future__ import annotations

import numpy as np

from minivae.gradcheck.case import Case
from minivae.gradcheck.observe import same
from minivae.gradcheck.report import GradcheckError
from minivae.gradcheck.subject import Array

Named = tuple[str, str]
LARGE, TINY = 1000.0, 1e-11


def with_factor(case: Case, factor: float) -> Array | None:
    """Return what backward gives for the outputs' gradient times a factor; None if it cannot."""
    subject = case.subject
    if subject.unit or not subject.copyable:
        return None
    weights = [np.asarray(factor * one, one.dtype) for one in subject.weights]
    try:
        found = subject.run(subject.fresh(), subject.inputs, weights)[case.name]
    except GradcheckError:
        return None
    return found if found is not None and found.shape == case.evidence.shape else None


def not_linear(case: Case) -> Named | None:
    """Return how the gradient depends on the outputs' gradient, if not as a multiple of it."""
    found = [with_factor(case, factor) for factor in (1.0, 2.0, -1.0, 0.0, LARGE)]
    if any(one is None or not np.isfinite(one).all() for one in found):
        return None
    one, two, minus, none, large = found
    if np.abs(one).max() <= TINY * np.abs(case.numeric).max(initial=0.0):
        return None  # of rounding alone
    if same(two, 2 * one) and same(minus, -one) and same(large, LARGE * one):
        return None
    if same(one, two) and same(one, minus):
        return (
            "chain",
            "it stays the same whatever the output's gradient is: that factor is missing",
        )
    if none.any():
        if same(two - none, 2 * (one - none)) and same(minus - none, none - one):
            if case.evidence.agrees(case.gradient - none):
                return (
                    "missing-term",
                    "it has a term too much, which does not depend on the output's gradient; the"
                    " rest is right",
                )
            return "chain", "it is not 0 where the output's gradient is: a part lacks that factor"
        return "chain", "it is not linear in the output's gradient: a part of it lacks that factor"
    if same(two, 2 * one) and same(large, LARGE * one):
        return (
            "mask",
            "it takes another part of the output's gradient where that is negative: a mask was made"
            " of it, not of the layer's own values",
        )
    if np.abs(large).max() < 0.5 * LARGE * np.abs(one).max():
        return "clipped", "it does not grow with the output's gradient: clipped, or saturated"
    return "nonlinear", "it is not linear in the output's gradient, as every right gradient is"
