"""NumPy or CuPy: the one place that decides which arrays and which formulas a model uses.

A backend is a small object handed to layers and models; they ask it for arrays and formulas and
never know which library answers. The CUDA code itself is in cuda/.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae import formulas
from minivae.errors import BackendError


class NumpyBackend:
    """Arrays in host memory, formulas in NumPy."""

    name = "numpy"
    formulas = formulas

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an uninitialised, C-contiguous array."""
        return np.empty(shape, dtype)

    def asarray(self, array: Any, dtype: Any = None) -> np.ndarray:
        """Return the values as an array of this backend, copied only where needed."""
        return np.asarray(array, dtype)

    def to_host(self, array: Any) -> np.ndarray:
        """Return the values as a NumPy array."""
        return np.asarray(array)


Backend = NumpyBackend


def get_backend(backend: str | Backend = "numpy") -> Backend:
    """Return the backend of that name ("numpy" or "cupy"); a backend object is returned as it is.

    Raises
    ------
    BackendError
        For an unknown name, or one that this machine cannot offer.
    """
    if not isinstance(backend, str):
        return backend
    if backend == "numpy":
        return NumpyBackend()
    raise BackendError(f"unknown backend {backend!r}: choose numpy or cupy")
