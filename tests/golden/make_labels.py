"""Make labels.npz: a conditional VAE's loss and gradients, by PyTorch's autograd, in float64.

There the labels are one-hot and joined to the inputs of encoder and decoder, as the papers have it;
the joined columns are the rows of weights that minivae adds. Needs PyTorch, which is no dependency;
the file is committed and rarely made again.

    python tests/golden/make_labels.py
"""

from pathlib import Path

import numpy as np
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn import functional

CLASSES, WIDTHS = 3, ((12, 7), (7, 8), (4, 7), (7, 12))  # 4 latent dimensions: 8 stats
NAMES = ("encoder.0", "encoder.3", "decoder.0", "decoder.3")


def main() -> None:
    """Pass a batch forward and back, and write the file."""
    rng = np.random.default_rng(0)
    out = {"x": rng.random((6, 12)), "eps": rng.standard_normal((6, 4))}
    out["labels"] = np.array([2, 0, 1, 1, 2, 1])
    for name, (inputs, outputs) in zip(NAMES, WIDTHS, strict=True):
        out[f"{name}.weight"] = rng.standard_normal((outputs, inputs)) / 2
        out[f"{name}.bias"] = rng.standard_normal(outputs) / 2
    for name in ("encoder.1", "decoder.1"):
        out[f"{name}.weight"] = rng.standard_normal((CLASSES, 7)) / 2
    t = {name: torch.tensor(array) for name, array in out.items()}
    parameters = {name: one.requires_grad_() for name, one in t.items() if "." in name}
    hot = functional.one_hot(t["labels"], CLASSES).double()

    def network(part: str, given: torch.Tensor) -> torch.Tensor:
        joined = torch.cat([t[f"{part}.0.weight"], t[f"{part}.1.weight"].T], dim=1)
        h = functional.linear(torch.cat([given, hot], dim=1), joined, t[f"{part}.0.bias"]).relu()
        return functional.linear(h, t[f"{part}.3.weight"], t[f"{part}.3.bias"])

    mu, logvar = network("encoder", t["x"]).chunk(2, dim=1)
    q = Normal(mu, (logvar / 2).exp())
    eta = network("decoder", mu + q.stddev * t["eps"])
    nll = -(Bernoulli(logits=eta, validate_args=False).log_prob(t["x"])).sum() / 6
    kl = kl_divergence(q, Normal(0.0, 1.0)).sum() / 6
    (nll + kl).backward()
    out |= {"nll": nll.detach().numpy(), "kl": kl.detach().numpy()}
    out |= {f"d{name}": one.grad.numpy() for name, one in parameters.items()}
    np.savez_compressed(Path(__file__).with_name("labels.npz"), **out)


if __name__ == "__main__":
    main()
