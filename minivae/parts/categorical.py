"""Categories: columns in groups, of which each row has one 1 and zeros beside it (one-hot).

eta are logits, a column each; which columns belong together is given.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.errors import ArgumentError
from minivae.params import Array
from minivae.parts.likelihood import ONE_HOT, Pixelwise
from minivae.parts.spec import wholes


def categorical(eta: Array, x: Array, starts: Array, dlog_p: Array, deta: Array) -> Array:
    """Return log p(x|eta) of each group (B, G), overwrite deta (B, D); starts (G,): first columns.

    log p = x . l - log sum e^l within a group, and its slope is x - softmax(l).
    """
    log_sum = log_softmax(eta, starts, deta)
    np.exp(deta, out=deta)
    np.subtract(x, deta, out=deta)
    deta *= dlog_p
    return np.add.reduceat(x * eta, starts, axis=1) - log_sum


def log_softmax(eta: Array, starts: Array, out: Array) -> Array:
    """Overwrite out (B, D) with log of each category's share; return log sum e^l (B, G)."""
    columns = np.diff(np.append(starts, eta.shape[1]))
    top = np.maximum.reduceat(eta, starts, axis=1)
    np.subtract(eta, np.repeat(top, columns, axis=1), out=out)
    log_sum = np.log(np.add.reduceat(np.exp(out), starts, axis=1))
    out -= np.repeat(log_sum, columns, axis=1)
    return log_sum + top


class Categorical(Pixelwise):
    """p(x|l) = softmax(l) of the column that has the 1, group by group.

    Parameters
    ----------
    groups : tuple of int
        How many columns each group has, in their order: "categorical:3,4,2".
    """

    kind = "categorical"
    settings = {"groups": wholes}  # noqa: RUF012
    example = "categorical:3,2"
    eta = "logits"
    support = ONE_HOT
    discrete = True
    source = "Bishop 2006, section 4.3.4"
    formula = staticmethod(categorical)

    def __init__(self, pixels: int, groups: tuple[int, ...] = (), **settings: Any) -> None:
        super().__init__(pixels, **settings)
        if self.width_of(groups) != pixels or min(groups, default=0) < 2:
            raise ArgumentError(
                f"the data have {pixels} columns: say which belong together, at least 2 a group "
                f"and {pixels} in all, as in categorical:3,4,2 for 9"
            )
        self.groups = groups
        self.starts = np.cumsum((0, *groups[:-1]))
        self.constants = (self.starts,)

    @staticmethod
    def width_of(groups: tuple[int, ...]) -> int:
        """Return how many columns a row has."""
        return sum(groups)

    def outside(self, x: Array) -> Array:
        """Return where x is in no group of one 1 and zeros, (B, D)."""
        between = (x != 0) & (x != 1)
        if between.any():
            return between
        return np.repeat(np.add.reduceat(x, self.starts, axis=1) != 1, self.groups, axis=1)

    def mean(self, eta: Array) -> Array:
        """Return the share of each category, (B, D)."""
        mean = self.like("mean", eta)
        log_softmax(eta, self.starts, mean)
        return np.exp(mean, out=mean)

    def page(self) -> tuple[str, str]:
        """Return mean and -log p of one column in JavaScript; the group's columns are in e."""
        ends = np.cumsum(self.groups)
        first = np.repeat(self.starts, self.groups).tolist()
        last = np.repeat(ends, self.groups).tolist()
        total = f"e.slice({first}[d], {last}[d]).reduce((sum, o) => sum + Math.exp(o - l), 0)"
        return f"1 / {total}", f"(x ? Math.log({total}) : 0)"

    def sample(self, eta: Array, rng: np.random.Generator) -> np.ndarray:
        """Return draws of x, (B, D): the largest of logits with Gumbel noise has the 1."""
        noisy = self.backend.to_host(eta) + rng.gumbel(size=eta.shape)
        top = np.repeat(np.maximum.reduceat(noisy, self.starts, axis=1), self.groups, axis=1)
        return (noisy == top).astype(eta.dtype)
