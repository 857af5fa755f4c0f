"""Right layers of deeper networks in plain NumPy, each followed by the mistakes made in it.

Linear layers and activations are in linear.py and other.py; the names that the mistakes should get
in faults.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray


def softmax(x: Array) -> Array:
    """Return the softmax along the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class Convolution:
    """Rows of 2 channels and 5 places through kernels of 3 places, edges padded by zeros."""

    shapes: tuple[tuple[int, ...], ...] = ((3, 2, 5),)

    def __init__(self) -> None:
        self.params = {"weight": np.random.default_rng(3).normal(size=(3, 2, 3))}  # out, in, place
        self.grads = {"weight": np.zeros((3, 2, 3))}

    def forward(self, x: Array) -> Array:
        """Return the sums over each place's neighbours."""
        self.x = np.pad(x, ((0, 0), (0, 0), (1, 1)))
        w = self.params["weight"]
        return sum(np.einsum("oc,ncl->nol", w[..., k], self.x[..., k : k + 5]) for k in range(3))

    def backward(self, dy: Array) -> Array:
        """Return dx; the weight's gradient is put into `grads`."""
        dx = np.zeros_like(self.x)
        for k in range(3):
            near = slice(k, k + 5)
            self.grads["weight"][..., k] = np.einsum("nol,ncl->oc", dy, self.x[..., near])
            dx[..., near] += np.einsum("oc,nol->ncl", self.params["weight"][..., k], dy)
        return self.crop(dx)

    def crop(self, dx: Array) -> Array:
        """Return dx without the padding."""
        return dx[..., 1:-1]


class CroppedAtOneEnd(Convolution):
    """The padding is cut off at one end of dx alone."""

    def crop(self, dx: Array) -> Array:
        return dx[..., 2:]


class KernelTurned(Convolution):
    """dy meets the kernel in reverse: a convolution where a correlation belongs."""

    def backward(self, dy: Array) -> Array:
        return super().backward(dy[..., ::-1])[..., ::-1]


class MaxPool:
    """The larger of each two neighbours."""

    shapes: tuple[tuple[int, ...], ...] = ((4, 6),)

    def forward(self, x: Array) -> Array:
        """Return the maxima."""
        pairs = x.reshape(len(x), -1, 2)
        self.first = pairs[..., 0] >= pairs[..., 1]
        return pairs.max(axis=2)

    def backward(self, dy: Array) -> Array:
        """Return dx: dy where the larger one stood."""
        return np.stack([dy * self.first, dy * ~self.first], axis=2).reshape(len(dy), -1)


class PoolSpreads(MaxPool):
    """Both neighbours get the maximum's gradient."""

    def backward(self, dy: Array) -> Array:
        return np.repeat(dy, 2, axis=1)


class MeanPoolNotDivided(MaxPool):
    """The mean of two neighbours, whose backward does not divide by 2."""

    def forward(self, x: Array) -> Array:
        return x.reshape(len(x), -1, 2).mean(axis=2)

    def backward(self, dy: Array) -> Array:
        return np.repeat(dy, 2, axis=1)


class Normalised:
    """Each row less its mean, over its deviation."""

    shapes: tuple[tuple[int, ...], ...] = ((4, 5),)

    def forward(self, x: Array) -> Array:
        """Return rows of mean 0 and deviation 1."""
        self.deviation = x.std(axis=1, keepdims=True)
        self.y = (x - x.mean(axis=1, keepdims=True)) / self.deviation
        return self.y.copy()

    def backward(self, dy: Array) -> Array:
        """Return dx, by way of the value itself, the mean and the deviation."""
        mean = dy.mean(axis=1, keepdims=True)
        return (dy - mean - self.y * (dy * self.y).mean(axis=1, keepdims=True)) / self.deviation


class StatisticsAreConstants(Normalised):
    """Mean and deviation are taken for constants."""

    def backward(self, dy: Array) -> Array:
        return dy / self.deviation


class MeanIsConstant(Normalised):
    """The mean is taken for a constant."""

    def backward(self, dy: Array) -> Array:
        return (dy - self.y * (dy * self.y).mean(axis=1, keepdims=True)) / self.deviation


class Softmax:
    """The softmax of each row."""

    shapes: tuple[tuple[int, ...], ...] = ((4, 5),)

    def forward(self, x: Array) -> Array:
        """Return shares that sum to 1."""
        self.y = softmax(x)
        return self.y.copy()

    def backward(self, dy: Array) -> Array:
        """Return dx."""
        return self.y * (dy - (self.y * dy).sum(axis=1, keepdims=True))


class SoftmaxByEntry(Softmax):
    """Each entry on its own, as though the others did not share its sum."""

    def backward(self, dy: Array) -> Array:
        return self.y * (1 - self.y) * dy


class SumOverRows(Softmax):
    """The sum runs over the batch."""

    def backward(self, dy: Array) -> Array:
        return self.y * (dy - (self.y * dy).sum(axis=0))


class Attention:
    """softmax(q k^T / 2) v, of 4 features."""

    shapes: tuple[tuple[int, ...], ...] = ((3, 4), (3, 4), (3, 4))
    scale = 0.5

    def forward(self, q: Array, k: Array, v: Array) -> Array:
        """Return the values, weighed."""
        self.q, self.k, self.v = q, k, v
        self.p = softmax(q @ k.T / 2)
        return self.p @ v

    def backward(self, dy: Array) -> tuple[Array, Array, Array]:
        """Return dq, dk, dv."""
        dp = dy @ self.v.T
        ds = self.p * (dp - (self.p * dp).sum(axis=1, keepdims=True))
        return ds @ self.k / 2, self.scale * self.turned(ds) @ self.q, self.p.T @ dy

    def turned(self, ds: Array) -> Array:
        """Return the scores' gradient with the keys as rows."""
        return ds.T


class ScaleForgotten(Attention):
    """The keys' gradient lacks 1 / 2."""

    scale = 1.0


class ScoresNotTurned(Attention):
    """The keys' gradient takes the scores' rows for its own."""

    def turned(self, ds: Array) -> Array:
        return ds


class Recurrent:
    """h = tanh(x + w h) over 4 steps; the output is every state."""

    shapes: tuple[tuple[int, ...], ...] = ((3, 4, 2),)
    remembers = True

    def __init__(self) -> None:
        self.params = {"weight": np.random.default_rng(3).normal(size=(2, 2))}
        self.grads = {"weight": np.zeros((2, 2))}

    def forward(self, x: Array) -> Array:
        """Return the states (batch, steps, features)."""
        self.h = np.zeros((len(x), x.shape[1] + 1, 2), x.dtype)
        for t in range(x.shape[1]):
            self.h[:, t + 1] = np.tanh(x[:, t] + self.h[:, t] @ self.params["weight"].T)
        return self.h[:, 1:].copy()

    def backward(self, dy: Array) -> Array:
        """Return dx, from the last step to the first."""
        dx, dh = np.zeros_like(dy), np.zeros_like(dy[:, 0])
        self.grads["weight"][...] = 0
        for t in reversed(range(dy.shape[1])):
            dx[:, t] = (dy[:, t] + dh) * (1 - self.h[:, t + 1] ** 2)
            self.grads["weight"] += dx[:, t].T @ self.h[:, t]
            dh = dx[:, t] @ self.params["weight"] * self.remembers
        return dx


class NothingThroughTime(Recurrent):
    """Each step's gradient stays in that step."""

    remembers = False


class Embedding:
    """Rows of a table, by their numbers."""

    def __init__(self) -> None:
        self.params = {"table": np.random.default_rng(3).normal(size=(5, 3))}
        self.grads = {"table": np.zeros((5, 3))}

    @staticmethod
    def inputs(rng: np.random.Generator) -> tuple[Array, ...]:
        """Return numbers of which some occur twice."""
        return (np.array([[0, 2, 2], [4, 0, 1], [2, 3, 1]]),)

    def forward(self, numbers: Array) -> Array:
        """Return (batch, places, 3)."""
        self.numbers = numbers
        return self.params["table"][numbers]

    def backward(self, dy: Array) -> None:
        """Add the gradients of a row's uses."""
        self.grads["table"][...] = 0
        np.add.at(self.grads["table"], self.numbers, dy)


class LastUseAlone(Embedding):
    """A number that occurs twice gets the gradient of its last use alone."""

    def backward(self, dy: Array) -> None:
        self.grads["table"][...] = 0
        self.grads["table"][self.numbers] += dy


class CrossEntropy:
    """The mean of -log softmax at the labels."""

    @staticmethod
    def inputs(rng: np.random.Generator) -> tuple[Array, ...]:
        """Return logits and labels."""
        return rng.normal(size=(6, 4)), np.array([0, 3, 1, 1, 2, 0])

    def forward(self, logits: Array, labels: Array) -> Any:
        """Return the loss."""
        self.p, self.hot = softmax(logits), np.eye(logits.shape[1])[labels]
        return -np.log((self.p * self.hot).sum(axis=1)).mean()

    def backward(self, dloss: Any) -> tuple[Array, None]:
        """Return the logits' gradient."""
        return dloss * (self.p - self.hot) / len(self.p), None


class LabelForgotten(CrossEntropy):
    """The softmax, not less 1 at the label."""

    def backward(self, dloss: Any) -> tuple[Array, None]:
        return dloss * self.p / len(self.p), None


class LossNotAveraged(CrossEntropy):
    """The loss is a mean, its gradient that of the sum."""

    def backward(self, dloss: Any) -> tuple[Array, None]:
        return dloss * (self.p - self.hot), None


RIGHT = (Convolution, MaxPool, Normalised, Softmax, Attention, Recurrent, Embedding, CrossEntropy)
