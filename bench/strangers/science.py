"""Layers of physics, geometry, signals and statistics: pictures' kernels, filters, factorisations.

Those of newer network papers are in modern.py.
"""

from __future__ import annotations

import numpy as np

from .faulty import Layer, cases_of, normal, positive


class Rodrigues(Layer):
    """Points turned about an axis whose length is the angle."""

    def setup(self, rng):
        self.axis = np.array([0.4, -0.7, 0.5])

    def cross(self, k):
        return np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])

    def forward(self, p):
        self.p, self.t = p, np.linalg.norm(self.axis)
        self.k = self.axis / self.t
        K = self.cross(self.k)
        self.R = np.eye(3) + np.sin(self.t) * K + (1 - np.cos(self.t)) * K @ K
        return p @ self.R.T

    def backward(self, dy):
        dR, K, t, f = dy.T @ self.p, self.cross(self.k), self.t, self.fault
        dt = (dR * (np.cos(t) * K + np.sin(t) * K @ K)).sum()
        dK = np.sin(t) * dR
        if f != "square of K forgotten":
            dK = dK + (1 - np.cos(t)) * (K.T @ dR + dR @ K.T)
        dk = np.array([dK[2, 1] - dK[1, 2], dK[0, 2] - dK[2, 0], dK[1, 0] - dK[0, 1]])
        if f == "axis held":
            dk = 0 * dk
        self.daxis = self.k * dt + (dk - self.k * (self.k @ dk)) / t
        if f == "angle held":
            self.daxis = (dk - self.k * (self.k @ dk)) / t
        return dy @ (self.R.T if f == "turned the other way" else self.R)


class Vectors(Layer):
    """The cross product of rows."""

    def forward(self, a, b):
        self.a, self.b = a, b
        return np.cross(a, b)

    def backward(self, dy):
        if self.fault == "order of the product":
            return np.cross(dy, self.b), np.cross(dy, self.a)
        return np.cross(self.b, dy), np.cross(dy, self.a)


class Quaternions(Layer):
    """The Hamilton product of unit quaternions, which are normalised inside."""

    def times(self, a, b):
        w, x, y, z = np.moveaxis(a, -1, 0)
        s, i, j, k = np.moveaxis(b, -1, 0)
        return np.stack([w*s - x*i - y*j - z*k, w*i + x*s + y*k - z*j,
                         w*j - x*k + y*s + z*i, w*k + x*j - y*i + z*s], axis=-1)  # fmt: skip

    def forward(self, a, b):
        self.na = np.linalg.norm(a, axis=-1, keepdims=True)
        self.u, self.b = a / self.na, b
        return self.times(self.u, b)

    def backward(self, dy):
        turn = np.array([1, -1, -1, -1])
        if self.fault == "not conjugated":
            turn = np.ones(4)
        du = self.times(dy, self.b * turn)
        db = self.times(self.u * turn, dy)
        if self.fault == "norm held":
            return du / self.na, db
        return (du - self.u * (du * self.u).sum(-1, keepdims=True)) / self.na, db


class Phasor(Layer):
    """Real and imaginary parts to amplitude and phase."""

    def forward(self, re, im):
        self.re, self.im = re, im
        self.r2 = re**2 + im**2
        return np.sqrt(self.r2), np.arctan2(im, re)

    def backward(self, dr, dphi):
        r = np.sqrt(self.r2)
        q = r if self.fault == "r for r squared" else self.r2
        dre, dim = dr * self.re / r, dr * self.im / r
        if self.fault == "phase turned":
            return dre + dphi * self.im / q, dim - dphi * self.re / q
        if self.fault == "phase ignored":
            return dre, dim
        if self.fault == "phase's parts exchanged":
            return dre - dphi * self.re / q, dim + dphi * self.im / q
        return dre - dphi * self.im / q, dim + dphi * self.re / q


class ComplexProduct(Layer):
    """Complex rows times a complex weight, real and imaginary parts apart in the last axis."""

    def setup(self, rng):
        self.params = {"w": rng.normal(size=(4, 3, 2))}

    def forward(self, x):
        self.x = x[..., 0] + 1j * x[..., 1]
        w = self.params["w"]
        y = self.x @ (w[..., 0] + 1j * w[..., 1])
        return np.stack([y.real, y.imag], axis=-1)

    def backward(self, dy):
        d = dy[..., 0] + 1j * dy[..., 1]
        w = self.params["w"][..., 0] + 1j * self.params["w"][..., 1]
        left = self.x if self.fault == "x not conjugated" else self.x.conj()
        dw, dx = left.T @ d, d @ (w.T if self.fault == "w not conjugated" else w.T.conj())
        self.grads = {"w": np.stack([dw.real, dw.imag], axis=-1)}
        if self.fault == "parts exchanged":
            self.grads = {"w": np.stack([dw.imag, dw.real], axis=-1)}
        return np.stack([dx.real, dx.imag], axis=-1)


class Spectrogram(Layer):
    """The power of windowed real transforms of frames."""

    def forward(self, x):
        self.window = np.hanning(8)
        self.z = np.fft.rfft(x * self.window)
        return np.abs(self.z) ** 2

    def backward(self, dy):
        d = 2 * dy * self.z
        half = np.ones(5)
        if self.fault != "irfft counts twice":
            half[1:-1] = 0.5
        dx = np.fft.irfft(d * half, 8) * 8
        if self.fault == "irfft's mean":
            dx = dx / 8
        return dx if self.fault == "window forgotten" else dx * self.window


class Recursive(Layer):
    """A recursive filter y[t] = b x[t] + a y[t-1], a and b without axes."""

    def setup(self, rng):
        self.a, self.b = np.array(0.6), np.array(1.3)

    def forward(self, x):
        self.x, y = x, np.zeros((len(x), x.shape[1] + 1))
        for t in range(x.shape[1]):
            y[:, t + 1] = self.b * x[:, t] + self.a * y[:, t]
        self.y = y
        return y[:, 1:].copy()

    def backward(self, dy):
        g, dx, f = np.zeros(len(dy)), np.zeros_like(dy), self.fault
        self.da, self.db = np.array(0.0), np.array(0.0)
        for t in reversed(range(dy.shape[1])):
            g = dy[:, t] + self.a * g
            if f == "no memory":
                g = dy[:, t]
            self.da = self.da + (g * self.y[:, t + 1 if f == "one step late" else t]).sum()
            self.db = self.db + (g * self.x[:, t]).sum()
            dx[:, t] = self.b * g
        if f == "a by the last step":
            self.da = (g * self.y[:, 0]).sum() + self.y[:, -2] @ dy[:, -1]
        return dx


class Euler(Layer):
    """Ten small steps of a pendulum, angle and speed in columns; the drag is a parameter."""

    def setup(self, rng):
        self.params = {"drag": np.array([0.3])}

    def forward(self, s):
        self.path, k = [], self.params["drag"]
        for _ in range(10):
            self.path.append(s)
            q, v = s.T
            v2 = v + 0.1 * (-np.sin(q) - k * v)
            s = np.stack([q + 0.1 * v2, v2], axis=1)
        return s

    def backward(self, ds):
        k, dk = self.params["drag"], 0.0
        for s in reversed(self.path):
            dq, dv2 = ds.T.copy()
            if self.fault != "speed's path to the angle":
                dv2 = dv2 + 0.1 * dq
            dk -= 0.1 * (dv2 * s[:, 1]).sum()
            slope = s[:, 0] if self.fault == "small angles" else np.cos(s[:, 0])
            if self.fault == "small angles":
                slope = 1.0
            ds = np.stack([dq - 0.1 * slope * dv2, dv2 * (1 - 0.1 * k)], axis=1)
            if self.fault == "drag forgotten":
                ds[:, 1] = dv2
        self.grads = {"drag": np.array([dk])}
        return ds


class Cholesky(Layer):
    """The lower factor of A A^T + I."""

    def forward(self, a):
        self.a = a
        self.L = np.linalg.cholesky(a @ a.T + np.eye(len(a)))
        return self.L

    def backward(self, dL):
        phi = np.tril(self.L.T @ dL)
        if self.fault != "diagonal counted whole":
            phi[np.diag_indices(len(phi))] /= 2
        inv = np.linalg.inv(self.L)
        s = inv.T @ phi @ inv
        if self.fault == "not symmetrised":
            return 2 * s @ self.a
        return (s + s.T) @ self.a


class Eigen(Layer):
    """Eigenvalues of the symmetric part."""

    def forward(self, a):
        self.w, self.v = np.linalg.eigh((a + a.T) / 2)
        return self.w

    def backward(self, dw):
        if self.fault == "vectors in rows":
            return self.v.T @ (dw[:, None] * self.v)
        if self.fault == "without the values' gradient":
            return self.v @ self.v.T
        return (self.v * dw) @ self.v.T


class Kernel(Layer):
    """Gaussian kernel between rows of two sets, the log length a parameter without axes."""

    def setup(self, rng):
        self.params = {"log_length": np.array(0.2)}

    def forward(self, x, y):
        self.d = x[:, None] - y[None]
        self.s = np.exp(-2 * self.params["log_length"])
        self.r2 = (self.d**2).sum(axis=2)
        self.k = np.exp(-0.5 * self.s * self.r2)
        return self.k

    def backward(self, dk):
        g = dk * self.k * self.s
        self.grads = {"log_length": np.array((g * self.r2).sum())}
        if self.fault == "half":
            self.grads["log_length"] = self.grads["log_length"] / 2
        if self.fault == "kernel's value missing":
            g = dk * self.s
        dx = -(g[..., None] * self.d).sum(axis=1)
        dy = (g[..., None] * self.d).sum(axis=0)
        return dx, -dy if self.fault == "same sign" else dy


class Evidence(Layer):
    """The negative log likelihood of a Gaussian process at fixed places."""

    def setup(self, rng):
        self.params = {"noise": np.array(0.3)}

    def forward(self, f, y):
        n = len(f)
        self.f = f
        self.K = f @ f.T + (self.params["noise"] ** 2 + 0.1) * np.eye(n)
        self.inv, self.y = np.linalg.inv(self.K), y
        self.a = self.inv @ y
        return 0.5 * (y @ self.a + np.linalg.slogdet(self.K)[1] + n * np.log(2 * np.pi))

    def backward(self, dl):
        dK = 0.5 * dl * (self.inv - np.outer(self.a, self.a))
        if self.fault == "determinant forgotten":
            dK = -0.5 * dl * np.outer(self.a, self.a)
        self.grads = {"noise": np.trace(dK) * 2 * self.params["noise"]}
        if self.fault == "noise not squared":
            self.grads = {"noise": np.trace(dK)}
        df = 2 * dK @ self.f
        return df / 2 if self.fault == "one side of the product" else df, dl * self.a


class Kalman(Layer):
    """One predict and update of a scalar state: mean and variance."""

    def setup(self, rng):
        self.A, self.q = np.array(0.9), np.array(0.4)

    def forward(self, m, p, z):
        self.m, self.p, self.z = m, p, z
        self.mp, self.pp = self.A * m, self.A**2 * p + self.q
        self.k = self.pp / (self.pp + 0.5)
        return self.mp + self.k * (z - self.mp), (1 - self.k) * self.pp

    def backward(self, dm, dp):
        dk = dm * (self.z - self.mp) - dp * self.pp
        if self.fault == "gain held":
            dk = 0 * dk
        dpp = dp * (1 - self.k) + dk * 0.5 / (self.pp + 0.5) ** 2
        dmp = dm if self.fault == "innovation forgotten" else dm * (1 - self.k)
        self.dA = (dmp * self.m).sum() + (dpp * 2 * self.A * self.p).sum()
        if self.fault == "A's square":
            self.dA = (dmp * self.m).sum() + (dpp * self.A * self.p).sum()
        self.dq = dpp.sum()
        return dmp * self.A, dpp * self.A**2, dm * self.k


class Chain(Layer):
    """The log partition of a linear chain of labels."""

    def setup(self, rng):
        self.params = {"t": rng.normal(size=(3, 3))}

    def forward(self, u):
        self.u, self.alpha = u, [u[0]]
        for row in u[1:]:
            s = self.alpha[-1][:, None] + self.params["t"]
            top = s.max(axis=0)
            self.alpha.append(row + top + np.log(np.exp(s - top).sum(axis=0)))
        top = self.alpha[-1].max()
        return top + np.log(np.exp(self.alpha[-1] - top).sum())

    def backward(self, dl):
        T, f = self.params["t"], self.fault
        da = dl * np.exp(self.alpha[-1] - self.alpha[-1].max())
        da = da / np.exp(self.alpha[-1] - self.alpha[-1].max()).sum()
        du, dT = np.zeros_like(self.u), np.zeros_like(T)
        for t in reversed(range(1, len(self.u))):
            du[t] = da
            p = np.exp(self.alpha[t - 1][:, None] + T - (self.alpha[t] - self.u[t])[None])
            if f == "normed over the other axis":
                p = p / p.sum(axis=1, keepdims=True)
            step = p * da
            dT = step if f == "first transition alone" else dT + step
            da = step.sum(axis=0 if f == "to the next label" else 1)
        du[0] = 0 if f == "first label forgotten" else da
        self.grads = {"t": dT}
        return du


class Sample(Layer):
    """A picture read between its pixels, at given places."""

    def forward(self, x, at):
        self.x, self.at = x, at
        self.i = np.floor(at).astype(int)
        self.f = at - self.i
        (r, c), (a, b) = self.i.T, self.f.T
        return (1 - a) * ((1 - b) * x[r, c] + b * x[r, c + 1]) + a * (
            (1 - b) * x[r + 1, c] + b * x[r + 1, c + 1]
        )

    def backward(self, dy):
        x, (r, c), (a, b), f = self.x, self.i.T, self.f.T, self.fault
        dx = np.zeros_like(x)
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            w = (a if i else 1 - a) * (b if j else 1 - b)
            if f == "nearest pixel alone" and (i or j):
                continue
            if f == "places met twice once":
                dx[r + i, c + j] = dy * w
            else:
                np.add.at(dx, (r + i, c + j), dy * w)
        da = (1 - b) * (x[r + 1, c] - x[r, c]) + b * (x[r + 1, c + 1] - x[r, c + 1])
        db = (1 - a) * (x[r, c + 1] - x[r, c]) + a * (x[r + 1, c + 1] - x[r + 1, c])
        if f == "rows and columns exchanged":
            da, db = db, da
        return dx, dy[:, None] * np.stack([da, db], axis=1)


class Blur(Layer):
    """A depthwise dilated kernel over pictures with wrapped edges."""

    def setup(self, rng):
        self.params = {"k": rng.normal(size=(2, 3, 3))}

    def forward(self, x):
        self.x, y = x, 0
        for i in range(3):
            for j in range(3):
                k = self.params["k"][:, i, j, None, None]
                y = y + k * np.roll(x, (2 * i - 2, 2 * j - 2), (2, 3))
        return y

    def backward(self, dy):
        dk, dx, f = np.zeros_like(self.params["k"]), 0, self.fault
        for i in range(3):
            for j in range(3):
                move = (2 * i - 2, 2 * j - 2)
                k = self.params["k"][:, i, j, None, None]
                dk[:, i, j] = (np.roll(self.x, move, (2, 3)) * dy).sum(axis=(0, 2, 3))
                back = move if f == "rolled the same way" else (-move[0], -move[1])
                back = (-move[0] // 2, -move[1] // 2) if f == "dilation forgotten" else back
                dx = dx + k * np.roll(dy, back, (2, 3))
        self.grads = {"k": dk[:, ::-1, ::-1].copy() if f == "kernel turned" else dk}
        if f == "mean of the batch":
            self.grads["k"] = self.grads["k"] / len(dy)
        return dx


class PoolP(Layer):
    """The p-norm of pairs of places, p = 3."""

    def forward(self, x):
        self.x = x.reshape(*x.shape[:-1], -1, 2)
        self.y = (np.abs(self.x) ** 3).sum(axis=-1) ** (1 / 3)
        return self.y

    def backward(self, dy):
        g = (dy / self.y**2)[..., None] * self.x * np.abs(self.x)
        if self.fault == "sign lost":
            g = (dy / self.y**2)[..., None] * self.x**2
        if self.fault == "power of y":
            g = (dy / self.y)[..., None] * self.x * np.abs(self.x)
        return g.reshape(*g.shape[:-2], -1)


class Counts(Layer):
    """The negative binomial's loss of counts, mean and shape in logarithms."""

    def forward(self, m, r, k):
        self.mu, self.r, self.k = np.exp(m), np.exp(r), k
        lg = np.vectorize(lambda a, n: np.log(a + np.arange(n)).sum())
        total = self.r * (np.log(self.r) - np.log(self.r + self.mu))
        return -(lg(self.r, k) + total + k * (m - np.log(self.r + self.mu)))

    def backward(self, dy):
        mu, r, k = self.mu, self.r, self.k
        dm = dy * (r * mu / (r + mu) - k + k * mu / (r + mu))
        digamma = np.vectorize(lambda a, n: (1 / (a + np.arange(n))).sum())(r, k)
        dr = -dy * r * (digamma + np.log(r / (r + mu)) + 1 - (r + k) / (r + mu))
        if self.fault == "digamma forgotten":
            dr = -dy * r * (np.log(r / (r + mu)) + 1 - (r + k) / (r + mu))
        if self.fault == "logarithm's chain":
            dr = dr / r
        if self.fault == "counts' sign":
            dm = dy * (r * mu / (r + mu) + k + k * mu / (r + mu))
        return dm, dr, None


class Buffers(Layer):
    """A scan that writes into its own arrays, careful to copy what it gives."""

    def setup(self, rng):
        self.params = {"w": rng.normal(size=4)}
        self.out = np.zeros((3, 4))

    def forward(self, x):
        self.x = x if self.fault == "input kept, changed below" else x.copy()
        if self.out.shape != x.shape:
            self.out = np.zeros(x.shape)
        np.multiply(x, self.params["w"], out=self.out)
        if self.fault == "input kept, changed below":
            self.x *= 2
            self.x /= 2.0000001
        return self.out.copy()

    def backward(self, dy):
        self.grads["w"] = (dy * self.x).sum(axis=0)
        if self.fault == "gradient written over dy":
            dy *= self.params["w"]
            return dy
        if self.fault == "parameter scaled in backward":
            self.params["w"] *= 0.999
        if self.fault == "one array for both":
            np.multiply(dy, self.params["w"], out=self.out)
            self.grads["w"] = self.out[0]
            return self.out
        return dy * self.params["w"]


class Single(Layer):
    """A number to a number."""

    def forward(self, x):
        self.x = x
        return x * np.exp(-x * x)

    def backward(self, dy):
        x = self.x
        if self.fault == "product rule":
            return dy * np.exp(-x * x)
        if self.fault == "two lost":
            return dy * np.exp(-x * x) * (1 - x * x)
        return dy * np.exp(-x * x) * (1 - 2 * x * x)


def places(rng):
    return rng.normal(size=(4, 5)), rng.uniform(0.1, 0.9, (6, 2)) + np.array(
        [[0, 1], [2, 3], [1, 1], [0, 0], [2, 0], [0, 1]]
    )


def counts(rng):
    return rng.normal(size=(4, 3)), 0.5 * rng.normal(size=(4, 3)), rng.poisson(3, (4, 3))


CASES = [
    *cases_of(Rodrigues, normal((5, 3)), {
        "square of K forgotten": ("one term of the rotation is a constant", "term"),
        "axis held": ("only the angle is trained", "term"),
        "angle held": ("only the direction is trained", "term"),
        "turned the other way": ("R where R^T belongs", "axes"),
    }),
    *cases_of(Vectors, normal((4, 3), (4, 3)), {"order of the product": ("da's sign", "sign")}),
    *cases_of(Quaternions, normal((5, 4), (5, 4)), {
        "not conjugated": ("the vector parts have the other sign", "sign or other"),
        "norm held": ("the projection is missing", "term"),
    }),
    *cases_of(Phasor, normal((3, 4), (3, 4)), {
        "r for r squared": ("one power of r is lost", "scale or term"),
        "phase turned": ("the phase's sign", "sign or term"),
        "phase ignored": ("the second output sends nothing", "term"),
        "phase's parts exchanged": ("re and im exchanged", "swapped or term or other"),
    }),
    *cases_of(ComplexProduct, normal((5, 4, 2)), {
        "x not conjugated": ("the conjugate is missing", "sign or other"),
        "w not conjugated": ("the conjugate is missing", "sign or other"),
        "parts exchanged": ("imaginary before real", "index or axes"),
    }),
    *cases_of(Spectrogram, normal((3, 8)), {
        "irfft counts twice": ("the middle bins count twice", "scale or term or other"),
        "irfft's mean": ("8 times too small", "scale"),
        "window forgotten": ("not windowed on the way back", "scale or chain"),
    }),
    *cases_of(Recursive, normal((3, 6)), {
        "no memory": ("the past gets nothing", "term"),
        "one step late": ("y[t] where y[t-1] belongs", "index or other"),
        "a by the last step": ("assigned instead of added", "term or index"),
    }),
    *cases_of(Euler, normal((4, 2)), {
        "speed's path to the angle": ("a path is missing", "term"),
        "small angles": ("sin's slope is 1", "chain or other"),
        "drag forgotten": ("a factor is missing", "scale or term"),
    }),
    *cases_of(Cholesky, normal((4, 4)), {
        "diagonal counted whole": ("the diagonal is not halved", "scale or term or other"),
        "not symmetrised": ("one half doubled", "axes or term or other"),
    }),
    *cases_of(Eigen, normal((4, 4)), {
        "vectors in rows": ("transposed vectors", "axes or other"),
        "without the values' gradient": ("dw is ignored", "chain"),
    }),
    *cases_of(Kernel, normal((4, 2), (3, 2)), {
        "half": ("2 is lost", "scale"),
        "kernel's value missing": ("exp's slope is missing", "chain or other"),
        "same sign": ("dy has dx's sign", "sign"),
    }),
    *cases_of(Evidence, normal((5, 2), (5,)), {
        "determinant forgotten": ("a term is missing", "term"),
        "noise not squared": ("the chain through the square", "scale or chain"),
        "one side of the product": ("half", "scale"),
    }),
    *cases_of(Kalman, positive((5,), (5,), (5,)), {
        "gain held": ("the gain is taken for a constant", "term"),
        "innovation forgotten": ("the state inside the innovation", "term or scale"),
        "A's square": ("2 is lost", "scale or term"),
    }),
    *cases_of(Chain, normal((5, 3)), {
        "normed over the other axis": ("the softmax of the other axis", "sum or axes or other"),
        "first transition alone": ("assigned instead of added", "term or index"),
        "to the next label": ("the sum is over the wrong axis", "axes or sum"),
        "first label forgotten": ("row 0 gets nothing", "zero or index or term"),
    }),
    *cases_of(Sample, places, {
        "nearest pixel alone": ("three of four corners get nothing", "term or index"),
        "places met twice once": ("assigned instead of added", "index"),
        "rows and columns exchanged": ("the places' columns", "index or swapped or axes"),
    }),
    *cases_of(Blur, normal((2, 2, 6, 5)), {
        "rolled the same way": ("a convolution for a correlation", "index or axes or sign"),
        "dilation forgotten": ("neighbours at distance 1", "index"),
        "kernel turned": ("turned by half a circle", "axes or index"),
        "mean of the batch": ("divided by the batch", "scale"),
    }),
    *cases_of(PoolP, normal((3, 2, 6)), {
        "sign lost": ("x^2 where x |x| belongs", "sign or mask"),
        "power of y": ("one power is lost", "scale or chain"),
    }),
    *cases_of(Counts, counts, {
        "digamma forgotten": ("a term is missing", "term"),
        "logarithm's chain": ("not times r", "chain or scale"),
        "counts' sign": ("the sign of one term", "sign or term"),
    }),
    *cases_of(Buffers, normal((3, 4)), {
        "input kept, changed below": ("the input moves by rounding", "aliasing"),
        "gradient written over dy": ("dy is overwritten", "aliasing"),
        "parameter scaled in backward": ("a parameter moves", "state or aliasing"),
        "one array for both": ("a gradient is overwritten", "aliasing or other or index"),
    }),
    *cases_of(Single, lambda rng: (np.array(rng.uniform(0.3, 0.9)),), {
        "product rule": ("one term is lost", "term or scale or other"),
        "two lost": ("a factor of one term is lost", "term or scale or other"),
    }),
]  # fmt: skip
