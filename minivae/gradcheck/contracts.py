"""What must hold of a VAE though no gradient check sees it: wrong values with matching gradients.

Each contract compares two independent ways to one number; those that need a tiny model, where sums
and integrals can be done in full, are in tiny.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minivae.errors import ArgumentError
from minivae.gradcheck.clone import clone
from minivae.gradcheck.law import SIGMAS, Contract, Contracts
from minivae.gradcheck.subject import Array
from minivae.gradcheck.threads import one_thread
from minivae.gradcheck.tiny import head_of, tiny_contracts
from minivae.inputs import checked, said, typed

DRAWS = 20_000
ROUNDING = 1e-10


@typed
def check_contracts(vae: Any, x: Any = None, seed: int = 0) -> Contracts:
    """Check what must hold of a VAE besides its gradients.

    Parameters
    ----------
    vae : VAE
        On the NumPy backend. It is copied in float64 and left as it was.
    x : array (B, D), optional
        Images with pixels in [0, 1]; random ones if left out.
    seed : int
        Of the draws.

    Returns
    -------
    Contracts
    """
    if getattr(getattr(vae, "backend", None), "name", "numpy") != "numpy":
        raise ArgumentError("contracts are checked on the NumPy backend: load the model with it")
    if not all(hasattr(vae, name) for name in ("pixels", "latent", "step", "params")):
        raise ArgumentError(f"vae must be a VAE, not {said(vae)}")
    model, rng = clone(vae, float), np.random.default_rng(seed)
    if x is None:
        x = rng.uniform(size=(5, vae.pixels))
    x = checked(x, vae.pixels, "images x").astype(float)
    eps = rng.standard_normal((len(x), getattr(model, "noise", model.latent)))
    with one_thread():
        found = [
            *_terms(model, x, eps),
            *_rows(model, x, eps, rng),
            *_kl(clone(model), x, rng),
            *_draws(model, rng),
            *_probabilities(clone(model), rng),
            *tiny_contracts(vae, seed),
        ]
    return Contracts(found)


def _kind(model: Any, part: str, usual: str) -> str:
    """Return which likelihood, posterior, prior or bound a model has; the usual if it says none."""
    return getattr(getattr(model, part, None), "kind", usual)


def _gaussian(model: Any) -> bool:
    """Whether z is mu + sigma eps; a flow makes something else of that."""
    return _kind(model, "posterior", "gaussian") in ("gaussian", "full")


def _terms(model: Any, x: Array, eps: Array) -> Iterator[Contract]:
    loss, nll, kl = map(float, model.step(x, eps))
    together = nll + model.beta * kl
    yield Contract(
        "terms add up", loss, together, ROUNDING * abs(nll), "the loss is nll + beta * kl"
    )


def _rows(model: Any, x: Array, eps: Array, rng: np.random.Generator) -> Iterator[Contract]:
    """Compare a batch with its rows one by one, and with its rows in another order."""
    whole = np.array(model.step(x, eps), float)
    gradient = model.grad.copy()
    apart, gradients = np.zeros(3), np.zeros_like(gradient)
    for row in range(len(x)):
        apart += np.array(model.step(x[row : row + 1], eps[row : row + 1]), float) / len(x)
        gradients += model.grad / len(x)
    order = rng.permutation(len(x))
    turned = np.array(model.step(x[order], eps[order]), float)
    law = "loss, nll, kl and gradient of a batch are the means over its rows"
    size = float(np.linalg.norm(gradient))
    if not any(layer.crosses_rows for layer in getattr(model, "leaves", list)()):
        for name, one, other in zip(("loss", "nll", "kl"), whole, apart, strict=True):
            room = ROUNDING * max(abs(one), abs(other), 1.0)
            yield Contract(f"batch size ({name})", one, other, room, law)
        off = float(np.linalg.norm(gradient - gradients)) / size if size else np.inf
        yield Contract("batch size (gradient)", off, 0.0, ROUNDING, law)
    off = float(np.abs(whole - turned).max() / np.abs(whole).max())
    off = max(off, float(np.linalg.norm(gradient - model.grad)) / (size or 1.0))
    yield Contract("row order", off, 0.0, ROUNDING, "the order of a batch's rows does not matter")


def _kl(model: Any, x: Array, rng: np.random.Generator) -> Iterator[Contract]:
    """Hold the closed form of a Gaussian posterior and N(0, 1) against draws; others are drawn.

    Free bits keep it above a least, which is all that can be said of theirs.
    """
    bound = _kind(model, "bound", "elbo")
    plain = _kind(model, "posterior", "gaussian") == "gaussian"
    plain = plain and _kind(model, "prior", "normal") == "normal"
    if not plain or bound not in ("elbo", "freebits"):
        return
    weight, bias = head_of(model)
    latents, kept = model.latent, bias.copy()
    least = np.inf
    for _ in range(10):
        bias[...] = kept + rng.normal(0, 1, bias.shape)
        least = min(least, float(model.step(x, np.zeros((len(x), latents))).kl))
    mu, logvar = (one.astype(float).copy() for one in model.encode(x))
    closed = float(model.step(x, np.zeros((len(x), latents))).kl)
    draws = np.zeros(DRAWS)
    for row in range(len(x)):  # log q(z|x) - log p(z), averaged over draws of z from q
        eps = rng.standard_normal((DRAWS, latents))
        z = mu[row] + np.exp(logvar[row] / 2) * eps
        draws += 0.5 * (z * z - eps * eps - logvar[row]).sum(axis=1) / len(x)
    room = SIGMAS * float(draws.std()) / DRAWS**0.5
    law = "kl is the mean over images of E[log q(z|x) - log p(z)], z from q, summed over dimensions"
    yield Contract("KL is not negative", min(least, 0.0), 0.0, ROUNDING, "no KL is below 0")
    if bound == "freebits":
        return
    yield Contract("KL is its expectation", closed, float(draws.mean()), room, law)
    weight[...] = 0
    bias[...] = 0
    zero = float(model.step(x, np.zeros((len(x), latents))).kl)
    yield Contract("KL is 0 at the prior", zero, 0.0, ROUNDING, "kl is 0 for mu = logvar = 0")


def _draws(model: Any, rng: np.random.Generator) -> Iterator[Contract]:
    if not _gaussian(model):
        return
    mu, logvar = rng.uniform(-2, 2, (2, model.latent))
    stats = np.zeros((DRAWS, getattr(model.posterior, "columns", 2 * model.latent)))
    stats[:, : 2 * model.latent] = *mu, *logvar
    z = np.array(model.posterior.draw(stats, rng.standard_normal((DRAWS, model.latent))))
    sigma = np.exp(logvar / 2)
    error = (z.mean(axis=0) - mu) / (sigma / DRAWS**0.5)
    law = "z has the mean mu (in standard errors, the dimension farthest off)"
    yield Contract("z has mean mu", float(np.abs(error).max()), 0.0, SIGMAS, law)
    error = (z.std(axis=0) - sigma) / (sigma / (2 * DRAWS) ** 0.5)
    law = "z has the deviation exp(logvar / 2) (in standard errors, the dimension farthest off)"
    yield Contract("z has deviation sigma", float(np.abs(error).max()), 0.0, SIGMAS, law)


def _probabilities(model: Any, rng: np.random.Generator) -> Iterator[Contract]:
    """Compare what decode and sample give with the probabilities that the likelihood implies."""
    n = 2000
    shown = np.asarray(model.sample(n, seed=int(rng.integers(2**31))), float)
    z = rng.standard_normal((n, model.latent))
    z = model.prior.draw(z, rng) if hasattr(model, "prior") else z
    decoded = np.asarray(model.decode(z), float)
    error = (shown.var(axis=0) / n + decoded.var(axis=0) / n) ** 0.5 + 1e-12
    off = np.abs(shown.mean(axis=0) - decoded.mean(axis=0)) / error
    law = "pixels of sample average to the decoder's over the prior (in standard errors)"
    yield Contract("sample has the decoder's mean", float(off.max()), 0.0, SIGMAS + 1, law)
    if _kind(model, "likelihood", "bernoulli") != "bernoulli" or not _gaussian(model):
        return

    for one in head_of(model):  # mu = logvar = 0, so that z is the given noise
        one[...] = 0
    z = rng.standard_normal((1, model.latent))
    mean = np.asarray(model.decode(z), float)[0]
    image = np.zeros((1, model.pixels))
    eps = np.tile(z, getattr(model, "noise", model.latent) // model.latent)  # all draws alike
    dark = float(model.step(image, eps).nll)
    off = []
    for pixel in rng.choice(model.pixels, min(model.pixels, 16), replace=False):
        image[:] = 0
        image[0, pixel] = 1
        logit = dark - float(model.step(image, eps).nll)  # log p(1) - log p(0)
        off.append(abs(mean[pixel] - 1 / (1 + np.exp(-logit))))
    law = "decode gives the probability that the likelihood gives to a pixel of 1"
    yield Contract("decode is the likelihood's", float(np.max(off)), 0.0, 1e-8, law)
