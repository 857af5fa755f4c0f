"""The Gaussian posterior q(z|x) = N(mu, e^logvar), one dimension apart from the other.

Its stats are (B, 2 Z): mu, then log variance. How far it is from the prior is the prior's matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.layers import Layer, Reparameterize
from minivae.params import Array


class GaussianPosterior(Layer):
    """q(z|x), drawn as z = mu + exp(logvar/2) eps (Kingma and Welling 2014, section 2.4)."""

    kind = "gaussian"
    width = 2  # numbers of stats for each latent dimension

    def __init__(self, latent: int, backend: Any = "numpy") -> None:
        super().__init__(inner={"sampler": Reparameterize(backend=backend)}, backend=backend)
        self.latent = latent

    @property
    def sampler(self) -> Any:
        """The layer that draws z and sends gradients back through it."""
        return self.inner["sampler"]

    def halves(self, stats: Array) -> tuple[Array, Array]:
        """Return mu and log variance, views (B, Z) of the stats."""
        return stats[:, : self.latent], stats[:, self.latent :]

    def draw(self, stats: Array, eps: Array) -> Array:
        """Return z (B, Z) for standard normal noise eps (B, Z)."""
        return self.sampler.forward(*self.halves(stats), eps)

    def add(self, dz: Array, dstats: Array) -> None:
        """Add the path through z, from dz (B, Z), to dstats (B, 2 Z)."""
        self.sampler.backward(dz, *self.halves(dstats))

    def forward(self, stats: Array, eps: Array) -> tuple[Array, Array]:
        """Return z (B, Z) and log q(z|x) (B,), in nats.

        (z - mu) / sigma is eps, so log q = -(eps^2 + logvar + log 2 pi) / 2, summed.
        """
        z = self.draw(stats, eps)
        self.stats, self.eps = stats, eps
        logvar = self.halves(stats)[1]
        log_q = -0.5 * (eps * eps + logvar + float(np.log(2 * np.pi))).sum(axis=1)
        return z, log_q

    def backward(self, dz: Array, dlog_q: Array) -> Array:
        """Return dstats: the path through z, and log q's own dependence on logvar, eps held.

        With eps held, dlog_q/dmu = 0 and dlog_q/dlogvar = -1/2.
        """
        dstats = self.buffers.get("dstats", len(dz), 2 * self.latent, dz.dtype)
        dmu, dlogvar = self.halves(dstats)
        dmu[...] = 0
        dlogvar[...] = -0.5 * dlog_q[:, None]
        self.add(dz, dstats)
        return dstats

    def score(self) -> Any:
        """Return dlog q(z|x)/dz with the stats held, (B, Z): -(z - mu)/sigma^2 = -eps/sigma."""
        return -self.eps * np.exp(-0.5 * self.halves(self.stats)[1])
