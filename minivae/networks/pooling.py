"""Smaller pictures by mean or maximum, larger ones by repetition; nothing is learned.

As everywhere in networks/, a row of the batch is a picture (height, width, channels), flattened.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minivae.errors import ArgumentError
from minivae.layers import Layer

Array = np.ndarray
Pair = tuple[int, ...]  # of two: rows, columns


# --- Formulas: x (B, H, W, C), y (B, h, w, C) -----------------------------------------------------


def places(x: Array, y: Array, kernel: int, stride: int) -> Iterator[Array]:
    """Yield, for each place of the kernel, the view (B, h, w, C) of x that falls under it."""
    height, width = stride * (y.shape[1] - 1) + 1, stride * (y.shape[2] - 1) + 1
    for u in range(kernel):
        for v in range(kernel):
            yield x[:, u : u + height : stride, v : v + width : stride]


def average_pool(x: Array, kernel: int, stride: int, y: Array) -> Array:
    """Overwrite y with the means of the kernel's places."""
    y[...] = 0
    for place in places(x, y, kernel, stride):
        y += place
    y *= kernel**-2
    return y


def average_pool_backward(dy: Array, kernel: int, stride: int, dx: Array) -> Array:
    """Overwrite dx: each place of the kernel had a share of 1 / k^2."""
    dx[...] = 0
    share = dy * dy.dtype.type(kernel**-2)
    for place in places(dx, dy, kernel, stride):
        place += share
    return dx


def max_pool(x: Array, kernel: int, stride: int, y: Array) -> Array:
    """Overwrite y with the largest of the kernel's places."""
    first, *others = places(x, y, kernel, stride)
    y[...] = first
    for place in others:
        np.copyto(y, place, where=place > y)
    return y


def max_pool_backward(x: Array, y: Array, dy: Array, kernel: int, stride: int, dx: Array) -> Array:
    """Overwrite dx: dy goes to the largest place; of several equal ones, to the first."""
    dx[...] = 0
    free = np.ones(y.shape, bool)
    for place, came in zip(
        places(dx, y, kernel, stride), places(x, y, kernel, stride), strict=True
    ):
        here = free & (came == y)
        place += here * dy
        free &= ~here
    return dx


def upsample(x: Array, scale: int, y: Array) -> Array:
    """Overwrite y (B, h, s, w, s, C) with x (B, h, w, C), each pixel s x s times."""
    y[...] = x[:, :, None, :, None]
    return y


def upsample_backward(dy: Array, dx: Array) -> Array:
    """Overwrite dx (B, h, w, C): a pixel gets the sum over its s x s copies."""
    return np.add.reduce(dy, axis=(2, 4), out=dx)


# --- Layers --------------------------------------------------------------------------------------


class _Pool(Layer):
    """What both have: sizes, and no padding.

    Parameters
    ----------
    kernel_size : int
        Side of the square that is pooled.
    stride : int, optional
        From square to square; None: squares side by side.
    size, channels
        Of the pictures that come in.
    """

    def __init__(
        self,
        kernel_size: int,
        stride: int | None = None,
        *,
        size: Pair,
        channels: int,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.kernel, self.stride = kernel_size, kernel_size if stride is None else stride
        self.size, self.channels = size, channels
        if min(size) < kernel_size:
            raise ArgumentError(
                f"pooling {kernel_size}x{kernel_size} does not fit into {size[0]}x{size[1]} pixels"
            )
        self.out_size = tuple((n - kernel_size) // self.stride + 1 for n in size)

    def _pictures(self, x: Any, size: Any) -> Any:
        return x.reshape(len(x), *size, self.channels)

    def _room(self, name: str, like: Any, size: Any) -> tuple[Any, Any]:
        flat = self.buffers.get(name, len(like), size[0] * size[1] * self.channels, like.dtype)
        return flat, self._pictures(flat, size)


class AvgPool2d(_Pool):
    """The mean of each square."""

    def forward(self, x: Any) -> Any:
        """Return y (B, h w C) for x (B, H W C)."""
        own = self.backend.twins(average_pool)
        flat, y = self._room("y", x, self.out_size)
        own.average_pool(self._pictures(x, self.size), self.kernel, self.stride, y)
        return flat

    def backward_input(self, dy: Any) -> Any:
        """Return dx (B, H W C) for dy (B, h w C)."""
        own = self.backend.twins(average_pool_backward)
        flat, dx = self._room("dx", dy, self.size)
        own.average_pool_backward(self._pictures(dy, self.out_size), self.kernel, self.stride, dx)
        return flat


class MaxPool2d(_Pool):
    """The largest number of each square."""

    def forward(self, x: Any) -> Any:
        """Return y (B, h w C) for x (B, H W C)."""
        own = self.backend.twins(max_pool)
        flat, self.y = self._room("y", x, self.out_size)
        self.x = self._pictures(x, self.size)
        own.max_pool(self.x, self.kernel, self.stride, self.y)
        return flat

    def backward_input(self, dy: Any) -> Any:
        """Return dx (B, H W C) for dy (B, h w C)."""
        own = self.backend.twins(max_pool_backward)
        flat, dx = self._room("dx", dy, self.size)
        dy = self._pictures(dy, self.out_size)
        own.max_pool_backward(self.x, self.y, dy, self.kernel, self.stride, dx)
        return flat


class Upsample(Layer):
    """Each pixel scale_factor x scale_factor times: PyTorch's mode "nearest".

    Parameters
    ----------
    scale_factor : int
        How often a pixel is repeated in each direction.
    size, channels
        Of the pictures that come in.
    """

    def __init__(self, scale_factor: int, *, size: Pair, channels: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.own = self.backend.twins(upsample, upsample_backward)
        self.scale, self.size, self.channels = scale_factor, size, channels
        self.out_size = (scale_factor * size[0], scale_factor * size[1])

    def _split(self, y: Any) -> Any:
        (height, width), s = self.size, self.scale
        return y.reshape(len(y), height, s, width, s, self.channels)

    def forward(self, x: Any) -> Any:
        """Return y (B, s H s W C) for x (B, H W C)."""
        y = self.buffers.get("y", len(x), x.shape[1] * self.scale**2, x.dtype)
        self.own.upsample(x.reshape(len(x), *self.size, -1), self.scale, self._split(y))
        return y

    def backward_input(self, dy: Any) -> Any:
        """Return dx (B, H W C) for dy (B, s H s W C)."""
        dx = self.buffers.get("dx", len(dy), dy.shape[1] // self.scale**2, dy.dtype)
        self.own.upsample_backward(self._split(dy), dx.reshape(len(dy), *self.size, -1))
        return dx
