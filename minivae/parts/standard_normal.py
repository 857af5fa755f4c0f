"""The prior N(0, 1) of every latent dimension, and its distance from a Gaussian posterior.

The closed form and its gradient are in formulas.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.layers import Layer
from minivae.params import Array


def normal_log_density(z: Array, logvar: Array | None) -> Array:
    """Return -(z^2 + logvar + log 2 pi) / 2, summed over each row of z and logvar (N, Z), (N,).

    log N(z; 0, 1) where no logvar is given; log N(z; mu, sigma^2) of what (z - mu) / sigma is z.
    """
    terms = z * z
    if logvar is not None:
        terms += logvar
    terms += float(np.log(2 * np.pi))
    return -0.5 * terms.sum(axis=1)


def normal_backward(z: Array, dlog_p: Array, dz: Array) -> Array:
    """Overwrite dz (N, Z) with -z dlog_p, for dlog_p (N,)."""
    np.multiply(z, dlog_p[:, None], out=dz)
    return np.negative(dz, out=dz)


class StandardNormal(Layer):
    """p(z) = N(0, 1), without parameters."""

    kind = "normal"
    closed = ("gaussian", "full")  # posteriors whose KL has a closed form
    source = "Kingma and Welling 2014, appendix B"

    def __init__(self, latent: int, pixels: int = 0, backend: Any = "numpy") -> None:
        super().__init__(backend=backend)
        self.latent = latent
        self.own = self.backend.twins(normal_log_density, normal_backward)

    def forward(self, z: Array) -> Array:
        """Return log p(z) of each row of z (B, Z), (B,), in nats."""
        self.z = z
        return self.own.normal_log_density(z, None)

    def backward(self, dlog_p: Array) -> Array:
        """Return dz = -z dlog_p, (B, Z)."""
        return self.own.normal_backward(self.z, dlog_p, self.like("dz", self.z))

    def kl(self, stats: Array, beta: float, scale: float) -> tuple[Array, Array]:
        """Return scale times the sum of KL(q || p), and beta times its gradient dstats.

        q is the Gaussian posterior with these stats (B, 2 Z). A full covariance L L^T has more,
        what L has below its diagonal: KL = (tr L L^T - log det L L^T + mu^2 - Z) / 2 is that of the
        diagonal alone and half the squares of the rest, as tr L L^T is the sum of all squares.
        """
        dstats = self.like("dstats", stats)
        mu, logvar, rest = self._thirds(stats)
        dmu, dlogvar, drest = self._thirds(dstats)
        kl = self.formulas.gaussian_kl(mu, logvar, beta, scale, dmu, dlogvar)
        if rest.shape[1]:
            kl += 0.5 * scale * float((rest * rest).sum())
            np.multiply(rest, beta * scale, out=drest)
        return kl, dstats

    def kl_each(self, stats: Array) -> Array:
        """Return the KL of each image, (B,), in nats."""
        mu, logvar, rest = self._thirds(stats)
        out = self.backend.empty(mu.shape, mu.dtype)
        kl = self.formulas.gaussian_kl_each(mu, logvar, out).sum(axis=1)
        return kl + 0.5 * (rest * rest).sum(axis=1) if rest.shape[1] else kl

    def draw(self, eps: Array, rng: Any = None) -> Array:
        """Return z for standard normal noise: the noise itself."""
        return eps

    def _thirds(self, stats: Array) -> tuple[Array, Array, Array]:
        """Return mu, log variance and the rest, as views."""
        one, two = self.latent, 2 * self.latent
        return stats[:, :one], stats[:, one:two], stats[:, two:]
