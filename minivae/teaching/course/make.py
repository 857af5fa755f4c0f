"""Makes a course's folder: a folder of tasks for each student, the key, the plan, the questions.

What differs between students is said by variants.py; marking is for grade.py.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from minivae.errors import ArgumentError, MinivaeError, WriteError, shown
from minivae.teaching.course.variants import NUMBERS, handout, renamed, renames
from minivae.teaching.exercises.catalogue import EXERCISES, find

FILE = "course.json"
HERE = Path(__file__).parent
CHOSEN = tuple(one.number for one in EXERCISES if one.number <= 19)


@dataclass(frozen=True)
class Course:
    """What a course is made from: its seed, its exercises, the students' names.

    A seed of None: the exercises as they are, without numbers to work out.
    """

    seed: int | None
    exercises: tuple[int, ...]
    students: tuple[str, ...] = ()

    def file(self, number: int, student: str, solved: bool = False) -> str:
        """Return a student's file of an exercise, with blanks or solved."""
        one = find(number)
        text = one.source({} if solved else None)
        return text if self.seed is None else renamed(text, renames(one, self.seed, student))


def new(folder: Path, seed: int, students: Iterable[str], exercises: Iterable[int]) -> Course:
    """Write a course into a new folder and return it.

    Raises
    ------
    ArgumentError
        If a name is no name for a folder, or there is no such exercise.
    MinivaeError
        If the folder is there already and not empty.
    """
    course = Course(seed, tuple(exercises), tuple(students))
    for number in course.exercises:
        find(number)
    if not course.students:
        raise ArgumentError("there are no students: one name a line, or --count N")
    for name in course.students:
        if not re.fullmatch(r"\w[\w .@+-]{0,60}", name) or name.endswith((".", " ")):
            raise ArgumentError(f"{name!a} is no name for a folder: letters, digits, .@+-")
    folded = [name.casefold() for name in course.students]
    for name in course.students:
        if folded.count(name.casefold()) > 1:
            raise ArgumentError(f"two students have the same name, {name!a}: tell them apart")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MinivaeError(f"{shown(folder)} is there already and stays as it is: name another")
    parent = folder.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=".course-") as made:
            _fill(Path(made, "whole"), course, seed)
            if folder.exists():
                folder.rmdir()  # it is empty
            Path(made, "whole").rename(folder)  # all of it appears, or nothing
    except OSError as error:
        raise WriteError(f"{shown(folder)} cannot be written: {error.strerror}") from None
    return course


def _fill(folder: Path, course: Course, seed: int) -> None:
    for student in course.students:
        for number in course.exercises:
            name = find(number).file
            _write(folder / "students" / student / name, course.file(number, student))
            key = course.file(number, student, solved=True)
            _write(folder / "teacher" / "key" / student / name, _without_marks(key))
        _write(folder / "students" / student / NUMBERS, handout(seed, student))
        _write(folder / "teacher" / "key" / student / NUMBERS, handout(seed, student, True))
    rubrics = (HERE / "rubrics.md").read_text(encoding="utf-8")
    _write(folder / "teacher" / "rubrics.md", rubrics)
    _write(folder / "questions.md", re.sub(r"(?ms)^Rubric.*?(?=^## |\Z)", "", rubrics))
    _write(folder / "plan.md", (HERE / "plan.md").read_text(encoding="utf-8"))
    content = {"seed": seed, "exercises": course.exercises, "students": course.students}
    _write(folder / FILE, json.dumps(content, indent=1) + "\n")


def read(path: Path) -> Course:
    """Return the course of a file that `new` wrote.

    Raises
    ------
    MinivaeError
        If it cannot be read or is none.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        course = Course(found["seed"], tuple(found["exercises"]), tuple(found["students"]))
        known = isinstance(course.seed, int) and all(find(n) for n in course.exercises)
        if not known or not all(isinstance(name, str) for name in course.students):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise MinivaeError(f"{shown(path)} is no {FILE} of minivae course new") from None
    return course


def _without_marks(text: str) -> str:
    return re.sub(r"  #: .+$|^#: below\n", "", text, flags=re.MULTILINE)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
