"""Priors that are mixtures of Gaussians: with learned components, or those of learned images.

Their KL from a posterior has no closed form: the bound takes log q(z) - log p(z) at its draw of z.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from minivae.errors import ArgumentError
from minivae.layers import Layer, Shape
from minivae.params import ALL, Array

LOG_2PI = math.log(2 * math.pi)
MOST = 10_000  # components


def mixture_log_p(z: Array, logits: Array, means: Array, logvars: Array, shares: Array) -> Array:
    """Return log p(z) of each row (B,), overwrite shares (B, K): of component k in p(z).

    log p = log sum_k w_k N(z; m_k, e^v_k), w = softmax(logits) (K,), means and logvars (K, Z).
    shares are the terms of that sum over the sum, and so d log p / d log(w_k N_k).
    """
    squares = z[:, None] - means
    squares *= squares
    squares *= np.exp(-logvars)
    squares.sum(axis=2, out=shares)
    shares *= -0.5
    shares += _log_softmax(logits) - 0.5 * (logvars + LOG_2PI).sum(axis=1)
    top = shares.max(axis=1, keepdims=True)
    shares -= top
    np.exp(shares, out=shares)
    total = shares.sum(axis=1, keepdims=True)
    shares /= total
    return (top + np.log(total))[:, 0]


def mixture_backward_input(
    z: Array, means: Array, logvars: Array, dshares: Array, dz: Array
) -> Array:
    """Overwrite dz (B, Z) for dshares (B, K) = dlog_p times the shares.

    d log N_k / dz = (m_k - z) e^-v_k.
    """
    precisions = np.exp(-logvars)
    np.matmul(dshares, means * precisions, out=dz)
    dz -= z * (dshares @ precisions)
    return dz


def mixture_gradients(
    z: Array, logits: Array, means: Array, logvars: Array, dshares: Array
) -> tuple[Array, Array, Array]:
    """Return dlogits (K,), dmeans and dlogvars (K, Z), summed over all rows.

    d log N_k / dm_k = (z - m_k) e^-v_k and d log N_k / dv_k = ((z - m_k)^2 e^-v_k - 1) / 2. Those
    of the logits are shares - w, as in every softmax: a row gives all its weight to some w.
    """
    precisions, weight = np.exp(-logvars), dshares.sum(axis=0)
    first = dshares.T @ z - weight[:, None] * means  # sum of (z - m)
    second = dshares.T @ (z * z) - means * (2 * first + weight[:, None] * means)  # of (z - m)^2
    dlogits = weight - weight.sum() * np.exp(_log_softmax(logits))
    return dlogits, first * precisions, 0.5 * (second * precisions - weight[:, None])


def _log_softmax(logits: Array) -> Array:
    rest = logits - logits.max()
    return rest - np.log(np.exp(rest).sum())


class Mixture(Layer):
    """p(z) = a mixture of K Gaussians whose weights, means and variances are learned.

    Parameters
    ----------
    components : int
        K.
    """

    kind = "mixture"
    settings: ClassVar[dict[str, Any]] = {"components": int}
    example: ClassVar[str] = "mixture:10"
    closed: ClassVar[tuple[str, ...]] = ()  # posteriors whose KL has a closed form
    source: ClassVar[str] = "Dilokthanakul and others 2016; Tomczak and Welling 2018"
    kept = ("z", "dshares")

    def __init__(self, latent: int, pixels: int = 0, components: int = 10, **more: Any) -> None:
        if not 1 <= components <= MOST:
            raise ArgumentError(f"components must be from 1 to {MOST:,}, not {components}")
        self.latent, self.components = latent, components
        super().__init__(self._shapes(pixels), **more)
        self.formulas = self.backend.twins(mixture_log_p, mixture_backward_input, mixture_gradients)

    def _shapes(self, pixels: int) -> dict[str, Shape]:
        k = self.components
        return {"logits": (k,), "means": (k, self.latent), "logvars": (k, self.latent)}

    def initial(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Return means drawn from N(0, 1), equal weights and variances of 1."""
        return rng.standard_normal(shape) if name == "means" else np.zeros(shape)

    def parts(self) -> tuple[Array, Array, Array]:
        """Return logits (K,), means and log variances (K, Z) of the components."""
        return self.params["logits"], self.params["means"], self.params["logvars"]

    def forward(self, z: Array) -> Array:
        """Return log p(z) of each row of z (B, Z), (B,), in nats."""
        self.z = z
        self.shares = self.buffers.get("shares", len(z), self.components, z.dtype)
        return self.formulas.mixture_log_p(z, *self.parts(), self.shares)

    def backward(self, dlog_p: Array) -> Array:
        """Return dz for dlog_p (B,), and overwrite the gradients of own parameters."""
        self.dshares = self.like("dshares", self.shares)
        np.multiply(self.shares, dlog_p[:, None], out=self.dshares)
        dz = self.like("dz", self.z)
        self.formulas.mixture_backward_input(self.z, *self.parts()[1:], self.dshares, dz)
        return dz

    def gradients(self, part: slice = ALL) -> None:
        """Overwrite the gradients of own parameters, from the whole batch."""
        names = ("logits", "means", "logvars")
        if all(self.within(name, part) is None for name in names):
            return
        slopes = self.formulas.mixture_gradients(self.z, *self.parts(), self.dshares)
        for name, slope in zip(names, slopes, strict=True):
            if self.within(name, part) is not None:
                self.grads[name][...] = slope

    def draw(self, eps: Array, rng: np.random.Generator) -> np.ndarray:
        """Return z for standard normal noise: a component each, then a draw from it."""
        logits, means, logvars = (self.backend.to_host(one) for one in self.parts())
        noisy = np.asarray(_log_softmax(logits)) + rng.gumbel(size=(len(eps), self.components))
        k = noisy.argmax(axis=1)
        return means[k] + np.exp(logvars[k] / 2) * eps


class VampPrior(Mixture):
    """p(z) = 1/K sum_k q(z|u_k), where u_k are images that are learned.

    Their gradients, and those that their passage leaves to the encoder, follow from the whole
    batch: the model trains in one process. `encoder` is set by the model: a twin of its own.
    """

    kind = "vamp"
    example = "vamp:10"
    source = "Tomczak and Welling 2018"
    crosses_rows = True
    encoder: Any = None

    def _shapes(self, pixels: int) -> dict[str, Shape]:
        return {"images": (self.components, pixels)}

    def initial(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Return grey noise."""
        return rng.uniform(0, 1, shape)

    def parts(self) -> tuple[Array, Array, Array]:
        """Return equal logits (K,), and mu and log variance (K, Z) of the images."""
        stats = self.encoder.forward(self.params["images"])
        return (
            np.zeros(self.components, stats.dtype),
            stats[:, : self.latent],
            stats[:, self.latent :],
        )

    def gradients(self, part: slice = ALL) -> None:
        """Overwrite those of the images, and add to those of the encoder, which come before."""
        _, *slopes = self.formulas.mixture_gradients(self.z, *self.parts(), self.dshares)
        self.grads["images"][...] = self.encoder.backward_input(np.hstack(slopes))
        before = {name: grad.copy() for name, grad in self.encoder.grads.items()}
        self.encoder.gradients()
        for name, grad in self.encoder.grads.items():
            grad += before[name]
