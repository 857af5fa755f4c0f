"""Marks 60 generated submissions with known marks: whether all are right, and how long it takes.

    python -m bench.course [--count 60]

Each student of a generated course solves all exercises, but for faults drawn from the known
mistakes, blanks left empty, files not handed in, and one thing that no answer may do.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
import time
from pathlib import Path

from minivae.teaching.course import grade, make
from minivae.teaching.course.variants import NUMBERS, questions, renamed, renames
from minivae.teaching.exercises.catalogue import find

NAUGHTY = (
    "while True: pass",
    "import os; os.fork()",
    "open('x', 'w')",
    "import os; os.remove(__file__)",
    "import socket",
    "print('x' * 10**7)",
)


def submit(folder: Path, course: make.Course, name: str, rng: random.Random) -> dict[str, float]:
    """Write a student's submission and return the marks that are due, by exercise."""
    due: dict[str, float] = {}
    for number in course.exercises:
        one = find(number)
        path, of = folder / one.file, len(one.blanks) or grade.PAGE
        due[str(number)] = of
        fate = rng.random()
        answers: dict[str, str] = {}
        if fate < 0.05:
            due[str(number)] = 0
            continue  # not handed in
        if fate < 0.45 and one.blanks:
            faulty = rng.sample(one.mistakes, min(len(one.mistakes), rng.choice((1, 1, 2))))
            answers = {mistake.blank: mistake.wrong for mistake in faulty}
            if not answers or rng.random() < 0.2:
                answers[one.blanks[0]] = one.blanks[0]  # left as it was
            due[str(number)] = of - len(answers)
        text = one.source(answers)
        if fate > 0.98:
            text = f"import numpy as np\n{rng.choice(NAUGHTY)}\n"
            due[str(number)] = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(renamed(text, renames(one, course.seed or 0, name)), encoding="utf-8")
    asked = questions(course.seed or 0, name)
    wrong = rng.sample(range(len(asked)), rng.choice((0, 1, 3)))
    lines = [
        f"answer_{i + 1} = {one.wrong[0][0] if i in wrong else one.answer!r}"
        for i, one in enumerate(asked)
    ]
    (folder / NUMBERS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    due[NUMBERS] = len(asked) - len(wrong)
    return due


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=60)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as folder:
        names = [f"student-{i:02d}" for i in range(1, count + 1)]
        course = make.new(Path(folder, "c"), 5, names, make.CHOSEN)
        rng = random.Random(0)
        due = {name: submit(Path(folder, "c/in", name), course, name, rng) for name in names}
        began = time.perf_counter()
        _, marked = grade.grade(Path(folder, "c/in"))
        seconds = time.perf_counter() - began
    wrong = [
        (name, column, mark.got, due[name][column], mark.lines)
        for name, marks in marked.items()
        for column, mark in marks.items()
        if mark.got != due[name][column]
    ]
    for one in wrong:
        print(*one)
    marks = sum(len(one) for one in marked.values())
    print(grade.report(marked))
    print(re.sub(r"\n", " ", f"{marks - len(wrong)} of {marks} marks right, {seconds:.0f} s"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
