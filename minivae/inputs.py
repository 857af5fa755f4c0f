"""Arrays as they come in from outside: one place that checks them, and names what is wrong.

What their numbers mean, and which are possible, is for who asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minivae.errors import ArgumentError


def checked(
    x: Any,
    columns: int | None,
    what: str,
    outside: Callable[[np.ndarray], np.ndarray] | None = None,
    expected: str = "finite numbers",
    *,
    scale: bool = False,
) -> Any:
    """Return x as a matrix of finite numbers; no copy is made where none is needed.

    Parameters
    ----------
    x : array (N, columns), or what NumPy makes one of
        Numbers or booleans, at least one row. An array on a device stays there, its numbers
        unseen.
    columns : int or None
        How many there must be; None: any number.
    what : str
        What the rows are, for messages: "images".
    outside : callable, optional
        Returns which entries may not be, (N, columns); if left out, those that are not finite.
    expected : str
        What they should be, for messages.
    scale : bool
        Whether bytes (uint8) stand for numbers from 0 to 1: 255 becomes 1.

    Raises
    ------
    ArgumentError
        Another shape, no rows, no numbers; a number that is not finite or `outside`, with its
        row and column.
    """
    if not (isinstance(x, np.ndarray) or hasattr(x, "__cuda_array_interface__")):
        try:
            x = np.asarray(x)
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"{what} that are no array: {_line(error)}") from None
    if x.dtype.kind not in "biuf":
        raise ArgumentError(f"{what} of type {x.dtype}: expected numbers")
    if x.ndim != 2 or columns not in (None, x.shape[1]):
        raise ArgumentError(
            f"{what} of shape {tuple(x.shape)}: expected (N, {columns or 'columns'})"
            f"{_remedy(tuple(x.shape), columns)}"
        )
    if 0 in x.shape:
        raise ArgumentError(
            f"no {what} were given (shape {tuple(x.shape)}): one at least is needed"
        )
    if x.dtype == np.uint8 and scale:
        return x / np.float32(255)
    if isinstance(x, np.ndarray):
        wrong = outside(x) if outside is not None else ~np.isfinite(x)
        if wrong.any():
            row, column = (int(place[0]) for place in wrong.nonzero())
            raise ArgumentError(
                f"{what}: row {row}, column {column} is {x[row, column]:g}: expected {expected}"
            )
    return x


def _remedy(shape: tuple[int, ...], columns: int | None) -> str:
    """Say how such an array becomes what is expected, where it can."""
    if len(shape) == 1 and columns in (None, shape[0]):
        return "; one row alone is x[None]"
    if len(shape) > 2 and columns in (None, math.prod(shape[1:])):
        return "; use x.reshape(len(x), -1)"
    return ""


def _line(error: Exception) -> str:
    """Return the first line of what a library said, printable."""
    text = (str(error).splitlines() or [type(error).__name__])[0]
    return text if text.isprintable() else ascii(text)
