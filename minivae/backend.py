"""NumPy or CuPy: the one place that decides which arrays and which formulas a model uses.

A backend is a small object handed to layers and models; they ask it for arrays and formulas and
never know which library answers. The CUDA code itself is in cuda/.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae import formulas
from minivae.errors import BackendError
from minivae.parallel import ROWS_PER_THREAD, Steps, Team, available_cores
from minivae.pixels import Source


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

    def steps(
        self, vae: Any, adam: Any, source: Source, batch_size: int, threads: int | None = None
    ) -> Steps:
        """Return the training steps of an epoch over `source`, on that many threads.

        None: the cores available to the process, fewer where a batch is too small to share.
        """
        if threads is None:
            threads = max(1, min(available_cores(), batch_size // ROWS_PER_THREAD))
        return Steps(vae, adam, source, batch_size, Team(threads))


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
