"""The twins of formulas.py on the device: same names, same signatures, each one launch.

The arithmetic is in kernels.cu, what is right about it is said in formulas.py. Arrays are float32
or float64, all of one type, and matrices may be views whose rows lie apart: what is passed on is
the pointer and the elements from row to row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae import formulas
from minivae.cuda.products import SMALLER, Products
from minivae.cuda.strides import row_stride
from minivae.errors import BackendError

Array = Any
THREADS = 256  # as in kernels.cu
WARPS = THREADS // 32
LARGEST = 2**32  # numbers of an array, which the kernels count in 32 bits
SUM_BLOCKS = 512  # a sum's value must not depend on the device, so neither may its blocks


class CudaFormulas:
    """The functions of formulas.py, launched on a device.

    Parameters
    ----------
    device : Device
        Allocates and launches.
    precision : str
        "float32", or "tf32" for products on tensor cores.
    """

    def __init__(self, device: Any, precision: str = "float32") -> None:
        self.device = device
        self.products = Products(device, precision)
        self._rooms: dict[int, tuple[Array, Array]] = {}

    def matmul(self, a: Array, b: Array, out: Array) -> Array:
        """Overwrite `out` with the matrix product a b; either may be a transposed view."""
        return self.products(a, b, out)

    # --- Linear ------------------------------------------------------------------------------

    def linear(self, x: Array, weight: Array, bias: Array, y: Array) -> Array:
        """Overwrite y with x W^T + b."""
        return self.products(x, weight.T, y, bias)

    def linear_backward_input(self, dy: Array, weight: Array, dx: Array) -> Array:
        """Overwrite dx with dy W."""
        return self.products(dy, weight, dx)

    def linear_backward_weight(self, x: Array, dy: Array, dweight: Array) -> Array:
        """Overwrite dweight with dy^T x."""
        return self.products(dy.T, x, dweight)

    def linear_backward_bias(self, dy: Array, dbias: Array) -> Array:
        """Overwrite dbias with the sums of dy's columns."""
        rows, columns = dy.shape
        self.device.launch(
            "column_sums",
            (-(-columns // 32),),
            (32, 32),
            (rows, columns, dy, row_stride(dy), dbias),
            dy.dtype,
        )

    # --- Activations -------------------------------------------------------------------------

    def relu(self, x: Array, y: Array) -> Array:
        """Overwrite y with max(x, 0)."""
        return self._elementwise("relu", x, y)

    def relu_backward(self, y: Array, dy: Array, dx: Array) -> Array:
        """Overwrite dx with dy where y > 0, else 0."""
        return self._elementwise("relu_backward", y, dy, dx)

    def sigmoid(self, x: Array, y: Array) -> Array:
        """Overwrite y with 1 / (1 + exp(-x))."""
        return self._elementwise("sigmoid", x, y)

    def sigmoid_backward(self, y: Array, dy: Array, dx: Array) -> Array:
        """Overwrite dx with dy y (1 - y)."""
        return self._elementwise("sigmoid_backward", y, dy, dx)

    def tanh(self, x: Array, y: Array) -> Array:
        """Overwrite y with tanh(x)."""
        return self._elementwise("tanh_forward", x, y)

    def tanh_backward(self, y: Array, dy: Array, dx: Array) -> Array:
        """Overwrite dx with dy (1 - y^2)."""
        return self._elementwise("tanh_backward", y, dy, dx)

    # --- Activations of networks -------------------------------------------------------------

    def leaky_relu(self, x: Array, slope: float, y: Array) -> Array:
        """Overwrite y with x where it is positive, slope x elsewhere."""
        return self._elementwise("leaky_relu", x, slope, y)

    def leaky_relu_backward(self, x: Array, slope: float, dy: Array, dx: Array) -> Array:
        """Overwrite dx: dy where x is positive, slope dy elsewhere."""
        return self._elementwise("leaky_relu_backward", x, slope, dy, dx)

    def elu(self, x: Array, alpha: float, y: Array) -> Array:
        """Overwrite y with x where it is positive, alpha (e^x - 1) elsewhere."""
        return self._elementwise("elu", x, alpha, y)

    def elu_backward(self, y: Array, alpha: float, dy: Array, dx: Array) -> Array:
        """Overwrite dx: dy where y is positive, (y + alpha) dy elsewhere."""
        return self._elementwise("elu_backward", y, alpha, dy, dx)

    def silu(self, x: Array, y: Array) -> Array:
        """Overwrite y with x sigmoid(x)."""
        return self._elementwise("silu", x, 0.0, y)

    def silu_backward(self, x: Array, dy: Array, dx: Array) -> Array:
        """Overwrite dx with dy s (1 + x (1 - s)), s = sigmoid(x)."""
        return self._elementwise("silu_backward", x, 0.0, dy, dx)

    def gelu(self, x: Array, y: Array) -> Array:
        """Overwrite y with x Phi(x)."""
        return self._elementwise("gelu", x, 0.0, y)

    def gelu_backward(self, x: Array, dy: Array, dx: Array) -> Array:
        """Overwrite dx with dy (Phi(x) + x phi(x))."""
        return self._elementwise("gelu_backward", x, 0.0, dy, dx)

    def gelu_tanh(self, x: Array, y: Array) -> Array:
        """Overwrite y with x (1 + tanh(u)) / 2."""
        return self._elementwise("gelu_tanh", x, 0.0, y)

    def gelu_tanh_backward(self, x: Array, dy: Array, dx: Array) -> Array:
        """Overwrite dx with dy (1 + h + x (1 - h^2) u') / 2, h = tanh(u)."""
        return self._elementwise("gelu_tanh_backward", x, 0.0, dy, dx)

    def softplus(self, x: Array, y: Array) -> Array:
        """Overwrite y with log(1 + e^x)."""
        return self._elementwise("softplus", x, 0.0, y)

    def softplus_backward(self, x: Array, dy: Array, dx: Array) -> Array:
        """Overwrite dx with dy sigmoid(x)."""
        return self._elementwise("softplus_backward", x, 0.0, dy, dx)

    def prelu(self, x: Array, weight: Array, y: Array) -> Array:
        """Overwrite y (N, C) with x where it is positive, weight_c x elsewhere."""
        return self.prelu_backward_input(x, weight, x, y)

    def prelu_backward_input(self, x: Array, weight: Array, dy: Array, dx: Array) -> Array:
        """Overwrite dx (N, C): dy where x is positive, weight_c dy elsewhere."""
        return self._by_column("scale_below", x, weight, dy, dx)

    def prelu_backward_weight(self, x: Array, dy: Array, dweight: Array) -> Array:
        """Overwrite dweight (C,) with the sums of dy x where x is not positive."""
        return self._column_products(x, dy, 1, dweight)

    # --- Normalisation -----------------------------------------------------------------------

    def normalise(self, x: Array, eps: float, xhat: Array, inverse: Array) -> Array:
        """Overwrite xhat with (x - mean) / sqrt(variance + eps), and inverse; x (B, P, G, n)."""
        self._by_group("normalise", x.shape, (x, float(eps), xhat, inverse), x.dtype)
        return xhat

    def normalise_backward(self, g: Array, xhat: Array, inverse: Array, dx: Array) -> Array:
        """Overwrite dx with r (g - mean(g) - xhat mean(g xhat))."""
        self._by_group("normalise_backward", g.shape, (g, xhat, inverse, dx), g.dtype)
        return dx

    def scale(self, x: Array, weight: Array, y: Array) -> Array:
        """Overwrite y (N, C) with weight x."""
        return self._by_column("scale_shift", x, weight, None, y)

    def scale_shift(self, xhat: Array, weight: Array, bias: Array, y: Array) -> Array:
        """Overwrite y (N, C) with weight xhat + bias."""
        return self._by_column("scale_shift", xhat, weight, bias, y)

    def scale_backward_weight(self, xhat: Array, dy: Array, dweight: Array) -> Array:
        """Overwrite dweight (C,) with the sums of dy xhat."""
        return self._column_products(xhat, dy, 0, dweight)

    # --- Convolutions ------------------------------------------------------------------------

    def pad(self, x: Array, before: tuple[int, ...], padded: Array) -> Array:
        """Overwrite padded (B, H', W', C) with x (B, H, W, C) and zeros."""
        return self._placed("pad", x, (*x.shape[1:], *before, *padded.shape[1:3]), padded)

    def patches(self, x: Array, stride: tuple[int, ...], cols: Array) -> Array:
        """Overwrite cols (B, h, w, kh, kw, C) with patches of x (B, H, W, C)."""
        return self._placed("patches", x, (*x.shape[1:], *stride, *cols.shape[1:5]), cols)

    def spread(self, blocks: Array, first: tuple[int, ...], x: Array) -> Array:
        """Overwrite x (B, H, W, C) with pictures made of blocks (B, n, m, sh, sw, C)."""
        return self._placed("spread", blocks, (*blocks.shape[1:], *first, *x.shape[1:3]), x)

    def by_patch(self, weight: Array, out: Array) -> Array:
        """Overwrite out (A, kh, kw, C) with weight (A, C, kh, kw)."""
        return self._placed("by_patch", weight, weight.shape[1:], out)

    def from_patch(self, rows: Array, out: Array) -> Array:
        """Overwrite out (A, C, kh, kw) with rows (A, kh, kw, C)."""
        return self._placed("from_patch", rows, out.shape[1:], out)

    def by_block(self, weight: Array, out: Array) -> Array:
        """Overwrite out (mh, mw, A, sh, sw, C) with weight (A, C, kh, kw)."""
        mh, mw, _, sh, sw, _ = out.shape
        return self._placed("by_block", weight, (*weight.shape, mh, mw, sh, sw), out)

    def add_bias(self, y: Array, bias: Array, row: Array) -> Array:
        """Add the bias (C,) to the channels of y (B, P C); `row` is not needed here."""
        columns = len(bias)
        launched = (y.size // columns, columns, bias, y, columns)
        self.device.launch("add_bias", (blocks_of(y),), (THREADS,), launched, one_type(y, bias))
        return y

    # --- Reparameterization ------------------------------------------------------------------

    def reparameterize(self, mu: Array, logvar: Array, eps: Array, noise: Array, z: Array) -> Array:
        """Overwrite noise with exp(logvar/2) eps and z with mu + noise."""
        return self._elementwise("reparameterize", mu, logvar, eps, noise, z)

    def reparameterize_backward(self, dz: Array, noise: Array, dmu: Array, dlogvar: Array) -> None:
        """Add dz to dmu and dz noise / 2 to dlogvar."""
        self._elementwise("reparameterize_backward", dz, noise, dmu, dlogvar)

    # --- The two terms of the loss -----------------------------------------------------------

    def bernoulli_nll(self, logits: Array, x: Array, scale: float, dlogits: Array) -> Array:
        """Return the likelihood's value, a float64 on the device; overwrite dlogits."""
        return self._nll("bernoulli", logits, x, scale, dlogits)

    def _nll(self, name: str, eta: Array, x: Array, scale: float, deta: Array) -> Array:
        rows, columns = eta.shape
        value = self.device.empty((), np.float64)
        self.device.launch(
            f"{name}_nll",
            (sum_blocks(rows * columns),),
            (THREADS,),
            (
                *(rows, columns, eta, row_stride(eta), x, row_stride(x), float(scale)),
                *(deta, row_stride(deta), *self._room(), value),
            ),
            one_type(eta, x, deta),
        )
        return value

    def gaussian_kl(
        self,
        mu: Array,
        logvar: Array,
        beta: float,
        scale: float,
        dmu: Array,
        dlogvar: Array,
    ) -> Array:
        """Return the KL, a float64 on the device; overwrite dmu and dlogvar.

        `beta` may lie on the device, as a float64 array of one element.
        """
        rows, columns = mu.shape
        value = self.device.empty((), np.float64)
        self.device.launch(
            "gaussian_kl",
            (sum_blocks(rows * columns),),
            (THREADS,),
            (
                *(rows, columns, mu, row_stride(mu), logvar, row_stride(logvar)),
                *((float(beta), None) if np.isscalar(beta) else (0.0, beta)),
                *(float(scale), dmu, row_stride(dmu), dlogvar, row_stride(dlogvar)),
                *(*self._room(), value),
            ),
            one_type(mu, logvar, dmu, dlogvar),
        )
        return value

    def bernoulli_log_likelihood(
        self, logits: Array, x: Array, out: Array, slopes: Array | None = None
    ) -> Array:
        """Overwrite out (N,) with log p(x|logits), x (N / K, D), in nats, and slopes (N, D)."""
        rows, columns = logits.shape
        self.device.launch(
            "bernoulli_log_likelihood",
            (rows,),
            (THREADS,),
            (
                *(columns, rows // len(x), logits, row_stride(logits), x, row_stride(x), out),
                *(slopes, 0 if slopes is None else row_stride(slopes)),
            ),
            one_type(logits, x, out),
        )
        return out

    def gaussian_kl_each(self, mu: Array, logvar: Array, out: Array) -> Array:
        """Overwrite out with the KL of every image and latent dimension, in nats."""
        return self._elementwise("gaussian_kl_each", mu, logvar, out)

    # --- Likelihoods of parts/: their formulas, and value and gradient at once -----------------

    def continuous_bernoulli_nll(self, eta: Array, x: Array, scale: float, deta: Array) -> Array:
        """Return the likelihood's value, a float64 on the device; overwrite deta."""
        return self._nll("continuous_bernoulli", eta, x, scale, deta)

    def continuous_bernoulli(self, eta: Array, x: Array, dlog_p: float, deta: Array) -> Array:
        """Return log p of each pixel; overwrite deta with its slopes times dlog_p."""
        rows, columns = eta.shape
        log_p = self.device.empty(eta.shape, eta.dtype)
        self.device.launch(
            "continuous_bernoulli_each",
            (-(-eta.size // THREADS),),
            (THREADS,),
            (
                *(rows, columns, eta, row_stride(eta), x, row_stride(x), float(dlog_p)),
                *(deta, row_stride(deta), log_p, columns),
            ),
            one_type(eta, x, deta),
        )
        return log_p

    def continuous_bernoulli_mean(self, eta: Array, mean: Array) -> Array:
        """Overwrite mean with that of p(x|eta)."""
        return self._elementwise("continuous_bernoulli_mean", eta, mean)

    def gaussian_nll(
        self, eta: Array, x: Array, logvar: Array, scale: float, deta: Array, dlogvar_rows: Array
    ) -> Array:
        """Return the value, a float64 on the device; overwrite deta and dlogvar_rows."""
        value = self.device.empty((), np.float64)
        self._gaussian(eta, x, logvar, -scale, None, deta, dlogvar_rows, value)
        return value

    def gaussian_log_p(self, eta: Array, x: Array, logvar: Array) -> Array:
        """Return log p of each image, (B,), in nats."""
        log_p = self.device.empty((len(eta),), eta.dtype)
        self._gaussian(eta, x, logvar, 0.0, log_p, None, None, None)
        return log_p

    def gaussian_backward(
        self, eta: Array, x: Array, logvar: Array, dlog_p: Any, deta: Array, dlogvar_rows: Array
    ) -> None:
        """Overwrite deta and dlogvar_rows (B, 1), for dlog_p: one number, or (B, 1)."""
        self._gaussian(eta, x, logvar, dlog_p, None, deta, dlogvar_rows, None)

    def _gaussian(
        self, eta: Array, x: Array, logvar: Array, dlog_p: Any, log_p: Any, deta: Any, *last: Any
    ) -> None:
        dlogvar_rows, value = last
        weights = (float(dlog_p), None) if np.isscalar(dlog_p) else (0.0, dlog_p)
        self.device.launch(
            "gaussian",
            (min(len(eta), SUM_BLOCKS),),
            (THREADS,),
            (
                *(*eta.shape, eta, row_stride(eta), x, row_stride(x), logvar, *weights, log_p),
                *(deta, 0 if deta is None else row_stride(deta), dlogvar_rows),
                *(*self._room(), value),
            ),
            one_type(eta, x, logvar, *(a for a in (deta, dlogvar_rows) if a is not None)),
        )

    # --- Rows, and what importance-weighted bounds ask of the Gaussian parts -------------------

    def repeat_rows(self, rows: Array, out: Array) -> Array:
        """Overwrite out (B K, C) with each of the rows (B, C) K times."""
        return self._repeated("repeat_rows", len(out) // len(rows), rows, out)

    def join_rows(self, rows: Array, out: Array) -> Array:
        """Overwrite out (B, C) with the sums of K of the rows (B K, C) each."""
        return self._repeated("join_rows", len(rows) // len(out), rows, out)

    def _repeated(self, kernel: str, times: int, rows: Array, out: Array) -> Array:
        launched = (*out.shape, times, *_matrix(rows, out))
        self.device.launch(kernel, (blocks_of(out),), (THREADS,), launched, one_type(out, rows))
        return out

    def sum_rows(self, rows: Array) -> Array:
        """Return the sum of each of the rows (N, C), (N,)."""
        return self._by_row("sum_rows", rows)

    def normal_log_density(self, z: Array, logvar: Array | None) -> Array:
        """Return -(z^2 + logvar + log 2 pi) / 2, summed over each row of (N, Z), (N,)."""
        return self._by_row("normal_log_density", z, logvar)

    def _by_row(self, kernel: str, first: Array, *others: Any) -> Array:
        """Launch a kernel with a warp for each row of matrices; return what it makes of each."""
        out = self.device.empty((len(first),), first.dtype)
        self.device.launch(
            kernel,
            (-(-len(first) // WARPS),),
            (THREADS,),
            (*first.shape, *_matrix(first, *others), out),
            one_type(first, *(one for one in others if one is not None)),
        )
        return out

    def scale_rows(self, rows: Array, weights: Array, out: Array) -> Array:
        """Overwrite out with w times each of the rows (N, C), for weights (N,)."""
        return self._weigh(rows, weights, 1.0, False, out)

    def add_rows(self, rows: Array, weights: Array | None, out: Array) -> Array:
        """Add the rows (N, C) to out; w times each, if there are weights (N,)."""
        return self._weigh(rows, weights, 1.0, True, out)

    def normal_backward(self, z: Array, dlog_p: Array, dz: Array) -> Array:
        """Overwrite dz (N, Z) with -z dlog_p, for dlog_p (N,)."""
        return self._weigh(z, dlog_p, -1.0, False, dz)

    def _weigh(self, rows: Array, weights: Any, factor: float, add: bool, out: Array) -> Array:
        launched = (*rows.shape, *_matrix(rows), weights, factor, int(add), *_matrix(out))
        given = rows, out if weights is None else weights, out
        self.device.launch("weigh_rows", (blocks_of(out),), (THREADS,), launched, one_type(*given))
        return out

    def gaussian_score(self, eps: Array, logvar: Array, out: Array) -> Array:
        """Overwrite out (N, Z) with -eps exp(-logvar/2)."""
        return self._elementwise("gaussian_score", eps, logvar, out)

    def log_base_backward(self, dlog_q: Array | None, dmu: Array, dlogvar: Array) -> None:
        """Overwrite dmu with 0 and dlogvar (N, Z) with -dlog_q / 2, for dlog_q (N,) or none."""
        given = dmu, dlogvar, dmu if dlog_q is None else dlog_q
        launched = (*dmu.shape, dlog_q, *_matrix(dmu, dlogvar))
        self.device.launch(
            "log_base_backward", (blocks_of(dmu),), (THREADS,), launched, one_type(*given)
        )

    def importance_weights(
        self, log_p: Array, log_prior: Array, log_q: Array, samples: int, beta: float, scale: float
    ) -> tuple[Array, Array, Array, Array, Array, Array]:
        """Return (nll, kl, v, dlog_p, dlog_prior, dlog_q); nll and kl are float64 on the device.

        `beta` may lie on the device, as a float64 array of one element.
        """
        made = [self.device.empty(log_p.shape, log_p.dtype) for _ in range(4)]
        nll, kl = self.device.empty((), np.float64), self.device.empty((), np.float64)
        given = log_p, log_prior, log_q
        self._importance(given, samples, beta, scale, *made, None, None, *self._room(), nll, kl)
        return nll, kl, *made

    def importance_terms(
        self, log_p: Array, log_prior: Array, log_q: Array, samples: int, beta: float
    ) -> tuple[Array, Array]:
        """Return -nll and kl of each image, (B,)."""
        made = [self.device.empty((len(log_p) // samples,), log_p.dtype) for _ in range(2)]
        given = log_p, log_prior, log_q
        self._importance(given, samples, beta, 1.0, *(None,) * 4, *made, *(None,) * 4)
        return made[0], made[1]

    def _importance(self, given: tuple, samples: int, beta: Any, scale: float, *made: Any) -> None:
        images = len(given[0]) // samples
        weight = (float(beta), None) if np.isscalar(beta) else (0.0, beta)
        self.device.launch(
            "importance",
            (min(-(-images // WARPS), SUM_BLOCKS // 2),),  # which have room for two sums
            (THREADS,),
            (images, samples, *given, *weight, float(scale), *made),
            one_type(*given),
        )

    # --- Adam --------------------------------------------------------------------------------

    def adam(
        self,
        theta: Array,
        grad: Array,
        m: Array,
        v: Array,
        beta1: float,
        beta2: float,
        rate: float,
        floor: float,
        change: Array | None = None,
    ) -> None:
        """One update of theta, m and v in place; a kernel needs no room."""
        self._adam(theta, grad, m, v, beta1, beta2, float(rate), float(floor), None)

    def adam_on_device(
        self, theta: Array, grad: Array, m: Array, v: Array, constants: Array
    ) -> None:
        """As `adam`; constants (4,), float64 on the device: beta1, beta2, rate, floor."""
        self._adam(theta, grad, m, v, 0.0, 0.0, 0.0, 0.0, constants)

    adam_constants = staticmethod(formulas.adam_constants)

    def _adam(self, theta: Array, grad: Array, m: Array, v: Array, *constants: Any) -> None:
        self.device.launch(
            "adam",
            (-(-theta.size // THREADS),),
            (THREADS,),
            (theta.size, theta, grad, m, v, *constants),
            one_type(theta, grad, m, v),
        )

    def _room(self) -> tuple[Array, Array]:
        """Return this lane's room for the blocks' sums, and its counter, which is 0 at rest."""
        room = self._rooms.get(self.device.lane)
        if room is None:
            made = self.device.zeros((SUM_BLOCKS,), np.float64), self.device.zeros((1,), np.uint32)
            room = self._rooms[self.device.lane] = made
        return room

    def _elementwise(self, kernel: str, *given: Any) -> Array:
        """Launch a kernel with one thread per element of arrays and numbers; return the last."""
        first = given[0]
        columns = first.shape[-1] if first.ndim else 1
        rows = first.size // columns if columns else 0
        parts = [(one,) if isinstance(one, float) else (one, row_stride(one)) for one in given]
        self.device.launch(
            kernel,
            (blocks_of(first),),
            (THREADS,),
            (rows, columns, *(each for part in parts for each in part)),
            one_type(*(one for one in given if not isinstance(one, float))),
        )
        return given[-1]

    def _by_column(self, kernel: str, x: Array, weight: Array, other: Any, y: Array) -> Array:
        """Launch a kernel on x (N, C) and weight (C,); `other` is (N, C), (C,) or nothing."""
        matrix = () if other is None or other.ndim == 1 else (row_stride(other),)
        launched = (*x.shape, x, row_stride(x), weight, other, *matrix, y, row_stride(y))
        self.device.launch(kernel, (blocks_of(x),), (THREADS,), launched, one_type(x, weight, y))
        return y

    def _column_products(self, x: Array, dy: Array, below: int, out: Array) -> Array:
        launched = (*x.shape, x, row_stride(x), dy, row_stride(dy), below, out)
        blocks = (-(-x.shape[1] // 32),)
        self.device.launch("column_products", blocks, (32, 32), launched, one_type(x, dy, out))
        return out

    def _by_group(self, kernel: str, shape: tuple[int, ...], given: tuple, dtype: Any) -> None:
        rows, pixels, groups, n = shape
        self.device.launch(kernel, (rows * groups,), (THREADS,), (pixels, groups, n, *given), dtype)

    def _placed(self, kernel: str, given: Array, numbers: tuple[int, ...], out: Array) -> Array:
        """Launch a kernel with one thread for each number that it writes; both are contiguous."""
        launched = (out.size, given, *numbers, out)
        self.device.launch(kernel, (blocks_of(out),), (THREADS,), launched, one_type(out, given))
        return out


def _matrix(*arrays: Any) -> tuple[Any, ...]:
    """Return pointer and row stride of each, none where there is no array."""
    pairs = [(one, 0 if one is None else row_stride(one)) for one in arrays]
    return tuple(each for pair in pairs for each in pair)


def blocks_of(array: Array) -> int:
    """Return how many blocks have a thread for each number."""
    return -(-array.size // THREADS)


def sum_blocks(elements: int) -> int:
    """Return how many blocks sum that many elements: about four a thread, 512 blocks at most."""
    return max(1, min(SUM_BLOCKS, -(-elements // (4 * THREADS))))


def one_type(*arrays: Array) -> Any:
    """Return the arrays' type; a kernel would read another type as garbage.

    Raises
    ------
    BackendError
        If there are more numbers than a kernel can count.
    """
    dtype = arrays[0].dtype
    if arrays[0].size >= LARGEST:
        raise BackendError(f"an array of {arrays[0].size:,} numbers: {SMALLER}")
    for array in arrays:
        if array.dtype != dtype:
            raise TypeError(f"arrays of {dtype} and {array.dtype} in one formula")
    return dtype
