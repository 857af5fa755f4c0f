"""Gaussian pixels with one variance for all: learned, given, or the best for each batch.

Rybkin, Daniilidis and Levine (2021) call it the sigma-VAE: its best variance is the mean squared
error, so that a model need not be told how much of an image is noise. A variance for each pixel is
for gaussian_each.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minivae.errors import ArgumentError
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


def best_logvar(eta: Array, x: Array, least: float) -> float:
    """Return the log of the mean of (x - eta)^2, both (B, D), or of `least` if that is more."""
    r = x - eta
    return float(np.log(max(float((r * r).mean(dtype=np.float64)), least)))


class Gaussian(Likelihood):
    """p(x|eta) = N(eta, e^logvar), with one learned logvar."""

    kind = "gaussian"
    support = ANY
    source = "Rybkin, Daniilidis and Levine 2021"
    kept = ("dlogvar_rows",)

    def __init__(self, pixels: int, own: bool = True, **settings: Any) -> None:
        super().__init__(pixels, {"logvar": (1,)} if own else None, **settings)
        self.formulas = self.backend.twins(gaussian_log_p, gaussian_backward, linear_backward_bias)
        self._whole = getattr(self.formulas, "gaussian_nll", None)  # on a device

    def logvar(self, dtype: Any) -> Array:
        """Return the log variance, (1,)."""
        return self.params["logvar"]

    def initial(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Return 0: variance 1."""
        return np.zeros(shape)

    def forward(self, eta: Array, x: Array) -> Array:
        """Return log p(x|eta) of each image, (B,), in nats."""
        self.given = eta, self.repeated(x, len(eta))
        return self.formulas.gaussian_log_p(*self.given, self.logvar(eta.dtype))

    def backward(self, dlog_p: Array) -> Array:
        """Return deta for dlog_p (B,), and overwrite dlogvar."""
        deta = self._back(*self.given, dlog_p[:, None])
        self.gradients()
        return deta

    def nll(self, eta: Array, x: Array, scale: float) -> tuple[Array, Array]:
        """Return -scale times the sum of log p(x|eta), and its gradient deta."""
        if self._whole is not None:
            deta = self._rows(eta)
            logvar = self.logvar(eta.dtype)
            return self._whole(eta, x, logvar, scale, deta, self.dlogvar_rows), deta
        value = -scale * float(self.formulas.gaussian_log_p(eta, x, self.logvar(eta.dtype)).sum())
        return value, self._back(eta, x, -scale)

    def _back(self, eta: Array, x: Array, dlog_p: Array) -> Array:
        deta, logvar = self._rows(eta), self.logvar(eta.dtype)
        self.formulas.gaussian_backward(eta, x, logvar, dlog_p, deta, self.dlogvar_rows)
        return deta

    def _rows(self, eta: Array) -> Array:
        """Return a place for deta, and make one for each row's part of dlogvar."""
        self.dlogvar_rows = self.buffers.get("dlogvar rows", len(eta), 1, eta.dtype)
        return self.like("deta", eta)

    def gradients(self, part: slice = ALL) -> None:
        """Overwrite dlogvar with the sum over all rows of the batch."""
        if self.own_shapes and self.within("logvar", part) is not None:
            self.formulas.linear_backward_bias(self.dlogvar_rows, self.grads["logvar"])

    def mean(self, eta: Array) -> Array:
        """Return eta."""
        return eta

    def page(self) -> tuple[str, str]:
        """Return mean and -log p of one pixel in JavaScript."""
        logvar = float(self.backend.to_host(self.logvar(np.float64))[0])
        return "l", f"0.5 * ((x - l) ** 2 * {math.exp(-logvar)!r} + {logvar + LOG_2PI!r})"

    def sample(self, eta: Array, rng: np.random.Generator) -> np.ndarray:
        """Return draws of x, (B, D)."""
        eta = self.backend.to_host(eta)
        sigma = float(np.exp(self.backend.to_host(self.logvar(np.float64))[0] / 2))
        return (eta + sigma * rng.standard_normal(eta.shape)).astype(eta.dtype)


class FixedGaussian(Gaussian):
    """p(x|eta) = N(eta, variance), the variance given: its half is the weight of the KL.

    Parameters
    ----------
    variance : float
        The variance of every pixel.
    """

    kind = "gaussian-fixed"
    settings = {"variance": float}  # noqa: RUF012
    example = "gaussian-fixed:0.1"
    source = "Kingma and Welling 2014, appendix C.2"

    def __init__(self, pixels: int, variance: float = 1.0, **settings: Any) -> None:
        super().__init__(pixels, own=False, **settings)
        if not 1e-12 <= variance <= 1e12:
            raise ArgumentError(f"the variance must be from 1e-12 to 1e12, not {variance}")
        self.variance = variance
        self._logvar: dict[Any, Array] = {}

    def logvar(self, dtype: Any) -> Array:
        """Return the log variance, (1,); made once, for a captured step cannot make it."""
        if dtype not in self._logvar:
            logvar = np.array([math.log(self.variance)])
            self._logvar[dtype] = self.backend.asarray(logvar, dtype)
        return self._logvar[dtype]


class OptimalGaussian(Gaussian):
    """p(x|eta) = N(eta, sigma^2), where sigma^2 is at every step the mean squared error.

    For given means no variance gives the batch a higher likelihood: d/dlogvar of the sum of
    (r^2 e^-logvar + logvar) / 2 is 0 where e^logvar = mean r^2. There the slope through logvar is
    0, so that deta is what it is for a fixed variance. All images have a say in it: the model
    trains in one process. What it is of the last batch is kept, as a parameter that no gradient
    moves, and holds for every other use. Bounds of several samples weigh draws by a density that
    must be one: for them the variance is learned, as that of `Gaussian`.
    """

    kind = "gaussian-optimal"
    crosses_rows = True
    source = "Rybkin, Daniilidis and Levine 2021"
    least = 1e-12  # of sigma^2: where all errors are 0 the density has no maximum

    def __init__(self, pixels: int, **settings: Any) -> None:
        super().__init__(pixels, **settings)
        self.own = self.backend.twins(best_logvar)

    def nll(self, eta: Array, x: Array, scale: float) -> tuple[Array, Array]:
        """Return -scale times the sum of log p(x|eta) at the best sigma^2, its gradient deta."""
        self.params["logvar"][...] = self.own.best_logvar(eta, x, self.least)
        value, deta = super().nll(eta, x, scale)
        self.dlogvar_rows[...] = 0
        return value, deta
