"""Rainforth and others 2018, "Tighter variational bounds are not necessarily better"; DReG.

Their section 4: x in R^D from p(z) = N(0, 1), p(x|z) = N(z, 1), q(z|x) = N(A x + b, 2/3) with A
and b moved off the optimum (x/2, 0) by N(0, 0.01^2). The signal-to-noise ratio |mean| / deviation
of each number of the gradient, over draws of the noise for one image, falls with the samples as
K^-1/2 for the encoder's IWAE gradient, and rises as K^1/2 for the decoder's. Tucker and others:
doubly reparameterized, the encoder's rises as K^1/2 too, and its variance is smaller, its mean the
same: the mean of the noisy one, which would take millions of draws, is taken from it. Slopes are
fitted on log axes to K >= 8.

    python bench/papers/snr.py [--draws 5000] [--size 5]
"""

from __future__ import annotations

import argparse

import numpy as np

from minivae import VAE
from minivae.noise import generator

SAMPLES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def model(size: int, bound: str) -> VAE:
    """Return the paper's model: encoder and decoder are linear, the pixels Gaussian."""
    vae = VAE(size, (), size, likelihood="gaussian", dtype="float64", bound=bound)
    rng = generator(0, "start")
    p = vae.params
    for name in ("encoder.0.weight", "encoder.0.bias", "decoder.0.bias", "likelihood.logvar"):
        p[name][...] = 0
    p["decoder.0.weight"][...] = np.eye(size)
    p["encoder.0.weight"][:size] = np.eye(size) / 2 + 0.01 * rng.standard_normal((size, size))
    p["encoder.0.bias"][:size] = 0.01 * rng.standard_normal(size)
    p["encoder.0.bias"][size:] = np.log(2 / 3)
    return vae


def gradients(size: int, bound: str, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of the encoder's and the decoder's biases, (draws, numbers) each."""
    vae, rng = model(size, bound), generator(1, "eps")
    x = generator(2, "x").standard_normal((1, size)) * 2**0.5
    encoder, decoder = [], []
    for _ in range(draws):
        vae.step(x, rng.standard_normal((1, vae.noise)))
        encoder.append(vae.grads["encoder.0.bias"][:size].copy())
        decoder.append(vae.grads["decoder.0.bias"].copy())
    return np.array(encoder), np.array(decoder)


def ratio(gradient: np.ndarray, mean: np.ndarray) -> float:
    """Return |mean| / deviation, averaged over the numbers."""
    return float((np.abs(mean) / gradient.std(axis=0)).mean())


def main() -> None:
    """Print ratios, slopes, and the two estimators' means and variances beside each other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=5000)
    parser.add_argument("--size", type=int, default=5)
    options = parser.parse_args()
    n, table = options.draws, {}
    print("| K | IWAE encoder | STL encoder | DReG encoder | decoder | variance, DReG / IWAE "
          "| means' distance, errors: DReG | STL |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    for samples in SAMPLES:
        found = {kind: gradients(options.size, f"{kind}:{samples}", n)
                 for kind in ("iwae", "stl", "dreg")}  # fmt: skip
        iwae, stl, dreg = (found[kind][0] for kind in ("iwae", "stl", "dreg"))
        mean, decoder = dreg.mean(axis=0), found["iwae"][1]
        row = [ratio(iwae, mean), ratio(stl, stl.mean(axis=0)), ratio(dreg, mean)]
        row.append(ratio(decoder, decoder.mean(axis=0)))
        table[samples] = row
        spread = dreg.var(axis=0).mean() / iwae.var(axis=0).mean()
        # The same noise: the difference of the two is what has an error.
        apart = [
            np.abs((one - iwae).mean(axis=0) / ((one - iwae).std(axis=0) / n**0.5)).max()
            for one in (dreg, stl)
        ]
        cells = [*(f"{one:.4f}" for one in row), f"{spread:.1e}", *(f"{one:.1f}" for one in apart)]
        print(f"| {samples} | {' | '.join(cells)} |", flush=True)
    large = [k for k in SAMPLES if k >= 8]
    slopes = np.polyfit(np.log(large), np.log([table[k] for k in large]), 1)[0]
    print(f"| slope | {' | '.join(f'{slope:+.2f}' for slope in slopes)} | | | |")


if __name__ == "__main__":
    main()
