"""NumPy or CuPy: the one place that decides which arrays and which formulas a model uses.

A backend is a small object handed to layers and models; they ask it for arrays and formulas and
never know which library answers. The CUDA code itself is in cuda/.
"""

from __future__ import annotations

import math
import mmap
import os
import platform
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from minivae import formulas
from minivae.errors import BackendError
from minivae.inputs import said

# On x86 a process sees the writes of another in the order in which they were made; the flags of
# training/crew.py rely on it.
ORDERED = platform.machine().lower() in ("x86_64", "amd64", "i686")


def shared_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return a C-contiguous array, zeros at first, in memory that forked processes share.

    Raises
    ------
    MemoryError
        If there is not so much.
    """
    count = math.prod(shape)
    try:
        if not (hasattr(os, "fork") and ORDERED):
            return np.empty(shape, dtype)
        memory = mmap.mmap(-1, max(1, count * np.dtype(dtype).itemsize))
    except (OSError, OverflowError, ValueError):
        raise MemoryError("an array of this size cannot be had") from None
    return np.frombuffer(memory, dtype, count).reshape(shape)


def is_shared(array: np.ndarray) -> bool:
    """Whether forked processes see one another's writes to this array."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(getattr(base, "obj", base), mmap.mmap)  # NumPy holds it in a memoryview


class NumpyBackend:
    """Arrays in host memory, formulas in NumPy."""

    name = "numpy"
    formulas = formulas
    block = 65536  # numbers of a long vector at a time: few calls, and still in a cache

    def twins(self, *functions: Callable[..., Any]) -> SimpleNamespace:
        """Return formulas of a part's own file, by name, in the form that this backend runs."""
        return SimpleNamespace(**{function.__name__: function for function in functions})

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return a C-contiguous array of arbitrary values, visible to forked processes."""
        return shared_empty(shape, dtype)

    def room(self, count: int, dtype: Any) -> np.ndarray:
        """Return room for numbers in a row, this process's own, at the start of a cache line.

        NumPy's own arrays begin at any 16 bytes, and of their AVX-512 accesses all but a few then
        touch two lines.
        """
        room = np.empty(count * np.dtype(dtype).itemsize + 64, np.uint8)
        return room[-room.ctypes.data % 64 :][: len(room) - 64].view(dtype)

    def asarray(self, array: Any, dtype: Any = None) -> np.ndarray:
        """Return the values as an array of this backend, copied only where needed."""
        return np.asarray(array, dtype)

    def to_host(self, array: Any) -> np.ndarray:
        """Return the values as a NumPy array."""
        return np.asarray(array)


class CupyBackend:
    """Arrays on a CUDA device, formulas as kernels, an epoch that stays there.

    Parameters
    ----------
    device : minivae.cuda.device.Device
        Where.
    precision : str
        "float32", or "tf32": products of float32 numbers rounded to 10 bits, on tensor cores.
    capture : bool
        Whether a training step may run as a captured CUDA graph.
    notice : callable
        Called with a line about what the user should know; warnings.warn if left out.
    """

    name = "cupy"
    block = 2**40  # a long vector at once: one launch

    def __init__(
        self,
        device: Any,
        precision: str = "float32",
        capture: bool = True,
        notice: Callable[[str], None] = warnings.warn,
    ) -> None:
        from minivae.cuda.formulas import CudaFormulas

        self.device, self.capture, self.notice = device, capture, notice
        self.formulas = CudaFormulas(device, precision)

    def twins(self, *functions: Callable[..., Any]) -> Any:
        """Return the formulas, which have twins of those of a part's own file.

        Raises
        ------
        BackendError
            If one has none.
        """
        for function in functions:
            if not hasattr(self.formulas, function.__name__):
                raise BackendError(
                    f"{function.__name__} has no CUDA form yet, so this model runs with --backend "
                    "numpy alone"
                )
        return self.formulas

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return an uninitialised, C-contiguous array on the device."""
        return self.device.empty(shape, dtype)

    def room(self, count: int, dtype: Any) -> np.ndarray:
        """Return no room: a kernel needs none."""
        return np.empty(0, dtype)

    def asarray(self, array: Any, dtype: Any = None) -> Any:
        """Return the values as an array on the device, copied only where needed."""
        return self.device.asarray(array, dtype)

    def to_host(self, array: Any) -> np.ndarray:
        """Return the values as a NumPy array; waits for the device."""
        return self.device.to_host(array)


Backend = NumpyBackend | CupyBackend
PRECISIONS = ("float32", "tf32")


def get_backend(
    backend: Any = "numpy",
    device: int = 0,
    precision: str = "float32",
    notice: Callable[[str], None] = warnings.warn,
) -> Backend:
    """Return the backend of that name ("numpy" or "cupy"); a backend object is returned as it is.

    Parameters
    ----------
    backend : str or Backend
        What to compute with.
    device : int
        Number of the CUDA device, for cupy.
    precision : str
        "float32", or for cupy "tf32".
    notice : callable
        Called with a line about what the user should know.

    Raises
    ------
    BackendError
        For an unknown name, or a backend that this machine cannot offer.
    """
    if not isinstance(backend, str):
        if not (hasattr(backend, "formulas") and hasattr(backend, "empty")):
            raise BackendError(f"backend must be numpy or cupy, not {said(backend)}")
        return backend
    if precision not in PRECISIONS:
        raise BackendError(f"precision {precision!r} is unknown: {', '.join(PRECISIONS)}")
    if backend == "numpy":
        if precision != "float32":
            raise BackendError(f"precision {precision} needs the cupy backend (--backend cupy)")
        return NumpyBackend()
    if backend == "cupy":
        from minivae.cuda.device import open_device

        return CupyBackend(open_device(device), precision, notice=notice)
    raise BackendError(f"unknown backend {backend!r}: choose numpy or cupy")


def describe_cupy() -> dict[str, Any]:
    """Return what is to be known of the cupy backend here: versions, devices, memory, or why not.

    `available` is always there, `reason` where it is false.
    """
    from minivae.cuda.detect import describe

    return describe()
