"""The prior N(0, 1) of every latent dimension, and its distance from a Gaussian posterior.

The closed form and its gradient are in formulas.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.layers import Layer
from minivae.params import Array


class StandardNormal(Layer):
    """p(z) = N(0, 1), without parameters."""

    kind = "normal"

    def __init__(self, latent: int, backend: Any = "numpy") -> None:
        super().__init__(backend=backend)
        self.latent = latent

    def forward(self, z: Array) -> Array:
        """Return log p(z) of each row of z (B, Z), (B,), in nats."""
        self.z = z
        return -0.5 * (z * z + float(np.log(2 * np.pi))).sum(axis=1)

    def backward(self, dlog_p: Array) -> Array:
        """Return dz = -z dlog_p, (B, Z)."""
        return -self.z * dlog_p[:, None]

    def kl(self, stats: Array, beta: float, scale: float) -> tuple[Array, Array]:
        """Return scale times the sum of KL(q || p), and beta times its gradient dstats (B, 2 Z).

        q is the Gaussian posterior with these stats.
        """
        dstats, latent = self.like("dstats", stats), self.latent
        mu, logvar = stats[:, :latent], stats[:, latent:]
        dmu, dlogvar = dstats[:, :latent], dstats[:, latent:]
        return self.formulas.gaussian_kl(mu, logvar, beta, scale, dmu, dlogvar), dstats

    def kl_each(self, stats: Array) -> Array:
        """Return the KL of each image, (B,), in nats."""
        mu, logvar = stats[:, : self.latent], stats[:, self.latent :]
        out = self.backend.empty(mu.shape, mu.dtype)
        return self.formulas.gaussian_kl_each(mu, logvar, out).sum(axis=1)

    def draw(self, eps: Array) -> Array:
        """Return z for standard normal noise: the noise itself."""
        return eps
