"""Loaiza-Ganem and Cunningham 2019, "The continuous Bernoulli": what the missing constant costs.

Their protocol for MNIST: 784-500-500-20, batches of 50 of grey images, Adam at 0.001; here with
ReLU and no dropout, and on Fashion-MNIST too. Two models are trained, with the continuous Bernoulli
and, as is common, with the Bernoulli's formula of grey pixels. Both are judged as densities on
[0, 1], by the continuous Bernoulli's bound: the second one with its output as the parameter, and
with the parameter whose mean is its output. The paper finds that neither reading makes up for the
constant. Besides, the accuracy of 15 nearest neighbours on mu, as there.

    python bench/papers/continuous.py [--epochs 20] [--data mnist fashion-mnist] [--threads 1]
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from minivae import VAE, load_data, train
from minivae.noise import generator
from minivae.parts.continuous_bernoulli import log_normaliser

LATENT, BLOCK = 20, 1000


def logits_of(mean: np.ndarray) -> np.ndarray:
    """Return the l with A'(l) = mean, by halving."""
    low, high = np.full_like(mean, -2e4), np.full_like(mean, 2e4)
    for _ in range(60):
        middle = (low + high) / 2
        slope = np.empty_like(mean)
        log_normaliser(middle, slope)
        low, high = np.where(slope < mean, middle, low), np.where(slope < mean, high, middle)
    return (low + high) / 2


def bounds(vae: VAE, images: np.ndarray) -> dict[str, float]:
    """Return the ELBO of the continuous Bernoulli in both readings, and the KL; nats per image."""
    rng, sums = generator(0, "bench"), dict.fromkeys(("parameter", "mean", "kl"), 0.0)
    for start in range(0, len(images), BLOCK):
        x = images[start : start + BLOCK].reshape(-1, 784) / np.float64(255)
        mu, logvar = (one.astype(float) for one in vae.encode(x.astype(np.float32)))
        z = mu + np.exp(logvar / 2) * rng.standard_normal(mu.shape)
        eta = vae.decoder.forward(z.astype(np.float32)).astype(float)
        kl = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum()
        probability = np.clip(0.5 + 0.5 * np.tanh(eta / 2), 1e-4, 1 - 1e-4)  # cut as theirs
        for name, one in (("parameter", eta), ("mean", logits_of(probability))):
            sums[name] += (x * one - log_normaliser(one, np.empty_like(one))).sum() - kl
        sums["kl"] += kl
    return {name: float(one) / len(images) for name, one in sums.items()}


def neighbours(vae: VAE, data: object) -> float:
    """Return how often 15 nearest neighbours among the training images' mu tell the class."""
    codes = [vae.encode(rows)[0] for rows in (data.train, data.test)]
    known = KNeighborsClassifier(15).fit(codes[0], data.train_labels)
    return float((known.predict(codes[1]) == data.test_labels).mean())


def main() -> None:
    """Train both on each data set and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--data", nargs="+", default=["mnist", "fashion-mnist"])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print("| data | trained with | ELBO, output the parameter | output the mean | KL | 15-nn |")
    print("|---|---|---|---|---|---|")
    for name in options.data:
        data = load_data(name)
        for likelihood in ("continuous-bernoulli", "bernoulli"):
            vae = VAE(784, (500, 500), LATENT, likelihood=likelihood, seed=0)
            for _ in train(
                vae, data, epochs=options.epochs, batch_size=50, lr=1e-3, threads=options.threads
            ):
                pass
            found = bounds(vae, data.test)
            mean = "-" if likelihood != "bernoulli" else f"{found['mean']:.1f}"
            print(
                f"| {name} | {likelihood} | {found['parameter']:.1f} | {mean} | {found['kl']:.1f} "
                f"| {neighbours(vae, data):.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
