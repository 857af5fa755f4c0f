"""Contracts on models so small that every image can be summed over and z integrated over.

The tiny models are of the given model's class; the contracts on the model itself are in contracts.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from minivae.gradcheck.law import SIGMAS, Contract

PIXELS = 6
ROUNDING = 1e-9


def tiny_contracts(vae: Any, seed: int) -> Iterator[Contract]:
    """Yield the contracts that need full sums: over all images, and over a single latent dimension."""
    rng = np.random.default_rng(seed)
    yield from _all_images(_tiny(vae, 2, seed, rng), rng)
    yield from _bounds(_tiny(vae, 1, seed, rng), rng)


def _tiny(vae: Any, latent: int, seed: int, rng: np.random.Generator) -> Any:
    """Return a model of the same class whose q(z|x) is wider than the prior.

    The importance weights p(x|z) p(z) / q(z|x) are then bounded, so their mean has a standard error.
    """
    model = type(vae)(PIXELS, hidden=(5,), latent=latent, beta=vae.beta, seed=seed, dtype="float64")
    for one in model.params.values():
        one[...] = rng.normal(0, 0.7, one.shape)
    weight, bias = head_of(model)
    weight *= 0.3
    bias[latent:] = 0.8
    return model


def head_of(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias of the encoder's last layer, which gives mu and log variance."""
    names = [name for name in model.params if name.startswith("encoder.")]
    weight = [name for name in names if name.endswith("weight")][-1]
    bias = [name for name in names if name.endswith("bias")][-1]
    return model.params[weight], model.params[bias]


def _all_images(model: Any, rng: np.random.Generator) -> Iterator[Contract]:
    for one in head_of(model):
        one[...] = 0
    z = rng.standard_normal((1, model.latent))
    images = np.array(list(product((0.0, 1.0), repeat=PIXELS)))
    total = sum(np.exp(-float(model.step(image[None], z).nll)) for image in images)
    law = f"exp(-nll) of all {len(images)} binary images of {PIXELS} pixels sums to 1, for any z"
    yield Contract("images sum to 1", float(total), 1.0, ROUNDING, law)


def _bounds(model: Any, rng: np.random.Generator) -> Iterator[Contract]:
    image = (rng.uniform(size=(1, PIXELS)) < 0.5).astype(float)
    grid = np.linspace(-9, 9, 4001)
    log_likelihood = _log_likelihood(model, image, grid)
    log_prior = -0.5 * grid**2 - 0.5 * np.log(2 * np.pi)
    evidence = np.trapezoid(np.exp(log_likelihood + log_prior), grid)

    mu, logvar = (float(np.asarray(one)[0, 0]) for one in model.encode(image))
    sigma = np.exp(logvar / 2)
    points = mu + sigma * np.linspace(-9, 9, 4001)
    log_q = -0.5 * ((points - mu) / sigma) ** 2 - 0.5 * np.log(2 * np.pi) - np.log(sigma)
    log_p = _log_likelihood(model, image, points) - 0.5 * points**2 - 0.5 * np.log(2 * np.pi)
    bound = np.trapezoid(np.exp(log_q) * (log_p - log_q), points)

    draws = np.empty(3000)
    for i, eps in enumerate(rng.standard_normal((len(draws), 1, 1))):
        terms = model.step(image, eps)
        draws[i] = -float(terms.nll) - float(terms.kl)
    error = float(draws.std()) / len(draws) ** 0.5 + 1e-12
    law = "-(nll + kl), averaged over the noise, is E[log p(x|z) + log p(z) - log q(z)], integrated"
    yield Contract("bound is its integral", float(draws.mean()), bound, SIGMAS * error, law)
    above = max(float(draws.mean()) - float(np.log(evidence)), 0.0)
    law = "the bound lies below log p(x), integrated"
    yield Contract("bound is a bound", above, 0.0, SIGMAS * error, law)
    if not hasattr(model, "log_likelihood"):
        return
    runs = np.array(
        [np.exp(model.log_likelihood(image, samples=50, seed=run)[0]) for run in range(40)]
    )
    error = float(runs.std(ddof=1)) / len(runs) ** 0.5 + 1e-12
    law = "importance sampling is an unbiased estimate of p(x), integrated"
    yield Contract("importance sampling", float(runs.mean()), evidence, SIGMAS * error, law)


def _log_likelihood(model: Any, image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return log p(image | z) for z at the points, from the probabilities that decode gives."""
    mean = np.asarray(model.decode(points[:, None]), float)
    return np.log(np.where(image > 0, mean, 1 - mean)).sum(axis=1)
