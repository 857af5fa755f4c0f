"""The mathematics of the VAE as plain functions on NumPy arrays, each backward under its forward.

No state, no classes, no files: layers.py owns the arrays, cuda/ has the twins of these functions.

Letters, here and everywhere: B images in a batch, D pixels, H hidden units, Z latent dimensions.
``dx`` is dLoss/dx and has the shape of x. Results go into the arrays named last; each docstring
says whether they are overwritten or added to. ``scale`` is 1/B: a loss is a mean over the batch,
in nats per image.
"""

from __future__ import annotations

import functools

import numpy as np

from minivae import products

Array = np.ndarray
FEW_ROWS = 64  # up to which `matmul` turns x W^T around


def matmul(a: Array, b: Array, out: Array) -> Array:
    """Overwrite `out` with the matrix product a b; every product of the engine passes here."""
    few = FEW_ROWS if products.in_use is None else products.in_use.FEW_ROWS
    if 1 < len(a) <= few and b.T.flags.c_contiguous:
        # x W^T for few rows: up to twice as fast is its transpose, W x^T, because libraries have
        # to turn W around in the one and not in the other (bench/README.md).
        np.copyto(out, _product(b.T, a.T, np.empty(out.shape[::-1], out.dtype)).T)
        return out
    return _product(a, b, out)


def _product(a: Array, b: Array, out: Array) -> Array:
    if products.in_use is not None and products.in_use.matmul(a, b, out):
        return out
    return np.matmul(a, b, out=out)


# --- Linear: y = x W^T + b, with W of shape (out, in) as in PyTorch ---------------------------


def linear(x: Array, weight: Array, bias: Array, y: Array) -> Array:
    """Overwrite y (B, out) with x W^T + b for x (B, in), weight (out, in), bias (out,)."""
    matmul(x, weight.T, y)
    y += bias
    return y


def linear_backward_input(dy: Array, weight: Array, dx: Array) -> Array:
    """Overwrite dx (B, in): y_bo = sum_i x_bi W_oi + b_o, so dx_bi = sum_o dy_bo W_oi."""
    return matmul(dy, weight, dx)


def linear_backward_weight(x: Array, dy: Array, dweight: Array) -> Array:
    """Overwrite dweight (out, in): every row of the batch uses W, so dW_oi = sum_b dy_bo x_bi."""
    return matmul(dy.T, x, dweight)


def linear_backward_bias(dy: Array, dbias: Array) -> Array:
    """Overwrite dbias (out,): every row of the batch adds b, so db_o = sum_b dy_bo."""
    # A row of ones times dy: twice as fast as NumPy's sum down the columns.
    return matmul(_ones(len(dy), dy.dtype), dy, dbias)


# --- Activations: each backward needs only the forward's output; y may be x, and dx dy ---------


def relu(x: Array, y: Array) -> Array:
    """Overwrite y with max(x, 0)."""
    # A row of zeros, because NumPy's maximum is several times slower against a scalar.
    return np.maximum(x, np.zeros(x.shape[-1], x.dtype), out=y)


def relu_backward(y: Array, dy: Array, dx: Array) -> Array:
    """Overwrite dx: the slope is 1 where the output is positive and 0 elsewhere."""
    return np.multiply(dy, y > 0, out=dx)


def sigmoid(x: Array, y: Array) -> Array:
    """Overwrite y with 1 / (1 + exp(-x)), written as (1 + tanh(x/2)) / 2, which never overflows."""
    np.multiply(x, 0.5, out=y)
    np.tanh(y, out=y)
    y *= 0.5
    y += 0.5
    return y


def sigmoid_backward(y: Array, dy: Array, dx: Array) -> Array:
    """Overwrite dx = dy y (1 - y): with y = 1/(1+e^-x), y' = e^-x / (1+e^-x)^2 = y (1 - y)."""
    slope = 1 - y
    slope *= y
    return np.multiply(slope, dy, out=dx)


def tanh(x: Array, y: Array) -> Array:
    """Overwrite y with tanh(x)."""
    return np.tanh(x, out=y)


def tanh_backward(y: Array, dy: Array, dx: Array) -> Array:
    """Overwrite dx = dy (1 - y^2), from tanh = sinh/cosh and the quotient rule."""
    slope = y * y
    np.subtract(1, slope, out=slope)
    return np.multiply(slope, dy, out=dx)


# --- Reparameterization (Kingma and Welling 2014, section 2.4) ---------------------------------


def reparameterize(mu: Array, logvar: Array, eps: Array, noise: Array, z: Array) -> Array:
    """Overwrite noise with sigma eps and z with mu + noise, sigma = exp(logvar/2); all (B, Z)."""
    np.multiply(logvar, 0.5, out=noise)
    np.exp(noise, out=noise)  # sigma: the variance is exp(logvar), the deviation its root
    noise *= eps
    return np.add(mu, noise, out=z)


def reparameterize_backward(dz: Array, noise: Array, dmu: Array, dlogvar: Array) -> None:
    """Add the paths through z to dmu and dlogvar (both B, Z).

    dz/dmu = 1, and dz/dlogvar = d/dlogvar [eps exp(logvar/2)] = eps sigma / 2 = noise / 2.
    """
    dmu += dz
    dlogvar += 0.5 * (dz * noise)


# --- The two terms of the loss, each with its gradient -----------------------------------------


def bernoulli_nll(logits: Array, x: Array, scale: float, dlogits: Array) -> float:
    """Return scale * sum of -log p(x|logits) and overwrite dlogits with its gradient; all (B, D).

    For one pixel with logit l: -log p = softplus(l) - x l, where softplus(l) = log(1 + e^l), and
    d/dl [softplus(l) - x l] = sigmoid(l) - x: Sigmoid followed by cross-entropy, collapsed.

    Both come from e = e^l: sigmoid(l) = e / (1 + e), which keeps all its digits where l is very
    negative, as it is for dark pixels. Where e is infinite, from l = 89 on in float32, softplus(l)
    is l and sigmoid(l) is 1.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(logits, out=dlogits)
        whole = e + 1
        e /= whole
        # log a + log b = log(a b): half as many logarithms, of one row times another
        first, half = len(whole) - len(whole) // 2, len(whole) // 2
        whole[:half] *= whole[first:]
        softplus = np.add.reduce(np.log(whole[:first], out=whole[:first]), axis=0)
    if not np.isfinite(softplus).all():
        softplus = np.add.reduce(np.logaddexp(0, logits), axis=0)
        sigmoid(logits, dlogits)
    # Column by column, since of a bright pixel both are large and next to nothing is left.
    value = float(np.add.reduce(softplus - np.einsum("bd,bd->d", x, logits)))

    dlogits -= x
    dlogits *= scale
    return scale * value


def gaussian_kl(
    mu: Array, logvar: Array, beta: float, scale: float, dmu: Array, dlogvar: Array
) -> float:
    """Return scale * sum of KL(N(mu, e^logvar) || N(0, 1)); overwrite dmu, dlogvar; all (B, Z).

    One dimension costs (mu^2 + e^logvar - 1 - logvar) / 2 (Kingma and Welling 2014, appendix B),
    with slopes mu and (e^logvar - 1) / 2. The value is the KL itself; the gradients are those of
    beta times it.
    """
    excess = np.expm1(logvar)  # exact near the prior, where e^logvar - 1 loses its digits
    np.multiply(excess, 0.5 * beta * scale, out=dlogvar)
    excess -= logvar
    value = _sum(excess) + _sum(mu * mu)
    np.multiply(mu, beta * scale, out=dmu)
    return 0.5 * scale * value


def bernoulli_log_likelihood(
    logits: Array, x: Array, out: Array, slopes: Array | None = None
) -> Array:
    """Overwrite out (N,) with log p(x|logits) of each row of logits (N, D), in nats.

    K rows in turn may be of one image: x is (N / K, D). One pixel has x l - softplus(l), as in
    `bernoulli_nll`, with slope x - sigmoid(l): `slopes` (N, D), if given, are overwritten with it.
    """
    shape = len(x), len(logits) // max(1, len(x)), x.shape[1]
    e = np.empty_like(logits) if slopes is None else slopes
    with np.errstate(over="ignore", invalid="ignore"):
        np.exp(logits, out=e)
        whole = e + 1
        if slopes is not None:
            e /= whole
            np.subtract(x[:, None], e.reshape(shape), out=e.reshape(shape))
        np.einsum("bkd,bd->bk", logits.reshape(shape), x, out=out.reshape(shape[:2]))
        out -= np.einsum("nd->n", np.log(whole, out=whole))
        for n in np.flatnonzero(~np.isfinite(out)):
            image = x[n // shape[1]]
            out[n] = np.vdot(image, logits[n]) - np.logaddexp(0, logits[n]).sum()
            e[n] = image - sigmoid(logits[n], whole[n])
    return out


def gaussian_kl_each(mu: Array, logvar: Array, out: Array) -> Array:
    """Overwrite out (..., Z) with the KL of every image and latent dimension, in nats."""
    np.expm1(logvar, out=out)
    out -= logvar
    out += mu * mu
    out *= 0.5
    return out


@functools.lru_cache(64)
def _ones(n: int, dtype: np.dtype) -> Array:
    ones = np.ones(n, dtype)
    ones.flags.writeable = False
    return ones


def _sum(a: Array) -> float:
    """Sum of a (rows, columns); down the columns first, where NumPy uses vector instructions."""
    return float(np.add.reduce(np.add.reduce(a, axis=0)))


# --- Adam (Kingma and Ba 2015, algorithm 1) ----------------------------------------------------


def adam(
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
    """One update of theta, in place, with its running sums m and v; all of one shape.

    `change` is room to compute in, of that shape too, made if left out.

    m <- beta1 m + g and v <- beta2 v + g^2 are the paper's moments without their constant factors
    (1 - beta1) and (1 - beta2). Those, and the corrections of the bias, are in two numbers made
    once a step by `adam_constants`: theta <- theta - rate m / (sqrt(v) + floor).
    """
    m *= beta1
    m += grad
    change = np.multiply(grad, grad, out=change)
    v *= beta2
    v += change
    np.sqrt(v, out=change)
    change += floor
    np.divide(m, change, out=change)
    change *= rate
    theta -= change


def adam_constants(
    step: int, lr: float, beta1: float, beta2: float, eps: float
) -> tuple[float, float]:
    """Return (rate, floor) of step 1, 2, ...: lr mhat / (sqrt(vhat) + eps) in terms of m and v.

    mhat = m (1-beta1)/(1-beta1^step) = m a and vhat = v (1-beta2)/(1-beta2^step) = v c^2, so the
    paper's update is (lr a / c) m / (sqrt(v) + eps / c).
    """
    a = (1 - beta1) / (1 - beta1**step)
    c = ((1 - beta2) / (1 - beta2**step)) ** 0.5
    return lr * a / c, eps / c
