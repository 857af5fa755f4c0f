"""Whole epochs of training in minivae and in PyTorch: same weights, order of images and noise.

In float64 both must stay on one path. In float32 rounding parts them within an epoch, and where
they arrive differs as it does between seeds: the question is then whether the losses are alike.

    python bench/torch_training.py [--dtype float64] [--epochs 2] [--seed 0] [--threads 2]
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from machine import cores, describe, unpin
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from minivae import VAE, load_data
from minivae.looking.latent import active_units
from minivae.noise import RowNoise, generator, permutation
from minivae.training import Training


def networks(vae: VAE) -> tuple[nn.Sequential, nn.Sequential]:
    """Return PyTorch's encoder and decoder of the same sizes, with a copy of the weights."""
    result = []
    for name in ("encoder", "decoder"):
        layers: list[nn.Module] = []
        for linear in [layer for layer in vae.inner[name].leaves() if layer.shapes]:
            layers += [nn.Linear(linear.inputs, linear.outputs), nn.ReLU()]
        network = nn.Sequential(*layers[:-1]).to(getattr(torch, vae.dtype.name))
        own = {key: torch.tensor(np.array(view)) for key, view in vae.params.items() if name in key}
        network.load_state_dict({key.removeprefix(f"{name}."): own[key] for key in own})
        result.append(network)
    return result[0], result[1]


def main() -> None:
    """Train both and print their losses side by side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=len(cores()))
    options = parser.parse_args()
    print(describe("torch"))
    torch.set_num_threads(options.threads)
    data, seed, batch = load_data("mnist"), options.seed, 128
    vae = VAE(784, seed=seed, dtype=options.dtype)
    encoder, decoder = networks(vae)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    images = torch.from_numpy(data.train)

    def terms(x: torch.Tensor, eps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mu, logvar = encoder(x).chunk(2, 1)
        logits = decoder(mu + eps * (logvar / 2).exp())
        nll = binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum() / len(x)
        return nll + kl, mu

    print("epoch: mean training loss of minivae, of PyTorch")
    records = Training(vae, data, batch_size=batch, seed=seed).run(
        options.epochs, threads=options.threads
    )
    for epoch, record in enumerate(records):
        order = torch.from_numpy(permutation(seed, "order", epoch, len(images)))
        noise = RowNoise(seed, "eps", epoch).normal(0, np.empty((len(images), 20), vae.dtype))
        noise, total = torch.from_numpy(noise), 0.0
        for start in range(0, len(images), batch):
            x = images[order[start : start + batch]].to(noise.dtype) / 255
            loss, _ = terms(x, noise[start : start + batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        print(f"{epoch + 1}: {record.train_loss:.12f}  {total / len(images):.12f}", flush=True)

    test = torch.from_numpy(data.test).to(noise.dtype) / 255
    eps = generator(seed, "test").standard_normal((len(test), 20), dtype=vae.dtype)
    with torch.no_grad():
        loss, mu = terms(test, torch.from_numpy(eps))
    ours = active_units(vae.encode(test.numpy())[0])
    print(f"test loss {record.test_loss:.2f}  {loss.item():.2f}")
    print(f"active units {ours}  {active_units(mu.numpy())}")
    theirs = [p.detach().numpy().ravel() for n in (encoder, decoder) for p in n.parameters()]
    difference = np.abs(np.concatenate(theirs) - vae.theta).max()
    print(f"largest difference of a parameter {difference:.1e}")


if __name__ == "__main__":
    unpin()
    main()
