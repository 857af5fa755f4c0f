"""-log p of each pixel as users of PyTorch and of JAX write it, and data for each likelihood.

One text for both: what it computes with (`exp`, `softplus`, ...) is given. Both differentiate it
themselves; the losses that `peers.py` compares are those of the parts in minivae/parts/.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

LEVELS = 4  # of a pixel, where categories are wanted; of every fourth pixel, for as many columns
NAMES = (
    "bernoulli", "continuous-bernoulli", "discretised-logistic", "poisson", "negative-binomial",
    "gaussian", "gaussian-fixed:0.1", "gaussian-features", "gaussian-decoded", "gaussian-optimal",
    "student:5", "categorical",
)  # fmt: skip
FUNCTIONS = "exp", "log", "log1p", "expm1", "where", "lgamma"  # which PyTorch and NumPy call so
LEAST, LOG_2PI, BIN = -12.0, math.log(2 * math.pi), 1 / 255


def spec(kind: str, pixels: int) -> str:
    """Return how minivae is told of that likelihood."""
    if kind == "categorical":
        return "categorical:" + ",".join([str(LEVELS)] * (pixels // LEVELS))
    return kind


def data(kind: str, images: np.ndarray) -> np.ndarray:
    """Return images (N, D) uint8 as what the likelihood is for: counts, categories, or the same."""
    if kind in ("poisson", "negative-binomial"):
        return (images // 32).astype(np.float32)
    if kind == "categorical":
        levels = images[:, ::LEVELS] // (256 // LEVELS)
        return np.eye(LEVELS, dtype=np.float32)[levels].reshape(len(images), -1)
    return images


def nll(kind: str, m: SimpleNamespace, eta: Any, x: Any, own: dict[str, Any]) -> Any:
    """Return -log p of each pixel or category; its logits have the shape of x, (..., D).

    Parameters
    ----------
    kind
        Of `NAMES`.
    m
        exp, log, log1p, expm1, softplus, lgamma, where, log_softmax (of the last axis) of either.
    own
        The likelihood's own parameters, by their names.
    """
    name, _, setting = kind.partition(":")
    if name == "bernoulli":
        return m.softplus(eta) - x * eta
    if name == "continuous-bernoulli":  # by its series near 0
        small, square = abs(eta) < 0.5, eta * eta
        far = m.where(small, 1.0, eta)
        near = eta / 2 + square / 24 - square**2 / 2880 + square**3 / 181440
        log = m.where(far > 0, far, 0.0) + m.log(-m.expm1(-abs(far)) / abs(far))
        return m.where(small, near, log) - x * eta
    if name == "discretised-logistic":
        inverse = m.exp(-own["logscale"])
        a, b = (x + BIN / 2 - eta) * inverse, (x - BIN / 2 - eta) * inverse
        lowest, highest = x < BIN / 2, x > 1 - BIN / 2
        ends = m.where(highest, 0.0, m.softplus(-a)) + m.where(lowest, 0.0, m.softplus(b))
        return ends - m.where(lowest | highest, 0.0, m.log(-m.expm1(-BIN * inverse)))
    if name == "poisson":
        return m.exp(eta) - x * eta + m.lgamma(x + 1)
    if name == "negative-binomial":
        r, odds = m.exp(own["logr"]), eta - own["logr"]
        constants = m.lgamma(r) + m.lgamma(x + 1) - m.lgamma(x + r)
        return constants + (r + x) * m.softplus(odds) - x * odds
    if name == "categorical":
        groups = *x.shape[:-1], -1, LEVELS
        return -(x.reshape(groups) * m.log_softmax(eta.reshape(groups))).sum(-1)
    if name == "student":
        n, t = float(setting), (x - eta) * m.exp(-own["logscale"])
        constant = math.lgamma((n + 1) / 2) - math.lgamma(n / 2) - 0.5 * math.log(n * math.pi)
        return 0.5 * (n + 1) * m.log1p(t * t / n) + own["logscale"] - constant
    if name == "gaussian-decoded":
        eta, raw = eta[..., : x.shape[-1]], eta[..., x.shape[-1] :]
        logvar = LEAST + m.softplus(raw - LEAST)
    r = x - eta
    if name == "gaussian":
        logvar = own["logvar"]
    elif name == "gaussian-fixed":
        logvar = m.log(0 * r[:1, :1] + float(setting))
    elif name == "gaussian-features":
        logvar = LEAST + m.softplus(own["raw"] - LEAST)
    elif name == "gaussian-optimal":
        logvar = m.log((r * r).mean())
    return 0.5 * (r * r * m.exp(-logvar) + logvar + LOG_2PI)
