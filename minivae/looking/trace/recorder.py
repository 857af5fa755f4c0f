"""A NumPy backend that watches: each call of a formula is noted, and an array can be nudged.

What the calls mean, and what to nudge, is decided in steps.py. The arithmetic is untouched: the
functions called are those of formulas.py themselves.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from minivae import formulas
from minivae.backend import NumpyBackend


class Place(NamedTuple):
    """Where something stands in the source: minivae/formulas.py:31, linear."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:  # noqa: D105
        return f"{self.file}:{self.line} {self.function}"


class Call(NamedTuple):
    """One call of a formula: its name, its place, who called it, its arguments by name, its value.

    The arrays among the arguments are the engine's own, and already hold the results.
    """

    formula: str
    place: Place
    caller: Place
    arguments: dict[str, Any]
    value: Any


class Nudge(NamedTuple):
    """Add `by` to one entry of an array right after call number `after` of a step."""

    after: int
    array: np.ndarray
    index: tuple[int, ...]
    by: float


class Recorder(NumpyBackend):
    """The NumPy backend with formulas that report to `listener` and obey `nudge`."""

    def __init__(self) -> None:
        super().__init__()
        self.listener: Callable[[int, Call], None] | None = None
        self.nudge: Nudge | None = None
        self.count = 0
        self.formulas = SimpleNamespace(
            **{
                name: self._watched(name, function)
                for name, function in inspect.getmembers(formulas, inspect.isfunction)
                if not name.startswith("_")
            }
        )

    def twins(self, *functions: Callable[..., Any]) -> SimpleNamespace:
        """Return formulas of a part's own file, watched."""
        return SimpleNamespace(**{f.__name__: self._watched(f.__name__, f) for f in functions})

    def begin(self) -> None:
        """Count the calls from 0 again: a step begins."""
        self.count = 0

    def _watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        parameters = list(inspect.signature(function).parameters)
        place = place_of(function)

        def watched(*arguments: Any) -> Any:
            value = function(*arguments)
            if self.listener is not None:
                caller = _caller(inspect.currentframe().f_back)
                named = dict(zip(parameters, arguments, strict=True))
                self.listener(self.count, Call(name, place, caller, named, value))
            if self.nudge is not None and self.nudge.after == self.count:
                self.nudge.array[self.nudge.index] += self.nudge.by
            self.count += 1
            return value

        return watched


def place_of(function: Callable[..., Any]) -> Place:
    """Return where a function is defined."""
    _, line = inspect.getsourcelines(function)
    return Place(_relative(inspect.getsourcefile(function)), line, function.__qualname__)


def _caller(frame: FrameType) -> Place:
    name = frame.f_code.co_name
    if "self" in frame.f_locals:
        name = f"{type(frame.f_locals['self']).__name__}.{name}"
    return Place(_relative(frame.f_code.co_filename), frame.f_lineno, name)


def _relative(file: str) -> str:
    home = Path(formulas.__file__).resolve().parent.parent
    path = Path(file).resolve()
    return path.relative_to(home).as_posix() if path.is_relative_to(home) else path.name
