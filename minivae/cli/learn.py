"""The commands `minivae learn` and `minivae play`: lessons and playground as pages, opened.

What is on the pages is made in teaching/; here they are written.
"""

from __future__ import annotations

from pathlib import Path

import click

from minivae.cli.common import PathName, out_option, tell
from minivae.errors import shown


@click.command()
@click.option(
    "--out",
    type=PathName(file_okay=False),
    default="minivae-lessons",
    show_default=True,
    help="Folder of the pages.",
)
@click.option("--no-open", is_flag=True, help="Write the pages without opening a browser.")
@click.option("--notebook", is_flag=True, help="Write each lesson as a notebook (.ipynb) too.")
def learn(out: Path, no_open: bool, notebook: bool) -> None:
    """Write the lessons as pages with live figures, and open them.

    The pages work without a network; they can be copied anywhere.
    """
    from minivae.teaching import book

    site = book.book()
    if notebook:
        site |= book.notebooks()
    write(out, site)
    tell(f"{len(site)} files in {shown(out)}: begin with {shown(out / 'index.html')}")
    if not no_open:
        click.launch(str(out / "index.html"))


def write(folder: Path, site: dict[str, bytes]) -> None:
    """Write files into a folder, each whole or not at all."""
    from minivae.storage.files import replacing

    for name, content in site.items():
        with replacing(folder / name) as file:
            file.write(content)


@click.command()
@out_option("play.html", show_default=True)
@click.option("--step", is_flag=True, help="One step instead: forward, back, Adam, link by link.")
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser.")
def play(out: Path, step: bool, open_it: bool) -> None:
    """Write a page that trains a VAE while you watch: set it, break it, find what is broken.

    One file without any network: open it, or send it to someone.
    """
    from minivae.teaching.playground import play_page, step_page

    page = (step_page() if step else play_page()).encode()
    write(out.parent, {out.name: page})
    tell(f"{shown(out)} ({len(page) / 1e6:.1f} MB): open it in a browser")
    if open_it:
        click.launch(str(out))
