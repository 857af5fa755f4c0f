"""Real mistakes in the derivatives of layers, each as a correct layer with a few lines broken.

Those of a whole VAE are in vae_faults.py; what is found and by what name is shown by gallery.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray


class Linear:
    """A correct layer of a student: y = x W^T + b, plain NumPy."""

    def __init__(self, inputs: int = 4, outputs: int = 4, dtype: str = "float64") -> None:
        rng = np.random.default_rng(7)
        self.params = {
            "weight": rng.normal(size=(outputs, inputs)).astype(dtype),
            "bias": rng.normal(size=outputs).astype(dtype),
        }
        self.grads = {name: np.zeros_like(one) for name, one in self.params.items()}

    def forward(self, x: Array) -> Array:
        """Return y."""
        self.x = x
        return x @ self.params["weight"].T + self.params["bias"]

    def backward(self, dy: Array) -> Array:
        """Return dx and write both gradients."""
        self.grads["weight"][...] = dy.T @ self.x
        self.grads["bias"][...] = dy.sum(axis=0)
        return dy @ self.params["weight"]


class BiasNeverWritten(Linear):
    """The bias's gradient is never written."""

    def backward(self, dy: Array) -> Array:
        self.grads["weight"][...] = dy.T @ self.x
        return dy @ self.params["weight"]


class SignOfTheUpdate(Linear):
    """The weight's gradient has the sign of the update."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.grads["weight"] *= -1
        return dx


class MeanTwice(Linear):
    """The layer divides by the batch size, though the loss has done so."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        for grad in self.grads.values():
            grad /= len(dy)
        return dx


class WeightTransposed(Linear):
    """x^T dy where dy^T x belongs; the shapes agree because the layer is square."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.grads["weight"][...] = self.x.T @ dy
        return dx


class WeightReshaped(Linear):
    """The transposed gradient, reshaped until it fits."""

    def __init__(self) -> None:
        super().__init__(4, 3)

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.grads["weight"][...] = (self.x.T @ dy).reshape(3, 4)
        return dx


class BatchAxisKept(Linear):
    """The bias's gradient is not summed over the batch."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.grads["bias"] = dy
        return dx


class RowForBias(Linear):
    """The bias's gradient keeps an axis of length 1."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.grads["bias"] = dy.sum(axis=0, keepdims=True)
        return dx


class Accumulates(Linear):
    """The gradient is added to the one of the step before."""

    def backward(self, dy: Array) -> Array:
        self.grads["weight"] += dy.T @ self.x
        self.grads["bias"] += dy.sum(axis=0)
        return dy @ self.params["weight"]


class FirstInputKept(Linear):
    """The input is remembered once and for all."""

    def forward(self, x: Array) -> Array:
        if not hasattr(self, "x"):
            self.x = x
        return x @ self.params["weight"].T + self.params["bias"]


class InputOneCallLate(Linear):
    """backward uses the input of the call before."""

    def forward(self, x: Array) -> Array:
        self.x, self.last = getattr(self, "last", x), x
        return x @ self.params["weight"].T + self.params["bias"]


class WholeBuffer(Linear):
    """A buffer that keeps the rows of a larger batch, all of which are summed."""

    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        self.dy = getattr(self, "dy", np.zeros_like(y))
        if len(self.dy) < len(x):
            self.dy = np.zeros_like(y)
        return y

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.dy[: len(dy)] = dy
        self.grads["bias"][...] = self.dy.sum(axis=0)
        return dx


class HalfTheBatch(Linear):
    """Rows past the middle of the batch give no dx: a loop that ends early."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        dx[len(dx) // 2 :] = dy[len(dx) // 2 :]
        return dx


class LastUnitForgotten(Linear):
    """range(outputs - 1): the last unit's weights get the gradient of the one before."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.grads["weight"][-1] = self.grads["weight"][-2]
        return dx


class UpdatesItself(Linear):
    """backward applies the update as well."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.params["weight"] -= 0.1 * self.grads["weight"]
        return dx


class WholeNumbers(Linear):
    """The gradient's array was made of whole numbers."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.grads["weight"] = np.zeros((4, 4), int)
        self.grads["weight"][...] = 10 * (dy.T @ self.x)
        return dx


class DoubleForSingle(Linear):
    """A float64 gradient for a float32 weight."""

    def __init__(self) -> None:
        super().__init__(dtype="float32")

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.grads["bias"] = np.zeros(4) + dy.sum(axis=0)
        return dx


class ReLU:
    """A correct ReLU."""

    def forward(self, x: Array) -> Array:
        """Return max(x, 0)."""
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy: Array) -> Array:
        """Return dx."""
        return dy * (self.x > 0)


class PassesEverything(ReLU):
    """The gradient passes where ReLU was closed."""

    def backward(self, dy: Array) -> Array:
        return dy.copy()


class MaskInverted(ReLU):
    """The gradient passes where ReLU was closed, and only there."""

    def backward(self, dy: Array) -> Array:
        return dy * (self.x <= 0)


class LeakForgotten(ReLU):
    """A leaky forward with the backward of one that does not leak."""

    def forward(self, x: Array) -> Array:
        self.x = x
        return np.where(x > 0, x, 0.1 * x)


class ChangesGradientInPlace(ReLU):
    """The output's gradient is overwritten."""

    def backward(self, dy: Array) -> Array:
        dy[self.x <= 0] = 0
        return dy


class ChangesInputInPlace(ReLU):
    """The input is overwritten."""

    def forward(self, x: Array) -> Array:
        self.x = x
        x[x < 0] = 0
        return x.copy()


class ChainForgotten(ReLU):
    """The derivative alone, not times the output's gradient."""

    def backward(self, dy: Array) -> Array:
        return (self.x > 0).astype(dy.dtype)


class SigmoidOfInput(ReLU):
    """sigmoid' = y (1 - y), with the input where the output belongs."""

    def forward(self, x: Array) -> Array:
        self.x = x
        return 1 / (1 + np.exp(-x))

    def backward(self, dy: Array) -> Array:
        return dy * self.x * (1 - self.x)


class TanhHalved(ReLU):
    """tanh(x) with half its derivative."""

    def forward(self, x: Array) -> Array:
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy: Array) -> Array:
        return 0.5 * dy * (1 - self.y**2)


class MeanNotUndone(ReLU):
    """The mean over a row, whose backward forgets to divide by its width."""

    def forward(self, x: Array) -> Array:
        self.x = x
        return x.mean(axis=1)

    def backward(self, dy: Array) -> Array:
        return np.repeat(dy[:, None], self.x.shape[1], axis=1)


class SkipForgotten(ReLU):
    """y = x + tanh(x), whose backward knows only the tanh."""

    def forward(self, x: Array) -> Array:
        self.y = np.tanh(x)
        return x + self.y

    def backward(self, dy: Array) -> Array:
        return dy * (1 - self.y**2)


class DropsAtRandom(ReLU):
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


# The fault and the cause that names it.
LAYER_FAULTS: tuple[tuple[type[Any], str], ...] = (
    (BiasNeverWritten, "zero"),
    (SignOfTheUpdate, "sign"),
    (MeanTwice, "scale"),
    (WeightTransposed, "transpose"),
    (WeightReshaped, "transpose"),
    (BatchAxisKept, "shape"),
    (RowForBias, "shape"),
    (Accumulates, "accumulated"),
    (FirstInputKept, "stale"),
    (InputOneCallLate, "stale"),
    (WholeBuffer, "stale"),
    (HalfTheBatch, "partial"),
    (LastUnitForgotten, "partial"),
    (UpdatesItself, "mutates"),
    (WholeNumbers, "dtype"),
    (DoubleForSingle, "dtype"),
    (PassesEverything, "mask"),
    (MaskInverted, "mask"),
    (LeakForgotten, "mask"),
    (ChangesGradientInPlace, "mutates"),
    (ChangesInputInPlace, "mutates"),
    (ChainForgotten, "chain"),
    (SigmoidOfInput, "unknown"),
    (TanhHalved, "scale"),
    (MeanNotUndone, "scale"),
    (SkipForgotten, "missing-term"),
    (DropsAtRandom, "random"),
    (Exchanged, "swapped"),
    (SecondOutputForgotten, "missing-term"),
)


def inputs_of(fault: type[Any], rng: np.random.Generator) -> tuple[Array, ...]:
    """Return inputs for a layer with that fault: 6 rows of 4."""
    count = 2 if fault is Exchanged else 1
    dtype = "float32" if fault is DoubleForSingle else "float64"
    return tuple(rng.normal(size=(6, 4)).astype(dtype) for _ in range(count))
