"""The library behind matrix products: NumPy's own, or oneDNN where ``minivae[fast]`` is installed.

formulas.matmul asks here for every product; which library a run uses, with how many threads, is
decided and remembered by training/.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

import numpy as np

from minivae.errors import BackendError

LIBRARIES = ("numpy", "onednn")
FILE = "libdnnl.so.3"
REMEDY = 'install it with pip install "minivae[fast]", or use --products numpy'
LEAST = 1_000_000  # multiplications: below, calling by ctypes costs more than it gains
# (rows, inputs, outputs) of products that every library must get right before it is used.
SHAPES = ((1, 1, 1), (3, 5, 2), (16, 20, 128), (33, 257, 100), (64, 784, 256), (128, 256, 784))

in_use: Any = None  # dnnl_sgemm while oneDNN is in use; None: NumPy's


def choose(library: str | None, threads: int, notice: Callable[[str], None]) -> str:
    """Return the library to use: the one asked for, else oneDNN where it is installed and quicker.

    That is where its own threads share the work, since no processes can, and on processors with
    AVX-512. With AVX2 NumPy's products are level with it, one thread each (bench/README.md).

    Parameters
    ----------
    library : str, optional
        Of `LIBRARIES`; None: nothing was asked for.
    threads : int
        As of `using`; more than one where no processes share the work.
    notice : callable
        Called with a line if oneDNN is installed and cannot be used.

    Raises
    ------
    BackendError
        If a library that was asked for cannot be used.
    """
    if library is None and (onednn_file() is None or (threads == 1 and not _wide())):
        return "numpy"
    try:
        with using(library or "onednn", threads):
            return library or "onednn"
    except BackendError as error:
        if library is not None:
            raise
        notice(f"{error}; this run takes NumPy's products")
        return "numpy"


def describe() -> str:
    """Return a line on what can compute products here."""
    if onednn_file() is None:
        return "numpy"
    try:
        onednn()
    except BackendError as error:
        return f"numpy; {error}"
    return "numpy, onednn"


def onednn_file() -> str | None:
    """Return the path of oneDNN's library as pip installed it; None if it is not there."""
    from importlib import metadata  # 15 ms that nobody needs who only imports minivae

    try:
        files = metadata.files("onednn") or ()
    except metadata.PackageNotFoundError:
        return None
    found = (os.path.realpath(file.locate().parent) for file in files if file.name == FILE)
    return next((os.path.join(folder, FILE) for folder in found), None)


@contextmanager
def using(library: str, threads: int = 1) -> Iterator[None]:
    """Let a library compute all products of float32 matrices within this block.

    Parameters
    ----------
    library : str
        "numpy" or "onednn".
    threads : int
        Threads of oneDNN. What it was loaded with stays for this process: give 1 where processes
        are forked, for they have none of its threads. NumPy's are set by `training.crew`.

    Raises
    ------
    BackendError
        If the library is unknown, not installed, cannot be loaded, or computes wrong products.
    """
    global in_use
    if library not in LIBRARIES:
        raise BackendError(f"products {library!r} are unknown: {', '.join(LIBRARIES)}")
    before, in_use = in_use, onednn(threads) if library == "onednn" else None
    try:
        yield
    finally:
        in_use = before


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> bool:
    """Overwrite out with a b and return True, if oneDNN, which is in use, takes such arrays.

    No copy is made: rows may lie apart, and a transposed matrix is one flag.
    """
    if out.ndim != 2 or a.ndim != 2 or not a.dtype == b.dtype == out.dtype == "f4":
        return False
    return out.size * a.shape[1] >= LEAST and _multiply(in_use, a, b, out)


def _multiply(sgemm: Callable[..., Any], a: np.ndarray, b: np.ndarray, out: np.ndarray) -> bool:
    """Call sgemm, whatever the size, and return True if BLAS can be told of such matrices."""
    left, right, result = _layout(a), _layout(b), _layout(out)
    if left is None or right is None or result is None or result[0] != b"N" or not a.size:
        return False
    sgemm(
        *(left[0], right[0], *out.shape, a.shape[1], 1.0),
        *(a.ctypes.data, left[1], b.ctypes.data, right[1], 0.0, out.ctypes.data, result[1]),
    )
    return True


def _layout(matrix: np.ndarray) -> tuple[bytes, int] | None:
    """Return how BLAS is told of a float32 matrix: "N" or "T", and numbers from line to line."""
    rows, columns = matrix.shape
    down, across = (stride // 4 for stride in matrix.strides)
    if across == 1 and (down >= columns or rows == 1):
        return b"N", max(down, columns)
    if down == 1 and (across >= rows or columns == 1):
        return b"T", max(across, rows)
    return None


@lru_cache(1)
def onednn(threads: int = 1) -> Callable[..., Any]:
    """Return dnnl_sgemm, loaded and checked against exact products.

    Raises
    ------
    BackendError
        If it is not installed, cannot be loaded, or computes wrong products.
    """
    path = onednn_file()
    if path is None:
        raise BackendError(f"oneDNN is not installed: {REMEDY}")
    try:
        with _cores(threads):  # its thread pool (TBB) takes as many as it sees when it starts
            sgemm = _load(*os.path.split(path)).dnnl_sgemm
            size, real, pointer = ctypes.c_int64, ctypes.c_float, ctypes.c_void_p
            sgemm.argtypes = [ctypes.c_char] * 2 + [size] * 3
            sgemm.argtypes += [real, pointer, size, pointer, size, real, pointer, size]
            check(sgemm)
    except (OSError, AttributeError) as error:
        raise BackendError(f"oneDNN cannot be loaded ({error}): {REMEDY}") from None
    return sgemm


def check(sgemm: Callable[..., Any]) -> None:
    """Compare products of float32 matrices with float64's, in all the forms that a step has.

    Raises
    ------
    BackendError
        If one is further off than roundings explain.
    """
    rng = np.random.default_rng(0)
    for batch, inputs, outputs in SHAPES:
        x, w, dy = (
            rng.standard_normal((rows, columns + 3), np.float32)[:, :columns]  # rows apart
            for rows, columns in ((batch, inputs), (outputs, inputs), (batch, outputs))
        )
        for a, b in ((x, w.T), (dy, w), (dy.T, x)):
            out = np.full((len(a), b.shape[1] + 1), np.nan, np.float32)
            _multiply(sgemm, a, b, out[:, :-1])
            exact, most = a.astype("f8") @ b.astype("f8"), np.abs(a) @ np.abs(b)
            right = (np.abs(out[:, :-1] - exact) <= 2**-22 * len(b) * most).all()
            if not (right and np.isnan(out[:, -1]).all()):
                raise BackendError(
                    f"oneDNN computes a wrong product of {a.shape} and {b.shape}: "
                    "use --products numpy"
                )


def _load(folder: str, name: str) -> ctypes.CDLL:
    """Load a library and, before it, those beside it that the system's loader asks for."""
    for _ in range(20):  # it names one at a time
        try:
            return ctypes.CDLL(os.path.join(folder, name), ctypes.RTLD_GLOBAL)
        except OSError as error:
            needed = str(error).split(":")[0]
            if "/" in needed or not os.path.exists(os.path.join(folder, needed)):
                raise
        _load(folder, needed)
    raise OSError(f"{name} needs too much")


def _wide() -> bool:
    """Whether this processor has AVX-512."""
    try:
        with open("/proc/cpuinfo") as file:
            return any("avx512f" in line for line in file if line.startswith("flags"))
    except OSError:
        return False


@contextmanager
def _cores(count: int) -> Iterator[None]:
    """Keep this thread on that many cores within this block, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    with suppress(OSError):
        os.sched_setaffinity(0, sorted(cores)[:count])
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, cores)
