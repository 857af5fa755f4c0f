"""Linear maps, matrix functions, and what else is no layer of the other kinds.

What a case is stands in the package.
"""

from __future__ import annotations

import numpy as np

from . import Case, Layer, family, normal


class Bilinear(Layer):
    """x' A_k y for each k, plus c: two inputs."""

    def setup(self, rng):
        self.params = {"A": rng.standard_normal((2, 3, 3)), "c": rng.standard_normal(2)}
        self.grads = {}

    def forward(self, x, y):
        self.x, self.y = x, y
        return np.einsum("ni,kij,nj->nk", x, self.params["A"], y) + self.params["c"]

    def backward(self, d):
        A = self.params["A"]
        pattern = "nk,ni,nj->kji" if self.has("axes") else "nk,ni,nj->kij"
        self.grads = {"A": np.einsum(pattern, d, self.x, self.y), "c": d.sum(0)}
        dx = np.einsum("nk,kij,nj->ni", d, A, self.y)
        dy = np.einsum("nk,kij,ni->nj", d, A, self.x)
        if self.has("symmetric"):
            dy = np.einsum("nk,kji,ni->nj", d, A, self.x)
        return (dy, dx) if self.has("swapped") else (dx, dy)


class MatMul(Layer):
    """A B for stacks of matrices, B shared over the stack."""

    def forward(self, a, b):
        self.a, self.b = a, b
        return a @ b

    def backward(self, dy):
        da, db = dy @ self.b.T, self.a.swapaxes(1, 2) @ dy
        if self.has("stack kept"):
            return da, db
        return da, (db.mean(0) if self.has("mean") else db[0] if self.has("first") else db.sum(0))


class Broadcast(Layer):
    """a (N, T, D) + b (N, 1, D) c (D,): each gradient summed to its shape."""

    def forward(self, a, b, c):
        self.b, self.c = b, c
        return a + b * c

    def backward(self, dy):
        db, dc = (dy * self.c).sum(1, keepdims=True), (dy * self.b).sum((0, 1))
        if self.has("one axis"):
            dc = (dy * self.b)[0].sum(0)
        if self.has("axis dropped"):
            db = db[:, 0]
        if self.has("not summed"):
            db = dy * self.c
        if self.has("mean"):
            db = db / dy.shape[1]
        return dy, db, dc


class CircularConv(Layer):
    """Circular convolution of rows with a kernel, by FFT; complex only inside."""

    def setup(self, rng):
        self.params, self.grads = {"k": rng.standard_normal(6)}, {}

    def forward(self, x):
        self.X, self.K = np.fft.fft(x), np.fft.fft(self.params["k"])
        return np.fft.ifft(self.X * self.K).real

    def backward(self, dy):
        D = np.fft.fft(dy)
        self.grads["k"] = np.fft.ifft((D * self.X.conj()).sum(0)).real
        if self.has("k not conjugated"):
            self.grads["k"] = np.fft.ifft((D * self.X).sum(0)).real
        K = self.K if self.has("not conjugated") else self.K.conj()
        n = 6 if self.has("scaled") else 1
        dx = np.fft.ifft(D * K)
        return dx if self.has("complex") else n * dx.real


class Spectrum(Layer):
    """The power of each frequency, |rfft(x)|^2."""

    def forward(self, x):
        self.n, self.X = x.shape[1], np.fft.rfft(x)
        return np.abs(self.X) ** 2

    def backward(self, dy):
        g = 2 * dy * self.X
        if not self.has("ends"):  # irfft counts the inner frequencies twice, the two ends once
            g[:, 1 : (self.n + 1) // 2] /= 2
        dx = np.fft.irfft(g, self.n)
        return dx if self.has("not n") else dx * self.n


class Haar(Layer):
    """One step of the Haar wavelet: two outputs, means and differences."""

    def forward(self, x):
        a, b = x[:, ::2], x[:, 1::2]
        return (a + b) / np.sqrt(2), (a - b) / np.sqrt(2)

    def backward(self, low, high):
        dx = np.empty((len(low), 2 * low.shape[1]))
        dx[:, ::2] = (low + high) / np.sqrt(2)
        dx[:, 1::2] = (low - (-high if self.has("sign") else high)) / np.sqrt(2)
        if self.has("root"):
            dx = dx / np.sqrt(2)
        return np.concatenate([dx[:, ::2], dx[:, 1::2]], 1) if self.has("not interleaved") else dx


class Split(Layer):
    """Columns split into two outputs of different widths; backward takes them as one tuple."""

    def forward(self, x):
        return x[:, :3], x[:, 3:]

    def backward(self, dys):
        a, b = dys
        if self.has("second lost"):
            b = 0 * b
        return np.concatenate([b, a] if self.has("order") else [a, b], 1)


class Concatenate(Layer):
    """Three inputs side by side; the gradients are views of dy."""

    def forward(self, a, b, c):
        self.ends = a.shape[1], a.shape[1] + b.shape[1]
        return np.concatenate([a, b, c], 1)

    def backward(self, dy):
        i, j = self.ends
        if self.has("off by one"):
            return dy[:, 1 : i + 1], dy[:, i:j], dy[:, j:]
        return dy[:, :i], dy[:, i:j], dy[:, j - 2 : -2] if self.has("last") else dy[:, j:]


class Roll(Layer):
    """Rows shifted by one place, circularly."""

    def forward(self, x):
        return np.roll(x, 1, 1)

    def backward(self, dy):
        return np.roll(dy, 1 if self.has("same way") else -1, 0 if self.has("batch") else 1)


class Diff(Layer):
    """x[t + 1] - x[t]."""

    def forward(self, x):
        return np.diff(x, axis=1)

    def backward(self, dy):
        dx = np.pad(-dy, ((0, 0), (0, 1)))
        dx[:, 1:] += dy
        if self.has("end"):
            dx[:, -1] = 0
        return -dx if self.has("sign") else dx


class Transpose(Layer):
    """(N, T, D) to (N, D, T), flattened: nothing but memory order."""

    def forward(self, x):
        self.shape = x.shape
        return x.swapaxes(1, 2).reshape(len(x), -1)

    def backward(self, dy):
        N, T, D = self.shape
        if self.has("reshape"):
            return dy.reshape(N, T, D)
        return dy.reshape(N, D, T).swapaxes(1, 2)


class LogDet(Layer):
    """log |det A| of a stack of matrices."""

    def forward(self, a):
        self.inverse = np.linalg.inv(a)
        return np.linalg.slogdet(a)[1]

    def backward(self, dy):
        inverse = self.inverse if self.has("not transposed") else self.inverse.swapaxes(1, 2)
        if self.has("det"):
            inverse = inverse / np.linalg.det(self.inverse)[:, None, None]
        return dy[:, None, None] * inverse


class Solve(Layer):
    """A^-1 b."""

    def forward(self, a, b):
        self.a, self.y = a, np.linalg.solve(a, b)
        return self.y

    def backward(self, dy):
        db = np.linalg.solve(self.a if self.has("not transposed") else self.a.T, dy)
        da = -db @ self.y.T
        if self.has("sign"):
            da = -da
        return (da.T if self.has("dA transposed") else da), db


class Deviation(Layer):
    """The standard deviation of each column, n - 1 in the denominator."""

    def forward(self, x):
        self.d, self.s = x - x.mean(0), x.std(0, ddof=1)
        return self.s

    def backward(self, dy):
        n = len(self.d) - (0 if self.has("n") else 1)
        d = self.d + self.d.mean(1, keepdims=True) if self.has("mean") else self.d
        return dy * d / (n * (1 if self.has("variance") else self.s))


class Distances(Layer):
    """Euclidean distances of all pairs of rows; a row's distance from itself is 0."""

    def forward(self, x):
        self.d = x[:, None] - x[None]
        self.r = np.sqrt((self.d**2).sum(-1))
        return self.r

    def backward(self, dy):
        r = self.r if self.has("0/0") else np.where(self.r > 0, self.r, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            g = (dy / r)[..., None] * self.d
        return g.sum(1) if self.has("one side") else g.sum(1) - g.sum(0)


class Interpolate(Layer):
    """A learned piecewise linear function on the knots 0..4, of values that may be knots."""

    def setup(self, rng):
        self.knots = rng.standard_normal(5)

    def forward(self, x):
        self.i = np.clip(np.floor(x).astype(int), 0, 3)
        self.t = x - self.i
        return self.knots[self.i] * (1 - self.t) + self.knots[self.i + 1] * self.t

    def backward(self, dy):
        self.dknots = np.zeros(5)
        np.add.at(self.dknots, self.i, dy * (1 - self.t))
        if not self.has("left knot"):
            np.add.at(self.dknots, self.i + 1, dy * self.t)
        if self.has("weights swapped"):
            self.dknots = np.bincount(self.i.ravel(), (dy * self.t).ravel(), 5)
            self.dknots += np.bincount(self.i.ravel() + 1, (dy * (1 - self.t)).ravel(), 5)
        slope = self.knots[self.i + 1] - self.knots[self.i]
        return dy * (-slope if self.has("sign") else slope)


class Where(Layer):
    """a where the condition holds, else b."""

    def forward(self, condition, a, b):
        self.c = condition
        return np.where(condition, a, b)

    def backward(self, dy):
        c = ~self.c if self.has("turned") else self.c
        return None, dy * c, dy if self.has("b everywhere") else dy * ~c


class Polynomial(Layer):
    """a0 + a1 x + a2 x^2 + a3 x^3."""

    def setup(self, rng):
        self.a = np.array([0.5, 1.0, 0.0, 0.3])

    def forward(self, x):
        self.x = x
        return sum(a * x**k for k, a in enumerate(self.a))

    def backward(self, dy):
        self.da = np.array([np.sum(dy * self.x**k) for k in range(4)])
        if self.has("a2 left out"):  # it is 0 as it begins
            return dy * (self.a[1] + 3 * self.a[3] * self.x**2)
        if self.has("powers"):
            return dy * sum(a * self.x**k for k, a in enumerate(self.a[1:]))
        if self.has("a0 not summed"):
            self.da[0] = dy.flat[0]
        return dy * sum(k * self.a[k] * self.x ** (k - 1) for k in range(1, 4))


def products(fault=""):
    """Return a pair of functions of three arguments, a b + sin(c)."""

    def forward(a, b, c):
        return a * b + np.sin(c)

    def backward(dy, a, b, c):
        dc = -np.cos(c) if fault == "sign" else np.cos(c)
        if fault == "swapped":
            return dy * a, dy * b, dy * dc
        if fault == "dy once":
            return dy * b, dy * a, dc
        return dy * b, dy * a, dy * dc

    return forward, backward


def knots(rng):
    """Draw places between 0 and 4, one of which is a knot."""
    x = rng.uniform(0.1, 3.9, (3, 4))
    x[0, 0] = 2
    return (x,)


def invertible(rng):
    return (np.eye(3) + 0.3 * rng.standard_normal((2, 3, 3)),)


table = normal((4, 3))
CASES: list[Case] = [
    *family("bilinear", Bilinear, normal((4, 3), (4, 3)), {
        "axes": ("dA with its last axes swapped", "axes"),
        "symmetric": ("dy with A transposed", "axes"),
        "swapped": ("dx and dy swapped", "swapped"),
    }),
    *family("stacked product", MatMul, normal((2, 3, 4), (4, 2)), {
        "stack kept": ("db not summed over the stack", "shape or sum"),
        "mean": ("db a mean over the stack", "scale"),
        "first": ("db of the first alone", "index or term"),
    }),
    *family("broadcasting", Broadcast, normal((2, 3, 4), (2, 1, 4), (4,)), {
        "one axis": ("dc summed over one axis of two", "sum or term"),
        "axis dropped": ("db without its axis of length 1", "shape"),
        "not summed": ("db not summed to its shape", "shape"),
        "mean": ("db a mean over time", "scale"),
    }),
    *family("circular convolution by FFT", CircularConv, normal((3, 6)), {
        "k not conjugated": ("dk without the conjugate", "axes or other"),
        "not conjugated": ("dx without the conjugate", "axes or other"),
        "scaled": ("dx times n", "scale"),
        "complex": ("dx is complex", "dtype"),
    }),
    *family("power spectrum", Spectrum, normal((2, 6)), {
        "ends": ("inner frequencies counted twice", "scale or index"),
        "not n": ("irfft's 1/n not undone", "scale"),
    }),
    *family("Haar", Haar, normal((2, 6)), {
        "sign": ("the difference's sign forgotten", "sign"),
        "root": ("divided by sqrt(2) twice", "scale"),
        "not interleaved": ("even and odd places one after the other", "axes"),
    }),
    *family("split", Split, normal((2, 6)), {
        "second lost": ("the second output's gradient is lost", "term or zero"),
        "order": ("joined in the wrong order", "swapped"),
    }),
    *family("concatenate", Concatenate, normal((3, 2), (3, 3), (3, 2)), {
        "off by one": ("the first's columns off by one", "index"),
        "last": ("the last's columns two too early", "index"),
    }),
    *family("roll", Roll, normal((3, 4)), {
        "same way": ("rolled the same way again", "index or axes"),
        "batch": ("rolled along the batch", "axes"),
    }),
    *family("differences", Diff, normal((3, 4)), {
        "end": ("the last place has none", "index"),
        "sign": ("the wrong sign", "sign"),
    }),
    *family("transpose, flatten", Transpose, normal((2, 3, 4)), {
        "reshape": ("reshaped, not transposed back", "axes"),
    }),
    *family("log-determinant", LogDet, invertible, {
        "not transposed": ("the inverse not transposed", "axes"),
        "det": ("the determinant's derivative, not its log's", "chain or scale"),
    }),
    *family("solve", Solve, lambda rng: (invertible(rng)[0][0], rng.standard_normal((3, 2))), {
        "not transposed": ("A not transposed", "axes"),
        "sign": ("dA has the wrong sign", "sign"),
        "dA transposed": ("dA transposed", "axes"),
    }),
    *family("deviation", Deviation, table, {
        "n": ("n for n - 1", "scale"),
        "mean": ("the row's mean added", "term"),
        "variance": ("of the variance: not divided by the deviation", "chain or scale"),
    }, {"offset 1e5": normal((4, 3), shift=1e5)}),
    *family("distances", Distances, table, {
        "0/0": ("0/0 at a row's distance from itself", "nan"),
        "one side": ("only the first of the pair", "term"),
    }),
    *family("interpolation, at a knot", Interpolate, knots, {
        "left knot": ("only the left knot has a gradient", "term"),
        "weights swapped": ("the two knots' weights swapped", "swapped"),
        "sign": ("dx has the wrong sign", "sign"),
    }),
    *family("where", Where, lambda rng: (rng.random((3, 4)) < 0.5, *normal((3, 4), (3, 4))(rng)), {
        "turned": ("the condition the wrong way round", "mask or swapped"),
        "b everywhere": ("b gets dy everywhere", "mask"),
    }),
    *family("polynomial", Polynomial, table, {
        "a2 left out": ("a2's term missing, where a2 began as 0", "term"),
        "powers": ("the factors k forgotten", "chain or scale"),
        "a0 not summed": ("da0 of one value", "sum or term"),
    }),
    *family("functions of three", products, normal((3, 2), (3, 2), (3, 2)), {
        "sign": ("dc has the wrong sign", "sign"),
        "swapped": ("da and db swapped", "swapped"),
        "dy once": ("dc ignores dy", "chain"),
    }),
]  # fmt: skip
