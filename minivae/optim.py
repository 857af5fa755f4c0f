"""Optimizers over the flat vector of parameters: they own the moments and the step counter.

The arithmetic is `formulas.adam` and `sgd` below; this walks the vector in blocks of the backend's
choice. How the learning rate changes is for training/schedules.py.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from minivae import products
from minivae.backend import Backend
from minivae.denormals import Flushed
from minivae.errors import ArgumentError
from minivae.inputs import typed
from minivae.params import Array, Parameters


class Optimizer:
    """What all have: the vectors, a learning rate, a count of steps, clipping; children update.

    Parameters
    ----------
    params : Parameters
        The flat vectors to read gradients from and to update.
    backend : Backend
        Where they live.
    lr : float
        The learning rate; `factor`, 1 unless a schedule sets it, multiplies it.

    Attributes
    ----------
    state : dict of str to array (size,)
        What a checkpoint keeps: the moments, which are attributes of those names too.
    steps : int
        How many updates were made.
    clip : float or None
        What the gradient's norm is cut to, if it is larger (Pascanu and others 2013).
    """

    moments: ClassVar[tuple[str, ...]]

    def __init__(self, params: Parameters, backend: Backend, lr: float) -> None:
        if not 0 < lr < float("inf"):
            raise ArgumentError(f"the learning rate must be above 0, not {lr}")
        self.theta, self.grad = params.theta, params.grad
        self.backend = backend
        self.formulas: Any = backend.formulas
        self.lr, self.factor = lr, 1.0
        self.clip: float | None = None
        self.state = {name: backend.empty(self.theta.shape, self.theta.dtype)
                      for name in self.moments}  # fmt: skip
        for name, array in self.state.items():
            array[...] = 0
            setattr(self, name, array)
        self.steps = 0

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return self.lr * self.factor

    def step(self) -> None:
        """Update all parameters from the gradients as they stand."""
        whole = slice(0, len(self.theta))
        self.advance()
        if self.clip is not None:
            self.shrink(whole, self.squares(whole))
        with Flushed():
            self.update(whole)

    def advance(self) -> None:
        """Begin the next step: count it and compute its constants."""
        self.steps += 1

    def squares(self, part: slice) -> float:
        """Return the sum of squares of one part of the gradient."""
        return float(np.vdot(self.grad[part], self.grad[part]))

    def shrink(self, part: slice, squares: float) -> None:
        """Scale one part of the gradient, whose squares sum to that, to the norm `clip`."""
        norm = math.sqrt(squares)
        if self.clip is not None and norm > self.clip:
            self.grad[part] *= self.clip / norm

    def update(self, part: slice) -> None:
        """Update one part of the vector; processes may update different parts at once."""
        block = self._block
        for start in range(part.start - part.start % block, part.stop, block):
            self._update(slice(max(start, part.start), min(start + block, part.stop)))

    @property
    def _block(self) -> int:
        """Numbers that are updated at a time."""
        return self.backend.block

    def _update(self, block: slice) -> None:
        raise NotImplementedError


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1), bias-corrected; with decay AdamW.

    Parameters
    ----------
    params, backend, lr
        As of `Optimizer`.
    beta1, beta2, eps : float
        The paper's beta1, beta2 and epsilon.
    decay : float
        Before each update all parameters shrink by lr times this (Loshchilov and Hutter 2019).

    Attributes
    ----------
    m, v : array (size,)
        The paper's moments divided by (1 - beta1) and (1 - beta2): see `formulas.adam`.
    """

    moments = ("m", "v")
    m: Array
    v: Array
    _rate: float
    _floor: float

    @typed
    def __init__(
        self,
        params: Parameters,
        backend: Backend,
        lr: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        decay: float = 0.0,
    ) -> None:
        super().__init__(params, backend, lr)
        for name, beta in (("beta1", beta1), ("beta2", beta2)):
            if not 0 <= beta < 1:
                raise ArgumentError(f"{name} must be from 0 to below 1, not {beta}")
        self.beta1, self.beta2, self.eps, self.decay = beta1, beta2, eps, decay
        self._room = backend.room(min(backend.block, params.size), params.theta.dtype)

    def advance(self) -> None:
        """Begin the next step: count it and compute its constants."""
        super().advance()
        self._rate, self._floor = self.formulas.adam_constants(
            self.steps, self.rate, self.beta1, self.beta2, self.eps
        )

    @property
    def _library(self) -> Any:
        """What updates in place of the formulas, if anything: it takes NumPy's float32 vectors."""
        takes = isinstance(self.theta, np.ndarray) and self.theta.dtype == "f4"
        return products.in_use if takes else None

    @property
    def _block(self) -> int:
        return super()._block if self._library is None else len(self.theta)

    def _update(self, block: slice) -> None:
        if self.decay:
            self.theta[block] *= 1 - self.rate * self.decay
        vectors = [each[block] for each in (self.theta, self.grad, self.m, self.v)]
        constants = self.beta1, self.beta2, self._rate, self._floor
        if self._library is not None:
            self._library.adam(*vectors, *constants)
        else:
            self.formulas.adam(*vectors, *constants, self._room[: block.stop - block.start])


class Sgd(Optimizer):
    """Gradient descent with momentum (Polyak 1964), as PyTorch has it: m <- mu m + g.

    Parameters
    ----------
    params, backend, lr
        As of `Optimizer`.
    momentum : float
        mu, from 0 to below 1.
    """

    moments = ("m",)
    m: Array

    def __init__(
        self, params: Parameters, backend: Backend, lr: float = 1e-3, momentum: float = 0.9
    ) -> None:
        super().__init__(params, backend, lr)
        if not 0 <= momentum < 1:
            raise ArgumentError(f"the momentum must be from 0 to below 1, not {momentum}")
        self.momentum = momentum
        self.formulas = backend.twins(sgd)

    def _update(self, block: slice) -> None:
        arrays = self.theta[block], self.grad[block], self.m[block]
        self.formulas.sgd(*arrays, self.momentum, self.rate)


def sgd(theta: Array, grad: Array, m: Array, momentum: float, rate: float) -> None:
    """One update of theta, in place, with its sum m: m <- mu m + g, then theta <- theta - lr m."""
    m *= momentum
    m += grad
    theta -= rate * m


def parse(text: str) -> tuple[type[Optimizer], dict[str, float]]:
    """Return class and setting of the optimizer of that text, as `optimizer` has it."""
    kind, colon, number = text.partition(":")
    try:
        if kind == "adamw":
            return Adam, {"decay": float(number if colon else "0.01")}
        if kind == "sgd":
            return Sgd, {"momentum": float(number if colon else "0.9")}
    except ValueError:
        kind = ""
    if kind != "adam" or colon:
        raise ArgumentError(
            f"optimizer {text!r:.50} is unknown: adam, adamw:0.01 (with its weight decay), sgd:0.9 "
            "(with its momentum)"
        )
    return Adam, {}


def optimizer(text: str, params: Parameters, backend: Backend, lr: float = 1e-3) -> Optimizer:
    """Return the optimizer of that text: "adam", "adamw:0.01" (decay), "sgd:0.9" (momentum).

    Raises
    ------
    ArgumentError
        If the text is none of these, or a number is out of range.
    """
    kind, setting = parse(text)
    return kind(params, backend, lr, **setting)
