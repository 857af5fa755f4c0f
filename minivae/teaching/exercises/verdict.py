"""Judges an answer: what the child gave beside what the solution gives, blank by blank.

It says what is wrong in the words of the exercise; the numbers come from tried.py, the known
mistakes from causes.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minivae.teaching.exercises import blanks, causes, reading, repairs, student
from minivae.teaching.exercises.catalogue import Exercise
from minivae.teaching.exercises.sandbox import Finding, Outcome, Sandbox
from minivae.teaching.exercises.student import ExerciseError

# What a cause of the gradient checker means for somebody who fills in one of these files.
ADVICE = {
    "zero": "Nothing arrives there. `d = ...` makes a new array; `d[...] = ...` writes into it.",
    "accumulated": "This adds to what the last step left there: write `d[...] = ...`, not `+=`.",
    "mutates": "Write only into the arrays whose names begin with d.",
    "transpose": "Say the shapes aloud: the gradient has the shape of what it is named after.",
    "shape": "Say the shapes aloud: the gradient has the shape of what it is named after.",
    "chain": "The chain rule: every term carries the gradient that arrives (dy, dz, dlogits).",
    "random": "No noise is drawn here: it is an argument.",
}


@dataclass
class Blank:
    """What one blank is worth, tried alone, and what to say of it.

    `right` is None where it could not be tried alone.
    """

    line: int
    right: bool | None
    says: list[str] = field(default_factory=list)
    wrong: set[str] = field(default_factory=set)
    name: str = ""  # of what the line gives


@dataclass
class Verdict:
    """Whether an answer is right, and what to tell the student, line by line."""

    passed: bool
    lines: list[str]
    blanks: list[Blank] = field(default_factory=list)
    printed: str = ""
    share: float = 0.0  # of the numbers that are right


def judge(exercise: Exercise, folder: Path, sandbox: Sandbox | None = None) -> Verdict:
    """Run the student's file of an exercise in a child process and judge it.

    Raises
    ------
    ExerciseError
        If it cannot be judged: no file, blanks, an exception in the student's code, no end.
    """
    if sandbox is None:
        with Sandbox() as sandbox:
            return judge(exercise, folder, sandbox)
    path = (folder / exercise.file).absolute()
    return judged(exercise, student.read(exercise, folder), path, sandbox)


def judged(exercise: Exercise, source: str, path: Path, sandbox: Sandbox) -> Verdict:
    """Judge a source, as `judge` does, as if it stood at `path`."""
    outcome = sandbox.run(source, path, number=exercise.number)
    failure = outcome.failure
    if failure and failure.kind != "shape":
        if failure.kind == "raised":
            failure.message = ". ".join([failure.message, *_traps(exercise, source)])
        raise told(exercise, outcome)
    wrong, spoilt = causes.differing(exercise, outcome.numbers), _spoilt(exercise, outcome)
    if exercise.kind == "hunt" and (wrong or spoilt) and not failure:
        return _hunted(exercise, source, path, sandbox, outcome)
    if failure or wrong or spoilt:
        each = tried_alone(exercise, source, path, sandbox)
        said = _said(each)
        explained = set().union(*(one.wrong for one in each if one.says))
        if not said and not failure:
            named = causes.recognise_some(exercise, outcome.numbers)
            said, explained = list(named), set().union(*named.values())
        if exercise.kind == "page" and wrong and not failure:
            said, explained = repairs.recognise(exercise, source, path, sandbox)
            said = said or reading.traps(source, "")
    else:
        each = [Blank(line, True) for line in exercise.lines]
        said, explained = [], set()
    if failure:
        line = source.splitlines()[failure.line - 1].strip() if failure.line else ""
        lines = [f"line {failure.line}, {line}: the shapes do not fit", *_arrows(failure.advice)]
        lines += _arrows(one for one in said if " ".join(failure.advice) not in one)
        if any(one.says and " ".join(failure.advice) not in one.says for one in each):
            lines = [line for line in lines if line[3:] not in failure.advice]
        return Verdict(False, lines, each, outcome.printed)
    right = causes.solved(exercise)
    share = 1 - len(wrong) / len(right)
    lines = [_differs(name, outcome.numbers, right) for name in right if name in wrong]
    if exercise.kind != "page" and any(one.startswith("the forward's output") for one in wrong):
        said.append("The forward was given: leave it as it is.")
    said += causes.starts(outcome.numbers)
    said = said or _large(wrong)
    if not wrong <= explained or not wrong:  # what the table does not know, the checker may
        full = sandbox.run(
            source,
            path,
            number=exercise.number,
            full=True,
            contracts=exercise.trial == "step" and not explained,
        )
        if full.failure and (full.failure.kind != "hung" or not wrong):
            raise told(exercise, full)
        failed = [one for one in full.findings if not one.passed and one.name not in explained]
        if any(np.isnan(outcome.numbers.get(name, right[name])).any() for name in wrong):
            failed, said = [], said or ["There are NaNs: 0 / 0, or infinity - infinity."]
        values = [name for name in wrong if " " in name]  # gradients have no spaces
        if wrong and values:  # a right gradient of a wrong value is not at fault
            failed = [one for one in failed if one.name in wrong]
        if not (wrong or spoilt or failed or full.contracts):
            lines = [_right(one) for one in full.findings] or [f"{name}: right" for name in right]
            return Verdict(True, lines, each, outcome.printed)
        checked = {one.name for one in failed}
        rest = [name for name in right if name in wrong - checked]
        if full.contracts:  # all derivatives are right, of another function
            rest = values
        lines = [_differs(name, outcome.numbers, right) for name in rest]
        lines = [f"{_gradient(one.name)}{one.sentence[len(one.name) :]}" for one in failed] + lines
        lines += full.contracts
        said += [
            ADVICE[one.cause]
            for one in failed
            if one.cause in ADVICE and not said and not (one.cause == "mutates" and spoilt)
        ]
    return Verdict(False, lines + _arrows([*said, *spoilt]), each, outcome.printed, share)


def _hunted(
    exercise: Exercise, source: str, path: Path, sandbox: Sandbox, outcome: Outcome
) -> Verdict:
    """Return what comes of a file with a fault, and its trace, but not the fault."""
    full = sandbox.run(source, path, number=exercise.number, full=True, trace=True)
    right, wrong = causes.solved(exercise), causes.differing(exercise, outcome.numbers)
    failed = [one for one in full.findings if not one.passed and one.name in wrong]
    lines = [f"{_gradient(one.name)}: {_place(one)}" for one in failed]
    known = {one.name for one in failed}
    rest = [name for name in right if name in wrong - known]
    lines += [_differs(name, outcome.numbers, right) for name in rest]
    for one in full.findings:
        if one.passed and one.name in wrong:
            lines.append(f"{_gradient(one.name)}: the derivative of this forward, which is wrong")
        elif one.passed:
            lines.append(f"{_gradient(one.name)}: right")
    each = tried_alone(exercise, source, path, sandbox)
    lines += _arrows(
        [
            *_said(each),
            *_strayed(exercise, source, path, sandbox),
            *_large(wrong),
            *_spoilt(exercise, outcome),
        ]
    )
    return Verdict(False, [*lines, "The trace:", *(f"  {one}" for one in full.trace)])


def _place(finding: Finding) -> str:
    """Return where a gradient is wrong, without the guess at the cause."""
    return finding.sentence[len(finding.name) :].lstrip(", ").partition("; ")[0]


def stuck(exercise: Exercise, folder: Path) -> int | None:
    """Return the first blank that is empty or wrong in the student's file, None if none is."""
    try:
        source = (folder / exercise.file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return 0
    with Sandbox() as sandbox:
        each = tried_alone(exercise, source, (folder / exercise.file).absolute(), sandbox)
    wrong = [k for k, one in enumerate(each) if one.right is False]
    unknown = [k for k, one in enumerate(each) if one.right is None]
    return next(iter([*wrong, *unknown]), None)


def tried_alone(exercise: Exercise, source: str, path: Path, sandbox: Sandbox) -> list[Blank]:
    """Try each blank of a file with all others filled rightly, and name what is wrong with it."""
    places = blanks.regions(exercise, source)
    found = []
    whole = sandbox.run(blanks.alone(exercise, source, places, None), path, number=exercise.number)
    frame = not whole.failure and not causes.differing(exercise, whole.numbers)
    for k, place in enumerate(places):
        if place is None or not frame:
            found.append(Blank(exercise.lines[k], None))
            continue
        line = min(place[1], len(source.splitlines()))
        text = "\n".join(source.splitlines()[slice(*place)])
        if text.strip() == exercise.blanks[k].strip() and exercise.kind == "hunt":
            found.append(Blank(line, False))  # not found yet, and not given away
            continue
        if student.BLANK in text or not text.strip():
            says = [] if text.strip() else ["This line is gone."]
            found.append(Blank(line, False, says))
            continue
        outcome = sandbox.run(
            blanks.alone(exercise, source, places, k), path, number=exercise.number
        )
        if outcome.failure is not None:
            shape = outcome.failure.kind == "shape"
            advice = reading.traps(text, exercise.blanks[k])
            advice = advice or ([" ".join(outcome.failure.advice)] if shape else [])
            found.append(Blank(outcome.failure.line or line, False if shape else None, advice))
            continue
        wrong = causes.differing(exercise, outcome.numbers)
        spoilt = _spoilt(exercise, outcome)
        says = list(causes.recognise(exercise, k, outcome.numbers)) if wrong else spoilt
        if wrong:
            says = reading.traps(text, exercise.blanks[k]) or says
            if not says or says[0].startswith("It has "):  # which of several is seen in the line
                mended, _ = repairs.recognise(
                    exercise,
                    blanks.alone(exercise, source, places, k),
                    path,
                    sandbox,
                    place,
                    exercise.answers[k],
                )
                says = [one.partition(": ")[2] for one in mended] or says
        found.append(Blank(line, not wrong and not spoilt, says, wrong))
    for one, text in zip(found, exercise.blanks, strict=True):
        name = text.partition("=")[0].strip(" +-").removesuffix("[...]")
        one.name = name if name.isidentifier() else ""
    return found


def _strayed(exercise: Exercise, source: str, path: Path, sandbox: Sandbox) -> list[str]:
    """Return what to say of lines that were right as they were given, and were changed."""
    frame = blanks.alone(exercise, source, blanks.regions(exercise, source), None)

    def right(text: str) -> bool:
        found = sandbox.run(text, path, number=exercise.number)
        return not found.failure and not causes.differing(exercise, found.numbers)

    strayed = blanks.strayed(exercise, source)
    if not strayed or right(frame):
        return []
    for text in (frame, source):
        said, lines = [], text.splitlines()
        for number, given in strayed:
            was, lines[number] = lines[number].strip(), given
            given = given.strip()
            said.append(f"line {number + 1}, `{was}`: as it was given it was right: `{given}`.")
        if right("\n".join(lines)):
            return said
    return []


def _large(wrong: set[str]) -> list[str]:
    """Return what to say of numbers that are wrong where those put in are large, and only there."""
    if not wrong or not all("2000" in name for name in wrong):
        return []
    return [
        "It is right for small numbers and wrong for large ones, of a pixel that is certain: "
        "something overflows, is rounded to 0 or 1, or is clipped."
    ]


def _traps(exercise: Exercise, source: str) -> list[str]:
    """Return what the text of the blanks gives away."""
    lines = source.splitlines()
    return [
        says
        for place, blank in zip(blanks.regions(exercise, source), exercise.blanks, strict=True)
        if place is not None
        for says in reading.traps("\n".join(lines[slice(*place)]), blank)
    ]


def told(exercise: Exercise, outcome: Outcome) -> ExerciseError:
    """Return the failure of a run as an error in one line, with the student's traceback."""
    failure, name = outcome.failure, exercise.file
    assert failure is not None
    if failure.kind == "missing" and exercise.kind == "page":
        return ExerciseError(f"{name} has no {failure.message} yet: write it below the imports")
    if failure.kind == "missing":
        return ExerciseError(
            f"{name} has no {failure.message} any more: put it back as it was, or move the file "
            f"away and begin anew with minivae exercise start {exercise.number}"
        )
    if failure.kind == "unusable":
        return ExerciseError(failure.message, counts=True)
    where = f", line {failure.line}:" if failure.line and failure.kind != "raised" else ""
    return ExerciseError(f"{name}{where} {failure.message}", failure.traceback, counts=True)


def _spoilt(exercise: Exercise, outcome: Outcome) -> list[str]:
    """Return what to say of arguments that only the student writes into."""
    writes = causes.written(exercise)
    return [
        f"{function} changes {name}, which it is to read only."
        for function, i, name in outcome.changed
        if (function, i) not in writes
    ]


def _said(each: list[Blank]) -> list[str]:
    """Return what is known of the blanks, with their lines where there are several."""
    return [
        f"line {one.line}{', ' * bool(one.name)}{one.name}: {sentence}"
        if len(each) > 1
        else sentence
        for one in each
        for sentence in one.says
    ]


def _arrows(sentences: Iterable[str]) -> list[str]:
    return [f"-> {sentence}" for sentence in dict.fromkeys(sentences)]


def _right(finding: Finding) -> str:
    return f"{_gradient(finding.name)}: right, worst error {finding.error:.0e}"


def _gradient(name: str) -> str:
    return f"d{name}" if name.isidentifier() else f"gradient of {name}"


def _differs(name: str, numbers: causes.Numbers, solution: causes.Numbers) -> str:
    found, right = numbers.get(name), solution[name]
    name = name if " " in name else _gradient(name)
    if found is None:
        return f"{name}: it is missing"
    if np.shape(found) != np.shape(right):
        if np.shape(found) == ():
            what = "nothing is returned" if np.isnan(found) else "one number"
            each = f"one each, shape {np.shape(right)}, such as one for each image"
            return f"{name}: {what}, it should be {each}"
        return f"{name}: shape {np.shape(found)}, it should be {np.shape(right)}"
    at = np.unravel_index(np.argmax(np.nan_to_num(np.abs(found - right), nan=np.inf)), found.shape)
    place = f" at ({', '.join(map(str, at))})" if at else ""
    return f"{name}{place}: {found[at]:.6g}, it should be {right[at]:.6g}"
