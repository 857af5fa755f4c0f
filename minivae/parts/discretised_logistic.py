"""Grey levels k/255 as what they are, 256 outcomes: a logistic distribution cut into 256 bins.

Salimans and others (2017), with one component: eta is the centre, one scale, learned, holds for all
pixels. The loss is that of a lossless code: nats / (D log 2) are bits a pixel, beside 8 for noise.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minivae.formulas import sigmoid
from minivae.layers import Shape
from minivae.params import Array
from minivae.parts.likelihood import LEVELS, Pixelwise
from minivae.parts.softplus import softplus

HALF = 1 / 510  # half a bin


def discretised_logistic(
    eta: Array, x: Array, logscale: Array, dlog_p: Array, deta: Array, dlogscale_rows: Array
) -> Array:
    """Return log p(x|eta) of each pixel (B, D), overwrite deta (B, D), dlogscale_rows (B, 1).

    A bin's share is sigmoid(a) - sigmoid(b) with a, b = (x +- half a bin - eta) / s, and
    sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - e^(b - a)), so log p = -softplus(-a)
    - softplus(b) + log(1 - e^-w), where w = a - b is the same for all. The lowest bin has no lower
    end, so that -softplus(-a) alone is left, the highest only -softplus(b).

    d log p / da = sigmoid(-a) + 1/(e^w - 1) and d log p / db = -sigmoid(b) - 1/(e^w - 1); by eta
    both count -1/s, by log s -a and -b.

    All but two passes need e^-a and e^-b, one exponential times a number each, and one logarithm:
    softplus(-a) + softplus(b) = b + log((1 + e^-a) (1 + e^-b)). A row for which that is infinite
    is computed by terms that do not grow.
    """
    inverse = np.exp(-logscale)
    half = HALF * inverse
    there = x < 1 - HALF, x > HALF  # whether there is an upper end, and a lower
    inside = there[0] & there[1]
    with np.errstate(over="ignore", invalid="ignore"):
        middle = x - eta
        middle *= inverse
        e = np.exp(-middle)
        to_a, to_b = e * np.exp(-half), np.multiply(e, np.exp(half), out=e)
        to_a *= there[0]
        to_b *= there[1]
        above, below = 1 + to_a, 1 + to_b
        da = np.divide(to_a, above, out=to_a)
        db = np.divide(there[1], below, out=to_b)
        above *= below
        log_p = np.log(above, out=above)
        np.subtract(middle, half, out=below)  # b
        log_p += below * there[1]
        np.subtract(inside * np.log(-np.expm1(-2 * half)), log_p, out=log_p)
        _slopes(da, db, middle + half, below, inside, logscale, dlog_p, deta, dlogscale_rows)
    rows = np.flatnonzero(~np.isfinite(np.einsum("bd->b", log_p)))
    if len(rows):
        middle, inside, upper, lower = (one[rows] for one in (middle, inside, *there))
        a, b = middle + half, middle - half
        above, da = softplus(-a)
        below, db = softplus(b)
        log_p[rows] = inside * np.log(-np.expm1(-2 * half)) - above * upper - below * lower
        found = np.empty_like(middle), np.empty_like(middle[:, :1])
        _slopes(da * upper, db * lower, a, b, inside, logscale, dlog_p, *found)
        deta[rows], dlogscale_rows[rows] = found
    return log_p


def _slopes(
    da: Array, db: Array, a: Array, b: Array, inside: Array, logscale: Array, dlog_p: float,
    deta: Array, dlogscale_rows: Array,
) -> None:  # fmt: skip
    """Overwrite deta and dlogscale_rows, for da = sigmoid(-a), db = sigmoid(b), or 0."""
    np.subtract(db, da, out=deta)
    deta *= np.exp(-logscale) * dlog_p
    w = 2 * HALF * np.exp(-logscale)
    db *= b
    da *= a
    db -= da
    db -= inside * (w / np.expm1(w))
    np.multiply(db.sum(axis=1, keepdims=True), dlog_p, out=dlogscale_rows)


class DiscretisedLogistic(Pixelwise):
    """p(k/255|eta) = the share that a logistic distribution around eta has in that level's bin."""

    kind = "discretised-logistic"
    support = LEVELS
    discrete = True
    unit = "bits a pixel"
    source = "Salimans and others 2017, section 2.1"
    formula = staticmethod(discretised_logistic)
    own = "logscale"

    def __init__(self, pixels: int, **settings: Any) -> None:
        super().__init__(pixels, 1, **settings)

    def initial(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Return -2: a deviation of a quarter of the way from black to white."""
        return np.full(shape, -2.0)

    def mean(self, eta: Array) -> Array:
        """Return the mean level, (B, D): the mean of a count k is the sum of all P(K > k)."""
        inverse = np.exp(-self.params["logscale"])
        mean, past = np.zeros_like(eta), self.like("past", eta)
        for k in range(255):
            np.subtract(eta, (k + 0.5) / 255, out=past)
            past *= inverse
            mean += sigmoid(past, past)
        mean /= 255
        return mean

    def page(self) -> tuple[str, str]:
        """Return mean and -log p of one pixel in JavaScript."""
        r = math.exp(-float(self.backend.to_host(self.params["logscale"])[0]))
        mean = (
            "((m) => { for (let k = 0; k < 255; k++) m += 1 / (1 + "
            f"Math.exp({r!r} * ((k + 0.5) / 255 - l))); return m / 255; }})(0)"
        )
        softplus = "(Math.max(l, 0) + Math.log1p(Math.exp(-Math.abs(l))))"
        inside = repr(math.log(-math.expm1(-2 * HALF * r)))
        nll = (
            f"((f, a, b) => (x > {1 - HALF!r} ? 0 : f(-a)) + (x < {HALF!r} ? 0 : f(b)) - "
            f"(x > {1 - HALF!r} || x < {HALF!r} ? 0 : {inside}))((l) => {softplus}, "
            f"{r!r} * (x + {HALF!r} - l), {r!r} * (x - {HALF!r} - l))"
        )
        return mean, nll

    def sample(self, eta: Array, rng: np.random.Generator) -> np.ndarray:
        """Return draws of x, (B, D): a logistic number, to the nearest level."""
        eta = self.backend.to_host(eta)
        scale = float(np.exp(self.backend.to_host(self.params["logscale"])[0]))
        drawn = rng.logistic(eta, scale)
        return (np.clip(np.rint(drawn * 255), 0, 255) / 255).astype(eta.dtype)
