"""Make parts.npz: log densities of parts and their gradients, by PyTorch's distributions, float64.

Needs PyTorch, which is no dependency of minivae; the file is committed and made again when a part
is added. tests/test_conformance.py holds every part against it.

    python tests/golden/make_parts.py
"""

from pathlib import Path

import numpy as np
import torch
from torch import distributions as D

ROWS, PIXELS, LATENT = 5, 3, 2


def normal(eta, own):
    """Gaussian pixels with one learned log variance."""
    return D.Normal(eta, torch.exp(own["logvar"] / 2))


def continuous_bernoulli(eta, own):
    """PyTorch's own, without its expansion near 0: no golden logit lies there."""
    return D.ContinuousBernoulli(logits=eta, lims=(0.5, 0.5), validate_args=False)


# Likelihood: numbers of eta a pixel, its own parameters, how x is made, its distribution.
LIKELIHOODS = {
    "bernoulli": (1, {}, torch.rand, lambda eta, own: D.Bernoulli(logits=eta, validate_args=False)),
    "continuous-bernoulli": (1, {}, torch.rand, continuous_bernoulli),
    "gaussian": (1, {"logvar": torch.tensor([-0.7])}, torch.randn, normal),
}


def main() -> None:
    """Compute and write."""
    torch.set_default_dtype(torch.float64)
    arrays = {}
    for seed, (kind, (width, own, make, distribution)) in enumerate(LIKELIHOODS.items()):
        torch.manual_seed(seed)
        eta = (2 * torch.randn(ROWS, width * PIXELS)).requires_grad_()
        x, weights = make(ROWS, PIXELS), torch.randn(ROWS)
        own = {name: value.double().requires_grad_() for name, value in own.items()}
        log_p = distribution(eta, own).log_prob(x).reshape(ROWS, -1).sum(1)
        (log_p * weights).sum().backward()
        found = {"eta": eta, "x": x, "weights": weights, "log_p": log_p, "deta": eta.grad}
        found |= own | {f"d{name}": value.grad for name, value in own.items()}
        arrays |= {f"{kind}.{name}": value.detach().numpy() for name, value in found.items()}
    torch.manual_seed(99)
    stats, eps = torch.randn(ROWS, 2 * LATENT, requires_grad=True), torch.randn(ROWS, LATENT)
    mu, logvar = stats[:, :LATENT], stats[:, LATENT:]
    z = mu + torch.exp(logvar / 2) * eps
    log_q = D.Normal(mu, torch.exp(logvar / 2)).log_prob(z).sum(1)
    kl = D.kl_divergence(D.Normal(mu, torch.exp(logvar / 2)), D.Normal(0.0, 1.0)).sum(1)
    dz, dlog_q = torch.randn(ROWS, LATENT), torch.randn(ROWS)
    ((z * dz).sum() + (log_q * dlog_q).sum()).backward(retain_graph=True)
    found = {"stats": stats, "eps": eps, "z": z, "log_q": log_q, "dz": dz, "dlog_q": dlog_q}
    found |= {"dstats": stats.grad.clone(), "kl": kl}
    stats.grad = None
    kl.mean().backward()
    found |= {"dstats_kl": stats.grad, "log_p": D.Normal(0.0, 1.0).log_prob(z).sum(1)}
    arrays |= {f"latent.{name}": value.detach().numpy() for name, value in found.items()}
    np.savez(Path(__file__).with_name("parts.npz"), **arrays)


if __name__ == "__main__":
    main()
