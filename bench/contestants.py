"""The same training steps in minivae, PyTorch, JAX, and as bare matrix products, one per process.

`peers.py` starts this script once for each and says on standard input what to prepare and when to
run; what it compares and prints is there. All get the same weights, batches and noise.
"""

from __future__ import annotations

import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import likelihoods
import numpy as np

from minivae import VAE, load_data
from minivae import products as libraries
from minivae.noise import RowNoise, permutation
from minivae.training.steps import open_steps

LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8
PIXELS, LATENT = 784, 20
# A likelihood, or iwae:K or convolutions with Bernoulli; the plain model for who imports this.
MODEL = sys.argv[3] if __name__ == "__main__" and len(sys.argv) > 3 else "bernoulli"
LIKELIHOOD, BOUND = ("bernoulli", MODEL) if MODEL.startswith("iwae") else (MODEL, "elbo")
HIDDEN: Any = (256, 128)
if "," in MODEL:
    LIKELIHOOD, HIDDEN = "bernoulli", MODEL
DRAWS = int(BOUND.split(":")[1]) if ":" in BOUND else 1
OWN = "likelihood."  # what the names of a likelihood's own parameters begin with

# A run takes all steps of a turn and returns the loss of each, on the host when it returns.
Run = Callable[[], np.ndarray]


@cache
def mnist() -> np.ndarray:
    """Return the training images (60000, 784), uint8 or what the likelihood is for."""
    return likelihoods.data(LIKELIHOOD, load_data("mnist").train)


def batches(batch: int, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the images (N, D), the order (steps, B), and the noise (steps, B, Z)."""
    images = mnist()
    order = permutation(0, "order", 1, len(images))
    order = np.resize(order, (steps, batch))
    eps = RowNoise(0, "eps", 1).normal(0, np.empty((steps * batch, DRAWS * LATENT), np.float32))
    return images, order, eps.reshape(steps, batch, DRAWS * LATENT)


def model() -> VAE:
    """Return minivae's model."""
    likelihood = likelihoods.spec(LIKELIHOOD, PIXELS)
    return VAE(PIXELS, HIDDEN, LATENT, likelihood=likelihood, bound=BOUND)


def minivae(threads: int, library: str = "numpy") -> Callable[[int, int], Run]:
    """Take the training steps of `minivae train`; they draw their own noise, the others get it."""
    taken: list[Any] = []

    def prepare(batch: int, steps: int) -> Run:
        for before in taken:
            before.close()
        epoch, run = minivae_steps(batch, steps, threads, library)
        taken[:] = [epoch]
        return run

    return prepare


def minivae_steps(
    batch: int, steps: int, threads: int | None, library: str = "numpy"
) -> tuple[Any, Run]:
    """Return the object that takes the steps, to be closed, and the function that runs a turn."""
    from minivae.data.pixels import Source
    from minivae.optim import Adam

    images, order, _ = batches(batch, steps)
    vae = model()
    adam = Adam(vae.parameters, vae.backend, LR, BETA1, BETA2, EPS)
    epoch = open_steps(vae, adam, Source(images), batch, threads)

    def run() -> np.ndarray:
        with libraries.using(library, epoch.threads):  # other processes are forked in `begin`
            epoch.begin(order.ravel(), RowNoise(0, "eps", 1), RowNoise(0, "binarize", 1))
            return np.array([epoch.step(i) for i in range(steps)])

    return epoch, run


def products(threads: int) -> Callable[[int, int], Run]:
    """Compute the 17 products of a step and nothing else, BLAS on its own threads: the floor."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads, user_api="blas")

    def prepare(batch: int, steps: int) -> Run:
        by_rows, by_units = products_of_a_step(batch)

        def run() -> np.ndarray:
            for _ in range(steps):
                for a, b, out in (*by_rows, *by_units):
                    np.matmul(a, b, out=out)
            return np.empty(0)

        return run

    return prepare


def products_of_a_step(batch: int) -> tuple[list, list]:
    """Return (a, b, out) of all products: those with a row for each image, and the weights'."""
    rng = np.random.default_rng(0)
    by_rows, by_units = [], []
    sizes = (PIXELS, *HIDDEN, 2 * LATENT), (LATENT, *reversed(HIDDEN), PIXELS)
    for inputs, outputs in (pair for network in sizes for pair in pairwise(network)):
        x, w, y = (
            rng.standard_normal(shape, "float32")
            for shape in ((batch, inputs), (outputs, inputs), (batch, outputs))
        )
        by_rows.append((x, w.T, np.empty_like(y)))
        by_units.append((y.T, x, np.empty_like(w)))
        if inputs != PIXELS:  # nobody asks for the gradient of the data
            by_rows.append((y, w, np.empty_like(x)))
    return by_rows, by_units


def torch(threads: int, mode: str, last: bool = False) -> Callable[[int, int], Run]:
    """Take the steps in PyTorch: eager, or with its fused Adam, also compiled; channels last."""
    import torch

    nll_of = torch_nll
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # as a step of minivae does; on Intel Adam is slow without

    def prepare(batch: int, steps: int) -> Run:
        torch._dynamo.reset()
        images, order, eps = batches(batch, steps)
        data = torch.from_numpy(images)  # bytes: quicker to gather than floats at every size
        order, eps = torch.from_numpy(order), torch.from_numpy(eps)
        layout = torch.channels_last if last else torch.contiguous_format
        encoder, decoder = (one.to(memory_format=layout) for one in torch_networks())
        params = model().params.items()
        own = {
            name.removeprefix(OWN): torch.tensor(np.array(view), requires_grad=True)
            for name, view in params
            if name.startswith(OWN) and LIKELIHOOD != "gaussian-optimal"  # computes it
        }
        parameters = [*encoder.parameters(), *decoder.parameters(), *own.values()]
        adam = torch.optim.Adam(parameters, LR, (BETA1, BETA2), EPS, fused=mode != "eager")

        def loss_of(rows: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
            x = rows.to(torch.float32).div_(255) if rows.dtype == torch.uint8 else rows
            mu, logvar = encoder(x).chunk(2, dim=1)
            if DRAWS == 1:
                z = mu + (0.5 * logvar).exp() * noise
                kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum()
                return (nll_of(decoder(z), x, own).sum() + kl) / len(x)
            eps = noise.view(len(x), DRAWS, LATENT)
            z = mu[:, None] + (0.5 * logvar).exp()[:, None] * eps
            log_ratio = 0.5 * (eps.square() + logvar[:, None] - z.square()).sum(2)  # log p(z)/q(z)
            eta = decoder(z.flatten(0, 1)).view(len(x), DRAWS, -1)
            log_w = log_ratio - nll_of(eta, x[:, None].expand_as(eta), own).sum(2)
            return -(log_w.logsumexp(1) - math.log(DRAWS)).mean()

        if mode == "compile":
            loss_of = torch.compile(loss_of, dynamic=False)

        def run() -> np.ndarray:
            losses = []
            for i in range(steps):
                adam.zero_grad(set_to_none=True)
                loss = loss_of(data.index_select(0, order[i]), eps[i])
                loss.backward()
                adam.step()
                losses.append(loss.detach())
            return torch.stack(losses).numpy()

        return run

    return prepare


def torch_nll(eta: Any, x: Any, own: dict[str, Any]) -> Any:
    """Return -log p of each pixel in PyTorch, as its users would write it."""
    import torch
    from torch.nn import functional as F

    if LIKELIHOOD == "bernoulli":
        return F.binary_cross_entropy_with_logits(eta, x, reduction="none")
    m = SimpleNamespace(
        **{name: getattr(torch, name) for name in likelihoods.FUNCTIONS},
        softplus=F.softplus,
        log_softmax=lambda l: F.log_softmax(l, -1),
    )
    return likelihoods.nll(LIKELIHOOD, m, eta, x, own)


def torch_networks() -> tuple[Any, Any]:
    """Return encoder and decoder as PyTorch users write them, with minivae's initial weights."""
    import torch
    from torch import nn

    params = model().params

    def network(name: str) -> nn.Sequential:
        """Return layers of those weights; minivae's rows have the channels last."""
        weights = [params[key] for key in params if key.startswith(name) and key.endswith("weight")]
        biases = [params[key] for key in params if key.startswith(name) and key.endswith("bias")]
        layers: list[nn.Module] = []
        channels = 1 if weights[0].ndim == 4 else 0  # of the pictures that come next; 0: widths
        if channels:
            layers.append(nn.Unflatten(1, (1, math.isqrt(PIXELS), math.isqrt(PIXELS))))
        for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
            following = weights[i + 1] if i + 1 < len(weights) else w
            if w.ndim == 4:
                kind = nn.Conv2d if name == "encoder" else nn.ConvTranspose2d
                sides = w.shape[1::-1] if name == "encoder" else w.shape[:2]
                layer: nn.Module = kind(*sides, 4, 2, 1)
                channels = sides[1]
            else:
                w, b = np.array(w), np.array(b)
                if channels:
                    layers.append(nn.Flatten())
                    w = w.reshape(len(w), -1, channels).swapaxes(1, 2).reshape(len(w), -1)
                    channels = 0
                layer = nn.Linear(*w.shape[::-1])
                if following.ndim == 4:
                    channels = len(following)
                    w = w.reshape(-1, channels, w.shape[1]).swapaxes(0, 1).reshape(w.shape)
                    b = b.reshape(-1, channels).T.reshape(-1)
            layer.load_state_dict({"weight": torch.tensor(w), "bias": torch.tensor(b)})
            layers += [layer, nn.ReLU()]
            if w.ndim == 2 and channels:
                side = math.isqrt(len(w) // channels)
                layers.append(nn.Unflatten(1, (channels, side, side)))
        layers[-1] = nn.Flatten()
        return nn.Sequential(*layers)

    return network("encoder"), network("decoder")


def jax(mode: str) -> Callable[[int, int], Run]:
    """Take the steps in JAX: one jitted call each with donated state, or all in one lax.scan."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    from jax import lax
    from jax import numpy as jnp

    functions = SimpleNamespace(
        **{name: getattr(jnp, name, None) for name in likelihoods.FUNCTIONS},
        softplus=lambda l: jnp.maximum(l, 0) + jnp.log1p(jnp.exp(-jnp.abs(l))),
        log_softmax=jax.nn.log_softmax,
    )
    functions.lgamma = jax.scipy.special.gammaln

    def layers(params: dict, name: str, x: jax.Array) -> jax.Array:
        places = [key[:-7] for key in params if key.startswith(name) and key.endswith("weight")]
        for place in places:
            w, b = params[f"{place}.weight"], params[f"{place}.bias"]
            if w.ndim == 4:  # 4x4 with stride 2 on pictures with the channels last, or its way back
                channels = w.shape[name == "encoder"]
                side = math.isqrt(x.size // len(x) // channels)
                how: dict = {"window_strides": (2, 2), "padding": [(1, 1)] * 2}
                if name == "decoder":
                    w = jnp.flip(w, (2, 3)).swapaxes(0, 1)
                    how = {
                        "window_strides": (1, 1),
                        "padding": [(2, 2)] * 2,
                        "lhs_dilation": (2, 2),
                    }
                x = x.reshape(len(x), side, side, channels)
                shapes = "NHWC", "OIHW", "NHWC"
                x = lax.conv_general_dilated(x, w, dimension_numbers=shapes, **how) + b
            else:
                x = x.reshape(len(x), -1) @ w.T + b
            x = jnp.maximum(x, 0) if place != places[-1] else x.reshape(len(x), -1)
        return x

    def loss_of(params: dict, x: jax.Array, noise: jax.Array) -> jax.Array:
        mu, logvar = jnp.split(layers(params, "encoder", x), 2, axis=1)
        if DRAWS == 1:
            eta = layers(params, "decoder", mu + jnp.exp(logvar / 2) * noise)
            kl = 0.5 * jnp.sum(mu**2 + jnp.exp(logvar) - 1 - logvar)
            return (jnp.sum(nll_of(params, eta, x)) + kl) / len(x)
        eps = noise.reshape(len(x), DRAWS, LATENT)
        z = mu[:, None] + jnp.exp(logvar / 2)[:, None] * eps
        log_ratio = 0.5 * jnp.sum(eps**2 + logvar[:, None] - z**2, 2)  # log p(z)/q(z)
        eta = layers(params, "decoder", z.reshape(-1, LATENT)).reshape(len(x), DRAWS, -1)
        log_w = log_ratio - jnp.sum(nll_of(params, eta, x[:, None]), 2)
        return -jnp.mean(jax.scipy.special.logsumexp(log_w, 1) - math.log(DRAWS))

    def nll_of(params: dict, eta: jax.Array, x: jax.Array) -> jax.Array:
        own = {key.removeprefix(OWN): params[key] for key in params if key.startswith(OWN)}
        return likelihoods.nll(LIKELIHOOD, functions, eta, x, own)

    def step(state: tuple, rows: jax.Array, noise: jax.Array) -> tuple[tuple, jax.Array]:
        params, m, v, t = state
        t = t + 1
        x = rows.astype(jnp.float32) / 255 if rows.dtype == jnp.uint8 else rows
        loss, grad = jax.value_and_grad(loss_of)(params, x, noise)
        m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, grad)
        v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, grad)
        a, c = LR / (1 - BETA1**t), 1 / (1 - BETA2**t)
        params = jax.tree.map(lambda p, m, v: p - a * m / (jnp.sqrt(v * c) + EPS), params, m, v)
        return (params, m, v, t), loss

    def prepare(batch: int, steps: int) -> Run:
        images, order, eps = (jnp.asarray(a) for a in batches(batch, steps))
        # Measured: here its gather of bytes is slower than that of floats.
        if images.dtype == jnp.uint8 and batch < 256:
            images = images.astype(jnp.float32) / 255
        params = {name: jnp.array(view) for name, view in model().params.items()}
        zeros = [jax.tree.map(jnp.zeros_like, params) for _ in range(2)]
        state = (params, *zeros, jnp.float32(0))

        def one(state: tuple, i: jax.Array, images: jax.Array, order: jax.Array, eps: jax.Array):
            state, loss = step(state, images[order[i]], eps[i])
            return state, i + 1, loss

        def epoch(state: tuple, images: jax.Array, order: jax.Array, eps: jax.Array):
            return lax.scan(
                lambda state, at: step(state, images[at[0]], at[1]), state, (order, eps)
            )

        one, epoch = jax.jit(one, donate_argnums=(0, 1)), jax.jit(epoch, donate_argnums=0)

        def run() -> np.ndarray:
            nonlocal state
            if mode == "scan":
                state, losses = epoch(state, images, order, eps)
                jax.block_until_ready(state)
                return np.asarray(losses)
            i, losses = jnp.int32(0), []
            for _ in range(steps):
                state, i, loss = one(state, i, images, order, eps)
                losses.append(loss)
            jax.block_until_ready(state)
            return np.array(losses)

        return run

    return prepare


CONTESTANTS: dict[str, Callable[[int], Callable[[int, int], Run]]] = {
    "minivae": minivae,
    "minivae, oneDNN": lambda threads: minivae(threads, "onednn"),
    "minivae, 1 thread": lambda threads: minivae(1),
    "torch eager": lambda threads: torch(threads, "eager"),
    "torch fused Adam": lambda threads: torch(threads, "fused"),
    "torch channels last": lambda threads: torch(threads, "fused", last=True),
    "torch.compile": lambda threads: torch(threads, "compile"),
    "jax jit": lambda threads: jax("jit"),
    "jax scan": lambda threads: jax("scan"),
    "products alone": products,
}


def serve(prepare: Callable[..., Run]) -> None:
    """Answer "prepare ..." and "run" lines, until standard input ends."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes elsewhere
    run = None
    for line in sys.stdin:
        verb, *words = line.split()
        if verb == "prepare":
            run = prepare(*(int(word) if word.isdigit() else word for word in words))
        start = time.perf_counter()
        losses = run()
        seconds = time.perf_counter() - start
        found = {"seconds": seconds, "losses": [float(x) for x in losses]}
        found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answer.write(json.dumps(found) + "\n")
        answer.flush()


if __name__ == "__main__":
    serve(CONTESTANTS[sys.argv[1]](int(sys.argv[2])))
