"""Activations and other elementwise functions, many with corners, some with learned shapes.

Most are a function, its derivative, and the derivatives that people write for it by mistake.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from . import Case, Layer, family, normal


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Elementwise(Layer):
    """y = f(x), dx = dy df(x, y): by a table of what f is, and of wrong df by their faults."""

    def __init__(self, f, df, wrong, fault=""):
        super().__init__(fault)
        self.function, self.slope = f, wrong[fault][0] if fault else df

    def forward(self, x):
        self.x, self.y = x, self.function(x)
        return self.y

    def backward(self, dy):
        return dy * self.slope(self.x, self.y)


class Cube(Layer):
    """Its attributes f and df are functions, no parameter and its gradient."""

    def setup(self, rng):
        self.f, self.df = (lambda x: x**3), (lambda x: 3 * x**2)

    def forward(self, x):
        self.x = x
        return self.f(x)

    def backward(self, dy):
        return dy * self.df(self.x) / (3 if self.has("3") else 1)


def elementwise(name, f, df, wrong, inputs=None, also=None):
    """Return the cases of one function; ``wrong`` has (df, mistake, cause) by the fault's name."""
    said = {fault: entry[1:] for fault, entry in wrong.items()}
    make = partial(Elementwise, f, df, wrong)
    return family(name, make, inputs or normal((4, 5), scale=2), said, also)


class ReLU(Layer):
    """By its output; the faults are about memory and about which side is masked."""

    def forward(self, x):
        if self.has("in place"):
            np.maximum(x, 0, out=x)
        self.y = x if self.has("in place") else np.maximum(x, 0)
        if self.has("first mask") and hasattr(self, "mask"):
            return self.y
        self.mask = self.y > 0
        return self.y

    def backward(self, dy):
        mask = np.resize(self.mask, dy.shape)
        if self.has("of dy"):
            mask = dy > 0
        if self.has("guided"):
            mask = mask & (dy > 0)
        if self.has("of the first row"):
            mask = np.broadcast_to(mask[0], dy.shape)
        if self.has("turned"):
            mask = ~mask
        if self.has("dy in place"):
            dy[~mask] = 0
            return dy
        if self.has("y for dy"):
            return self.y * mask
        if self.has("whole numbers"):
            return (dy * mask).astype(int)
        if self.has("float16"):
            return (dy * mask).astype("f2").astype(dy.dtype)
        if self.has("float32"):
            return (dy * mask).astype("f4")
        if self.has("none"):
            return np.zeros_like(dy)
        return dy * mask


class PReLU(Layer):
    """One learned slope for each channel of (N, C, T), or a single one without axes."""

    shape = (3,)

    def setup(self, rng):
        self.params = {"a": np.full(self.shape, 0.25)}
        self.grads = {"a": np.zeros(self.shape)}

    def wide(self):
        return self.params["a"][:, None] if self.shape else self.params["a"]

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.wide() * x)

    def backward(self, dy):
        side = dy * (np.maximum if self.has("other side") else np.minimum)(self.x, 0)
        if self.has("all"):
            side = dy * self.x
        total = side.sum((0, 2)) if self.shape else side.sum()
        if self.has("over channels"):
            total = np.full(self.shape, side.sum())
        if self.has("without x"):
            total = (dy * (self.x < 0)).sum((0, 2)) if self.shape else (dy * (self.x < 0)).sum()
        self.grads["a"] = np.array(total)
        return dy * np.where(self.x > 0, 1, 0 if self.has("as ReLU") else self.wide())


class SharedPReLU(PReLU):
    """One slope for all."""

    shape = ()


class Swish(Layer):
    """x sigmoid(b x) with b learned; attributes, b without axes."""

    def setup(self, rng):
        self.b = np.array(1.0)

    def forward(self, x):
        self.x, self.s = x, sigmoid(self.b * x)
        return x * self.s

    def backward(self, dy):
        d = self.s * (1 - self.s)
        self.db = np.sum(dy * self.x * d) if self.has("x once") else np.sum(dy * self.x**2 * d)
        b = 1 if self.has("b left out") else self.b
        return dy * (self.s + (0 if self.has("product rule") else b * self.x * d))


class Gated(Layer):
    """a sigmoid(b) of the two halves of the features."""

    def forward(self, x):
        n = x.shape[1] // 2
        self.a, self.s = x[:, :n], sigmoid(x[:, n:])
        return self.a * self.s

    def backward(self, dy):
        da, db = dy * self.s, dy * self.a * self.s * (1 - self.s)
        if self.has("gate closed"):
            db = 0 * db
        if self.has("no a"):
            db = dy * self.s * (1 - self.s)
        return np.concatenate([db, da] if self.has("halves") else [da, db], 1)


class Maxout(Layer):
    """The larger of two halves; pairs may be equal."""

    def forward(self, x):
        n = x.shape[1] // 2
        self.a, self.b = x[:, :n], x[:, n:]
        return np.maximum(self.a, self.b)

    def backward(self, dy):
        first = self.a > self.b
        other = self.b >= self.a if not self.has("neither") else self.b > self.a
        if self.has("both"):
            first = self.a >= self.b
        return np.concatenate([dy * first, dy * other], 1)


class TwoSided(Layer):
    """relu(x) and relu(-x) as two outputs, with a gradient for each."""

    def forward(self, x):
        self.x = x
        return np.maximum(x, 0), np.maximum(-x, 0)

    def backward(self, dp, dn):
        if self.has("second ignored"):
            return dp * (self.x > 0)
        return dp * (self.x > 0) - (-1 if self.has("sign") else 1) * dn * (self.x < 0)


class LearnedClip(Layer):
    """PACT: min(max(x, 0), a), with the bound learned."""

    def setup(self, rng):
        self.params, self.grads = {"a": np.array(1.2)}, {}

    def forward(self, x):
        self.x = x
        return np.clip(x, 0, self.params["a"])

    def backward(self, dy):
        above = self.x >= self.params["a"]
        self.grads["a"] = np.sum(dy * (~above if self.has("below") else above))
        if self.has("a frozen"):
            self.grads["a"] = np.array(0.0)
        inside = (self.x > 0) if self.has("passes above") else (self.x > 0) & ~above
        return dy * inside


class Power(Layer):
    """sign(x) |x|^p with p learned for each feature."""

    def setup(self, rng):
        self.params, self.grads = {"p": 1 + 0.5 * rng.random(4)}, {}

    def forward(self, x):
        self.x, self.m = x, np.abs(x)
        self.y = np.sign(x) * self.m ** self.params["p"]
        return self.y

    def backward(self, dy):
        p = self.params["p"]
        self.grads["p"] = (dy * self.y * (1 if self.has("no log") else np.log(self.m))).sum(0)
        if self.has("log x"):
            self.grads["p"] = (dy * self.y * np.log(self.x)).sum(0)
        slope = p * self.m ** (p if self.has("p for p - 1") else p - 1)
        return dy * slope * (np.sign(self.x) if self.has("sign") else 1)


def zeros_among(rng):
    """Draw values of which a third are exactly 0."""
    return (rng.standard_normal((4, 5)) * (rng.random((4, 5)) < 0.67),)


def on_corners(rng):
    """Draw values on the whole numbers from -6 to 6, where the hard functions bend."""
    return (rng.integers(-6, 7, (4, 5)).astype(float),)


def equal_pairs(rng):
    x = rng.standard_normal((3, 6))
    x[0, 3:], x[2, 4] = x[0, :3], x[2, 1]
    return (x,)


C = np.sqrt(2 / np.pi)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(C * (x + 0.044715 * x**3)))


def dgelu(x, y, inner=True, product=True):
    t = np.tanh(C * (x + 0.044715 * x**3))
    slope = C * (1 + 3 * 0.044715 * x**2) if inner else C
    return 0.5 * (1 + t) + (0.5 * x * (1 - t**2) * slope if product else 0)


def mish(x):
    return x * np.tanh(np.log1p(np.exp(x)))


def dmish(x, y, factor=True):
    t = np.tanh(np.log1p(np.exp(x)))
    return t + x * (1 - t**2) * (sigmoid(x) if factor else 1)


small, positive = normal((4, 5)), lambda rng: (rng.uniform(0.2, 3, (4, 5)),)
corners = {"on its corners": on_corners, "one value": normal((1, 1))}
CASES: list[Case] = [
    *family("ReLU", ReLU, small, {
        "in place": ("forward overwrites its input", "aliasing"),
        "first mask": ("the first call's mask is kept for ever", "state"),
        "of dy": ("masked where dy < 0, not y", "mask"),
        "guided": ("masked where dy < 0 as well", "mask"),
        "of the first row": ("the first row's mask for all", "mask or index"),
        "turned": ("the mask the wrong way round", "mask"),
        "dy in place": ("dy is overwritten", "aliasing"),
        "y for dy": ("y for dy", "chain"),
        "whole numbers": ("the gradient cut to whole numbers", "dtype"),
        "float16": ("the gradient rounded to float16", "dtype"),
        "float32": ("the gradient of a float64 input comes in float32", "dtype"),
        "none": ("the gradient is 0", "zero"),
    }, {"zeros": zeros_among, "all 0": lambda rng: (np.zeros((3, 4)),), "view": lambda rng: (
        rng.standard_normal((8, 10))[::2, ::-2],), "1e-6": normal((4, 5), scale=1e-6)}),
    *family("PReLU", PReLU, normal((2, 3, 4)), {
        "other side": ("the slope's gradient from the positive side", "mask"),
        "all": ("the slope's gradient from both sides", "mask"),
        "over channels": ("summed over the channels too", "sum"),
        "without x": ("the slope's gradient without x", "chain"),
        "as ReLU": ("dx 0 on the negative side", "mask or zero"),
    }),
    *family("PReLU, one slope", SharedPReLU, normal((2, 3, 4)), {
        "all": ("the slope's gradient from both sides", "mask"),
    }, {"zeros": zeros_among}),
    *family("Swish, learned", Swish, small, {
        "x once": ("db with x for its square", "chain"),
        "b left out": ("b left out of dx, where it began as 1", "chain or scale"),
        "product rule": ("only the product's first term", "term"),
    }),
    *family("gated", Gated, normal((3, 6)), {
        "gate closed": ("the gate has no gradient", "zero"),
        "no a": ("the gate's gradient without a", "chain"),
        "halves": ("the halves in the wrong order", "swapped"),
    }),
    *family("maxout", Maxout, normal((3, 6)), {}, {"equal pairs": equal_pairs}),
    Case("maxout: both", lambda: Maxout("both"), equal_pairs, False,
         "both of an equal pair get the whole of dy", "mask"),
    Case("maxout: neither", lambda: Maxout("neither"), equal_pairs, False,
         "neither of an equal pair gets any", "mask"),
    *family("two-sided ReLU", TwoSided, small, {
        "second ignored": ("the second output's gradient is ignored", "term or chain"),
        "sign": ("the second output's sign forgotten", "sign"),
    }),
    *family("learned clip", LearnedClip, small, {
        "below": ("da from where the clip is not active", "mask"),
        "a frozen": ("da is 0", "zero"),
        "passes above": ("dx passes above the bound", "mask"),
    }),
    *family("learned power", Power, normal((3, 4)), {
        "no log": ("dp without log |x|", "chain"),
        "log x": ("dp with log x, NaN where x < 0", "nan"),
        "p for p - 1": ("the exponent p for p - 1", "chain"),
        "sign": ("dx times sign(x)", "sign"),
    }),
    *family("cube", Cube, small, {"3": ("the 3 forgotten", "scale")}, {"1e-6": normal(
        (3, 4), scale=1e-6), "offset 100": normal((3, 4), shift=100)}),
    *elementwise("sigmoid", sigmoid, lambda x, y: y * (1 - y), {
        "of x": (lambda x, y: x * (1 - x), "x (1 - x) for y (1 - y)", "chain"),
        "twice": (lambda x, y: sigmoid(y) * (1 - sigmoid(y)), "applied to y again", "chain"),
        "y": (lambda x, y: y, "1 - y forgotten", "chain"),
    }, also={"saturated": normal((3, 4), scale=12)}),
    *elementwise("tanh", np.tanh, lambda x, y: 1 - y**2, {
        "1 - y": (lambda x, y: 1 - y, "the square forgotten", "chain or other"),
        "of x": (lambda x, y: 1 - x**2, "1 - x^2 for 1 - y^2", "chain"),
        "plus": (lambda x, y: 1 + y**2, "1 + y^2", "sign"),
    }),
    *elementwise("GELU", gelu, dgelu, {
        "cubic": (partial(dgelu, inner=False), "the cubic's derivative forgotten", "chain or term"),
        "product rule": (partial(dgelu, product=False), "only the first term", "term"),
        "other form": (lambda x, y: sigmoid(1.702 * x) * (1 + 1.702 * x * sigmoid(-1.702 * x)),
                       "the sigmoid form's derivative for the tanh form", "other"),
    }, also={"1e-6": normal((3, 4), scale=1e-6)}),
    *elementwise("SiLU", lambda x: x * sigmoid(x),
                 lambda x, y: sigmoid(x) * (1 + x * (1 - sigmoid(x))), {
        "of y": (lambda x, y: sigmoid(x) + y * (1 - y), "y for x in one place", "chain or other"),
    }),
    *elementwise("Mish", mish, dmish, {
        "softplus": (partial(dmish, factor=False), "softplus's derivative forgotten", "chain"),
    }),
    *elementwise("softplus, linear above 20", lambda x: np.where(x > 20, x, np.log1p(np.exp(
        np.minimum(x, 20)))), lambda x, y: np.where(x > 20, 1, sigmoid(x)), {
        "above": (lambda x, y: np.where(x > 20, x, sigmoid(x)), "x for 1 above 20", "mask"),
        "1 - s": (lambda x, y: sigmoid(-x), "sigmoid(-x)", "sign or other"),
    }, normal((4, 5), scale=15)),
    *elementwise("ELU", lambda x: np.where(x > 0, x, 0.7 * np.expm1(np.minimum(x, 0))),
                 lambda x, y: np.where(x > 0, 1, y + 0.7), {
        "y": (lambda x, y: np.where(x > 0, 1, y), "y for y + alpha", "term or mask"),
        "y + 1": (lambda x, y: np.where(x > 0, 1, y + 1),
                  "y + 1, as of alpha = 1", "term or mask"),
    }, also={"zeros": zeros_among}),
    *elementwise("SELU", lambda x: 1.0507 * np.where(x > 0, x, 1.67326 * np.expm1(
        np.minimum(x, 0))), lambda x, y: np.where(x > 0, 1.0507, y + 1.0507 * 1.67326), {
        "lambda": (lambda x, y: np.where(x > 0, 1, y + 1.0507 * 1.67326),
                   "the factor forgotten above 0", "scale or mask"),
    }),
    *elementwise("leaky ReLU", lambda x: np.where(x > 0, x, 0.01 * x),
                 lambda x, y: np.where(x > 0, 1, 0.01), {
        "flat": (lambda x, y: (x > 0) * 1.0, "0 for the small slope", "mask"),
        "squared": (lambda x, y: np.where(x > 0, 1, 1e-4),
                    "the slope applied twice", "scale or mask"),
        "sides": (lambda x, y: np.where(x < 0, 1, 0.01), "the sides swapped", "mask"),
    }, also={"zeros": zeros_among, "1e6": normal((3, 4), scale=1e6)}),
    *elementwise("ReLU6", lambda x: np.clip(x, 0, 6), lambda x, y: (x > 0) & (x < 6), {
        "no top": (lambda x, y: x > 0, "passes above 6", "mask"),
    }, normal((6, 5), scale=6), corners),
    *elementwise("hard sigmoid", lambda x: np.clip(x / 6 + 0.5, 0, 1),
                 lambda x, y: (np.abs(x) < 3) / 6, {
        "slope": (lambda x, y: (np.abs(x) < 3) * 1.0, "the 1/6 forgotten", "scale"),
        "bounds": (lambda x, y: (np.abs(x) < 1) / 6, "bounds of the output", "mask"),
    }, also=corners),
    *elementwise("hard swish", lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
                 lambda x, y: np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5)), {
        "x/6": (lambda x, y: np.where(x <= -3, 0, np.where(x >= 3, 1, x / 6 + 0.5)),
                "x/6 for x/3", "term or scale"),
    }, also=corners),
    *elementwise("soft shrink", lambda x: np.sign(x) * np.maximum(np.abs(x) - 1, 0),
                 lambda x, y: np.abs(x) > 1, {
        "sign": (lambda x, y: np.sign(x) * (np.abs(x) > 1), "times sign(x)", "sign"),
        "one side": (lambda x, y: x > 1, "only above, not below", "mask"),
    }, also=corners),
    *elementwise("abs", np.abs, lambda x, y: np.sign(x), {
        "1": (lambda x, y: np.ones_like(x), "1 for sign(x)", "sign or mask"),
        "x": (lambda x, y: x, "x for sign(x)", "scale or chain"),
    }, also={"zeros": zeros_among}),
    *elementwise("softsign", lambda x: x / (1 + np.abs(x)), lambda x, y: (1 - np.abs(y)) ** 2, {
        "no abs": (lambda x, y: (1 - y) ** 2, "y for |y|", "mask or other"),
        "constant": (lambda x, y: 1 / (1 + np.abs(x)), "the denominator as a constant", "term"),
    }),
    *elementwise("square root", np.sqrt, lambda x, y: 0.5 / y, {
        "of x": (lambda x, y: 0.5 / x, "x for its root", "chain"),
        "half": (lambda x, y: 1 / y, "the half forgotten", "scale"),
    }, positive),
    *elementwise("log(x + eps)", lambda x: np.log(x + 1e-3), lambda x, y: 1 / (x + 1e-3), {
        "no eps": (lambda x, y: 1 / x, "eps left out", "other or term"),
    }, lambda rng: (rng.uniform(0.002, 0.1, (4, 5)),), {"1e-6": lambda rng: (
        rng.uniform(1e-6, 2e-6, (3, 4)),)}),
    *elementwise("exp, clipped at 2", lambda x: np.exp(np.minimum(x, 2)),
                 lambda x, y: y * (x < 2), {
        "clip": (lambda x, y: y, "a gradient where it is clipped", "mask"),
    }),
    *elementwise("reciprocal", lambda x: 1 / x, lambda x, y: -(y**2), {
        "sign": (lambda x, y: y**2, "the sign forgotten", "sign"),
    }, positive),
    *elementwise("sine", lambda x: np.sin(30 * x), lambda x, y: 30 * np.cos(30 * x), {
        "omega": (lambda x, y: np.cos(30 * x), "the factor 30 forgotten", "scale"),
        "from y": (lambda x, y: 30 * np.sqrt(1 - y**2), "cos from sin, without its sign", "sign"),
    }, lambda rng: (rng.uniform(-1, 1, (4, 5)),)),
    *elementwise("rounding", np.round, lambda x, y: np.zeros_like(x), {
        "straight through": (lambda x, y: np.ones_like(x),
                             "1 on purpose, where the function is flat", "other or mask"),
    }),
    *elementwise("Heaviside times x^2", lambda x: np.where(x > 0, x**2, 0.0),
                 lambda x, y: 2 * np.maximum(x, 0), {
        "all": (lambda x, y: 2 * x, "both sides", "mask"),
        "sign": (lambda x, y: 2 * np.minimum(x, 0), "the other side", "mask"),
    }, also={"zeros": zeros_among}),
]  # fmt: skip
