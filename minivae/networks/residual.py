"""A residual block: what comes in is added to what two convolutions make of it.

Its layers are those of the other files; here is only how they are joined.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.layers import Layer, ReLU, Sequential
from minivae.networks.convolution import Conv2d, Pair


class Residual(Layer):
    """y = x + conv(relu(conv(relu(x)))), all 3x3 (He and others 2016, in the order of part two).

    Where the channels change, x passes through a convolution of 1x1 before it is added.

    Parameters
    ----------
    in_channels, out_channels : int
        Of the pictures that come in and go out.
    size : pair of int
        Height and width of both.
    """

    def __init__(self, in_channels: int, out_channels: int, *, size: Pair, **settings: Any) -> None:
        backend = settings.get("backend", "numpy")
        path = [
            ReLU(backend),
            Conv2d(in_channels, out_channels, 3, 1, 1, size=size, **settings),
            ReLU(backend),
            Conv2d(out_channels, out_channels, 3, 1, 1, size=size, **settings),
        ]
        inner: dict[str, Layer] = {"path": Sequential(path)}
        if in_channels != out_channels:
            inner["skip"] = Conv2d(in_channels, out_channels, 1, size=size, **settings)
        super().__init__(inner=inner, **settings)
        self.size = self.out_size = size

    def forward(self, x: Any) -> Any:
        """Return y (B, H W out) for x (B, H W in)."""
        made = self.inner["path"].forward(x)
        skip = self.inner.get("skip")
        return np.add(made, x if skip is None else skip.forward(x), out=self.like("y", made))

    def backward_input(self, dy: Any) -> Any:
        """Return dx: a sum passes dy to both of its terms, and their gradients of x add up."""
        made = self.inner["path"].backward_input(dy)
        skip = self.inner.get("skip")
        straight = dy if skip is None else skip.backward_input(dy)
        return np.add(made, straight, out=self.like("dx", made))
