"""Convolutions of pictures and their transposes: each is one matrix product over patches.

Here is how patches are taken from pictures, and which products make the two ways of each layer; the
products themselves pass through the one `matmul`, as all do.

A row of the batch holds its picture as (height, width, channels), so that a line of a patch, its
kw C numbers, lies side by side in memory. A Conv2d takes a large picture (H, W, C) to a small one
(h, w, A), a ConvTranspose2d goes the other way; one's way back is the other's way forward. With W
(A, C, kh, kw), stride s and padding p, and x[s i + u - p, s j + v - p, c] for the large picture's
pixel under place (u, v) of the patch that belongs to pixel (i, j) of the small one, called y:

    down:   y[i, j, a]     = sum over u, v, c of  x[s i + u - p, s j + v - p, c] W[a, c, u, v]
    up:     x[r, q, c]     = sum over the (i, j, u, v) that meet at (r, q), and a, of y W
    dW:     W[a, c, u, v]  = sum over the batch, i, j of  y[i, j, a] x[s i + u - p, s j + v - p, c]

where in dW one of the two is what went in, the other the gradient that came back. `down` and dW
are products with the patches of x. So is `up`, with patches of y: the pixels of an s x s block of x
meet the same few pixels of y, m = ceil(k / s) in each direction, so a block is a patch of m x m
times a matrix that holds W's numbers once each. (The other form of `up`, a product that gives k x k
squares and their sum where they overlap, took half as long again: the sum took longer than it.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from minivae.errors import ArgumentError
from minivae.layers import Buffers, Layer, Shape
from minivae.params import ALL

Pair = tuple[int, ...]  # of two: rows, columns


# --- Taking pictures apart, and putting them together -----------------------------------------


def pad(x: Any, before: Pair, padded: Any) -> Any:
    """Overwrite padded (B, H', W', C) with x (B, H, W, C) and zeros: so many above, to the left."""
    (top, left), bottom, right = before, before[0] + x.shape[1], before[1] + x.shape[2]
    padded[:, :top] = 0
    padded[:, bottom:] = 0
    padded[:, top:bottom, :left] = 0
    padded[:, top:bottom, right:] = 0
    padded[:, top:bottom, left:right] = x
    return padded


def patches(x: Any, stride: Pair, cols: Any) -> Any:
    """Overwrite cols (B, h, w, kh, kw, C) with patches of contiguous pictures x (B, H, W, C)."""
    # A line of a patch as one thing: NumPy copies lines then, not numbers.
    thing = np.dtype((np.void, cols.shape[4] * cols.shape[5] * cols.itemsize))
    image, row, pixel = x.strides[:3]
    strides = image, stride[0] * row, stride[1] * pixel, row
    lines = np.ndarray(cols.shape[:4], thing, x, 0, strides)
    np.copyto(cols.reshape(*cols.shape[:4], -1).view(thing)[..., 0], lines)
    return cols


def spread(blocks: Any, first: Pair, x: Any) -> Any:
    """Overwrite x (B, H, W, C) with pictures made of blocks (B, n, m, sh, sw, C).

    `first` is where, within the first block, the picture's first row and column are.
    """
    thing = np.dtype((np.void, x.shape[3] * x.itemsize))
    pixels, blocks = x.view(thing)[..., 0], blocks.view(thing)[..., 0]
    for u in range(blocks.shape[3]):
        for v in range(blocks.shape[4]):
            i, j = (u - first[0]) % blocks.shape[3], (v - first[1]) % blocks.shape[4]
            place = pixels[:, i :: blocks.shape[3], j :: blocks.shape[4]]
            top, left = (first[0] + i) // blocks.shape[3], (first[1] + j) // blocks.shape[4]
            part = blocks[:, top : top + place.shape[1], left : left + place.shape[2], u, v]
            np.copyto(place, part)
    return x


def by_patch(weight: Any, out: Any) -> Any:
    """Overwrite out (A, kh, kw, C) with weight (A, C, kh, kw): in the order of a patch."""
    np.copyto(out, weight.transpose(0, 2, 3, 1))
    return out


def from_patch(rows: Any, out: Any) -> Any:
    """Overwrite out (A, C, kh, kw) with rows (A, kh, kw, C)."""
    out[...] = rows.transpose(0, 3, 1, 2)
    return out


def by_block(weight: Any, out: Any) -> Any:
    """Overwrite out (mh, mw, A, sh, sw, C) with weight (A, C, kh, kw), for products that go up.

    Block i is made of small[i - m + 1] ... small[i]; of these, t comes to row u of the block with
    the kernel's row s (m - 1 - t) + u, if it has as many.
    """
    mh, mw, _, sh, sw, _ = out.shape
    kh, kw = weight.shape[2:]
    if (kh, kw) != (mh * sh, mw * sw):
        out[...] = 0
    for t in range(mh):
        for r in range(mw):
            rows = weight[:, :, sh * (mh - 1 - t) :, sw * (mw - 1 - r) :][:, :, :sh, :sw]
            place = out[t, r, :, : rows.shape[2], : rows.shape[3]]
            np.copyto(place, rows.transpose(0, 2, 3, 1))
    return out


def add_bias(y: Any, bias: Any, row: Any) -> Any:
    """Add the bias (C,) to the channels of y (B, P C), by whole rows (P, C), overwritten."""
    row[...] = bias
    y += row.reshape(-1)
    return y


# --- The layers ----------------------------------------------------------------------------------


class _Convolution(Layer):
    """What both have: sizes `large` (H, W) and `small` (h, w), one weight (A, C, kh, kw)."""

    splits = True

    def __init__(
        self,
        channels: Pair,
        kernel: Pair,
        stride: Pair,
        padding: Pair,
        large: Pair,
        small: Pair,
        biases: int,
        settings: dict[str, Any],
    ) -> None:
        super().__init__({"weight": (*channels, *kernel), "bias": (biases,)}, **settings)
        self.formulas_here = self.backend.twins(
            pad, patches, spread, by_patch, from_patch, by_block, add_bias
        )
        self.scratch = Buffers(self.backend, private=True)  # what does not depend on the batch
        self.channels, self.kernel, self.stride = channels, kernel, stride
        self.padding, self.large, self.small = padding, large, small
        self.uses = small[0] * small[1]
        self._reach = [-(-k // s) for k, s in zip(kernel, stride, strict=True)]  # m
        sizes = zip(padding, stride, large, self._reach, strict=True)
        spans = [(min(p // s, m - 1), -(-(p + size) // s)) for p, s, size, m in sizes]
        self._first = tuple(first for first, _ in spans)  # of the blocks that are needed
        self._blocks = [last - first for first, last in spans]

    def _again(self, change: Callable[[Layer], Layer], buffers: Buffers) -> Self:
        again = super()._again(change, buffers)
        # By the same numbers, but not at the same moment: who writes them may write zeros first.
        again.scratch = Buffers(self.backend, private=True)
        return again

    def initial(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Return numbers uniform in ±1/sqrt(C kh kw), as PyTorch has them for both layers."""
        bound = (self.channels[1] * self.kernel[0] * self.kernel[1]) ** -0.5
        return rng.uniform(-bound, bound, shape)

    def _patches(self, name: str, x: Any, size: Shape, count: Any, kernel: Any, **how: Any) -> Any:
        """Return the patches (B, count * patch) of pictures x of that size."""
        before, stride = how["before"], how["stride"]
        room = [s * (n - 1) + k for s, n, k in zip(stride, count, kernel, strict=True)]
        room = [max(r, b + n) for r, b, n in zip(room, before, size[:2], strict=True)]
        channels, rows = size[2], len(x)
        padded = self.buffers.get(
            f"{name} padded", rows, room[0] * room[1] * channels, x.dtype
        ).reshape(rows, *room, channels)
        self.formulas_here.pad(x.reshape(rows, *size), before, padded)
        shape = (*count, *kernel, channels)
        cols = self.buffers.get(name, rows, int(np.prod(shape)), x.dtype)
        self.formulas_here.patches(padded, stride, cols.reshape(rows, *shape))
        return cols

    def _down(self, large: Any, name: str) -> tuple[Any, Any]:
        """Return the small pictures (B, h w A) for large ones (B, H W C), and those's patches."""
        a, c = self.channels
        cols = self._patches(
            "patches", large, (*self.large, c), self.small, self.kernel,
            before=self.padding, stride=self.stride,
        )  # fmt: skip
        width = c * self.kernel[0] * self.kernel[1]
        weight = self.params["weight"]
        if c > 1:
            turned = self.scratch.get("by patch", a, width, weight.dtype)
            self.formulas_here.by_patch(weight, turned.reshape(a, *self.kernel, c))
        else:
            turned = weight.reshape(a, width)
        small = self.buffers.get(name, len(large), self.small[0] * self.small[1] * a, large.dtype)
        self.formulas.matmul(cols.reshape(-1, width), turned.T, small.reshape(-1, a))
        return small, cols

    def _up(self, small: Any, name: str) -> Any:
        """Return the large pictures (B, H W C) for small ones (B, h w A)."""
        (a, c), (mh, mw), (sh, sw) = self.channels, self._reach, self.stride
        before = tuple(m - 1 - f for m, f in zip(self._reach, self._first, strict=True))
        rows, width, block = len(small), mh * mw * a, sh * sw * c
        cols = self._patches(
            "gathered", small, (*self.small, a), self._blocks, self._reach,
            before=before, stride=(1, 1),
        )  # fmt: skip
        weight = self.params["weight"]
        turned = self.scratch.get("by block", width, block, weight.dtype)
        self.formulas_here.by_block(weight, turned.reshape(mh, mw, a, sh, sw, c))
        count = self._blocks[0] * self._blocks[1]
        blocks = self.buffers.get("blocks", rows, count * block, small.dtype)
        self.formulas.matmul(cols.reshape(-1, width), turned, blocks.reshape(-1, block))
        large = self.buffers.get(name, rows, self.large[0] * self.large[1] * c, small.dtype)
        hidden = zip(self.padding, self._first, self.stride, strict=True)
        first = tuple(p - f * s for p, f, s in hidden)
        self.formulas_here.spread(
            blocks.reshape(rows, *self._blocks, sh, sw, c),
            first,
            large.reshape(rows, *self.large, c),
        )
        return large

    def _add_bias(self, y: Any) -> Any:
        """Add the bias to y (B, pixels times channels), whole rows at a time."""
        bias = self.params["bias"]
        row = self.scratch.get("bias", y.shape[1] // len(bias), len(bias), bias.dtype)
        return self.formulas_here.add_bias(y, bias, row)

    def _gradients(self, small: Any, cols: Any, dy: Any, part: slice) -> None:
        rows, units = self.within("weight", part), self.within("bias", part)
        (a, c), (kh, kw) = self.channels, self.kernel
        if rows is not None:
            dweight, few = self.grads["weight"][rows], small.reshape(-1, a)[:, rows]
            cols = cols.reshape(-1, kh * kw * c)
            if c == 1:
                flat = dweight.reshape(len(dweight), -1)
                self.formulas.linear_backward_weight(cols, few, flat)
            else:
                flat = self.scratch.get("dweight", a, kh * kw * c, dweight.dtype)[rows]
                self.formulas.linear_backward_weight(cols, few, flat)
                self.formulas_here.from_patch(flat.reshape(-1, kh, kw, c), dweight)
        if units is not None:
            dbias = self.grads["bias"][units]
            dy = dy.reshape(-1, self.own_shapes["bias"][0])[:, units]
            self.formulas.linear_backward_bias(dy, dbias)


class Conv2d(_Convolution):
    """Correlation of pictures (H, W, C) with kernels: PyTorch's Conv2d, weight (out, in, kh, kw).

    Parameters
    ----------
    in_channels, out_channels : int
        C and A.
    kernel_size, stride, padding : int or pair of int
        As PyTorch's.
    size : pair of int
        Height and width of the pictures that come in; a row x is (H, W, C), flattened.
    """

    kept = ("cols", "dy")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        *,
        size: Pair,
        **settings: Any,
    ) -> None:
        kernel, stride, padding = _pair(kernel_size), _pair(stride), _pair(padding)
        small = tuple(
            (n + 2 * p - k) // s + 1
            for n, k, s, p in zip(size, kernel, stride, padding, strict=True)
        )
        if min(small) < 1:
            raise ArgumentError(
                f"a kernel of {kernel[0]}x{kernel[1]} does not fit into {size[0]}x{size[1]} pixels"
            )
        pair = out_channels, in_channels
        super().__init__(pair, kernel, stride, padding, size, small, out_channels, settings)
        self.out_size = small

    def forward(self, x: Any) -> Any:
        """Return y (B, h w out) for x (B, H W in)."""
        y, self.cols = self._down(x, "y")
        return self._add_bias(y)

    def backward_input(self, dy: Any) -> Any:
        """Return dx (B, H W in) for dy (B, h w out)."""
        self.dy = dy
        return self._up(dy, "dx")

    def keep(self, dy: Any) -> None:
        """Remember dy for `gradients`."""
        self.dy = dy

    def gradients(self, part: slice = ALL) -> None:
        """Overwrite dW and db, or the rows of them that lie in a part of the flat vector."""
        self._gradients(self.dy, self.cols, self.dy, part)


class ConvTranspose2d(_Convolution):
    """The transpose of Conv2d, from small pictures to large; weight (in, out, kh, kw) as PyTorch's.

    Parameters
    ----------
    in_channels, out_channels : int
        A and C.
    kernel_size, stride, padding, output_padding : int or pair of int
        As PyTorch's.
    size : pair of int
        Height and width of the pictures that come in; a row x is (h, w, A), flattened.
    """

    kept = ("x", "cols", "dy")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        output_padding: int | Pair = 0,
        *,
        size: Pair,
        **settings: Any,
    ) -> None:
        kernel, stride, padding = _pair(kernel_size), _pair(stride), _pair(padding)
        extra = _pair(output_padding)
        large = tuple(
            (n - 1) * s - 2 * p + k + e
            for n, k, s, p, e in zip(size, kernel, stride, padding, extra, strict=True)
        )
        if min(large) < 1:
            raise ArgumentError(f"padding {padding} leaves nothing of {size[0]}x{size[1]} pixels")
        if any(e >= s for e, s in zip(extra, stride, strict=True)):
            raise ArgumentError(f"output_padding {extra} must be smaller than the stride {stride}")
        pair = in_channels, out_channels
        super().__init__(pair, kernel, stride, padding, large, size, out_channels, settings)
        self.out_size = large

    def forward(self, x: Any) -> Any:
        """Return y (B, H W out) for x (B, h w in)."""
        self.x = x
        return self._add_bias(self._up(x, "y"))

    def backward_input(self, dy: Any) -> Any:
        """Return dx (B, h w in) for dy (B, H W out)."""
        self.dy = dy
        dx, self.cols = self._down(dy, "dx")
        return dx

    def gradients(self, part: slice = ALL) -> None:
        """Overwrite dW and db, or the rows of them that lie in a part of the flat vector."""
        self._gradients(self.x, self.cols, self.dy, part)


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
