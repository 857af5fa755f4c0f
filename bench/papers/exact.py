"""Optima that mathematics gives: probabilistic PCA by a linear VAE, and the limit of IWAE's bound.

Lucas, Tucker, Grosse and Norouzi 2019, "Don't blame the ELBO!": a linear VAE with Gaussian pixels
of one learned variance has probabilistic PCA (Tipping and Bishop 1999) as its optimum, where the
evidence lower bound is log p(x) itself. Data: scikit-learn's digits, the 61 pixels that are not
always black, over 16. The closed form is that of the covariance's eigenvalues; the model's own
log p(x) is N(x; b, W W^T + s^2), exact too.

Burda, Grosse and Salakhutdinov 2016, theorem 1: the bound rises with K, and tends to log p(x): on
the same model, trained for few steps so that q is not the posterior.

    python bench/papers/exact.py [--latents 2] [--steps 3000]
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from sklearn.datasets import load_digits

from minivae import VAE, Adam
from minivae.noise import generator


def digits() -> np.ndarray:
    """Return the images' live pixels, (1797, 61)."""
    x = load_digits().data / 16
    return x[:, x.max(axis=0) > 0]


def closed_form(x: np.ndarray, k: int) -> float:
    """Return the largest mean log likelihood of probabilistic PCA with k dimensions, in nats."""
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    rest = values[k:].mean()
    logs = np.log(values[:k]).sum() + (len(values) - k) * math.log(rest)
    return -0.5 * float(len(values) * (math.log(2 * math.pi) + 1) + logs)


def log_p(vae: VAE, x: np.ndarray) -> np.ndarray:
    """Return the model's log N(x; b, W W^T + s^2) of each row, in nats."""
    w, b = vae.params["decoder.0.weight"], vae.params["decoder.0.bias"]
    c = w @ w.T + math.exp(float(vae.params["likelihood.logvar"][0])) * np.eye(len(b))
    r = x - b
    squares = (r * np.linalg.solve(c, r.T).T).sum(axis=1)
    return -0.5 * (squares + np.linalg.slogdet(2 * math.pi * c)[1])


def train(x: np.ndarray, k: int, steps: int, rate: float = 0.02) -> VAE:
    """Return a linear VAE after so many steps on all images, its rate falling along a cosine."""
    vae = VAE(x.shape[1], (), k, likelihood="gaussian", dtype="float64")
    adam = Adam(vae.parameters, vae.backend, rate)
    rng = generator(0, "eps")
    for step in range(steps):
        adam.factor = 0.5 * (1 + math.cos(math.pi * step / steps))
        vae.step(x, rng.standard_normal((len(x), k)))
        adam.step()
    return vae


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latents", default="2")
    parser.add_argument("--steps", type=int, default=3000)
    options = parser.parse_args()
    x = digits()
    print("| k | closed form | log p(x) of the trained model | its bound | below the optimum |")
    print("|---|---|---|---|---|")
    for k in map(int, options.latents.split(",")):
        vae, best = train(x, k, options.steps), closed_form(x, k)
        eps = generator(1, "eps").standard_normal((200, len(x), k))
        bound = -np.mean([vae.step(x, one).loss for one in eps])
        reached = log_p(vae, x).mean()
        print(f"| {k} | {best:.4f} | {reached:.4f} | {bound:.4f} | {best - reached:.4f} |")
    vae = train(x, 5, 300)
    exact = log_p(vae, x).mean()
    print(f"\nafter 300 steps, k = 5: log p(x) {exact:.4f}\n\n| K | bound | error |\n|---|---|---|")
    log_w = np.array([weights(vae, x, seed) for seed in range(1024)])  # (draws, images)
    for samples in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024):
        groups = log_w.reshape(-1, samples, len(x))
        top = groups.max(axis=1)
        values = top + np.log(np.exp(groups - top[:, None]).mean(axis=1))
        spread = values.mean(axis=1).std(ddof=1) / len(groups) ** 0.5 if len(groups) > 1 else None
        shown = "-" if spread is None else f"{spread:.4f}"
        print(f"| {samples} | {values.mean():.4f} | {shown} |")


def weights(vae: VAE, x: np.ndarray, seed: int) -> np.ndarray:
    """Return one log weight of each image."""
    return vae.weighted_bound(x, 1, generator(seed, "importance"))


if __name__ == "__main__":
    main()
