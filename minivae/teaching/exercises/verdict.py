"""Judges an answer: the gradient checker, the contracts, and the solution's values beside it.

It says what is wrong in the words of the exercise; the numbers come from trials.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minivae.gradcheck import Entry, GradcheckError, check, check_contracts
from minivae.teaching.exercises import student
from minivae.teaching.exercises.catalogue import Exercise
from minivae.teaching.exercises.student import ExerciseError
from minivae.teaching.exercises.trials import TRIALS, Trial

CLOSE = 1e-9  # relative: two ways to write one formula differ by rounding alone

# What a cause of the gradient checker means for somebody who fills in one of these files.
ADVICE = {
    "zero": "Nothing arrives there. `d = ...` makes a new array; `d[...] = ...` writes into it.",
    "accumulated": "This adds to what the last step left there: write `d[...] = ...`, not `+=`.",
    "mutates": "Write only into the arrays whose names begin with d.",
    "transpose": "Say the shapes aloud: the gradient has the shape of what it is named after.",
    "shape": "Say the shapes aloud: the gradient has the shape of what it is named after.",
    "random": "No noise is drawn here: it is an argument.",
}


@dataclass
class Verdict:
    """Whether an answer is right, and what to tell the student, line by line."""

    passed: bool
    lines: list[str]


def judge(exercise: Exercise, folder: Path) -> Verdict:
    """Run the student's file of an exercise and judge it.

    Raises
    ------
    ExerciseError
        If it cannot be judged: no file, blanks, an exception in the student's code.
    """
    path = folder / exercise.file
    module = student.run(student.read(exercise, folder), path.stem, path)
    for name in re.findall(r"^(?:def|class) (\w+)", exercise.solution, flags=re.MULTILINE):
        if not callable(getattr(module, name, None)):
            raise ExerciseError(
                f"{path.name} has no {name} any more: put it back as it was, or move the file away "
                f"and begin anew with minivae exercise start {exercise.number}"
            )
    with np.errstate(all="ignore"):
        try:
            trial = TRIALS[exercise.name](module)
            entries, contracts = _check(trial)
            found = _numbers(trial)
        except GradcheckError as error:
            if error.__cause__ is not None:
                raise student.failed(error.__cause__, path, "while it was tried") from None
            raise ExerciseError(str(error), counts=True) from None
        except (Exception, SystemExit) as error:
            raise student.failed(error, path, "while it was tried") from None
        right = _solve(exercise, {})
        wrong = {name for name in right if not _same(found.get(name), right[name])}
        named = _recognise(exercise, wrong, found, right)
    failed = [entry for entry in entries if not entry.passed]
    values = [name for name in right if name in wrong and " " in name]  # gradients have no spaces
    if not failed and not values and not contracts:
        return Verdict(True, [_right(entry) for entry in entries] or [f"{n}: right" for n in right])
    if values:  # a right gradient of a wrong value is not at fault
        failed = [entry for entry in failed if entry.name in wrong]
    explained = set().union(*named.values())
    lines = [_wrong(entry, entry.name in explained) for entry in failed]
    lines += [_differs(name, found.get(name), right[name]) for name in values]
    lines += contracts
    causes = {one.cause: None for one in failed if one.name not in explained}
    said = [*named, *(ADVICE[cause] for cause in causes if cause in ADVICE)]
    return Verdict(False, [*lines, *(f"-> {sentence}" for sentence in said)])


def _solve(exercise: Exercise, answers: dict[str, str]) -> dict[str, Any]:
    """Return the results of the solution, with some of its lines replaced."""
    return _numbers(TRIALS[exercise.name](student.run(exercise.source(answers), "solution")))


def _check(trial: Trial) -> tuple[list[Entry], list[str]]:
    if trial.layer is None:
        return [], []
    entries = check(trial.layer, *trial.inputs).entries
    if trial.model is None or not all(entry.passed for entry in entries):
        return entries, []
    broken = [one for one in check_contracts(trial.model).contracts if not one.passed]
    laws = {one.law: one for one in reversed(broken)}  # each law once, with its first failure
    return entries, [
        f"contract: {law}; it gives {one.measured:.6g}, not {one.expected:.6g}"
        for law, one in reversed(laws.items())
    ]


def _numbers(trial: Trial) -> dict[str, Any]:
    """Return all results of a trial by name: the values, the forward's outputs, the gradients."""
    found = {name: np.array(value(), float) for name, value in trial.values.items()}
    if trial.layer is not None and trial.model is None and not trial.values:
        for position, output in enumerate(trial.forward()):
            found[f"the forward's output {position} (it was given: leave it as it is)"] = output
    return found | trial.gradients()


def _same(one: Any, other: Any) -> bool:
    if one is None or np.shape(one) != np.shape(other):
        return False
    size = np.abs(other).max(initial=0.0) if np.size(other) else 0.0
    room = CLOSE * size if np.isfinite(size) else CLOSE
    return bool(np.allclose(one, other, rtol=0, atol=room, equal_nan=True))


def _recognise(
    exercise: Exercise, wrong: set[str], found: dict[str, Any], right: dict[str, Any]
) -> dict[str, set[str]]:
    """Return the sentence of each mistake whose every wrong number is the student's, with these."""
    fitting = []
    for mistake in exercise.mistakes if wrong else ():
        try:
            gives = _solve(exercise, {mistake.blank: mistake.wrong})
        except Exception:  # a mistake that does not even run is not this one
            continue
        spoilt = {name for name in gives if not _same(gives[name], right[name])}
        theirs = all(_same(found.get(name), gives[name]) for name in spoilt)
        if spoilt and spoilt <= wrong and theirs:
            fitting.append((mistake.says, spoilt))
    named: dict[str, set[str]] = {}
    for says, spoilt in sorted(fitting, key=lambda one: -len(one[1])):
        if not spoilt & set().union(*named.values()):
            named[says] = spoilt
    return named


def _wrong(entry: Entry, explained: bool) -> str:
    sentence = entry.sentence
    if explained and entry.cause == "unknown":  # the mistake is named: no list of entries
        sentence = sentence.partition("; ")[0]
    return f"{_gradient(entry.name)}{sentence[len(entry.name) :]}"


def _right(entry: Entry) -> str:
    return f"{_gradient(entry.name)}: right, worst error {entry.max_rel_error:.0e}"


def _gradient(name: str) -> str:
    return f"d{name}" if name.isidentifier() else f"gradient of {name}"


def _differs(name: str, found: Any, right: Any) -> str:
    if found is None:
        return f"{name}: it is missing"
    if np.shape(found) != np.shape(right):
        return f"{name}: shape {np.shape(found)}, it should be {np.shape(right)}"
    at = np.unravel_index(np.argmax(np.nan_to_num(np.abs(found - right), nan=np.inf)), found.shape)
    place = f" at ({', '.join(map(str, at))})" if at else ""
    return f"{name}{place}: {found[at]:.6g}, it should be {right[at]:.6g}"
