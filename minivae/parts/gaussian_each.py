"""Gaussian pixels with a variance for each: learned column by column, or given by the decoder.

Both are bounded below. Without that the loss has no minimum: a pixel that is met exactly, as one at
the edge that is always black, gains without end from a smaller variance, and training runs away.
One variance for all is for gaussian.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minivae.params import Array
from minivae.parts.likelihood import ANY, Pixelwise
from minivae.parts.softplus import softplus

LOG_2PI = math.log(2 * math.pi)
LEAST = -12.0  # log variance stays above: sigma above e^-6 (Rybkin and others 2021, appendix)


def soft_floor(raw: Array) -> tuple[Array, Array]:
    """Return logvar = LEAST + softplus(raw - LEAST), and its slope sigmoid(raw - LEAST).

    It is raw itself well above LEAST, and never below.
    """
    above, slope = softplus(raw - LEAST)
    return LEAST + above, slope


def gaussian_each(
    eta: Array, x: Array, raw: Array, dlog_p: Array, deta: Array, draw_rows: Array
) -> Array:
    """Return log N(x; eta, e^logvar) of each pixel, overwrite deta and draw_rows; (B, D).

    logvar is soft_floor(raw), for raw (D,) or (B, D). With r = x - eta the slope by eta is
    r e^-logvar, that by logvar (r^2 e^-logvar - 1) / 2.
    """
    logvar, slope = soft_floor(raw)
    precision = np.exp(-logvar)
    np.subtract(x, eta, out=deta)
    squares = deta * deta
    squares *= precision
    deta *= precision * dlog_p
    np.subtract(squares, 1, out=draw_rows)
    draw_rows *= 0.5 * dlog_p * slope
    squares += logvar + LOG_2PI
    squares *= -0.5
    return squares


def gaussian_decoded(eta: Array, x: Array, dlog_p: Array, deta: Array) -> Array:
    """Return log p of each pixel (B, D), overwrite deta (B, 2 D); eta: means, then raw."""
    means, raw = np.split(eta, 2, axis=1)
    dmeans, draw = np.split(deta, 2, axis=1)
    return gaussian_each(means, x, raw, dlog_p, dmeans, draw)


class FeatureGaussian(Pixelwise):
    """p(x|eta) = N(eta, e^logvar) with one learned logvar a column, bounded below."""

    kind = "gaussian-features"
    support = ANY
    source = "Lucas and others 2019, with one variance a column"
    formula = staticmethod(gaussian_each)
    own = "raw"

    def __init__(self, pixels: int, **settings: Any) -> None:
        super().__init__(pixels, pixels, **settings)

    def mean(self, eta: Array) -> Array:
        """Return eta."""
        return eta

    def page(self) -> tuple[str, str]:
        """Return mean and -log p of one pixel in JavaScript."""
        logvar = soft_floor(self.backend.to_host(self.params["raw"]).astype(np.float64))[0].tolist()
        nll = f"((v) => 0.5 * ((x - l) ** 2 * Math.exp(-v) + v + {LOG_2PI!r}))({logvar}[d])"
        return "l", nll

    def sample(self, eta: Array, rng: np.random.Generator) -> np.ndarray:
        """Return draws of x, (B, D)."""
        eta = self.backend.to_host(eta)
        sigma = np.exp(soft_floor(self.backend.to_host(self.params["raw"]))[0] / 2)
        return (eta + sigma * rng.standard_normal(eta.shape)).astype(eta.dtype)


class DecodedGaussian(Pixelwise):
    """p(x|eta) = N(m, e^logvar), both from the decoder, logvar bounded below."""

    kind = "gaussian-decoded"
    width = 2  # eta (B, 2 D): means, then what logvar is made of
    support = ANY
    source = "Kingma and Welling 2014, appendix C.2"
    formula = staticmethod(gaussian_decoded)

    def mean(self, eta: Array) -> Array:
        """Return m, (B, D)."""
        return eta[:, : self.pixels]

    def page(self) -> tuple[str, str]:
        """Return mean and -log p of one pixel in JavaScript."""
        above = f"e[d + {self.pixels}] - {LEAST}"
        logvar = f"((a) => {LEAST} + Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))))({above})"
        return "l", f"((v) => 0.5 * ((x - l) ** 2 * Math.exp(-v) + v + {LOG_2PI!r}))({logvar})"

    def sample(self, eta: Array, rng: np.random.Generator) -> np.ndarray:
        """Return draws of x, (B, D)."""
        m, raw = np.split(self.backend.to_host(eta), 2, axis=1)
        noise = np.exp(soft_floor(raw)[0] / 2) * rng.standard_normal(m.shape)
        return (m + noise).astype(m.dtype)
