"""A correct linear layer in plain NumPy, and real mistakes made in such layers.

Those of other layers are in other_faults.py; the names that they should get in faults.py.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


class PlainLinear:
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


class BiasNeverWritten(PlainLinear):
    """The bias's gradient is never written."""

    def backward(self, dy: Array) -> Array:
        self.grads["weight"][...] = dy.T @ self.x
        return dy @ self.params["weight"]


class SignOfTheUpdate(PlainLinear):
    """The weight's gradient has the sign of the update."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.grads["weight"] *= -1
        return dx


class MeanTwice(PlainLinear):
    """The layer divides by the batch size, though the loss has done so."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        for grad in self.grads.values():
            grad /= len(dy)
        return dx


class WeightTransposed(PlainLinear):
    """x^T dy where dy^T x belongs; the shapes agree because the layer is square."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.grads["weight"][...] = self.x.T @ dy
        return dx


class WeightReshaped(PlainLinear):
    """The transposed gradient, reshaped until it fits."""

    def __init__(self) -> None:
        super().__init__(4, 3)

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.grads["weight"][...] = (self.x.T @ dy).reshape(3, 4)
        return dx


class BatchAxisKept(PlainLinear):
    """The bias's gradient is not summed over the batch."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.grads["bias"] = dy
        return dx


class RowForBias(PlainLinear):
    """The bias's gradient keeps an axis of length 1."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.grads["bias"] = dy.sum(axis=0, keepdims=True)
        return dx


class Accumulates(PlainLinear):
    """The gradient is added to the one of the step before."""

    def backward(self, dy: Array) -> Array:
        self.grads["weight"] += dy.T @ self.x
        self.grads["bias"] += dy.sum(axis=0)
        return dy @ self.params["weight"]


class FirstInputKept(PlainLinear):
    """The input is remembered once and for all."""

    def forward(self, x: Array) -> Array:
        if not hasattr(self, "x"):
            self.x = x
        return x @ self.params["weight"].T + self.params["bias"]


class InputOneCallLate(PlainLinear):
    """backward uses the input of the call before."""

    def forward(self, x: Array) -> Array:
        self.x, self.last = getattr(self, "last", x), x
        return x @ self.params["weight"].T + self.params["bias"]


class WholeBuffer(PlainLinear):
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


class HalfTheBatch(PlainLinear):
    """Rows past the middle of the batch give no dx: a loop that ends early."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        dx[len(dx) // 2 :] = dy[len(dx) // 2 :]
        return dx


class LastUnitForgotten(PlainLinear):
    """range(outputs - 1): the last unit's weights get the gradient of the one before."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.grads["weight"][-1] = self.grads["weight"][-2]
        return dx


class UpdatesItself(PlainLinear):
    """backward applies the update as well."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.params["weight"] -= 0.1 * self.grads["weight"]
        return dx


class WholeNumbers(PlainLinear):
    """The gradient's array was made of whole numbers."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.grads["weight"] = np.zeros((4, 4), int)
        self.grads["weight"][...] = 10 * (dy.T @ self.x)
        return dx


class DoubleForSingle(PlainLinear):
    """A float64 gradient for a float32 weight."""

    def __init__(self) -> None:
        super().__init__(dtype="float32")

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.grads["bias"] = np.zeros(4) + dy.sum(axis=0)
        return dx
