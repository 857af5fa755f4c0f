"""Dropout: numbers left out at random while training, so that no unit relies on one other.

The noise is an argument here, as eps is: who trains draws it, a function of seed, layer, epoch and
row (training/told.py). Without it, in all but training, the layer passes what it is given.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.errors import ArgumentError
from minivae.layers import Layer

Array = np.ndarray


def dropout_mask(uniform: Array, p: float) -> Array:
    """Overwrite uniform numbers in [0, 1) with 0, each with chance p, or else with 1 / (1 - p)."""
    np.greater_equal(uniform, p, out=uniform)
    uniform *= 1 / (1 - p)
    return uniform


class Dropout(Layer):
    """y = x mask (Srivastava and others 2014): the mean over masks is x.

    Parameters
    ----------
    p : float
        The chance of each number to be left out, below 1.
    features : int
        Numbers of a row: of the noise, too.

    Attributes
    ----------
    mask : array (B, features)
        From `dropout_mask`; not there: nothing is left out.
    """

    kept = ("mask",)

    def __init__(self, p: float, features: int, **settings: Any) -> None:
        super().__init__(**settings)
        if not 0 <= p < 1:
            raise ArgumentError(f"dropout must be from 0 to below 1, not {p}")
        self.backend.twins(dropout_mask)  # says if there is none
        self.p, self.features = p, features

    def forward(self, x: Any) -> Any:
        """Return y, of x's shape (B, features)."""
        return np.multiply(x, self.mask, out=self.like("y", x)) if hasattr(self, "mask") else x

    def backward_input(self, dy: Any) -> Any:
        """Return dx, of dy's shape."""
        return np.multiply(dy, self.mask, out=self.like("dx", dy)) if hasattr(self, "mask") else dy
