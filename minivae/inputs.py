"""Arguments as they come in from outside: one place that checks them, and names what is wrong.

What their numbers mean, and which are possible, is for who asks.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, ParamSpec, TypeVar

import numpy as np

from minivae.errors import ArgumentError

P, T = ParamSpec("P"), TypeVar("T")

WORDS = {
    int: "a whole number from 0 to 2^63",
    float: "a finite number from 0",
    str: "text",
    bool: "True or False",
    os.PathLike: "a path",
    Callable: "a function",
    Sequence: "a sequence",
    types.NoneType: "None",
}


def typed(function: Callable[P, T]) -> Callable[P, T]:
    """Let a public function refuse arguments that are not what their annotations say.

    A float is a finite number, an int a whole one below 2^63, and neither is negative;
    what is annotated with Any, or an array, is for the function to look at.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def judged(*args: P.args, **kwargs: P.kwargs) -> T:
        judge(function, signature.bind(*args, **kwargs).arguments)
        return function(*args, **kwargs)

    return judged


def judge(function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Raise ArgumentError unless all arguments are what the function's annotations say."""
    hints = _hints(function)
    for name, value in arguments.items():
        kinds = _kinds(hints.get(name, Any))
        if not any(_is(value, kind) for kind in kinds):
            words = [WORDS.get(kind) or f"a {kind.__name__}" for kind in kinds]
            raise ArgumentError(f"{name} must be {' or '.join(words)}, not {said(value)}")


@functools.cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return typing.get_type_hints(function)


def _kinds(hint: Any) -> list[Any]:
    """Return what an annotation allows, without what stands in brackets."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return [kind for each in typing.get_args(hint) for kind in _kinds(each)]
    return [typing.get_origin(hint) or hint]


def _is(value: Any, kind: Any) -> bool:
    if kind is Any:
        return True
    if kind in (int, float) and isinstance(value, bool | np.bool_):
        return False
    if kind is int:
        try:
            return 0 <= operator.index(value) < 2**63
        except TypeError:
            return False
    if kind is float:
        try:
            return isinstance(value, Real) and value >= 0 and math.isfinite(value)
        except OverflowError:
            return False
    if kind is Callable:
        return callable(value)
    if kind in (Sequence, Iterable):  # arrays too
        return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    return isinstance(value, kind)


def one_of(value: Any, known: Iterable[str], what: str) -> None:
    """Raise ArgumentError unless the value is one of the known words."""
    if value not in known:
        raise ArgumentError(f"{what} {said(value)} is unknown: {', '.join(known)}")


def affordable(size: int, what: str) -> None:
    """Raise ArgumentError if so many bytes are more than the machine has."""
    if not hasattr(os, "sysconf"):
        return
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > most:
        raise ArgumentError(
            f"{what}: this needs about {size / 1e9:.0f} GB, more than this machine's "
            f"{most / 1e9:.0f}: take fewer or smaller"
        )


def precision(dtype: Any) -> np.dtype:
    """Return float32 or float64 as NumPy's own, however it is written.

    Raises
    ------
    ArgumentError
        If it is another.
    """
    try:
        found = None if dtype is None else np.dtype(dtype)
    except (TypeError, ValueError):
        found = None
    if found is None or found not in (np.float32, np.float64):
        raise ArgumentError(f"dtype must be float32 or float64, not {said(dtype)}")
    return found


def said(value: Any) -> str:
    """Return a value as one short printable line."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # whole numbers of thousands of digits, objects of others
        text = f"an object of type {type(value).__name__}"
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 50 else text[:47] + "..."


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
    x = numeric(x, what)
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


def numeric(x: Any, what: str) -> Any:
    """Return x as an array of any shape, of numbers or booleans; it may be one on a device.

    Raises
    ------
    ArgumentError
        If it is none.
    """
    if not (isinstance(x, np.ndarray) or hasattr(x, "__cuda_array_interface__")):
        try:
            x = np.asarray(x)
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"{what} that are no array: {_line(error)}") from None
    if x.dtype.kind not in "biuf":
        raise ArgumentError(f"{what} of type {x.dtype}: expected numbers")
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
