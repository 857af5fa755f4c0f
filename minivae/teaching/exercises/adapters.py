"""The students' plain functions as layers, with forward and backward, for the gradient checker.

Which function goes into which layer, and with what inputs, is for trials.py.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

Array = np.ndarray
# The rows of a batch and all widths (3, 7, 11) are different primes, and beta no ratio of them:
# a factor too many or a product of the wrong matrices shows which it is.
B = 5
BETA = 3.7


def normal(seed: int, *shape: int) -> Array:
    """Return standard normal numbers, the same for the same seed and shape."""
    return np.random.default_rng(seed).normal(size=shape)


class Activation:
    """forward(x, y) and backward(y, dy, dx) as a layer; dx is kept from call to call."""

    def __init__(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        self._forward, self._backward = forward, backward
        self.dx = np.zeros((0, 0))

    def forward(self, x: Array) -> Array:
        """Return the output."""
        self.y = np.empty_like(x)
        self._forward(x, self.y)
        return self.y

    def backward(self, dy: Array) -> Array:
        """Return the gradients of the inputs, None for constants."""
        if self.dx.shape != dy.shape:
            self.dx = np.zeros_like(dy)
        self._backward(self.y, dy, self.dx)
        return self.dx


class LinearInput:
    """Linear whose backward gives dx alone."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.weight, self.bias = normal(2, 7, 3), normal(3, 7)
        self.dx = np.zeros((B, 3))

    def forward(self, x: Array) -> Array:
        """Return the output."""
        y = np.empty((len(x), 7), x.dtype)
        self.module.linear(x, self.weight, self.bias, y)
        return y

    def backward(self, dy: Array) -> Array:
        """Return the gradients of the inputs, None for constants."""
        if len(self.dx) != len(dy):
            self.dx = np.zeros((len(dy), 3))
        self.module.linear_backward_input(dy, self.weight, self.dx)
        return self.dx


class LinearParams(LinearInput):
    """Linear whose backward gives the parameters' gradients alone."""

    def __init__(self, module: ModuleType) -> None:
        super().__init__(module)
        self.params = {"weight": self.weight, "bias": self.bias}
        self.grads = {name: np.zeros_like(value) for name, value in self.params.items()}

    def forward(self, x: Array) -> Array:
        """Return the output."""
        self.x = x
        y = np.empty((len(x), 7), np.result_type(x, *self.params.values()))
        self.module.linear(x, self.params["weight"], self.params["bias"], y)
        return y

    def backward(self, dy: Array) -> tuple[None]:
        """Return the gradients of the inputs, None for constants."""
        self.module.linear_backward_weight(self.x, dy, self.grads["weight"])
        self.module.linear_backward_bias(dy, self.grads["bias"])
        return (None,)


class Likelihood:
    """bernoulli_nll as a layer with the logits as its input."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.x = module, np.random.default_rng(4).uniform(size=(B, 7))

    def forward(self, logits: Array) -> Any:
        """Return the output."""
        self.dlogits = np.zeros_like(logits)
        x = np.resize(self.x, logits.shape)
        return self.module.bernoulli_nll(logits, x, 1 / len(logits), self.dlogits)

    def backward(self, dloss: Any) -> Array:
        """Return the gradients of the inputs, None for constants."""
        return dloss * self.dlogits


class KL:
    """beta times gaussian_kl as a layer of mu and logvar."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def forward(self, mu: Array, logvar: Array) -> Any:
        """Return the output."""
        self.d = np.zeros_like(mu), np.zeros_like(logvar)
        return BETA * self.module.gaussian_kl(mu, logvar, BETA, 1 / len(mu), *self.d)

    def backward(self, dloss: Any) -> tuple[Array, Array]:
        """Return the gradients of the inputs, None for constants."""
        return dloss * self.d[0], dloss * self.d[1]


class Sampler:
    """reparameterize as a layer; what backward finds in dmu and dlogvar is taken off again."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def forward(self, mu: Array, logvar: Array, eps: Array) -> Array:
        """Return the output."""
        self.noise, z = np.empty_like(logvar), np.empty_like(mu)
        self.module.reparameterize(mu, logvar, eps, self.noise, z)
        return z

    def backward(self, dz: Array) -> tuple[Array, Array, None]:
        """Return the gradients of the inputs, None for constants."""
        there = [normal(seed, *dz.shape) for seed in (9, 10)]
        dmu, dlogvar = (one.copy() for one in there)
        self.module.reparameterize_backward(dz, self.noise, dmu, dlogvar)
        return dmu - there[0], dlogvar - there[1], None
