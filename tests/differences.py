"""Numeric derivatives for tests, and arrays that object to float64.

Which formula is held against them is for the tests that import this.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# The quotient (f(x+h) - f(x-h)) / 2h is off by h^2 f'''/6 and by about 1e-16 |f| / h from rounding:
# with h = 1e-5 and |f|, |f'''| below 100, by less than 2e-8.
H = 1e-5
CLOSE = {"rtol": 1e-6, "atol": 2e-8}


def slope(value: Callable[[], float], x: np.ndarray) -> np.ndarray:
    """Return dvalue/dx by central differences; x is moved in place and put back."""
    assert x.dtype == np.float64
    slopes = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        before = x[place]
        x[place] = before + H
        above = value()
        x[place] = before - H
        slopes[place] = (above - value()) / (2 * H)
        x[place] = before
    return slopes


def unset(*shape: int, dtype: object = np.float64) -> np.ndarray:
    """Return an array of NaN: whatever a function leaves unwritten, or reads first, shows."""
    return np.full(shape, np.nan, dtype)


class NoFloat64(np.ndarray):
    """An array that refuses to take part in anything with float64, or to become it."""

    def __array_finalize__(self, source: object) -> None:
        assert self.dtype != np.float64, "a float64 array was created"

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **named):
        for value in (*inputs, *(out or ())):
            kind = getattr(value, "dtype", None)  # Python's own floats have none, and do no harm
            assert kind != np.float64, f"{ufunc.__name__} was given float64"
        plain = [np.asarray(v) if isinstance(v, np.ndarray) else v for v in inputs]
        if out is not None:
            named["out"] = tuple(np.asarray(v) for v in out)
        result = getattr(ufunc, method)(*plain, **named)
        assert result.dtype != np.float64, f"{ufunc.__name__} gave float64"
        if out is not None:
            return out[0]
        return result.view(NoFloat64) if isinstance(result, np.ndarray) else result


def watched(array: np.ndarray) -> np.ndarray:
    """Return the array in float32, refusing float64 from now on."""
    return np.array(array, np.float32).view(NoFloat64)
