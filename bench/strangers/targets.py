"""Losses and flows, and the mistakes that courses see in them.

Layers with parameters are in pictures.py, scaling.py and sequences.py.
"""

from __future__ import annotations

import numpy as np

from .faulty import Layer, cases_of, normal


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class CrossEntropy(Layer):
    """Softmax cross entropy with whole numbers as labels, the mean over rows."""

    def setup(self, rng, smoothing=0.0, ignore=None):
        self.smoothing, self.ignore = smoothing, ignore

    def forward(self, x, labels):
        top = x.max(axis=1, keepdims=True)
        log = x - top - np.log(np.exp(x - top).sum(axis=1, keepdims=True))
        k = x.shape[1]
        self.t = np.eye(k)[labels] * (1 - self.smoothing) + self.smoothing / k
        self.hard = np.eye(k)[labels]
        self.keep = np.ones(len(x)) if self.ignore is None else (labels != self.ignore) * 1.0
        self.p = np.exp(log)
        return -((self.t * log).sum(axis=1) * self.keep).sum() / self.keep.sum()

    def backward(self, dloss):
        f = self.fault
        t = self.hard if f == "hard targets" else self.t
        d = (self.p - t) * self.keep[:, None]
        if f == "ignored rows learn":
            d = self.p - t
        if f == "target alone":
            d = -t * self.keep[:, None]
        if f == "softmax twice":
            d = self.p * (d - (self.p * d).sum(axis=1, keepdims=True))
        n = {"sum": 1, "all rows": len(d), "entries": d.size}.get(f, self.keep.sum())
        if f == "sign":
            d = -d
        d = d / n * (1 if f == "dloss ignored" else dloss)
        return d.astype(self.p.dtype), None


class Binary(Layer):
    """Binary cross entropy of logits against targets in [0, 1], the mean over entries."""

    def forward(self, x, t):
        self.x, self.t = x, t
        return (np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))).mean()

    def backward(self, dloss):
        f, p = self.fault, sigmoid(self.x)
        d = p - self.t
        if f == "rows":
            return d / len(d) * dloss, None
        if f == "ones alone":
            d = -self.t * (1 - p)
        if f == "slope again":
            d = d * p * (1 - p)
        if f == "logit for probability":
            d = self.x - self.t
        return d / d.size * dloss, -self.x / d.size * dloss


class FromProbabilities(Layer):
    """Binary cross entropy of probabilities."""

    def forward(self, p, t):
        self.p, self.t = p, t
        return -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum()

    def backward(self, dloss):
        p, t = self.p, self.t
        d = -t / p + (1 - t) / (1 - p)
        if self.fault == "second sign":
            d = -t / p - (1 - t) / (1 - p)
        if self.fault == "of logits":
            d = p - t
        return d * dloss, None


class SquaredError(Layer):
    """The mean of squares."""

    def forward(self, x, t):
        self.d = x - t
        return (self.d**2).mean()

    def backward(self, dloss):
        g = 2 * self.d / self.d.size
        if self.fault == "no 2":
            g = g / 2
        if self.fault == "no mean":
            g = 2 * self.d
        if self.fault == "dloss ignored":
            return g, -g
        if self.fault == "target's sign":
            return g * dloss, g * dloss
        return g * dloss, -g * dloss


class Huber(Layer):
    """Quadratic near 0, linear beyond."""

    def forward(self, x):
        self.x = x
        a = np.abs(x)
        return np.where(a < 0.7, 0.5 * x * x, 0.7 * (a - 0.35)).sum()

    def backward(self, dloss):
        x = self.x
        d = np.clip(x, -0.7, 0.7)
        if self.fault == "not limited":
            d = x
        if self.fault == "sign alone":
            d = np.where(np.abs(x) < 0.7, x, np.sign(x))
        if self.fault == "one side":
            d = np.minimum(x, 0.7)
        return d * dloss


class Absolute(Layer):
    """The sum of absolute values."""

    def forward(self, x):
        self.x = x
        return np.abs(x).sum()

    def backward(self, dloss):
        d = np.sign(self.x)
        if self.fault == "no sign":
            d = np.abs(d)
        if self.fault == "value":
            d = self.x
        return d * dloss


class Hinge(Layer):
    """The hinge of several classes: other scores within a margin of 1 of the right one."""

    def forward(self, x, labels):
        self.at = (np.arange(len(x)), labels)
        m = x - x[self.at][:, None] + 1
        m[self.at] = 0
        self.open = m > 0
        return np.maximum(m, 0).sum() / len(x)

    def backward(self, dloss):
        d = self.open * 1.0
        if self.fault == "once for the right class":
            d[self.at] = -1
        elif self.fault != "nothing for the right class":
            d[self.at] = -d.sum(axis=1)
        if self.fault == "no mean":
            return d * dloss, None
        return d / len(d) * dloss, None


class Cosine(Layer):
    """The cosine of rows of a and b."""

    def forward(self, a, b):
        self.a, self.b = a, b
        self.na, self.nb = (np.sqrt((c * c).sum(axis=1)) for c in (a, b))
        self.c = (a * b).sum(axis=1) / (self.na * self.nb)
        return self.c

    def backward(self, dy):
        n = (dy / (self.na * self.nb))[:, None]
        along = (dy * self.c)[:, None]
        da = n * self.b - along * self.a / self.na[:, None] ** 2
        db = n * self.a - along * self.b / self.nb[:, None] ** 2
        if self.fault == "norms are constant":
            return n * self.b, n * self.a
        if self.fault == "not squared":
            da = n * self.b - along * self.a / self.na[:, None]
        if self.fault == "exchanged":
            return db, da
        return da, db


class GaussianNll(Layer):
    """-log N(t; mu, exp(logvar)), the mean over rows."""

    def forward(self, mu, logvar, t):
        self.mu, self.logvar, self.t = mu, logvar, t
        self.q = (mu - t) ** 2 * np.exp(-logvar)
        return 0.5 * (logvar + self.q).sum() / len(mu)

    def backward(self, dloss):
        n, f = len(self.mu), self.fault
        dmu = (self.mu - self.t) * np.exp(-self.logvar) / n
        dv = 0.5 * (1 - self.q) / n
        if f == "half forgotten":
            dv = 2 * dv
        if f == "one forgotten":
            dv = -0.5 * self.q / n
        if f == "quadratic forgotten":
            dv = 0 * dv + 0.5 / n
        if f == "not weighted":
            dmu = (self.mu - self.t) / n
        if f == "deviation":
            dmu = (self.mu - self.t) * np.exp(-self.logvar / 2) / n
        return dmu * dloss, dv * dloss, -dmu * dloss


class Poisson(Layer):
    """exp(x) - t x."""

    def forward(self, x, t):
        self.x, self.t = x, t
        return (np.exp(x) - t * x).mean()

    def backward(self, dloss):
        d = np.exp(self.x) - (0 if self.fault == "counts forgotten" else self.t)
        if self.fault == "rate for log":
            d = 1 - self.t / self.x
        return d / d.size * dloss, None


class Dice(Layer):
    """1 - 2 sum(p t) / (sum p + sum t) of probabilities."""

    def forward(self, p, t):
        self.p, self.t = p, t
        self.i, self.u = (p * t).sum(), p.sum() + t.sum()
        return 1 - 2 * self.i / self.u

    def backward(self, dloss):
        d = -2 * (self.t * self.u - self.i) / self.u**2
        if self.fault == "bottom is constant":
            d = -2 * self.t / self.u
        if self.fault == "not squared":
            d = -2 * (self.t * self.u - self.i) / self.u
        if self.fault == "top is constant":
            d = 2 * self.i / self.u**2 * np.ones_like(self.p)
        return d * dloss, None


class Focal(Layer):
    """(1 - p)^2 log p of the right class, binary, from logits."""

    def forward(self, x):
        self.p = sigmoid(x)
        return -((1 - self.p) ** 2 * np.log(self.p)).sum()

    def backward(self, dloss):
        p = self.p
        d = 2 * (1 - p) * np.log(p) - (1 - p) ** 2 / p
        if self.fault == "weight is constant":
            d = -((1 - p) ** 2) / p
        if self.fault == "no slope":
            return d * dloss
        return d * p * (1 - p) * dloss


class Triplet(Layer):
    """max(|a - p|^2 - |a - n|^2 + 1, 0)."""

    def forward(self, a, p, n):
        self.a, self.p, self.n = a, p, n
        m = ((a - p) ** 2).sum(axis=1) - ((a - n) ** 2).sum(axis=1) + 1
        self.open = (m > 0)[:, None]
        return np.maximum(m, 0).sum()

    def backward(self, dloss):
        w = 2 * self.open * dloss
        if self.fault == "always open":
            w = 2 * np.ones_like(self.open) * dloss
        da, dp, dn = w * (self.n - self.p), w * (self.p - self.a), w * (self.a - self.n)
        if self.fault == "anchor's positive part":
            da = w * (self.a - self.p)
        if self.fault == "negative's sign":
            dn = -dn
        if self.fault == "negatives exchanged":
            dp, dn = dn, dp
        return da, dp, dn


class Divergence(Layer):
    """sum t (log t - x) with x log-probabilities."""

    def forward(self, x, t):
        self.x, self.t = x, t
        return (t * (np.log(t) - x)).sum() / len(x)

    def backward(self, dloss):
        dt = np.log(self.t) - self.x + (0 if self.fault == "one forgotten" else 1)
        dx = -np.exp(self.x) if self.fault == "probabilities" else -self.t
        return dx / len(dx) * dloss, dt / len(dx) * dloss


class Coupling(Layer):
    """An affine coupling: gives y and the log determinant of each row."""

    def setup(self, rng):
        self.params = {"w": rng.normal(size=(2, 2)), "v": rng.normal(size=(2, 2))}

    def forward(self, x):
        self.a, self.b = x[:, :2], x[:, 2:]
        self.s = np.tanh(self.a @ self.params["w"])
        y = np.concatenate([self.a, self.b * np.exp(self.s) + self.a @ self.params["v"]], axis=1)
        return y, self.s.sum(axis=1)

    def backward(self, dy, dlog):
        f = self.fault
        da, db = dy[:, :2], dy[:, 2:]
        ds = db * self.b * np.exp(self.s)
        if f != "determinant forgotten":
            ds = ds + dlog[:, None] * (-1 if f == "determinant's sign" else 1)
        if f == "determinant alone":
            ds = np.ones_like(ds) * dlog[:, None]
        dl = ds * (1 - self.s**2)
        self.grads = {"w": self.a.T @ dl, "v": self.a.T @ db}
        da = da + dl @ self.params["w"].T
        if f != "shift's path":
            da = da + db @ self.params["v"].T
        return np.concatenate([da, db if f == "scale forgotten" else db * np.exp(self.s)], axis=1)


class Planar(Layer):
    """z + u tanh(w z + b), and log |1 + u w slope|."""

    def setup(self, rng):
        self.params = {
            "u": 0.5 * rng.normal(size=3),
            "w": 0.5 * rng.normal(size=3),
            "b": np.array(0.3),
        }

    def forward(self, z):
        p = self.params
        self.z, self.t = z, np.tanh(z @ p["w"] + p["b"])
        self.k = 1 - self.t**2
        self.e = 1 + self.k * (p["u"] @ p["w"])
        return z + self.t[:, None] * p["u"], np.log(self.e)

    def backward(self, dy, dlog):
        p, f = self.params, self.fault
        uw = p["u"] @ p["w"]
        r = dlog / self.e
        da = (dy @ p["u"]) * self.k
        if f != "slope is constant":
            da = da + r * uw * (-2 * self.t * self.k)
        rk = (r * self.k).sum()
        self.grads = {
            "u": (dy * self.t[:, None]).sum(axis=0)
            + (0 if f == "u's determinant" else rk * p["w"]),
            "w": da @ self.z + rk * p["u"],
            "b": np.array(0.0 if f == "no bias" else da.sum()),
        }
        return dy + da[:, None] * p["w"]


class Mixing(Layer):
    """x w^T and log |det w|."""

    def setup(self, rng):
        self.params = {"w": rng.normal(size=(3, 3)) + 2 * np.eye(3)}

    def forward(self, x):
        self.x = x
        return x @ self.params["w"].T, np.log(np.linalg.det(self.params["w"]))

    def backward(self, dy, dlog):
        inverse = np.linalg.inv(self.params["w"])
        if self.fault != "inverse not transposed":
            inverse = inverse.T
        if self.fault == "determinant forgotten":
            inverse = 0 * inverse
        self.grads = {"w": dy.T @ self.x + dlog * inverse}
        return dy @ self.params["w"]


class Draw(Layer):
    """z = mu + exp(logvar / 2) eps and its log density."""

    def forward(self, mu, logvar, eps):
        self.noise = np.exp(logvar / 2) * eps
        return mu + self.noise, -0.5 * (logvar + eps**2).sum(axis=1)

    def backward(self, dz, dlog):
        half = 1 if self.fault == "half forgotten" else 0.5
        dlogvar = half * dz * self.noise
        if self.fault != "density forgotten":
            dlogvar = dlogvar - 0.5 * dlog[:, None]
        if self.fault == "noise of the row":
            dlogvar = 0.5 * dz * self.noise[:1] - 0.5 * dlog[:, None]
        return dz.copy(), dlogvar, None


def classes(rows, width, dtype="float64"):
    return lambda rng: (rng.normal(size=(rows, width)).astype(dtype), rng.integers(0, width, rows))


def shares(*shape):
    return lambda rng: (rng.uniform(0.1, 0.9, shape), rng.uniform(0.1, 0.9, shape))


CASES = [
    *cases_of(
        CrossEntropy,
        classes(6, 4),
        {
            "target alone": ("the softmax is missing in p - t", "term"),
            "softmax twice": ("the softmax's derivative is applied again", "other"),
            "sum": ("the mean is not divided", "scale"),
            "entries": ("divided by all entries", "scale"),
            "sign": ("the opposite sign", "sign"),
            "dloss ignored": ("the incoming gradient is ignored", "chain"),
        },
    ),
    *cases_of(
        CrossEntropy,
        classes(5, 3),
        {"hard targets": ("the smoothing is forgotten", "term")},
        smoothing=0.2,
    ),
    *cases_of(
        CrossEntropy,
        lambda rng: (rng.normal(size=(6, 3)), np.array([0, 1, 2, 0, 2, 1])),
        {
            "ignored rows learn": ("ignored rows get a gradient", "index or mask"),
            "all rows": ("divided by all rows", "scale"),
        },
        ignore=2,
    ),
    *cases_of(CrossEntropy, classes(4, 5, "float32"), note="float32"),
    *cases_of(
        Binary,
        lambda rng: (3 * rng.normal(size=(4, 3)), rng.uniform(size=(4, 3))),
        {
            "rows": ("divided by the rows alone", "scale"),
            "ones alone": ("the part for t = 0 is missing", "term"),
            "slope again": ("sigmoid's slope once too often", "chain"),
            "logit for probability": ("the logit for its sigmoid", "term"),
        },
    ),
    *cases_of(
        FromProbabilities,
        shares(3, 4),
        {
            "second sign": ("the second part has the wrong sign", "term"),
            "of logits": ("the gradient of the logits", "chain"),
        },
        constants=(1,),
    ),
    *cases_of(
        SquaredError,
        normal((4, 3), (4, 3)),
        {
            "no 2": ("the 2 is forgotten", "scale"),
            "no mean": ("not divided", "scale"),
            "dloss ignored": ("the incoming gradient is ignored", "chain"),
            "target's sign": ("the target's gradient has the wrong sign", "sign"),
        },
    ),
    *cases_of(
        Huber,
        normal((5, 4)),
        {
            "not limited": ("the linear part's gradient is not limited", "mask or chain"),
            "sign alone": ("the threshold is missing in the linear part", "chain or scale"),
            "one side": ("limited above, not below", "mask"),
        },
    ),
    *cases_of(
        Absolute,
        normal((4, 3)),
        {
            "no sign": ("1 where the sign belongs", "sign or mask"),
            "value": ("the value for its sign", "chain"),
        },
    ),
    *cases_of(
        Hinge,
        classes(5, 4),
        {
            "once for the right class": (
                "the right class counts once, not for each violation",
                "scale or index",
            ),
            "nothing for the right class": ("the right class gets nothing", "mask"),
            "no mean": ("not divided by the rows", "scale"),
        },
    ),
    *cases_of(
        Cosine,
        normal((4, 3), (4, 3)),
        {
            "norms are constant": ("the norms are treated as constants", "term"),
            "not squared": ("the norm is not squared", "term or scale"),
            "exchanged": ("the two gradients are exchanged", "swapped"),
        },
    ),
    *cases_of(
        GaussianNll,
        normal((4, 3), (4, 3), (4, 3)),
        {
            "half forgotten": ("the half is forgotten", "scale"),
            "one forgotten": ("log variance's own term is missing", "term"),
            "quadratic forgotten": ("the quadratic's path is missing", "term"),
            "not weighted": ("not divided by the variance", "chain"),
            "deviation": ("divided by the deviation", "chain"),
        },
    ),
    *cases_of(
        Poisson,
        lambda rng: (rng.normal(size=(4, 3)), rng.poisson(2.0, (4, 3))),
        {
            "counts forgotten": ("the counts are missing", "term"),
            "rate for log": ("x is taken for the rate", "other"),
        },
    ),
    *cases_of(
        Dice,
        lambda rng: (rng.uniform(0.1, 0.9, (3, 4)), (rng.uniform(size=(3, 4)) < 0.5) * 1.0),
        {
            "bottom is constant": ("the quotient's second term is missing", "term"),
            "not squared": ("the square of the bottom is forgotten", "scale"),
            "top is constant": ("the quotient's first term is missing", "term"),
        },
        constants=(1,),
    ),
    *cases_of(
        Focal,
        normal((4, 3)),
        {
            "weight is constant": ("the weight is treated as a constant", "term"),
            "no slope": ("sigmoid's slope is missing", "chain"),
        },
    ),
    *cases_of(
        Triplet,
        normal((6, 3), (6, 3), (6, 3)),
        {
            "always open": ("closed rows get a gradient", "mask or index"),
            "anchor's positive part": ("the anchor lacks the negative's part", "term"),
            "negative's sign": ("the opposite sign", "sign"),
            "negatives exchanged": ("positive and negative exchanged", "swapped"),
        },
    ),
    *cases_of(
        Divergence,
        shares(3, 4),
        {
            "one forgotten": ("the derivative of t log t lacks its 1", "term"),
            "probabilities": ("exp(x) for t", "chain"),
        },
    ),
    *cases_of(
        Coupling,
        normal((4, 4)),
        {
            "determinant forgotten": ("the determinant's path is missing", "term"),
            "determinant's sign": ("the determinant's path has the wrong sign", "scale or term"),
            "determinant alone": ("the scale's path through y is missing", "term"),
            "shift's path": ("the shift's path to the first half is missing", "term or index"),
            "scale forgotten": ("the second half is not multiplied", "index"),
        },
    ),
    *cases_of(
        Planar,
        normal((4, 3)),
        {
            "slope is constant": (
                "the slope inside the determinant is treated as a constant",
                "term",
            ),
            "u's determinant": ("u lacks the determinant's path", "term"),
            "no bias": ("the bias has no gradient", "zero"),
        },
    ),
    *cases_of(
        Mixing,
        normal((4, 3)),
        {
            "inverse not transposed": ("the inverse is not transposed", "axes"),
            "determinant forgotten": ("the determinant's path is missing", "term"),
        },
    ),
    *cases_of(
        Draw,
        normal((4, 3), (4, 3), (4, 3)),
        {
            "half forgotten": ("the half is forgotten", "scale"),
            "density forgotten": ("the density's path is missing", "term"),
            "noise of the row": ("the first row's noise for all", "index"),
        },
        constants=(2,),
    ),
]
