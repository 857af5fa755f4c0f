"""LayerNorm and GroupNorm: numbers brought to mean 0 and deviation 1, within each row of the batch.

One pair of formulas makes both; which numbers belong together is the layers' to say.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.errors import ArgumentError
from minivae.layers import Layer, Shape
from minivae.params import ALL

Array = np.ndarray


def normalise(x: Array, eps: float, xhat: Array, inverse: Array) -> Array:
    """Overwrite xhat with (x - mean) / sqrt(variance + eps), inverse (B, 1, G, 1) with 1 / sqrt.

    x is (B, P, G, n): mean and variance are those of the P n numbers of a row and a group.
    """
    np.subtract(x, x.mean(axis=(1, 3), keepdims=True), out=xhat)
    count = x.shape[1] * x.shape[3]
    np.einsum("bpgn,bpgn->bg", xhat, xhat, out=inverse[:, 0, :, 0])
    inverse *= 1 / count
    inverse += eps
    np.sqrt(inverse, out=inverse)
    np.divide(1, inverse, out=inverse)
    xhat *= inverse
    return xhat


def normalise_backward(g: Array, xhat: Array, inverse: Array, dx: Array) -> Array:
    """Overwrite dx for the gradient g of xhat, both (B, P, G, n).

    With r = 1 / sqrt(v + eps), xhat_i = (x_i - m) r. The mean moves by 1/N with each x_j, and
    dr/dx_j = -r^3 (x_j - m) / N = -r^2 xhat_j / N, so
    dx_j = r (g_j - mean(g) - xhat_j mean(g xhat)).
    """
    np.multiply(g, xhat, out=dx)
    shares = dx.mean(axis=(1, 3), keepdims=True)
    np.multiply(xhat, shares, out=dx)
    np.subtract(g, dx, out=dx)
    dx -= g.mean(axis=(1, 3), keepdims=True)
    dx *= inverse
    return dx


def scale_shift(xhat: Array, weight: Array, bias: Array, y: Array) -> Array:
    """Overwrite y (N, C) with weight xhat + bias, both (C,)."""
    np.multiply(xhat, weight, out=y)
    y += bias
    return y


def scale_backward_weight(xhat: Array, dy: Array, dweight: Array) -> Array:
    """Overwrite dweight (C,) with the sums of dy xhat, from (N, C) each."""
    return np.einsum("nc,nc->c", xhat, dy, out=dweight)


class GroupNorm(Layer):
    """Normalises groups of channels over all pixels of a picture (Wu and He 2018).

    Parameters
    ----------
    num_groups, num_channels : int
        A row x is (pixels, channels), flattened; a group is a run of channels.
    eps : float
        Added to the variance.
    """

    kept = ("xhat", "dy")

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, **settings: Any
    ) -> None:
        if num_channels % num_groups:
            raise ArgumentError(f"{num_channels} channels cannot be cut into {num_groups} groups")
        super().__init__({"weight": (num_channels,), "bias": (num_channels,)}, **settings)
        self.own = self.backend.twins(
            normalise, normalise_backward, scale_shift, scale_backward_weight
        )
        self.groups, self.channels, self.eps = num_groups, num_channels, eps

    def initial(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Return 1 for the weight, 0 for the bias."""
        return np.full(shape, float(name == "weight"))

    def forward(self, x: Any) -> Any:
        """Return y, of x's shape (B, pixels channels)."""
        self.xhat, y = self.like("xhat", x), self.like("y", x)
        self.inverse = self.buffers.get("inverse", len(x), self.groups, x.dtype)
        self.own.normalise(
            self._grouped(x),
            self.eps,
            self._grouped(self.xhat),
            self.inverse.reshape(-1, 1, self.groups, 1),
        )
        flat = self._flat(self.xhat), self.params["weight"], self.params["bias"], self._flat(y)
        self.own.scale_shift(*flat)
        return y

    def backward_input(self, dy: Any) -> Any:
        """Return dx, of dy's shape."""
        self.dy, g, dx = dy, self.like("g", dy), self.like("dx", dy)
        np.multiply(self._flat(dy), self.params["weight"], out=self._flat(g))
        self.own.normalise_backward(
            self._grouped(g),
            self._grouped(self.xhat),
            self.inverse.reshape(-1, 1, self.groups, 1),
            self._grouped(dx),
        )
        return dx

    def gradients(self, part: slice = ALL) -> None:
        """Overwrite dweight and dbias, if they lie in that part of the flat vector."""
        if self.within("weight", part) is not None:
            flat = self._flat(self.xhat), self._flat(self.dy)
            self.own.scale_backward_weight(*flat, self.grads["weight"])
        if self.within("bias", part) is not None:
            self.formulas.linear_backward_bias(self._flat(self.dy), self.grads["bias"])

    def _flat(self, x: Any) -> Any:
        return x.reshape(-1, self.channels)

    def _grouped(self, x: Any) -> Any:
        return x.reshape(len(x), -1, self.groups, self.channels // self.groups)


class LayerNorm(GroupNorm):
    """Normalises all numbers of a row (Ba and others 2016), with a weight and a bias for each.

    Parameters
    ----------
    normalized_shape : int
        How many numbers a row has.
    eps : float
        Added to the variance.
    """

    def __init__(self, normalized_shape: int, eps: float = 1e-5, **settings: Any) -> None:
        super().__init__(1, normalized_shape, eps, **settings)
