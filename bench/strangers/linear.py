"""Linear layers and small networks, with most of the faults of state, aliasing, types and shapes.

What a case is stands in the package.
"""

from __future__ import annotations

import numpy as np

from . import Case, Layer, family, normal


class Linear(Layer):
    """x W' + b, as many outputs as inputs, b = 0 as it begins."""

    def setup(self, rng):
        self.params = {"W": rng.standard_normal((4, 4)), "b": np.zeros(4)}
        self.grads = {"W": np.zeros((4, 4)), "b": np.zeros(4)}

    def forward(self, x):
        self.x = x
        if self.has("x changed later"):
            y = x @ self.params["W"].T + self.params["b"]
            self.x = np.multiply(x, 0.9, out=np.empty_like(x))
            return y
        return x @ self.params["W"].T + self.params["b"]

    def backward(self, dy):
        W, b = self.params["W"], self.params["b"]
        dW, db, dx = dy.T @ self.x, dy.sum(0), dy @ W
        if self.has("W transposed"):
            dx = dy @ W.T
        if self.has("dW transposed"):
            dW = dW.T
        if self.has("db over features"):
            db = dy.sum(1)
        if self.has("db kept axes"):
            db = dy.sum(0, keepdims=True)
        if self.has("weight decay"):
            dW = dW + 0.01 * W
        if self.has("batch mean"):
            dW, db = dW / len(dy), db / len(dy)
        if self.has("first row"):
            dW = np.outer(dy[0], self.x[0])
        if self.has("last row"):
            dW = dy[:-1].T @ self.x[:-1]
        if self.has("last row of dx"):
            dx[-1] = 0
        if self.has("last output"):
            dW[-1] = 0
        if self.has("no db"):
            db = np.zeros_like(b)
        if self.has("float16"):
            dW = dW.astype("f2").astype("f8")
        if self.has("rounded"):
            dx = dx.round(2)
        if self.has("noise"):
            dW = dW + 1e-2 * np.random.standard_normal(dW.shape)
        if self.has("one NaN"):
            dx[0, 0] = np.nan
        if self.has("norm clipped"):
            dW = dW / max(1.0, np.linalg.norm(dW))
        if self.has("negated"):
            dW, db, dx = -dW, -db, -dx
        if self.has("x for dy"):
            dW = self.x.T @ self.x
        if self.has("dx in dy"):
            dy[...] = dx
            dx = dy
        if self.has("columns reversed"):
            dW = dW[:, ::-1]
        if self.has("sparse"):
            dW = np.where(np.abs(dW) < 0.5, 0, dW)
        if self.has("1%"):
            dW = 1.01 * dW
        if self.has("b added"):
            dx = dx + b
        if self.has("momentum"):
            dW = 0.9 * self.grads["W"] + dW
        if self.has("learns"):
            self.params["W"] = W - 0.1 * dW
        if self.has("adds up"):
            self.grads["W"] += dW
            self.grads["b"] += db
        else:
            self.grads["W"], self.grads["b"] = dW, db
        return dx


class SlowLinear(Layer):
    """The same by attributes; backward frees its cache and works once for each forward."""

    def setup(self, rng):
        self.W, self.b = rng.standard_normal((3, 4)), rng.standard_normal(3)
        self.stack = []

    def forward(self, x):
        self.stack.append(x)
        return x @ self.W.T + self.b

    def backward(self, dy):
        x = self.stack[0] if self.has("never popped") else self.stack.pop()
        self.dW, self.db = dy.T @ x, dy.sum(0)
        return dy @ self.W


class SharedCache(SlowLinear):
    """Wrong even without a fault: its cache belongs to the class, so that all layers share it."""

    cache: dict = {}  # noqa: RUF012

    def forward(self, x):
        if self.has("by shape"):
            self.cache.setdefault(x.shape, x)
        else:
            self.cache[x.shape] = x
        return x @ self.W.T + self.b

    def backward(self, dy):
        x = self.cache[(len(dy), 4)]
        self.dW, self.db = dy.T @ x, dy.sum(0)
        return dy @ self.W


class OwnBuffers(Layer):
    """Output and gradients lie in memory that the layer keeps and overwrites at its next call."""

    def setup(self, rng):
        self.params, self.grads = {"w": rng.standard_normal(4)}, {"w": np.zeros(4)}

    def forward(self, x):
        if getattr(self, "out", np.empty(0)).shape != x.shape:
            self.out, self.dx, self.x = np.empty_like(x), np.zeros_like(x), np.empty_like(x)
        np.copyto(self.x, x)
        np.multiply(x, self.params["w"], out=self.out)
        return self.out

    def backward(self, dy):
        np.sum(dy * (self.out if self.has("out for x") else self.x), 0, out=self.grads["w"])
        if self.has("never cleared"):
            self.dx += dy * self.params["w"]
            return self.dx
        if self.has("dx in out"):
            return np.multiply(dy, self.params["w"], out=self.out)
        return np.multiply(dy, self.params["w"], out=self.dx)


class TwoLayers(Layer):
    """A small network whose two layers share one weight."""

    def setup(self, rng):
        self.params, self.grads = {"W": 0.7 * rng.standard_normal((3, 3))}, {}

    def forward(self, x):
        W = self.params["W"]
        self.x, self.h = x, np.tanh(x @ W.T)
        return self.h @ W.T

    def backward(self, dy):
        W = self.params["W"]
        da = dy @ W * (1 - self.h**2)
        if self.has("tanh of input"):
            da = dy @ W * (1 - np.tanh(self.x) ** 2)
        first, second = da.T @ self.x, dy.T @ self.h
        self.grads["W"] = first if self.has("overwritten") else first + second
        if self.has("twice the last"):
            self.grads["W"] = 2 * second
        return da @ W + (dy if self.has("a skip that is not") else 0)


class ListOfWeights(Layer):
    """Two weights and a bias in lists."""

    def setup(self, rng):
        self.params = [rng.standard_normal((3, 3)), rng.standard_normal((3, 3)), np.zeros(3)]
        self.grads = [None, None, None]

    def forward(self, x):
        U, V, b = self.params
        self.x, self.h = x, np.tanh(x @ U + b)
        return self.h @ V

    def backward(self, dy):
        U, V, _ = self.params
        da = dy @ V.T * (1 - self.h**2)
        self.grads[:] = [self.x.T @ da, self.h.T @ dy, da.sum(0)]
        if self.has("order"):
            self.grads[:2] = self.grads[1::-1]
        if self.has("last lost"):
            self.grads[2] = np.zeros(3)
        return da @ U.T


class Nested(Layer):
    """Parameters in dicts within dicts, each layer's own."""

    def setup(self, rng):
        one, two = ({"W": rng.standard_normal((3, 3)), "b": np.zeros(3)} for _ in range(2))
        self.params, self.grads = {"one": one, "two": two}, {"one": {}, "two": {}}

    def forward(self, x):
        one, two = self.params["one"], self.params["two"]
        self.x, self.h = x, np.maximum(x @ one["W"] + one["b"], 0)
        return self.h @ two["W"] + two["b"]

    def backward(self, dy):
        da = dy @ self.params["two"]["W"].T * (1 if self.has("no ReLU") else self.h > 0)
        self.grads["one"] = {"W": self.x.T @ da, "b": da.sum(0)}
        self.grads["two"] = {"W": self.h.T @ dy, "b": dy.sum(0)}
        if self.has("b of the other"):
            self.grads["one"]["b"] = self.grads["two"]["b"]
        return da @ self.params["one"]["W"].T


class Called(Layer):
    """Has no forward and is called; its gradients are made anew each time."""

    def setup(self, rng):
        self.params, self.grads = {"w": rng.standard_normal(3)}, {}

    def __call__(self, x):
        self.x = x
        return np.sin(x * self.params["w"])

    def backward(self, dy):
        d = dy * (1 if self.has("no cosine") else np.cos(self.x * self.params["w"]))
        self.grads = {"w": (d * self.x).sum(0)}
        return d * (1 if self.has("no w") else self.params["w"])


class Lazy(Layer):
    """Makes its weight at the first forward, when it sees the width."""

    def forward(self, x):
        if not hasattr(self, "W"):
            self.W = np.linspace(-1, 1, 2 * x.shape[1]).reshape(2, -1)
        self.x = x
        return x @ self.W.T

    def backward(self, dy):
        self.dW = dy.T @ self.x * (0.5 if self.has("half") else 1)
        return dy @ (self.W[:1].repeat(2, 0) if self.has("first output") else self.W)


class Residual(Layer):
    """x + W tanh(x)."""

    def setup(self, rng):
        self.W = rng.standard_normal((3, 3))

    def forward(self, x):
        self.t = np.tanh(x)
        return x + self.t @ self.W.T

    def backward(self, dy):
        self.dW = dy.T @ self.t
        inner = dy @ self.W * (1 - self.t**2)
        if self.has("into dy"):
            dy += inner
            return dy
        return inner if self.has("skip lost") else inner + dy * (2 if self.has("skip twice") else 1)


class Mixed(Layer):
    """float32 images times float64 gains: the gradient of the images is float32."""

    def setup(self, rng):
        self.params, self.grads = {"g": 1 + rng.random(3)}, {}

    def forward(self, x):
        self.x = x
        return x * self.params["g"]

    def backward(self, dy):
        self.grads["g"] = (dy * self.x).sum(0)
        if self.has("g in half"):
            self.grads["g"] = self.grads["g"].astype("f2").astype("f8")
        return (dy * (1 if self.has("no g") else self.params["g"])).astype("f4")


table, square = normal((4, 3)), normal((4, 4))
CASES: list[Case] = [
    *family("Linear", Linear, square, {
        "x changed later": ("the input kept for backward is not the one used", "state or scale"),
        "W transposed": ("dx with W transposed", "axes"),
        "dW transposed": ("dW transposed", "axes"),
        "db over features": ("db summed over the features", "sum"),
        "db kept axes": ("db of shape (1, 4)", "shape"),
        "weight decay": ("0.01 W added to dW", "term"),
        "batch mean": ("dW and db divided by the batch size", "scale"),
        "first row": ("dW of the first row alone", "index or term"),
        "last row": ("dW without the last row", "index or term"),
        "last row of dx": ("dx without its last row", "index"),
        "last output": ("dW without its last row", "index"),
        "no db": ("db is 0", "zero"),
        "float16": ("dW rounded to float16", "dtype"),
        "rounded": ("dx rounded to two places", "dtype or other"),
        "noise": ("noise added to dW", "random"),
        "one NaN": ("one NaN in dx", "nan"),
        "norm clipped": ("dW clipped to norm 1", "scale"),
        "negated": ("all with the wrong sign", "sign"),
        "x for dy": ("x for dy in dW", "chain"),
        "dx in dy": ("dx written into dy", "aliasing"),
        "columns reversed": ("dW's columns reversed", "axes or index"),
        "sparse": ("small values of dW set to 0", "mask"),
        "1%": ("dW 1% too large", "scale"),
        "b added": ("b added to dx, where it began as 0", "term"),
        "momentum": ("dW has 0.9 of the last call's", "state"),
        "learns": ("W changed by backward", "state or aliasing"),
        "adds up": ("gradients add to those of earlier calls", "state"),
        "W transposed+no db": ("W transposed in dx, and db 0", "axes or zero"),
        "batch mean+W transposed": ("dW a mean, and W transposed in dx", "scale or axes"),
    }, {"one row": normal((1, 4)), "offset 1e6": normal((4, 4), shift=1e6), "not contiguous":
        lambda rng: (rng.standard_normal((4, 8)).T[::2],), "1e-6": normal((4, 4), scale=1e-6)}),
    *family("Linear, cache freed", SlowLinear, square, {
        "never popped": ("reads its first cache for ever", "state"),
    }),
    Case("Linear, class's cache: last in", SharedCache, square, False,
         "the cache is the class's: another layer's input of this shape is read", "state"),
    Case("Linear, class's cache: first in", lambda: SharedCache("by shape"), square, False,
         "a cache by shape that belongs to the class: the first input's", "state"),
    *family("gain in its own memory", OwnBuffers, square, {
        "out for x": ("the output for the input in dw", "chain"),
        "never cleared": ("dx adds to that of earlier calls", "state"),
        "dx in out": ("dx written over the output", "aliasing"),
    }),
    *family("shared weight", TwoLayers, table, {
        "tanh of input": ("tanh's derivative at the wrong place", "chain"),
        "overwritten": ("the first use's gradient overwrites the second's", "term"),
        "twice the last": ("the second use's counted twice", "term"),
        "a skip that is not": ("dy added as by a skip", "term"),
    }),
    *family("list of weights", ListOfWeights, table, {
        "order": ("the gradients of the two weights swapped", "swapped"),
        "last lost": ("the bias has no gradient", "zero"),
    }),
    *family("nested parameters", Nested, table, {
        "no ReLU": ("ReLU's mask forgotten", "mask or chain"),
        "b of the other": ("the first bias has the second's gradient", "swapped or chain"),
    }),
    *family("called, no forward", Called, table, {
        "no cosine": ("the sine's derivative forgotten", "chain"),
        "no w": ("w left out of dx", "chain"),
    }),
    *family("lazy weight", Lazy, table, {
        "half": ("dW halved", "scale"),
        "first output": ("dx with the first output's weights for both", "index"),
    }),
    *family("residual", Residual, table, {
        "into dy": ("added into dy", "aliasing"),
        "skip lost": ("the skip's dy is missing", "term"),
        "skip twice": ("the skip's dy added twice", "term"),
    }),
    *family("float32 by float64", Mixed, normal((4, 3), dtype="f4"), {
        "g in half": ("dg rounded to float16", "dtype"),
        "no g": ("the gain left out of dx", "chain or scale"),
    }),
]  # fmt: skip
