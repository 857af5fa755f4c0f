"""Make golden.npz: ten training steps of a small VAE computed by PyTorch's autograd in float64.

Needs PyTorch, which is no dependency of minivae; the file is committed and rarely made again.
tests/test_golden.py holds minivae against it.

    python tests/golden/make_golden.py
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

PIXELS, HIDDEN, LATENT, BETA = 30, (12, 8), 4, 1.5
BATCHES = [8, 8, 8, 8, 3] * 2  # two epochs of 35 images; the last batch is smaller
LR, BETAS, EPS = 1e-2, (0.9, 0.999), 1e-8


def mlp(*widths: int) -> nn.Sequential:
    """Return Linear layers of those widths with ReLU between them."""
    layers = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def main() -> None:
    """Take the steps and write the file."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    model = nn.ModuleDict(
        {
            "encoder": mlp(PIXELS, *HIDDEN, 2 * LATENT),
            "decoder": mlp(LATENT, *reversed(HIDDEN), PIXELS),
        }
    )
    adam = torch.optim.Adam(model.parameters(), LR, BETAS, EPS)
    images = torch.randint(0, 256, (sum(BATCHES) // 2, PIXELS), dtype=torch.uint8)
    order = torch.cat([torch.randperm(len(images)) for _ in range(2)])
    noise = torch.randn(sum(BATCHES), LATENT)
    out = {"images": images, "order": order, "eps": noise}
    out |= {f"start {name}": value.clone() for name, value in model.state_dict().items()}

    terms, grads, thetas = [], [], []
    for rows, eps in zip(order.split(BATCHES), noise.split(BATCHES), strict=True):
        x = images[rows].double() / 255
        q = torch.distributions.Normal(*_moments(model["encoder"](x)))
        z = q.loc + q.scale * eps
        nll = nn.functional.binary_cross_entropy_with_logits(
            model["decoder"](z), x, reduction="sum"
        ) / len(x)
        prior = torch.distributions.Normal(0.0, 1.0)
        kl = torch.distributions.kl_divergence(q, prior).sum() / len(x)
        loss = nll + BETA * kl
        adam.zero_grad()
        loss.backward()
        grads.append({name: p.grad.clone() for name, p in model.named_parameters()})
        adam.step()
        thetas.append({name: p.detach().clone() for name, p in model.named_parameters()})
        terms.append([loss.item(), nll.item(), kl.item()])

    out["terms"] = torch.tensor(terms)  # (steps, 3): loss, nll, kl
    for name in thetas[0]:  # (steps, *shape) each
        out[f"grad {name}"] = torch.stack([step[name] for step in grads])
        out[f"theta {name}"] = torch.stack([step[name] for step in thetas])
    settings = {"hidden": HIDDEN, "latent": LATENT, "beta": BETA, "batches": BATCHES}
    settings |= {"lr": LR, "betas": BETAS, "adam_eps": EPS}
    np.savez_compressed(
        Path(__file__).with_name("golden.npz"),
        **{name: value.numpy() for name, value in out.items()},
        **{name: np.array(value) for name, value in settings.items()},
    )


def _moments(stats: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mu, logvar = stats.chunk(2, dim=1)
    return mu, logvar.exp().sqrt()


if __name__ == "__main__":
    main()
