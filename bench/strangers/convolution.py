"""Convolutions, their transposes, pooling, padding and resizing, as courses write them.

Arrays are (N, C, H, W) or (N, C, T). What a case is stands in the package.
"""

from __future__ import annotations

import numpy as np

from . import Case, Layer, family, normal


class Conv2d(Layer):
    """Loops over the kernel's places; parameters in dicts."""

    stride, pad = 1, 1

    def setup(self, rng):
        self.params = {"W": 0.3 * rng.standard_normal((3, 3, 3, 3)), "b": np.zeros(3)}
        self.grads = {"W": np.zeros((3, 3, 3, 3)), "b": np.zeros(3)}

    def forward(self, x):
        s, p, W = self.stride, self.pad, self.params["W"]
        self.x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        self.size = [(n - 3) // s + 1 for n in self.x.shape[2:]]
        H, V = self.size
        y = np.zeros((len(x), W.shape[0], H, V), x.dtype)
        for i, j in np.ndindex(3, 3):
            patch = self.x[:, :, i : i + s * H : s, j : j + s * V : s]
            y += np.einsum("nchw,oc->nohw", patch, W[:, :, i, j])
        return y + self.params["b"][:, None, None]

    def backward(self, dy):
        s, p, W = self.stride, self.pad, self.params["W"]
        (H, V), dx = self.size, np.zeros_like(self.x)
        dW = self.grads["W"] if self.has("accumulates") else np.zeros_like(W)
        for i, j in np.ndindex(3, 3):
            at = (..., slice(i, i + s * H, s), slice(j, j + s * V, s))
            w = W[:, :, 2 - i, 2 - j] if self.has("flipped") else W[:, :, i, j]
            w = w.T if self.has("channels") else w
            add = np.einsum("nohw,oc->nchw", dy, w)
            if self.has("assigned"):
                dx[at] = add
            else:
                dx[at] += add
            dW[:, :, i, j] += np.einsum("nohw,nchw->oc", dy, self.x[at])
        if self.has("mean"):
            dW = dW / len(dy)
        if self.has("spatial kernel"):
            dW = dW.swapaxes(2, 3)
        axes = (0, 2) if self.has("bias axes") else (0, 2, 3)
        db = dy.sum(axes)
        if self.has("bias mean"):
            db = dy.mean(axes)
        self.grads["W"], self.grads["b"] = dW, db[..., 0] if db.ndim > 1 else db
        k = p + 1 if self.has("crop") else p
        return dx[:, :, k : dx.shape[2] - 2 * p + k, k : dx.shape[3] - 2 * p + k]


class StridedConv2d(Conv2d):
    """Stride 2, padding 0: the last row and column of an even image are never read."""

    stride, pad = 2, 0

    def backward(self, dy):
        if self.has("last window"):
            dy = dy.copy()
            dy[:, :, -1] = 0
        dx = super().backward(dy)
        if self.has("unread column"):
            dx[..., -1] = dx[..., -2]
        return dx


class DilatedConv1d(Layer):
    """Causal, dilation 2, kernel 3; parameters as attributes."""

    def setup(self, rng):
        self.W, self.b = rng.standard_normal((2, 3, 3)), 0.1 * rng.standard_normal(2)

    def forward(self, x):
        if not (self.has("first input") and hasattr(self, "x")):
            self.x = np.pad(x, ((0, 0), (0, 0), (4, 0)))
        T = x.shape[2]
        x = np.pad(x, ((0, 0), (0, 0), (4, 0)))
        taps = [
            np.einsum("nct,oc->not", x[..., 2 * k : 2 * k + T], self.W[..., k]) for k in range(3)
        ]
        return sum(taps) + self.b[:, None]

    def backward(self, dy):
        T, dx, self.dW = dy.shape[2], np.zeros_like(self.x), np.zeros_like(self.W)
        d = 1 if self.has("dilation") else 2
        for k in range(3):
            used = self.x[..., d * k : d * k + T]
            if self.has("one sample"):
                self.dW[..., k] = dy[0] @ used[0].T
            else:
                self.dW[..., k] = np.einsum("not,nct->oc", dy, used)
            dx[..., 2 * k : 2 * k + T] += np.einsum("not,oc->nct", dy, self.W[..., k])
        self.db = dy.sum((0, 2))
        if self.has("weights swapped"):
            self.dW = self.dW[..., ::-1]
        return dx[..., :-4] if self.has("left pad") else dx[..., 4:]


class ConvTranspose2d(Layer):
    """Kernel 2 or 3, stride 2: every input value paints a patch."""

    k = 3

    def setup(self, rng):
        self.params = {
            "W": rng.standard_normal((2, 3, self.k, self.k)),
            "b": rng.standard_normal(3),
        }
        self.grads = {}

    def forward(self, x):
        self.x = x
        N, _, H, V = x.shape
        y = np.zeros((N, 3, 2 * H - 2 + self.k, 2 * V - 2 + self.k))
        for i, j in np.ndindex(self.k, self.k):
            y[:, :, i : i + 2 * H : 2, j : j + 2 * V : 2] += np.einsum(
                "nchw,co->nohw", x, self.params["W"][:, :, i, j]
            )
        return y + self.params["b"][:, None, None]

    def backward(self, dy):
        H, V = self.x.shape[2:]
        dx, dW = np.zeros_like(self.x), np.zeros_like(self.params["W"])
        for i, j in np.ndindex(self.k, self.k):
            a, b = (j, i) if self.has("kernel axes") else (i, j)
            patch = dy[:, :, i : i + 2 * H : 2, j : j + 2 * V : 2]
            if not (self.has("corner") and (i, j) == (2, 2)):
                dx += np.einsum("nohw,co->nchw", patch, self.params["W"][:, :, a, b])
            dW[:, :, i, j] = np.einsum("nohw,nchw->co", patch, self.x)
        self.grads["W"] = -dW if self.has("sign") else dW
        self.grads["b"] = (
            dy[:, :, ::2, ::2].sum((0, 2, 3)) if self.has("bias") else dy.sum((0, 2, 3))
        )
        return dx * 2 if self.has("stride") else dx


class DepthwiseConv1d(Layer):
    """One kernel of 3 for each channel, same padding."""

    def setup(self, rng):
        self.w = rng.standard_normal((4, 3))

    def forward(self, x):
        self.x = np.pad(x, ((0, 0), (0, 0), (1, 1)))
        T = x.shape[2]
        return sum(self.x[..., k : k + T] * self.w[:, k, None] for k in range(3))

    def backward(self, dy):
        T, d = dy.shape[2], np.pad(dy, ((0, 0), (0, 0), (1, 1)))
        parts = [self.x[..., k : k + T] * dy for k in range(3)]
        self.dw = np.stack([part.sum((0, 2)) for part in parts], 1)
        if self.has("shared"):
            self.dw[:] = self.dw.sum(0)
        if self.has("batch mean"):
            self.dw /= len(dy)
        order = range(3) if self.has("correlates") else range(2, -1, -1)
        return sum(d[..., k : k + T] * self.w[:, i, None] for k, i in enumerate(order))


class GroupedPointwise(Layer):
    """A 1x1 convolution in two groups, by einsum on a view of the channels."""

    def setup(self, rng):
        self.params, self.grads = {"W": rng.standard_normal((2, 3, 2))}, {}

    def forward(self, x):
        N, C, H, V = x.shape
        self.x = x.reshape(N, 2, C // 2, H, V)
        return np.einsum("ngchw,goc->ngohw", self.x, self.params["W"]).reshape(N, 6, H, V)

    def backward(self, dy):
        N, _, H, V = dy.shape
        dy = dy.reshape(N, 2, 3, H, V)
        if self.has("groups interleaved"):
            dy = dy.reshape(N, 3, 2, H, V).swapaxes(1, 2)
        self.grads["W"] = np.einsum("ngohw,ngchw->goc", dy, self.x)
        W = self.params["W"][::-1] if self.has("other group") else self.params["W"]
        return np.einsum("ngohw,goc->ngchw", dy, W).reshape(N, 4, H, V)


class MaxPool2d(Layer):
    """2x2 windows by reshape; of equal values the first wins."""

    def forward(self, x):
        N, C, H, V = x.shape
        self.shape = x.shape
        h, v = H // 2, V // 2
        cells = x[:, :, : 2 * h, : 2 * v].reshape(N, C, h, 2, v, 2).swapaxes(3, 4)
        self.cells = cells.reshape(N, C, h, v, 4)
        self.best = self.cells.argmax(-1)
        return self.cells.max(-1)

    def backward(self, dy):
        N, C, h, v, _ = self.cells.shape
        hot = self.best[..., None] == np.arange(4)
        if self.has("column-major"):
            hot = hot[..., [0, 2, 1, 3]]
        if self.has("all ties"):
            hot = self.cells == self.cells.max(-1, keepdims=True)
        if self.has("above mean"):
            hot = self.cells >= self.cells.mean(-1, keepdims=True)
        if self.has("everywhere"):
            hot = np.full(hot.shape, 0.25)
        d = (hot * dy[..., None]).reshape(N, C, h, v, 2, 2).swapaxes(3, 4)
        dx = np.zeros(self.shape)
        dx[:, :, : 2 * h, : 2 * v] = d.reshape(N, C, 2 * h, 2 * v)
        if self.has("last row"):
            dx[:, :, 2 * h - 1] = 0
        return dx


class SlidingMax(Layer):
    """Windows of 3 in time, stride 1: a value may win several."""

    def forward(self, x):
        self.shape = x.shape
        self.at = np.lib.stride_tricks.sliding_window_view(x, 3, 2).argmax(-1)
        self.at = self.at + np.arange(x.shape[2] - 2)
        return np.take_along_axis(x, self.at, 2)

    def backward(self, dy):
        dx = np.zeros(self.shape)
        n, c, _ = np.ogrid[tuple(map(slice, dy.shape))]
        at = self.at - np.arange(dy.shape[2]) if self.has("window offset") else self.at
        if self.has("fancy add"):
            dx[n, c, at] += dy  # a place that won twice is written once
        else:
            np.add.at(dx, (n, c, at), dy)
        return dx


class AvgPool2d(Layer):
    """2x2, stride 1, padding 1; a border's mean counts only what lies inside."""

    def forward(self, x):
        self.size = x.shape
        ones = np.pad(np.ones(x.shape[2:]), 1)
        H, V = x.shape[2] + 1, x.shape[3] + 1
        self.count = sum(ones[i : i + H, j : j + V] for i, j in np.ndindex(2, 2))
        x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        return sum(x[:, :, i : i + H, j : j + V] for i, j in np.ndindex(2, 2)) / self.count

    def backward(self, dy):
        H, V = self.count.shape
        d = dy if self.has("not divided") else dy / (4 if self.has("border") else self.count)
        dx = np.zeros((*self.size[:2], H + 1, V + 1))
        for i, j in np.ndindex(2, 2):
            dx[:, :, i : i + H, j : j + V] += d
        return dx[:, :, 1:-1, 1:-1]


class GlobalAverage(Layer):
    """The mean over the image, (N, C)."""

    def forward(self, x):
        self.shape = x.shape
        return x.mean((2, 3))

    def backward(self, dy):
        n = self.shape[1] if self.has("channels") else self.shape[2] * self.shape[3]
        n = 16 if self.has("size of training") else 1 if self.has("sum") else n
        dx = np.zeros(self.shape)
        if self.has("centre"):
            dx[:, :, self.shape[2] // 2, self.shape[3] // 2] = dy
            return dx
        return dx + dy[:, :, None, None] / n


class GlobalMax(Layer):
    """The largest value of each map, of near ties too."""

    def forward(self, x):
        self.x = x
        return x.reshape(*x.shape[:2], -1).max(-1)

    def backward(self, dy):
        flat = self.x.reshape(*self.x.shape[:2], -1)
        top = flat.max(-1, keepdims=True)
        hot = np.isclose(flat, top) if self.has("isclose") else flat == top
        if self.has("of the batch"):
            hot = flat == flat.max()
        return (hot * dy[..., None]).reshape(self.x.shape)


class Upsample(Layer):
    """Nearest neighbour, twice as large."""

    def forward(self, x):
        return x.repeat(2, 2).repeat(2, 3)

    def backward(self, dy):
        if self.has("one copy"):
            return dy[:, :, ::2, ::2].copy()
        N, C, H, V = dy.shape
        cells = dy.reshape(N, C, H // 2, 2, V // 2, 2)
        return cells.mean((3, 5)) if self.has("mean") else cells.sum((3, 5))


class Bilinear(Layer):
    """Linear interpolation in time to twice the length, ends held: y[2i+1] lies between."""

    def forward(self, x):
        right = np.concatenate([x[..., 1:], x[..., -1:]], -1)
        return np.stack([x, 0.5 * (x + right)], -1).reshape(*x.shape[:-1], -1)

    def backward(self, dy):
        even, odd = dy[..., ::2], 0.5 * dy[..., 1::2]
        dx = even + odd
        dx[..., 1:] += odd[..., :-1]
        if not self.has("last end"):
            dx[..., -1] += odd[..., -1]
        return dx[..., ::-1] if self.has("reversed") else dx


class PixelShuffle(Layer):
    """(N, 4C, H, W) to (N, C, 2H, 2W); views, not contiguous."""

    def forward(self, x):
        N, C, H, V = x.shape
        x = x.reshape(N, C // 4, 2, 2, H, V).transpose(0, 1, 4, 2, 5, 3)
        return x.reshape(N, C // 4, 2 * H, 2 * V)

    def backward(self, dy):
        N, C, H, V = dy.shape
        d = dy.reshape(N, C, H // 2, 2, V // 2, 2)
        order = (0, 1, 5, 3, 2, 4) if self.has("block axes") else (0, 1, 3, 5, 2, 4)
        if self.has("reshape only"):
            return dy.reshape(N, 4 * C, H // 2, V // 2)
        return d.transpose(order).reshape(N, 4 * C, H // 2, V // 2)


class ReflectPad(Layer):
    """Mirror one value at each end of time."""

    def forward(self, x):
        return np.pad(x, ((0, 0), (0, 0), (1, 1)), mode="reflect")

    def backward(self, dy):
        dx = dy[..., 1:-1].copy()
        if not self.has("cropped"):
            edge = (0, -1) if self.has("edge") else (1, -2)
            dx[..., edge[0]] += dy[..., 0]
            dx[..., edge[1]] += dy[..., -1]
        return dx


class ZeroPad(Layer):
    """One row above and two below, of each image; the gradient is a view of dy."""

    def forward(self, x):
        return np.pad(x, ((0, 0), (0, 0), (1, 2), (0, 0)))

    def backward(self, dy):
        if self.has("sides swapped"):
            return dy[:, :, 2:-1]
        return dy[:, :, 0:-3] if self.has("from the start") else dy[:, :, 1:-2]


def course_conv(fault=""):
    """Return the pair of functions of a well-known course's exercise: one loop per window."""

    def forward(x, w, b):
        y = np.zeros((len(x), len(w), x.shape[2] - 1, x.shape[3] - 1))
        for n, f, i, j in np.ndindex(y.shape):
            y[n, f, i, j] = np.sum(x[n, :, i : i + 2, j : j + 2] * w[f]) + b[f]
        return y

    def backward(dy, x, w, b):
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for n, f, i, j in np.ndindex(dy.shape):
            dx[n, :, i : i + 2, j : j + 2] += dy[n, f, i, j] * w[f]
            if not (fault == "last filter" and f == len(w) - 1):
                dw[f] += dy[n, f, i, j] * x[n, :, i : i + 2, j : j + 2]
        db = dy.sum((0, 2, 3))
        if fault == "b for dy":
            db = db * b
        return (dw, dx, db) if fault == "order" else (dx, dw, db)

    return forward, backward


def near_ties(rng):
    """Draw images whose values differ by 1e-3 or more, and often by no more."""
    return (1e-3 * rng.permutation(2 * 2 * 4 * 4).reshape(2, 2, 4, 4).astype(float),)


def plateau(rng):
    """Draw images as they come from a ReLU: half of them 0."""
    return (np.maximum(rng.standard_normal((2, 2, 4, 4)), 0),)


image, odd, series = normal((2, 3, 4, 5)), normal((2, 2, 5, 5)), normal((2, 3, 6))
CASES: list[Case] = [
    *family("Conv2d", Conv2d, image, {
        "flipped": ("dx with the kernel turned by 180 degrees once too often", "axes or index"),
        "channels": ("dx with W's in and out channels swapped, which are equally many", "axes"),
        "assigned": ("overlapping windows assigned, not added, in dx", "term"),
        "accumulates": ("dW adds to that of the call before", "state"),
        "mean": ("dW divided by the batch size, which the loss already did", "scale"),
        "spatial kernel": ("dW with height and width of the kernel swapped", "axes"),
        "bias axes": ("db of the first column alone", "term or sum"),
        "bias mean": ("db is a mean over batch and image, not a sum", "scale"),
        "crop": ("the padding cut off dx one place too late", "index"),
        "bias mean+channels": ("db a mean, and dx with W's channels swapped", "scale or axes"),
    }, {"one row": normal((1, 3, 3, 3)), "offset 1e3": normal((2, 3, 3, 3), shift=1e3)}),
    *family("Conv2d, stride 2", StridedConv2d, normal((2, 3, 6, 6)), {
        "last window": ("the last row of windows is left out", "index"),
        "unread column": ("a gradient for a column that no window reads", "index or term"),
    }),
    *family("dilated Conv1d", DilatedConv1d, series, {
        "dilation": ("dW without the dilation", "index"),
        "one sample": ("dW from the first sample of the batch alone", "term or index"),
        "first input": ("the input of the first call is kept for ever", "state"),
        "weights swapped": ("dW in the opposite order of time", "axes or index"),
        "left pad": ("the causal padding cut off at the wrong end of dx", "index"),
    }),
    *family("ConvTranspose2d", ConvTranspose2d, normal((2, 2, 3, 3)), {
        "kernel axes": ("dx with the kernel's height and width swapped", "axes"),
        "corner": ("dx leaves out the kernel's last place", "term or index"),
        "sign": ("dW has the wrong sign", "sign"),
        "bias": ("db of every second place only", "term"),
        "stride": ("dx times the stride", "scale"),
    }),
    *family("depthwise Conv1d", DepthwiseConv1d, normal((2, 4, 5)), {
        "shared": ("dw summed over the channels", "sum"),
        "batch mean": ("dw a mean over the batch", "scale"),
        "correlates": ("dx with the kernel not turned", "axes or index"),
    }, {"not contiguous": lambda rng: (rng.standard_normal((5, 4, 2)).T,)}),
    *family("grouped 1x1", GroupedPointwise, normal((2, 4, 2, 3)), {
        "groups interleaved": ("dy's channels split into groups in the wrong order", "axes"),
        "other group": ("dx with the other group's weights", "index or axes"),
    }),
    *family("MaxPool2d", MaxPool2d, odd, {
        "column-major": ("the winner's place read down the column", "axes or index"),
        "above mean": ("all above the mean of the window get dy", "mask"),
        "everywhere": ("dy spread over the window as by a mean", "mask"),
        "last row": ("the last row of windows loses its lower half", "index"),
    }, {"near ties": near_ties, "plateau": plateau}),
    Case("MaxPool2d: all ties", lambda: MaxPool2d("all ties"), plateau, False,
         "every tied place gets the whole of dy", "mask"),
    *family("sliding max", SlidingMax, series, {
        "window offset": ("the winner's place within its window taken for that in time", "index"),
        "fancy add": ("dx[at] += dy adds only once where a value wins twice", "term"),
    }),
    *family("AvgPool2d", AvgPool2d, normal((2, 2, 3, 3)), {
        "border": ("border windows divided by 4, not by what lies inside", "scale or mask"),
        "not divided": ("dy not divided by the window's size", "scale"),
    }),
    *family("global average", GlobalAverage, normal((2, 3, 4, 3)), {
        "channels": ("divided by the channels, not the places", "scale"),
        "size of training": ("divided by 16, the places of another image size", "scale"),
        "sum": ("not divided at all", "scale"),
        "centre": ("the whole gradient at the centre", "index or term"),
    }, {"1e-6": normal((2, 3, 4, 3), scale=1e-6)}),
    *family("global max", GlobalMax, normal((3, 2, 3, 3)), {
        "of the batch": ("only the batch's largest value gets a gradient", "mask or sum"),
    }, {"near ties": near_ties}),
    Case("global max: isclose", lambda: GlobalMax("isclose"),
         lambda rng: (near_ties(rng)[0] * 1e-3 + 1,), False,
         "near ties all counted as winners, at 1e-6 apart", "mask"),
    *family("Upsample", Upsample, normal((2, 2, 2, 3)), {
        "one copy": ("dy of one of the four copies only", "term or index"),
        "mean": ("dy averaged over the copies, not added", "scale"),
    }),
    *family("linear upsampling", Bilinear, series, {
        "last end": ("the end that is held loses half its gradient", "term or index"),
        "reversed": ("dx in the opposite order", "axes or index"),
    }),
    *family("PixelShuffle", PixelShuffle, normal((2, 8, 2, 3)), {
        "block axes": ("the two axes of a block swapped", "axes"),
        "reshape only": ("only reshaped, not transposed back", "axes"),
    }),
    *family("reflect pad", ReflectPad, series, {
        "cropped": ("what was mirrored is dropped", "term"),
        "edge": ("the mirrored values' gradients go to the edge", "index"),
    }),
    *family("zero pad", ZeroPad, normal((2, 2, 4, 3)), {
        "sides swapped": ("cropped by the other side's width", "index"),
        "from the start": ("not cropped at the start", "index"),
    }),
    *family("course's conv, functions", course_conv, normal((2, 2, 3, 4), (3, 2, 2, 2), (3,)), {
        "last filter": ("dw of the last filter stays 0", "index or zero"),
        "b for dy": ("db times b", "chain or scale"),
    }),
    Case("course's conv, square: order", lambda: course_conv("order"),
         normal((2, 2, 2, 2), (2, 2, 2, 2), (2,)), False, "returns dw, dx for dx, dw", "swapped"),
]  # fmt: skip
