"""Marks submissions: partial credit for each blank, what to tell each student, what all got wrong.

The verdicts are those of teaching/exercises, in child processes with limits. Nothing is written
into the folder of the submissions.
"""

from __future__ import annotations

import ast
import collections
import csv
import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from minivae.errors import MinivaeError, shown
from minivae.teaching.course.make import FILE, Course, read
from minivae.teaching.course.variants import NUMBERS, close, questions, renamed, renames
from minivae.teaching.exercises import student
from minivae.teaching.exercises.catalogue import BLANK, EXERCISES, Exercise, find
from minivae.teaching.exercises.sandbox import Sandbox
from minivae.teaching.exercises.student import ExerciseError
from minivae.teaching.exercises.verdict import Verdict, judged, tried_alone

LARGEST = 200_000  # bytes of a student's file
SECONDS = 3.0  # of the processor's time for one answer
PAGE = 4  # marks for a blank page


@dataclass
class Mark:
    """The marks for one file, out of how many, what to tell the student, and the faults by name."""

    of: int
    got: float = 0
    lines: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


Marks = dict[str, Mark]  # by exercise: its number as text, or NUMBERS


def grade(
    folder: Path, course: Path | None = None, tell: Callable[[str], None] = lambda line: None
) -> tuple[Course, dict[str, Marks]]:
    """Mark all submissions in a folder: one folder for each student.

    Parameters
    ----------
    folder : Path
    course : Path, optional
        The course's file; by default it is looked for in the folder and beside it. Without one,
        the exercises are those that anybody handed in, with their usual names.
    tell : callable
        Called with a line for each student.

    Raises
    ------
    MinivaeError
        If there is nothing to mark.
    """
    if not folder.is_dir():
        raise MinivaeError(f"{shown(folder)} is no folder: give the one with the submissions")
    if (folder / FILE).is_file() and (folder / "teacher").is_dir():
        raise MinivaeError(
            f"{shown(folder)} is the course itself: give the submissions, such as "
            f"{shown(folder / 'students')}"
        )
    names = sorted(one.name for one in folder.iterdir() if one.is_dir() and one.name[0] != ".")
    if not names:
        raise MinivaeError(f"{shown(folder)} holds no submissions: one folder for each student")
    known = [one for one in (folder / FILE, folder.parent / FILE) if one.is_file()]
    if course is not None or known:
        found = read(course or known[0])
    else:
        handed = {path.name for name in names for path in (folder / name).glob("exercise_*.py")}
        found = Course(None, tuple(one.number for one in EXERCISES if one.file in handed))
        if not found.exercises:
            raise MinivaeError(f"{shown(folder)} holds no exercise_*.py in any of its folders")
        if any((folder / name / NUMBERS).exists() for name in names):
            tell(f"note: no {FILE} here or beside it, so {NUMBERS} is not marked: give --course")
    missing = sorted(set(found.students) - set(names))

    turn = threading.Lock()  # Python 3.11's parser fails in two threads at once

    def mark(name: str) -> tuple[str, Marks]:
        with turn:  # that a sandbox lets go of while it waits for its child
            marks = _student(folder / name, name, found, turn)
        got, of = total(marks)
        tell(f"{shown(name)}: {got:g} of {of}")
        return name, marks

    with ThreadPoolExecutor(2) as pool:
        marked = dict(pool.map(mark, names))
    for name in missing:
        marked[name] = _student(folder / name, name, found)
    return found, marked


def total(marks: Marks) -> tuple[float, int]:
    """Return the marks of a student, and out of how many."""
    return round(sum(one.got for one in marks.values()), 2), sum(one.of for one in marks.values())


def _student(folder: Path, name: str, course: Course, turn: threading.Lock | None = None) -> Marks:
    marks: Marks = {}
    # A sandbox of this student's own: nothing is left behind.
    with Sandbox(seconds=SECONDS, turn=turn) as sandbox:
        for number in course.exercises:
            one = find(number)
            marks[str(number)] = mark = Mark(len(one.blanks) or PAGE)
            try:
                _mark(mark, one, folder, name, course, sandbox)
            except ExerciseError as error:
                mark.lines.append(str(error))
        if course.seed is not None:
            marks[NUMBERS] = _numbers(folder, name, course.seed, sandbox)
    return marks


def _regular(path: Path) -> None:
    """Refuse what is no file of a student's: links out of the folder, pipes, gigabytes."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ExerciseError(f"{path.name} is no plain file")
    if not path.exists():
        raise ExerciseError(f"{path.name} was not handed in")
    if path.stat().st_size > LARGEST:
        raise ExerciseError(f"{path.name} is larger than {LARGEST // 1000} kB")


def _mark(
    mark: Mark, one: Exercise, folder: Path, name: str, course: Course, sandbox: Sandbox
) -> None:
    path = (folder / one.file).absolute()
    _regular(path)
    source = student.read(one, folder, blanks=True)
    names = {} if course.seed is None else renames(one, course.seed, name)
    source = renamed(source, names)
    if source.strip() == one.source().strip():
        raise ExerciseError(f"{one.file} is as it was handed out")
    failure, unfinished = "", bool(student.empty(ast.parse(source)))
    alone = []
    if unfinished or one.kind == "hunt":  # a hunt's lines are enough, and quicker than its trace
        alone = tried_alone(one, source, path, sandbox)
    if unfinished or (alone and all(blank.right is not None for blank in alone)):
        right = not unfinished and all(blank.right for blank in alone)
        verdict = Verdict(right, [] if right else ["a wrong line is left"], alone)
    else:
        try:
            verdict = judged(one, source, path, sandbox)
        except ExerciseError as error:
            failure = renamed(str(error), names)
            verdict = Verdict(False, [failure])
            if one.blanks and not any(word in failure for word in ("did not end", "opens the")):
                verdict.blanks = tried_alone(one, source, path, sandbox)
    if one.kind == "hunt" and not verdict.passed:
        verdict.blanks = verdict.blanks or tried_alone(one, source, path, sandbox)
    if verdict.passed:
        mark.got = mark.of
        return
    if one.kind == "page":
        mark.got = round(mark.of * verdict.share * 2) / 2
    mark.got += sum(blank.right is True for blank in verdict.blanks)
    mark.got = min(mark.got, mark.of - 0.5)  # what is not right as a whole has not all marks
    mark.lines = [renamed(line, names) for line in verdict.lines if line != "The trace:"]
    mark.faults = [says for blank in verdict.blanks for says in blank.says]
    if failure and not mark.faults:
        mark.faults = [failure.partition(".py")[2].lstrip(", :")]
    if unfinished:
        mark.lines = [f"line {b.line}: {s}" for b in verdict.blanks for s in b.says]
        mark.lines.append("blanks are left")
        mark.faults.append("blanks are left")


def _numbers(folder: Path, name: str, seed: int, sandbox: Sandbox) -> Mark:
    asked = questions(seed, name)
    mark, path = Mark(len(asked)), (folder / NUMBERS).absolute()
    try:
        _regular(path)
        source = path.read_text(encoding="utf-8-sig").replace(BLANK, "None")
    except (ExerciseError, OSError, UnicodeDecodeError) as error:
        mark.lines.append(str(error) if isinstance(error, ExerciseError) else "is not text")
        return mark
    wanted = [f"answer_{i}" for i in range(1, len(asked) + 1)]
    outcome = sandbox.run(source, path, values=wanted)
    if outcome.failure is not None:
        mark.lines.append(f"{NUMBERS} {outcome.failure.message}")
        return mark
    for i, (key, one) in enumerate(zip(wanted, asked, strict=True), 1):
        found = outcome.numbers.get(key)
        if found is None:
            mark.lines.append(f"{i}: no number")
        elif close(float(found), one.answer):
            mark.got += 1
        else:
            says = [words for value, words in one.wrong if close(float(found), value)][:1]
            mark.lines.append(" ".join([f"{i}: {float(found):.6g} is not right.", *says]))
            mark.faults += [f"question {i}: {words}" for words in says]
    return mark


# --- what is written ------------------------------------------------------------------------------


def table(marked: dict[str, Marks]) -> str:
    """Return the marks as CSV: a row for each student, a column for each exercise."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = list(next(iter(marked.values())))
    writer.writerow(["student", *map(_title, columns), "total", "of", "percent"])
    for name, marks in marked.items():
        got, of = total(marks)
        # a name that a spreadsheet would take for a formula is made text
        safe = f"'{name}" if name[:1] in "=+-@" else name
        row = [f"{marks[column].got:g}" for column in columns]
        writer.writerow([safe, *row, f"{got:g}", of, f"{100 * got / of:.0f}"])
    return text.getvalue()


def feedback(name: str, marks: Marks) -> str:
    """Return what to tell one student, as text."""
    got, of = total(marks)
    lines = [f"{name}: {got:g} of {of}", ""]
    for column, mark in marks.items():
        lines.append(f"{_title(column)}: {mark.got:g} of {mark.of}")
        lines += [f"    {line}" for line in mark.lines]
    return "\n".join(lines) + "\n"


def report(marked: dict[str, Marks]) -> str:
    """Return the report of a class: what was solved, what went wrong and how often."""
    count = len(marked)
    shares = {name: got / of for name, (got, of) in ((n, total(m)) for n, m in marked.items())}
    ranked = sorted(shares, key=lambda name: -shares[name])
    lines = [
        "# The class",
        "",
        f"{count} students; the mean is {100 * sum(shares.values()) / count:.0f} %, "
        f"the middle one has {100 * shares[ranked[count // 2]]:.0f} %.",
        "",
        "| exercise | all right | mean | marks |",
        "|---|---|---|---|",
    ]
    columns = list(next(iter(marked.values())))
    for column in columns:
        marks = [one[column] for one in marked.values()]
        full = sum(one.got == one.of for one in marks)
        mean = sum(one.got for one in marks) / count
        lines.append(f"| {_title(column)} | {full} of {count} | {mean:.1f} | {marks[0].of} |")
    lines += ["", "## What went wrong", ""]
    faults = [
        (len(who), column, says)
        for column in columns
        for says, who in _faults(marked, column).items()
    ]
    faults.sort(key=lambda one: -one[0])
    lines += [
        f"- {number} of {count} in {_title(column)}: {says}" for number, column, says in faults[:30]
    ] or ["Nothing."]
    low = [name for name in ranked if shares[name] < 0.5]
    if low:
        lines += ["", "## Below half", ""]
        lines += [f"- {name}: {100 * shares[name]:.0f} %" for name in low]
    return "\n".join(lines) + "\n"


def _faults(marked: dict[str, Marks], column: str) -> dict[str, set[str]]:
    """Return who made each fault of an exercise."""
    found: dict[str, set[str]] = collections.defaultdict(set)
    for name, marks in marked.items():
        for says in marks[column].faults:
            found[says].add(name)
    return found


def _title(column: str) -> str:
    return f"{column} {find(int(column)).name}" if column.isdigit() else column
