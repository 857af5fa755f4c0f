"""Gaussian pixels: eta is the mean, and one log variance, learned, holds for all pixels.

Rybkin, Daniilidis and Levine (2021) call it the sigma-VAE: its best variance is the mean squared
error, so that a model need not be told how much of an image is noise.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minivae.formulas import linear_backward_bias
from minivae.layers import Shape
from minivae.params import ALL, Array
from minivae.parts.likelihood import ANY, Likelihood

LOG_2PI = math.log(2 * math.pi)


def gaussian_log_p(eta: Array, x: Array, logvar: Array) -> Array:
    """Return log N(x; eta, e^logvar) of each row, (B,): -(r^2 e^-logvar + logvar + log 2 pi) / 2.

    r = x - eta and eta are (B, D), logvar is (1,).
    """
    r = x - eta
    squares = np.einsum("bd,bd->b", r, r)
    return -0.5 * (squares * np.exp(-logvar) + x.shape[1] * (logvar + LOG_2PI))


def gaussian_backward(
    eta: Array, x: Array, logvar: Array, dlog_p: Array, deta: Array, dlogvar_rows: Array
) -> None:
    """Overwrite deta (B, D) and dlogvar_rows (B, 1), each row's part of dlogvar, for dlog_p (B, 1).

    d log p / d eta = r e^-logvar, and d log p / d logvar = (r^2 e^-logvar - 1) / 2, summed over
    the D pixels of a row.
    """
    np.subtract(x, eta, out=deta)
    squares = np.einsum("bd,bd->b", deta, deta)[:, None]
    np.multiply(squares * np.exp(-logvar) - x.shape[1], 0.5 * dlog_p, out=dlogvar_rows)
    deta *= np.exp(-logvar) * dlog_p


class Gaussian(Likelihood):
    """p(x|eta) = N(eta, e^logvar), with one learned logvar."""

    kind = "gaussian"
    support = ANY
    source = "Rybkin, Daniilidis and Levine 2021, equation 3"
    kept = ("dlogvar_rows",)

    def __init__(self, pixels: int, **settings: Any) -> None:
        super().__init__(pixels, {"logvar": (1,)}, **settings)
        self.formulas = self.backend.twins(gaussian_log_p, gaussian_backward, linear_backward_bias)

    def initial(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Return 0: variance 1."""
        return np.zeros(shape)

    def forward(self, eta: Array, x: Array) -> Array:
        """Return log p(x|eta) of each image, (B,), in nats."""
        self.given = eta, x
        return self.formulas.gaussian_log_p(eta, x, self.params["logvar"])

    def backward(self, dlog_p: Array) -> Array:
        """Return deta for dlog_p (B,), and overwrite dlogvar."""
        deta = self._back(*self.given, dlog_p[:, None])
        self.gradients()
        return deta

    def nll(self, eta: Array, x: Array, scale: float) -> tuple[Array, Array]:
        """Return -scale times the sum of log p(x|eta), and its gradient deta."""
        value = -scale * float(self.formulas.gaussian_log_p(eta, x, self.params["logvar"]).sum())
        return value, self._back(eta, x, -scale)

    def _back(self, eta: Array, x: Array, dlog_p: Array) -> Array:
        deta, logvar = self.like("deta", eta), self.params["logvar"]
        self.dlogvar_rows = self.buffers.get("dlogvar rows", len(eta), 1, eta.dtype)
        self.formulas.gaussian_backward(eta, x, logvar, dlog_p, deta, self.dlogvar_rows)
        return deta

    def gradients(self, part: slice = ALL) -> None:
        """Overwrite dlogvar with the sum over all rows of the batch."""
        if self.within("logvar", part) is not None:
            self.formulas.linear_backward_bias(self.dlogvar_rows, self.grads["logvar"])

    def mean(self, eta: Array) -> Array:
        """Return eta."""
        return eta

    def page(self) -> tuple[str, str]:
        """Return mean and -log p of one pixel in JavaScript."""
        logvar = float(self.backend.to_host(self.params["logvar"])[0])
        return "l", f"0.5 * ((x - l) ** 2 * {math.exp(-logvar)!r} + {logvar + LOG_2PI!r})"

    def sample(self, eta: Array, rng: np.random.Generator) -> np.ndarray:
        """Return draws of x, (B, D)."""
        eta = self.backend.to_host(eta)
        sigma = float(np.exp(self.backend.to_host(self.params["logvar"])[0] / 2))
        return (eta + sigma * rng.standard_normal(eta.shape)).astype(eta.dtype)
