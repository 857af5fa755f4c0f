"""Layers of newer papers: gates and routes, sparse softmaxes, splines, tables, graphs, sequences.

Those of science and signals are in science.py.
"""

from __future__ import annotations

import numpy as np

from .faulty import Layer, cases_of, normal


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def soft_back(p, dp, axis=-1):
    return p * (dp - (p * dp).sum(axis=axis, keepdims=True))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Biased(Layer):
    """Attention with a learned bias for each distance, keys past the length masked by -inf."""

    def setup(self, rng):
        self.params = {"bias": rng.normal(size=(2, 5))}

    def forward(self, q, k, v, keep):
        self.q, self.k, self.v, self.keep = q, k, v, keep
        n, m = q.shape[1], k.shape[1]
        self.far = np.clip(np.arange(m)[None] - np.arange(n)[:, None], -2, 2) + 2
        s = np.einsum("hnd,hmd->hnm", q, k) / q.shape[2] ** 0.5 + self.params["bias"][:, self.far]
        self.s, self.p = s, softmax(np.where(keep[None, None] > 0, s, -np.inf))
        return self.p @ v

    def backward(self, dy):
        f, p = self.fault, self.p
        ds = soft_back(p, dy @ self.v.swapaxes(1, 2))
        if f == "not masked in backward":
            ds = soft_back(softmax(self.s), dy @ self.v.swapaxes(1, 2))
        bias = np.zeros_like(self.params["bias"])
        if f == "repeated distances overwrite":
            bias[:, self.far] = ds
        else:
            np.add.at(bias, (slice(None), self.far), ds)
        self.grads = {"bias": bias}
        root = 1.0 if f == "scale forgotten for k" else self.q.shape[2] ** 0.5
        dk = ds.swapaxes(1, 2) @ self.q / root
        dq = ds @ self.k / self.q.shape[2] ** 0.5
        return dq, dk, p.swapaxes(1, 2) @ dy, None


class GruSequence(Layer):
    """A GRU over time, the candidate's reset before the product; a first state is an input."""

    def setup(self, rng):
        self.params = {n: 0.6 * rng.normal(size=(5, 3)) for n in ("wz", "wr", "wn")}

    def forward(self, x, h):
        self.kept, p = [], self.params
        self.h0 = h
        for step in range(x.shape[1]):
            a = np.concatenate([x[:, step], h], axis=1)
            z, r = sigmoid(a @ p["wz"]), sigmoid(a @ p["wr"])
            b = np.concatenate([x[:, step], r * h], axis=1)
            n = np.tanh(b @ p["wn"])
            self.kept.append((a, b, z, r, n, h))
            h = (1 - z) * n + z * h
        return h

    def backward(self, dh):
        f, p = self.fault, self.params
        g = {n: np.zeros_like(one) for n, one in p.items()}
        dx = []
        for a, b, z, r, n, h in reversed(self.kept):
            dn = dh * (1 - z) * (1 - n * n)
            dz = dh * (h - n) * z * (1 - z)
            if f == "z and 1 - z exchanged":
                dz = -dz
            db = dn @ p["wn"].T
            dr = db[:, 2:] * h * r * (1 - r)
            g["wn"] += (a if f == "unreset state for wn" else b).T @ dn
            g["wz"] += a.T @ dz
            if f == "the last step alone trains wr":
                g["wr"] = a.T @ dr
            else:
                g["wr"] += a.T @ dr
            da = dz @ p["wz"].T + dr @ p["wr"].T
            dx.append(da[:, :2] + db[:, :2])
            before = dh * z + da[:, 2:]
            if f != "path through the reset state lost":
                before = before + db[:, 2:] * r
            dh = before
        self.grads = g
        dx = dx if f == "times in the order of backward" else dx[::-1]
        return np.stack(dx, axis=1), dh


class Peephole(Layer):
    """One LSTM cell whose gates look at the memory."""

    def setup(self, rng):
        self.params = {"w": rng.normal(size=(3, 8)), "peep": rng.normal(size=(3, 2))}

    def forward(self, x, c):
        a, p = x @ self.params["w"], self.params["peep"]
        self.x, self.c = x, c
        self.i, self.f = sigmoid(a[:, :2] + p[0] * c), sigmoid(a[:, 2:4] + p[1] * c)
        self.g = np.tanh(a[:, 4:6])
        self.c2 = self.f * c + self.i * self.g
        self.o = sigmoid(a[:, 6:] + p[2] * self.c2)
        self.t = np.tanh(self.c2)
        return self.o * self.t, self.c2

    def backward(self, dh, dc2):
        p = self.params["peep"]
        do = dh * self.t * self.o * (1 - self.o)
        dc2 = dc2 + dh * self.o * (1 - self.t**2)
        if self.fault != "output peephole forgotten in dc":
            dc2 = dc2 + do * p[2]
        di = dc2 * self.g * self.i * (1 - self.i)
        df = dc2 * self.c * self.f * (1 - self.f)
        dg = dc2 * self.i * (1 - self.g**2)
        old = self.c if self.fault == "old memory for the output peephole" else self.c2
        self.grads = {
            "w": self.x.T @ np.hstack([di, df, dg, do]),
            "peep": np.stack([(di * self.c).sum(0), (df * self.c).sum(0), (do * old).sum(0)]),
        }
        if self.fault == "gates in another order":
            self.grads["w"] = self.x.T @ np.hstack([df, di, dg, do])
        dx = np.hstack([di, df, dg, do]) @ self.params["w"].T
        return dx, dc2 * self.f + di * p[0] + df * p[1]


class Sparsemax(Layer):
    """The projection of each row to the simplex."""

    def forward(self, x):
        top = np.sort(x, axis=1)[:, ::-1]
        total = np.cumsum(top, axis=1)
        k = np.arange(1, x.shape[1] + 1)
        count = (1 + k * top > total).sum(axis=1)
        tau = (total[np.arange(len(x)), count - 1] - 1) / count
        self.y = np.maximum(x - tau[:, None], 0)
        return self.y

    def backward(self, dy):
        on = self.y > 0
        if self.fault == "mean over all":
            return on * (dy - dy.mean(axis=1, keepdims=True))
        if self.fault == "support ignored":
            return dy - dy.mean(axis=1, keepdims=True)
        if self.fault == "tau held":
            return on * dy
        return on * (dy - (dy * on).sum(axis=1, keepdims=True) / on.sum(axis=1, keepdims=True))


class Mixture(Layer):
    """Experts of one product each, mixed by a softmax gate."""

    def setup(self, rng):
        self.gate, self.experts = rng.normal(size=(4, 3)), rng.normal(size=(3, 4, 2))

    def __call__(self, x):
        self.x = x
        self.p = softmax(x @ self.gate)
        self.each = np.einsum("bi,eio->beo", x, self.experts)
        return np.einsum("be,beo->bo", self.p, self.each)

    def backward(self, dy):
        dp = np.einsum("bo,beo->be", dy, self.each)
        ds = soft_back(self.p, dp)
        if self.fault == "the gate's softmax without its sum":
            ds = self.p * dp
        weighed = np.einsum("be,bo->beo", self.p, dy)
        if self.fault == "experts not weighed":
            weighed = np.repeat(dy[:, None], 3, axis=1)
        self.dgate = self.x.T @ ds
        self.dexperts = np.einsum("bi,beo->eio", self.x, weighed)
        dx = np.einsum("beo,eio->bi", weighed, self.experts)
        return dx if self.fault == "x through the experts alone" else dx + ds @ self.gate.T

    forward = __call__


class Machine(Layer):
    """A factorisation machine: linear, and the products of pairs through factors."""

    def setup(self, rng):
        self.params = {"w0": np.array(0.3), "w": rng.normal(size=5), "v": rng.normal(size=(5, 3))}

    def forward(self, x):
        self.x, p = x, self.params
        self.s = x @ p["v"]
        return p["w0"] + x @ p["w"] + 0.5 * (self.s**2 - x**2 @ p["v"] ** 2).sum(axis=1)

    def backward(self, dy):
        x, v = self.x, self.params["v"]
        d = dy[:, None]
        own = 0.5 if self.fault == "own square halved" else 1.0
        dv = (d * x).T @ self.s
        if self.fault != "own square forgotten in dv":
            dv = dv - own * v * (x**2 * d).sum(axis=0)[:, None]
        self.grads = {"w0": np.array(dy.sum()), "w": dy @ x, "v": dv}
        if self.fault == "w0 by the mean":
            self.grads["w0"] = np.array(dy.mean())
        return d * (self.params["w"] + self.s @ v.T - x * (v**2).sum(axis=1))


class Cross(Layer):
    """A layer of the deep and cross network: x0 (x w) + b + x."""

    def setup(self, rng):
        self.params = {"w": rng.normal(size=4), "b": rng.normal(size=4)}

    def forward(self, x0, x):
        self.x0, self.x = x0, x
        self.s = x @ self.params["w"]
        return x0 * self.s[:, None] + self.params["b"] + x

    def backward(self, dy):
        ds = (dy * self.x0).sum(axis=1)
        self.grads = {"w": ds @ self.x, "b": dy.sum(axis=0)}
        if self.fault == "x0 for x in dw":
            self.grads["w"] = ds @ self.x0
        dx = np.outer(ds, self.params["w"])
        if self.fault != "skip lost":
            dx = dx + dy
        dx0 = dy if self.fault == "x0 not scaled" else dy * self.s[:, None]
        return dx0.copy(), dx


class Graph(Layer):
    """A graph convolution: means over neighbours and oneself, a product, tanh."""

    def setup(self, rng):
        self.params = {"w": rng.normal(size=(3, 2))}
        a = np.eye(5)
        a[[0, 0, 1, 1, 2, 2, 2, 3, 4, 4], [1, 4, 0, 2, 1, 3, 4, 2, 0, 2]] = 1
        self.walk = a / a.sum(axis=1)[:, None]

    def forward(self, x):
        self.h = self.walk @ x
        self.y = np.tanh(self.h @ self.params["w"])
        return self.y.copy()

    def backward(self, dy):
        d = dy if self.fault == "slope forgotten" else dy * (1 - self.y**2)
        self.grads = {"w": self.h.T @ d}
        a = self.walk if self.fault == "adjacency not transposed" else self.walk.T
        if self.fault == "self loops alone":
            a = np.diag(np.diag(a))
        return a @ (d @ self.params["w"].T)


class EdgeAttention(Layer):
    """Attention of edges: leaky scores, a softmax over the edges into each node."""

    def setup(self, rng):
        self.params = {"a": rng.normal(size=3), "b": rng.normal(size=3)}
        self.source, self.target = np.array([0, 1, 2, 3, 0, 2, 1]), np.array([1, 1, 1, 0, 0, 2, 3])

    def forward(self, h):
        self.h = h
        s, t = self.source, self.target
        self.z = h[s] @ self.params["a"] + h[t] @ self.params["b"]
        e = np.exp(np.where(self.z > 0, self.z, 0.2 * self.z))
        total = np.zeros(len(h))
        np.add.at(total, t, e)
        self.p = e / total[t]
        y = np.zeros_like(h)
        np.add.at(y, t, self.p[:, None] * h[s])
        return y

    def backward(self, dy):
        h, s, t = self.h, self.source, self.target
        dp = (dy[t] * h[s]).sum(axis=1)
        mean = np.zeros(len(h))
        np.add.at(mean, t, self.p * dp)
        if self.fault == "softmax over all edges":
            dz = self.p * (dp - (self.p * dp).sum())
        else:
            dz = self.p * (dp - mean[t])
        if self.fault != "leak forgotten":
            dz = dz * np.where(self.z > 0, 1, 0.2)
        dh = np.zeros_like(h)
        if self.fault == "messages overwrite":
            dh[s] = self.p[:, None] * dy[t]
        else:
            np.add.at(dh, s, self.p[:, None] * dy[t])
        np.add.at(dh, s, dz[:, None] * self.params["a"])
        if self.fault != "targets' scores forgotten":
            np.add.at(dh, t, dz[:, None] * self.params["b"])
        self.grads = {"a": dz @ h[s], "b": dz @ h[t]}
        return dh


class LinearSpline(Layer):
    """A monotone piecewise linear map of [0, 1], the bins' masses a softmax; with log slope."""

    def setup(self, rng):
        self.params = {"u": rng.normal(size=5)}

    def forward(self, x):
        self.p = softmax(self.params["u"])
        self.k = np.clip((x * 5).astype(int), 0, 4)
        self.inside = x * 5 - self.k
        before = np.concatenate([[0], np.cumsum(self.p)[:-1]])
        return before[self.k] + self.inside * self.p[self.k], np.log(5 * self.p[self.k]).sum()

    def backward(self, dy, dlog):
        f, k = self.fault, self.k
        dp = np.zeros(5)
        np.add.at(dp, k.ravel(), (dy * self.inside).ravel())
        if f != "masses before it forgotten":
            per = np.zeros(5)
            np.add.at(per, k.ravel(), dy.ravel())
            dp += np.concatenate([np.cumsum(per[::-1])[::-1][1:], [0]])
        if f != "log slope forgotten":
            np.add.at(dp, k.ravel(), dlog / self.p[k].ravel())
        self.grads = {"u": self.p * dp if f == "softmax without its sum" else soft_back(self.p, dp)}
        return dy * self.p[k] * (1 if f == "bin width" else 5)


class ActNorm(Layer):
    """Scale and shift of each channel with the log determinant of the picture."""

    def setup(self, rng):
        self.params = {"logs": 0.3 * rng.normal(size=(3, 1, 1)), "b": rng.normal(size=(3, 1, 1))}

    def forward(self, x):
        self.x = x
        logs = self.params["logs"]
        return (x + self.params["b"]) * np.exp(logs), x.shape[2] * x.shape[
            3
        ] * logs.sum() * np.ones(len(x))

    def backward(self, dy, ddet):
        s = np.exp(self.params["logs"])
        area = self.x.shape[2] * self.x.shape[3]
        if self.fault == "area forgotten":
            area = 1
        logs = (dy * (self.x + self.params["b"]) * s).sum(axis=(0, 2, 3)).reshape(3, 1, 1)
        if self.fault == "shift outside":
            logs = (dy * self.x * s).sum(axis=(0, 2, 3)).reshape(3, 1, 1)
        logs = logs + (0 if self.fault == "determinant forgotten" else area * ddet.sum())
        self.grads = {"logs": logs, "b": (dy * s).sum(axis=(0, 2, 3)).reshape(3, 1, 1)}
        return dy / s if self.fault == "inverse" else dy * s


class Smoothed(Layer):
    """Cross entropy with labels smoothed, classes weighed; the mean by the weights."""

    def forward(self, z, t):
        self.w = np.array([1, 2, 0.5, 1.5])
        self.p, self.t = softmax(z), t
        n = np.arange(len(t))
        self.soft = np.full(z.shape, 0.1 / 4)
        self.soft[n, t] += 0.9
        logp = np.log(self.p)
        return -(self.w[t] * (self.soft * logp).sum(axis=1)).sum() / self.w[t].sum()

    def backward(self, dy):
        w = self.w[self.t]
        soft = self.soft
        if self.fault == "hard labels in backward":
            soft = np.eye(4)[self.t]
        if self.fault == "smoothing mass missing":
            soft = 0.9 * np.eye(4)[self.t]
        d = (self.p - soft) * w[:, None]
        if self.fault == "weights ignored":
            d, w = self.p - soft, np.ones(len(w))
        total = len(w) if self.fault == "divided by the batch" else w.sum()
        return dy * d / total, None


class Distilled(Layer):
    """T^2 KL(teacher || student) at temperature T, both given as logits; the teacher is data."""

    def forward(self, z, teacher):
        self.p, self.q = softmax(z / 3), softmax(teacher / 3)
        return 9 * (self.q * (np.log(self.q) - np.log(self.p))).sum() / len(z)

    def backward(self, dy):
        d = dy * 3 * (self.p - self.q) / len(self.p)
        if self.fault == "temperature squared":
            d = d * 3
        if self.fault == "roles exchanged":
            d = dy * 3 * (self.q - self.p) / len(self.p)
        if self.fault == "columns for rows":
            d = d * len(self.p) / self.p.shape[1]
        return d, None


class ArcMargin(Layer):
    """Cosines of normalised rows and classes, the margin added to the class's own angle."""

    def setup(self, rng):
        self.params = {"w": rng.normal(size=(3, 4))}

    def forward(self, x, t):
        self.x, self.t, w = x, t, self.params["w"]
        self.nx, self.nw = np.linalg.norm(x, axis=1)[:, None], np.linalg.norm(w, axis=1)[:, None]
        self.u, self.v = x / self.nx, w / self.nw
        self.c = self.u @ self.v.T
        self.hot = np.eye(3)[t] > 0
        return np.where(self.hot, np.cos(np.arccos(self.c) + 0.3), self.c)

    def backward(self, dy):
        f, s = self.fault, np.sqrt(1 - self.c**2)
        slope = np.sin(np.arccos(self.c) + 0.3) / s
        dc = dy if f == "margin's slope forgotten" else dy * np.where(self.hot, slope, 1)
        du, dv = dc @ self.v, dc.T @ self.u
        dw = (dv - self.v * (dv * self.v).sum(axis=1)[:, None]) / self.nw
        dx = (du - self.u * (du * self.u).sum(axis=1)[:, None]) / self.nx
        if f == "norm of w held":
            dw = dv / self.nw
        if f == "norm of x missing":
            dx = dx * self.nx
        self.grads = {"w": dw}
        return dx, None


class Siamese(Layer):
    """Two rows through one weight, their distance under a margin unless they are alike."""

    def setup(self, rng):
        self.params = {"w": rng.normal(size=(4, 3))}

    def forward(self, a, b, alike):
        self.a, self.b, self.alike = a, b, alike
        self.d = (a - b) @ self.params["w"]
        self.r = np.linalg.norm(self.d, axis=1)
        self.gap = np.maximum(3 - self.r, 0)
        return np.where(alike > 0, self.r**2, self.gap**2).mean()

    def backward(self, dy):
        apart = -2 * self.gap / self.r
        if self.fault == "distance not divided by":
            apart = -2 * self.gap
        d = np.where(self.alike > 0, 2, apart)[:, None] * self.d * dy / len(self.d)
        if self.fault == "margin without effect":
            d = (
                np.where(self.alike > 0, 2, -2 * (3 - self.r) / self.r)[:, None]
                * self.d
                * dy
                / len(self.d)
            )
        self.grads = {"w": (self.a - self.b).T @ d}
        if self.fault == "second branch of the weight forgotten":
            self.grads = {"w": self.a.T @ d}
        da = d @ self.params["w"].T
        return da, da.copy() if self.fault == "second input's sign" else -da, None


class Tied(Layer):
    """An autoencoder of one weight, used transposed on the way out."""

    def setup(self, rng):
        self.W = rng.normal(size=(5, 3))

    def forward(self, x):
        self.x = x
        self.h = np.tanh(x @ self.W)
        return self.h @ self.W.T

    def backward(self, dy):
        dh = (dy @ self.W) * (1 - self.h**2)
        self.dW = self.x.T @ dh + dy.T @ self.h
        if self.fault == "decoder's use forgotten":
            self.dW = self.x.T @ dh
        if self.fault == "encoder's use forgotten":
            self.dW = dy.T @ self.h
        if self.fault == "means of the two uses":
            self.dW = (self.x.T @ dh + dy.T @ self.h) / 2
        return dh @ self.W.T


class Gumbel(Layer):
    """A relaxed draw of a class, with a learned temperature of no axes; noise is data."""

    def setup(self, rng):
        self.params = {"tau": np.array(0.8)}

    def forward(self, logits, noise):
        self.z = logits + noise
        self.y = softmax(self.z / self.params["tau"])
        return self.y

    def backward(self, dy):
        tau = self.params["tau"]
        ds = soft_back(self.y, dy)
        dtau = -(ds * self.z).sum() / tau**2
        if self.fault == "tau not squared":
            dtau = dtau * tau
        if self.fault == "tau's sign":
            dtau = -dtau
        self.grads = {"tau": np.array(dtau)}
        return ds if self.fault == "tau missing" else ds / tau, None


class MeanBag(Layer):
    """Means of weighed embeddings; id 0 is padding and counts for nothing."""

    def setup(self, rng):
        self.table = rng.normal(size=(6, 3))

    def forward(self, ids, w):
        self.ids, self.w, self.on = ids, w, (ids > 0)[..., None]
        self.count = np.maximum(self.on.sum(axis=1), 1)
        return (self.on * w[..., None] * self.table[ids]).sum(axis=1) / self.count

    def backward(self, dy):
        d = (dy / self.count)[:, None] * self.on
        if self.fault == "padding trained":
            d = np.broadcast_to((dy / self.count)[:, None], d.shape)
        if self.fault == "count of all":
            d = (dy / self.ids.shape[1])[:, None] * self.on
        self.dtable = np.zeros_like(self.table)
        rows = d * self.w[..., None]
        if self.fault == "ids met twice once":
            self.dtable[self.ids] = rows
        else:
            np.add.at(self.dtable, self.ids, rows)
        return None, (d * self.table[self.ids]).sum(axis=2)


class Squash(Layer):
    """Capsules: vectors shortened below 1."""

    def forward(self, x):
        self.x = x
        self.n2 = (x**2).sum(axis=-1, keepdims=True)
        return x * np.sqrt(self.n2) / (1 + self.n2)

    def backward(self, dy):
        n = np.sqrt(self.n2)
        g = n / (1 + self.n2)
        slope = (1 / (2 * n) * (1 + self.n2) - n) / (1 + self.n2) ** 2
        dot = (dy * self.x).sum(axis=-1, keepdims=True)
        if self.fault == "length held":
            return g * dy
        if self.fault == "half the path of the length":
            return g * dy + dot * slope * self.x
        return g * dy + 2 * dot * slope * self.x


class HalfNorm(Layer):
    """Root mean square norm in float16, its sums in float32."""

    def setup(self, rng):
        self.params = {"g": rng.uniform(0.5, 1.5, 8).astype(np.float16)}

    def forward(self, x):
        self.x = x.astype(np.float32) if x.dtype == np.float16 else x
        self.r = 1 / np.sqrt((self.x**2).mean(axis=1, keepdims=True) + 1e-3)
        return (self.x * self.r * self.params["g"]).astype(x.dtype)

    def backward(self, dy):
        g = self.params["g"]
        d = dy.astype(self.x.dtype) * g
        n = self.x * self.r
        self.grads = {"g": (dy * n).sum(axis=0).astype(g.dtype)}
        dx = self.r * (d - n * (d * n).mean(axis=1, keepdims=True))
        if self.fault == "the mean is a sum":
            dx = self.r * (d - n * (d * n).sum(axis=1, keepdims=True))
        if self.fault == "gain's gradient without the norm":
            self.grads = {"g": (dy * self.x).sum(axis=0).astype(g.dtype)}
        return dx.astype(dy.dtype)


class Standardised(Layer):
    """A product whose weight's columns are standardised first."""

    def setup(self, rng):
        self.params = {"w": rng.normal(1, 2, (5, 3))}

    def forward(self, x):
        w = self.params["w"]
        self.x, self.s = x, w.std(axis=0)
        self.n = (w - w.mean(axis=0)) / self.s
        return x @ self.n

    def backward(self, dy):
        d = self.x.T @ dy
        dw = (d - d.mean(axis=0) - self.n * (d * self.n).mean(axis=0)) / self.s
        if self.fault == "mean held":
            dw = (d - self.n * (d * self.n).mean(axis=0)) / self.s
        if self.fault == "deviation held":
            dw = (d - d.mean(axis=0)) / self.s
        if self.fault == "variance for deviation":
            dw = dw / self.s
        self.grads = {"w": dw}
        return dy @ (self.params["w"] if self.fault == "raw weight for dx" else self.n).T


def heads(rng):
    keep = np.array([1, 1, 0, 1, 1])
    return rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 5, 2)), keep


def labelled(shape, classes):
    return lambda rng: (rng.normal(size=shape), rng.integers(0, classes, shape[0]))


def pairs(rng):
    return rng.normal(size=(6, 4)), rng.normal(size=(6, 4)), np.array([1, 0, 0, 1, 0, 0])


CASES = [
    *cases_of(Biased, heads, {
        "not masked in backward": ("backward's softmax counts the masked keys", "mask or other"),
        "repeated distances overwrite": ("fancy assignment where sums belong", "index"),
        "scale forgotten for k": ("dk lacks 1 / sqrt d", "scale"),
    }, constants=(3,)),
    *cases_of(GruSequence, normal((3, 4, 2), (3, 3)), {
        "z and 1 - z exchanged": ("dz has the other sign", "sign"),
        "unreset state for wn": ("wn's gradient takes h, not r h", "chain or other"),
        "the last step alone trains wr": ("assigned instead of added over time", "term or index"),
        "path through the reset state lost": ("h misses r db", "term"),
        "times in the order of backward": ("dx is not turned back", "index or axes"),
    }),
    *cases_of(Peephole, normal((4, 3), (4, 2)), {
        "output peephole forgotten in dc": ("a path to c is missing", "term"),
        "old memory for the output peephole": ("c where c2 belongs", "chain or other"),
        "gates in another order": ("i and f exchanged in dw", "index or swapped"),
    }),
    *cases_of(Sparsemax, normal((4, 5), scale=0.7), {
        "mean over all": ("the mean is over the whole row", "scale or sum or mask"),
        "support ignored": ("zeros pass gradients", "mask or term"),
        "tau held": ("the threshold is taken for a constant", "term"),
    }),
    *cases_of(Mixture, normal((4, 4)), {
        "the gate's softmax without its sum": ("p dp alone", "term"),
        "experts not weighed": ("p is missing in the experts' gradient", "scale or chain"),
        "x through the experts alone": ("the gate's path to x is missing", "term"),
    }),
    *cases_of(Machine, normal((6, 5)), {
        "own square halved": ("the factor 2 of the square is lost", "scale or term"),
        "own square forgotten in dv": ("the term of the own square is lost", "term"),
        "w0 by the mean": ("divided by the batch", "scale"),
    }),
    *cases_of(Cross, normal((5, 4), (5, 4)), {
        "x0 for x in dw": ("the wrong input", "other or swapped or chain"),
        "skip lost": ("dx lacks dy", "term"),
        "x0 not scaled": ("dx0 is dy", "scale or chain"),
    }),
    *cases_of(Graph, normal((5, 3)), {
        "adjacency not transposed": ("A where its transpose belongs", "axes"),
        "self loops alone": ("neighbours send nothing back", "term or index or mask"),
        "slope forgotten": ("tanh's slope is missing", "chain"),
    }),
    *cases_of(EdgeAttention, normal((4, 3)), {
        "softmax over all edges": ("the sum runs over all edges", "sum"),
        "leak forgotten": ("negative scores pass whole", "mask or chain"),
        "messages overwrite": ("assigned where sums belong", "index"),
        "targets' scores forgotten": ("one of two paths is missing", "term"),
    }),
    *cases_of(LinearSpline, lambda rng: (rng.uniform(0.02, 0.98, (7, 2)),), {
        "masses before it forgotten": ("only the own bin is trained", "term or sum or index"),
        "log slope forgotten": ("the second output is ignored", "term"),
        "softmax without its sum": ("p dp alone", "term"),
        "bin width": ("dx lacks the number of bins", "scale"),
    }),
    *cases_of(ActNorm, normal((2, 3, 2, 2)), {
        "area forgotten": ("the determinant counts one pixel", "scale or term"),
        "shift outside": ("x where x + b belongs", "term"),
        "determinant forgotten": ("the second output is ignored", "term"),
        "inverse": ("divided by the scale", "scale or chain"),
    }),
    *cases_of(Smoothed, labelled((6, 4), 4), {
        "hard labels in backward": ("smoothing only in forward", "term or other"),
        "smoothing mass missing": ("the uniform part is lost", "term"),
        "weights ignored": ("the classes' weights only in forward", "scale"),
        "divided by the batch": ("not by the weights' sum", "scale"),
    }),
    *cases_of(Distilled, normal((4, 5), (4, 5)), {
        "temperature squared": ("3 times too large", "scale"),
        "roles exchanged": ("the sign", "sign"),
        "columns for rows": ("divided by the classes", "scale"),
    }, constants=(1,)),
    *cases_of(ArcMargin, labelled((5, 4), 3), {
        "margin's slope forgotten": ("as though there were no margin", "chain or scale or mask"),
        "norm of w held": ("the projection is missing", "term"),
        "norm of x missing": ("not divided by |x|", "scale"),
    }),
    *cases_of(Siamese, pairs, {
        "distance not divided by": ("the unit vector is not one", "scale"),
        "margin without effect": ("pairs beyond the margin are pulled", "mask or term"),
        "second branch of the weight forgotten": ("b's part is missing", "term or other"),
        "second input's sign": ("db = da", "sign"),
    }),
    *cases_of(Tied, normal((6, 5)), {
        "decoder's use forgotten": ("one use", "term"),
        "encoder's use forgotten": ("one use", "term"),
        "means of the two uses": ("divided by 2", "scale"),
    }),
    *cases_of(Gumbel, normal((5, 4), (5, 4)), {
        "tau not squared": ("one power is missing", "scale"),
        "tau's sign": ("the sign", "sign"),
        "tau missing": ("dlogits lacks 1 / tau", "scale"),
    }, constants=(1,)),
    *cases_of(MeanBag, lambda rng: (rng.integers(0, 6, (5, 4)), rng.uniform(0.5, 1, (5, 4))), {
        "padding trained": ("row 0 gets a gradient", "mask or term or index"),
        "count of all": ("divided by all ids", "scale"),
        "ids met twice once": ("assigned instead of added", "index"),
    }),
    *cases_of(Squash, normal((3, 2, 4)), {
        "length held": ("the length is taken for a constant", "term"),
        "half the path of the length": ("the factor 2 of the square is lost", "term or scale"),
    }),
    *cases_of(HalfNorm, lambda rng: (rng.normal(0, 3, (5, 8)).astype(np.float16),), {
        "the mean is a sum": ("the mean's 1 / 8 is missing", "scale or term or sum"),
        "gain's gradient without the norm": ("x where x / rms belongs", "chain or scale"),
    }),
    *cases_of(Standardised, normal((4, 5)), {
        "mean held": ("the mean's path is missing", "term"),
        "deviation held": ("the deviation's path is missing", "term"),
        "variance for deviation": ("divided twice", "scale"),
        "raw weight for dx": ("w where the standardised one belongs", "other or chain"),
    }),
]  # fmt: skip
