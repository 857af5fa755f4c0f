"""Normalisations of every kind, with the mistakes that their long derivatives invite.

The features are the last axis, of images axis 1. What a case is stands in the package.
"""

from __future__ import annotations

import numpy as np

from . import Case, Layer, family, normal


class LayerNorm(Layer):
    """Over the last axis, with gamma = 1 and beta = 0 as it begins; attributes."""

    features, eps = 5, 1e-5

    def setup(self, rng):
        self.gamma, self.beta = np.ones(self.features), np.zeros(self.features)

    def forward(self, x):
        self.x = x
        mu = x.mean(-1, keepdims=True)
        self.std = np.sqrt(((x - mu) ** 2).mean(-1, keepdims=True) + self.eps)
        self.xhat = (x - mu) / self.std
        return self.gamma * self.xhat + self.beta

    def backward(self, dy):
        lead = tuple(range(dy.ndim - 1))
        self.dbeta = dy.sum(lead)
        self.dgamma = (dy * (self.x if self.has("dgamma of x") else self.xhat)).sum(lead)
        if self.has("dgamma is dbeta"):
            self.dgamma = self.dbeta.copy()
        if self.has("dgamma, dbeta swapped"):
            self.dgamma, self.dbeta = self.dbeta, self.dgamma
        n = dy.shape[-1]
        d = dy if self.has("no gamma") or self.has("gamma last") else dy * self.gamma
        one, two = d.sum(-1, keepdims=True), (d * self.xhat).sum(-1, keepdims=True)
        if self.has("no mean"):
            one = 0
        if self.has("no variance"):
            two = 0
        if self.has("batch mean"):
            one = d.sum(0, keepdims=True) * n / len(dy)
        if self.has("n - 1"):
            n -= 1
        if self.has("plus"):
            two = -two
        if self.has("projection of dy"):
            two = two * self.xhat.mean(-1, keepdims=True)
        dx = (d - one / n - self.xhat * two / n) / self.std
        if self.has("variance for std"):
            dx /= self.std
        if self.has("constant std"):
            dx = (d - one / n) / self.std
        if self.has("std forgotten"):
            dx = dx * self.std
        return dx * self.gamma if self.has("gamma last") else dx


class BatchNorm(Layer):
    """Over the batch (and places, of images), with running statistics that backward ignores."""

    channels, momentum, train = 3, 0.9, True

    def setup(self, rng):
        self.params = {"gamma": np.ones(self.channels), "beta": np.zeros(self.channels)}
        self.grads = {}
        self.mean, self.var = np.full(self.channels, 0.1), np.full(self.channels, 1.5)

    def wide(self, a):
        return a.reshape(-1, *[1] * (self.rank - 2))

    def forward(self, x):
        self.rank, self.axes = x.ndim, (0, *range(2, x.ndim))
        mu, var = x.mean(self.axes), x.var(self.axes)
        if self.train:
            keep = 1 - self.momentum if self.has("momentum") else self.momentum
            self.mean = keep * self.mean + (1 - keep) * mu
            self.var = keep * self.var + (1 - keep) * var
        else:
            mu, var = self.mean, self.var
        self.std = np.sqrt(self.wide(var) + 1e-5)
        self.xhat = (x - self.wide(mu)) / self.std
        return self.wide(self.params["gamma"]) * self.xhat + self.wide(self.params["beta"])

    def backward(self, dy):
        axes = (0,) if self.has("batch only") else self.axes
        self.grads["beta"] = dy.sum(self.axes)
        self.grads["gamma"] = (dy * self.xhat).sum(self.axes)
        if self.has("gamma mean"):
            self.grads["gamma"] /= len(dy)
        if self.has("adds up"):
            self.total = getattr(self, "total", 0) + self.grads["gamma"]
            self.grads["gamma"] = self.total
        d = dy * self.wide(self.params["gamma"])
        std = np.sqrt(self.wide(self.var) + 1e-5) if self.has("running std") else self.std
        if self.train != self.has("other mode"):
            one, two = d.mean(axes, keepdims=True), (d * self.xhat).mean(axes, keepdims=True)
            if self.has("features"):
                one, two = d.mean(1, keepdims=True), (d * self.xhat).mean(1, keepdims=True)
            if self.has("batch of 4"):
                one, two = one * len(d) / 4, two * len(d) / 4
            d = d - one - self.xhat * two
        return (self.xhat if self.has("xhat for dy") else d) / std


class EvalBatchNorm(BatchNorm):
    """With the running statistics, which are constants: an affine map."""

    train = False


class GroupNorm(Layer):
    """Groups of channels of each image; two groups, or as many as channels: instance norm."""

    groups, channels = 2, 4

    def setup(self, rng):
        self.params = {"gamma": 1 + rng.random(self.channels), "beta": rng.random(self.channels)}
        self.grads = {}

    def forward(self, x):
        self.shape = x.shape
        g = x.reshape(len(x), self.groups, -1)
        self.std = np.sqrt(g.var(-1, keepdims=True) + 1e-5)
        self.xhat = ((g - g.mean(-1, keepdims=True)) / self.std).reshape(x.shape)
        return self.params["gamma"][:, None, None] * self.xhat + self.params["beta"][:, None, None]

    def backward(self, dy):
        axes = (0, 2) if self.has("axes") else (0, 2, 3)
        dgamma, dbeta = (dy * self.xhat).sum(axes), dy.sum((0, 2, 3))
        self.grads["gamma"] = dgamma[..., -1] if dgamma.ndim > 1 else dgamma
        self.grads["beta"] = dbeta
        d = dy * self.params["gamma"][:, None, None]
        grouped = (len(dy), self.channels if self.has("by channel") else self.groups, -1)
        d, xhat = d.reshape(grouped), self.xhat.reshape(grouped)
        dx = d - d.mean(-1, keepdims=True) - xhat * (d * xhat).mean(-1, keepdims=True)
        if self.has("by channel"):
            dx = dx.reshape(len(dy), self.groups, -1)
        if self.has("first group"):
            dx[:, 1:] = d[:, 1:]
        if self.has("std of group 0"):
            return (dx / self.std[:, :1]).reshape(self.shape)
        return (dx / self.std).reshape(self.shape)


class InstanceNorm(GroupNorm):
    """Each channel of each image by itself."""

    groups = 4


class RMSNorm(Layer):
    """x / rms(x) times a weight."""

    eps = 1e-6

    def setup(self, rng):
        self.params, self.grads = {"w": np.ones(6)}, {}

    def forward(self, x):
        self.x = x
        self.r = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps)
        return x * self.r * self.params["w"]

    def backward(self, dy):
        d = dy if self.has("no weight") else dy * self.params["w"]
        self.grads["w"] = (dy * self.x * (1 if self.has("dw of x") else self.r)).sum((0, 1))
        dot = (d * self.x).sum(-1, keepdims=True)
        power = 2 if self.has("r squared") else 3
        if self.has("as layer norm"):
            d = d - d.mean(-1, keepdims=True)
        dx = d * self.r
        if not self.has("constant rms"):
            dx = dx - self.x * dot * self.r**power / (1 if self.has("sum") else dy.shape[-1])
        return dx


class ScaleNorm(Layer):
    """g x / max(|x|, eps) with a single g, an array without axes."""

    eps = 1e-3

    def setup(self, rng):
        self.params, self.grads = {"g": np.array(1.7)}, {}

    def forward(self, x):
        self.length = np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), self.eps)
        self.u = x / self.length
        return self.params["g"] * self.u

    def backward(self, dy):
        self.grads["g"] = np.sum(dy * self.u)
        if self.has("g of row 0"):
            self.grads["g"] = np.sum(dy[0] * self.u[0])
        g = 1 if self.has("no g") else self.params["g"]
        along = self.u * (dy * self.u).sum(-1, keepdims=True)
        if not self.has("clipped too"):
            along = along * (self.length > self.eps)
        if self.has("along the batch"):
            along = self.u * (dy * self.u).sum(0, keepdims=True)
        if self.has("no projection"):
            along = 0
        return g * (dy - along) / self.length


class WeightNorm(Layer):
    """A linear layer whose rows are g v / |v|."""

    def setup(self, rng):
        self.v, self.g = rng.standard_normal((3, 4)), 1 + rng.random(3)
        if self.has("direction only"):
            self.g = np.linalg.norm(self.v, axis=1)  # as it is initialised from a given weight

    def forward(self, x):
        self.x, self.n = x, np.linalg.norm(self.v, axis=1)
        self.w = (self.g / self.n)[:, None] * self.v
        return x @ self.w.T

    def backward(self, dy):
        dw = dy.T @ self.x
        self.dg = (dw * self.v).sum(1) / (1 if self.has("dg not divided") else self.n)
        if self.has("direction only"):
            self.dv = dw - (self.dg / self.n)[:, None] * self.v
        else:
            back = 0 if self.has("no back term") else self.dg / self.n
            self.dv = (self.g / self.n)[:, None] * (dw - np.reshape(back, (-1, 1)) * self.v)
        return dy @ (self.v if self.has("v for w") else self.w)


class SpectralLinear(Layer):
    """W / (u' W v) with u and v of an earlier power iteration, which are constants."""

    def setup(self, rng):
        W = rng.standard_normal((3, 4))
        u, _, vt = np.linalg.svd(W)
        self.u, self.v = u[:, 0] + 0.01 * rng.standard_normal(3), vt[0]
        self.params, self.grads = {"W": W}, {}

    def forward(self, x):
        self.x, self.sigma = x, self.u @ self.params["W"] @ self.v
        return x @ (self.params["W"] / self.sigma).T

    def backward(self, dy):
        W, dW = self.params["W"], dy.T @ self.x / self.sigma
        uv = np.outer(self.v, self.u).T if not self.has("u v swapped") else np.outer(self.u, W[0])
        if not self.has("constant sigma"):
            dW = dW - (dW * W).sum() / self.sigma * uv
        self.grads["W"] = dW
        return dy @ W / self.sigma**2 if self.has("twice") else dy @ W / self.sigma


class ResponseNorm(Layer):
    """AlexNet's: x / (k + a sum over 3 neighbouring channels of x^2)^b."""

    k, a, b = 2.0, 0.5, 0.75

    def band(self, x):
        p = np.pad(x, ((0, 0), (1, 1), (0, 0)))
        return p[:, :-2] + p[:, 1:-1] + p[:, 2:]

    def forward(self, x):
        self.x, self.s = x, self.k + self.a * self.band(x**2)
        return x * self.s**-self.b

    def backward(self, dy):
        inner = dy * self.x * self.s ** (-self.b - 1)
        if not self.has("own channel"):
            inner = self.band(inner)
        factor = (1 if self.has("half") else 2) * self.a * self.b
        return dy * self.s**-self.b - factor * self.x * inner


class Centre(Layer):
    """x minus its mean over the batch."""

    def forward(self, x):
        return x - x.mean(0)

    def backward(self, dy):
        if self.has("identity"):
            return dy.copy()
        return dy - dy.mean(1, keepdims=True) if self.has("other axis") else dy - dy.mean(0)


class MaxAbs(Layer):
    """x / max |x| of each row: quantised training's scale."""

    def forward(self, x):
        self.x, self.at = x, np.abs(x).argmax(1)
        self.m = np.abs(x).max(1, keepdims=True)
        return x / self.m

    def backward(self, dy):
        dx, rows = dy / self.m, np.arange(len(dy))
        sign = 1 if self.has("no sign") else np.sign(self.x[rows, self.at])
        if not self.has("constant maximum"):
            dx[rows, self.at] -= (dy * self.x).sum(1) / self.m[:, 0] ** 2 * sign
        return dx


class AdaIN(Layer):
    """The content's places normalised, then given the style's mean and deviation."""

    def forward(self, x, style):
        self.sx, self.ss = x.std(-1, keepdims=True), style.std(-1, keepdims=True)
        self.xh = (x - x.mean(-1, keepdims=True)) / self.sx
        self.sh = (style - style.mean(-1, keepdims=True)) / self.ss
        return self.ss * self.xh + style.mean(-1, keepdims=True)

    def backward(self, dy):
        n = self.sh.shape[-1]
        scaled = (dy * self.xh).sum(-1, keepdims=True)
        dmean = dy.sum(-1, keepdims=True) + np.zeros_like(self.sh)
        dstyle = dmean / n + (0 if self.has("no deviation") else scaled / n * self.sh)
        d = dy * (1 if self.has("no style") else self.ss)
        dx = d - d.mean(-1, keepdims=True) - self.xh * (d * self.xh).mean(-1, keepdims=True)
        dx = dx / self.sx
        return (dstyle, dx) if self.has("swapped") else (dx, dstyle)


class MaskedNorm(Layer):
    """Layer norm over the true places of a mask, which is given as booleans; padding becomes 0."""

    def forward(self, x, mask):
        self.mask, self.n = mask, np.maximum(mask.sum(1, keepdims=True), 1)
        mu = (x * mask).sum(1, keepdims=True) / self.n
        self.std = np.sqrt(((x - mu) ** 2 * mask).sum(1, keepdims=True) / self.n + 1e-3)
        self.xhat = (x - mu) / self.std * mask
        return self.xhat.copy()

    def backward(self, dy):
        d = dy if self.has("padding leaks") else dy * self.mask
        n = dy.shape[1] if self.has("whole width") else self.n
        one, two = d.sum(1, keepdims=True) / n, (d * self.xhat).sum(1, keepdims=True) / n
        dx = (d - one - self.xhat * two) / self.std
        return (dx if self.has("padding leaks") else dx * self.mask), None


class FilmInPlace(Layer):
    """Feature-wise gain and shift, both inputs; the faults reuse memory that is not theirs."""

    def forward(self, x, gain, shift):
        self.x, self.gain = x, gain
        if self.has("overwrites x"):
            x *= gain
            x += shift
            return x
        return x * gain + shift

    def backward(self, dy):
        dgain, dshift = (dy * self.x).sum(0), dy.sum(0)
        if self.has("overwrites dy"):
            dy *= self.gain
            return dy, dgain, dshift
        if self.has("gain after dy"):
            dy *= self.gain
            return dy, (dy * self.x).sum(0), dshift
        return dy * self.gain, dgain, dshift


def single(kind):
    """Return what makes such a layer with its parameters and statistics in float32."""

    def make(fault=""):
        layer = kind(fault)
        for held in vars(layer), getattr(layer, "params", {}):
            held |= {k: v.astype("f4") for k, v in held.items() if isinstance(v, np.ndarray)}
        return layer

    return make


def mask_of(rng):
    """Draw (4, 5) values and a mask whose last row is all padding."""
    mask = rng.random((4, 5)) < 0.7
    mask[:, 0], mask[3] = True, False
    return rng.standard_normal((4, 5)), mask


table = normal((4, 5))
kinds = {
    "offset 1e6": normal((4, 5), shift=1e6),
    "1e-6": normal((4, 5), scale=1e-6),
    "1e6": normal((4, 5), scale=1e6),
    "one row": normal((1, 5)),
    "three axes": normal((2, 3, 5)),
    "columns' order": lambda rng: (np.asfortranarray(rng.standard_normal((4, 5))),),
}
CASES: list[Case] = [
    *family("LayerNorm", LayerNorm, table, {
        "no mean": ("the derivative through the mean is missing", "term"),
        "no variance": ("the derivative through the variance is missing", "term"),
        "constant std": ("std treated as a constant in the last line", "term"),
        "no gamma": ("gamma left out of dx: unseen while it is 1", "chain or scale"),
        "gamma last": ("gamma multiplies dx, not dy, as if it went through the norm", "chain"),
        "dgamma of x": ("dgamma with x for its normalised value", "chain"),
        "dgamma is dbeta": ("dgamma a copy of dbeta", "chain or swapped"),
        "dgamma, dbeta swapped": ("dgamma and dbeta swapped", "swapped"),
        "batch mean": ("the mean's term averaged over the batch", "sum"),
        "n - 1": ("n - 1 in backward, n in forward", "scale or term"),
        "plus": ("the variance's term added, not subtracted", "sign"),
        "projection of dy": ("the variance's term times the mean of xhat, which is 0", "term"),
        "variance for std": ("divided by the variance, not its root", "scale or chain"),
        "std forgotten": ("not divided by the standard deviation", "scale or chain"),
        "no mean+dgamma is dbeta": ("the mean's term missing, dgamma a copy of dbeta", "term"),
    }, kinds),
    *family("BatchNorm", BatchNorm, normal((6, 3)), {
        "running std": ("divided by the running deviation in training", "state or scale"),
        "features": ("the two means taken over the features", "sum"),
        "batch of 4": ("the means divided by 4, another batch's size", "scale or term"),
        "gamma mean": ("dgamma divided by the batch size", "scale"),
        "adds up": ("dgamma adds to those of earlier calls", "state"),
        "xhat for dy": ("returns xhat / std: dy is ignored", "chain"),
        "other mode": ("backward of the evaluation mode", "term"),
        "momentum": ("the running statistics with 0.1 for 0.9", "other",
                     "they are no output of this call and no gradient comes from them"),
    }, {"one row, gradient 0": normal((1, 3)), "offset 1e4": normal((6, 3), shift=1e4)}),
    *family("LayerNorm, float32", single(LayerNorm), normal((4, 5), dtype="f4"), {
        "constant std": ("std treated as a constant in the last line", "term"),
        "no mean": ("the derivative through the mean is missing", "term"),
    }),
    *family("BatchNorm, float32", single(BatchNorm), normal((8, 3), shift=30, dtype="f4"), {
        "gamma mean": ("dgamma divided by the batch size", "scale"),
    }),
    *family("BatchNorm of images", BatchNorm, normal((2, 3, 2, 3)), {
        "batch only": ("the means over the batch, not the places", "sum"),
    }),
    *family("BatchNorm, evaluation", EvalBatchNorm, normal((4, 3)), {
        "other mode": ("backward of the training mode", "term"),
    }),
    *family("GroupNorm", GroupNorm, normal((2, 4, 2, 3)), {
        "axes": ("dgamma of the last column alone", "sum or term"),
        "by channel": ("the means over single channels, not groups", "sum"),
        "first group": ("only the first group has the terms of mean and variance", "term or index"),
        "std of group 0": ("all divided by the deviation of group 0", "index or scale"),
    }),
    *family("InstanceNorm", InstanceNorm, normal((2, 4, 2, 3)), {
        "std of group 0": ("all divided by the deviation of channel 0", "index or scale"),
    }),
    *family("RMSNorm", RMSNorm, normal((2, 3, 6)), {
        "no weight": ("the weight left out of dx: unseen while it is 1", "chain or scale"),
        "dw of x": ("dw with x not normalised", "chain or scale"),
        "r squared": ("1/rms squared for its cube", "chain or term"),
        "as layer norm": ("a mean is subtracted, which forward does not", "term"),
        "constant rms": ("the derivative through the rms is missing", "term"),
        "sum": ("the rms's term not divided by n", "scale or term"),
    }, {"1e6": normal((2, 3, 6), scale=1e6)}),
    *family("ScaleNorm", ScaleNorm, normal((3, 4)), {
        "g of row 0": ("dg of the first row alone", "term or sum"),
        "no g": ("g left out of dx", "chain or scale"),
        "along the batch": ("projected along the batch", "sum"),
        "no projection": ("the length treated as a constant", "term"),
    }, {"below eps": normal((3, 4), scale=1e-5)}),
    Case("ScaleNorm: clipped too", lambda: ScaleNorm("clipped too"), normal((3, 4), scale=1e-5),
         False, "projected where the length is clipped as well", "mask"),
    Case("ScaleNorm: clipped too, long rows", lambda: ScaleNorm("clipped too"), normal((3, 4)),
         False, "projected where the length is clipped as well", "mask",
         "at rows of ordinary length nothing is clipped and the gradient is right"),
    *family("WeightNorm", WeightNorm, normal((5, 4)), {
        "direction only": ("g / |v| left out of dv, where it began as 1", "chain or scale"),
        "dg not divided": ("dg not divided by |v|", "scale or chain"),
        "no back term": ("dv without the term of the length", "term"),
        "v for w": ("dx with v, not the normalised weight", "scale or chain"),
    }),
    *family("spectral norm", SpectralLinear, normal((5, 4)), {
        "u v swapped": ("the outer product with a row of W for v", "other or term"),
        "constant sigma": ("sigma treated as a constant", "term"),
        "twice": ("dx divided by sigma twice", "scale"),
    }),
    *family("response norm", ResponseNorm, normal((2, 4, 3)), {
        "own channel": ("only the own channel's term", "term"),
        "half": ("the 2 of the square forgotten", "scale or term"),
    }),
    *family("centre", Centre, normal((4, 4)), {
        "identity": ("the mean treated as a constant", "term"),
        "other axis": ("the mean over the features", "sum"),
    }, {"offset 1e6": normal((4, 4), shift=1e6)}),
    *family("max-abs scale", MaxAbs, normal((4, 5)), {
        "no sign": ("the sign of the largest value forgotten", "sign"),
        "constant maximum": ("the maximum treated as a constant", "term"),
    }),
    *family("AdaIN", AdaIN, normal((2, 2, 5), (2, 2, 5)), {
        "no deviation": ("the style's deviation has no gradient", "term"),
        "no style": ("dx without the style's deviation", "chain or scale"),
        "swapped": ("the two gradients in the wrong order", "swapped"),
    }),
    *family("masked norm, a row of padding", MaskedNorm, mask_of, {
        "padding leaks": ("padded places get a gradient", "mask"),
        "whole width": ("divided by the width, not the true places", "scale or mask"),
    }),
    *family("FiLM", FilmInPlace, normal((4, 3), (3,), (3,)), {
        "overwrites x": ("forward overwrites x, which backward reads", "aliasing"),
        "overwrites dy": ("backward overwrites dy, which its caller still needs", "aliasing"),
        "gain after dy": ("dy overwritten before dgain is computed", "aliasing or chain"),
    }),
]  # fmt: skip
