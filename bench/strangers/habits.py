"""Layers of unusual build and careless bookkeeping: types, views, caches, state, odd signatures.

The formulas are simple here; hard ones are in the other modules.
"""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import numpy as np

from .faulty import keeper

CASES = []
case = keeper(CASES)


class Dense:
    """A right layer, for children to spoil."""

    def __init__(self, dtype=float):
        rng = np.random.default_rng(5)
        self.params = {"w": rng.normal(size=(4, 3)).astype(dtype), "b": np.zeros(3, dtype)}
        self.grads = {}

    def forward(self, x):
        self.x = x
        return x @ self.params["w"] + self.params["b"]

    def backward(self, dy):
        self.grads["w"] = self.x.T @ dy
        self.grads["b"] = dy.sum(axis=0)
        return dy @ self.params["w"].T


@case()
class Attributes:
    """W and dW as attributes, no params."""

    def __init__(self):
        self.W, self.b = np.random.default_rng(0).normal(size=(4, 3)), np.zeros(3)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        self.dW, self.db = self.x.T @ dy, dy.sum(axis=0)
        return dy @ self.W.T


@case("dW is twice too large", "scale")
class AttributesTwice(Attributes):
    def backward(self, dy):
        dx = super().backward(dy)
        self.dW = 2 * self.dW
        return dx


@case("db has the opposite sign", "sign")
class AttributesSign(Attributes):
    def backward(self, dy):
        dx = super().backward(dy)
        self.db = -self.db
        return dx


@case()
class Scalar:
    """A parameter without axes."""

    def __init__(self):
        self.params, self.grads = {"a": np.array(0.7)}, {}

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.params["a"] * x)

    def backward(self, dy):
        self.grads["a"] = np.array((dy * self.x * (self.x <= 0)).sum())
        return dy * np.where(self.x > 0, 1, self.params["a"])


@case("the slope's gradient counts positive entries too", "term or mask")
class ScalarWrong(Scalar):
    def backward(self, dy):
        dx = super().backward(dy)
        self.grads["a"] = np.array((dy * self.x).sum())
        return dx


@case("the slope's gradient is a number of twice the size", "scale")
class ScalarTwice(Scalar):
    def backward(self, dy):
        dx = super().backward(dy)
        self.grads["a"] = 2 * float(self.grads["a"])
        return dx


@case()
class Tuple:
    """A named tuple of outputs."""

    Out = namedtuple("Out", "mean top")

    def forward(self, x):
        self.x = x
        return self.Out(x.mean(axis=1), x.sum())

    def backward(self, dmean, dtop):
        return dmean[:, None] / self.x.shape[1] + dtop * np.ones_like(self.x)


@case()
class Ordered(Dense):
    """An OrderedDict, and int attributes besides."""

    def __init__(self):
        super().__init__()
        self.params, self.steps = OrderedDict(self.params), 3


@case(inputs=lambda r: (r.normal(size=(5, 4)).astype("f4"),))
class Single(Dense):
    """float32."""

    def __init__(self):
        super().__init__(np.float32)


@case(inputs=lambda r: ((1e4 + r.normal(size=(3, 7))).astype("f4"),))
class SingleLargeMean:
    """The mean and deviation of large float32 numbers."""

    def forward(self, x):
        self.x = x
        return x.mean(axis=1)

    def backward(self, dy):
        return np.repeat(dy[:, None], self.x.shape[1], axis=1) / np.float32(self.x.shape[1])


@case()
class Whispers:
    """Outputs of the size of 1e-12."""

    def forward(self, x):
        self.x = x
        return 1e-12 * np.sin(x)

    def backward(self, dy):
        return 1e-12 * dy * np.cos(self.x)


@case("half a percent too large", "scale")
class WhispersWrong(Whispers):
    def backward(self, dy):
        return 1.005 * super().backward(dy)


@case()
class Shouts:
    """Outputs of the size of 1e9 beside small ones."""

    def forward(self, x):
        self.x = x
        return np.where(np.arange(4) < 2, 1e9, 1.0) * x**2

    def backward(self, dy):
        return np.where(np.arange(4) < 2, 2e9, 2.0) * self.x * dy


@case("gradients are added up", "state")
class Adds(Dense):
    def backward(self, dy):
        self.grads["w"] = self.grads.get("w", 0) + self.x.T @ dy
        self.grads["b"] = self.grads.get("b", 0) + dy.sum(axis=0)
        return dy @ self.params["w"].T


@case("the gradient keeps nine tenths of the last one", "state")
class Momentum(Dense):
    def backward(self, dy):
        old = self.grads.get("w", 0)
        dx = super().backward(dy)
        self.grads["w"] = self.grads["w"] + 0.9 * old
        return dx


@case("the gradient is a running mean over steps", "state")
class Running(Dense):
    def backward(self, dy):
        old = self.grads.get("w", np.zeros((4, 3)))
        dx = super().backward(dy)
        self.grads["w"] = 0.1 * self.grads["w"] + 0.9 * old
        return dx


@case("the first input's mask is kept", "state")
class FirstMask:
    mask = None

    def forward(self, x):
        if self.mask is None:
            self.mask = x > 0
        self.now = x > 0
        return x * self.now

    def backward(self, dy):
        return dy * self.mask


@case("dy is overwritten", "aliasing")
class Overwrites:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy):
        dy *= 1 - self.y**2
        return dy


@case("the input is overwritten", "aliasing")
class InPlace:
    def forward(self, x):
        np.maximum(x, 0, out=x)
        self.x = x
        return x

    def backward(self, dy):
        return dy * (self.x > 0)


@case("a parameter is overwritten by forward", "aliasing")
class Normalises(Dense):
    def forward(self, x):
        self.params["w"] /= np.linalg.norm(self.params["w"])
        return super().forward(x)


@case("backward is right on its first call alone", "state")
class FirstCall(Dense):
    calls = 0

    def backward(self, dy):
        self.calls += 1
        dx = super().backward(dy)
        return dx if self.calls < 2 else dx / self.calls


@case("noise is drawn in backward", "random")
class Noisy(Dense):
    def backward(self, dy):
        dx = super().backward(dy)
        self.grads["w"] = self.grads["w"] + 1e-3 * np.random.default_rng().normal(size=(4, 3))
        return dx


@case("forward draws noise", "random")
class Drops:
    def forward(self, x):
        self.m = (np.random.default_rng().uniform(size=x.shape) < 0.5) * 2.0
        return x * self.m

    def backward(self, dy):
        return dy * self.m


@case()
class FixedDropout:
    """Dropout whose mask is made once."""

    def __init__(self):
        self.m = (np.random.default_rng(0).uniform(size=(5, 4)) < 0.5) * 2.0

    def forward(self, x):
        return x * self.m[: len(x)]

    def backward(self, dy):
        return dy * self.m[: len(dy)]


@case("the kept entries are not scaled", "scale")
class DropoutUnscaled(FixedDropout):
    def backward(self, dy):
        return dy * (self.m[: len(dy)] > 0)


@case("the gradient is of whole numbers", "dtype")
class Whole(Dense):
    def backward(self, dy):
        dx = super().backward(dy)
        self.grads["w"] = (self.grads["w"] * 1).astype(int)
        return dx


@case(
    "NaN where the root is 0",
    "nan",
    inputs=lambda r: (np.abs(r.normal(size=(4, 3))) * (r.uniform(size=(4, 3)) < 0.7),),
)
class RootAtZero:
    def forward(self, x):
        self.x = x
        return x * np.sqrt(x + 1)

    def backward(self, dy):
        x = self.x
        with np.errstate(all="ignore"):
            return dy * (np.sqrt(x + 1) + 0.5 * x / np.sqrt(x + 1)) * (x / x)


def padded(rng):
    x = rng.normal(size=(5, 4))
    x[0] = 0
    return (x,)


@case(inputs=padded)
class ReluWithPadding:
    """Some rows stand on the corner."""

    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy):
        return dy * (self.x > 0)


@case("twice too large", "scale", inputs=padded)
class AllOnCorners:
    """max(x - x[0], 0) sums every entry into outputs, one of which always bends."""

    def forward(self, x):
        self.x = x
        return np.concatenate([np.abs(x[:1]), x + x.sum() * 0 + np.sin(x)], axis=0)

    def backward(self, dy):
        d = dy[1:] * (1 + np.cos(self.x)) * 2
        d[0] += dy[0] * np.sign(self.x[0]) * 2
        return d


@case("beyond both one-sided slopes", "mask or scale", inputs=lambda r: (np.zeros((3, 2)),))
class BeyondTheCorner:
    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy):
        return dy * np.where(self.x >= 0, 3.0, 0.0)


@case()
class AbsOfComplex:
    """|x|^2 with conj, real: treats complex input as constant phase."""

    def forward(self, x):
        self.x = x
        return np.abs(x) * x

    def backward(self, dy):
        return dy * 2 * np.abs(self.x)


@case("the absolute value is treated as a constant", "scale")
class AbsConstant(AbsOfComplex):
    def backward(self, dy):
        return dy * np.abs(self.x)


@case(inputs=lambda r: (r.normal(size=(3, 4)), np.array([True, False, True, True])))
class Masked:
    """Minus infinity at masked scores."""

    def forward(self, x, keep):
        s = np.where(keep, x, -np.inf)
        e = np.exp(s - s.max(axis=1, keepdims=True))
        self.p = e / e.sum(axis=1, keepdims=True)
        return self.p

    def backward(self, dy):
        return self.p * (dy - (self.p * dy).sum(axis=1, keepdims=True)), None


@case(inputs=lambda r: (r.normal(size=(4, 3)), np.array(2)))
class Times:
    """An integer input that is only a number."""

    def forward(self, x, n):
        self.n = n
        return x * n

    def backward(self, dy):
        return dy * self.n, None


@case(inputs=lambda r: (r.normal(size=7),))
class Vector:
    """A vector in, a number out."""

    def forward(self, x):
        self.x = x
        return x @ x

    def backward(self, dy):
        return 2 * dy * self.x


@case("the output's own value for dy", "chain", inputs=lambda r: (r.normal(size=7),))
class VectorWrong(Vector):
    def backward(self, dy):
        return 2 * (self.x @ self.x) * self.x


@case(inputs=lambda r: (r.normal(size=()),))
class Number:
    """A number in, a number out."""

    def forward(self, x):
        self.x = x
        return np.exp(x)

    def backward(self, dy):
        return dy * np.exp(self.x)


@case()
class View:
    """Gradients that are views of dy."""

    def forward(self, x):
        return x[::-1]

    def backward(self, dy):
        return dy[::-1]


@case()
class Buffered:
    """One buffer for dx, used again at every call."""

    def __init__(self):
        self.kept = None

    def forward(self, x):
        self.x = x
        return np.cos(x)

    def backward(self, dy):
        if self.kept is None or self.kept.shape != dy.shape:
            self.kept = np.empty_like(dy)
        np.multiply(dy, -np.sin(self.x), out=self.kept)
        return self.kept


@case()
class Chain:
    """Layers inside a list, no params of its own but a method that makes them."""

    def __init__(self):
        self.layers = [
            Dense(),
            Buffered(),
        ]
        self.inner = self.layers[0]

    @property
    def params(self):
        return self.inner.params

    @property
    def grads(self):
        return self.inner.grads

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy):
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy


@case("the layers are run back in the forward's order", "shape")
class ChainForwards(Chain):
    def __init__(self):
        super().__init__()
        self.layers = [Buffered(), Buffered()]
        self.inner = Dense()

    def backward(self, dy):
        for layer in self.layers[:1]:
            dy = layer.backward(dy)
        return dy

    @property
    def params(self):
        return {}
