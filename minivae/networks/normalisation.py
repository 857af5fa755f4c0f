"""Numbers brought to mean 0 and deviation 1: within each row of the batch, or over all its rows.

One pair of formulas makes all; which numbers belong together is the layers' to say.
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


def scale(x: Array, weight: Array, y: Array) -> Array:
    """Overwrite y (N, C) with weight x, weight (C,)."""
    return np.multiply(x, weight, out=y)


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
            normalise, normalise_backward, scale, scale_shift, scale_backward_weight
        )
        self.groups, self.channels, self.eps = num_groups, num_channels, eps

    def initial(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Return 1 for the weight, 0 for the bias."""
        return np.full(shape, float(name == "weight"))

    def forward(self, x: Any) -> Any:
        """Return y, of x's shape (B, pixels channels)."""
        self.xhat, y = self.like("xhat", x), self.like("y", x)
        grouped = self._grouped(x)
        self.inverse = self.buffers.get("inverse", len(grouped), self.groups, x.dtype)
        self.own.normalise(
            grouped,
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
        self.own.scale(self._flat(dy), self.params["weight"], self._flat(g))
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


class BatchNorm(GroupNorm):
    """Normalises each channel over all rows and pixels of a batch (Ioffe and Szegedy 2015).

    In training by the batch's own mean and variance, of which it keeps running means; else by
    those. They lie among the parameters, and their gradient is 0: a loss in training does not
    depend on them. (AdamW's decay of 0.01 takes 0.01% off them.)

    Parameters
    ----------
    num_features : int
        Channels: the last of a row's numbers (pixels, channels), flattened.
    eps : float
        Added to the variance.
    momentum : float
        The weight of a batch in the running means.

    Attributes
    ----------
    training : bool
        Whether batches are normalised by their own numbers: see `learning`.
    """

    crosses_rows = True
    training = False

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, **settings: Any
    ) -> None:
        super().__init__(num_features, num_features, eps, **settings)
        self.own_shapes |= {f"running_{name}": (num_features,) for name in ("mean", "var")}
        self.backend.twins(running)  # says if there is none
        self.momentum = momentum

    def initial(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Return 1 for the weight and the running variance, else 0."""
        return np.full(shape, float(name in ("weight", "running_var")))

    def forward(self, x: Any) -> Any:
        """Return y, of x's shape (B, pixels channels).

        Raises
        ------
        ArgumentError
            If it is training and a channel has one number alone.
        """
        self.passed = self.training
        mean, var = self.params["running_mean"], self.params["running_var"]
        if self.training:
            if x.size == self.channels:
                raise ArgumentError(
                    f"{self.name}: a batch of one row has no variance; take batches of two or more"
                )
            y = super().forward(x)
            running(self._flat(x), self.inverse[0], self.eps, self.momentum, mean, var)
            return y
        self.xhat, y = self.like("xhat", x), self.like("y", x)
        self.inverse = 1 / np.sqrt(var[None] + self.eps)
        np.subtract(self._flat(x), mean, out=self._flat(self.xhat))
        self.xhat.reshape(-1, self.channels)[...] *= self.inverse
        flat = self._flat(self.xhat), self.params["weight"], self.params["bias"], self._flat(y)
        self.own.scale_shift(*flat)
        return y

    def backward_input(self, dy: Any) -> Any:
        """Return dx, of dy's shape, for the batch as it was normalised."""
        if self.passed:
            return super().backward_input(dy)
        self.dy, dx = dy, self.like("dx", dy)
        np.multiply(self._flat(dy), self.params["weight"] * self.inverse, out=self._flat(dx))
        return dx

    def gradients(self, part: slice = ALL) -> None:
        """Overwrite dweight and dbias, and the running means' 0, if they lie in that part."""
        super().gradients(part)
        for name in ("running_mean", "running_var"):
            if self.within(name, part) is not None:
                self.grads[name][...] = 0

    def _grouped(self, x: Any) -> Any:
        return x.reshape(1, -1, self.channels, 1)


def running(x: Array, inverse: Array, eps: float, momentum: float, mean: Array, var: Array) -> None:
    """Move running means (C,) towards those of x (N, C), for inverse = 1 / sqrt(variance + eps).

    The variance that is kept is the unbiased one, N / (N - 1) of the batch's, as in PyTorch.
    """
    mean *= 1 - momentum
    mean += momentum * x.mean(axis=0)
    var *= 1 - momentum
    var += momentum * len(x) / (len(x) - 1) * (1 / inverse**2 - eps)


def learning(model: Layer, on: bool = True) -> list[BatchNorm]:
    """Tell the layers of batch norm within a model whether it learns, and return them."""
    layers = [layer for layer in model.leaves() if isinstance(layer, BatchNorm)]
    for layer in layers:
        layer.training = on
    return layers
