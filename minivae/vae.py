"""The variational autoencoder: how the layers are wired, one training step, what a model can do.

The arithmetic is in formulas.py and layers.py; threads, data, optimizer and loop are elsewhere.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from minivae.backend import Backend, get_backend
from minivae.errors import ArgumentError
from minivae.layers import ALL, Buffers, Linear, ReLU, Reparameterize, Sequential, cut
from minivae.noise import generator
from minivae.params import Parameters

BLOCK = 1000  # images at a time where a whole data set passes through


class Terms(NamedTuple):
    """A loss and its parts, in nats per image: loss = nll + beta * kl."""

    loss: Any
    nll: Any
    kl: Any


class VAE:
    """A VAE with Bernoulli pixels and a Gaussian latent space (Kingma and Welling 2014).

    Parameters
    ----------
    pixels : int
        D, the pixels of an image.
    hidden : sequence of int
        Widths of the encoder's hidden layers; the decoder mirrors them.
    latent : int
        Z, the dimensions of the latent space.
    beta : float
        Weight of the KL term (1: the evidence lower bound).
    seed : int
        Seed of the initial weights, uniform in ±1/sqrt(fan_in).
    dtype : str
        "float32" to train, "float64" to check.
    backend : str or Backend
        "numpy" or "cupy".

    Attributes
    ----------
    params, grads : mapping of str to array
        Views by name: encoder.0.weight (out, in), encoder.0.bias (out,), ...
    theta, grad : array
        The same numbers as flat vectors.

    Raises
    ------
    ArgumentError
        If a size is below 1, beta is negative or the seed is.
    """

    def __init__(
        self,
        pixels: int = 784,
        hidden: Sequence[int] = (256, 128),
        latent: int = 20,
        beta: float = 1.0,
        seed: int = 0,
        dtype: str = "float32",
        backend: str | Backend = "numpy",
    ) -> None:
        hidden = tuple(hidden)
        sizes = [("pixels", pixels), ("latent", latent), *(("hidden", h) for h in hidden)]
        for name, size in sizes:
            if size < 1:
                raise ArgumentError(f"{name} must be at least 1, not {size}")
        if not (beta >= 0 and math.isfinite(beta)):
            raise ArgumentError(f"beta must be 0 or larger, not {beta}")
        if seed < 0:
            raise ArgumentError(f"the seed must be 0 or larger, not {seed}")
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise ArgumentError(f"dtype must be float32 or float64, not {dtype}")
        self.pixels, self.hidden, self.latent = pixels, hidden, latent
        self.beta, self.seed, self.dtype = beta, seed, np.dtype(dtype)
        self.backend = get_backend(backend)
        self.formulas = self.backend.formulas
        self.buffers = Buffers(self.backend)

        widths = {
            "encoder": (pixels, *hidden, 2 * latent),
            "decoder": (latent, *reversed(hidden), pixels),
        }
        self.parameters = Parameters(
            _shapes(widths), lambda shape: self.backend.empty(shape, self.dtype)
        )
        self.encoder = self._network("encoder", widths["encoder"])
        self.decoder = self._network("decoder", widths["decoder"])
        self.sampler = Reparameterize(self.backend)
        self.linears = [*reversed(self.decoder.linears), *reversed(self.encoder.linears)]

    def _network(self, name: str, widths: tuple[int, ...]) -> Sequential:
        layers: list[Any] = []
        for inputs, outputs in pairwise(widths):
            if layers:
                layers.append(ReLU(self.backend))
            linear = Linear(
                inputs,
                outputs,
                params=self.parameters,
                prefix=f"{name}.{len(layers)}.",
                seed=self.seed,
                backend=self.backend,
            )
            layers.append(linear)
        return Sequential(layers)

    @property
    def params(self) -> Mapping[str, Any]:
        """Views of the parameters by name."""
        return self.parameters.views

    @property
    def grads(self) -> Mapping[str, Any]:
        """Views of the gradients that the last step left, by name."""
        return self.parameters.grad_views

    @property
    def theta(self) -> Any:
        """All parameters as one flat vector."""
        return self.parameters.theta

    @property
    def grad(self) -> Any:
        """All gradients as one flat vector."""
        return self.parameters.grad

    # --- one step ------------------------------------------------------------------------------

    def step(self, x: Any, eps: Any) -> Terms:
        """Return the loss of a batch with this noise, and leave its gradient in `grads`.

        Parameters
        ----------
        x : array (B, D)
            Pixels in [0, 1].
        eps : array (B, Z)
            Standard normal noise, one row an image.
        """
        x, eps = self._pixels(x), self._latents(eps)
        if len(x) != len(eps) or len(x) == 0:
            raise ArgumentError(f"{len(x)} images and {len(eps)} rows of noise: give one row each")
        nll, kl = self.backward_rows(x, eps)
        self.backward_params()
        return Terms(nll + self.beta * kl, nll, kl)

    def backward_rows(self, x: Any, eps: Any, rows: slice = ALL) -> tuple[Any, Any]:
        """Pass some rows of the batch forward and back; return their part of (nll, kl).

        The parameters' gradients follow from `backward_params`, once all rows are done.
        """
        f, scale = self.formulas, 1 / len(x)
        dlogits, work = self._buffer("dlogits", x), self._buffer("work", x)
        dstats = self.buffers.get("dstats", len(x), 2 * self.latent, x.dtype)
        dmu, dlogvar = self._halves(dstats)

        stats = self.encoder.forward(x, rows)  # q(z|x)
        mu, logvar = self._halves(stats)
        z = self.sampler.forward(mu, logvar, eps, rows)  # z = mu + sigma * eps
        logits = self.decoder.forward(z, rows)  # p(x|z)

        xs, ls, dls, ws = (cut(a, rows) for a in (x, logits, dlogits, work))
        nll = f.bernoulli_nll(ls, xs, scale, ws, dls)  # value, and its gradient into dlogits
        work = self._buffer("kl work", eps)
        mus, lvs, ws, dms, dlvs = (cut(a, rows) for a in (mu, logvar, work, dmu, dlogvar))
        kl = f.gaussian_kl(mus, lvs, self.beta, scale, ws, dms, dlvs)

        dz = self.decoder.backward_input(dlogits, rows)
        self.sampler.backward(dz, dmu, dlogvar, rows)  # adds the path through z to the KL's own
        self.encoder.backward_to_first(dstats, rows)  # dmu and dlogvar are the halves of dstats
        return nll, kl

    def backward_params(self, part: slice = ALL) -> None:
        """Overwrite the gradients in a part of the flat vector, once all rows have passed."""
        for linear in self.linears:
            linear.backward_params(part)

    def parts(self, n: int) -> list[slice]:
        """Return the flat vector cut into n parts of nearly equal size, between rows of weights.

        A cut near the end of a layer is made there: products of whole layers are quicker.
        """
        ends = [0]
        for k in range(1, n):
            end = self.theta.size * k // n
            for linear in self.linears:
                weight, bias = linear.slices
                if weight.start <= end < bias.stop:
                    before, after = end - weight.start, bias.stop - end
                    if min(before, after) <= self.theta.size // 64:
                        end = weight.start if before < after else bias.stop
                    elif end < weight.stop:
                        end -= before % linear.inputs
                    break
            ends.append(end)
        ends.append(self.theta.size)
        return [slice(start, stop) for start, stop in pairwise(ends)]

    def forward_rows(self, x: Any, eps: Any, rows: slice = ALL) -> tuple[Any, Any]:
        """Return log p(x|z) and the KL of each of these rows, both (b,); no gradients."""
        f = self.formulas
        stats = self.encoder.forward(x, rows)
        mu, logvar = (cut(half, rows) for half in self._halves(stats))
        z = self.sampler.forward(*self._halves(stats), eps, rows)
        logits = cut(self.decoder.forward(z, rows), rows)
        log_likelihood = self.backend.empty((len(logits),), x.dtype)
        f.bernoulli_log_likelihood(
            logits, cut(x, rows), cut(self._buffer("work", x), rows), log_likelihood
        )
        kl = f.gaussian_kl_each(mu, logvar, self.backend.empty(mu.shape, x.dtype)).sum(axis=1)
        return log_likelihood, kl

    # --- what a model can do -------------------------------------------------------------------

    def encode(self, x: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return mu and log variance of q(z|x), each (N, Z), for pixels x (N, D) in [0, 1]."""
        stats = self._by_blocks(
            self.twin().encoder.forward, self._rows_of(x, self.pixels, "images")
        )
        return stats[:, : self.latent], stats[:, self.latent :]

    def decode(self, z: Any) -> np.ndarray:
        """Return the pixels' probabilities (N, D) for points z (N, Z) of the latent space."""
        return self._by_blocks(self.twin()._decode, self._rows_of(z, self.latent, "latent points"))

    def reconstruct(self, x: Any) -> np.ndarray:
        """Return decode(mu) for the mu of each image x (N, D): probabilities (N, D)."""
        return self._by_blocks(self.twin()._reconstruct, self._rows_of(x, self.pixels, "images"))

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Return the pixels' probabilities (n, D) for n draws of z from the prior N(0, 1)."""
        if n < 1:
            raise ArgumentError(f"the number of samples must be at least 1, not {n}")
        return self.decode(generator(seed, "sample").standard_normal((n, self.latent)))

    def log_likelihood(self, x: Any, samples: int = 100, seed: int = 0) -> np.ndarray:
        """Return the importance-weighted bound on log p(x), (N,), in nats.

        log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x) with z_k drawn from q(z|x), K = `samples` (Burda,
        Grosse and Salakhutdinov 2016, equation 8). It lies below log p(x) on average, tends to it
        as K grows, and is the evidence lower bound (beta = 1) for K = 1.
        """
        if samples < 1:
            raise ArgumentError(f"the number of samples must be at least 1, not {samples}")
        x = self._rows_of(x, self.pixels, "images")
        rng, twin = generator(seed, "importance"), self.twin()
        return np.concatenate(
            [twin._log_likelihood(self._block(block), samples, rng) for block in _blocks(x, 100)]
        )

    def _log_likelihood(self, x: Any, samples: int, rng: np.random.Generator) -> np.ndarray:
        f, weights = self.formulas, np.empty((samples, len(x)))
        mu, logvar = (self.backend.to_host(a).copy() for a in self._halves(self.encoder.forward(x)))
        out, work = self.backend.empty((len(x),), x.dtype), self._buffer("work", x)
        for k in range(samples):
            eps = rng.standard_normal(mu.shape, dtype=self.dtype)
            z = mu + np.exp(logvar / 2) * eps
            log_prior_over_q = (eps * eps - z * z + logvar).sum(axis=1) / 2
            logits = self.decoder.forward(self._block(z))
            f.bernoulli_log_likelihood(logits, x, work, out)
            weights[k] = self.backend.to_host(out) + log_prior_over_q
        top = weights.max(axis=0)
        return top + np.log(np.exp(weights - top).mean(axis=0))

    def _decode(self, z: Any) -> Any:
        logits = self.decoder.forward(z)
        return self.formulas.sigmoid(logits, self._buffer("work", logits))

    def _reconstruct(self, x: Any) -> Any:
        mu, _ = self._halves(self.encoder.forward(x))
        z = self._buffer("mu", mu)
        z[...] = mu
        return self._decode(z)

    def twin(self) -> VAE:
        """Return a model with the same parameters, in the same memory, and buffers of its own."""
        twin = copy.copy(self)
        twin.buffers = Buffers(self.backend)
        twin.encoder, twin.decoder = self.encoder.twin(), self.decoder.twin()
        twin.sampler = self.sampler.twin()
        twin.linears = [*reversed(twin.decoder.linears), *reversed(twin.encoder.linears)]
        return twin

    def fix_buffers(self, fixed: bool) -> None:
        """Refuse (or allow) new buffers for the step: other processes would not know of them."""
        for layer in (self, self.sampler, *self.encoder.layers, *self.decoder.layers):
            layer.buffers.fixed = fixed

    # --- shapes --------------------------------------------------------------------------------

    def _halves(self, stats: Any) -> tuple[Any, Any]:
        return stats[:, : self.latent], stats[:, self.latent :]

    def _buffer(self, name: str, array: Any) -> Any:
        return self.buffers.get(name, *array.shape, array.dtype)

    def _block(self, rows: Any) -> Any:
        return self.backend.asarray(rows, self.dtype)

    def _pixels(self, x: Any) -> Any:
        return self._block(_matrix(x, self.pixels, "images"))

    def _latents(self, z: Any) -> Any:
        return self._block(_matrix(z, self.latent, "rows of noise"))

    def _rows_of(self, x: Any, columns: int, what: str) -> Any:
        x = _matrix(x, columns, what)
        if len(x) == 0:
            raise ArgumentError(f"no {what} were given: at least one is needed")
        return x

    def _by_blocks(self, function: Any, rows: Any) -> np.ndarray:
        """Return function(rows) on the host, in bounded memory besides the result."""
        out = None
        for i, block in enumerate(_blocks(rows, BLOCK)):
            part = self.backend.to_host(function(self._block(block)))
            if out is None:
                out = np.empty((len(rows), part.shape[1]), part.dtype)
            out[i * BLOCK : i * BLOCK + len(part)] = part
        return out


def _shapes(widths: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every parameter: ReLU layers take the odd places between."""
    shapes: dict[str, tuple[int, ...]] = {}
    for network, sizes in widths.items():
        for i, (inputs, outputs) in enumerate(pairwise(sizes)):
            shapes[f"{network}.{2 * i}.weight"] = (outputs, inputs)
            shapes[f"{network}.{2 * i}.bias"] = (outputs,)
    return shapes


def _blocks(rows: Any, size: int) -> Iterator[Any]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _matrix(x: Any, columns: int, what: str) -> Any:
    if not hasattr(x, "shape"):
        x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] != columns:
        raise ArgumentError(f"{what} of shape {tuple(x.shape)}: expected (N, {columns})")
    return x
