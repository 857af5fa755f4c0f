"""Layers whose methods and parameters are built otherwise than most: lists, mappings, __call__.

Beside them stand mistakes that `verify.py` is too coarse to see; it runs none of these: they are
few and plain enough to be judged by eye.
"""

from __future__ import annotations

import numpy as np

from . import operations
from .faulty import cases_of, keeper
from .habits import Dense, Shouts, Single

CASES = []
case = keeper(CASES)


@case()
class GradAttributes:
    """weight and grad_weight."""

    def __init__(self):
        self.weight = np.random.default_rng(0).normal(size=4)
        self.grad_weight = np.zeros(4)

    def forward(self, x):
        self.x = x
        return x * self.weight

    def backward(self, dy):
        self.grad_weight = (dy * self.x).sum(axis=0)
        return dy * self.weight


@case("the product with x is missing", "chain")
class GradAttributesWrong(GradAttributes):
    def backward(self, dy):
        self.grad_weight = dy.sum(axis=0)
        return dy * self.weight


@case()
class ListOfParameters:
    """params and grads as lists."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.params = [rng.normal(size=(4, 2)), rng.normal(size=2)]
        self.grads = [None, None]

    def forward(self, x):
        self.x = x
        return np.tanh(x @ self.params[0] + self.params[1])

    def backward(self, dy):
        d = dy * (1 - self.forward(self.x) ** 2)
        self.grads = [self.x.T @ d, d.sum(axis=0)]
        return d @ self.params[0].T


@case("the list of gradients is in the wrong order of signs", "sign")
class ListSign(ListOfParameters):
    def backward(self, dy):
        dx = super().backward(dy)
        self.grads[1] = -self.grads[1]
        return dx


@case()
class Nested:
    """A mapping of mappings."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.params = {
            "first": {"w": rng.normal(size=(4, 3))},
            "second": {"w": rng.normal(size=(3, 2))},
        }
        self.grads = {}

    def forward(self, x):
        self.x = x
        self.h = np.tanh(x @ self.params["first"]["w"])
        return self.h @ self.params["second"]["w"]

    def backward(self, dy):
        d = (dy @ self.params["second"]["w"].T) * (1 - self.h**2)
        self.grads = {"first": {"w": self.x.T @ d}, "second": {"w": self.h.T @ dy}}
        return d @ self.params["first"]["w"].T


@case("the first weight misses tanh's slope", "chain")
class NestedWrong(Nested):
    def backward(self, dy):
        dx = super().backward(dy)
        self.grads["first"]["w"] = self.x.T @ (dy @ self.params["second"]["w"].T)
        return dx


@case()
class Callable_:
    """`__call__` for forward."""

    def __call__(self, x):
        self.x = x
        return x**3

    def backward(self, dy):
        return 3 * dy * self.x**2


@case("the power is not lowered", "chain")
class CallableWrong(Callable_):
    def backward(self, dy):
        return 3 * dy * self.x**3


@case()
class Named:
    """A mapping of outputs."""

    def forward(self, x):
        self.x = x
        return {"sine": np.sin(x), "square": x * x}

    def backward(self, d):
        return d["sine"] * np.cos(self.x) + 2 * d["square"] * self.x


@case("the square's path is missing", "term")
class NamedWrong(Named):
    def backward(self, d):
        return d["sine"] * np.cos(self.x)


@case(inputs=lambda r: (r.normal(size=(3, 2)), r.integers(0, 3, (3, 2))))
class LossItself:
    """A loss whose backward takes nothing."""

    def forward(self, x, t):
        self.x, self.t = x, t
        return ((x - t) ** 2).sum()

    def backward(self):
        return 2 * (self.x - self.t)


@case(
    "the 2 is forgotten",
    "scale",
    inputs=lambda r: (r.normal(size=(3, 2)), r.integers(0, 3, (3, 2))),
)
class LossItselfWrong(LossItself):
    def backward(self):
        return self.x - self.t


@case()
class Lazy:
    """Parameters are made by the first forward."""

    def __init__(self):
        self.params, self.grads = {}, {}

    def forward(self, x):
        if not self.params:
            self.params["w"] = np.random.default_rng(0).normal(size=(x.shape[1], 2))
        self.x = x
        return x @ self.params["w"]

    def backward(self, dy):
        self.grads["w"] = self.x.T @ dy
        return dy @ self.params["w"].T


@case("the lazily made weight gets twice its gradient", "scale")
class LazyTwice(Lazy):
    def backward(self, dy):
        dx = super().backward(dy)
        self.grads["w"] *= 2
        return dx


@case(
    "two parts in ten thousand too large",
    "scale",
    inputs=lambda r: (r.normal(size=(5, 4)).astype("f4"),),
)
class SingleSlightly(Single):
    def backward(self, dy):
        dx = super().backward(dy)
        self.grads["w"] = self.grads["w"] * np.float32(1.0002)
        return dx


@case("the small columns are a percent too large", "index or scale")
class ShoutsWrong(Shouts):
    def backward(self, dy):
        return np.where(np.arange(4) < 2, 2e9, 2.02) * self.x * dy


@case("the cache is shared by all objects of the class", "state")
class SharedCache:
    kept = []  # noqa: RUF012

    def forward(self, x):
        if len(self.kept) > 3:
            self.kept.clear()
        self.kept.append(x.copy())
        return x**2

    def backward(self, dy):
        return 2 * dy * self.kept[0]


@case("the update is applied by backward", "aliasing")
class Updates(Dense):
    def backward(self, dy):
        dx = super().backward(dy)
        self.params["b"] -= 0.1 * self.grads["b"]
        return dx


@case("the buffers keep the first batch's size", "state or shape")
class Buffers:
    out = None

    def forward(self, x):
        if self.out is None or len(self.out) < len(x):
            self.out = np.zeros_like(x)
        self.x = x
        return np.sin(x)

    def backward(self, dy):
        self.out[: len(dy)] = dy * np.cos(self.x)
        return self.out


@case("the bias's gradient is missing", "zero")
class NoBias(Dense):
    def backward(self, dy):
        dx = super().backward(dy)
        del self.grads["b"]
        return dx


CASES += [
    *cases_of(
        operations.Dense,
        operations.uneven,
        {"a small feature": ("a small input's row is half too large", "index or scale")},
        note="a small feature",
    ),
]
