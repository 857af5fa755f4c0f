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
    squares = residuals(eta, x, deta)[:, None]
    np.multiply(squares * np.exp(-logvar) - x.shape[1], 0.5 * dlog_p, out=dlogvar_rows)
    deta *= np.exp(-logvar) * dlog_p


def residuals(eta: Array, x: Array, r: Array) -> Array:
    """Overwrite r with x - eta, (B, D), and return the sum of its squares in each row, (B,)."""
    np.subtract(x, eta, out=r)
    return np.einsum("bd,bd->b", r, r)


def gaussian_nll(
    eta: Array, x: Array, logvar: Array, scale: float, deta: Array, dlogvar_rows: Array
) -> float:
    """Return -scale sum of log p(x|eta), and overwrite its gradients: both formulas above at once.

    eta, x and deta are (B, D), logvar (1,), dlogvar_rows (B, 1).
    """
    return weigh_residuals(residuals(eta, x, deta), logvar, scale, deta, dlogvar_rows)


def weigh_residuals(
    squares: Array, logvar: Array, scale: float, deta: Array, dlogvar_rows: Array
) -> float:
    """As `gaussian_nll`, where deta holds x - eta and squares (B,) its rows' sums of squares."""
    precision, pixels = np.exp(-logvar), deta.shape[1]
    squares = squares * precision
    deta *= -scale * precision
    np.multiply(squares - pixels, -0.5 * scale, out=dlogvar_rows[:, 0])
    return 0.5 * scale * float((squares + pixels * (logvar + LOG_2PI)).sum(dtype=np.float64))


def best_logvar(squares: Array, pixels: int, least: float) -> float:
    """Return the log of the mean of r^2, or of `least` if that is more; squares: its sums (B,)."""
    return float(np.log(max(float(squares.mean(dtype=np.float64)) / pixels, least)))


class Gaussian(Likelihood):
    """p(x|eta) = N(eta, e^logvar), with one learned logvar."""

    kind = "gaussian"
    support = ANY
    source = "Rybkin, Daniilidis and Levine 2021"
    kept = ("dlogvar_rows",)

    def __init__(self, pixels: int, own: bool = True, **settings: Any) -> None:
        super().__init__(pixels, {"logvar": (1,)} if own else None, **settings)
        self.formulas = self.backend.twins(
            gaussian_log_p, gaussian_backward, gaussian_nll, linear_backward_bias
        )

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
        eta, x = self.given
        deta, logvar = self._rows(eta), self.logvar(eta.dtype)
        rows = self.dlogvar_rows
        self.formulas.gaussian_backward(eta, x, logvar, dlog_p[:, None], deta, rows)
        self.gradients()
        return deta

    def nll(self, eta: Array, x: Array, scale: float) -> tuple[Array, Array]:
        """Return -scale times the sum of log p(x|eta), and its gradient deta."""
        deta, logvar = self._rows(eta), self.logvar(eta.dtype)
        values = [
            self.formulas.gaussian_nll(eta[n], images, logvar, scale, deta[n], self.dlogvar_rows[n])
            for n, images in self.blocks(eta, x)
        ]
        return values[0] if len(values) == 1 else sum(values), deta

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
    0, so that deta is what it is for a fixed variance. All images have a say in it: processes that
    share a batch tell one another their sums of squares. What it is of the last batch is kept, as
    a parameter that no gradient moves, and holds for every other use. Bounds of several samples
    weigh draws by a density that must be one: for them the variance is learned, as that of
    `Gaussian`.
    """

    kind = "gaussian-optimal"
    crosses_rows = True
    meets = True
    source = "Rybkin, Daniilidis and Levine 2021"
    least = 1e-12  # of sigma^2: where all errors are 0 the density has no maximum

    def __init__(self, pixels: int, **settings: Any) -> None:
        super().__init__(pixels, **settings)
        self.own = self.backend.twins(best_logvar, residuals, weigh_residuals)

    def nll(self, eta: Array, x: Array, scale: float) -> tuple[Array, Array]:
        """Return -scale times the sum of log p(x|eta) at the best sigma^2, its gradient deta."""
        deta = self._rows(eta)
        squares = np.empty(len(eta), eta.dtype)
        for n, images in self.blocks(eta, x):
            squares[n] = self.own.residuals(eta[n], images, deta[n])
        logvar = self.params["logvar"]  # every process finds the same
        logvar[...] = self.own.best_logvar(self.everyone(squares), eta.shape[1], self.least)
        rows = self.dlogvar_rows
        value = self.own.weigh_residuals(squares, logvar, scale, deta, rows)
        self.dlogvar_rows[...] = 0
        return value, deta
