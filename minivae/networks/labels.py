"""Labels: a row of weights, chosen by each image's label, added to what a layer gives.

Which labels there are, and which image has which, is the model's to say (`VAE.given`).

The data flow. `Label` stands behind the first layer of encoder and of decoder, before its
activation, and keeps an array of codes, one an image or one for all, that is put there from outside
(`tell`): by `VAE.given` for what a model can do, or once for each size of batch by the training,
which then only writes the codes of the next batch into that array (training/told.py). The step
of the bound passes x and z as ever, and windows cut the codes as they cut rows. So a model without
labels has no such layer, and its step asks nothing about them.

A row of weights is what a one-hot label joined to the layer's input would be multiplied with: the
sum is that product, but for the columns of zeros.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from minivae.errors import ArgumentError
from minivae.layers import Layer, Shape
from minivae.params import ALL

Array = np.ndarray


def add_labels(x: Array, weight: Array, codes: Array, rows: Array, y: Array) -> Array:
    """Overwrite y with x + weight[codes], rows with weight[codes].

    codes is (n,), weight (classes, C), rows (n, C); x and y are (n m, P C): m rows have one code,
    and each of their P pixels gets the same C numbers.
    """
    np.take(weight, codes, axis=0, out=rows, mode="clip")  # not "raise": that would copy
    shape = len(codes), -1, weight.shape[1]
    np.add(x.reshape(shape), rows[:, None], out=y.reshape(shape))
    return y


def one_hot(codes: Array, out: Array) -> Array:
    """Overwrite out (n m, classes) with 1 at the code of m rows each, 0 elsewhere."""
    each = out.reshape(len(codes), -1, out.shape[1])
    np.equal(codes[:, None, None], np.arange(out.shape[1]), out=each)
    return out


class Label(Layer):
    """y = x + W[label], with W (classes, channels), for all pixels of a picture alike.

    Parameters
    ----------
    classes : int
        How many labels there are.
    channels : int
        A row x is (pixels, channels), flattened; as wide as the layer before, or its channels.
    """

    kept = ("sums",)

    def __init__(self, classes: int, channels: int, **settings: Any) -> None:
        super().__init__({"weight": (classes, channels)}, **settings)
        self.own = self.backend.twins(add_labels, one_hot)
        self.classes, self.channels = classes, channels
        self.codes: Any = None

    def initial(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Return numbers uniform in ±1/sqrt(classes), as a layer on one-hot labels has them."""
        bound = self.classes**-0.5
        return rng.uniform(-bound, bound, shape)

    def forward(self, x: Any) -> Any:
        """Return y, of x's shape (B, pixels channels)."""
        n = 0 if self.codes is None else len(self.codes)
        if n == 0 or len(x) % n:
            told = f"{n} labels for {len(x)} rows" if n else "this model takes labels"
            raise ArgumentError(f"{told}: say which, by --label 7 or vae.given(7)")
        rows = self.buffers.get("rows", len(x), self.channels, x.dtype)[:n]
        return self.own.add_labels(x, self.params["weight"], self.codes, rows, self.like("y", x))

    def backward_input(self, dy: Any) -> Any:
        """Return dx, which is dy; keep its sums over the pixels."""
        self.sums = self.buffers.get("sums", len(dy), self.channels, dy.dtype)
        np.sum(dy.reshape(len(dy), -1, self.channels), axis=1, out=self.sums)
        return dy

    def gradients(self, part: slice = ALL) -> None:
        """Overwrite dW, the sums of dy over the rows of each label, if it lies in that part."""
        if self.within("weight", part) is not None:
            hot = self.buffers.get("hot", len(self.sums), self.classes, self.sums.dtype)
            self.own.one_hot(self.codes, hot)
            self.formulas.linear_backward_weight(self.sums, hot, self.grads["weight"])

    def window(self, rows: slice) -> Self:
        """Return this layer for some rows, and their codes: m rows may have one code."""
        window = super().window(rows)
        if self.codes is not None and len(self.codes) > 1:
            m = len(self.sums) // len(self.codes) if hasattr(self, "sums") else 1
            window.codes = self.codes[rows.start // m : rows.stop // m]
        return window


def tell(layer: Layer, codes: Any) -> None:
    """Let every `Label` within a layer add those rows of its weights: codes (n,), or (1,)."""
    for leaf in layer.leaves():
        if isinstance(leaf, Label):
            leaf.codes = codes
