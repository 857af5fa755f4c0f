"""Contracts on models so small that every image can be summed over and z integrated over.

The tiny models are of the given model's class; contracts on the model itself are in contracts.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from minivae.gradcheck.law import SIGMAS, Contract

PIXELS = 6
ROUNDING = 1e-9
BATCHES, ROWS = 100, 20  # draws of the noise


def tiny_contracts(vae: Any, seed: int) -> Iterator[Contract]:
    """Yield the contracts that need full sums: over all images, over one latent dimension."""
    rng = np.random.default_rng(seed)
    yield from _all_images(_tiny(vae, 2, seed, rng), rng)
    yield from _bounds(_tiny(vae, 1, seed, rng), rng)


def _tiny(vae: Any, latent: int, seed: int, rng: np.random.Generator) -> Any:
    """Return a model of the same class whose q(z|x) is wider than the prior.

    The importance weights p(x|z) p(z) / q(z|x) are then bounded: their mean has a standard error.
    """
    sizes = {"hidden": (5,), "latent": latent}
    model = type(vae)(PIXELS, **sizes, beta=vae.beta, seed=seed, dtype="float64")
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
    q = np.exp(-0.5 * ((points - mu) / sigma) ** 2) / (sigma * (2 * np.pi) ** 0.5)
    log_p = _log_likelihood(model, image, points) - 0.5 * points**2 - 0.5 * np.log(2 * np.pi)
    log_weight = log_p - np.log(q)
    bound = np.trapezoid(q * log_weight, points)

    total = np.zeros(2)
    for eps in rng.standard_normal((BATCHES, ROWS, 1)):
        total += np.array(model.step(np.repeat(image, ROWS, axis=0), eps)[1:], float)
    drawn = -float(total.sum()) / BATCHES
    variance = np.trapezoid(q * (log_weight - bound) ** 2, points)
    room = SIGMAS * float((variance / (BATCHES * ROWS)) ** 0.5) + ROUNDING
    law = "-(nll + kl), averaged over the noise, is E[log p(x|z) + log p(z) - log q(z)], integrated"
    yield Contract("bound is its integral", drawn, float(bound), room, law)
    above = max(drawn - float(np.log(max(evidence, 1e-300))), 0.0)
    law = "the bound lies below log p(x), integrated"
    yield Contract("bound is a bound", above, 0.0, room, law)
    if not hasattr(model, "log_likelihood"):
        return
    runs = [np.exp(model.log_likelihood(image, ROWS, seed=run)[0]) for run in range(BATCHES)]
    variance = np.trapezoid(q * (np.exp(log_weight) - evidence) ** 2, points)
    room = SIGMAS * float((variance / (BATCHES * ROWS)) ** 0.5) + ROUNDING * evidence
    law = "importance sampling is an unbiased estimate of p(x), integrated"
    yield Contract("importance sampling", float(np.mean(runs)), float(evidence), room, law)


def _log_likelihood(model: Any, image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return log p(image | z) for z at the points, from the probabilities that decode gives."""
    mean = np.asarray(model.decode(points[:, None]), float)
    # far out a probability rounds to 0; the density there, e^-40, makes any finite logarithm do
    return np.log(np.maximum(np.where(image > 0, mean, 1 - mean), 1e-300)).sum(axis=1)
