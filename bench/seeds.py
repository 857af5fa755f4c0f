"""How far the final loss differs between seeds, in minivae and in PyTorch, and whether they agree.

Each library starts from its own initial weights and draws its own order and noise, as its users
would have it. One run to a core, on one thread each.

    python bench/seeds.py [--seeds 8] [--epochs 50] [--first 0]
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import pairwise
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
from machine import cores, describe, unpin

BATCH = 128


class Result(NamedTuple):
    """Where one run ended: losses in nats per image, and the number of active units."""

    library: str
    seed: int
    train: float
    test: float
    kl: float
    units: int


def minivae(seed: int, epochs: int) -> Result:
    """Train as `minivae train` does."""
    from minivae import VAE, load_data
    from minivae.looking.latent import active_units
    from minivae.training import Training

    data = load_data("mnist")
    vae = VAE(784, seed=seed)
    *_, last = Training(vae, data, batch_size=BATCH, seed=seed).run(epochs, threads=1)
    units = active_units(vae.encode(np.float32(data.test) / 255)[0])
    return Result("minivae", seed, last.train_loss, last.test_loss, last.test_kl, units)


def pytorch(seed: int, epochs: int) -> Result:
    """Train the same model as PyTorch's own example does, two heads for mu and log variance."""
    import torch
    from torch import nn
    from torch.nn.functional import binary_cross_entropy_with_logits

    from minivae import load_data
    from minivae.looking.latent import active_units

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    data = load_data("mnist")
    images, test = (torch.from_numpy(np.float32(part) / 255) for part in (data.train, data.test))

    def mlp(*widths: int) -> nn.Sequential:
        layers = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]
        return nn.Sequential(*layers)

    encoder, decoder = mlp(784, 256, 128), mlp(20, 128, 256)
    to_mu, to_logvar, to_logits = nn.Linear(128, 20), nn.Linear(128, 20), nn.Linear(256, 784)
    model = nn.ModuleList([encoder, to_mu, to_logvar, decoder, to_logits])
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)

    def terms(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        hidden = encoder(x)
        mu, logvar = to_mu(hidden), to_logvar(hidden)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        nll = binary_cross_entropy_with_logits(to_logits(decoder(z)), x, reduction="sum")
        kl = -0.5 * torch.sum(1 + logvar - mu.square() - logvar.exp())
        return nll / len(x), kl / len(x), mu

    for _ in range(epochs):
        total = 0.0
        for indices in torch.randperm(len(images)).split(BATCH):
            nll, kl, _ = terms(images[indices])
            adam.zero_grad()
            (nll + kl).backward()
            adam.step()
            total += (nll + kl).item() * len(indices)
    with torch.no_grad():
        nll, kl, mu = terms(test)
    units = active_units(mu.numpy())
    return Result("pytorch", seed, total / len(images), (nll + kl).item(), kl.item(), units)


def main() -> None:
    """Run all seeds of both, a line each as they end, then means with their standard errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--near", type=float, default=101.84, help="count runs within 0.4 of this")
    options = parser.parse_args()
    print(describe("numpy", "torch"), f"{options.epochs} epochs", sep="; ", flush=True)
    print("| library | seed | train loss | test loss | KL | active units |")
    print("|---|---|---|---|---|---|", flush=True)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    seeds = range(options.first, options.first + options.seeds)
    results: list[Result] = []
    with ProcessPoolExecutor(len(cores()), mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(f, s, options.epochs) for s in seeds for f in (pytorch, minivae)]
        for job in as_completed(jobs):
            results.append(r := job.result())
            print(
                f"| {r.library} | {r.seed} | {r.train:.2f} | {r.test:.2f} | {r.kl:.2f} "
                f"| {r.units} |",
                flush=True,
            )
    print()
    for library in ("minivae", "pytorch"):
        losses = np.array([r.test for r in results if r.library == library])
        deviation = losses.std(ddof=1) if len(losses) > 1 else float("nan")
        print(
            f"{library}: test loss {losses.mean():.2f} +- {deviation / len(losses) ** 0.5:.2f}, "
            f"deviation of a run {deviation:.2f}, from {losses.min():.2f} to {losses.max():.2f}; "
            f"{np.count_nonzero(abs(losses - options.near) <= 0.4)} of {len(losses)} "
            f"within 0.4 of {options.near}"
        )


if __name__ == "__main__":
    unpin()
    main()
