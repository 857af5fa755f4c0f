"""log Gamma and its derivative on arrays, in float64, for what counts have in common.

NumPy has neither; who needs them, and of what, is the parts' matter.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from minivae.params import Array

TABLE = 4096  # counts whose log factorial is looked up
SMALL = 64  # counts of which log_binomial makes a table
SHIFT = 8  # Stirling's series is used from here on
# B_2n / (2n (2n - 1)), B the Bernoulli numbers: log Gamma's series in 1/z, 1/z^3, 1/z^5, ...
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)


def log_gamma(z: Array) -> Array:
    """Return log Gamma(z) for z > 0, by Stirling's series; the next term is below 5e-16.

    log Gamma(z) = (z - 1/2) log z - z + log(2 pi)/2 + 1/(12 z) - 1/(360 z^3) + ... for large z, and
    Gamma(z + 1) = z Gamma(z) leads there from a small one.
    """
    z = np.asarray(z, np.float64)
    low, up = _shifted(z)
    v = 1 / up
    out = (up - 0.5) * np.log(up) - up + 0.5 * math.log(2 * math.pi)
    out += v * np.polyval(STIRLING[::-1], v * v)
    if low.any():
        steps = z[low, None] + np.arange(SHIFT)
        out[low] -= np.log(np.multiply.reduce(steps, axis=-1))
    return out


def log_factorial(x: Array) -> Array:
    """Return log x! = log Gamma(x + 1), looked up where all are small whole numbers."""
    counts = x.astype(np.int64)
    small = counts.min(initial=0) >= 0 and counts.max(initial=0) < TABLE
    if small and (counts == x).all():
        return _table()[counts]
    return log_gamma(x + 1)


@functools.cache
def _table() -> Array:
    return log_gamma(np.arange(1.0, TABLE + 1))


def log_binomial(x: Array, r: Array) -> tuple[Array, Array]:
    """Return log(G(x + r) / (G(r) x!)) and its slope by r, psi(x + r) - psi(r); x (B, D), r (D,).

    For small whole x the first is the sum of log((r + k) / (k + 1)) over k < x, the second that of
    1 / (r + k): no difference of large numbers, and looked up for each column. All is computed in
    float64; the results are of x's type.
    """
    counts = x.astype(np.int64)
    k = np.arange(min(max(0, int(counts.max(initial=0))), SMALL))[:, None]
    places = np.minimum(np.maximum(counts, 0), len(k))
    places *= len(r)
    places += np.arange(len(r))
    found = []
    for terms in (np.log((r + k) / (k + 1)), 1 / (r + k)):
        sums = np.zeros((len(k) + 1, len(r)))
        np.cumsum(terms, axis=0, out=sums[1:])
        found.append(sums.astype(x.dtype).take(places))
    other = (counts > SMALL) | (counts < 0) | (counts != x)
    if other.any():
        z, one = x[other].astype(np.float64), np.broadcast_to(r, x.shape)[other]
        found[0][other] = log_gamma(z + one) - log_gamma(one) - log_factorial(z)
        found[1][other] = digamma(z + one) - digamma(one)
    return found[0], found[1]


def digamma(z: Array) -> Array:
    """Return d/dz log Gamma(z) for z > 0: the series' derivative, and Gamma'(z + 1) likewise."""
    z = np.asarray(z, np.float64)
    low, up = _shifted(z)
    v = 1 / up
    slopes = [term * (2 * n + 1) for n, term in enumerate(STIRLING)]
    out = np.log(up) - 0.5 * v - v * v * np.polyval(slopes[::-1], v * v)
    if low.any():
        out[low] -= np.sum(1 / (z[low, None] + np.arange(SHIFT)), axis=-1)
    return out


def _shifted(z: Array) -> tuple[Array, Array]:
    """Return where z is small, and z with 8 added there."""
    low = z < SHIFT
    return low, np.where(low, z + SHIFT, z)


PAGE = (  # log Gamma in JavaScript
    "((z) => { let s = 0; for (; z < 8; z++) s -= Math.log(z); const v = 1 / (z * z); return s + "
    "(z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + (1 / 12 - v * (1 / 360 - v * "
    "(1 / 1260 - v * (1 / 1680 - v * (1 / 1188 - v * (691 / 360360 - v / 156)))))) / z; })"
)
