"""What every likelihood p(x|eta) offers, where eta (B, width D) is the decoder's output.

The formulas of each are in a file of its own; that z leads to eta is the decoder's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from minivae.layers import Layer, Shape
from minivae.params import Array


class Likelihood(Layer):
    """p(x|eta): children say how many numbers a pixel needs, and compute.

    A likelihood may have parameters of its own: they are named in `shapes`, and `gradients`
    computes their gradients from what `nll` or `backward` kept.
    """

    kind: ClassVar[str]  # its name, for --likelihood
    width: ClassVar[int] = 1  # numbers of eta for each pixel
    eta: ClassVar[str] = "eta"  # what its eta is called
    support: ClassVar[str]  # which x it is for, in words: "numbers from 0 to 1"
    discrete: ClassVar[bool] = False  # whether p is a probability, not a density

    def __init__(
        self, pixels: int, shapes: Mapping[str, Shape] | None = None, **settings: Any
    ) -> None:
        super().__init__(shapes, **settings)
        self.pixels = pixels

    def forward(self, eta: Array, x: Array) -> Array:
        """Return log p(x|eta) of each image, (B,), in nats."""
        raise NotImplementedError

    def backward(self, dlog_p: Array) -> Array:
        """Return deta for dlog_p (B,), and overwrite the gradients of own parameters."""
        raise NotImplementedError

    def nll(self, eta: Array, x: Array, scale: float) -> tuple[Array, Array]:
        """Return -scale times the sum of log p(x|eta), and its gradient deta."""
        raise NotImplementedError

    def mean(self, eta: Array) -> Array:
        """Return the mean of p(x|eta), (B, D)."""
        raise NotImplementedError

    def page(self) -> tuple[str, str]:
        """Return mean and -log p of one pixel as JavaScript expressions of l (its eta) and x."""
        raise NotImplementedError

    def sample(self, eta: Array, rng: np.random.Generator) -> np.ndarray:
        """Return draws of x (B, D), on the host."""
        raise NotImplementedError
