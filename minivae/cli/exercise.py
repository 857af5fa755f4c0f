"""The commands `minivae exercise list | start N | check N`, in the working folder.

What an answer is worth is decided in exercises/; here it is printed.
"""

from __future__ import annotations

from pathlib import Path

import click

from minivae.cli.common import Commands, say


@click.group(cls=Commands)
def exercise() -> None:
    """Write the derivatives yourself: thirteen exercises, each checked and its faults named.

    Begin with `minivae exercise start 1`. Files and progress stay in the folder you are in; the
    lessons are opened by `minivae learn`.
    """


@exercise.command("list")
def list_exercises() -> None:
    """Show the exercises, and which are done."""
    from minivae.teaching.exercises import state
    from minivae.teaching.exercises.catalogue import EXERCISES

    folder = Path()
    known = state.load(folder)
    for one in EXERCISES:
        progress = known.get(one.number, state.Progress())
        if progress.done:
            status = "done"
        elif progress.tries:
            status = f"tried {progress.tries}x"
        else:
            status = "started" if (folder / one.file).exists() else ""
        line = f"{one.number:2d}  {one.name:<24} {status:<9} lesson {one.page}  "
        click.echo(line + one.task)
    click.echo(_next(known))


@exercise.command()
@click.argument("number", type=int)
def start(number: int) -> None:
    """Begin exercise NUMBER: put its file, with blanks, here.

    A file that is here already stays as it is.
    """
    from minivae.teaching.exercises.catalogue import find
    from minivae.teaching.exercises.student import copy_task

    one = find(number)
    path = copy_task(one, Path())
    click.echo(f"{path}: {one.task}")
    click.echo(f"Its page is lesson {one.page}: minivae learn")
    click.echo(f"Fill in the blanks (____), then: minivae exercise check {number}")


@exercise.command()
@click.argument("number", type=int)
def check(number: int) -> None:
    """Judge exercise NUMBER: run its file and name what is wrong.

    The exit status is 0 if it is right, else 1.
    """
    from minivae.teaching.exercises import state
    from minivae.teaching.exercises.catalogue import find
    from minivae.teaching.exercises.student import ExerciseError
    from minivae.teaching.exercises.verdict import judge

    one, folder = find(number), Path()
    try:
        verdict = judge(one, folder)
    except ExerciseError as error:
        if error.traceback:
            say(error.traceback.rstrip())
        if error.counts:
            _hint(one, state.note(folder, number, False).tries)
        raise
    progress = state.note(folder, number, verdict.passed)
    if verdict.printed:
        click.echo(f"{one.file} prints:\n{verdict.printed.rstrip()}")
    click.echo(f"Exercise {number}, {one.name}: {'right' if verdict.passed else 'not yet right'}")
    for line in verdict.lines:
        click.echo(f"  {line}")
    if verdict.passed:
        click.echo(_next(state.load(folder)))
        return
    _hint(one, progress.tries)
    click.echo(f"Change {one.file}, then: minivae exercise check {number}")
    raise SystemExit(1)


def _hint(one, tries: int) -> None:
    if tries >= 2:
        click.echo(f"Hint: {one.hint}")


def _next(known: dict) -> str:
    from minivae.teaching.exercises.catalogue import EXERCISES

    for one in EXERCISES:
        if one.number not in known or not known[one.number].done:
            verb = "check" if Path(one.file).exists() else "start"
            where = f"{one.name}; lesson {one.page}: minivae learn"
            return f"Next: minivae exercise {verb} {one.number}  ({where})"
    return "All are done. You have written every derivative of a VAE: now minivae train"
