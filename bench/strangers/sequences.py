"""Softmax, attention, embeddings and recurrent cells, and the mistakes that courses see in them.

Convolution is in pictures.py, losses in targets.py.
"""

from __future__ import annotations

import numpy as np

from .faulty import Layer, cases_of, normal


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True).real)
    return e / e.sum(axis=axis, keepdims=True)


def soft_back(p, dp):
    return p * (dp - (p * dp).sum(axis=-1, keepdims=True))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Softmax(Layer):
    """The softmax of each row."""

    def forward(self, x):
        self.p = softmax(x)
        return self.p

    def backward(self, dy):
        p, f = self.p, self.fault
        if f == "diagonal":
            return dy * p * (1 - p)
        if f == "no sum":
            return p * dy
        if f == "wrong axis":
            return p * (dy - (p * dy).sum(axis=0))
        if f == "sum without p":
            return p * (dy - dy.sum(axis=-1, keepdims=True))
        if f == "sum not weighted":
            return p * dy - (p * dy).sum(axis=-1, keepdims=True)
        return soft_back(p, dy)


class LogSoftmax(Layer):
    """Logarithms of the softmax of each row."""

    def forward(self, x):
        top = x.max(axis=-1, keepdims=True)
        self.y = x - top - np.log(np.exp(x - top).sum(axis=-1, keepdims=True))
        return self.y

    def backward(self, dy):
        total = dy.sum(axis=-1, keepdims=True)
        if self.fault == "ones for dy":
            total = np.ones_like(total)
        if self.fault == "no sum":
            return dy.copy()
        if self.fault == "mean":
            total = total / dy.shape[-1]
        return dy - np.exp(self.y) * total


class Attention(Layer):
    """softmax(q k^T / sqrt(d)) v, causal if asked."""

    def setup(self, rng, causal=False):
        self.causal = causal

    def forward(self, q, k, v):
        self.q, self.k, self.v = q, k, v
        s = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
        if self.causal:
            s = np.where(np.tril(np.ones(s.shape[1:])) > 0, s, -1e9)
        self.p = softmax(s)
        return self.p @ v

    def backward(self, dy):
        f, root = self.fault, np.sqrt(self.q.shape[-1])
        dv = self.p.swapaxes(1, 2) @ dy
        if f == "weights not transposed":
            dv = self.p @ dy
        ds = soft_back(self.p, dy @ self.v.swapaxes(1, 2)) / root
        if f == "softmax skipped":
            ds = dy @ self.v.swapaxes(1, 2) / root
        if f == "scale forgotten":
            ds = ds * root
        if f == "scaled by d":
            ds = ds / root
        dq, dk = ds @ self.k, ds.swapaxes(1, 2) @ self.q
        if f == "scores not transposed":
            dk = ds @ self.q
        if f == "exchanged":
            dq, dk = dk, dq
        if f == "no path to the keys":
            dk = np.zeros_like(dk)
        return dq, dk, dv


class SelfAttention(Layer):
    """One layer of multi-head self-attention with its four matrices."""

    def setup(self, rng, heads=2):
        self.heads = heads
        self.params = {k: 0.5 * rng.normal(size=(4, 4)) for k in ("wq", "wk", "wv", "wo")}

    def split(self, x):
        b, t, d = x.shape
        return x.reshape(b, t, self.heads, d // self.heads).transpose(0, 2, 1, 3)

    def merge(self, x):
        b, h, t, d = x.shape
        return x.transpose(0, 2, 1, 3).reshape(b, t, h * d)

    def forward(self, x):
        self.x = x
        self.q, self.k, self.v = (self.split(x @ self.params[n]) for n in ("wq", "wk", "wv"))
        self.p = softmax(self.q @ self.k.swapaxes(2, 3) / np.sqrt(self.q.shape[-1]))
        self.o = self.merge(self.p @ self.v)
        return self.o @ self.params["wo"]

    def backward(self, dy):
        f, p = self.fault, self.params
        g = {"wo": np.einsum("btd,bte->de", self.o, dy)}
        do = self.split(dy @ (p["wo"] if f == "wo not transposed" else p["wo"].T))
        if f == "heads not split":
            b, t, d = dy.shape
            do = (dy @ p["wo"].T).reshape(b, self.heads, t, d // self.heads)
        dv = self.p.swapaxes(2, 3) @ do
        ds = soft_back(self.p, do @ self.v.swapaxes(2, 3)) / np.sqrt(self.q.shape[-1])
        dq, dk, dv = (self.merge(one) for one in (ds @ self.k, ds.swapaxes(2, 3) @ self.q, dv))
        dx = 0
        for name, d in (("wq", dq), ("wk", dk), ("wv", dv)):
            g[name] = np.einsum("btd,bte->de", self.x, d)
            if f == "dx of the values alone" and name != "wv":
                continue
            if f == "dx keeps the last" and name != "wk":
                continue
            dx = dx + d @ p[name].T
        if f == "wk transposed":
            g["wk"] = g["wk"].T
        if f == "wv of the first":
            g["wv"] = self.x[0].T @ dv[0]
        self.grads = g
        return dx


class Rotary(Layer):
    """Pairs of features turned by an angle that grows with the position."""

    def forward(self, x):
        t, d = x.shape[1], x.shape[2] // 2
        a = np.arange(t)[:, None] / 3.0 ** np.arange(d)
        self.c, self.s = np.cos(a), np.sin(a)
        return self.turn(x, self.s)

    def turn(self, x, s):
        a, b = np.split(x, 2, axis=2)
        return np.concatenate([a * self.c - b * s, a * s + b * self.c], axis=2)

    def backward(self, dy):
        return self.turn(dy, self.s if self.fault == "turned on" else -self.s)


class Positions(Layer):
    """Learned positions added to a sequence."""

    def setup(self, rng):
        self.params = {"p": 0.1 * rng.normal(size=(8, 3))}

    def forward(self, x):
        return x + self.params["p"][: x.shape[1]]

    def backward(self, dy):
        g = np.zeros((8, 3))
        g[: dy.shape[1]] = dy.sum(axis=0)
        if self.fault == "averaged":
            g /= len(dy)
        if self.fault == "first sequence":
            g[: dy.shape[1]] = dy[0]
        if self.fault == "unused rows too":
            g[dy.shape[1] :] = dy.sum(axis=(0, 1))
        self.grads = {"p": g}
        return dy.copy()


class Gated(Layer):
    """silu(x w) * (x v), a gated unit."""

    def setup(self, rng):
        self.params = {"w": rng.normal(size=(3, 4)), "v": rng.normal(size=(3, 4))}

    def forward(self, x):
        self.x, self.a, self.b = x, x @ self.params["w"], x @ self.params["v"]
        self.g = sigmoid(self.a)
        return self.a * self.g * self.b

    def backward(self, dy):
        silu = self.a * self.g
        da = dy * self.b * (self.g + silu * (1 - self.g))
        db = dy * silu
        if self.fault == "branches exchanged":
            da, db = db, da
        if self.fault == "gate is constant":
            da = dy * self.b * self.g
        self.grads = {"w": self.x.T @ da, "v": self.x.T @ db}
        dx = da @ self.params["w"].T
        return dx if self.fault == "one branch" else dx + db @ self.params["v"].T


class Residual(Layer):
    """x + gamma * tanh(x w): layer scale, which starts at a tenth."""

    def setup(self, rng):
        self.params = {"w": rng.normal(size=(4, 4)), "gamma": np.full(4, 0.1)}

    def forward(self, x):
        self.x, self.h = x, np.tanh(x @ self.params["w"])
        return x + self.params["gamma"] * self.h

    def backward(self, dy):
        d = dy * self.params["gamma"] * (1 - self.h**2)
        self.grads = {"w": self.x.T @ d, "gamma": (dy * self.h).sum(axis=0)}
        times = {"no skip": 0, "skip twice": 2}.get(self.fault, 1)
        return d @ self.params["w"].T + times * dy


class Embedding(Layer):
    """Rows of a table by their numbers."""

    def setup(self, rng, padding=None):
        self.padding = padding
        self.params = {"table": rng.normal(size=(6, 3))}

    def forward(self, ids):
        self.ids = ids
        y = self.params["table"][ids]
        if self.padding is not None:
            y = y * (ids != self.padding)[..., None]
        return y

    def backward(self, dy):
        if self.padding is not None and self.fault != "padding learns":
            dy = dy * (self.ids != self.padding)[..., None]
        g = np.zeros((6, 3))
        flat, rows = self.ids.ravel(), dy.reshape(-1, 3)
        if self.fault == "overwrites":
            g[flat] = rows
        elif self.fault == "adds once":
            g[flat] += rows
        elif self.fault == "one row late":
            np.add.at(g, (flat + 1) % 6, rows)
        elif self.fault == "averaged":
            np.add.at(g, flat, rows)
            g /= np.maximum(np.bincount(flat, minlength=6), 1)[:, None]
        elif self.fault == "in order":
            g = rows[:6].copy()
        else:
            np.add.at(g, flat, rows)
        self.grads = {"table": g}
        return None


class Bag(Layer):
    """The mean of a row's embeddings."""

    def setup(self, rng):
        self.params = {"table": rng.normal(size=(7, 3))}

    def forward(self, ids):
        self.ids = ids
        return self.params["table"][ids].mean(axis=1)

    def backward(self, dy):
        n = self.ids.shape[1]
        d = np.repeat(dy[:, None], n, axis=1) / (1 if self.fault == "sum" else n)
        g = np.zeros((7, 3))
        np.add.at(g, self.ids, d)
        self.grads = {"table": g}


class Gather(Layer):
    """Rows of x, some twice."""

    at = np.array([0, 2, 2, 3])

    def forward(self, x):
        self.shape = x.shape
        return x[self.at]

    def backward(self, dy):
        dx = np.zeros(self.shape)
        if self.fault == "duplicates":
            dx[self.at] += dy
        else:
            np.add.at(dx, self.at, dy)
        return dx


class Recurrent(Layer):
    """h = tanh(x u + h w + b) over (B, T, C); gives all states."""

    def setup(self, rng):
        self.params = {
            "u": 0.6 * rng.normal(size=(2, 3)),
            "w": 0.6 * rng.normal(size=(3, 3)),
            "b": 0.1 * rng.normal(size=3),
        }

    def forward(self, x):
        p, self.x = self.params, x
        self.h = [np.zeros((len(x), 3))]
        for t in range(x.shape[1]):
            self.h.append(np.tanh(x[:, t] @ p["u"] + self.h[-1] @ p["w"] + p["b"]))
        return np.stack(self.h[1:], axis=1)

    def backward(self, dy):
        f, p = self.fault, self.params
        g = {k: np.zeros(v.shape) for k, v in p.items()}
        dx, carry = np.zeros(self.x.shape), 0.0
        for t in reversed(range(dy.shape[1])):
            h = self.h[t + 1]
            da = (dy[:, t] + carry) * (1 - h * h)
            if f == "slope on the input's side":
                da = dy[:, t] * (1 - h * h) + carry
            before = self.h[t + 1] if f == "state after" else self.h[t]
            if f == "last step alone":
                g["w"] = before.T @ da
            else:
                g["w"] += before.T @ da
            g["u"] += self.x[:, t].T @ da
            if not (f == "bias of one step" and t):
                g["b"] += da.sum(axis=0)
            place = dy.shape[1] - 1 - t if f == "time turned" else t
            dx[:, place] = da @ p["u"].T
            carry = da @ (p["w"] if f == "w not transposed" else p["w"].T)
            if f == "nothing carried":
                carry = 0.0
            if f == "truncated" and t == dy.shape[1] - 2:
                carry = 0.0
        self.grads = g
        return dx


class Long(Layer):
    """One LSTM step: (x, h, c) to (h, c)."""

    def setup(self, rng):
        self.params = {"w": 0.7 * rng.normal(size=(5, 12)), "b": 0.1 * rng.normal(size=12)}

    def forward(self, x, h, c):
        self.z = np.concatenate([x, h], axis=1)
        a = self.z @ self.params["w"] + self.params["b"]
        i, f, o, g = np.split(a, 4, axis=1)
        self.i, self.f, self.o, self.g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
        self.c0, self.c = c, self.f * c + self.i * self.g
        self.t = np.tanh(self.c)
        return self.o * self.t, self.c

    def backward(self, dh, dc):
        e = self.fault
        inner = self.c if e == "slope at c" else self.t
        through = dh * self.o * (1 - inner**2)
        total = dc if e == "no path through h" else through if e == "cell ignored" else dc + through
        i, f, o, g = self.i, self.f, self.o, self.g
        di, df, do, dg = total * g, total * self.c0, dh * self.t, total * i
        if e == "new cell for old":
            df = total * self.c
        if e == "gates exchanged":
            di, df = df, di
        if e == "slope of g":
            da = [di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * g * (1 - g)]
        else:
            da = [di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g * g)]
        if e == "gates out of order":
            da = [da[0], da[2], da[1], da[3]]
        da = np.concatenate(da, axis=1)
        self.grads = {"w": self.z.T @ da, "b": da.sum(axis=0)}
        dz = da @ self.params["w"].T
        dc0 = total * (i if e == "input gate for forget" else f)
        return dz[:, :2], dz[:, 2:], dc0


class Gru(Layer):
    """One GRU step."""

    def setup(self, rng):
        self.params = {n: 0.7 * rng.normal(size=(5, 3)) for n in ("wr", "wz", "wn")}

    def forward(self, x, h):
        self.x, self.h, p = x, h, self.params
        self.a = np.concatenate([x, h], axis=1)
        self.r, self.z = sigmoid(self.a @ p["wr"]), sigmoid(self.a @ p["wz"])
        self.b = np.concatenate([x, self.r * h], axis=1)
        self.n = np.tanh(self.b @ p["wn"])
        return (1 - self.z) * self.n + self.z * h

    def backward(self, dy):
        e, p = self.fault, self.params
        dn = dy * (1 - self.z) * (1 - self.n**2)
        dz = dy * (self.h - self.n) * self.z * (1 - self.z)
        if e == "update's sign":
            dz = -dz
        db = dn @ p["wn"].T
        dr = db[:, 2:] * self.h * self.r * (1 - self.r)
        da = dr @ p["wr"].T + dz @ p["wz"].T
        self.grads = {"wr": self.a.T @ dr, "wz": self.a.T @ dz, "wn": self.b.T @ dn}
        if e == "candidate of h":
            self.grads["wn"] = self.a.T @ dn
        dh = da[:, 2:] + db[:, 2:] * self.r
        if e != "no direct path":
            dh = dh + dy * self.z
        return da[:, :2] + db[:, :2], dh


class Sums(Layer):
    """Cumulated sums along time."""

    def forward(self, x):
        return np.cumsum(x, axis=1)

    def backward(self, dy):
        if self.fault == "forwards":
            return np.cumsum(dy, axis=1)
        if self.fault == "one too few":
            return np.cumsum(dy[:, ::-1], axis=1)[:, ::-1] - dy
        return np.cumsum(dy[:, ::-1], axis=1)[:, ::-1]


class Decay(Layer):
    """y[t] = a y[t-1] + x[t]."""

    def forward(self, x):
        y = np.zeros_like(x)
        for t in range(x.shape[1]):
            y[:, t] = x[:, t] + (0.7 * y[:, t - 1] if t else 0)
        return y

    def backward(self, dy):
        dx = np.zeros_like(dy)
        for t in reversed(range(dy.shape[1])):
            dx[:, t] = dy[:, t] + (0.7 * dx[:, t + 1] if t + 1 < dy.shape[1] else 0)
        if self.fault == "one step back":
            dx[:, :-1] = dy[:, :-1] + 0.7 * dy[:, 1:]
        return dx[:, ::-1].copy() if self.fault == "turned" else dx


def numbers(top, *shape, low=0):
    return lambda rng: (rng.integers(low, top, shape),)


CASES = [
    *cases_of(
        Softmax,
        normal((4, 5)),
        {
            "diagonal": ("only the diagonal of the Jacobian", "term"),
            "no sum": ("the sum over the row is missing", "term"),
            "wrong axis": ("the sum is over the batch", "term"),
            "sum without p": ("the sum is not weighted", "term"),
            "sum not weighted": ("the sum is subtracted unweighted", "term"),
        },
    ),
    *cases_of(
        LogSoftmax,
        normal((4, 3)),
        {
            "ones for dy": ("the sum of dy is taken as 1", "chain or term"),
            "no sum": ("dy is passed on", "term or chain"),
            "mean": ("the mean of dy for its sum", "term"),
        },
    ),
    *cases_of(
        Attention,
        normal((2, 4, 3), (2, 4, 3), (2, 4, 3)),
        {
            "weights not transposed": ("dv uses the weights untransposed", "axes"),
            "softmax skipped": ("the softmax's derivative is left out", "term"),
            "scale forgotten": ("the root of d is forgotten", "scale"),
            "scaled by d": ("scaled twice", "scale"),
            "scores not transposed": ("dk uses the scores untransposed", "axes"),
            "exchanged": ("dq and dk are exchanged", "swapped"),
            "no path to the keys": ("dk is zero", "zero"),
        },
    ),
    *cases_of(Attention, normal((1, 3, 2), (1, 3, 2), (1, 3, 4)), causal=True),
    *cases_of(
        SelfAttention,
        normal((2, 3, 4)),
        {
            "wo not transposed": ("the output's matrix is not transposed", "axes"),
            "heads not split": ("the heads are reshaped, not transposed", "other"),
            "dx of the values alone": ("dx lacks the queries' and keys' paths", "term"),
            "dx keeps the last": ("dx has only the keys' path", "term"),
            "wk transposed": ("the keys' gradient is transposed", "axes"),
            "wv of the first": ("only the first sequence counts", "term or index"),
        },
    ),
    *cases_of(
        Rotary,
        normal((2, 4, 4)),
        {"turned on": ("the gradient is turned the same way again", "sign")},
    ),
    *cases_of(
        Positions,
        normal((4, 5, 3)),
        {
            "averaged": ("averaged over the batch", "scale"),
            "first sequence": ("only the first sequence counts", "term"),
            "unused rows too": ("positions that were not used get a gradient", "mask or index"),
        },
    ),
    *cases_of(
        Gated,
        normal((4, 3)),
        {
            "branches exchanged": ("the two branches' gradients are exchanged", "swapped"),
            "gate is constant": ("the gate is treated as a constant", "term"),
            "one branch": ("dx lacks the second branch", "term"),
        },
    ),
    *cases_of(
        Residual,
        normal((3, 4)),
        {
            "no skip": ("the path around is missing", "term"),
            "skip twice": ("the path around is added twice", "term"),
        },
    ),
    *cases_of(
        Embedding,
        numbers(5, 4, 3),
        {
            "overwrites": ("repeated numbers overwrite one another", "term or index"),
            "adds once": ("repeated numbers count once", "term or index"),
            "one row late": ("the gradient is written one row further", "index"),
            "averaged": ("divided by how often a row was used", "scale"),
            "in order": ("written in order, not at the numbers", "swapped"),
        },
    ),
    *cases_of(
        Embedding,
        lambda rng: (np.array([[0, 1, 2], [3, 0, 0]]),),
        {"padding learns": ("the padding row gets a gradient", "mask or index")},
        padding=0,
    ),
    *cases_of(Bag, numbers(7, 3, 4), {"sum": ("the mean's division is missing", "scale")}),
    *cases_of(
        Gather,
        normal((5, 3)),
        {"duplicates": ("a row taken twice counts once", "index or term")},
    ),
    *cases_of(
        Recurrent,
        normal((2, 4, 2)),
        {
            "slope on the input's side": ("the carried gradient misses tanh's slope", "term"),
            "state after": ("the state after the step where the one before belongs", "term"),
            "last step alone": ("w's gradient is overwritten at each step", "term"),
            "bias of one step": ("the bias counts one step", "term"),
            "time turned": ("dx is reversed in time", "axes"),
            "w not transposed": ("the recurrent matrix is not transposed", "axes or index"),
            "nothing carried": ("nothing flows back through time", "term or index"),
            "truncated": ("the flow through time ends too early", "term or index"),
        },
    ),
    *cases_of(
        Long,
        normal((3, 2), (3, 3), (3, 3)),
        {
            "slope at c": ("tanh's slope taken at c, not tanh(c)", "other"),
            "no path through h": ("the cell lacks the path through h", "term"),
            "cell ignored": ("the cell's own gradient is not added", "term"),
            "new cell for old": ("the new cell where the old belongs", "index"),
            "gates exchanged": ("input and forget gate exchanged", "swapped or index"),
            "slope of g": ("sigmoid's slope for tanh's", "index"),
            "gates out of order": ("forget and output gate exchanged", "swapped or index"),
            "input gate for forget": (
                "the wrong gate multiplies the cell's gradient",
                "term or chain",
            ),
        },
    ),
    *cases_of(
        Gru,
        normal((3, 2), (3, 3)),
        {
            "update's sign": ("the update gate's gradient has the wrong sign", "sign"),
            "candidate of h": ("the state before the reset gate", "index"),
            "no direct path": ("the direct path to the state is missing", "term"),
        },
    ),
    *cases_of(
        Sums,
        normal((3, 5)),
        {
            "forwards": ("the sums run forwards", "axes"),
            "one too few": ("an entry's own term is left out", "term"),
        },
    ),
    *cases_of(
        Decay,
        normal((2, 5)),
        {
            "one step back": ("only one step back", "term or index"),
            "turned": ("reversed in time", "axes"),
        },
    ),
]
