"""The planar flow: a Gaussian posterior bent by layers that the encoder gives for each image.

Rezende and Mohamed (2015), section 4.1. Its stats are those of the Gaussian, then u, w (Z each)
and b of every layer.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minivae.errors import ArgumentError
from minivae.formulas import sigmoid
from minivae.params import Array
from minivae.parts.gaussian_posterior import GaussianPosterior

DRAWS = 100  # of which mean and variance of the marginals are taken
MOST = 100  # layers


def planar(z: Array, layer: Array, out: Array) -> Array:
    """Overwrite out with z' = z + v tanh(w.z + b) and return log |det dz'/dz| (B,); z, out (B, Z).

    The Jacobian 1 + v h' w^T has the determinant 1 + h' w.v, with h' = 1 - h^2. It must not reach
    0, so v is u moved along w until w.v = softplus(w.u) - 1 > -1 (the paper's appendix A.1).
    """
    _, _, _, _, v, s, h = _planar(z, layer)
    np.multiply(v, h[:, None], out=out)
    out += z
    return np.log1p((1 - h * h) * s)


def planar_backward(
    z: Array, layer: Array, dout: Array, dlog_det: Array, dlayer: Array, dz: Array
) -> Array:
    """Overwrite dz (B, Z) and dlayer (B, 2 Z + 1), for dout (B, Z) and dlog_det (B,).

    With a = w.z + b, h = tanh a, s = w.v and d = 1 + (1 - h^2) s: out = z + v h gives dv = h dout
    and dh = v.dout, log d gives dh = -2 h s / d and ds = (1 - h^2) / d, then da = (1 - h^2) dh.
    With t = w.u, n = w.w, s = softplus(t) - 1 and c = (s - t) / n: v = u + c w gives dc = w.dv,
    so ds and -dt gain dc / n, dn = -c dc / n, and dt gains sigmoid(t) ds.
    """
    u, w, n, t, v, s, h = _planar(z, layer)
    bent = 1 - h * h
    d = 1 + bent * s
    dh = np.einsum("bz,bz->b", dout, v) - 2 * h * s / d * dlog_det
    da = (bent * dh)[:, None]
    dv = dout * h[:, None]
    dc = np.einsum("bz,bz->b", dv, w) / n
    c = (s - t) / n
    dt = (bent / d * dlog_det + dc) * sigmoid(t, np.empty_like(t)) - dc
    latent = z.shape[1]
    dlayer[:, :latent] = dv + dt[:, None] * w
    dlayer[:, latent:-1] = da * z + c[:, None] * dv + dt[:, None] * u
    dlayer[:, latent:-1] -= 2 * (c * dc)[:, None] * w
    dlayer[:, -1:] = da
    np.multiply(da, w, out=dz)
    dz += dout
    return dz


def _planar(z: Array, layer: Array) -> tuple[Array, ...]:
    latent = z.shape[1]
    u, w, b = layer[:, :latent], layer[:, latent:-1], layer[:, -1]
    n, t = np.einsum("bz,bz->b", w, w), np.einsum("bz,bz->b", w, u)
    s = np.maximum(t, 0) + np.log1p(np.exp(-np.abs(t))) - 1
    v = u + ((s - t) / n)[:, None] * w
    return u, w, n, t, v, s, np.tanh(np.einsum("bz,bz->b", w, z) + b)


class PlanarPosterior(GaussianPosterior):
    """q(z|x): z_0 drawn from a Gaussian, then z <- z + v tanh(w.z + b) layer after layer.

    log q(z|x) = log q(z_0|x) - sum of log |det|. Its slope by z is not at hand, so that the bounds
    that need it (stl, dreg) are refused; its marginals are measured on draws.

    Parameters
    ----------
    layers : int
        How many.
    """

    kind = "planar"
    settings: ClassVar[dict[str, Any]] = {"layers": int}
    example: ClassVar[str] = "planar:4"
    source = "Rezende and Mohamed 2015, section 4.1"
    score = None  # type: ignore[assignment]

    def __init__(self, latent: int, layers: int = 4, backend: Any = "numpy") -> None:
        super().__init__(latent, backend)
        if not 1 <= layers <= MOST:
            raise ArgumentError(f"layers must be from 1 to {MOST}, not {layers}")
        self.layers = layers
        self.columns = 2 * latent + layers * (2 * latent + 1)
        self.formulas = self.backend.twins(planar, planar_backward)

    def draw(self, stats: Array, eps: Array) -> Array:
        """Return z (B, Z) for standard normal noise eps (B, Z)."""
        return self.forward(stats, eps)[0]

    def forward(self, stats: Array, eps: Array) -> tuple[Array, Array]:
        """Return z (B, Z) and log q(z|x) (B,), in nats."""
        self.stats = stats
        z = super().draw(stats, eps)
        log_q = self.log_base(stats, eps)
        self.path = [z]
        for k, layer in enumerate(self._layers(stats)):
            out = self.like(f"z {k}", z)
            log_q -= self.formulas.planar(self.path[-1], layer, out)
            self.path.append(out)
        return self.path[-1], log_q

    def backward(self, dz: Array, dlog_q: Array) -> Array:
        """Return dstats: through z and through log q, eps held."""
        dstats = self.like("dstats", self.stats)
        layers, dlayers = self._layers(self.stats), self._layers(dstats)
        for k in reversed(range(self.layers)):
            before = self.like(f"dz {k}", dz)
            self.formulas.planar_backward(self.path[k], layers[k], dz, -dlog_q, dlayers[k], before)
            dz = before
        return self.base_backward(dz, dlog_q, dstats)

    def marginals(self, stats: Array) -> tuple[Array, Array]:
        """Return mean and log variance of each dimension, (B, Z) both, by 100 draws."""
        eps = np.random.default_rng(0).standard_normal((DRAWS, 1, self.latent))
        twin, shape = self.twin(), (len(stats), self.latent)
        noise = [np.broadcast_to(one, shape).astype(stats.dtype) for one in eps]
        draws = np.array([twin.draw(stats, one).astype(np.float64) for one in noise])
        return draws.mean(axis=0).astype(stats.dtype), np.log(draws.var(axis=0)).astype(stats.dtype)

    def _layers(self, stats: Array) -> list[Array]:
        """Return the columns of each layer, (B, 2 Z + 1) each."""
        first, width = 2 * self.latent, 2 * self.latent + 1
        starts = [first + k * width for k in range(self.layers)]
        return [stats[:, start : start + width] for start in starts]
