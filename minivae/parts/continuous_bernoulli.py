"""Continuous Bernoulli pixels: a density over [0, 1], for grey values that are not probabilities.

Loaiza-Ganem and Cunningham (2019): p(x) is the Bernoulli's s^x (1 - s)^(1 - x), s = sigmoid(l),
made a density by the number that it lacks to integrate to 1.
"""

from __future__ import annotations

import numpy as np

from minivae.params import Array
from minivae.parts.likelihood import UNIT, Pixelwise

# coth(y) - 1/y = sum of these times y, y^3, y^5, ...: 2^2n B_2n / (2n)!, B the Bernoulli numbers.
COTH = (
    *(1 / 3, -1 / 45, 2 / 945, -1 / 4725, 2 / 93555, -1382 / 638512875, 4 / 18243225),
    *(-3617 / 162820783125, 87734 / 38979295480125, -349222 / 1531329465290625),
)
NEAR = 1.0  # |l| below which the series is the more exact
FAR = 80.0  # l above which e^-l is nothing beside 1, before e^l is infinite


def log_normaliser(eta: Array, mean: Array) -> Array:
    """Return A(l) and overwrite mean with A'(l), for logits eta (B, D).

    exp(x l) integrates over [0, 1] to (e^l - 1) / l = e^A, so log p = x l - A(l), and as for every
    density of this form A' is the mean.

    With u = e^l - 1: A = log(u / l) and A' = 1 + 1/u - 1/l; far from 0, where e^l is infinite, u
    and e^l are the same, and A = l - log l. Near 0 the last two terms of A' grow beyond all bounds
    and leave no digits of their difference: there y = l/2 gives A = y + log(sinh y / y) and A' =
    1/2 + (coth y - 1/y) / 2, by the series of coth y - 1/y and its integral.
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        u = np.exp(eta)
        u -= 1
        out = u / eta
        np.log(out, out=out)
        np.reciprocal(u, out=u)
        u += 1
        np.reciprocal(eta, out=mean)
        np.subtract(u, mean, out=mean)
    if eta.max(initial=0) > FAR:
        far = np.flatnonzero(eta > FAR)
        l = eta.reshape(-1)[far]
        out.reshape(-1)[far] = l - np.log(l)
    near = np.flatnonzero(np.abs(eta) < NEAR)
    if near.size:
        y = 0.5 * eta.reshape(-1)[near]
        squared = y * y
        slope, value = np.zeros_like(y), np.zeros_like(y)
        terms = COTH[:6] if y.dtype == np.float32 else COTH
        for n in range(len(terms), 0, -1):
            slope = slope * squared + terms[n - 1]
            value = value * squared + terms[n - 1] / (2 * n)
        mean.reshape(-1)[near] = 0.5 + 0.5 * y * slope
        out.reshape(-1)[near] = y + squared * value
    return out


def continuous_bernoulli_mean(eta: Array, mean: Array) -> Array:
    """Overwrite mean (B, D) with A'(l), for logits eta."""
    log_normaliser(eta, mean)
    return mean


def continuous_bernoulli(eta: Array, x: Array, dlog_p: Array, deta: Array) -> Array:
    """Return log p(x|eta) = x l - A(l) of each pixel, overwrite deta = dlog_p (x - A'); (B, D)."""
    log_p = x * eta
    log_p -= log_normaliser(eta, deta)
    np.subtract(x, deta, out=deta)
    deta *= dlog_p
    return log_p


class ContinuousBernoulli(Pixelwise):
    """p(x|l) = C(l) sigmoid(l)^x (1 - sigmoid(l))^(1 - x) for each pixel, a density over [0, 1]."""

    kind = "continuous-bernoulli"
    eta = "logits"
    support = UNIT
    source = "Loaiza-Ganem and Cunningham 2019"
    formula = staticmethod(continuous_bernoulli)
    others = (continuous_bernoulli_mean,)

    def mean(self, eta: Array) -> Array:
        """Return A'(l), (B, D): not sigmoid(l), which lies further out."""
        return self.formulas.continuous_bernoulli_mean(eta, self.like("mean", eta))

    def page(self) -> tuple[str, str]:
        """Return mean and -log p of one pixel in JavaScript."""
        mean = "(Math.abs(l) < 0.01 ? 0.5 + l / 12 - l ** 3 / 720 : -1 / Math.expm1(-l) - 1 / l)"
        far = "Math.max(l, 0) + Math.log(-Math.expm1(-Math.abs(l)) / Math.abs(l))"
        return mean, f"(Math.abs(l) < 0.001 ? l / 2 + l * l / 24 : {far}) - x * l"

    def sample(self, eta: Array, rng: np.random.Generator) -> np.ndarray:
        """Return draws of x, (B, D), by the inverse of the distribution function.

        P(x < t) = (e^(l t) - 1) / (e^l - 1) for l < 0, and mirrored for l > 0.
        """
        eta = self.backend.to_host(eta)
        a = np.maximum(np.abs(eta).astype(np.float64), 1e-12)
        x = np.log1p(rng.random(eta.shape) * np.expm1(-a)) / -a
        return np.where(eta > 0, 1 - x, x).astype(eta.dtype)
