"""What every likelihood p(x|eta) offers, where eta (B, width D) is the decoder's output.

The formulas of each are in a file of its own; that z leads to eta is the decoder's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from minivae.formulas import linear_backward_bias
from minivae.layers import Layer, Shape
from minivae.params import ALL, Array
from minivae.parts.rows import scale_rows, sum_rows

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
        """Return log p(x|eta) of each image, (B,), in nats."""
        raise NotImplementedError

    def backward(self, dlog_p: Array) -> Array:
        """Return deta for dlog_p (B,), and overwrite the gradients of own parameters."""
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
        """Return log p(x|eta) of each image, (B,), in nats; keep its slopes."""
        log_p, self.slopes, self.own_slopes = self._pass(eta, x, 1.0, "slopes", "own slopes")
        return self.formulas.sum_rows(log_p)

    def each(self, eta: Array, x: Array) -> Array:
        """Return log p of each pixel, (B, D), of which `forward` is the sum; nothing is kept."""
        return self._pass(eta, x, 1.0, "slopes", "own slopes")[0]

    def backward(self, dlog_p: Array) -> Array:
        """Return deta for dlog_p (B,), and overwrite the gradients of own parameters."""
        scale = self.formulas.scale_rows
        if self.own_shapes:
            self.drows = scale(self.own_slopes, dlog_p, self.like("drows", self.own_slopes))
            self.gradients()
        return scale(self.slopes, dlog_p, self.like("deta", self.slopes))

    def nll(self, eta: Array, x: Array, scale: float) -> tuple[Array, Array]:
        """Return -scale times the sum of log p(x|eta), and its gradient deta."""
        if self._whole is not None:
            deta = self.like("deta", eta)
            return self._whole(eta, x, scale, deta), deta
        log_p, deta, self.drows = self._pass(eta, x, -scale, "deta", "drows")
        return -scale * float(log_p.sum(axis=1).sum(dtype=np.float64)), deta

    def _pass(self, eta: Array, x: Array, dlog_p: float, *names: str) -> tuple[Array, Array, Array]:
        deta = self.like(names[0], eta)
        formula = getattr(self.formulas, type(self).formula.__name__)
        if not self.own_shapes:
            return formula(eta, x, *self.constants, dlog_p, deta), deta, eta
        own = self.params[self.own]
        drows = self.buffers.get(names[1], len(eta), len(own), eta.dtype)
        return formula(eta, x, *self.constants, own, dlog_p, deta, drows), deta, drows

    def gradients(self, part: slice = ALL) -> None:
        """Overwrite the gradients of own parameters with the sums over all rows of the batch."""
        if self.own_shapes and self.within(self.own, part) is not None:
            self.formulas.linear_backward_bias(self.drows, self.grads[self.own])
