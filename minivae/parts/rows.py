"""Formulas that treat the rows of a matrix alike: repeated, summed, weighed.

What the rows are, draws of z or images, is for the parts that call them.
"""

from __future__ import annotations

import numpy as np

from minivae.params import Array


def repeat_rows(rows: Array, out: Array) -> Array:
    """Overwrite out (B K, C) with each of the rows (B, C) K times."""
    times = len(out) // max(1, len(rows))  # there may be none
    out.reshape(len(rows), times, out.shape[1])[...] = rows[:, None]
    return out


def join_rows(rows: Array, out: Array) -> Array:
    """Overwrite out (B, C) with the sums of K of the rows (B K, C) each: `repeat_rows`, back."""
    times = len(rows) // max(1, len(out))
    return rows.reshape(len(out), times, rows.shape[1]).sum(axis=1, out=out)


def sum_rows(rows: Array) -> Array:
    """Return the sum of each of the rows (N, C), (N,)."""
    return rows.sum(axis=1)


def scale_rows(rows: Array, weights: Array, out: Array) -> Array:
    """Overwrite out with w times each of the rows (N, C), for weights (N,)."""
    return np.multiply(rows, weights[:, None], out=out)


def add_rows(rows: Array, weights: Array | None, out: Array) -> Array:
    """Add the rows (N, C) to out; w times each, if there are weights (N,)."""
    out += rows if weights is None else weights[:, None] * rows
    return out
