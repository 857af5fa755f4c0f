"""Activations besides layers.py's three: each formula with its slope under it, then the layers.

All work on arrays of any shape, element by element; PReLU alone has parameters.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minivae import formulas
from minivae.errors import ArgumentError
from minivae.layers import Layer, Shape
from minivae.params import ALL

Array = np.ndarray

# --- Formulas ------------------------------------------------------------------------------------


def leaky_relu(x: Array, slope: float, y: Array) -> Array:
    """Overwrite y with x where it is positive, slope x elsewhere."""
    np.multiply(x, slope, out=y)
    np.copyto(y, x, where=x > 0)
    return y


def leaky_relu_backward(x: Array, slope: float, dy: Array, dx: Array) -> Array:
    """Overwrite dx: dy where x is positive, slope dy elsewhere."""
    np.multiply(dy, slope, out=dx)
    np.copyto(dx, dy, where=x > 0)
    return dx


def silu(x: Array, y: Array) -> Array:
    """Overwrite y with x sigmoid(x)."""
    formulas.sigmoid(x, y)
    y *= x
    return y


def silu_backward(x: Array, dy: Array, dx: Array) -> Array:
    """Overwrite dx: with s = sigmoid(x) and s' = s (1 - s), (x s)' = s (1 + x (1 - s))."""
    s = formulas.sigmoid(x, np.empty_like(x))
    np.subtract(1, s, out=dx)
    dx *= x
    dx += 1
    dx *= s
    dx *= dy
    return dx


# log(erfc(z) e^(z^2) / t) as a Chebyshev series in 2 t - 1, where t = 2 / (2 + z), z >= 0: the form
# of Numerical Recipes 6.2.2, made by interpolation at 40 Chebyshev nodes in 40 digits. The terms
# fall so fast that 12 of them are right to float32's last digit, and all to float64's.
ERFC = (
    *(-1.3026537197817094, 6.4196979235649026e-1, 1.9476473204185836e-2, -9.561514786808631e-3),
    *(-9.4659534448203687e-4, 3.6683949785276145e-4, 4.2523324806907772e-5),
    *(-2.0278578112534243e-5, -1.6242900046470255e-6, 1.3036558355805232e-6),
    *(1.5626441722066143e-8, -8.5238095914926543e-8, 6.5290544390988515e-9),
    *(5.0593434955514689e-9, -9.9136415649303309e-10, -2.2736512229318359e-10),
    *(9.6467911020155268e-11, 2.3940380830391147e-12, -6.8860275264975534e-12),
    *(8.9448792730907257e-13, 3.1309213993429581e-13, -1.1270822361367252e-13),
    *(3.8109052551892321e-16, 7.1060976136092369e-15, -1.5230282014571041e-15),
)


def normal_cdf(x: Array) -> Array:
    """Return Phi(x), the share of N(0, 1) below x: erfc(-x / sqrt(2)) / 2, by the series above."""
    z = np.where(x < 0, -x, x) * 2**-0.5
    t = 2 / (2 + z)
    twice = 4 * t - 2
    after, before = 0 * t, 0 * t
    terms = ERFC[:12] if x.dtype == np.float32 else ERFC
    for c in reversed(terms[1:]):  # Clenshaw's recurrence
        after, before = twice * after - before + c, after
    below = 0.5 * t * np.exp(-z * z + 0.5 * (ERFC[0] + twice * after) - before)
    return np.where(x < 0, below, 1 - below)


def gelu(x: Array, y: Array) -> Array:
    """Overwrite y with x Phi(x) (Hendrycks and Gimpel 2016)."""
    return np.multiply(x, normal_cdf(x), out=y)


def gelu_backward(x: Array, dy: Array, dx: Array) -> Array:
    """Overwrite dx: (x Phi(x))' = Phi(x) + x phi(x), where phi is the normal density."""
    np.multiply(x, x, out=dx)
    dx *= -0.5
    np.exp(dx, out=dx)
    dx *= (2 * math.pi) ** -0.5
    dx *= x
    dx += normal_cdf(x)
    dx *= dy
    return dx


ROOT, CUBE = (2 / math.pi) ** 0.5, 0.044715


def gelu_tanh(x: Array, y: Array) -> Array:
    """Overwrite y with x (1 + tanh(u)) / 2, where u = sqrt(2/pi) (x + 0.044715 x^3)."""
    _inner_tanh(x, y)
    y += 1
    y *= x
    y *= 0.5
    return y


def gelu_tanh_backward(x: Array, dy: Array, dx: Array) -> Array:
    """Overwrite dx: with h = tanh(u), h' = (1 - h^2) u', the slope is (1 + h + x h') / 2."""
    h = _inner_tanh(x, np.empty_like(x))
    np.multiply(x, x, out=dx)
    dx *= 3 * CUBE * ROOT
    dx += ROOT  # u'
    dx *= 1 - h * h
    dx *= x
    dx += 1
    dx += h
    dx *= 0.5
    dx *= dy
    return dx


def _inner_tanh(x: Array, h: Array) -> Array:
    np.multiply(x, x, out=h)
    h *= CUBE
    h += 1
    h *= x
    h *= ROOT
    return np.tanh(h, out=h)


def elu(x: Array, alpha: float, y: Array) -> Array:
    """Overwrite y with x where it is positive, alpha (e^x - 1) elsewhere."""
    np.minimum(x, 0, out=y)
    np.expm1(y, out=y)
    y *= alpha
    np.copyto(y, x, where=x > 0)
    return y


def elu_backward(y: Array, alpha: float, dy: Array, dx: Array) -> Array:
    """Overwrite dx: alpha e^x = y + alpha where x, and so y, is not positive; dy elsewhere."""
    np.add(y, alpha, out=dx)
    dx *= dy
    np.copyto(dx, dy, where=y > 0)
    return dx


def softplus(x: Array, y: Array) -> Array:
    """Overwrite y with log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)."""
    np.abs(x, out=y)
    np.negative(y, out=y)
    np.exp(y, out=y)
    np.log1p(y, out=y)
    y += np.maximum(x, 0)
    return y


def softplus_backward(x: Array, dy: Array, dx: Array) -> Array:
    """Overwrite dx: d/dx log(1 + e^x) = e^x / (1 + e^x) = sigmoid(x)."""
    formulas.sigmoid(x, dx)
    dx *= dy
    return dx


def prelu(x: Array, weight: Array, y: Array) -> Array:
    """Overwrite y (N, C) with x where it is positive, weight_c x elsewhere; weight is (C,)."""
    np.multiply(x, weight, out=y)
    np.copyto(y, x, where=x > 0)
    return y


def prelu_backward_input(x: Array, weight: Array, dy: Array, dx: Array) -> Array:
    """Overwrite dx (N, C): dy where x is positive, weight_c dy elsewhere."""
    np.multiply(dy, weight, out=dx)
    np.copyto(dx, dy, where=x > 0)
    return dx


def prelu_backward_weight(x: Array, dy: Array, dweight: Array) -> Array:
    """Overwrite dweight (C,): weight_c multiplies each x below 0, so the sum of dy x there."""
    return np.einsum("nc,nc->c", np.minimum(x, 0), dy, out=dweight)


# --- Layers --------------------------------------------------------------------------------------


class _Slope(Layer):
    """A function of each element whose derivative needs its input; with its settings, if any."""

    def __init__(self, forward: Any, backward: Any, *constants: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.names, self.given = (forward.__name__, backward.__name__), constants
        self.own = self.backend.twins(forward, backward)

    def forward(self, x: Any) -> Any:
        """Return y, of x's shape."""
        self.x = x
        return getattr(self.own, self.names[0])(x, *self.given, self.like("y", x))

    def backward_input(self, dy: Any) -> Any:
        """Return dx, of dy's shape."""
        dx = self.like("dx", dy)
        return getattr(self.own, self.names[1])(self.x, *self.given, dy, dx)


class LeakyReLU(_Slope):
    """x where it is positive, negative_slope x elsewhere."""

    def __init__(self, negative_slope: float = 0.01, **settings: Any) -> None:
        super().__init__(leaky_relu, leaky_relu_backward, negative_slope, **settings)


class SiLU(_Slope):
    """x sigmoid(x)."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(silu, silu_backward, **settings)


class GELU(_Slope):
    """x Phi(x); with approximate="tanh" its form with a tanh, which is several times faster."""

    def __init__(self, approximate: str = "none", **settings: Any) -> None:
        if approximate not in ("none", "tanh"):
            raise ArgumentError(f"approximate {approximate!r:.50} is unknown: none, tanh")
        exact = approximate == "none"
        pair = (gelu, gelu_backward) if exact else (gelu_tanh, gelu_tanh_backward)
        super().__init__(*pair, **settings)


class Softplus(_Slope):
    """log(1 + e^x)."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(softplus, softplus_backward, **settings)


class ELU(_Slope):
    """x where it is positive, alpha (e^x - 1) elsewhere; its way back needs the output alone."""

    def __init__(self, alpha: float = 1.0, **settings: Any) -> None:
        super().__init__(elu, elu_backward, alpha, **settings)

    def forward(self, x: Any) -> Any:
        """Return y, of x's shape."""
        self.x = super().forward(x)
        return self.x


class PReLU(Layer):
    """x where it is positive, weight x elsewhere: one learned weight, or one for each channel.

    Parameters
    ----------
    num_parameters : int
        1, or the number of channels.
    init : float
        First value of the weights.
    """

    kept = ("x", "dy")

    def __init__(self, num_parameters: int = 1, init: float = 0.25, **settings: Any) -> None:
        super().__init__({"weight": (num_parameters,)}, **settings)
        self.own = self.backend.twins(prelu, prelu_backward_input, prelu_backward_weight)
        self.channels, self.init = num_parameters, init

    def initial(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Return `init`."""
        return np.full(shape, self.init)

    def forward(self, x: Any) -> Any:
        """Return y, of x's shape."""
        self.x, y = x, self.like("y", x)
        self.own.prelu(self._flat(x), self.params["weight"], self._flat(y))
        return y

    def backward_input(self, dy: Any) -> Any:
        """Return dx, of dy's shape."""
        self.dy, dx = dy, self.like("dx", dy)
        flat = self._flat(self.x), self.params["weight"], self._flat(dy), self._flat(dx)
        self.own.prelu_backward_input(*flat)
        return dx

    def gradients(self, part: slice = ALL) -> None:
        """Overwrite dweight, if it lies in that part of the flat vector."""
        if self.within("weight", part) is not None:
            flat = self._flat(self.x), self._flat(self.dy)
            self.own.prelu_backward_weight(*flat, self.grads["weight"])

    def _flat(self, x: Any) -> Any:
        return x.reshape(-1, self.channels)
