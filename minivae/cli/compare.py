"""The command that lays runs side by side: compare.

What is compared is for runs/run.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from minivae.cli.common import PathName, json_option, out_option, print_json, say, tell
from minivae.errors import CheckpointError, shown


@click.command()
@click.argument("runs", type=PathName(), nargs=-1, required=True)
@json_option
@out_option(None, help="Draw the test losses over the epochs into this PNG.")
def compare(runs: tuple[Path, ...], as_json: bool, out: Path | None) -> None:
    """Lay RUNS side by side: the settings in which they differ, and their losses.

    What is no run is passed over, so that runs/* will do. elbo is the evidence lower bound at beta
    1, in nats per image, whatever beta a run was trained with: higher is better. Runs with a bound
    of several draws have none: compare log p(x), of minivae evaluate RUN --samples 5000.
    """
    show_compared(runs, out, as_json)


def _with_those_of_grids(folders: Sequence[Path]) -> list[Path]:
    """Return the folders, but for one of a grid (`train --set`) the runs within it."""
    found: list[Path] = []
    for folder in folders:
        within = sorted(file.parent for file in folder.glob("*/checkpoint.npz"))
        found += [folder] if (folder / "checkpoint.npz").exists() or not within else within
    return found


def show_compared(folders: Sequence[Path], out: Path | None, as_json: bool = False) -> None:
    """Print a row for each run, and draw the curves if there is a file for them."""
    from minivae.runs.run import Run, as_text, compare

    found = []
    for folder in _with_those_of_grids(folders):
        try:
            found.append(Run(folder))
        except CheckpointError as error:
            say(f"note: {error}")
    if not found:
        raise CheckpointError("none of these is a run: train one (minivae train)")
    rows = compare(found)
    if as_json:
        print_json(rows)
    else:
        tell("\n".join(as_text(rows)))
    if out is not None:
        from minivae.looking import plots

        curves = {shown(run.path.name): run.history for run in found}
        plots.save_figure(plots.curves(curves), out)
        say(f"the curves are in {shown(out)}")
