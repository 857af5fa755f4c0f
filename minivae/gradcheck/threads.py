"""Keeps the matrix library to one thread while thousands of small products are checked.

What is computed is for the other modules.
"""

from __future__ import annotations

import functools
from typing import Any

from threadpoolctl import ThreadpoolController


def one_thread() -> Any:
    """Return a context in which BLAS uses one thread: waking others costs more than they save."""
    return _found().limit(limits=1, user_api="blas")


@functools.cache
def _found() -> ThreadpoolController:
    return ThreadpoolController()
