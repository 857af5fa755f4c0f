"""Matrix and array operations in plain NumPy, and the mistakes made in their gradients.

Networks' layers are in the other modules; careless bookkeeping is in habits.py.
"""

from __future__ import annotations

import numpy as np

from .faulty import Layer, cases_of, normal, positive


class Product(Layer):
    """Batched matrix product."""

    def forward(self, a, b):
        self.a, self.b = a, b
        return a @ b

    def backward(self, dy):
        da, db = dy @ self.b.swapaxes(1, 2), self.a.swapaxes(1, 2) @ dy
        if self.fault == "a for b":
            da = dy @ self.a.swapaxes(1, 2)
        if self.fault == "first matrix":
            db = np.broadcast_to(self.a[0].T @ dy[0], db.shape)
        return da, db


class Broadcast(Layer):
    """(B, T, C) + (C,), times (T, 1)."""

    def forward(self, x, b, s):
        self.x, self.b, self.s = x, b, s
        return (x + b) * s

    def backward(self, dy):
        d = dy * self.s
        db, ds = d.sum(axis=(0, 1)), (dy * (self.x + self.b)).sum(axis=(0, 2))[:, None]
        if self.fault == "not summed":
            db = d
        if self.fault == "axis dropped":
            ds = ds[:, 0]
        if self.fault == "first only":
            db = d[0].sum(axis=0)
        if self.fault == "mean":
            ds = ds / len(dy)
        return d, db, ds


class Inverse(Layer):
    """The inverse of a matrix."""

    def forward(self, x):
        self.y = np.linalg.inv(x)
        return self.y

    def backward(self, dy):
        t = self.y.T
        if self.fault == "sign":
            return t @ dy @ t
        if self.fault == "not transposed":
            return -self.y @ dy @ self.y
        return -t @ dy @ t


class Solve(Layer):
    """a^-1 b."""

    def forward(self, a, b):
        self.a, self.y = a, np.linalg.solve(a, b)
        return self.y

    def backward(self, dy):
        db = np.linalg.solve(self.a if self.fault == "not transposed" else self.a.T, dy)
        da = -db @ self.y.T
        return da.T if self.fault == "outer turned" else da, db


class Power(Layer):
    """a to the power of b."""

    def forward(self, a, b):
        self.a, self.b = a, b
        self.y = a**b
        return self.y

    def backward(self, dy):
        da = dy * self.b * self.a ** (self.b - 1)
        db = dy * self.y * np.log(self.a)
        if self.fault == "exponent kept":
            da = dy * self.b * self.y
        if self.fault == "logarithm of the exponent":
            db = dy * self.y * np.log(self.b)
        if self.fault == "no logarithm":
            db = dy * self.y
        return da, db


class Quotient(Layer):
    """a / b."""

    def forward(self, a, b):
        self.a, self.b = a, b
        return a / b

    def backward(self, dy):
        da, db = dy / self.b, -dy * self.a / self.b**2
        if self.fault == "not squared":
            db = -dy * self.a / self.b
        if self.fault == "sign":
            db = -db
        return da, db


class Join(Layer):
    """Two arrays side by side."""

    def forward(self, a, b):
        self.n = a.shape[1]
        return np.concatenate([a, b], axis=1)

    def backward(self, dy):
        if self.fault == "halves exchanged":
            return dy[:, self.n :].copy(), dy[:, : self.n].copy()
        return dy[:, : self.n], dy[:, self.n :]


class Deviation(Layer):
    """The standard deviation of each column, with n - 1."""

    def forward(self, x):
        self.d, self.s = x - x.mean(axis=0), x.std(axis=0, ddof=1)
        return self.s

    def backward(self, dy):
        n = len(self.d)
        dx = dy * self.d / self.s / (n if self.fault == "n" else n - 1)
        if self.fault == "not divided by s":
            dx = dx * self.s
        return dx


class LogSumExp(Layer):
    """log sum exp of each row."""

    def forward(self, x):
        top = x.max(axis=1, keepdims=True)
        e = np.exp(x - top)
        self.p = e / e.sum(axis=1, keepdims=True)
        return top[:, 0] + np.log(e.sum(axis=1))

    def backward(self, dy):
        if self.fault == "largest alone":
            return (self.p == self.p.max(axis=1, keepdims=True)) * dy[:, None]
        return self.p * dy[:, None]


class Products(Layer):
    """The product of each row."""

    def forward(self, x):
        self.x, self.y = x, x.prod(axis=1)
        return self.y

    def backward(self, dy):
        if self.fault == "not divided":
            return np.repeat((dy * self.y)[:, None], self.x.shape[1], axis=1)
        return (dy * self.y)[:, None] / self.x


class Largest(Layer):
    """The largest of each column."""

    def forward(self, x):
        self.shape, self.at = x.shape, x.argmax(axis=0)
        return x.max(axis=0)

    def backward(self, dy):
        dx = np.zeros(self.shape)
        at = self.at
        if self.fault == "next row":
            at = (at + 1) % self.shape[0]
        dx[at, np.arange(self.shape[1])] = 1 if self.fault == "ones" else dy
        if self.fault == "everywhere":
            dx[...] = dy
        return dx


class Sorted(Layer):
    """Each row sorted."""

    def forward(self, x):
        self.order = x.argsort(axis=1)
        return np.sort(x, axis=1)

    def backward(self, dy):
        dx = np.empty_like(dy)
        if self.fault == "order for its inverse":
            return np.take_along_axis(dy, self.order, axis=1)
        if self.fault == "not undone":
            return dy.copy()
        np.put_along_axis(dx, self.order, dy, axis=1)
        return dx


class Roll(Layer):
    """Rolled by two along the rows."""

    def forward(self, x):
        return np.roll(x, 2, axis=0)

    def backward(self, dy):
        return np.roll(dy, 2 if self.fault == "same way" else -2, axis=0)


class Mirror(Layer):
    """Columns reversed."""

    def forward(self, x):
        return x[:, ::-1]

    def backward(self, dy):
        return dy.copy() if self.fault == "not reversed" else dy[:, ::-1]


class Lower(Layer):
    """The lower triangle."""

    def forward(self, x):
        return np.tril(x)

    def backward(self, dy):
        if self.fault == "upper":
            return np.triu(dy)
        if self.fault == "all":
            return dy.copy()
        return np.tril(dy)


class Where(Layer):
    """a^2 where a > b, b elsewhere."""

    def forward(self, a, b):
        self.a, self.c = a, a > b
        return np.where(self.c, a * a, 3 * b)

    def backward(self, dy):
        da, db = np.where(self.c, 2 * self.a * dy, 0), np.where(self.c, 0, 3 * dy)
        if self.fault == "b everywhere":
            db = 3 * dy
        if self.fault == "condition inverted":
            db = np.where(self.c, 3 * dy, 0)
        return da, db


class Trace(Layer):
    """The trace and the sum of the diagonal's squares."""

    def forward(self, x):
        self.d = np.diag(x)
        return np.trace(x), (self.d**2).sum()

    def backward(self, dt, ds):
        n = len(self.d)
        dx = np.diag(2 * ds * self.d)
        if self.fault == "ones for identity":
            return dx + dt * np.ones((n, n))
        if self.fault == "first output forgotten":
            return dx
        return dx + dt * np.eye(n)


class Outer(Layer):
    """a b^T."""

    def forward(self, a, b):
        self.a, self.b = a, b
        return np.outer(a, b)

    def backward(self, dy):
        if self.fault == "sides exchanged":
            return dy.T @ self.a, dy @ self.b
        return dy @ self.b, dy.T @ self.a


class Quadratic(Layer):
    """x^T A x for each row, with A a parameter that is not symmetric."""

    def setup(self, rng, symmetric=False):
        a = rng.normal(size=(3, 3))
        self.params = {"a": a + a.T if symmetric else a}

    def forward(self, x):
        self.x = x
        return ((x @ self.params["a"]) * x).sum(axis=1)

    def backward(self, dy):
        a = self.params["a"]
        self.grads = {"a": np.einsum("b,bi,bj->ij", dy, self.x, self.x)}
        if self.fault == "as if symmetric":
            return 2 * dy[:, None] * (self.x @ a)
        if self.fault == "one of two":
            return dy[:, None] * (self.x @ a)
        return dy[:, None] * (self.x @ (a + a.T))


class Dense(Layer):
    """x w + b of small inputs beside large ones."""

    def setup(self, rng, n=4, m=3):
        w = rng.normal(size=(n, m))
        self.params = {"w": w, "b": np.zeros(m)}

    def forward(self, x):
        self.x = x
        return x @ self.params["w"] + self.params["b"]

    def backward(self, dy):
        f = self.fault
        dw = self.x.T @ dy
        if f == "decay inside":
            dw = dw + 0.01 * self.params["w"]
        if f == "clipped":
            dw = np.clip(dw, -1, 1)
        if f == "clipped norm":
            dw = dw / max(1.0, np.linalg.norm(dw))
        if f == "a small feature":
            dw[1] *= 1.5
        if f == "noise":
            dw = dw + 1e-3 * np.cos(np.arange(dw.size)).reshape(dw.shape)
        if f == "transposed":
            dw = (dy.T @ self.x).reshape(dw.shape)
        if f == "rolled":
            dw = np.roll(dw, 1, axis=0)
        if f == "x of the first row":
            dw = np.outer(self.x[0], dy.sum(axis=0))
        if f == "last row lost":
            dw = self.x[:-1].T @ dy[:-1]
        if f == "plus one":
            dw = dw + 1
        if f == "absolute":
            dw = np.abs(dw)
        if f == "single inside":
            dw = (self.x.astype(np.float16).T @ dy.astype(np.float16)).astype(float)
        if f == "one not a number":
            dw[0, 0] = np.nan
        self.grads = {"w": dw, "b": dy.sum(axis=0)}
        dx = dy @ self.params["w"].T
        if f == "bias in dx":
            dx = dx + self.params["w"].sum(axis=1)
        return dx


def uneven(rng):
    x = rng.normal(size=(5, 4))
    x[:, 1] *= 1e-5
    return (x,)


DENSE = {
    "decay inside": ("the decay is part of the gradient", "term"),
    "clipped": ("the gradient is clipped", "other"),
    "clipped norm": ("the gradient's norm is clipped", "scale or other"),
    "noise": ("a small pattern is added", "chain"),
    "transposed": ("transposed and reshaped", "axes"),
    "rolled": ("the rows are rolled by one", "index"),
    "x of the first row": ("one row of x for all", "term or scale"),
    "last row lost": ("the last row does not count", "term"),
    "plus one": ("a one is added everywhere", "term or chain"),
    "absolute": ("signs are lost", "sign"),
    "single inside": ("computed in half precision", "dtype or chain"),
    "one not a number": ("one entry is NaN", "nan"),
    "bias in dx": ("something that does not depend on dy is added", "chain or term"),
}


CASES = [
    *cases_of(
        Product,
        normal((3, 2, 2), (3, 2, 2)),
        {
            "a for b": ("the wrong factor", "swapped"),
            "first matrix": ("the first matrix of the batch for all", "index or term"),
        },
    ),
    *cases_of(
        Broadcast,
        normal((4, 3, 2), (2,), (3, 1)),
        {
            "not summed": ("the broadcast axes are not summed", "shape"),
            "axis dropped": ("an axis of length 1 is dropped", "shape"),
            "first only": ("only the first of the batch counts", "term"),
            "mean": ("averaged", "scale"),
        },
    ),
    *cases_of(
        Inverse,
        lambda rng: (rng.normal(size=(3, 3)) + 3 * np.eye(3),),
        {
            "sign": ("the sign is forgotten", "sign"),
            "not transposed": ("the inverse is not transposed", "axes"),
        },
    ),
    *cases_of(
        Solve,
        lambda rng: (rng.normal(size=(3, 3)) + 3 * np.eye(3), rng.normal(size=(3, 2))),
        {
            "not transposed": ("solved with a, not a^T", "axes"),
            "outer turned": ("the outer product is transposed", "axes"),
        },
    ),
    *cases_of(
        Power,
        positive((3, 4), (3, 4)),
        {
            "exponent kept": ("the exponent is not lowered", "chain"),
            "logarithm of the exponent": ("log b for log a", "chain"),
            "no logarithm": ("the logarithm is missing", "chain"),
        },
    ),
    *cases_of(
        Quotient,
        positive((3, 4), (3, 4)),
        {"not squared": ("the square is missing", "chain"), "sign": ("the sign", "sign")},
    ),
    *cases_of(
        Join,
        normal((3, 2), (3, 2)),
        {"halves exchanged": ("the two gradients are exchanged", "swapped")},
    ),
    *cases_of(
        Deviation,
        normal((5, 3)),
        {
            "n": ("n where n - 1 belongs", "scale"),
            "not divided by s": ("not divided by the deviation", "scale"),
        },
    ),
    *cases_of(LogSumExp, normal((4, 3)), {"largest alone": ("only the largest", "mask")}),
    *cases_of(
        Products,
        positive((4, 3)),
        {"not divided": ("not divided by the entry", "chain or term")},
    ),
    *cases_of(
        Largest,
        normal((4, 3)),
        {
            "next row": ("one row too far", "mask or index"),
            "ones": ("1 for dy", "chain"),
            "everywhere": ("every row gets it", "mask"),
        },
    ),
    *cases_of(
        Sorted,
        normal((3, 4)),
        {
            "order for its inverse": ("sorted again, not undone", "swapped or axes"),
            "not undone": ("the order is not undone", "chain or axes"),
        },
    ),
    *cases_of(Roll, normal((5, 3)), {"same way": ("rolled on, not back", "index")}),
    *cases_of(Mirror, normal((3, 5)), {"not reversed": ("not reversed", "axes or chain")}),
    *cases_of(
        Lower,
        normal((4, 4)),
        {"upper": ("the upper triangle", "mask"), "all": ("the upper triangle too", "mask")},
    ),
    *cases_of(
        Where,
        normal((4, 3), (4, 3)),
        {
            "b everywhere": ("b gets a gradient where a was taken", "mask"),
            "condition inverted": ("the condition is inverted", "mask"),
        },
    ),
    *cases_of(
        Trace,
        normal((3, 3)),
        {
            "ones for identity": ("ones for the identity", "mask or term"),
            "first output forgotten": ("the first output's path is missing", "term"),
        },
    ),
    *cases_of(Outer, normal((3,), (3,)), {"sides exchanged": ("the two exchanged", "swapped")}),
    *cases_of(
        Quadratic,
        normal((4, 3)),
        {
            "as if symmetric": ("A is taken for symmetric", "axes"),
            "one of two": ("one of the two terms", "term or scale"),
        },
    ),
    *cases_of(
        Quadratic,
        normal((4, 3)),
        {"as if symmetric": ("A is taken for symmetric, and is at first", "axes")},
        symmetric=True,
    ),
    *cases_of(Dense, normal((5, 4)), DENSE),
    *cases_of(Dense, normal((1, 4)), note="one row"),
    *cases_of(Dense, normal((5, 4), scale=1e4), note="1e4"),
    *cases_of(Dense, normal((5, 4), scale=1e-6), note="1e-6"),
]
