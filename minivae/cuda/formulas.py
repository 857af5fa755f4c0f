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

    def bernoulli_log_likelihood(self, logits: Array, x: Array, out: Array) -> Array:
        """Overwrite out (B,) with log p(x|logits) of each image, in nats."""
        rows, columns = logits.shape
        self.device.launch(
            "bernoulli_log_likelihood",
            (rows,),
            (THREADS,),
            (columns, logits, row_stride(logits), x, row_stride(x), out),
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
    ) -> None:
        """One update of theta, m and v in place."""
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

    def _elementwise(self, kernel: str, *arrays: Array) -> Array:
        """Launch a kernel with one thread per element; return the last array."""
        first = arrays[0]
        columns = first.shape[-1] if first.ndim else 1
        rows = first.size // columns if columns else 0
        self.device.launch(
            kernel,
            (-(-first.size // THREADS),),
            (THREADS,),
            (rows, columns, *(part for array in arrays for part in (array, row_stride(array)))),
            one_type(*arrays),
        )
        return arrays[-1]


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
