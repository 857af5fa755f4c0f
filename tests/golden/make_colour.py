"""Make colour.npz: a convolutional VAE of pictures in colour, by PyTorch's autograd, in float64.

PyTorch has the channels first, minivae last: what stands between is written out here. Needs
PyTorch, which is no dependency; the file is committed and rarely made again.

    python tests/golden/make_colour.py
"""

from pathlib import Path

import numpy as np
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn import functional

LATENT, SHAPES = 2, {
    "encoder.0": (4, 3, 4, 4),
    "encoder.2": (6, 4 * 4 * 3),
    "encoder.4": (2 * 2, 6),
    "decoder.0": (6, 2),
    "decoder.2": (4 * 4 * 3, 6),
}  # fmt: skip


def main() -> None:
    """Pass a batch of 8x6 forward and back under two likelihoods, and write the file."""
    rng = np.random.default_rng(0)
    out = {"x": rng.random((5, 3, 8, 6)), "eps": rng.standard_normal((5, LATENT))}
    for kind, numbers in (("bernoulli", 1), ("gaussian-decoded", 2)):
        shapes = SHAPES | {"decoder.4": (4, 3 * numbers, 4, 4)}
        t = {}
        for name, shape in shapes.items():
            biases = shape[1] if name == "decoder.4" else shape[0]
            for part, size in (("weight", shape), ("bias", (biases,))):
                array = rng.standard_normal(size) / 3
                t[f"{name}.{part}"] = torch.tensor(array, requires_grad=True)
        x, eps = torch.tensor(out["x"]), torch.tensor(out["eps"])

        def both(name: str, of: dict = t) -> tuple[torch.Tensor, torch.Tensor]:
            return of[f"{name}.weight"], of[f"{name}.bias"]

        h = functional.conv2d(x, *both("encoder.0"), stride=2, padding=1).relu()
        h = h.permute(0, 2, 3, 1).flatten(1)  # from here on (height, width, channels)
        stats = functional.linear(
            functional.linear(h, *both("encoder.2")).relu(), *both("encoder.4")
        )
        mu, logvar = stats.chunk(2, dim=1)
        q = Normal(mu, (logvar / 2).exp())
        h = functional.linear(mu + q.stddev * eps, *both("decoder.0")).relu()
        h = functional.linear(h, *both("decoder.2")).relu()
        h = h.unflatten(1, (4, 3, 4)).permute(0, 3, 1, 2)
        eta = functional.conv_transpose2d(h, *both("decoder.4"), stride=2, padding=1)
        if numbers == 1:
            p = Bernoulli(logits=eta, validate_args=False)
            mean = eta.sigmoid()
        else:  # of each colour's two numbers the first is its mean
            mean = eta[:, ::2]
            spread = functional.softplus(eta[:, 1::2] + 12, threshold=1e9) - 12  # never below -12
            p = Normal(mean, (spread / 2).exp())
        nll = -p.log_prob(x).sum() / 5
        kl = kl_divergence(q, Normal(0.0, 1.0)).sum() / 5
        (nll + kl).backward()
        made = {"nll": nll, "kl": kl, "mean": mean} | t
        made |= {f"d{name}": one.grad for name, one in t.items()}
        out |= {f"{kind}: {name}": one.detach().numpy() for name, one in made.items()}
    np.savez_compressed(Path(__file__).with_name("colour.npz"), **out)


if __name__ == "__main__":
    main()
