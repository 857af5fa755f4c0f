"""A row of a table: numbers, each Gaussian with a variance of its own, and categories; with holes.

x holds n numbers, then n flags that say which of them are missing (1; the number itself is then 0),
then the categories as groups of one 1 and zeros; a category that is missing has zeros alone. What
is missing has no say: log p(x|eta) is that of what is there. How a table becomes such rows, and
what its columns are called, is for data/tables.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.errors import ArgumentError
from minivae.params import Array
from minivae.parts.categorical import categorical, log_softmax
from minivae.parts.gaussian_each import LOG_2PI, gaussian_each, soft_floor
from minivae.parts.likelihood import TABLE, Pixelwise
from minivae.parts.spec import wholes


def table(
    eta: Array, x: Array, starts: Array, raw: Array, dlog_p: Array, deta: Array, draw_rows: Array
) -> Array:
    """Return log p(x|eta) of each number and group (B, n + G), overwrite deta and draw_rows (B, n).

    eta and x are (B, D), raw is (n,), starts (G,) are the first columns of the groups.

    The columns are independent given z, so log p(x|z) is a sum over them. Its marginal over those
    that are missing is the sum over the others, as each of the densities left out integrates to 1:
    log p and slopes of a column are multiplied by 1 where it is there, by 0 where it is missing.
    """
    n = starts[0] // 2 if len(starts) else eta.shape[1] // 2
    log_p = np.empty((len(x), n + len(starts)), eta.dtype)
    deta[:, n : 2 * n] = 0  # nothing is said of the flags
    draw_rows[...] = 0
    if n:
        there = 1 - x[:, n : 2 * n]
        each = gaussian_each(eta[:, :n], x[:, :n], raw, dlog_p, deta[:, :n], draw_rows)
        np.multiply(each, there, out=log_p[:, :n])
        deta[:, :n] *= there
        draw_rows *= there
    if len(starts):
        l, one, dl, starts = eta[:, 2 * n :], x[:, 2 * n :], deta[:, 2 * n :], starts - 2 * n
        there = np.add.reduceat(one, starts, axis=1)
        np.multiply(categorical(l, one, starts, dlog_p, dl), there, out=log_p[:, n:])
        dl *= np.repeat(there, np.diff(np.append(starts, l.shape[1])), axis=1)
    return log_p


class Table(Pixelwise):
    """p(x|eta) = N(eta, e^logvar) of each number that is there, softmax of each category.

    Parameters
    ----------
    columns : tuple of int
        How many numbers there are, then how many categories each group has: "table:3,4,2".
    """

    kind = "table"
    settings = {"columns": wholes}  # noqa: RUF012
    example = "table:1,3,2"
    support = TABLE
    source = "Nazabal and others 2020, with one variance a column"
    formula = staticmethod(table)
    own = "raw"

    def __init__(self, pixels: int, columns: tuple[int, ...] = (), **settings: Any) -> None:
        numbers, groups = columns[:1], columns[1:]
        if min((0, *numbers)) < 0 or min(groups, default=2) < 2 or pixels != self.width_of(columns):
            raise ArgumentError(
                f"the data have {pixels} columns: say how many numbers there are, each with a "
                "flag, and how many categories each group has, as in table:3,4,2 for 12"
            )
        # Without numbers there is one parameter nevertheless, which no gradient moves.
        super().__init__(pixels, max(1, numbers[0]), **settings)
        self.columns, self.numbers, self.groups = columns, numbers[0], groups
        self.starts = np.cumsum((0, *groups))[:-1]  # within the groups' columns
        self.constants = (2 * self.numbers + self.starts,)
        self.flags = slice(self.numbers, 2 * self.numbers)

    @staticmethod
    def width_of(columns: tuple[int, ...]) -> int:
        """Return how many columns a row has: numbers, flags, categories."""
        return sum(columns) + sum(columns[:1])

    def outside(self, x: Array) -> Array:
        """Return where x is no such row, (B, D)."""
        n, outside = self.numbers, ~np.isfinite(x)
        flags = x[:, self.flags]
        outside[:, self.flags] |= (flags != 0) & (flags != 1)
        outside[:, :n] |= (flags == 1) & (x[:, :n] != 0)
        ones = x[:, 2 * n :]
        outside[:, 2 * n :] |= (ones != 0) & (ones != 1)
        if self.groups:
            many = np.add.reduceat(ones, self.starts, axis=1) > 1
            outside[:, 2 * n :] |= np.repeat(many, self.groups, axis=1)
        return outside

    def mean(self, eta: Array) -> Array:
        """Return the mean of each number, no flag, and the share of each category, (B, D)."""
        mean = self.like("mean", eta)
        mean[...] = eta
        mean[:, self.flags] = 0
        if self.groups:
            shares = mean[:, 2 * self.numbers :]
            log_softmax(eta[:, 2 * self.numbers :], self.starts, shares)
            np.exp(shares, out=shares)
        return mean

    def page(self) -> tuple[str, str]:
        """Return mean and -log p of one column, none of them missing, in JavaScript."""
        n, first, last, logvar = self.numbers, [], [], []
        if n:
            raw = self.backend.to_host(self.params["raw"]).astype(np.float64)
            logvar = soft_floor(raw)[0].tolist()
        for start, size in zip(self.starts.tolist(), self.groups, strict=True):
            first += [start] * size
            last += [start + size] * size
        group = f"e.slice({2 * n} + {first}[d - {2 * n}], {2 * n} + {last}[d - {2 * n}])"
        total = f"{group}.reduce((sum, o) => sum + Math.exp(o - l), 0)"
        number = f"((v) => 0.5 * ((x - l) ** 2 * Math.exp(-v) + v + {LOG_2PI!r}))({logvar}[d])"

        def of(number: str, category: str) -> str:
            return f"(d < {n} ? {number} : d < {2 * n} ? 0 : {category})"

        return of("l", f"1 / {total}"), of(number, f"(x ? Math.log({total}) : 0)")

    def sample(self, eta: Array, rng: np.random.Generator) -> np.ndarray:
        """Return draws of x, (B, D), in which nothing is missing."""
        eta, n = self.backend.to_host(eta), self.numbers
        drawn = np.zeros(eta.shape, eta.dtype)
        if n:
            sigma = np.exp(soft_floor(self.backend.to_host(self.params["raw"]))[0] / 2)
            drawn[:, :n] = eta[:, :n] + sigma * rng.standard_normal((len(eta), n))
        if self.groups:
            noisy = eta[:, 2 * n :] + rng.gumbel(size=(len(eta), sum(self.groups)))
            top = np.repeat(np.maximum.reduceat(noisy, self.starts, axis=1), self.groups, axis=1)
            drawn[:, 2 * n :] = noisy == top
        return drawn
