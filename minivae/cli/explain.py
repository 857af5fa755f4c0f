"""Commands that explain a model: explore.

Each loads a run, calls one or two functions, and writes the result.
"""

from __future__ import annotations

from pathlib import Path

import click

from minivae.cli.common import (
    data_option,
    image_size_option,
    load_run,
    load_run_data,
    out_option,
    run_argument,
)


@click.command()
@run_argument
@data_option
@image_size_option
@out_option("explore.html", show_default=True)
def explore(run: Path, data: str | None, image_size: str | None, out: Path) -> None:
    """Write a page that runs the model in a browser: drag, draw, and look between images.

    One file without any network: open it, or send it to someone.
    """
    from minivae.explore import explore_page
    from minivae.files import replacing

    saved = load_run(run)
    loaded = load_run_data(saved, data, image_size)
    binarize = saved.config.get("data", {}).get("binarize", "none")
    page = explore_page(saved.vae, loaded, run.resolve().stem, binarize).encode()
    with replacing(out) as file:
        file.write(page)
    click.echo(f"{out} ({len(page) / 1e6:.1f} MB): open it in a browser")
