"""The library behind matrix products: NumPy's own, or oneDNN where ``minivae[fast]`` is installed.

formulas.matmul asks here for every product, optim.Adam for every update; which library a run uses,
with how many threads, is decided and remembered by training/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from minivae import onednn
from minivae.errors import BackendError

LIBRARIES = ("numpy", "onednn")

in_use: onednn.OneDNN | None = None  # None: NumPy's


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
    if library is None and (onednn.file() is None or (threads == 1 and not _wide())):
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
    if onednn.file() is None:
        return "numpy"
    try:
        onednn.library()
    except BackendError as error:
        return f"numpy; {error}"
    return "numpy, onednn"


@contextmanager
def using(library: str, threads: int = 1) -> Iterator[None]:
    """Let a library compute products of float32 matrices, and Adam's updates, within this block.

    Parameters
    ----------
    library : str
        "numpy" or "onednn".
    threads : int
        Threads of oneDNN: give 1 where processes are forked, for they have none of them. NumPy's
        are set by `training.crew`.

    Raises
    ------
    BackendError
        If the library is unknown, not installed, cannot be loaded, or computes wrong products.
    """
    global in_use
    if library not in LIBRARIES:
        raise BackendError(f"products {library!r} are unknown: {', '.join(LIBRARIES)}")
    before, in_use = in_use, None
    try:
        if library == "onednn":
            in_use = onednn.library(threads)
            in_use.hold()
        yield
    finally:
        in_use = before


def _wide() -> bool:
    """Whether this processor has AVX-512."""
    try:
        with open("/proc/cpuinfo") as file:
            return any("avx512f" in line for line in file if line.startswith("flags"))
    except OSError:
        return False
