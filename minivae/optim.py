"""Adam over the flat vector of parameters: it owns the moments and the step counter.

The arithmetic is `formulas.adam`; this walks the vector in blocks of the backend's choice.
"""

from __future__ import annotations

from typing import Any

from minivae.backend import Backend
from minivae.errors import ArgumentError
from minivae.params import Parameters


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), bias-corrected.

    Parameters
    ----------
    params : Parameters
        The flat vectors to read gradients from and to update.
    backend : Backend
        Where they live.
    lr, beta1, beta2, eps : float
        The paper's alpha, beta1, beta2 and epsilon.

    Attributes
    ----------
    m, v : array (size,)
        The paper's moments divided by (1 - beta1) and (1 - beta2): see `formulas.adam`.
    steps : int
        How many updates were made.
    """

    def __init__(
        self,
        params: Parameters,
        backend: Backend,
        lr: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
    ) -> None:
        if not 0 < lr < float("inf"):
            raise ArgumentError(f"the learning rate must be above 0, not {lr}")
        self.theta, self.grad = params.theta, params.grad
        self.backend, self.formulas = backend, backend.formulas
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.m, self.v = (backend.empty(self.theta.shape, self.theta.dtype) for _ in range(2))
        self.m[...] = 0
        self.v[...] = 0
        self.steps = 0
        self._rate = self._floor = 0.0

    def step(self) -> None:
        """Update all parameters from the gradients as they stand."""
        self.advance()
        self.update(slice(0, len(self.theta)))

    def advance(self) -> None:
        """Begin the next step: count it and compute its constants."""
        self.steps += 1
        self._rate, self._floor = self.formulas.adam_constants(
            self.steps, self.lr, self.beta1, self.beta2, self.eps
        )

    def update(self, part: slice) -> None:
        """Update one part of the vector; processes may update different parts at once."""
        for start in range(part.start, part.stop, self.backend.block):
            block: Any = slice(start, min(start + self.backend.block, part.stop))
            self.formulas.adam(
                self.theta[block],
                self.grad[block],
                self.m[block],
                self.v[block],
                self.beta1,
                self.beta2,
                self._rate,
                self._floor,
            )
