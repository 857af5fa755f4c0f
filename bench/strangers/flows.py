"""Samplers, divergences and bounds of VAEs, and flows with their log-determinants.

What a case is stands in the package.
"""

from __future__ import annotations

import numpy as np

from . import Case, Layer, family, normal


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class GaussianKL(Layer):
    """KL(N(mu, exp(logvar)) || N(0, 1)), one for each row."""

    def forward(self, mu, logvar):
        self.mu, self.var = mu, np.exp(logvar)
        if self.has("sigma in both"):
            self.var = np.exp(2 * logvar)
            return 0.5 * (mu**2 + self.var - 1 - 2 * logvar).sum(1)
        return 0.5 * (mu**2 + self.var - 1 - logvar).sum(1)

    def backward(self, dy):
        dmu, dlv = dy[:, None] * self.mu, dy[:, None] * 0.5 * (self.var - 1)
        if self.has("sigma in both"):
            dlv = 2 * dlv
        if self.has("no - 1"):
            dlv = dy[:, None] * 0.5 * self.var
        if self.has("no half"):
            dlv = 2 * dlv
        if self.has("sigma"):
            dlv = dy[:, None] * 0.5 * (np.sqrt(self.var) - 1)
        if self.has("of var"):
            dlv = dlv / self.var
        if self.has("1 - var"):
            dlv = -dlv
        if self.has("2 mu"):
            dmu = 2 * dmu
        return (dlv, dmu) if self.has("swapped") else (dmu, dlv)


class Sampler(Layer):
    """z = mu + exp(logvar / 2) eps, with eps given."""

    def forward(self, mu, logvar, eps):
        self.s = np.exp(0.5 * logvar) * eps
        self.sigma, self.eps = np.exp(0.5 * logvar), eps
        return mu + self.s

    def backward(self, dz):
        if self.has("no half"):
            return dz.copy(), dz * self.s, None
        if self.has("no eps"):
            return dz.copy(), 0.5 * dz * self.sigma, None
        if self.has("eps alone"):
            return dz.copy(), 0.5 * dz * self.eps, None
        if self.has("new eps"):
            eps = np.random.standard_normal(dz.shape)
            return dz.copy(), 0.5 * dz * self.sigma * eps, None
        if self.has("mu scaled"):
            return dz * self.sigma, 0.5 * dz * self.s, None
        if self.has("no dlogvar"):
            return dz.copy(), np.zeros_like(dz), None
        return dz.copy(), 0.5 * dz * self.s, None


class SamplerPlusKL(Layer):
    """The two ways by which mu and logvar meet the loss: z and the KL are both outputs."""

    def forward(self, mu, logvar, eps):
        self.mu, self.var, self.s = mu, np.exp(logvar), np.exp(logvar / 2) * eps
        return mu + self.s, 0.5 * np.sum(mu**2 + self.var - 1 - logvar)

    def backward(self, dz, dkl):
        if self.has("KL weight 1"):
            dkl = 1.0
        dmu, dlv = dz + dkl * self.mu, 0.5 * dz * self.s + 0.5 * dkl * (self.var - 1)
        if self.has("KL only"):
            dlv = 0.5 * dkl * (self.var - 1)
        if self.has("z only"):
            dmu = dz.copy()
        if self.has("adds into dz"):
            dz += dkl * self.mu
            dmu = dz
        return dmu, dlv, None


class TwoGaussians(Layer):
    """KL(N(m1, exp(l1)) || N(m2, exp(l2))), a sum."""

    def forward(self, m1, l1, m2, l2):
        self.d, self.r, self.v = m1 - m2, np.exp(l1 - l2), np.exp(-l2)
        return 0.5 * np.sum(l2 - l1 + self.r + self.d**2 * self.v - 1)

    def backward(self, dy):
        dm = dy * self.d * self.v
        dl1 = 0.5 * dy * (self.r - 1)
        dl2 = 0.5 * dy * (1 - self.r - (0 if self.has("no distance") else self.d**2 * self.v))
        if self.has("l2 is -l1"):
            dl2 = -dl1
        return (
            (dm / self.v if self.has("precision") else dm),
            dl1,
            dm if self.has("m2") else -dm,
            dl2,
        )


class GaussianNLL(Layer):
    """Of data x at mean and log-variance, with one shared extra log-scale without axes."""

    def setup(self, rng):
        self.params, self.grads = {"c": np.array(0.1)}, {}

    def forward(self, mu, logvar, x):
        self.d, self.w = mu - x, np.exp(-logvar - self.params["c"])
        return 0.5 * (logvar + self.params["c"] + self.d**2 * self.w).sum(1)

    def backward(self, dy):
        dy = dy[:, None]
        dlv = 0.5 * dy * (1 - self.d**2 * self.w)
        if self.has("no log"):
            dlv = -0.5 * dy * self.d**2 * self.w
        self.grads["c"] = np.array(dlv.mean() if self.has("c mean") else dlv.sum())
        if self.has("c of 1"):
            self.grads["c"] = dlv.sum(keepdims=True).ravel()
        return (-1 if self.has("x - mu") else 1) * dy * self.d * self.w, dlv, None


class IWAE(Layer):
    """Minus the log of the mean importance weight over K draws, (N, K) to (N,)."""

    def forward(self, logw):
        self.logw, m = logw, logw.max(1)
        return -(m + np.log(np.exp(logw - m[:, None]).mean(1)))

    def backward(self, dy):
        w = softmax(-self.logw if self.has("of -log w") else self.logw)
        if self.has("uniform"):
            w = np.full_like(w, 1 / w.shape[1])
        if self.has("over the batch"):
            w = softmax(self.logw.T).T
        if self.has("sum"):
            w = w * w.shape[1]
        return -w * dy[:, None]


class PlanarFlow(Layer):
    """z + u tanh(w z + b), and its log-determinant log |1 + u w tanh'|."""

    def setup(self, rng):
        self.params = {"u": 0.4 * rng.standard_normal(3), "w": rng.standard_normal(3)}
        self.params["b"], self.grads = np.array(0.3), {}

    def forward(self, z):
        u, w, self.z = self.params["u"], self.params["w"], z
        self.t = np.tanh(z @ w + self.params["b"])
        self.h = 1 - self.t**2
        self.det = 1 + self.h * (u @ w)
        return z + self.t[:, None] * u, np.log(np.abs(self.det))

    def backward(self, dy, dlog):
        u, w = self.params["u"], self.params["w"]
        if self.has("log ignored"):
            dlog = 0 * dlog
        ddet = dlog if self.has("not divided") else dlog / self.det
        second = 0 if self.has("tanh'' forgotten") else -2 * self.t * self.h
        da = (dy @ u) * self.h + ddet * (u @ w) * second
        self.grads["u"] = dy.T @ self.t + np.sum(ddet * self.h) * w
        self.grads["w"] = self.z.T @ da + (0 if self.has("w once") else np.sum(ddet * self.h) * u)
        self.grads["b"] = da[0] if self.has("b of row 0") else np.sum(da)
        return dy + da[:, None] * w


class Coupling(Layer):
    """RealNVP: the second half is scaled and shifted by functions of the first; and its log-det."""

    def setup(self, rng):
        self.A, self.B = rng.standard_normal((2, 2)), rng.standard_normal((2, 2))

    def forward(self, x):
        self.a, self.b = x[:, :2], x[:, 2:]
        self.s = np.tanh(self.a @ self.A.T)
        y = np.concatenate([self.a, self.b * np.exp(self.s) + self.a @ self.B.T], 1)
        return y, self.s.sum(1)

    def backward(self, dy, dlog):
        d1, d2 = dy[:, :2], dy[:, 2:]
        ds = d2 * np.exp(self.s) * (1 if self.has("b forgotten") else self.b)
        ds = ds if self.has("log ignored") else ds + dlog[:, None]
        dpre = ds if self.has("tanh") else ds * (1 - self.s**2)
        self.dA, self.dB = dpre.T @ self.a, d2.T @ self.a
        da = dpre @ self.A + d2 @ self.B
        da = da if self.has("first half") else da + d1
        db = d2 * np.exp(-self.s if self.has("inverse") else self.s)
        return np.concatenate([db, da] if self.has("halves") else [da, db], 1)


class GumbelSoftmax(Layer):
    """softmax((logits + g) / 0.7) with the noise given."""

    def forward(self, logits, g):
        self.y = softmax((logits + g) / 0.7)
        return self.y

    def backward(self, dy):
        dx = self.y * (dy - (dy * self.y).sum(-1, keepdims=True))
        if self.has("hard"):
            dx = dx * (self.y == self.y.max(-1, keepdims=True))
        return (dx if self.has("temperature") else dx / 0.7), None


two, three = normal((3, 4), (3, 4)), normal((3, 4), (3, 4), (3, 4))
CASES: list[Case] = [
    *family("Gaussian KL", GaussianKL, two, {
        "no - 1": ("the - 1 forgotten", "term"),
        "no half": ("the half forgotten", "scale"),
        "sigma": ("sigma for the variance", "chain or other"),
        "of var": ("by the variance, not its log", "chain"),
        "1 - var": ("dlogvar has the wrong sign", "sign"),
        "2 mu": ("dmu twice too large", "scale"),
        "swapped": ("dmu and dlogvar swapped", "swapped"),
        "sigma in both": ("sigma = exp(logvar), in forward and backward alike", "other",
                          "the gradient is that of the forward, which is the wrong function"),
    }, {"at 0": lambda rng: (np.zeros((2, 3)), np.zeros((2, 3))),
        "tiny variance": lambda rng: (two(rng)[0], two(rng)[1] - 12)}),
    *family("sampler", Sampler, three, {
        "no half": ("the half of logvar / 2 forgotten", "scale"),
        "no eps": ("dlogvar without eps", "chain"),
        "eps alone": ("dlogvar without sigma", "chain"),
        "new eps": ("eps drawn again in backward", "random"),
        "mu scaled": ("dmu times sigma", "chain or scale"),
        "no dlogvar": ("dlogvar is 0", "zero"),
    }, constants=(2,)),
    *family("sampler and KL", SamplerPlusKL, three, {
        "KL weight 1": ("the KL's own gradient taken for 1", "chain"),
        "KL only": ("dlogvar without the way through z", "term"),
        "z only": ("dmu without the KL", "term"),
        "adds into dz": ("adds into dz, which its caller still needs", "aliasing"),
    }, constants=(2,)),
    *family("KL of two Gaussians", TwoGaussians, normal((3, 2), (3, 2), (3, 2), (3, 2)), {
        "no distance": ("dl2 without the means' distance", "term"),
        "l2 is -l1": ("dl2 taken for -dl1", "term"),
        "precision": ("dm1 without the precision", "chain or scale"),
        "m2": ("dm2 with the wrong sign", "sign"),
    }),
    *family("Gaussian NLL", GaussianNLL, three, {
        "no log": ("dlogvar without the normaliser", "term"),
        "c mean": ("dc a mean", "scale"),
        "c of 1": ("dc of shape (1,) for a number", "shape"),
        "x - mu": ("dmu with the wrong sign", "sign"),
    }, constants=(2,)),
    *family("IWAE", IWAE, normal((3, 5)), {
        "of -log w": ("the weights a softmax of the loss, not of minus it", "sign or other"),
        "uniform": ("all draws weighted alike", "chain or other"),
        "over the batch": ("normalised over the batch", "sum"),
        "sum": ("the weights sum to K", "scale"),
    }, {"one draw": normal((3, 1)), "at -5000": normal((3, 5), shift=-5e3, scale=3)}),
    *family("planar flow", PlanarFlow, normal((4, 3)), {
        "log ignored": ("the log-determinant's gradient is ignored", "chain or term"),
        "not divided": ("the log's 1 / det forgotten", "chain"),
        "tanh'' forgotten": ("the determinant's way through tanh' is missing", "term"),
        "w once": ("dw without the determinant's u w", "term"),
        "b of row 0": ("db of the first row alone", "sum or index"),
    }),
    *family("coupling", Coupling, normal((4, 4)), {
        "b forgotten": ("the scale's gradient without b", "chain"),
        "log ignored": ("the log-determinant's gradient is ignored", "chain or term"),
        "tanh": ("tanh's derivative forgotten", "chain"),
        "first half": ("the first half's direct way is missing", "term"),
        "inverse": ("db by exp(-s)", "sign or chain"),
        "halves": ("the two halves joined in the wrong order", "swapped or axes"),
    }),
    *family("Gumbel softmax", GumbelSoftmax, two, {
        "hard": ("only the winner has a gradient", "mask"),
        "temperature": ("not divided by the temperature", "scale"),
    }, constants=(1,)),
]  # fmt: skip
