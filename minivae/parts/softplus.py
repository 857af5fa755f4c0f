"""softplus(l) = log(1 + e^l) and its slope, exact for every l: for logits, odds and scales.

Who needs them, and of what, is the parts' matter.
"""

from __future__ import annotations

import numpy as np

from minivae.params import Array


def softplus(l: Array) -> tuple[Array, Array]:
    """Return softplus(l) = max(l, 0) + log(1 + e^-|l|), whose terms do not grow, and sigmoid(l)."""
    e = np.abs(l)
    np.negative(e, out=e)
    np.exp(e, out=e)
    slope = np.where(l < 0, e, 1)
    slope /= 1 + e
    np.log1p(e, out=e)
    e += np.maximum(l, np.zeros(l.shape[-1], l.dtype))  # of a row: against a scalar it is slow
    return e, slope
