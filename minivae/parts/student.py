"""Student's t: for numbers with outliers, which a Gaussian would bend everything to reach.

eta is the centre; one scale, learned, holds for all pixels; the degrees of freedom are given.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minivae.errors import ArgumentError
from minivae.params import Array
from minivae.parts.likelihood import ANY, Pixelwise


def student(
    eta: Array,
    x: Array,
    freedom: float,
    logscale: Array,
    dlog_p: Array,
    deta: Array,
    dlogscale_rows: Array,
) -> Array:
    """Return log p(x|eta) of each pixel (B, D), overwrite deta (B, D), dlogscale_rows (B, 1).

    With t = (x - eta) / s and n the freedom: log p = log G((n + 1)/2) - log G(n/2) - log(n pi)/2
    - log s - (n + 1)/2 log(1 + t^2/n). Its slope by eta, (n + 1) t / (n + t^2) / s, falls again for
    a far outlier; that by log s is (n + 1) t^2 / (n + t^2) - 1.
    """
    np.subtract(x, eta, out=deta)
    deta *= np.exp(-logscale)  # t
    squares = deta * deta
    share = (freedom + 1) / (freedom + squares)
    slopes = share * squares
    slopes -= 1
    np.multiply(slopes.sum(axis=1, keepdims=True), dlog_p, out=dlogscale_rows)
    share *= np.exp(-logscale) * dlog_p
    deta *= share
    log_p = np.log1p(squares / freedom)
    log_p *= -0.5 * (freedom + 1)
    log_p += _constant(freedom) - logscale
    return log_p


def _constant(n: float) -> float:
    return math.lgamma((n + 1) / 2) - math.lgamma(n / 2) - 0.5 * math.log(n * math.pi)


class Student(Pixelwise):
    """p(x|eta) = Student's t around eta.

    Parameters
    ----------
    freedom : float
        Degrees of freedom, above 2, so that there is a variance; the fewer, the heavier the tails.
    """

    kind = "student"
    settings = {"freedom": float}  # noqa: RUF012
    example = "student:5.0"
    support = ANY
    source = "Lange, Little and Taylor 1989"
    formula = staticmethod(student)
    own = "logscale"

    def __init__(self, pixels: int, freedom: float = 5.0, **settings: Any) -> None:
        super().__init__(pixels, 1, **settings)
        if not 2 < freedom < 1e6:
            raise ArgumentError(f"the freedom must be above 2 and below 1e6, not {freedom}")
        self.freedom, self.constants = freedom, (freedom,)

    def mean(self, eta: Array) -> Array:
        """Return eta."""
        return eta

    def page(self) -> tuple[str, str]:
        """Return mean and -log p of one pixel in JavaScript."""
        n, logscale = self.freedom, float(self.backend.to_host(self.params["logscale"])[0])
        log = f"Math.log1p(((x - l) * {math.exp(-logscale)!r}) ** 2 / {n})"
        return "l", f"{0.5 * (n + 1)!r} * {log} + {logscale - _constant(n)!r}"

    def sample(self, eta: Array, rng: np.random.Generator) -> np.ndarray:
        """Return draws of x, (B, D)."""
        eta = self.backend.to_host(eta)
        scale = float(np.exp(self.backend.to_host(self.params["logscale"])[0]))
        return (eta + scale * rng.standard_t(self.freedom, eta.shape)).astype(eta.dtype)
