"""The Gaussian posterior with a full covariance, q(z|x) = N(mu, L L^T), by its Cholesky factor L.

Its stats are mu, the log of the squared diagonal of L, and what is below the diagonal, row by row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.params import Array
from minivae.parts.gaussian_posterior import GaussianPosterior


def cholesky_draw(below: Array, eps: Array, z: Array) -> Array:
    """Add to z (B, Z) what L has below the diagonal, times eps; below (B, Z (Z - 1) / 2)."""
    rows, columns = np.tril_indices(eps.shape[1], -1)
    for k, (i, j) in enumerate(zip(rows, columns, strict=True)):
        z[:, i] += below[:, k] * eps[:, j]
    return z


def cholesky_backward(dz: Array, eps: Array, dbelow: Array) -> Array:
    """Add the path through z to dbelow: z_i has L_ij eps_j in it, so dL_ij = dz_i eps_j."""
    rows, columns = np.tril_indices(eps.shape[1], -1)
    dbelow += dz[:, rows] * eps[:, columns]
    return dbelow


class FullPosterior(GaussianPosterior):
    """q(z|x), drawn as z = mu + L eps (Kingma and Welling 2019, section 2.5.1).

    The diagonal of L is exp(logvar/2), so that log |det L| = sum logvar / 2 and log q is that of
    the diagonal Gaussian; so is its KL from N(0, 1), but for half the squares below the diagonal.
    """

    kind = "full"
    source = "Kingma and Welling 2019, section 2.5.1"

    def __init__(self, latent: int, backend: Any = "numpy") -> None:
        super().__init__(latent, backend)
        self.columns = 2 * latent + latent * (latent - 1) // 2
        self.formulas = self.backend.twins(cholesky_draw, cholesky_backward)

    def draw(self, stats: Array, eps: Array) -> Array:
        """Return z (B, Z) for standard normal noise eps (B, Z)."""
        self.eps = eps
        z = super().draw(stats, eps)
        return self.formulas.cholesky_draw(stats[:, 2 * self.latent :], eps, z)

    def add(self, dz: Array, dstats: Array) -> None:
        """Add the path through z, from dz (B, Z), to dstats."""
        super().add(dz, dstats)
        self.formulas.cholesky_backward(dz, self.eps, dstats[:, 2 * self.latent :])

    def factor(self, stats: Array) -> np.ndarray:
        """Return L, (B, Z, Z)."""
        out = np.zeros((len(stats), self.latent, self.latent), stats.dtype)
        diagonal = np.arange(self.latent)
        out[:, diagonal, diagonal] = np.exp(self.halves(stats)[1] / 2)
        rows, columns = np.tril_indices(self.latent, -1)
        out[:, rows, columns] = stats[:, 2 * self.latent :]
        return out

    def marginals(self, stats: Array) -> tuple[Array, Array]:
        """Return mu and the log variance of each dimension alone: the squares of a row of L."""
        return self.halves(stats)[0], np.log((self.factor(stats) ** 2).sum(axis=2))

    def score(self) -> Array:
        """Return dlog q(z|x)/dz with the stats held, (B, Z): -S^-1 (z - mu) = -L^-T eps."""
        upper = self.factor(self.stats).transpose(0, 2, 1)
        return -np.linalg.solve(upper, self.eps[:, :, None])[:, :, 0]
