"""Poisson counts: eta is the logarithm of the rate.

Their variance is their mean; counts that spread more are for negative_binomial.py.
"""

from __future__ import annotations

import numpy as np

from minivae.params import Array
from minivae.parts.gamma import PAGE, log_factorial
from minivae.parts.likelihood import COUNTS, Pixelwise


def poisson(eta: Array, x: Array, dlog_p: Array, deta: Array) -> Array:
    """Return log p(x|eta) = x l - e^l - log x! of each count, overwrite deta; (B, D).

    The rate is e^l, and the slope by l is x - e^l.
    """
    rate = np.exp(eta)
    np.subtract(x, rate, out=deta)
    deta *= dlog_p
    log_p = x * eta
    log_p -= rate
    log_p -= log_factorial(x)
    return log_p


class Poisson(Pixelwise):
    """p(x|l) = e^(x l - e^l) / x!, for whole numbers x from 0."""

    kind = "poisson"
    support = COUNTS
    discrete = True
    source = "the Poisson distribution, by its natural parameter"
    formula = staticmethod(poisson)

    def mean(self, eta: Array) -> Array:
        """Return the rate e^l, (B, D)."""
        return np.exp(eta)

    def page(self) -> tuple[str, str]:
        """Return mean and -log p of one count in JavaScript."""
        return "Math.exp(l)", f"Math.exp(l) - x * l + {PAGE}(x + 1)"

    def sample(self, eta: Array, rng: np.random.Generator) -> np.ndarray:
        """Return draws of x, (B, D)."""
        rate = self.backend.to_host(self.mean(eta))
        return rng.poisson(np.minimum(rate, 1e15)).astype(rate.dtype)
