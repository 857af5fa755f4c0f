"""What every likelihood p(x|eta) offers, where eta (B, width D) is the decoder's output.

The formulas of each are in a file of its own; that z leads to eta is the decoder's matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from minivae.formulas import linear_backward_bias
from minivae.layers import Layer, Shape
from minivae.params import ALL, Array
from minivae.parts.rows import repeat_rows, scale_rows, sum_rows

# Which x a likelihood is for, in words.
UNIT = "numbers from 0 to 1"
LEVELS = "grey levels, k/255"
COUNTS = "whole numbers from 0"
ONE_HOT = "one 1 in each group of columns, and zeros"
TABLE = "numbers, their flags, then one-hot groups"
ANY = "any numbers"


class Likelihood(Layer):
    """p(x|eta): children say how many numbers a pixel needs, and compute.

    A likelihood may have parameters of its own: they are named in `shapes`, and `gradients`
    computes their gradients from what `nll` or `backward` kept.
    """

    kind: ClassVar[str]  # its name, for --likelihood
    settings: ClassVar[dict[str, Any]] = {}  # what may follow the name: see spec.py
    example: ClassVar[str] = ""  # with settings: how it is written
    source: ClassVar[str]  # where its formula is from
    width: ClassVar[int] = 1  # numbers of eta for each pixel
    eta: ClassVar[str] = "eta"  # what its eta is called
    support: ClassVar[str]  # which x it is for, in words: UNIT, ...
    discrete: ClassVar[bool] = False  # whether p is a probability, not a density
    unit: ClassVar[str] = "nats"  # in which its loss is usually told

    def __init__(
        self, pixels: int, shapes: Mapping[str, Shape] | None = None, **settings: Any
    ) -> None:
        super().__init__(shapes, **settings)
        self.pixels = pixels

    def outside(self, x: np.ndarray) -> np.ndarray:
        """Return which entries of data x (B, D) are not in the support, (B, D)."""
        if self.support == ANY:
            return ~np.isfinite(x)
        if self.support == COUNTS:
            return ~((x >= 0) & (x == np.rint(x)))
        within = (x >= 0) & (x <= 1)
        if self.support == LEVELS:
            within &= np.abs(255 * x - np.rint(255 * x)) < 1e-3
        return ~within

    def forward(self, eta: Array, x: Array) -> Array:
        """Return log p(x|eta) of each row of eta, in nats; K rows in turn may share an image x.

        `repeated` gives each row its own.
        """
        raise NotImplementedError

    def backward(self, dlog_p: Array) -> Array:
        """Return deta for dlog_p (B,), and overwrite the gradients of own parameters.

        Once for each `forward`: it may use up what that kept.
        """
        raise NotImplementedError

    def nll(self, eta: Array, x: Array, scale: float) -> tuple[Array, Array]:
        """Return -scale times the sum of log p(x|eta), and its gradient deta."""
        raise NotImplementedError

    def mean(self, eta: Array) -> Array:
        """Return the mean of p(x|eta), (B, D)."""
        raise NotImplementedError

    def page(self) -> tuple[str, str]:
        """Return mean and -log p of one pixel as JavaScript expressions.

        They see l, its eta, and x; d, its number; e, all of eta.
        """
        raise NotImplementedError

    def sample(self, eta: Array, rng: np.random.Generator) -> np.ndarray:
        """Return draws of x (B, D), on the host."""
        raise NotImplementedError

    def repeated(self, x: Array, rows: int) -> Array:
        """Return the images x (B, D) as many times as it takes for that many rows."""
        if len(x) == rows:
            return x
        room = self.buffers.get("x", rows, x.shape[1], x.dtype)
        return self.backend.twins(repeat_rows).repeat_rows(x, room)

    def blocks(self, eta: Array, x: Array) -> Iterator[tuple[slice, Array]]:
        """Yield some rows of eta, as many as stay in a cache for all passes, and their images x.

        At least once: a process may have no rows of a small batch.
        """
        times = len(eta) // max(1, len(x))
        images = max(1, self.backend.block // eta.shape[1] // max(1, times))
        for first in range(0, max(1, len(x)), images):
            last = min(first + images, len(x))
            yield slice(first * times, last * times), x[first:last]


class Pixelwise(Likelihood):
    """p(x|eta) pixel by pixel, by one formula that gives log p and its slopes together.

    The formula is called as formula(eta, x, *constants, dlog_p, deta), or with own parameters
    formula(eta, x, *constants, parameters, dlog_p, deta, drows), where constants are what
    `constants` says. It returns log p of each pixel (B, D), and overwrites deta and drows (B, P),
    each row's part of the gradient of the P parameters, with the slopes of log p times dlog_p.
    """

    kept = ("drows",)
    formula: ClassVar[Any]
    others: ClassVar[tuple[Any, ...]] = ()  # further formulas
    own: ClassVar[str] = ""  # the name of its parameters, if it has any

    def __init__(self, pixels: int, own: int = 0, **settings: Any) -> None:
        super().__init__(pixels, {self.own: (own,)} if own else None, **settings)
        formula = type(self).formula
        shared = linear_backward_bias, scale_rows, sum_rows
        self.formulas = self.backend.twins(formula, *shared, *self.others)
        self._whole = getattr(self.formulas, f"{formula.__name__}_nll", None)  # on a device
        self.constants: tuple[Any, ...] = ()

    def initial(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Return zeros."""
        return np.zeros(shape)

    def forward(self, eta: Array, x: Array) -> Array:
        """Return log p(x|eta) of each row of eta, in nats; keep its slopes."""
        log_p, self.slopes, self.own_slopes = self._pass(eta, x, 1.0, "slopes", "own slopes")
        return log_p

    def each(self, eta: Array, x: Array) -> Array:
        """Return log p of each pixel, (B, D), of which `forward` is the sum; nothing is kept."""
        return self._formula(eta, x, 1.0, *self._places(eta, "slopes", "own slopes"))

    def backward(self, dlog_p: Array) -> Array:
        """Return deta for dlog_p (B,), and overwrite the gradients of own parameters."""
        slopes, scale = self.slopes, self.formulas.scale_rows
        del self.slopes  # overwritten
        if self.own_shapes:
            self.drows = scale(self.own_slopes, dlog_p, self.own_slopes)
            self.gradients()
        return scale(slopes, dlog_p, slopes)

    def nll(self, eta: Array, x: Array, scale: float) -> tuple[Array, Array]:
        """Return -scale times the sum of log p(x|eta), and its gradient deta."""
        if self._whole is not None:
            deta = self.like("deta", eta)
            return self._whole(eta, x, scale, deta), deta
        log_p, deta, self.drows = self._pass(eta, x, -scale, "deta", "drows")
        return -scale * float(log_p.sum(dtype=np.float64)), deta

    def _pass(self, eta: Array, x: Array, dlog_p: float, *names: str) -> tuple[Array, Array, Array]:
        """Return log p of each row of eta, and its slopes times dlog_p, kept by those names."""
        deta, drows = self._places(eta, *names)
        log_p = []
        for n, images in self.blocks(eta, x):
            rows = eta[n]
            each = self._formula(rows, self.repeated(images, len(rows)), dlog_p, deta[n], drows[n])
            log_p.append(self.formulas.sum_rows(each))
        return log_p[0] if len(log_p) == 1 else np.concatenate(log_p), deta, drows

    def _places(self, eta: Array, *names: str) -> tuple[Array, Array]:
        """Return arrays for deta and for the rows of own parameters."""
        deta = self.like(names[0], eta)
        if not self.own_shapes:
            return deta, deta
        own = self.params[self.own].size
        return deta, self.buffers.get(names[1], len(eta), own, eta.dtype)

    def _formula(self, eta: Array, x: Array, dlog_p: float, deta: Array, drows: Array) -> Array:
        """Return log p of each pixel; overwrite deta and drows."""
        formula = getattr(self.formulas, type(self).formula.__name__)
        if not self.own_shapes:
            return formula(eta, x, *self.constants, dlog_p, deta)
        return formula(eta, x, *self.constants, self.params[self.own], dlog_p, deta, drows)

    def gradients(self, part: slice = ALL) -> None:
        """Overwrite the gradients of own parameters with the sums over all rows of the batch."""
        if self.own_shapes and self.within(self.own, part) is not None:
            self.formulas.linear_backward_bias(self.drows, self.grads[self.own])
