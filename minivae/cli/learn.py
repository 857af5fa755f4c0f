"""The command `minivae learn`: the lessons as a site in a folder, opened in the browser.

What is on the pages is made in teaching/book; here it is written.
"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
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
    click.echo(f"{len(site)} files in {out}: begin with {out / 'index.html'}")
    if not no_open:
        click.launch(str(out / "index.html"))


def write(folder: Path, site: dict[str, bytes]) -> None:
    """Write files into a folder, each whole or not at all."""
    from minivae.storage.files import replacing

    for name, content in site.items():
        with replacing(folder / name) as file:
            file.write(content)
