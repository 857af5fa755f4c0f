"""The commands `minivae exercise list | start N | check N | hint N`, in the working folder.

What an answer is worth is decided in exercises/; here it is printed.
"""

from __future__ import annotations

from pathlib import Path

import click

from minivae.cli.common import Commands, PathName, Widths, data_option, say, tell


@click.group(cls=Commands)
def exercise() -> None:
    """Write the derivatives yourself: 27 exercises, each checked and its faults named.

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
        tell(line + one.task)
    tell(_next(known))


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
    tell(f"{path}: {one.task}")
    tell(f"Its page is lesson {one.page}: minivae learn")
    do = {"hunt": "Find the faulty line and mend it", "page": "Write what its head asks for"}
    tell(f"{do.get(one.kind, 'Fill in the blanks (____)')}, then: minivae exercise check {number}")


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
        if error.counts and state.note(folder, number, False).tries >= 2:
            tell(_MORE.format(number))
        raise
    progress = state.note(folder, number, verdict.passed)
    if verdict.printed:
        tell(f"{one.file} prints:\n{verdict.printed.rstrip()}")
    tell(f"Exercise {number}, {one.name}: {'right' if verdict.passed else 'not yet right'}")
    for line in verdict.lines:
        tell(f"  {line}")
    if verdict.passed:
        tell(_next(state.load(folder)))
        return
    if progress.tries >= 2:
        tell(_MORE.format(number))
    tell(f"Change {one.file}, then: minivae exercise check {number}")
    raise SystemExit(1)


@exercise.command()
@click.argument("number", type=int)
@click.option(
    "--grade",
    type=click.IntRange(1, 3),
    default=1,
    show_default=True,
    help="1: a question, 2: a formula, 3: the line itself.",
)
def hint(number: int, grade: int) -> None:
    """Help with exercise NUMBER: with the first blank that is empty or wrong in your file."""
    from minivae.teaching.exercises.catalogue import find
    from minivae.teaching.exercises.hints import hint
    from minivae.teaching.exercises.verdict import stuck

    one = find(number)
    blank = stuck(one, Path())
    if blank is None:
        tell(f"Nothing is wrong with {one.file}: minivae exercise check {number}")
        return
    tell(f"{one.blanks[blank]}")
    tell(f"  {hint(one.name, blank, grade, one.answers[blank])}")
    if grade < 3:
        tell(f"More: minivae exercise hint {number} --grade {grade + 1}")


@exercise.command()
@click.option("--epochs", type=click.IntRange(1), default=2, show_default=True)
@click.option("--hidden", type=Widths(), default="256,128", show_default=True)
@click.option("--latent", type=click.IntRange(1), default=20, show_default=True)
@data_option
@click.option(
    "--out",
    type=PathName(file_okay=False),
    default="runs/mine",
    show_default=True,
    help="Run directory.",
)
@click.option("--no-open", is_flag=True, help="Do not open the explorer in a browser.")
def build(
    epochs: int,
    hidden: tuple[int, ...],
    latent: int,
    data: str | None,
    out: Path,
    no_open: bool,
) -> None:
    """Train a VAE of your own layers, sampler, loss and Adam (exercises 20 to 23) on MNIST.

    The run is one like any other: `minivae sample`, `trace` and `explore` take it.
    """
    import numpy as np

    from minivae.data import load_data
    from minivae.errors import MinivaeError
    from minivae.looking.explore import explore_page
    from minivae.runs import checkpoint
    from minivae.storage.files import replacing
    from minivae.teaching.exercises.assemble import OwnVAE, own_pages
    from minivae.training import Training, evaluate

    if (out / checkpoint.FILE).exists():
        raise MinivaeError(f"{out} holds a run already: choose another directory with --out")
    pages = own_pages(Path())
    loaded = load_data(data or "mnist", notice=say)
    own = OwnVAE(pages, loaded.train.shape[1], hidden, latent)
    pixels = loaded.pixels("train")
    for epoch in range(epochs):
        losses = []
        for loss in own.epoch(pixels, epoch):
            losses.append(loss)
            if len(losses) % 100 == 0:
                say(f"epoch {epoch + 1}, step {len(losses)}: {np.mean(losses[-100:]):.2f}")
        if not np.isfinite(losses).all():
            raise MinivaeError("the loss is not finite any more: the weights are not saved")
        vae = own.as_vae()
        tested = evaluate(vae, loaded.test)
        tell(
            f"epoch {epoch + 1}: train {np.mean(losses):.2f}, test {tested.loss:.2f} nats per image"
        )
    training = Training(vae, loaded)
    training.source = data or "mnist"
    checkpoint.save(out / checkpoint.FILE, vae, training)
    page = out / "explore.html"
    with replacing(page) as file:
        file.write(explore_page(vae, loaded, "my own VAE").encode())
    tell(f"Your VAE is in {out}; its explorer is {page}")
    if not no_open:
        click.launch(str(page))


_MORE = "Stuck? minivae exercise hint {} asks a question; --grade 2 gives a formula, 3 the line"


def _next(known: dict) -> str:
    from minivae.teaching.exercises.catalogue import EXERCISES

    for one in EXERCISES:
        if one.number not in known or not known[one.number].done:
            verb = "check" if Path(one.file).exists() else "start"
            where = f"{one.name}; lesson {one.page}: minivae learn"
            return f"Next: minivae exercise {verb} {one.number}  ({where})"
    return "All are done. You have written every derivative of a VAE: now minivae train"
