"""Evaluating, encoding, reconstructing and sampling: minivae against PyTorch's no_grad forward.

Both work by blocks of 1,000 images, from the same weights and images, each in a process of its own;
how they take turns is in `peers.py`.

    python bench/inference.py [--rounds 7] [--images 10000] [--threads 2]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
from contestants import HIDDEN, LATENT, PIXELS, Run, mnist, serve
from machine import cores, describe, unpin
from peers import Contestant

from minivae import VAE, evaluate
from minivae.noise import generator

JOBS = ("evaluate", "encode", "reconstruct", "sample")
BLOCK = 1000


def minivae(threads: int) -> Callable[[str, int], Run]:
    """Use the methods of a `VAE`, with BLAS on that many threads."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads, user_api="blas")

    def prepare(job: str, n: int) -> Run:
        vae, rows = VAE(PIXELS, HIDDEN, LATENT), mnist()[:n]
        pixels = rows.astype(np.float32) / 255
        jobs = {
            "evaluate": lambda: evaluate(vae, rows),
            "encode": lambda: np.hstack(vae.encode(pixels)).ravel(),
            "reconstruct": lambda: vae.reconstruct(pixels).ravel(),
            "sample": lambda: vae.sample(n).ravel(),
        }
        return lambda: jobs[job]()[:3]

    return prepare


def torch(threads: int) -> Callable[[str, int], Run]:
    """Use the forward pass of the same networks under no_grad."""
    import torch
    from contestants import torch_networks
    from torch.nn import functional as F

    torch.set_num_threads(threads)

    def prepare(job: str, n: int) -> Run:
        encoder, decoder = torch_networks()
        rows = torch.from_numpy(mnist()[:n].copy())
        pixels = rows.to(torch.float32).div_(255)

        def evaluate() -> np.ndarray:
            nll, kl, stream = 0.0, 0.0, generator(0, "evaluate eps")
            for block in rows.split(BLOCK):
                x = block.to(torch.float32).div_(255)
                mu, logvar = encoder(x).chunk(2, dim=1)
                eps = torch.from_numpy(stream.standard_normal((len(x), LATENT), "float32"))
                logits = decoder(mu + (0.5 * logvar).exp() * eps)
                nll += F.binary_cross_entropy_with_logits(logits, x, reduction="sum").item()
                kl += 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum().item()
            return np.array([(nll + kl) / n, nll / n, kl / n])

        def reconstruct(block: torch.Tensor) -> torch.Tensor:
            return decoder(encoder(block)[:, :LATENT]).sigmoid_()

        def sample() -> np.ndarray:
            z = generator(0, "sample").standard_normal((n, LATENT)).astype(np.float32)
            blocks = torch.from_numpy(z).split(BLOCK)
            return torch.cat([decoder(block).sigmoid_() for block in blocks]).numpy().ravel()

        def all_of(function: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
            return torch.cat([function(block) for block in pixels.split(BLOCK)]).numpy().ravel()

        jobs = {
            "evaluate": evaluate,
            "encode": lambda: all_of(encoder),
            "reconstruct": lambda: all_of(reconstruct),
            "sample": sample,
        }

        def run() -> np.ndarray:
            with torch.no_grad():
                return jobs[job]()[:3]

        return run

    return prepare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=min(2, len(cores())))
    options = parser.parse_args()
    print(describe("numpy", "torch"))
    print(
        f"{options.threads} threads, {options.images:,} images, {options.rounds} rounds in turn\n"
    )
    print("| job | minivae, ms | PyTorch, ms | PyTorch / minivae |")
    print("|---|---|---|---|")
    pair = [Contestant(name, options.threads, "inference.py") for name in ("minivae", "torch")]
    for job in JOBS:
        ours, theirs = (c.ask(f"prepare {job} {options.images}")["losses"] for c in pair)
        # The same numbers in float32: a few roundings of the largest.
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5, err_msg=job)
        times: list[list[float]] = [[], []]
        for _ in range(options.rounds):
            for turns, contestant in zip(times, pair, strict=True):
                time.sleep(0.05)
                turns.append(contestant.ask("run")["seconds"] * 1e3)
        one, other = map(median, times)
        print(f"| {job} | {one:.1f} | {other:.1f} | {other / one:.2f} |", flush=True)
    for contestant in pair:
        contestant.close()


if __name__ == "__main__":
    unpin()
    if len(sys.argv) == 3 and sys.argv[1] in ("minivae", "torch"):
        serve({"minivae": minivae, "torch": torch}[sys.argv[1]](int(sys.argv[2])))
    else:
        main()
