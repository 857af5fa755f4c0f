"""The built-in suite: every layer and formula of minivae, a whole VAE, and its contracts.

How a check goes is in check.py; a user's own layer is loaded by target.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minivae import formulas as f
from minivae.gradcheck.check import check
from minivae.gradcheck.contracts import check_contracts
from minivae.gradcheck.law import Contracts
from minivae.gradcheck.report import Report, table
from minivae.layers import Linear, ReLU, Reparameterize, Sequential, Sigmoid, Tanh
from minivae.vae import VAE

Array = np.ndarray
BETA = 1.7
TRAINED = (256, 128)  # hidden widths of the model that is trained by default


class Sampler:
    """Reparameterize as a layer of one output: its backward adds, here to zeros."""

    def __init__(self) -> None:
        self.layer = Reparameterize()

    def forward(self, mu: Array, logvar: Array, eps: Array) -> Array:
        """Return z."""
        return self.layer.forward(mu, logvar, eps)

    def backward(self, dz: Array) -> tuple[Array, Array, None]:
        """Return dmu and dlogvar; the noise is a constant."""
        dmu, dlogvar = np.zeros_like(dz), np.zeros_like(dz)
        self.layer.backward(dz, dmu, dlogvar)
        return dmu, dlogvar, None


class KL:
    """beta times the KL as a layer: mu and log variance in, one number out."""

    def forward(self, mu: Array, logvar: Array) -> Any:
        """Return beta KL, the mean over the rows."""
        self.dmu, self.dlogvar = np.empty_like(mu), np.empty_like(mu)
        return BETA * f.gaussian_kl(mu, logvar, BETA, 1 / len(mu), self.dmu, self.dlogvar)

    def backward(self, dkl: Any) -> tuple[Array, Array]:
        """Return dmu and dlogvar."""
        return dkl * self.dmu, dkl * self.dlogvar


class Reconstruction:
    """The reconstruction term as a layer: logits in, one number out; the pixels are constants."""

    def forward(self, logits: Array, x: Array) -> Any:
        """Return -log p(x), the mean over the rows."""
        self.dlogits = np.empty_like(logits)
        return f.bernoulli_nll(logits, x, 1 / len(x), self.dlogits)

    def backward(self, dnll: Any) -> tuple[Array, None]:
        """Return dlogits."""
        return dnll * self.dlogits, None


def suite(seed: int = 0) -> Iterator[tuple[str, Report | Contracts]]:
    """Yield name and outcome of every check of what is built in."""
    rng = np.random.default_rng(seed)

    def draws(*shape: int) -> Array:
        return rng.normal(size=shape)

    layers: dict[str, tuple[Any, tuple[Array, ...]]] = {
        "Linear": (Linear(7, 5, dtype="float64"), (draws(6, 7),)),
        "ReLU": (ReLU(), (draws(6, 7),)),
        "Sigmoid": (Sigmoid(), (3 * draws(6, 7),)),
        "Tanh": (Tanh(), (2 * draws(6, 7),)),
        "Sequential": (
            Sequential(
                [
                    Linear(7, 6, seed=0, dtype="float64"),
                    Tanh(),
                    Linear(6, 4, seed=2, dtype="float64"),
                    ReLU(),
                    Linear(4, 3, seed=4, dtype="float64"),
                    Sigmoid(),
                ]
            ),
            (draws(6, 7),),
        ),
        "Reparameterize": (Sampler(), tuple(draws(6, 4) for _ in range(3))),
        "gaussian_kl": (KL(), (draws(6, 4), draws(6, 4))),
        "bernoulli_nll": (Reconstruction(), (4 * draws(6, 9), rng.uniform(size=(6, 9)))),
    }
    for name, (layer, inputs) in layers.items():
        yield name, check(layer, *inputs, seed=seed)
    for name in ("Linear", "ReLU", "Sigmoid", "Tanh"):
        layer = Linear(7, 5) if name == "Linear" else layers[name][0]
        yield f"{name}, float32", check(layer, draws(6, 7).astype(np.float32), seed=seed)
    for dtype in ("float64", "float32"):
        vae = VAE(12, hidden=(7, 5), latent=3, beta=BETA, seed=seed, dtype=dtype)
        x, eps = rng.uniform(size=(5, 12)).astype(dtype), draws(5, 3).astype(dtype)
        yield f"VAE 12-7-5-3, {dtype}", check(vae, x, eps, seed=seed)
    large = VAE(784, hidden=TRAINED, latent=20, seed=seed, dtype="float64")
    x, eps = rng.uniform(size=(4, 784)), draws(4, 20)
    yield "VAE 784-256-128-20", check(large, x, eps, seed=seed)
    yield "contracts of the VAE", check_contracts(large, x, seed)


def line(name: str, outcome: Report | Contracts) -> tuple[str, str, str, str, str]:
    """Return one row of the suite's table: name, what was compared, worst errors, verdict."""
    verdict = "ok" if outcome.passed else "FAILED"
    if isinstance(outcome, Contracts):
        return name, f"{len(outcome.contracts)} laws", "-", "-", verdict
    worst = {"complex step": "-", "differences": "-"}
    for method in worst:
        errors = [e.max_rel_error for e in outcome.entries if e.method == method]
        if errors:
            worst[method] = f"{max(errors):.1e}"
    return name, f"{len(outcome.entries)} gradients", *worst.values(), verdict


HEAD = ("check", "compared", "complex step", "differences", "verdict")


def summary(outcomes: list[tuple[str, Report | Contracts]]) -> str:
    """Return the suite's table, the failures in full below it."""
    lines = table(HEAD, [line(*one) for one in outcomes])
    lines += [str(outcome) for _, outcome in outcomes if not outcome.passed]
    return "\n".join(lines)
