"""Finds which mistake a wrong answer is, by its numbers: those of a known mistake, exactly.

The mistakes are the table of mistakes.py, and the small faults that edits.py puts into the right
line, one or two at a time.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator

import numpy as np

from minivae.teaching.exercises import tried
from minivae.teaching.exercises.catalogue import Exercise
from minivae.teaching.exercises.edits import faulty, forms, without

Numbers = dict[str, np.ndarray]


@functools.cache
def solved(exercise: Exercise) -> Numbers:
    """Return the numbers of the solution."""
    return tried.numbers_of(exercise, exercise.source({}))


@functools.cache
def written(exercise: Exercise) -> frozenset[tuple[str, int]]:
    """Return the arguments that the solution writes into, by function and position."""
    return frozenset((function, i) for function, i, _ in tried.changed_by(exercise))


def differing(exercise: Exercise, found: Numbers) -> set[str]:
    """Return the names of the numbers that are not the solution's."""
    return {name for name, one in solved(exercise).items() if not tried.same(found.get(name), one)}


def recognise(exercise: Exercise, blank: int, found: Numbers) -> tuple[str, ...]:
    """Return the sentences of the one or two mistakes in a blank that give these numbers."""
    for table in (_single, _double):
        row = table(exercise, blank).find(found)
        if row is not None:
            return row
    return ()


def recognise_some(exercise: Exercise, found: Numbers) -> dict[str, set[str]]:
    """Return the mistakes, of any blank, whose every wrong number is the student's, with these."""
    wrong, right = differing(exercise, found), solved(exercise)
    fitting = []
    for blank in range(len(exercise.blanks)):
        table = _single(exercise, blank)
        for row in range(len(table.says)):
            gives = table.numbers(row)
            spoilt = {name for name in gives if not tried.same(gives[name], right[name])}
            if (
                spoilt
                and spoilt <= wrong
                and all(tried.same(found.get(name), gives[name]) for name in spoilt)
            ):
                fitting.append((table.says[row][0], spoilt))
    named: dict[str, set[str]] = {}
    for says, spoilt in sorted(fitting, key=lambda one: -len(one[1])):
        if not spoilt & set().union(*named.values()):
            named[says] = spoilt
    return named


def starts(found: Numbers) -> list[str]:
    """Return what is wrong with a Linear's first weights, by their size and spread.

    They are measured in units of 1 / sqrt(inputs): uniform in +-1 they are 1 and 0.6, rounded.
    """
    said = []
    for name in ("weight", "bias"):
        largest, spread = (
            float(found.get(f"{what} {name} at the start, times sqrt(inputs)", right))
            for what, right in (("largest", 1.0), ("spread of", 0.6))
        )
        if (largest, spread) == (1.0, 0.6):
            continue
        drawn = f"rng.uniform(-bound, bound, shape) draws {name}, with bound = 1 / sqrt(inputs)"
        if largest == 0:
            said.append(f"{name} starts at 0: it is to be drawn too; {drawn}.")
        elif spread > 0.5 * largest and spread < 0.7 * largest:
            said.append(f"{name} starts in another range, +-{largest:g} / sqrt(inputs); {drawn}.")
        else:
            said.append(f"{name} does not start uniform about 0, but is drawn otherwise; {drawn}.")
    return said


class _Table:
    """Known wrong answers of one blank: what to say of each, and its numbers in one row."""

    def __init__(self, right: Numbers) -> None:
        self.right = right
        self.says: list[tuple[str, ...]] = []
        self.texts: list[str] = []  # the faulty lines, as long as one more fault may be added
        self.rows = np.empty((0, len(self._row(right))))
        self.rooms = self.rows.copy()
        self._new: list[np.ndarray] = []
        self.add(right, (), "")

    def add(self, numbers: Numbers, says: tuple[str, ...], text: str) -> bool:
        """Take one more, unless another or the solution gives the same; return whether."""
        if any(np.shape(numbers.get(name)) != one.shape for name, one in self.right.items()):
            return False
        row = self._row(numbers)
        if len(self.rows) and tried.close(row, self.rows, self.rooms).all(axis=1).any():
            return False
        room = np.concatenate([tried.room(np.ravel(numbers[name])) for name in self.right])
        self.rows = np.vstack([self.rows, row])
        self.rooms = np.vstack([self.rooms, room])
        self.says.append(says)
        self.texts.append(text)
        return True

    def find(self, found: Numbers) -> tuple[str, ...] | None:
        """Return what to say of these numbers; None if they are not known."""
        if any(np.shape(found.get(name)) != one.shape for name, one in self.right.items()):
            return None
        rows = np.flatnonzero(tried.close(self._row(found), self.rows, self.rooms).all(axis=1))
        return self.says[rows[0]] if len(rows) and self.says[rows[0]] else None

    def numbers(self, row: int) -> Numbers:
        """Return the numbers of one row by name."""
        found, at = {}, 0
        for name, one in self.right.items():
            found[name] = self.rows[row, at : at + one.size].reshape(one.shape)
            at += one.size
        return found

    def _row(self, numbers: Numbers) -> np.ndarray:
        return np.concatenate([np.ravel(numbers[name]) for name in self.right]).astype(float)


@functools.cache
def _single(exercise: Exercise, blank: int) -> _Table:
    table, line = _Table(solved(exercise)), exercise.blanks[blank]
    for mistake in exercise.mistakes:
        if mistake.blank == line:
            _try(table, exercise, blank, mistake.wrong, (mistake.says,))
    names = _scope(exercise, blank)
    for form in forms(exercise.answers[blank]):
        for text, says, plain in faulty(form, names):
            _try(table, exercise, blank, text, (says,), keep=plain)
    return table


@functools.cache
def _double(exercise: Exercise, blank: int) -> _Table:
    table, single = _Table(solved(exercise)), _single(exercise, blank)
    names = _scope(exercise, blank)
    for text, says in without(exercise.answers[blank]):
        _try(table, exercise, blank, text, says)
    for text, first in zip(single.texts, single.says, strict=True):
        try:
            lines = list(faulty(text, names)) if text and ";" not in text else []
        except (SyntaxError, IndexError):
            continue
        for again, says, plain in lines:
            if plain and says not in first:
                _try(table, exercise, blank, again, (*first, says))
    return table


def _try(
    table: _Table,
    exercise: Exercise,
    blank: int,
    text: str,
    says: tuple[str, ...],
    keep: bool = True,
) -> None:
    try:
        numbers = tried.numbers_of(exercise, exercise.source({exercise.blanks[blank]: text}))
    except Exception:  # a mistake that does not even run is not this one
        return
    table.add(numbers, says, text if keep else "")


def _scope(exercise: Exercise, blank: int) -> list[str]:
    """Return the names that could stand in a blank: arguments, earlier locals, self's arrays."""
    line = exercise.lines[blank]
    for node in ast.walk(ast.parse(exercise.source({}))):
        if isinstance(node, ast.FunctionDef) and node.lineno <= line <= (node.end_lineno or 0):
            names = [one.arg for one in node.args.args if one.arg not in ("self", "vae")]
            for inner in _before(node, line):
                names.append(inner)
            return list(dict.fromkeys(names))
    return []


def _before(function: ast.FunctionDef, line: int) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.lineno < line:
            yield node.id
        own = isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self"
        if own and node.attr not in ("params", "grads", "latent"):
            yield f"self.{node.attr}"
