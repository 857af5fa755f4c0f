"""The command that takes a run elsewhere: export.

It loads a run, calls one function, and prints where the files are.
"""

from __future__ import annotations

from pathlib import Path

import click

from minivae.cli.common import (
    PathName,
    data_option,
    for_pictures,
    image_size_option,
    load_run,
    load_run_data,
    run_argument,
    say,
    tell,
)
from minivae.errors import shown


@click.command()
@run_argument
@click.option(
    "--to",
    type=click.Choice(["torch", "onnx", "safetensors", "numpy", "html"]),
    required=True,
    help="torch: a module that needs PyTorch alone, and its state dict. onnx, safetensors: need "
    "these packages. numpy: a module that needs NumPy alone. html: the page of minivae explore.",
)
@data_option
@image_size_option
@click.option(
    "--out",
    type=PathName(file_okay=False),
    default="export",
    show_default=True,
    help="The folder for the files.",
)
def export(run: Path, to: str, data: str | None, image_size: str | None, out: Path) -> None:
    """Write a model for those who have no minivae: PyTorch, ONNX, safetensors, NumPy, a page."""
    from minivae.exporting import export as write

    if to != "html" and (data is not None or image_size is not None):
        raise click.UsageError("--data and --image-size are for --to html, which shows images")
    saved = load_run(run)
    if to == "html":
        for_pictures(saved)
        loaded = load_run_data(saved, data, image_size)
        binarize = saved.config.get("data", {}).get("binarize", "none")
        files = write(saved.vae, to, out, data=loaded, title=run.name, binarize=binarize)
    else:
        files = write(saved.vae, to, out)
    if saved.units is not None:
        say("note: the exported model takes and gives numbers as the run scaled them")
    tell(", ".join(shown(file) for file in files))
