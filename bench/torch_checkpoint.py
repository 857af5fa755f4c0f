"""Load a checkpoint's arrays into PyTorch's nn.Sequential; compare the losses of the test images.

Both sides get the same noise. minivae's own evaluation is `minivae evaluate`; whether the training
steps agree is in tests/test_golden.py.

    python bench/torch_checkpoint.py RUN [--data mnist]
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

import minivae
from minivae.noise import normal
from minivae.vae import BLOCK


def mlp(*widths: int) -> nn.Sequential:
    """Return Linear layers of those widths with ReLU between them."""
    layers = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def torch_loss(
    arrays: dict[str, np.ndarray], vae: minivae.VAE, x: torch.Tensor, seed: int
) -> tuple:
    """Return (nll, kl) in nats per image, from the checkpoint's arrays alone, in PyTorch."""
    networks = {
        "encoder": mlp(vae.pixels, *vae.hidden, 2 * vae.latent),
        "decoder": mlp(vae.latent, *reversed(vae.hidden), vae.pixels),
    }
    for part, network in networks.items():
        state = {
            name.removeprefix(f"{part}."): torch.from_numpy(array)
            for name, array in arrays.items()
            if name.startswith(f"{part}.")
        }
        network.load_state_dict(state)  # strict: every name and shape must be there, and no other
    nll = kl = 0.0
    with torch.no_grad():
        for i, block in enumerate(x.split(BLOCK)):
            eps = normal(seed, "evaluate eps", i, (len(block), vae.latent))
            mu, logvar = networks["encoder"](block).chunk(2, dim=1)
            q = torch.distributions.Normal(mu, (0.5 * logvar).exp())
            logits = networks["decoder"](q.loc + q.scale * torch.from_numpy(eps))
            p = torch.distributions.Bernoulli(logits=logits, validate_args=False)
            nll -= p.log_prob(block).double().sum().item()
            prior = torch.distributions.Normal(0.0, 1.0)
            kl += torch.distributions.kl_divergence(q, prior).double().sum().item()
    return nll / len(x), kl / len(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    file = options.run / "checkpoint.npz" if options.run.is_dir() else options.run
    with np.load(file) as stored:
        arrays = {
            name: stored[name] for name in stored.files if name.endswith((".weight", ".bias"))
        }
    vae, data = minivae.load(file), minivae.load_data(options.data)
    ours = minivae.evaluate(vae, data.test, seed=options.seed)
    x = torch.from_numpy(
        data.test[:].astype(np.float32) / (255 if data.test.dtype == np.uint8 else 1)
    )
    nll, kl = torch_loss(arrays, vae, x, options.seed)
    print(f"minivae: loss {ours.loss:.5f}, nll {ours.nll:.5f}, kl {ours.kl:.5f} nats per image")
    print(f"PyTorch: loss {nll + vae.beta * kl:.5f}, nll {nll:.5f}, kl {kl:.5f}")
    for one, other in ((ours.nll, nll), (ours.kl, kl)):
        # Sums of float32 terms, averaged over 10,000 images: the roundings of 6e-8 average out.
        assert abs(one - other) <= 1e-5 * abs(other), "they differ"


if __name__ == "__main__":
    main()
