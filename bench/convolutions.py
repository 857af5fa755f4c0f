"""How fast is a training step with convolutions, c32,c64,256, beside PyTorch's: one table.

Both take steps of the same sizes on the same number of threads, in turns. Adam is included, not the
gathering of images nor the noise. PyTorch takes its pictures channels first and channels last.

    python bench/convolutions.py
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from machine import describe, unpin
from threadpoolctl import threadpool_limits as blas_threads
from torch import nn

from minivae import VAE, Adam

PIXELS, LATENT = 784, 20


class Net(nn.Module):
    """The same model in PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *(nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(3136, 256), nn.ReLU(), nn.Linear(256, 2 * LATENT)),
        )
        self.decoder = nn.Sequential(
            *(nn.Linear(LATENT, 256), nn.ReLU(), nn.Linear(256, 3136), nn.ReLU()),
            *(nn.Unflatten(1, (64, 7, 7)), nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU()),
            nn.ConvTranspose2d(32, 1, 4, 2, 1),
        )

    def forward(self, x: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        """Return the loss in nats per image."""
        mu, logvar = self.encoder(x).chunk(2, 1)
        logits = self.decoder(mu + torch.exp(0.5 * logvar) * eps)
        nll = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        return (nll + 0.5 * (mu * mu + logvar.exp() - 1 - logvar).sum()) / len(x)


def ours(x: np.ndarray, eps: np.ndarray):
    """Return a function that takes one step of minivae's."""
    vae = VAE(PIXELS, "c32,c64,256", LATENT)
    adam = Adam(vae.parameters, vae.backend, 1e-3)

    def step() -> None:
        vae.step(x, eps)
        adam.step()

    return step


def theirs(x: np.ndarray, eps: np.ndarray, layout: torch.memory_format):
    """Return a function that takes one step of PyTorch's."""
    net = Net().to(memory_format=layout)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=True)
    images = torch.tensor(x).reshape(-1, 1, 28, 28).contiguous(memory_format=layout)
    noise = torch.tensor(eps)

    def step() -> None:
        optimizer.zero_grad()
        net(images, noise).backward()
        optimizer.step()

    return step


def main() -> None:
    """Take the steps in turns and print the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    unpin()
    print(describe("numpy", "torch"))
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    print("milliseconds a step\n| batch | minivae | PyTorch | channels last | PyTorch / minivae |")
    print("|---|---|---|---|---|")
    with blas_threads(options.threads):
        for batch in (32, 128, 512):
            x = rng.random((batch, PIXELS), np.float32)
            eps = rng.standard_normal((batch, LATENT), np.float32)
            layouts = torch.contiguous_format, torch.channels_last
            steps = [ours(x, eps), *(theirs(x, eps, layout) for layout in layouts)]
            times: list[list[float]] = [[] for _ in steps]
            for turn in range(options.rounds + 1):
                for step, kept in zip(steps, times, strict=True):
                    start = time.perf_counter()
                    for _ in range(max(1, 256 // batch)):
                        step()
                    spent = (time.perf_counter() - start) / max(1, 256 // batch)
                    if turn:
                        kept.append(1e3 * spent)
            own, *other = (float(np.median(kept)) for kept in times)
            row = [f"{own:.1f}", *(f"{one:.1f}" for one in other), f"{min(other) / own:.2f}"]
            print(f"| {batch} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
