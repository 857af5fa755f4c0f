"""Where the blanks of a task are in a student's file, and the file with other blanks made right.

So one blank can be tried alone, whatever stands in the others.
"""

from __future__ import annotations

import ast
import difflib
import re

from minivae.teaching.exercises.catalogue import Exercise

Region = tuple[int, int]  # the first line and the one after the last, counted from 0


def regions(exercise: Exercise, source: str) -> list[Region | None]:
    """Return what stands in place of each blank; None where the file was changed too much."""
    given, found = exercise.source().splitlines(), source.splitlines()
    at = dict(zip((line - 1 for line in exercise.lines), range(len(exercise.blanks)), strict=True))
    ends = _ends(source)
    places: list[Region | None] = [None] * len(exercise.blanks)
    matcher = difflib.SequenceMatcher(
        None, [line.strip() for line in given], [line.strip() for line in found], autojunk=False
    )
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        blanks = [at[i] for i in range(i1, i2) if i in at]
        if tag == "equal":
            for i in range(i1, i2):
                if i in at:
                    places[at[i]] = (j1 + i - i1, j1 + i - i1 + 1)
        elif i2 - i1 == j2 - j1:  # line by line
            places = [places[k] or _at(k, at, i1, i2, j1) for k in range(len(places))]
        elif len(blanks) == 1:
            places[blanks[0]] = (j1, j2)
        else:
            start = j1
            for j in range(j1, j2):
                if blanks and j >= start and _head(found[j]) == _head(exercise.blanks[blanks[0]]):
                    end = max(ends.get(j + 1, j + 1), j + 1)
                    places[blanks.pop(0)] = (start, end)
                    start = end
    return places


def strayed(exercise: Exercise, source: str) -> list[tuple[int, str]]:
    """Return the lines, counted from 0, that were changed beside the blanks, as they were given."""
    given, found = exercise.source().splitlines(), source.splitlines()
    blank = {line - 1 for line in exercise.lines}
    matcher = difflib.SequenceMatcher(
        None, [line.strip() for line in given], [line.strip() for line in found], autojunk=False
    )
    return [
        (j1 + i - i1, given[i])
        for tag, i1, i2, j1, j2 in matcher.get_opcodes()
        if tag == "replace" and i2 - i1 == j2 - j1
        for i in range(i1, i2)
        if i not in blank
    ]


def _at(blank: int, at: dict[int, int], i1: int, i2: int, j1: int) -> Region | None:
    """Return the line across from a blank in a block of as many lines, if it is there."""
    return next(((j1 + i - i1, j1 + i - i1 + 1) for i in range(i1, i2) if at.get(i) == blank), None)


def alone(exercise: Exercise, source: str, places: list[Region | None], blank: int | None) -> str:
    """Return the student's file with all blanks but one (or all) filled as in the solution.

    The lines keep their numbers.
    """
    lines, given = source.splitlines(), exercise.source({}).splitlines()
    for k in reversed(range(len(places))):
        place = places[k]
        if k != blank and place is not None:
            start, end = place
            right = given[exercise.lines[k] - 1]
            lines[start:end] = [right, *[""] * (end - start - 1)]
    return "\n".join(lines) + "\n"


def _head(line: str) -> str:
    """Return what a line gives a value to: `dx` of `dx[...] = dy`."""
    text = re.split(r"(?<![<>=!])[-+*/@]?=(?!=)", line.strip())[0].replace(" ", "")
    text = re.sub(r"\[(\.\.\.|:)\]$", "", text)
    if text.startswith("return"):
        return "return"
    return text.partition("(")[0].rpartition(".")[0] if text.startswith("vae.") else text


def _ends(source: str) -> dict[int, int]:
    """Return the last line of each statement by its first."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return {}
    return {
        node.lineno: node.end_lineno or node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt)
    }
