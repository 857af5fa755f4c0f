"""The Gaussian posterior q(z|x) = N(mu, e^logvar), one dimension apart from the other.

Its stats are (B, 2 Z): mu, then log variance. How far it is from the prior is the prior's matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.layers import Layer, Reparameterize
from minivae.params import Array
from minivae.parts.standard_normal import normal_log_density


def gaussian_score(eps: Array, logvar: Array, out: Array) -> Array:
    """Overwrite out (N, Z) with d log N(z; mu, sigma^2)/dz = -(z - mu)/sigma^2 = -eps/sigma."""
    np.multiply(logvar, -0.5, out=out)
    np.exp(out, out=out)
    out *= eps
    return np.negative(out, out=out)


def log_base_backward(dlog_q: Array | None, dmu: Array, dlogvar: Array) -> None:
    """Overwrite dmu and dlogvar (N, Z) for dlog_q (N,) of `log_base`; zeros where there is none.

    With eps held, dlog_q/dmu = 0 and dlog_q/dlogvar = -1/2.
    """
    dmu[...] = 0
    dlogvar[...] = 0 if dlog_q is None else -0.5 * dlog_q[:, None]


class GaussianPosterior(Layer):
    """q(z|x), drawn as z = mu + exp(logvar/2) eps (Kingma and Welling 2014, section 2.4)."""

    kind = "gaussian"
    source = "Kingma and Welling 2014, section 3"

    def __init__(self, latent: int, backend: Any = "numpy") -> None:
        super().__init__(inner={"sampler": Reparameterize(backend=backend)}, backend=backend)
        self.latent = latent
        self.own = self.backend.twins(normal_log_density, gaussian_score, log_base_backward)
        self.columns = 2 * latent  # numbers of stats for an image

    @property
    def sampler(self) -> Any:
        """The layer that draws z and sends gradients back through it."""
        return self.inner["sampler"]

    def halves(self, stats: Array) -> tuple[Array, Array]:
        """Return mu and log variance, views (B, Z) of the stats."""
        return stats[:, : self.latent], stats[:, self.latent : 2 * self.latent]

    def marginals(self, stats: Array) -> tuple[Array, Array]:
        """Return mean and log variance of each dimension of q(z|x) alone, both (B, Z)."""
        return self.halves(stats)

    def draw(self, stats: Array, eps: Array) -> Array:
        """Return z (B, Z) for standard normal noise eps (B, Z)."""
        return self.sampler.forward(*self.halves(stats), eps)

    def add(self, dz: Array, dstats: Array) -> None:
        """Add the path through z, from dz (B, Z), to dstats (B, 2 Z)."""
        self.sampler.backward(dz, *self.halves(dstats))

    def forward(self, stats: Array, eps: Array) -> tuple[Array, Array]:
        """Return z (B, Z) and log q(z|x) (B,), in nats."""
        self.stats, self.eps = stats, eps
        return self.draw(stats, eps), self.log_base(stats, eps)

    def log_base(self, stats: Array, eps: Array) -> Array:
        """Return log N(z; mu, sigma^2) where eps leads, (B,).

        (z - mu) / sigma is eps, so it is -(eps^2 + logvar + log 2 pi) / 2, summed.
        """
        return self.own.normal_log_density(eps, self.halves(stats)[1])

    def backward(self, dz: Array, dlog_q: Array | None) -> Array:
        """Return dstats: the path through z, and log q's own dependence on the stats, eps held.

        Without dlog_q, the path through z alone.
        """
        dstats = self.buffers.get("dstats", len(dz), self.columns, dz.dtype)
        if self.columns > 2 * self.latent:
            dstats[:, 2 * self.latent :] = 0
        return self.base_backward(dz, dlog_q, dstats)

    def base_backward(self, dz: Array, dlog_q: Array | None, dstats: Array) -> Array:
        """Overwrite the halves of dstats for dz and dlog_q, and return dstats."""
        self.own.log_base_backward(dlog_q, *self.halves(dstats))
        self.add(dz, dstats)
        return dstats

    def score(self) -> Any:
        """Return dlog q(z|x)/dz with the stats held, (B, Z)."""
        out = self.like("score", self.eps)
        return self.own.gaussian_score(self.eps, self.halves(self.stats)[1], out)
