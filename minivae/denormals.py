"""Denormal numbers, below 2^-126 in float32, taken as zeros within a training step.

The moments of a weight whose gradient stays 0 (a pixel never lit again, a dead unit) shrink at
every step and become denormal; so do the gradients of a draw that importance weights give next to
no share, in all the products that they pass through. Intel's processors compute with such numbers
in microcode: a product takes some forty times as long (bench/README.md). A switch of the vector
unit takes them as zeros instead (FTZ and DAZ in its register MXCSR: Intel 64 manual, volume 1,
section 10.2.3), as PyTorch's `torch.set_flush_denormal` does. Parameters do not feel it: 1e-38
beside the 1e-8 of Adam's floor.
"""

from __future__ import annotations

import ctypes
import platform
from typing import Any

FTZ_AND_DAZ = 0x8040
MXCSR = 7  # its place among the eight words of glibc's fenv_t on x86-64


def library() -> Any:
    """Return glibc, whose fesetenv reaches the switch; None where that is not known to work."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return None
    try:
        return ctypes.PyDLL("libm.so.6")  # which keeps the interpreter's lock: the calls are short
    except OSError:  # another C library
        return None


_LIBRARY = library()


class Flushed:
    """``with Flushed():`` denormal numbers are zeros in this thread; after it, as they were before.

    Where the switch cannot be reached it does nothing.
    """

    def __enter__(self) -> None:
        """Turn it on."""
        if _LIBRARY is not None:
            self._before = (ctypes.c_uint32 * 8)()
            _LIBRARY.fegetenv(self._before)
            within = (ctypes.c_uint32 * 8)(*self._before)
            within[MXCSR] |= FTZ_AND_DAZ
            _LIBRARY.fesetenv(within)

    def __exit__(self, *raised: object) -> None:
        """Put it back, whatever was raised."""
        if _LIBRARY is not None:
            _LIBRARY.fesetenv(self._before)
