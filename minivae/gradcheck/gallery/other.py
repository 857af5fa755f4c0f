"""A correct ReLU in plain NumPy, and real mistakes made in activations and products.

Those of linear layers are in linear_faults.py; the names that they should get in faults.py.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


class PlainReLU:
    """A correct ReLU."""

    def forward(self, x: Array) -> Array:
        """Return max(x, 0)."""
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy: Array) -> Array:
        """Return dx."""
        return dy * (self.x > 0)


class PassesEverything(PlainReLU):
    """The gradient passes where ReLU was closed."""

    def backward(self, dy: Array) -> Array:
        return dy.copy()


class MaskInverted(PlainReLU):
    """The gradient passes where ReLU was closed, and only there."""

    def backward(self, dy: Array) -> Array:
        return dy * (self.x <= 0)


class LeakForgotten(PlainReLU):
    """A leaky forward with the backward of one that does not leak."""

    def forward(self, x: Array) -> Array:
        self.x = x
        return np.where(x > 0, x, 0.1 * x)


class ChangesGradientInPlace(PlainReLU):
    """The output's gradient is overwritten."""

    def backward(self, dy: Array) -> Array:
        dy[self.x <= 0] = 0
        return dy


class ChangesInputInPlace(PlainReLU):
    """The input is overwritten."""

    def forward(self, x: Array) -> Array:
        self.x = x
        x[x < 0] = 0
        return x.copy()


class ChainForgotten(PlainReLU):
    """The derivative alone, not times the output's gradient."""

    def backward(self, dy: Array) -> Array:
        return (self.x > 0).astype(dy.dtype)


class SigmoidOfInput(PlainReLU):
    """sigmoid' = y (1 - y), with the input where the output belongs."""

    def forward(self, x: Array) -> Array:
        self.x = x
        return 1 / (1 + np.exp(-x))

    def backward(self, dy: Array) -> Array:
        return dy * self.x * (1 - self.x)


class TanhHalved(PlainReLU):
    """tanh(x) with half its derivative."""

    def forward(self, x: Array) -> Array:
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy: Array) -> Array:
        return 0.5 * dy * (1 - self.y**2)


class MeanNotUndone(PlainReLU):
    """The mean over a row, whose backward forgets to divide by its width."""

    def forward(self, x: Array) -> Array:
        self.x = x
        return x.mean(axis=1)

    def backward(self, dy: Array) -> Array:
        return np.repeat(dy[:, None], self.x.shape[1], axis=1)


class SkipForgotten(PlainReLU):
    """y = x + tanh(x), whose backward knows only the tanh."""

    def forward(self, x: Array) -> Array:
        self.y = np.tanh(x)
        return x + self.y

    def backward(self, dy: Array) -> Array:
        return dy * (1 - self.y**2)


class DropsAtRandom(PlainReLU):
    """Dropout that draws its own mask."""

    def forward(self, x: Array) -> Array:
        self.x = np.random.default_rng().uniform(size=x.shape) - 0.5
        return x * (self.x > 0)


class Exchanged:
    """A product whose two gradients are exchanged."""

    def forward(self, a: Array, b: Array) -> Array:
        self.a, self.b = a, b
        return a * b

    def backward(self, dy: Array) -> tuple[Array, Array]:
        return dy * self.a, dy * self.b


class SecondOutputForgotten:
    """Two outputs, the second of which sends no gradient back."""

    def forward(self, x: Array) -> tuple[Array, Array]:
        self.x = x
        return np.sin(x), x**3

    def backward(self, dsin: Array, dcube: Array) -> Array:
        return dsin * np.cos(self.x)
