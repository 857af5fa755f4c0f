"""Correct layers of many kinds, drawn at random, on which no check may fail."""

import numpy as np

from minivae.gradcheck.gallery.linear import PlainLinear
from minivae.gradcheck.gallery.other import PlainReLU
from minivae.gradcheck.suite import KL, Reconstruction, Sampler
from minivae.layers import Linear as BuiltIn
from minivae.layers import ReLU as BuiltInReLU
from minivae.layers import Sequential, Sigmoid, Tanh
from minivae.vae import VAE


class Softplus:
    def forward(self, x):
        self.x = x
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))

    def backward(self, dy):
        return dy * (1 + np.tanh(self.x / 2)) / 2


class LayerNorm:
    def __init__(self, width, dtype):
        rng = np.random.default_rng(0)
        self.params = {"gain": rng.normal(size=width).astype(dtype)}
        self.grads = {}

    def forward(self, x):
        self.std = np.sqrt(x.var(axis=1, keepdims=True) + x.dtype.type(0.1))
        self.xhat = (x - x.mean(axis=1, keepdims=True)) / self.std
        return self.params["gain"] * self.xhat

    def backward(self, dy):
        self.grads["gain"] = (dy * self.xhat).sum(axis=0)
        d = dy * self.params["gain"]
        along = (d * self.xhat).mean(axis=1, keepdims=True)
        return (d - d.mean(axis=1, keepdims=True) - self.xhat * along) / self.std


class SoftmaxLoss:
    def forward(self, logits, labels):
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        self.p, self.labels = e / e.sum(axis=1, keepdims=True), labels
        return -np.log(self.p[np.arange(len(labels)), labels]).mean()

    def backward(self, dloss):
        d = self.p.copy()
        d[np.arange(len(d)), self.labels] -= 1
        return d * dloss / len(d), None


class MaxPool:
    def forward(self, x):
        self.x, self.at = x, x.argmax(axis=1)
        return x.max(axis=1)

    def backward(self, dy):
        dx = np.zeros_like(self.x)
        dx[np.arange(len(dx)), self.at] = dy
        return dx


class Product:
    def forward(self, a, b):
        self.a, self.b = a, b
        return a * b

    def backward(self, dy):
        return dy * self.b, dy * self.a


class SumAndNorm:
    """Two outputs of different shapes."""

    def forward(self, x):
        self.x = x
        return x.sum(axis=0), (x * x).sum()

    def backward(self, dsum, dnorm):
        return dsum + 2 * dnorm * self.x


class Log:
    def forward(self, x):
        self.x = x
        return np.log(x)

    def backward(self, dy):
        return dy / self.x


def draw(rng):
    """Return a layer and its inputs, of random kind, shape, size of values and dtype."""
    rows, width, out = (int(one) for one in rng.integers(1, 9, 3))
    dtype = "float32" if rng.uniform() < 0.3 else "float64"
    scale = 10 ** rng.uniform(-2, 2)

    def values(*shape, size=scale):
        return (size * rng.normal(size=shape)).astype(dtype)

    x = values(rows, width)
    seed = int(rng.integers(1000))
    kinds = [
        lambda: (PlainLinear(width, out, dtype), (x,)),
        lambda: (PlainReLU(), (x,)),
        lambda: (Softplus(), (x,)),
        lambda: (LayerNorm(width, dtype), (x,)),
        lambda: (SoftmaxLoss(), (values(rows, width, size=2), rng.integers(0, width, rows))),
        lambda: (MaxPool(), (x,)),
        lambda: (Product(), (x, values(rows, width))),
        lambda: (SumAndNorm(), (x,)),
        lambda: (Log(), (np.abs(x) + np.asarray(0.1 * scale, dtype),)),
        lambda: (BuiltIn(width, out, seed=seed, dtype=dtype), (x,)),
        lambda: (Sigmoid(), (x,)),
        lambda: (Tanh(), (x,)),
        lambda: (
            Sequential(
                [
                    BuiltIn(width, 6, seed=seed, dtype=dtype),
                    BuiltInReLU(),
                    BuiltIn(6, out, seed=seed + 1, dtype=dtype),
                    Tanh(),
                ]
            ),
            (values(rows, width, size=1),),
        ),
        lambda: (Sampler(), tuple(values(rows, width, size=1) for _ in range(3))),
        lambda: (KL(), tuple(values(rows, width, size=1.5) for _ in range(2))),
        lambda: (
            Reconstruction(),
            (values(rows, width, size=3), rng.uniform(size=(rows, width)).astype(dtype)),
        ),
        lambda: (
            VAE(width, hidden=(out,), latent=2, beta=scale, seed=seed, dtype=dtype),
            (rng.uniform(size=(rows, width)).astype(dtype), values(rows, 2, size=1)),
        ),
    ]
    return kinds[rng.integers(len(kinds))]()
