"""Losses, as the last layer of a network.

A loss gives one number, or one for each row. What a case is stands in the package.
"""

from __future__ import annotations

import numpy as np

from . import Case, Layer, family, normal


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class MSE(Layer):
    """The mean of all squares; the target is data."""

    def forward(self, x, target):
        self.d = x - target
        return np.mean(self.d**2)

    def backward(self, dy):
        n = len(self.d) if self.has("rows") else self.d.size
        dx = (1 if self.has("no 2") else 2) * self.d / n
        if self.has("target - x"):
            dx = -dx
        if self.has("sum"):
            dx = dx * n
        return (dx if self.has("no dy") else dy * dx), None


class PlainMSE(MSE):
    """As people call it at the end of a network: backward takes nothing."""

    def backward(self):
        return super().backward(1.0)


class Distance(Layer):
    """The squared distance of each pair of rows; both have gradients."""

    def forward(self, a, b):
        self.d = a - b
        return (self.d**2).sum(1)

    def backward(self, dy):
        g = 2 * self.d * (dy[0] if self.has("dy of row 0") else dy[:, None])
        return g, (g if self.has("same sign") else None if self.has("None") else -g)


class CrossEntropy(Layer):
    """Logits and whole-number labels, of which -1 is left out; a mean over the others."""

    def forward(self, logits, labels):
        self.p, self.labels = softmax(logits), labels
        self.keep = labels >= 0
        logp = np.log(self.p[np.arange(len(labels)), labels])
        return -logp[self.keep].sum() / max(self.keep.sum(), 1)

    def backward(self, dy):
        d, rows = self.p.copy(), np.arange(len(self.p))
        at = self.labels - 1 if self.has("label - 1") else self.labels
        if self.has("predicted"):
            at = d.argmax(1)
        d[rows, at] -= 1
        if self.has("softmax again"):
            d = self.p * (d - (d * self.p).sum(1, keepdims=True))
        if self.has("label only"):
            d = np.where(d < 0, d, 0)
        if self.has("y - p"):
            d = -d
        if not self.has("ignored rows"):
            d[~self.keep] = 0
        n = len(d) if self.has("all rows") else max(self.keep.sum(), 1)
        d /= 1 if self.has("sum") else n
        return (d if self.has("no dy") else d * dy), None


class BCE(Layer):
    """With logits, stable, a sum over the features and a mean over the batch."""

    def forward(self, l, x):
        self.l, self.x = l, x
        return np.sum(np.maximum(l, 0) - l * x + np.log1p(np.exp(-np.abs(l)))) / len(l)

    def backward(self, dy):
        p = sigmoid(self.l)
        d = p - self.x
        if self.has("sigmoid twice"):
            d = d * p * (1 - p)
        if self.has("as probabilities"):
            d = d / (p * (1 - p))
        if self.has("rounded"):
            d = np.round(p) - self.x
        if self.has("x - p"):
            d = -d
        if self.has("all"):
            d = d / self.l.shape[1]
        return dy * d / (1 if self.has("sum") else len(d)), None


class ClippedBCE(Layer):
    """Of probabilities, clipped to [eps, 1 - eps]: no gradient where the clip is active."""

    eps = 1e-3

    def forward(self, p, x):
        self.p, self.x = p, x
        q = np.clip(p, self.eps, 1 - self.eps)
        return -(x * np.log(q) + (1 - x) * np.log(1 - q))

    def backward(self, dy):
        q = np.clip(self.p, self.eps, 1 - self.eps)
        d = (q - self.x) / (q * (1 - q))
        if self.has("no denominator"):
            d = q - self.x
        return dy * (d if self.has("clip ignored") else d * (q == self.p)), None


class Huber(Layer):
    """Quadratic within delta, elementwise."""

    delta = 0.8

    def forward(self, x, y):
        self.d, a = x - y, np.abs(x - y)
        return np.where(a < self.delta, 0.5 * a**2, self.delta * (a - 0.5 * self.delta))

    def backward(self, dy):
        g = np.clip(self.d, -self.delta, self.delta)
        if self.has("sign of large"):
            g = np.minimum(np.abs(self.d), self.delta) * np.where(np.abs(self.d) < 0.8, 1, -1)
        if self.has("slope 1"):
            g = np.where(np.abs(self.d) < self.delta, self.d, np.sign(self.d))
        if self.has("never linear"):
            g = self.d
        return dy * g, (-dy * g if not self.has("same sign") else dy * g)


class MulticlassSVM(Layer):
    """The course's: margins of 1 over the right class, a mean over the batch."""

    def forward(self, s, labels):
        rows = np.arange(len(s))
        m = np.maximum(0, s - s[rows, labels][:, None] + 1)
        m[rows, labels] = 0
        self.m, self.labels = m, labels
        return m.sum() / len(s)

    def backward(self, dy):
        d, rows = (self.m > 0) * 1.0, np.arange(len(self.m))
        if self.has("margins"):
            d = self.m.copy()
        count = 1 if self.has("once") else d.sum(1)
        d[rows, self.labels] -= 0 if self.has("right class") else count
        if self.has("last row"):
            d[-1] = 0
        return dy * d / (1 if self.has("sum") else len(d)), None


class Triplet(Layer):
    """max(0, |a - p|^2 - |a - n|^2 + 1) for each row."""

    def forward(self, a, p, n):
        self.ap, self.an = a - p, a - n
        self.loss = np.maximum(0, (self.ap**2).sum(1) - (self.an**2).sum(1) + 1)
        return self.loss

    def backward(self, dy):
        g = 2 * (dy * (1 if self.has("no hinge") else self.loss > 0))[:, None]
        da = g * (self.ap if self.has("anchor of p") else self.ap - self.an)
        dp, dn = -g * self.ap, g * self.an
        return (da, dn, dp) if self.has("swapped") else (da, dp, dn)


class InfoNCE(Layer):
    """Contrastive, of two views with temperature 0.5: the pair of each row against all others."""

    def forward(self, a, b):
        self.a, self.b, s = a, b, a @ b.T / 0.5
        self.p = softmax(s)
        return -np.mean(np.log(np.diag(self.p)))

    def backward(self, dy):
        ds = (self.p - np.eye(len(self.p))) / len(self.p) * dy
        if self.has("diagonal"):
            ds = np.diag(np.diag(ds))
        if self.has("no positives"):
            ds = self.p / len(self.p) * dy
        ds = ds if self.has("temperature") else ds / 0.5
        return ds @ self.b, (ds if self.has("not transposed") else ds.T) @ self.a


class Cosine(Layer):
    """The cosine of each pair of rows."""

    def forward(self, a, b):
        self.na, self.nb = (np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
        self.a, self.b = a / self.na, b / self.nb
        self.c = (self.a * self.b).sum(1, keepdims=True)
        return self.c[:, 0]

    def backward(self, dy):
        dy = dy[:, None]
        c = 0 if self.has("constant norms") else self.c
        na = self.na**2 if self.has("norm squared") else self.na
        da, db = dy * (self.b - c * self.a) / na, dy * (self.a - c * self.b) / self.nb
        if self.has("norms swapped"):
            da, db = da * self.na / self.nb, db * self.nb / self.na
        return da, db


class Quantile(Layer):
    """The pinball loss at 0.9, of which some residuals are 0."""

    def forward(self, x, y):
        self.d = y - x
        return np.maximum(0.9 * self.d, -0.1 * self.d).mean()

    def backward(self, dy):
        g = np.where(self.d > 0, -0.9, 0.1)
        if self.has("quantile turned"):
            g = np.where(self.d > 0, -0.1, 0.9)
        if self.has("outside at 0"):
            g = np.where(self.d == 0, 1.0, g)
        return dy * g / g.size, None


class Focal(Layer):
    """-(1 - p)^2 log p of the label's probability, elementwise on logits."""

    def forward(self, l):
        self.p = sigmoid(l)
        return -((1 - self.p) ** 2) * np.log(self.p)

    def backward(self, dy):
        p = self.p
        d = 2 * (1 - p) * np.log(p) - (1 - p) ** 2 / p
        if self.has("weight constant"):
            d = -((1 - p) ** 2) / p
        return dy * d * (1 if self.has("no sigmoid") else p * (1 - p))


class Dice(Layer):
    """1 - 2 sum(p t) / (sum p + sum t), over the batch."""

    def forward(self, p, t):
        self.t, self.top, self.low = t, 2 * np.sum(p * t), np.sum(p) + np.sum(t)
        return 1 - self.top / self.low

    def backward(self, dy):
        low = 0 if self.has("constant denominator") else self.top / self.low**2
        return dy * ((1 if self.has("2") else -2) * self.t / self.low + low), None


def ignoring(rng):
    """Draw logits and labels, of which one is -1."""
    labels = rng.integers(0, 4, 5)
    labels[2] = -1
    return rng.standard_normal((5, 4)), labels


def probabilities(rng):
    """Draw probabilities, of which two lie outside the clip, and targets 0 or 1."""
    p = rng.uniform(0.05, 0.95, (3, 4))
    p[0, 0], p[1, 2] = 1e-4, 1 - 1e-4
    return p, (rng.random((3, 4)) < 0.5).astype(float)


def binary(rng):
    return 2 * rng.standard_normal((3, 4)), (rng.random((3, 4)) < 0.5).astype(float)


def with_zeros(rng):
    """Draw a prediction that is exact in two places."""
    x, y = rng.standard_normal((2, 3, 4))
    x[0, 0], x[2, 1] = y[0, 0], y[2, 1]
    return x, y


two, three = normal((3, 4), (3, 4)), normal((3, 4), (3, 4), (3, 4))
CASES: list[Case] = [
    *family("MSE", MSE, two, {
        "rows": ("divided by the rows, not by all", "scale"),
        "no 2": ("the 2 of the square forgotten", "scale"),
        "target - x": ("the wrong sign", "sign"),
        "sum": ("not divided", "scale"),
        "no dy": ("dy is ignored", "chain"),
    }, {"1e-6": normal((3, 4), (3, 4), scale=1e-6), "1e6": normal((3, 4), (3, 4), scale=1e6),
        "nearly exact": lambda rng: (lambda x: (x + 1e-5 * two(rng)[0], x))(two(rng)[0])},
            constants=(1,)),
    *family("MSE without dy", PlainMSE, two, {
        "rows": ("divided by the rows, not by all", "scale"),
    }, constants=(1,)),
    *family("distance", Distance, two, {
        "dy of row 0": ("dy of the first row for all", "index or chain"),
        "same sign": ("the second's gradient with the first's sign", "sign"),
        "None": ("no gradient of the second, which is no constant", "zero or other"),
    }),
    *family("cross entropy", CrossEntropy, ignoring, {
        "label - 1": ("labels off by one", "index"),
        "predicted": ("the predicted class for the label", "index"),
        "softmax again": ("softmax's derivative applied once more", "chain"),
        "label only": ("only the label's logit has a gradient", "mask or term"),
        "y - p": ("the wrong sign", "sign"),
        "ignored rows": ("rows that are left out have a gradient", "mask"),
        "all rows": ("divided by all rows, not those that count", "scale"),
        "sum": ("not divided", "scale"),
        "no dy": ("dy is ignored", "chain"),
        "no dy+y - p": ("dy is ignored, and the sign wrong", "chain or sign"),
    }, {"certain": lambda rng: (12 * np.eye(3) + two(rng)[0][:, :3], np.arange(3))}),
    *family("BCE with logits", BCE, binary, {
        "sigmoid twice": ("sigmoid's derivative applied again", "chain"),
        "as probabilities": ("divided by p (1 - p), as if of probabilities", "chain"),
        "rounded": ("p rounded to 0 or 1", "mask or other"),
        "x - p": ("the wrong sign", "sign"),
        "all": ("divided by the features too", "scale"),
        "sum": ("not divided by the batch size", "scale"),
    }, {"large logits": lambda rng: (10 * binary(rng)[0], binary(rng)[1])}, constants=(1,)),
    *family("clipped BCE", ClippedBCE, probabilities, {
        "no denominator": ("p - x without its denominator", "chain"),
        "clip ignored": ("a gradient where the clip is active", "mask"),
    }, constants=(1,)),
    *family("Huber", Huber, two, {
        "sign of large": ("large residuals without their sign, or the wrong one", "sign or mask"),
        "slope 1": ("slope 1 for delta where it is linear", "scale or mask"),
        "never linear": ("the quadratic's derivative everywhere", "mask"),
        "same sign": ("the second's gradient with the first's sign", "sign"),
    }),
    *family("multiclass SVM", MulticlassSVM,
            lambda rng: (rng.standard_normal((4, 5)), rng.integers(0, 5, 4)), {
        "margins": ("the margins for their indicators", "mask or chain"),
        "once": ("the right class once, not for each margin", "term or scale"),
        "right class": ("the right class has no gradient", "term"),
        "last row": ("the last row has none", "index"),
        "sum": ("not divided by the batch size", "scale"),
    }),
    *family("triplet", Triplet, three, {
        "anchor of p": ("the anchor's gradient by the positive alone", "term"),
        "swapped": ("dp and dn swapped", "swapped"),
    }, {"far apart": lambda rng: (*two(rng), 5 + two(rng)[0])}),
    Case("triplet: no hinge", lambda: Triplet("no hinge"),
         lambda rng: (*two(rng), 5 + two(rng)[0]), False, "the hinge ignored", "mask"),
    *family("InfoNCE", InfoNCE, normal((4, 3), (4, 3)), {
        "diagonal": ("only the pairs' own similarities", "term or mask"),
        "no positives": ("the positives' - 1 forgotten", "term"),
        "temperature": ("not divided by the temperature", "scale"),
        "not transposed": ("db with ds not transposed", "axes"),
    }),
    *family("cosine", Cosine, two, {
        "constant norms": ("the norms treated as constants", "term"),
        "norm squared": ("divided by the norm squared", "scale"),
        "norms swapped": ("divided by the other's norm", "swapped or scale"),
    }, {"1e-6": normal((3, 4), (3, 4), scale=1e-6)}),
    *family("pinball, exact in two places", Quantile, with_zeros, {
        "quantile turned": ("0.1 and 0.9 swapped", "swapped or other"),
        "outside at 0": ("1 at the corner, outside its one-sided slopes", "mask"),
    }, constants=(1,)),
    *family("focal", Focal, normal((3, 4)), {
        "weight constant": ("the weight treated as a constant", "term"),
        "no sigmoid": ("sigmoid's derivative forgotten", "chain"),
    }),
    *family("Dice", Dice, probabilities, {
        "constant denominator": ("the denominator treated as a constant", "term"),
        "2": ("1 for -2", "scale or sign"),
    }, constants=(1,)),
]  # fmt: skip
