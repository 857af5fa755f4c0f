"""Bernoulli pixels: eta is a logit, the mean its sigmoid; grey values stand for probabilities.

The formulas, which fuse sigmoid and cross-entropy, are in formulas.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.params import Array
from minivae.parts.likelihood import UNIT, Likelihood
from minivae.parts.rows import scale_rows


class Bernoulli(Likelihood):
    """p(x|l) = sigmoid(l)^x (1 - sigmoid(l))^(1 - x) for each pixel."""

    kind = "bernoulli"
    eta = "logits"
    support = UNIT
    source = "Kingma and Welling 2014, appendix C.1"
    discrete = True

    def __init__(self, pixels: int, **settings: Any) -> None:
        super().__init__(pixels, **settings)
        self.rows = self.backend.twins(scale_rows)

    def forward(self, eta: Array, x: Array) -> Array:
        """Return log p(x|eta) of each row of eta, in nats; keep its slopes."""
        self.slopes = self.like("slopes", eta)
        empty: Any = np.empty if self.backend.name == "numpy" else self.backend.empty
        out = empty((len(eta),), eta.dtype)
        for n, images in self.blocks(eta, x):
            self.formulas.bernoulli_log_likelihood(eta[n], images, out[n], self.slopes[n])
        return out

    def backward(self, dlog_p: Array) -> Array:
        """Return deta = dlog_p (x - sigmoid(eta))."""
        slopes = self.slopes
        del self.slopes  # overwritten
        return self.rows.scale_rows(slopes, dlog_p, slopes)

    def nll(self, eta: Array, x: Array, scale: float) -> tuple[Array, Array]:
        """Return -scale times the sum of log p(x|eta), and its gradient deta."""
        deta = self.like("deta", eta)
        if eta.size <= self.backend.block:
            return self.formulas.bernoulli_nll(eta, x, scale, deta), deta
        value = 0.0
        for n, images in self.blocks(eta, x):
            value += self.formulas.bernoulli_nll(eta[n], images, scale, deta[n])
        return value, deta

    def mean(self, eta: Array) -> Array:
        """Return the probabilities, (B, D)."""
        return self.formulas.sigmoid(eta, self.like("mean", eta))

    def page(self) -> tuple[str, str]:
        """Return mean and -log p of one pixel in JavaScript."""
        softplus = "Math.max(l, 0) + Math.log1p(Math.exp(-Math.abs(l)))"
        return "1 / (1 + Math.exp(-l))", f"{softplus} - x * l"

    def sample(self, eta: Array, rng: np.random.Generator) -> np.ndarray:
        """Return draws of black and white pixels, (B, D)."""
        p = self.backend.to_host(self.mean(eta))
        return (rng.random(p.shape) < p).astype(p.dtype)
