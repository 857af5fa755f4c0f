"""Norms and activations in plain NumPy, and the mistakes that courses see in them.

Convolution is in pictures.py, attention in sequences.py.
"""

from __future__ import annotations

import math

import numpy as np

from .faulty import Layer, cases_of, normal, positive

erf = np.vectorize(math.erf, otypes=[float])


class BatchNorm(Layer):
    """Normalises over the batch (and pixels); gain and bias start at 1 and 0."""

    def setup(self, rng, channels=3, fresh=True):
        self.mean, self.var = np.zeros(channels), np.ones(channels)
        gain = np.ones(channels) if fresh else rng.normal(size=channels)
        self.params = {"gain": gain, "bias": np.zeros(channels)}

    def forward(self, x):
        self.axes = (0, *range(2, x.ndim))
        keep = (slice(None), *(None,) * (x.ndim - 2))
        mean, var = x.mean(axis=self.axes, keepdims=True), x.var(axis=self.axes, keepdims=True)
        self.mean = 0.9 * self.mean + 0.1 * mean.ravel()
        self.var = 0.9 * self.var + 0.1 * var.ravel()
        self.std = np.sqrt(var + 1e-3)
        self.xhat = (x - mean) / self.std
        self.gain = self.params["gain"][keep]
        return self.gain * self.xhat + self.params["bias"][keep]

    def backward(self, dy):
        f, a = self.fault, self.axes
        self.grads = {"gain": (dy * self.xhat).sum(axis=a), "bias": dy.sum(axis=a)}
        if f == "gain without x":
            self.grads["gain"] = dy.sum(axis=a)
        elif f == "gain averaged":
            self.grads["gain"] = (dy * self.xhat).mean(axis=a)
        d = dy if f == "gain forgotten" else dy * self.gain
        mean = d.mean(axis=a, keepdims=True)
        along = (d * self.xhat).mean(axis=a, keepdims=True)
        if f == "mean is constant":
            mean = 0
        elif f == "variance is constant":
            along = 0
        elif f == "both are constant":
            mean, along = 0, 0
        elif f == "sums for means":
            mean, along = mean * len(dy), along * len(dy)
        elif f == "unbiased":
            along = along * len(dy) / (len(dy) - 1)
        elif f == "over the last axis":
            mean = d.mean(axis=-1, keepdims=True)
        std = 1.0 if f == "not divided" else self.std
        if f == "divided by the variance":
            std = self.std**2
        return (d - mean - self.xhat * along) / std


class LayerNorm(Layer):
    """Normalises each row."""

    def setup(self, rng, width=5):
        self.params = {"gain": rng.normal(size=width), "bias": rng.normal(size=width)}

    def forward(self, x):
        self.std = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
        self.xhat = (x - x.mean(axis=-1, keepdims=True)) / self.std
        return self.params["gain"] * self.xhat + self.params["bias"]

    def backward(self, dy):
        f = self.fault
        axes = tuple(range(dy.ndim - 1))
        self.grads = {"gain": (dy * self.xhat).sum(axis=axes), "bias": dy.sum(axis=axes)}
        if f == "bias once":
            self.grads["bias"] = dy.reshape(-1, dy.shape[-1])[0].copy()
        if f == "gain of dx":
            self.grads["gain"] = (dy * self.params["gain"] * self.xhat).sum(axis=axes)
        d = dy * (1 if f == "gain forgotten" else self.params["gain"])
        mean, along = d.mean(axis=-1, keepdims=True), (d * self.xhat).mean(axis=-1, keepdims=True)
        if f == "mean is constant":
            mean = 0
        elif f == "variance is constant":
            along = 0
        elif f == "sign of the variance":
            along = -along
        dx = (d - mean - self.xhat * along) / self.std
        if f == "over rows":
            dx = (d - d.mean(axis=0) - self.xhat * (d * self.xhat).mean(axis=0)) / self.std
        return dx


class GroupNorm(Layer):
    """Normalises groups of channels of (B, C, T)."""

    def setup(self, rng, groups=2):
        self.groups, self.params = groups, {"gain": 1 + 0.1 * rng.normal(size=4)}

    def forward(self, x):
        g = x.reshape(len(x), self.groups, -1)
        self.std = np.sqrt(g.var(axis=2, keepdims=True) + 1e-5)
        self.xhat = (g - g.mean(axis=2, keepdims=True)) / self.std
        return self.xhat.reshape(x.shape) * self.params["gain"][:, None]

    def backward(self, dy):
        self.grads = {"gain": (dy * self.xhat.reshape(dy.shape)).sum(axis=(0, 2))}
        d = (dy * self.params["gain"][:, None]).reshape(self.xhat.shape)
        axis = (0, 2) if self.fault == "over the batch too" else 2
        mean = d.mean(axis=axis, keepdims=True)
        along = (d * self.xhat).mean(axis=axis, keepdims=True)
        return ((d - mean - self.xhat * along) / self.std).reshape(dy.shape)


class RootMeanSquare(Layer):
    """x over the root of its mean square, times a gain that starts at 1."""

    def setup(self, rng):
        self.params = {"gain": np.ones(5)}

    def forward(self, x):
        self.x, self.rms = x, np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-6)
        return x / self.rms * self.params["gain"]

    def backward(self, dy):
        f, x, r = self.fault, self.x, self.rms
        self.grads = {"gain": (dy * x / r).sum(axis=0)}
        d = dy if f == "gain forgotten" else dy * self.params["gain"]
        along = (d * x).mean(axis=-1, keepdims=True)
        if f == "sum for mean":
            along = (d * x).sum(axis=-1, keepdims=True)
        if f == "root is constant":
            along = 0
        return d / r - x * along / r ** (2 if f == "power" else 3)


class Unit(Layer):
    """Each row divided by its length."""

    def forward(self, x):
        self.n = np.sqrt((x * x).sum(axis=1, keepdims=True))
        self.y = x / self.n
        return self.y

    def backward(self, dy):
        along = (dy * self.y).sum(axis=1, keepdims=True)
        if self.fault == "length is constant":
            along = 0
        if self.fault == "not divided":
            return dy - self.y * along
        if self.fault == "added":
            along = -along
        return (dy - self.y * along) / self.n


class WeightNorm(Layer):
    """y = x (g v / |v|)^T."""

    def setup(self, rng):
        self.params = {"v": rng.normal(size=(3, 4)), "g": rng.uniform(0.5, 2, 3)}

    def forward(self, x):
        v = self.params["v"]
        self.x, self.n = x, np.sqrt((v * v).sum(axis=1, keepdims=True))
        self.u = v / self.n
        return x @ (self.params["g"][:, None] * self.u).T

    def backward(self, dy):
        g = self.params["g"][:, None]
        dw = dy.T @ self.x
        along = (dw * self.u).sum(axis=1, keepdims=True)
        self.grads = {"g": along[:, 0], "v": g * (dw - self.u * along) / self.n}
        if self.fault == "length is constant":
            self.grads["v"] = g * dw / self.n
        if self.fault == "direction not unit":
            self.grads["g"] = (dw * self.params["v"]).sum(axis=1)
        return dy @ (g * self.u)


class Activation(Layer):
    """An activation by its name; a wrong derivative by the fault's."""

    def setup(self, rng, kind="silu"):
        self.kind = kind

    def forward(self, x):
        self.x = x
        return FORWARDS[self.kind](x)

    def backward(self, dy):
        return dy * (WRONG[self.kind][self.fault][0] if self.fault else SLOPES[self.kind])(self.x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


PHI = 1 / np.sqrt(2 * np.pi)
FORWARDS = {
    "silu": lambda x: x * sigmoid(x),
    "gelu": lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))),
    "gelu of tanh": lambda x: 0.5 * x * (1 + np.tanh(0.8 * (x + 0.04 * x**3))),
    "mish": lambda x: x * np.tanh(softplus(x)),
    "elu": lambda x: np.where(x > 0, x, 2 * (np.exp(np.minimum(x, 0)) - 1)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "softplus": softplus,
    "hard sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "leaky": lambda x: np.where(x > 0, x, 0.2 * x),
    "clip": lambda x: np.clip(x, -8, 8),
    "relu6": lambda x: np.clip(x, 0, 6),
    "sine": np.sin,
    "square": lambda x: x * x,
    "exp": np.exp,
    "gauss": lambda x: np.exp(-x * x),
    "log sigmoid": lambda x: -softplus(-x),
    "cube root": np.cbrt,
    "root": lambda x: np.sqrt(x * x + 1),
}
SLOPES = {
    "silu": lambda x: sigmoid(x) * (1 + x * (1 - sigmoid(x))),
    "gelu": lambda x: 0.5 * (1 + erf(x / np.sqrt(2))) + x * PHI * np.exp(-x * x / 2),
    "gelu of tanh": lambda x: (
        0.5 * (1 + np.tanh(0.8 * (x + 0.04 * x**3)))
        + 0.5 * x * (1 - np.tanh(0.8 * (x + 0.04 * x**3)) ** 2) * 0.8 * (1 + 0.12 * x * x)
    ),
    "mish": lambda x: np.tanh(softplus(x)) + x * (1 - np.tanh(softplus(x)) ** 2) * sigmoid(x),
    "elu": lambda x: np.where(x > 0, 1.0, 2 * np.exp(np.minimum(x, 0))),
    "softsign": lambda x: 1 / (1 + np.abs(x)) ** 2,
    "softplus": sigmoid,
    "hard sigmoid": lambda x: (np.abs(x) < 3) / 6,
    "hard swish": lambda x: np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5)),
    "leaky": lambda x: np.where(x > 0, 1.0, 0.2),
    "clip": lambda x: (np.abs(x) < 8) * 1.0,
    "relu6": lambda x: ((x > 0) & (x < 6)) * 1.0,
    "sine": np.cos,
    "square": lambda x: 2 * x,
    "exp": np.exp,
    "gauss": lambda x: -2 * x * np.exp(-x * x),
    "log sigmoid": lambda x: sigmoid(-x),
    "cube root": lambda x: 1 / (3 * np.cbrt(x) ** 2),
    "root": lambda x: x / np.sqrt(x * x + 1),
}
WRONG = {
    "silu": {"sigmoid alone": (sigmoid, "the product rule's second term is missing", "term")},
    "gelu": {
        "distribution alone": (
            lambda x: 0.5 * (1 + erf(x / np.sqrt(2))),
            "the density's term is missing",
            "term",
        )
    },
    "gelu of tanh": {
        "inner derivative": (
            lambda x: (
                0.5 * (1 + np.tanh(0.8 * (x + 0.04 * x**3)))
                + 0.5 * x * (1 - np.tanh(0.8 * (x + 0.04 * x**3)) ** 2) * 0.8
            ),
            "the cubic's own derivative is missing",
            "other",
        )
    },
    "elu": {
        "slope for negative": (
            lambda x: np.where(x > 0, 1.0, np.exp(np.minimum(x, 0))),
            "alpha is forgotten where x < 0",
            "mask or scale",
        ),
        "value for slope": (
            lambda x: np.where(x > 0, 1.0, 2 * (np.exp(np.minimum(x, 0)) - 1)),
            "the value stands for the derivative where x < 0",
            "mask",
        ),
    },
    "softsign": {"not squared": (lambda x: 1 / (1 + np.abs(x)), "the square is missing", "other")},
    "softplus": {"tanh": (np.tanh, "tanh stands for sigmoid", "other")},
    "hard sigmoid": {
        "no limits": (lambda x: 0 * x + 1 / 6, "the gradient passes where it is clipped", "mask"),
        "slope of 1": (lambda x: (np.abs(x) < 3) * 1.0, "the slope of 1/6 is forgotten", "scale"),
    },
    "hard swish": {
        "product rule": (
            lambda x: np.clip(x / 6 + 0.5, 0, 1),
            "the product rule's second term is missing",
            "term or mask",
        )
    },
    "leaky": {
        "sign": (
            lambda x: np.where(x > 0, 1.0, -0.2),
            "the slope for x < 0 has the other sign",
            "mask or sign",
        ),
        "no leak": (lambda x: (x > 0) * 1.0, "zero where x < 0", "mask"),
    },
    "clip": {
        "passes": (lambda x: np.ones_like(x), "the gradient passes beyond the limits", "mask")
    },
    "relu6": {"no upper limit": (lambda x: (x > 0) * 1.0, "passes above 6", "mask")},
    "sine": {"minus": (lambda x: -np.cos(x), "the opposite sign", "sign")},
    "square": {"x": (lambda x: x, "the factor 2 is forgotten", "scale")},
    "gauss": {"chain": (lambda x: np.exp(-x * x), "the inner derivative is missing", "chain")},
    "root": {"one": (lambda x: 1 / np.sqrt(x * x + 1), "the factor x is missing", "chain")},
    "exp": {"one less": (lambda x: np.exp(x) - 1, "the derivative of expm1's argument", "term")},
}


def wide(rng):
    return (4 * rng.normal(size=(6, 5)),)


def wider(rng):
    return (rng.uniform(-12, 12, size=(5, 5)),)


CASES = [
    *cases_of(
        BatchNorm,
        normal((6, 3)),
        {
            "gain without x": ("dy summed without xhat", "chain or swapped"),
            "gain averaged": ("averaged over the batch", "scale"),
            "gain forgotten": ("dx lacks the gain, which is 1 at first", "scale"),
            "mean is constant": ("dx lacks the mean's path", "term"),
            "variance is constant": ("dx lacks the variance's path", "term"),
            "both are constant": ("dx lacks both paths", "term"),
            "sums for means": ("sums where means belong", "term"),
            "unbiased": ("n - 1 where n belongs", "term or scale"),
            "over the last axis": ("the mean is over the wrong axis", "term"),
            "not divided": ("dx is not divided by the deviation", "scale"),
            "divided by the variance": ("divided by the variance", "scale"),
        },
    ),
    *cases_of(BatchNorm, normal((4, 3, 3, 2)), fresh=False),
    *cases_of(BatchNorm, normal((5, 3), scale=1e-3), note="1e-3", fresh=False),
    *cases_of(
        LayerNorm,
        normal((4, 5)),
        {
            "bias once": ("only the first row counts for the bias", "term"),
            "gain of dx": ("the gain's gradient is multiplied by the gain", "chain or scale"),
            "gain forgotten": ("dx lacks the gain", "other"),
            "mean is constant": ("dx lacks the mean's path", "term"),
            "variance is constant": ("dx lacks the variance's path", "term"),
            "sign of the variance": ("the variance's path has the wrong sign", "term or sign"),
            "over rows": ("the means are over the batch", "other"),
        },
    ),
    *cases_of(LayerNorm, normal((2, 3, 5)), note="three axes"),
    *cases_of(
        GroupNorm,
        normal((3, 4, 3)),
        {"over the batch too": ("the means are over the batch as well", "term")},
    ),
    *cases_of(GroupNorm, normal((2, 4, 5)), groups=4),
    *cases_of(
        RootMeanSquare,
        normal((4, 5)),
        {
            "gain forgotten": ("dx lacks the gain, which is 1 at first", "scale"),
            "sum for mean": ("a sum where the mean belongs", "term"),
            "root is constant": ("the root is treated as a constant", "term"),
            "power": ("the square where the cube belongs", "term"),
        },
    ),
    *cases_of(
        Unit,
        normal((4, 3)),
        {
            "length is constant": ("the length is treated as a constant", "term"),
            "not divided": ("not divided by the length", "scale"),
            "added": ("the projection is added", "term or sign"),
        },
    ),
    *cases_of(
        WeightNorm,
        normal((5, 4)),
        {
            "length is constant": ("the length is treated as a constant", "term"),
            "direction not unit": ("v for v / |v|", "chain or scale"),
        },
    ),
]
for _kind in FORWARDS:
    _inputs = wider if _kind in ("clip", "relu6") else wide if "hard" in _kind else normal((4, 5))
    _faults = {key: one[1:] for key, one in WRONG.get(_kind, {}).items()}
    CASES += cases_of(Activation, _inputs, _faults, kind=_kind)
CASES += cases_of(Activation, positive((3, 4)), note="positive", kind="leaky")
