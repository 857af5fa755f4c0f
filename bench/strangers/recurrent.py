"""Recurrent cells, and whole sequences by backpropagation through time.

Cells take x (N, D) and h (N, H); sequences are (N, T, D). What a case is stands in the package.
"""

from __future__ import annotations

import numpy as np

from . import Case, Layer, family, normal


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


class TanhCell(Layer):
    """h' = tanh(Wx x + Wh h + b), square so that a transpose goes unseen by the shapes."""

    def setup(self, rng):
        self.Wx, self.Wh = rng.standard_normal((3, 3)), 0.5 * rng.standard_normal((3, 3))
        self.b = np.zeros(3)

    def forward(self, x, h):
        if self.has("state kept") and hasattr(self, "h"):
            h = self.next
        self.x, self.h = x, h
        self.next = np.tanh(x @ self.Wx.T + h @ self.Wh.T + self.b)
        return self.next

    def backward(self, dh):
        da = dh * (1 - (self.h if self.has("old h") else self.next) ** 2)
        if self.has("no tanh"):
            da = dh
        self.dWx, self.dWh, self.db = da.T @ self.x, da.T @ self.h, da.sum(0)
        if self.has("dWh of new h"):
            self.dWh = da.T @ self.next
        if self.has("dWx, dWh swapped"):
            self.dWx, self.dWh = self.dWh, self.dWx
        if self.has("dW not transposed"):
            self.dWx = self.x.T @ da
        if self.has("db of features"):
            self.db = da.sum(1)
        W = self.Wh.T if self.has("Wh transposed") else self.Wh
        return da @ self.Wx, da @ W


class LSTMCell(Layer):
    """Gates i, f, o and g in one product; two outputs, h and c, each with its own gradient."""

    def setup(self, rng):
        self.params = {"W": 0.7 * rng.standard_normal((8, 5)), "b": np.repeat([0, 1.0, 0, 0], 2)}
        self.grads = {}

    def forward(self, x, h, c):
        self.z, self.c = np.concatenate([x, h], 1), c
        a = self.z @ self.params["W"].T + self.params["b"]
        i, f, o, g = np.split(a, 4, 1)
        self.i, self.f, self.o, self.g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
        self.new = self.f * c + self.i * self.g
        self.t = np.tanh(self.new)
        return self.o * self.t, self.new

    def backward(self, dh, dc):
        i, f, o, g, t = self.i, self.f, self.o, self.g, self.t
        if self.has("dc ignored"):
            dc = 0
        inner = dh * o if self.has("tanh of c") else dh * o * (1 - t**2)
        dc = inner if self.has("dc overwritten") else dc + inner
        df = dc * (self.new if self.has("new c") else self.c)
        da = [dc * g * i * (1 - i), df * f * (1 - f), dh * t * o * (1 - o), dc * i * (1 - g**2)]
        if self.has("g as a gate"):
            da[3] = dc * i * g * (1 - g)
        if self.has("gates' order"):
            da[1], da[2] = da[2], da[1]
        if self.has("no output gate"):
            da[2] = np.zeros_like(t)
        da = np.concatenate(da, 1)
        self.grads["W"] = da.T @ self.z
        self.grads["b"] = da.mean(0) if self.has("b mean") else da.sum(0)
        if self.has("W adds up"):
            self.held = getattr(self, "held", 0) + self.grads["W"]
            self.grads["W"] = self.held
        dz = da @ self.params["W"]
        return dz[:, :3], dz[:, 3:], dc * (i if self.has("input gate") else f)


class GRUCell(Layer):
    """h' = (1 - z) n + z h, the reset gate applied to h before its product."""

    def setup(self, rng):
        self.params = {k: rng.standard_normal((2, 5)) for k in ("Wz", "Wr", "Wn")}
        self.grads = {}

    def forward(self, x, h):
        self.xh, self.h = np.concatenate([x, h], 1), h
        self.z = sigmoid(self.xh @ self.params["Wz"].T)
        self.r = sigmoid(self.xh @ self.params["Wr"].T)
        self.xrh = np.concatenate([x, self.r * h], 1)
        self.n = np.tanh(self.xrh @ self.params["Wn"].T)
        return (1 - self.z) * self.n + self.z * h

    def backward(self, dh):
        z, r, n, h = self.z, self.r, self.n, self.h
        dn = dh * (z if self.has("z for 1 - z") else 1 - z) * (1 - n**2)
        dz = dh * ((n - h) if self.has("dz sign") else (h - n)) * z * (1 - z)
        back = dn @ self.params["Wn"]
        dr = back[:, 3:] * h * r * (1 - r)
        if self.has("h left out of dr"):
            dr = back[:, 3:] * r * (1 - r)
        through = dz @ self.params["Wz"] + dr @ self.params["Wr"]
        self.grads["Wz"], self.grads["Wr"] = dz.T @ self.xh, dr.T @ self.xh
        self.grads["Wn"] = dn.T @ (self.xh if self.has("h not reset") else self.xrh)
        dx = back[:, :3] + (0 if self.has("x by the candidate alone") else through[:, :3])
        dh_old = through[:, 3:] + back[:, 3:] * (1 if self.has("r forgotten") else r)
        return dx, dh_old + (0 if self.has("no carry") else dh * z)


class Recurrence(Layer):
    """A tanh network over time from h = 0; every state is an output."""

    def setup(self, rng):
        self.params = {"U": rng.standard_normal((3, 2)), "W": 0.6 * rng.standard_normal((3, 3))}
        self.params["b"], self.grads = np.zeros(3), {}

    def forward(self, x):
        h, self.x, self.hs = np.zeros((len(x), 3)), x, []
        if self.has("keeps the state") and hasattr(self, "last") and len(self.last) == len(x):
            h = self.last
        self.start = h
        for t in range(x.shape[1]):
            h = np.tanh(x[:, t] @ self.params["U"].T + h @ self.params["W"].T + self.params["b"])
            self.hs.append(h)
        self.last = h
        return np.stack(self.hs, 1)

    def backward(self, dy):
        dx = np.zeros_like(self.x)
        g = {k: np.zeros_like(v) for k, v in self.params.items()}
        carry = np.zeros_like(self.start)
        for t in reversed(range(self.x.shape[1])):
            dh = dy[:, t] + (0 if self.has("truncated") else carry)
            if self.has("last step only") and t < self.x.shape[1] - 1:
                dh = carry
            if self.has("twice"):
                dh = dh + carry
            da = dh * (1 - self.hs[t] ** 2)
            before = self.hs[t - 1] if t > 0 else self.start
            if self.has("wraps round"):
                before = self.hs[t - 1]
            if self.has("state of t"):
                before = self.hs[t]
            g["U"] += da.T @ self.x[:, t]
            if self.has("assigned"):
                g["W"] = da.T @ before
            else:
                g["W"] += da.T @ before
            g["b"] += da.sum(0)
            dx[:, t] = da @ self.params["U"]
            if self.has("clipped"):
                da = np.clip(da, -0.05, 0.05)
            if self.has("averaged"):
                da = da / self.x.shape[1]
            carry = da @ self.params["W"]
        if self.has("first step"):
            dx[:, 0] = 0
        self.grads.update(g)
        return dx


class MaskedRecurrence(Layer):
    """A leaky average over time which a mask freezes, and only its last state comes out."""

    def setup(self, rng):
        self.params, self.grads = {"a": np.array(0.4)}, {}

    def forward(self, x, mask):
        a, h = self.params["a"], np.zeros((len(x), x.shape[2]))
        self.x, self.mask, self.hs = x, mask[..., None], [h]
        for t in range(x.shape[1]):
            h = np.where(self.mask[:, t], a * h + (1 - a) * x[:, t], h)
            self.hs.append(h)
        return h

    def backward(self, dh):
        a, da, dx = self.params["a"], 0.0, np.zeros_like(self.x)
        for t in reversed(range(self.x.shape[1])):
            m = 1.0 if self.has("mask lost") else self.mask[:, t] * 1.0
            da += np.sum(m * dh * (self.hs[t] - self.x[:, t]))
            dx[:, t] = m * dh * (1 - a)
            dh = dh * (m * a if self.has("frozen stops") else m * a + (1 - m))
        self.grads["a"] = np.array(np.float64(da / self.x.shape[1] if self.has("a mean") else da))
        return dx, None


class LinearScan(Layer):
    """h_t = a_t h_(t-1) + b_t, the recurrence of state-space models; both are inputs."""

    def forward(self, a, b):
        self.a, h, self.h = a, np.zeros_like(b[:, 0]), np.zeros_like(b)
        for t in range(b.shape[1]):
            h = a[:, t] * h + b[:, t]
            self.h[:, t] = h
        return self.h

    def backward(self, dy):
        da, db, carry = np.zeros_like(self.a), np.zeros_like(self.a), 0
        for t in reversed(range(dy.shape[1])):
            carry = dy[:, t] + carry
            db[:, t] = carry
            if t > 0:
                da[:, t] = carry * self.h[:, t if self.has("h of t") else t - 1]
            at = t - 1 if self.has("a of t - 1") else t
            carry = carry * self.a[:, at]
        return da, db


class Bidirectional(Layer):
    """A leaky sum from either end, concatenated."""

    def scan(self, x, w):
        y, h = np.empty_like(x), np.zeros_like(x[:, 0])
        for t in range(x.shape[1]):
            h = w * h + x[:, t]
            y[:, t] = h
        return y

    def forward(self, x):
        there, back = self.scan(x, 0.5), self.scan(x[:, ::-1], 0.8)[:, ::-1]
        return np.concatenate([there, back], 2)

    def backward(self, dy):
        D = dy.shape[2] // 2
        d1, d2 = dy[:, :, :D], dy[:, :, D:]
        if self.has("halves swapped"):
            d1, d2 = d2, d1
        dx = self.scan(d1[:, ::-1], 0.5)[:, ::-1]
        if self.has("forwards only"):
            return dx
        return dx + (self.scan(d2[:, ::-1], 0.8) if self.has("not turned") else self.scan(d2, 0.8))


class Highway(Layer):
    """t h(x) + (1 - t) x."""

    def setup(self, rng):
        self.Wt, self.Wh = rng.standard_normal((3, 3)), rng.standard_normal((3, 3))
        self.buffer = np.zeros((64, 3))

    def forward(self, x):
        self.x = x
        self.t, self.h = sigmoid(x @ self.Wt.T - 1), np.tanh(x @ self.Wh.T)
        return self.t * self.h + (1 - self.t) * x

    def backward(self, dy):
        dt = dy * (self.h - (0 if self.has("dt without x") else self.x)) * self.t * (1 - self.t)
        dh = dy * self.t * (1 - self.h**2)
        self.dWt, self.dWh = dt.T @ self.x, dh.T @ self.x
        dx = dt @ self.Wt + dh @ self.Wh
        dx = dx + dy if self.has("skip without gate") else dx + dy * (1 - self.t)
        if self.has("buffer added to"):
            out = self.buffer[: len(dx)]
            out += dx
            return out
        return dx


def masked_series(rng):
    """Draw (3, 4, 2) and a mask of which one row has a single true step, one none."""
    mask = rng.random((3, 4)) < 0.7
    mask[0], mask[1], mask[2, 1] = [True, False, False, False], False, True
    return rng.standard_normal((3, 4, 2)), mask


series = normal((2, 4, 2))
CASES: list[Case] = [
    *family("tanh cell", TanhCell, normal((3, 3), (3, 3)), {
        "old h": ("tanh's derivative at the state before", "chain or index"),
        "no tanh": ("tanh's derivative forgotten", "chain"),
        "dWh of new h": ("dWh with the new state", "index or state"),
        "dWx, dWh swapped": ("dWx and dWh swapped", "swapped"),
        "dW not transposed": ("dWx transposed", "axes"),
        "db of features": ("db summed over the features, equally many as rows", "sum"),
        "Wh transposed": ("dh with Wh transposed", "axes"),
        "state kept": ("forward uses its own last state for h", "state"),
        "no tanh+Wh transposed": ("no derivative of tanh, and Wh transposed", "chain or axes"),
    }, {"one row": normal((1, 3), (1, 3)), "saturated": normal((2, 3), (2, 3), scale=5)}),
    *family("LSTM cell", LSTMCell, normal((3, 3), (3, 2), (3, 2)), {
        "dc ignored": ("the gradient of the output c is ignored", "term or chain"),
        "tanh of c": ("the derivative of tanh(c) forgotten", "chain"),
        "dc overwritten": ("dc replaced by h's part, not added to", "term"),
        "new c": ("the forget gate with the new c", "index or chain"),
        "g as a gate": ("the candidate's tanh taken for a sigmoid", "chain"),
        "gates' order": ("forget and output gates swapped in dW", "swapped or index"),
        "no output gate": ("the output gate has no gradient", "zero or term"),
        "b mean": ("db a mean over the batch", "scale"),
        "W adds up": ("dW adds to that of earlier calls", "state"),
        "input gate": ("dc passed on by the input gate", "swapped or chain"),
    }),
    *family("GRU cell", GRUCell, normal((4, 3), (4, 2)), {
        "z for 1 - z": ("z for 1 - z on the candidate's way", "chain"),
        "dz sign": ("the update gate's gradient has the wrong sign", "sign"),
        "h left out of dr": ("h left out of the reset gate's gradient", "chain"),
        "h not reset": ("dWn with h, not r h", "chain"),
        "x by the candidate alone": ("dx without the gates", "term"),
        "r forgotten": ("r left out on the way to h", "chain"),
        "no carry": ("h's direct way z h is missing", "term"),
    }),
    *family("recurrence", Recurrence, series, {
        "truncated": ("nothing is carried back in time", "term"),
        "last step only": ("only the last step's dy counts", "index or term"),
        "twice": ("the carried gradient added twice", "term"),
        "wraps round": ("hs[-1] for the first state", "index"),
        "state of t": ("dW with the state of t, not t - 1", "index"),
        "assigned": ("dW of the first step alone: assigned, not added", "term or index"),
        "clipped": ("gradients clipped inside backward", "mask or other"),
        "averaged": ("the carry divided by the steps", "scale or term"),
        "first step": ("the first input has no gradient", "index"),
        "keeps the state": ("starts where the last call ended", "state"),
    }, {"one step": normal((3, 1, 2)), "one row": normal((1, 4, 2)),
        "twelve steps": normal((2, 12, 2))}),
    *family("masked leaky average", MaskedRecurrence, masked_series, {
        "mask lost": ("the mask forgotten in backward", "mask"),
        "frozen stops": ("a frozen step stops the gradient", "mask"),
        "a mean": ("da divided by the steps", "scale"),
    }),
    *family("linear scan", LinearScan, normal((2, 4, 3), (2, 4, 3)), {
        "h of t": ("da with h of t, not t - 1", "index"),
        "a of t - 1": ("carried back by a of t - 1", "index"),
    }),
    *family("both directions", Bidirectional, normal((2, 4, 2)), {
        "halves swapped": ("the two halves of dy swapped", "swapped or axes"),
        "forwards only": ("only the forward direction", "term"),
        "not turned": ("the backward half added up the wrong way", "axes"),
    }),
    *family("highway", Highway, normal((4, 3)), {
        "dt without x": ("the gate's gradient without - x", "term"),
        "skip without gate": ("the skip passed on whole", "chain"),
        "buffer added to": ("dx added into a buffer that is never cleared", "state"),
    }),
]  # fmt: skip
