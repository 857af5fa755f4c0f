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


def floor(raw):
    """The bound that log variances of a pixel have, sigma above e^-6."""
    return torch.nn.functional.softplus(raw + 12.0, threshold=1000) - 12.0


class Logistic255:
    """A logistic distribution cut into the 256 levels k/255; its outer bins have no outer end."""

    def __init__(self, eta, own):
        self.eta, self.scale = eta, torch.exp(own["logscale"])

    def log_prob(self, x):
        """Log of the difference of two distribution functions."""
        upper = torch.sigmoid((x + 1 / 510 - self.eta) / self.scale)
        lower = torch.sigmoid((x - 1 / 510 - self.eta) / self.scale)
        upper = torch.where(x > 0.999, torch.ones_like(upper), upper)
        lower = torch.where(x < 0.001, torch.zeros_like(lower), lower)
        return torch.log(upper - lower)


def negative_binomial(eta, own):
    """Mean e^eta, and r of each column."""
    return D.NegativeBinomial(torch.exp(own["logr"]), logits=eta - own["logr"])


class Groups:
    """Independent one-hot groups of columns."""

    def __init__(self, eta, own):
        self.parts = [D.OneHotCategorical(logits=one) for one in eta.split(GROUPS, 1)]

    def log_prob(self, x):
        """Their sum."""
        each = zip(self.parts, x.split(GROUPS, 1), strict=True)
        return torch.stack([part.log_prob(one) for part, one in each], 1)


def one_hot(rows, columns):
    """Draw the groups' categories."""
    each = [torch.eye(n)[torch.randint(n, (rows,))] for n in GROUPS]
    return torch.cat(each, 1)


class Cells:
    """A number, its flag, and the groups; what is missing is integrated out."""

    def __init__(self, eta, own):
        self.number = D.Normal(eta[:, :1], torch.exp(floor(own["raw"]) / 2))
        self.groups = Groups(eta[:, 2:], own)

    def log_prob(self, x):
        """Sum over what is there."""
        there = torch.stack([1 - x[:, 1], x[:, 2:5].sum(1), x[:, 5:].sum(1)], 1)
        whole = torch.where(x[:, 2:] == 0, 0, x[:, 2:])
        whole[:, 0] += 1 - there[:, 1]  # any category: its part is left out below
        whole[:, 3] += 1 - there[:, 2]
        each = [self.number.log_prob(x[:, :1]), self.groups.log_prob(whole)]
        return torch.where(there == 1, torch.cat(each, 1), 0)


def cells(rows, columns):
    """Draw rows of which all but the first lack something."""
    x = torch.cat([torch.randn(rows, 1), torch.zeros(rows, 1), one_hot(rows, columns)], 1)
    x[1:3, :2] = torch.tensor([0.0, 1.0])
    x[2:4, 2:5] = 0
    x[4, 5:] = 0
    return x


def levels(rows, columns):
    """Draw grey levels, with black and white among them."""
    x = torch.randint(256, (rows, columns)) / 255
    x[0, 0], x[1, 1] = 0, 1
    return x


def counts(rows, columns):
    """Draw counts."""
    return torch.randint(12, (rows, columns)).double()


GROUPS = (3, 2)
LOGVAR, RAW = torch.tensor([-0.7]), torch.tensor([-0.7, 0.4, -11.0])
# Likelihood: numbers of eta a pixel, its own parameters, how x is made, its distribution.
LIKELIHOODS = {
    "bernoulli": (1, {}, torch.rand, lambda eta, own: D.Bernoulli(logits=eta, validate_args=False)),
    "continuous-bernoulli": (1, {}, torch.rand, continuous_bernoulli),
    "discretised-logistic": (1, {"logscale": torch.tensor([-0.5])}, levels, Logistic255),
    "poisson": (1, {}, counts, lambda eta, own: D.Poisson(torch.exp(eta))),
    "negative-binomial": (1, {"logr": torch.tensor([-1.0, 0.3, 2.5])}, counts, negative_binomial),
    "gaussian": (1, {"logvar": LOGVAR}, torch.randn, normal),
    "gaussian-fixed": (1, {}, torch.randn, lambda eta, own: D.Normal(eta, 0.1**0.5)),
    "gaussian-features": (
        *(1, {"raw": RAW}, torch.randn),
        lambda eta, own: D.Normal(eta, torch.exp(floor(own["raw"]) / 2)),
    ),
    "gaussian-decoded": (
        *(2, {}, torch.randn),
        lambda eta, own: D.Normal(eta[:, :PIXELS], torch.exp(floor(eta[:, PIXELS:]) / 2)),
    ),
    "gaussian-optimal": (1, {"logvar": LOGVAR}, torch.randn, normal),
    "student": (
        *(1, {"logscale": torch.tensor([-0.4])}, torch.randn),
        lambda eta, own: D.StudentT(5.0, eta, torch.exp(own["logscale"])),
    ),
    "categorical": (1, {}, one_hot, Groups),
    "table": (1, {"raw": torch.tensor([-0.7])}, cells, Cells),
}
WIDTHS = {"categorical": sum(GROUPS), "table": 2 + sum(GROUPS)}


def golden(kind, given, made, rows, own=()):
    """Return what was given, what was made of it, and gradients for random ones of what was made.

    `rows` are the names of what has gradients in each row, `own` those of parameters.
    """
    weights = {f"d{name}": torch.randn(value.shape) for name, value in made.items()}
    sum((made[name] * weights[f"d{name}"]).sum() for name in made).backward()
    found = given | made | weights | {f"d{name}": given[name].grad for name in (*rows, *own)}
    return {f"{kind}.{name}": value.detach().numpy() for name, value in found.items()}


def mixture():
    """A mixture of three Gaussians as a prior."""
    torch.manual_seed(100)
    shapes = {"z": (ROWS, LATENT), "logits": (3,), "means": (3, LATENT), "logvars": (3, LATENT)}
    given = {name: torch.randn(shape, requires_grad=True) for name, shape in shapes.items()}
    parts = D.Independent(D.Normal(given["means"], torch.exp(given["logvars"] / 2)), 1)
    whole = D.MixtureSameFamily(D.Categorical(logits=given["logits"]), parts)
    names = ("logits", "means", "logvars")
    return golden("mixture", given, {"log_p": whole.log_prob(given["z"])}, ("z",), names)


def full():
    """A Gaussian of three dimensions with a Cholesky factor, and its KL from N(0, 1)."""
    torch.manual_seed(101)
    stats, eps = torch.randn(ROWS, 9, requires_grad=True), torch.randn(ROWS, 3)
    mu, logvar, below = stats.split((3, 3, 3), 1)
    factor = torch.diag_embed(torch.exp(logvar / 2))
    rows, columns = torch.tril_indices(3, 3, -1)
    factor[:, rows, columns] = below
    q = D.MultivariateNormal(mu, scale_tril=factor)
    z = mu + (factor @ eps[:, :, None])[:, :, 0]
    kl = D.kl_divergence(q, D.MultivariateNormal(torch.zeros(3), torch.eye(3)))
    dkl = torch.autograd.grad(kl.mean(), stats, retain_graph=True)[0]
    leaf = z.detach().requires_grad_()
    score = torch.autograd.grad(q.log_prob(leaf).sum(), leaf, retain_graph=True)[0]
    found = {"kl": kl, "dstats_kl": dkl, "score": score, "variance": q.variance}
    given = {"stats": stats, "eps": eps}
    made = golden("full", given, {"z": z, "log_q": q.log_prob(z)}, ("stats",))
    return made | {f"full.{name}": value.detach().numpy() for name, value in found.items()}


def planar():
    """Two layers of the planar flow; the determinant is that of the Jacobian, by autograd."""
    torch.manual_seed(102)
    latent, layers = 3, 2
    width = 2 * latent + 1
    stats = torch.randn(ROWS, 2 * latent + layers * width, requires_grad=True)
    eps = torch.randn(ROWS, latent)

    def row(stats, eps):
        z = stats[:latent] + torch.exp(stats[latent : 2 * latent] / 2) * eps
        for k in range(layers):
            start = 2 * latent + k * width
            u, w, b = stats[start : start + width].split((latent, latent, 1))
            along = torch.nn.functional.softplus(w @ u) - 1 - w @ u
            z = z + (u + along * w / (w @ w)) * torch.tanh(w @ z + b)
        return z

    made = {"z": [], "log_q": []}
    for one, noise in zip(stats, eps, strict=True):
        jacobian = torch.func.jacrev(row, argnums=1)(one, noise)
        made["z"].append(row(one, noise))
        base = D.Normal(0.0, 1.0).log_prob(noise).sum()
        made["log_q"].append(base - torch.linalg.slogdet(jacobian)[1])
    made = {name: torch.stack(values) for name, values in made.items()}
    return golden("planar", {"stats": stats, "eps": eps}, made, ("stats",))


def main() -> None:
    """Compute and write."""
    torch.set_default_dtype(torch.float64)
    arrays = {}
    for seed, (kind, (width, own, make, distribution)) in enumerate(LIKELIHOODS.items()):
        torch.manual_seed(seed)
        pixels = WIDTHS.get(kind, PIXELS)
        eta = (2 * torch.randn(ROWS, width * pixels)).requires_grad_()
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
    arrays |= mixture() | full() | planar()
    np.savez(Path(__file__).with_name("parts.npz"), **arrays)


if __name__ == "__main__":
    main()
