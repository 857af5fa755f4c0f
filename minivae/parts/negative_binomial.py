"""Negative binomial counts: eta is the logarithm of the mean, and each column spreads as it learns.

A Poisson whose rate is itself drawn, from a Gamma distribution of shape r: the variance is
mean + mean^2 / r (Robinson and Smyth 2008; Lopez and others 2018 use it for cells).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.params import Array
from minivae.parts.gamma import PAGE, log_binomial
from minivae.parts.likelihood import COUNTS, Pixelwise
from minivae.parts.softplus import softplus


def negative_binomial(
    eta: Array, x: Array, logr: Array, dlog_p: Array, deta: Array, dlogr_rows: Array
) -> Array:
    """Return log p(x|eta) of each count, overwrite deta and dlogr_rows; (B, D), logr (D,).

    With m = e^l and r = e^logr: log p = log G(x + r) - log G(r) - log x! + r log(r / (r + m))
    + x log(m / (r + m)). The slope by l is x - (x + r) m / (r + m) = r (x - m) / (r + m); that by r
    is psi(x + r) - psi(r) + log(r / (r + m)) + (m - x) / (r + m), and r times that by logr.

    In terms of odds o = l - logr: m / (r + m) = sigmoid(o), and log(r / (r + m)) = -softplus(o).
    """
    r = np.exp(logr.astype(np.float64))
    coefficient, dr = log_binomial(x, r)
    r, odds = r.astype(eta.dtype), eta - logr
    rest, s = softplus(odds)
    both = x + r
    np.multiply(both, s, out=deta)
    np.subtract(x, deta, out=deta)
    dr -= rest
    dr *= r
    dr -= deta
    np.multiply(dr, dlog_p, out=dlogr_rows)
    deta *= dlog_p
    both *= rest
    odds *= x
    coefficient += odds
    coefficient -= both
    return coefficient


class NegativeBinomial(Pixelwise):
    """p(x|l) with mean e^l and, for each column, one learned r: variance e^l + e^2l / r."""

    kind = "negative-binomial"
    support = COUNTS
    discrete = True
    source = "Lopez and others 2018, online methods (without the zeros that they add)"
    formula = staticmethod(negative_binomial)
    own = "logr"

    def __init__(self, pixels: int, **settings: Any) -> None:
        super().__init__(pixels, pixels, **settings)

    def mean(self, eta: Array) -> Array:
        """Return e^l, (B, D)."""
        return np.exp(eta)

    def page(self) -> tuple[str, str]:
        """Return mean and -log p of one count in JavaScript."""
        logr = self.backend.to_host(self.params["logr"]).tolist()
        nll = (
            f"((s, r) => {PAGE}(r) + {PAGE}(x + 1) - {PAGE}(x + r) + (r + x) * "
            "(Math.max(l - s, 0) + Math.log1p(Math.exp(-Math.abs(l - s)))) - x * (l - s))"
            f"({logr}[d], Math.exp({logr}[d]))"
        )
        return "Math.exp(l)", nll

    def sample(self, eta: Array, rng: np.random.Generator) -> np.ndarray:
        """Return draws of x, (B, D): Poisson, its rate drawn from the Gamma distribution."""
        r = np.exp(self.backend.to_host(self.params["logr"]).astype(np.float64))
        mean = self.backend.to_host(self.mean(eta))
        rate = rng.gamma(np.broadcast_to(r, mean.shape), mean / r)
        return rng.poisson(np.minimum(rate, 1e15)).astype(mean.dtype)
