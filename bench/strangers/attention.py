"""Softmax, attention, embeddings, and what gathers, scatters, sorts and adds up along an axis.

Sequences are (N, T, D), queries, keys and values too. What a case is stands in the package.
"""

from __future__ import annotations

import numpy as np

from . import Case, Layer, family, normal


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


class Softmax(Layer):
    """Over the last axis, from its output."""

    def forward(self, x):
        self.y = softmax(x)
        return self.y

    def backward(self, dy):
        y = self.y
        if self.has("diagonal"):
            return dy * y * (1 - y)
        if self.has("identity"):
            return dy.copy()
        if self.has("cross entropy"):
            return y - dy
        if self.has("in place"):
            p = y.copy()
            y *= dy  # the layer's output, which others hold
            y -= p * y.sum(-1, keepdims=True)
            return y
        axis = 0 if self.has("batch") else -1
        dot = (dy * y).sum(axis, keepdims=True)
        if self.has("mean"):
            dot = dot / y.shape[-1]
        if self.has("plus"):
            dot = -dot
        if self.has("dot with dy"):
            dot = dy.sum(-1, keepdims=True)
        dx = y * (dy - dot)
        if self.has("one row"):
            dx[1:] = y[1:] * dy[1:]
        return dx


class SoftmaxJacobian(Layer):
    """By the Jacobian of each row, with temperature 0.5."""

    def forward(self, x):
        self.y = softmax(x / 0.5)
        return self.y

    def backward(self, dy):
        dx = np.empty_like(dy)
        for i, (y, d) in enumerate(zip(self.y, dy, strict=True)):
            J = np.diag(y) - np.outer(y, y)
            if self.has("no outer"):
                J = np.diag(y) - np.diag(y * y)
            dx[i] = J @ d
        return dx if self.has("no temperature") else dx / 0.5


class LogSoftmax(Layer):
    """x - logsumexp(x)."""

    def forward(self, x):
        x = x - x.max(-1, keepdims=True)
        self.y = x - np.log(np.exp(x).sum(-1, keepdims=True))
        return self.y

    def backward(self, dy):
        p = softmax(self.y)
        if self.has("dy not summed"):
            return dy - p * dy
        if self.has("as softmax"):
            return p * (dy - (dy * p).sum(-1, keepdims=True))
        if self.has("one for the sum"):
            return dy - p
        if self.has("log"):
            p = self.y
        return dy - p * dy.sum(0 if self.has("batch") else -1, keepdims=True)


class LogSumExp(Layer):
    """Over the last axis, which is dropped; of large values."""

    def forward(self, x):
        self.x, m = x, x.max(-1)
        return m + np.log(np.exp(x - m[..., None]).sum(-1))

    def backward(self, dy):
        if self.has("not shifted"):  # overflows where the values are large
            e = np.exp(self.x)
            return e / e.sum(-1, keepdims=True) * dy[..., None]
        if self.has("hard"):
            return (self.x == self.x.max(-1, keepdims=True)) * dy[..., None]
        p = softmax(self.x)
        return p if self.has("no dy") else p * dy[..., None]


class Attention(Layer):
    """softmax(q k' / sqrt(D)) v, with a causal mask if it is asked for."""

    causal = False

    def forward(self, q, k, v):
        s = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
        if self.causal:
            s = np.where(np.tri(*s.shape[1:], dtype=bool), s, -np.inf)
        self.p, self.q, self.k, self.v = softmax(s), q, k, v
        return self.p @ v

    def backward(self, dy):
        dv = (self.p if self.has("dv by p") else self.p.swapaxes(1, 2)) @ dy
        dp = dy @ self.v.swapaxes(1, 2)
        axis = 1 if self.has("over queries") else -1
        ds = self.p * (dp - (dp * self.p).sum(axis, keepdims=True))
        if self.has("softmax skipped"):
            ds = dp
        if self.has("elementwise"):
            ds = self.p * (1 - self.p) * dp
        root = np.sqrt(dy.shape[-1])
        dq = ds @ self.k / (1 if self.has("root") else root)
        dk = (ds if self.has("dk by ds") else ds.swapaxes(1, 2)) @ self.q
        dk = dk / (1 if self.has("dk root") or self.has("root") else root)
        if self.has("dq, dk swapped"):
            dq, dk = dk, dq
        if self.has("last query"):
            dq[:, -1] = 0
        if self.has("no values"):
            dv = np.zeros_like(dv)
        if self.has("D for root"):
            dq, dk = dq / root, dk / root
        return dq, dk, dv


class CausalAttention(Attention):
    """Each place sees itself and what came before."""

    causal = True


class MultiHead(Layer):
    """Self-attention with two heads; the projections in one dict."""

    heads = 2

    def setup(self, rng):
        self.params = {k: 0.5 * rng.standard_normal((4, 4)) for k in ("q", "k", "v", "o")}
        self.grads = {}

    def split(self, a):
        N, T, D = a.shape
        return a.reshape(N, T, self.heads, D // self.heads).transpose(0, 2, 1, 3)

    def join(self, a):
        N, H, T, d = a.shape
        if self.has("reshape"):
            return a.reshape(N, T, H * d)
        return a.transpose(0, 2, 1, 3).reshape(N, T, H * d)

    def forward(self, x):
        self.x = x
        self.q, self.k, self.v = (self.split(x @ self.params[n].T) for n in "qkv")
        self.root = np.sqrt(self.q.shape[-1])
        self.p = softmax(self.q @ self.k.swapaxes(2, 3) / self.root)
        self.h = (self.p @ self.v).transpose(0, 2, 1, 3).reshape(x.shape)
        return self.h @ self.params["o"].T

    def backward(self, dy):
        self.grads["o"] = np.einsum("nti,ntj->ij", dy, self.h)
        dh = self.split(dy @ (self.params["o"].T if self.has("W transposed") else self.params["o"]))
        dp = dh @ self.v.swapaxes(2, 3)
        ds = self.p * (dp - (dp * self.p).sum(-1, keepdims=True)) / self.root
        if self.has("root of the whole"):
            ds = ds * self.root / np.sqrt(4)
        dq, dk, dv = ds @ self.k, ds.swapaxes(2, 3) @ self.q, self.p.swapaxes(2, 3) @ dh
        dx = np.zeros_like(self.x)
        for name, d in zip("qkv", (dq, dk, dv), strict=True):
            d = self.join(d)
            self.grads[name] = np.einsum("nti,ntj->ij", d, self.x)
            if self.has("only v") and name != "v":
                continue
            if self.has("first head") and name == "q":
                d[..., 2:] = 0
            dx += d @ self.params[name]
        if self.has("query for key"):
            self.grads["k"] = self.grads["q"]
        return dx


class PaddedAttention(Layer):
    """One query for each sequence; a row may have no true place, and then the output is 0."""

    def forward(self, q, x, mask):
        s = np.einsum("nd,ntd->nt", q, x)
        s = np.where(mask, s, -1e9)
        self.unmasked = softmax(s)
        self.p = self.unmasked * mask
        self.q, self.x, self.mask = q, x, mask
        return np.einsum("nt,ntd->nd", self.p, x)

    def backward(self, dy):
        dp = np.einsum("nd,ntd->nt", dy, self.x)
        p = self.unmasked if self.has("mask forgotten") else self.p
        ds = p * (dp - (dp * p).sum(1, keepdims=True))
        dq = np.einsum("nt,ntd->nd", ds, self.x)
        dx = self.p[..., None] * dy[:, None]
        if not self.has("keys"):
            dx = dx + ds[..., None] * self.q[:, None]
        if self.has("padding nan"):
            dx = np.where(self.mask.any(1)[:, None, None], dx, np.nan)
        return dq, dx, None


class Rotary(Layer):
    """Rotary positions: pairs of features turned by an angle that grows with time."""

    def turn(self, x, back):
        T, D = x.shape[1:]
        angle = np.arange(T)[:, None] / 10.0 ** (np.arange(D // 2) / D)
        c, s = np.cos(angle), np.sin(angle) * (-1 if back else 1)
        a, b = x[..., ::2], x[..., 1::2]
        y = np.empty_like(x)
        y[..., ::2], y[..., 1::2] = a * c - b * s, a * s + b * c
        return y

    def forward(self, x):
        return self.turn(x, False)

    def backward(self, dy):
        return self.turn(dy, not self.has("same way"))


class Embedding(Layer):
    """Rows of a table by whole numbers, some of which come twice; 0 may be padding."""

    padding = False

    def setup(self, rng):
        self.params = {"W": rng.standard_normal((6, 3))}
        self.grads = {"W": np.zeros((6, 3))}

    def forward(self, ids):
        self.ids = ids
        return (
            self.params["W"][ids] * (ids != 0)[..., None] if self.padding else self.params["W"][ids]
        )

    def backward(self, dy):
        dW = self.grads["W"] if self.has("not cleared") else np.zeros((6, 3))
        ids = self.ids
        if self.padding and not self.has("padding learns"):
            dy = dy * (ids != 0)[..., None]
        if self.has("written"):
            dW[ids] = dy
        elif self.has("added once"):
            dW[ids] += dy
        elif self.has("by number"):
            np.add.at(dW, ids, dy)
            dW /= np.maximum(np.bincount(ids.ravel(), minlength=6), 1)[:, None]
        else:
            np.add.at(dW, np.maximum(ids - 1, 0) if self.has("from 1") else ids, dy)
        if self.has("last token"):
            dW[ids[:, -1]] = 0
        self.grads["W"] = dW


class PaddedEmbedding(Embedding):
    """Number 0 gives zeros."""

    padding = True


class TiedEmbedding(Layer):
    """Embeds, and reads out by the same table: logits of every token."""

    def setup(self, rng):
        self.W = rng.standard_normal((5, 3))

    def forward(self, ids):
        self.ids, self.h = ids, np.tanh(self.W[ids])
        return self.h @ self.W.T

    def backward(self, dy):
        self.dW = np.einsum("ntv,ntd->vd", dy, self.h)
        if self.has("only output"):
            return None
        d = dy @ self.W * (1 if self.has("tanh") else 1 - self.h**2)
        if self.has("only input"):
            self.dW[:] = 0
        np.add.at(self.dW, self.ids, d)
        return None


class Gather(Layer):
    """x at an index of each row, along the last axis, with repeats."""

    def forward(self, x, index):
        self.shape, self.index = x.shape, index
        return np.take_along_axis(x, index, 1)

    def backward(self, dy):
        dx = np.zeros(self.shape)
        if self.has("put"):
            np.put_along_axis(dx, self.index, dy, 1)
        elif self.has("gathered"):
            dx[:, : dy.shape[1]] = np.take_along_axis(
                dy, np.minimum(self.index, dy.shape[1] - 1), 1
            )
        else:
            np.add.at(dx, (np.arange(len(dx))[:, None], self.index), dy)
        return dx, None


class SegmentSum(Layer):
    """Rows added by their segment, as graphs do; the last segment is empty."""

    def forward(self, x, segment):
        self.segment = segment
        y = np.zeros((4, x.shape[1]))
        np.add.at(y, segment, x)
        self.count = np.bincount(segment, minlength=4)
        return y

    def backward(self, dy):
        if self.has("mean"):
            dy = dy / np.maximum(self.count, 1)[:, None]
        if self.has("next"):
            dy = np.roll(dy, -1, 0)
        return dy[self.segment], None


class TopK(Layer):
    """The two largest of each row, largest first."""

    def forward(self, x):
        self.shape, self.at = x.shape, np.argsort(-x, 1)[:, :2]
        return np.take_along_axis(x, self.at, 1)

    def backward(self, dy):
        dx = np.zeros(self.shape)
        np.put_along_axis(dx, self.at[:, ::-1] if self.has("order") else self.at, dy, 1)
        if self.has("only the first"):
            np.put_along_axis(dx, self.at[:, 1:], 0, 1)
        return dx


class Sort(Layer):
    """Each row sorted."""

    def forward(self, x):
        self.order = np.argsort(x, 1)
        return np.sort(x, 1)

    def backward(self, dy):
        if self.has("order for inverse"):
            return np.take_along_axis(dy, self.order, 1)
        if self.has("unsorted"):
            return dy
        return np.take_along_axis(dy, np.argsort(self.order, 1), 1)


class CumSum(Layer):
    """Along time, of (N, T, D)."""

    def forward(self, x):
        return x.cumsum(1)

    def backward(self, dy):
        if self.has("forwards"):
            return dy.cumsum(1)
        axis = 0 if self.has("axis") else 1
        dx = np.flip(np.flip(dy, axis).cumsum(axis), axis)
        if self.has("exclusive"):
            return dx - dy
        return np.flip(dy, 1).cumsum(1) if self.has("not turned back") else dx


class CumProd(Layer):
    """Along each row; no value is near 0."""

    def forward(self, x):
        self.x, self.y = x, x.cumprod(1)
        return self.y

    def backward(self, dy):
        rest = np.flip(np.flip(dy * self.y, 1).cumsum(1), 1)
        return rest if self.has("not divided") else rest / (self.y if self.has("by y") else self.x)


class Attend(Layer):
    """Dropout by a given noise, then a residual; several uses of one input."""

    def forward(self, x, noise):
        self.keep = (noise > 0.3) / 0.7
        return x + np.tanh(x) * self.keep if self.has("x forgotten") else x + x * self.keep

    def backward(self, dy):
        if self.has("new mask"):
            self.keep = (np.random.random(dy.shape) > 0.3) / 0.7
        if self.has("skip twice"):
            return 2 * dy + dy * self.keep, None
        if self.has("no scale"):
            return dy + dy * (self.keep > 0), None
        if self.has("skip lost") or self.has("x forgotten"):
            return dy * self.keep, None
        if self.has("adds into dy"):
            dy += dy * self.keep
            return dy, None
        return dy + dy * self.keep, None


def repeated(rng):
    """Draw token numbers, one of which comes more than once in every sequence."""
    ids = rng.integers(0, 6, (2, 4))
    ids[:, 3] = ids[:, 1]
    return (ids,)


def padded(rng):
    """Draw a query, a sequence, and a mask of which one row is all padding."""
    mask = rng.random((3, 4)) < 0.6
    mask[:, 0], mask[2] = True, False
    return rng.standard_normal((3, 3)), rng.standard_normal((3, 4, 3)), mask


def indexed(rng):
    index = rng.integers(0, 5, (3, 4))
    index[:, 1] = index[:, 0]
    return rng.standard_normal((3, 5)), index


def segments(rng):
    return rng.standard_normal((5, 3)), np.array([0, 2, 0, 1, 2])


def noisy(rng):
    return rng.standard_normal((3, 4)), rng.random((3, 4))


qkv = normal((2, 3, 4), (2, 3, 4), (2, 3, 4))
CASES: list[Case] = [
    *family("softmax", Softmax, normal((3, 4)), {
        "diagonal": ("only the Jacobian's diagonal, as of a sigmoid", "term"),
        "identity": ("dy passed on, as if the loss had done it", "chain"),
        "cross entropy": ("y - dy, as if dy were the labels", "chain"),
        "in place": ("y overwritten in backward, though it is the output", "aliasing"),
        "batch": ("summed over the batch", "sum"),
        "mean": ("a mean for the sum of dy y", "scale or term"),
        "plus": ("dy + the sum, not minus", "sign"),
        "dot with dy": ("dy summed without y", "chain or term"),
        "one row": ("the sum subtracted in the first row alone", "index or term"),
    }, {"near certain": normal((3, 4), scale=8), "offset 1e5": normal((3, 4), shift=1e5),
        "one class": normal((3, 1)), "four axes": normal((2, 1, 2, 3))}),
    *family("softmax by Jacobian", SoftmaxJacobian, normal((3, 4)), {
        "no outer": ("only the diagonal of the Jacobian", "term"),
        "no temperature": ("not divided by the temperature", "scale"),
    }),
    *family("log-softmax", LogSoftmax, normal((3, 4)), {
        "dy not summed": ("p dy for p times the sum of dy", "sum or term"),
        "as softmax": ("the derivative of softmax", "chain"),
        "one for the sum": ("dy taken to sum to 1, as of one label", "chain"),
        "log": ("log p for p", "other or chain"),
        "batch": ("dy summed over the batch", "sum"),
    }, {"large": normal((3, 4), scale=300)}),
    *family("logsumexp", LogSumExp, normal((2, 3, 4)), {
        "hard": ("all the gradient to the maximum", "mask"),
        "no dy": ("dy is ignored", "chain"),
    }, {"at 1000": normal((2, 4), shift=1e3)}),
    Case("logsumexp: not shifted", lambda: LogSumExp("not shifted"), normal((2, 4), shift=1e3),
         False, "exp overflows in backward, not in forward", "nan"),
    *family("attention", Attention, qkv, {
        "dv by p": ("dv with p not transposed", "axes"),
        "over queries": ("softmax's sum over the queries", "sum"),
        "softmax skipped": ("no derivative of softmax", "chain"),
        "elementwise": ("softmax as if it were elementwise", "term"),
        "root": ("not divided by sqrt(D)", "scale"),
        "dk root": ("dk alone not divided by sqrt(D)", "scale"),
        "dk by ds": ("dk with ds not transposed", "axes"),
        "dq, dk swapped": ("dq and dk swapped", "swapped"),
        "last query": ("the last query has no gradient", "index"),
        "no values": ("dv is 0", "zero"),
        "D for root": ("divided by D, not sqrt(D)", "scale"),
        "dv by p+D for root": ("dv with p not transposed, dq and dk divided by D", "axes or scale"),
    }),
    *family("causal attention", CausalAttention, qkv, {
        "elementwise": ("softmax as if it were elementwise", "term"),
        "last query": ("the last query has no gradient", "index"),
    }, {"one place": normal((2, 1, 4), (2, 1, 4), (2, 1, 4))}),
    *family("two heads", MultiHead, normal((2, 3, 4)), {
        "reshape": ("heads joined by reshape alone in backward", "axes"),
        "W transposed": ("the output's weight not transposed in dx", "axes"),
        "root of the whole": ("sqrt of the whole width, not the head's", "scale"),
        "only v": ("dx by way of the values alone", "term"),
        "first head": ("the second head's queries give x no gradient", "index or term"),
        "query for key": ("the keys' weight has the queries' gradient", "swapped"),
    }),
    *family("attention, a row of padding", PaddedAttention, padded, {
        "mask forgotten": ("the softmax before its mask: wrong in the row of padding", "mask"),
        "keys": ("x as values alone, not as keys", "term"),
        "padding nan": ("NaN at the row of padding", "nan"),
    }),
    *family("rotary positions", Rotary, normal((2, 3, 4)), {
        "same way": ("turned forwards once more, not back", "sign or axes"),
    }),
    *family("embedding", Embedding, repeated, {
        "written": ("dW[ids] = dy: the last of several uses counts", "term or index"),
        "added once": ("dW[ids] += dy: repeats count once", "term or index"),
        "by number": ("a mean over a token's uses", "scale"),
        "from 1": ("rows off by one", "index"),
        "last token": ("the last token's rows erased", "index or term"),
        "not cleared": ("dW adds to that of earlier calls", "state"),
    }),
    *family("embedding with padding", PaddedEmbedding, lambda rng: (rng.integers(0, 3, (2, 5)),), {
        "padding learns": ("the padding's row gets a gradient", "mask"),
    }),
    *family("tied embedding", TiedEmbedding, lambda rng: (rng.integers(0, 5, (2, 3)),), {
        "only output": ("only the use as output weights counts", "term"),
        "only input": ("only the use as a table counts", "term"),
        "tanh": ("tanh's derivative forgotten on the way to the table", "chain"),
    }),
    *family("gather", Gather, indexed, {
        "put": ("repeats are written, not added", "term or index"),
        "gathered": ("gathers again where it should scatter", "index or axes"),
    }),
    *family("segment sum", SegmentSum, segments, {
        "mean": ("divided by the segment's size", "scale"),
        "next": ("the next segment's gradient", "index"),
    }),
    *family("top 2", TopK, normal((3, 5)), {
        "order": ("largest and second swapped", "axes or index"),
        "only the first": ("the second has no gradient", "term or index"),
    }),
    *family("sort", Sort, normal((3, 5)), {
        "order for inverse": ("the permutation for its inverse", "axes or index"),
        "unsorted": ("not put back in order", "axes or index"),
    }),
    *family("cumsum", CumSum, normal((2, 4, 3)), {
        "forwards": ("added from the start, not the end", "axes"),
        "axis": ("along the batch", "axes or sum"),
        "exclusive": ("without the place itself", "term or index"),
        "not turned back": ("not flipped back", "axes"),
    }, {"1e6": normal((2, 4, 3), scale=1e6)}),
    *family("cumprod", CumProd, normal((2, 4), shift=2, scale=0.3), {
        "not divided": ("not divided by x", "chain or scale"),
        "by y": ("divided by y for x", "chain"),
    }),
    *family("dropout, residual", Attend, noisy, {
        "new mask": ("the mask is drawn again in backward", "random"),
        "skip twice": ("the skip's dy added twice", "term"),
        "no scale": ("the mask's 1/keep forgotten", "scale"),
        "skip lost": ("the skip's dy is missing", "term"),
        "x forgotten": ("the skip missing, tanh's derivative too", "term"),
        "adds into dy": ("adds into dy, which its caller still needs", "aliasing"),
    }, constants=(1,)),
]  # fmt: skip
