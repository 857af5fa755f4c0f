"""Convolution, pooling and resizing in plain NumPy, and the mistakes that courses see in them.

Norms are in scaling.py, attention and embeddings in sequences.py.
"""

from __future__ import annotations

import numpy as np

from .faulty import Array, Layer, cases_of, normal


def patches(x: Array, k: int, stride: int, dilation: int = 1) -> Array:
    """Return (B, C, k, k, rows, columns): what each output looks at."""
    span = dilation * (k - 1) + 1
    rows, columns = ((n - span) // stride + 1 for n in x.shape[2:])
    out = np.empty((*x.shape[:2], k, k, rows, columns), x.dtype)
    for i in range(k):
        for j in range(k):
            a, b = i * dilation, j * dilation
            out[:, :, i, j] = x[
                :, :, a : a + stride * rows : stride, b : b + stride * columns : stride
            ]
    return out


def gathered(d: Array, shape: tuple[int, ...], stride: int, dilation: int = 1) -> Array:
    """Return the adjoint of `patches`: every patch added where it came from."""
    k, (rows, columns) = d.shape[2], d.shape[4:]
    out = np.zeros(shape, d.dtype)
    for i in range(k):
        for j in range(k):
            a, b = i * dilation, j * dilation
            out[:, :, a : a + stride * rows : stride, b : b + stride * columns : stride] += d[
                :, :, i, j
            ]
    return out


class Convolution(Layer):
    """Cross-correlation of (B, C, H, W) with (O, C, k, k)."""

    def setup(self, rng, cin=2, cout=3, k=3, stride=1, pad=1, dilation=1, dtype=float):
        self.k, self.stride, self.pad, self.dilation = k, stride, pad, dilation
        made = {"w": rng.normal(size=(cout, cin, k, k)), "b": rng.normal(size=cout)}
        self.params = {name: one.astype(dtype) for name, one in made.items()}

    def forward(self, x):
        p = self.pad
        self.x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        self.p = patches(self.x, self.k, self.stride, self.dilation)
        return (
            np.einsum("bcijrs,ocij->bors", self.p, self.params["w"])
            + self.params["b"][:, None, None]
        )

    def backward(self, dy):
        w, f = self.params["w"], self.fault
        dw = np.einsum("bcijrs,bors->ocij", self.p, dy)
        db = dy.sum(axis=(0, 2, 3))
        if f == "flipped dw":
            dw = dw[:, :, ::-1, ::-1]
        elif f == "turned dw":
            dw = dw.swapaxes(2, 3)
        elif f == "mean dw":
            dw = dw / len(dy)
        elif f == "first image dw":
            dw = np.einsum("bcijrs,bors->ocij", self.p[:1], dy[:1])
        elif f == "batch axis db":
            db = dy.sum(axis=(2, 3))
        elif f == "last row db":
            db = dy[:, :, :-1].sum(axis=(0, 2, 3))
        elif f == "mean db":
            db = dy.mean(axis=(0, 2, 3))
        self.grads = {"w": dw, "b": db}
        if f == "flipped kernel":
            w = w[:, :, ::-1, ::-1]
        elif f == "turned kernel":
            w = w.swapaxes(2, 3)
        elif f == "channels swapped":
            w = w.swapaxes(0, 1)
        elif f == "last channel":
            w, dy = w[:-1], dy[:, :-1]
        d = np.einsum("bors,ocij->bcijrs", dy, w)
        dx = gathered(d, self.x.shape, self.stride, self.dilation)
        if f == "overwrites":
            dx[...] = 0
            for i in range(self.k):
                for j in range(self.k):
                    dx[
                        :,
                        :,
                        i : i + self.stride * d.shape[4] : self.stride,
                        j : j + self.stride * d.shape[5] : self.stride,
                    ] = d[:, :, i, j]
        p = self.pad
        if f == "cropped at the front":
            return dx[:, :, : dx.shape[2] - 2 * p, : dx.shape[3] - 2 * p]
        if f == "border rows":
            dx[:, :, p] = 0
        if f == "padding kept":
            return dx
        return dx[:, :, p : dx.shape[2] - p, p : dx.shape[3] - p]


class Depthwise(Layer):
    """One kernel for each channel."""

    def setup(self, rng):
        self.params = {"w": rng.normal(size=(3, 3, 3))}

    def forward(self, x):
        self.shape, self.p = x.shape, patches(x, 3, 1)
        return np.einsum("bcijrs,cij->bcrs", self.p, self.params["w"])

    def backward(self, dy):
        dw = np.einsum("bcijrs,bcrs->cij", self.p, dy)
        if self.fault == "kernel shared":
            dw = np.repeat(dw.mean(axis=0, keepdims=True), 3, axis=0)
        self.grads = {"w": dw}
        w = self.params["w"]
        if self.fault == "channels rolled":
            w = np.roll(w, 1, axis=0)
        return gathered(np.einsum("bcrs,cij->bcijrs", dy, w), self.shape, 1)


class Transposed(Layer):
    """A transposed convolution: the adjoint of a strided one."""

    def setup(self, rng):
        self.params = {"w": rng.normal(size=(3, 2, 2, 2))}

    def forward(self, x):
        self.x = x
        d = np.einsum("bors,ocij->bcijrs", x, self.params["w"])
        return gathered(d, (len(x), 2, 2 * x.shape[2], 2 * x.shape[3]), 2)

    def backward(self, dy):
        p = patches(dy, 2, 2)
        dw = np.einsum("bcijrs,bors->ocij", p, self.x)
        self.grads = {"w": dw[:, ::-1] if self.fault == "channels flipped" else dw}
        dx = np.einsum("bcijrs,ocij->bors", p, self.params["w"])
        return dx / 4 if self.fault == "averages" else dx


class Causal(Layer):
    """A causal convolution over time of (B, T, C), kernel of three."""

    def setup(self, rng):
        self.params = {"w": rng.normal(size=(3, 3, 2))}  # (tap, in, out)

    def forward(self, x):
        self.x = np.pad(x, ((0, 0), (2, 0), (0, 0)))
        return sum(self.x[:, i : i + x.shape[1]] @ self.params["w"][i] for i in range(3))

    def backward(self, dy):
        t, w = dy.shape[1], self.params["w"]
        dw = np.stack([np.einsum("btc,bto->co", self.x[:, i : i + t], dy) for i in range(3)])
        if self.fault == "taps turned":
            dw = dw[::-1]
        self.grads = {"w": dw}
        dx = np.zeros_like(self.x)
        for i in range(3):
            if not (self.fault == "last tap" and i == 2):
                dx[:, i : i + t] += dy @ w[i].T
        return dx[:, 1:-1] if self.fault == "one step late" else dx[:, 2:]


class MaxPool(Layer):
    """The largest of each window."""

    def setup(self, rng, k=2, stride=2):
        self.k, self.stride = k, stride

    def forward(self, x):
        self.shape = x.shape
        p = patches(x, self.k, self.stride)
        flat = p.reshape(*x.shape[:2], self.k**2, *p.shape[4:])
        self.at = flat.argmax(axis=2)
        return flat.max(axis=2)

    def backward(self, dy):
        places = np.arange(self.k**2)[:, None, None]
        d = (places == self.at[:, :, None]) * dy[:, :, None]
        if self.fault == "spreads":
            d = np.repeat(dy[:, :, None] / self.k**2, self.k**2, axis=2)
        elif self.fault == "all of the window":
            d = np.repeat(dy[:, :, None], self.k**2, axis=2)
        elif self.fault == "window turned":
            d = d[:, :, ::-1]
        elif self.fault == "last column":
            d[..., -1] = 0
        d = d.reshape(*dy.shape[:2], self.k, self.k, *dy.shape[2:])
        dx = gathered(d, self.shape, self.stride)
        if self.fault == "overlap overwritten":
            dx = np.where(np.abs(dx) > 0, np.sign(dx) * np.minimum(np.abs(dx), 1.5), 0)
            for i in range(self.k):
                for j in range(self.k):
                    r, s = dy.shape[2:]
                    here = dx[
                        :,
                        :,
                        i : i + self.stride * r : self.stride,
                        j : j + self.stride * s : self.stride,
                    ]
                    here[...] = np.where(d[:, :, i, j] != 0, d[:, :, i, j], here)
        return dx


class MeanPool(Layer):
    """The mean of each window of two by two."""

    def forward(self, x):
        self.shape = x.shape
        return patches(x, 2, 2).mean(axis=(2, 3))

    def backward(self, dy):
        factor = {"": 4, "sum": 1, "divides by k": 2, "divides twice": 16}.get(self.fault, 4)
        d = np.broadcast_to(dy[:, :, None, None], (*dy.shape[:2], 2, 2, *dy.shape[2:])) / factor
        if self.fault == "one of the window":
            d = d.copy()
            d[:, :, 1:] = 0
        return gathered(d, self.shape, 2)


class GlobalMean(Layer):
    """The mean over the picture."""

    def forward(self, x):
        self.shape = x.shape
        return x.mean(axis=(2, 3))

    def backward(self, dy):
        n = self.shape[2] * self.shape[3]
        n = {"not divided": 1, "divided by a side": self.shape[3]}.get(self.fault, n)
        return np.ones(self.shape) * dy[:, :, None, None] / n


class Nearest(Layer):
    """Each pixel twice in both directions."""

    def forward(self, x):
        return x.repeat(2, axis=2).repeat(2, axis=3)

    def backward(self, dy):
        b, c, h, w = dy.shape
        blocks = dy.reshape(b, c, h // 2, 2, w // 2, 2)
        if self.fault == "means":
            return blocks.mean(axis=(3, 5))
        if self.fault == "first":
            return blocks[:, :, :, 0, :, 0]
        if self.fault == "wrong axes":
            return dy.reshape(b, c, 2, h // 2, 2, w // 2).sum(axis=(2, 4))
        return blocks.sum(axis=(3, 5))


class Shuffle(Layer):
    """Pixel shuffle: four channels become a block of two by two."""

    def forward(self, x):
        b, c, h, w = x.shape
        y = x.reshape(b, c // 4, 2, 2, h, w).transpose(0, 1, 4, 2, 5, 3)
        return y.reshape(b, c // 4, 2 * h, 2 * w)

    def backward(self, dy):
        b, c, h, w = dy.shape
        d = dy.reshape(b, c, h // 2, 2, w // 2, 2)
        order = (0, 1, 5, 3, 2, 4) if self.fault == "block turned" else (0, 1, 3, 5, 2, 4)
        if self.fault == "only reshaped":
            return dy.reshape(b, 4 * c, h // 2, w // 2)
        return d.transpose(order).reshape(b, 4 * c, h // 2, w // 2)


class Reflect(Layer):
    """One pixel of reflection on both sides of the last axis."""

    def forward(self, x):
        return np.pad(x, ((0, 0), (0, 0), (1, 1)), mode="reflect")

    def backward(self, dy):
        dx = dy[:, :, 1:-1].copy()
        if self.fault == "only cropped":
            return dx
        dx[:, :, 1] += dy[:, :, 0]
        if self.fault != "one side":
            dx[:, :, -2] += dy[:, :, -1]
        return dx


class ToLast(Layer):
    """(B, C, H, W) to (B, H, W, C)."""

    def forward(self, x):
        self.shape = x.shape
        return x.transpose(0, 2, 3, 1)

    def backward(self, dy):
        if self.fault == "same order again":
            return dy.transpose(0, 2, 3, 1)
        if self.fault == "reshaped":
            return dy.reshape(self.shape)
        return dy.transpose(0, 3, 1, 2)


def picture(*shape: int, dtype: str = "float64"):
    return lambda rng: (rng.normal(size=shape).astype(dtype),)


CASES = [
    *cases_of(
        Convolution,
        picture(3, 2, 5, 4),
        {
            "flipped kernel": ("dx uses the kernel turned by 180 degrees", "axes"),
            "turned kernel": ("dx uses the kernel's transpose", "axes"),
            "flipped dw": ("the weight's gradient is turned by 180 degrees", "axes"),
            "turned dw": ("rows and columns of the weight's gradient are exchanged", "axes"),
            "mean dw": ("divided by the batch size", "scale"),
            "first image dw": ("only the first image counts", "term or index"),
            "batch axis db": ("the batch is not summed", "shape"),
            "last row db": ("the last row of pixels is left out of the sum", "term"),
            "mean db": ("averaged over batch and pixels", "scale"),
            "last channel": ("the last output channel sends nothing back", "term"),
            "overwrites": ("overlapping patches overwrite one another", "term"),
            "cropped at the front": ("the padding is cropped at one side only", "index"),
            "border rows": ("the first row gets no gradient", "index or mask"),
            "padding kept": ("the padding is not cropped", "shape"),
        },
    ),
    *cases_of(
        Convolution,
        picture(2, 3, 6, 6),
        {"channels swapped": ("dx uses the weight with in and out exchanged", "axes")},
        cin=3,
        cout=3,
        stride=2,
    ),
    *cases_of(Convolution, picture(2, 2, 7, 6), k=2, dilation=2, pad=0),
    *cases_of(Convolution, picture(2, 2, 3, 3), k=1, pad=0),
    *cases_of(Convolution, picture(1, 2, 4, 4, dtype="float32"), dtype="float32"),
    *cases_of(
        Depthwise,
        picture(2, 3, 5, 5),
        {
            "kernel shared": ("all channels get their mean", "term"),
            "channels rolled": ("dx uses the next channel's kernel", "index"),
        },
    ),
    *cases_of(
        Transposed,
        picture(2, 3, 3, 2),
        {
            "channels flipped": ("the output channels are reversed", "axes or swapped"),
            "averages": ("divided by the window's size", "scale"),
        },
    ),
    *cases_of(
        Causal,
        normal((2, 6, 3)),
        {
            "taps turned": ("the taps are in reverse order", "axes"),
            "one step late": ("dx is shifted by one step", "index"),
            "last tap": ("the last tap sends nothing back", "term"),
        },
    ),
    *cases_of(
        MaxPool,
        picture(2, 2, 4, 6),
        {
            "spreads": ("the gradient is spread over the window", "mask"),
            "all of the window": ("every pixel of the window gets it", "mask"),
            "window turned": (
                "the place inside the window is counted from the end",
                "mask or axes",
            ),
            "last column": ("the last column of windows sends nothing back", "index or mask"),
        },
    ),
    *cases_of(
        MaxPool,
        picture(2, 1, 6, 6),
        {
            "overlap overwritten": (
                "of two windows with one maximum only the last counts",
                "term or scale",
            )
        },
        k=3,
        stride=1,
    ),
    *cases_of(
        MeanPool,
        picture(2, 2, 4, 6),
        {
            "sum": ("not divided by the window's size", "scale"),
            "divides by k": ("divided by the side, not the area", "scale"),
            "divides twice": ("divided twice", "scale"),
            "one of the window": ("only the first row of the window gets it", "mask or index"),
        },
    ),
    *cases_of(
        GlobalMean,
        picture(3, 2, 3, 4),
        {
            "not divided": ("not divided by the number of pixels", "scale"),
            "divided by a side": ("divided by the width alone", "scale"),
        },
    ),
    *cases_of(
        Nearest,
        picture(2, 2, 2, 2),
        {
            "means": ("averaged where the sum belongs", "scale"),
            "first": ("only one of the four copies counts", "term"),
            "wrong axes": ("reshaped to the wrong blocks", "swapped or axes"),
        },
    ),
    *cases_of(
        Shuffle,
        picture(2, 4, 2, 3),
        {
            "block turned": ("rows and columns of the block exchanged", "axes or swapped"),
            "only reshaped": ("reshaped, not transposed", "axes"),
        },
    ),
    *cases_of(
        Reflect,
        normal((2, 2, 5)),
        {
            "only cropped": ("what the reflected border adds is left out", "term or index"),
            "one side": ("the right border's part is left out", "term or index"),
        },
    ),
    *cases_of(
        ToLast,
        picture(2, 3, 2, 3),
        {
            "same order again": ("the permutation is not inverted", "shape or axes"),
            "reshaped": ("reshaped, not transposed", "axes"),
        },
    ),
]
