"""The commands `minivae course new | grade`: what a teacher hands out, and what comes back.

What is in a course and what an answer is worth is decided in teaching/course; here files are
named, written and counted.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from minivae.cli.common import Commands, PathName, Widths, say, tell


@click.group(cls=Commands)
def course() -> None:
    """Teach a class: hand out exercises that differ by student, and mark what comes back."""


@course.command()
@click.argument("folder", type=PathName())
@click.option("--seed", type=click.IntRange(0), required=True, help="Of names and numbers.")
@click.option(
    "--students",
    type=PathName(dir_okay=False),
    help="File with a name a line.",
)
@click.option("--count", type=click.IntRange(1, 999), help="So many students, numbered.")
@click.option("--exercises", type=Widths(), help="Which exercises. [1 to 19]")
def new(
    folder: Path,
    seed: int,
    students: Path | None,
    count: int | None,
    exercises: tuple[int, ...] | None,
) -> None:
    """Make a course in the new FOLDER: tasks for each student, the key, rubrics, a plan.

    Names in the code and numbers to work out differ by student, as the seed says.
    """
    from minivae.errors import DataError, shown
    from minivae.teaching.course import make

    if (students is None) == (count is None):
        raise click.UsageError("name the students with --students FILE, or give --count N")
    if students is not None:
        try:
            names = students.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError):
            raise DataError(
                f"{shown(students)} cannot be read: a text with a name a line"
            ) from None
        names = [name.strip() for name in names if name.strip()]
    else:
        names = [f"student-{i:02d}" for i in range(1, (count or 0) + 1)]
    made = make.new(folder, seed, names, exercises or make.CHOSEN)
    tell(f"{shown(folder)}: {len(made.students)} students, {len(made.exercises)} exercises each")
    tell("  students/    a folder for each: hand it out (with questions.md)")
    tell("  teacher/     the key and the rubrics; plan.md has the five days")
    tell(f"Mark what comes back: minivae course grade {shown(folder / 'students')}")


@course.command()
@click.argument("folder", type=PathName())
@click.option(
    "--course",
    "course_file",
    type=PathName(dir_okay=False),
    help="The course.json of `course new`. [in FOLDER or beside it]",
)
@click.option(
    "--out",
    type=PathName(file_okay=False),
    default="grades",
    show_default=True,
    help="New folder of the marks.",
)
def grade(folder: Path, course_file: Path | None, out: Path) -> None:
    """Mark the submissions in FOLDER, a folder for each student.

    Writes grades.csv, report.md and a text for each student into --out, and nothing into FOLDER.
    """
    from minivae.errors import MinivaeError, shown
    from minivae.storage.files import replacing
    from minivae.teaching.course import grade as grading

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise MinivaeError(f"{shown(out)} is there already and stays as it is: name another --out")
    if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(folder)):
        raise MinivaeError(f"{shown(out)} lies among the submissions: name another --out")
    _, marked = grading.grade(folder, course_file, say)
    texts = {"grades.csv": grading.table(marked), "report.md": grading.report(marked)}
    texts |= {f"students/{name}.txt": grading.feedback(name, marked[name]) for name in marked}
    for name, text in texts.items():
        with replacing(out / name) as file:
            file.write(text.encode("utf-8", "replace"))
    files = f"{shown(out / 'grades.csv')}, {shown(out / 'report.md')}"
    tell(f"{len(marked)} submissions marked: {files}")
