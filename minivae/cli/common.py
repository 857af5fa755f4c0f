"""What the commands share: errors in one line, options that several have, small conversions.

No command is defined here.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from minivae.errors import MinivaeError, shown

if TYPE_CHECKING:
    from pathlib import Path


class Lazy(Mapping):
    """Commands by name, each imported when it is first asked for.

    `table` has for each name its module in this folder and the first sentence of its help.
    """

    def __init__(self, table: dict[str, tuple[str, str]]) -> None:
        self.table = table

    def __getitem__(self, name: str) -> click.Command:
        """Return a command."""
        return getattr(import_module(f"minivae.cli.{self.table[name][0]}"), name)

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self.table)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.table)


class Commands(click.Group):
    """A group that keeps the order of its commands and prints our errors as one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of adding."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command does: the whole first sentence, on as many lines as it takes."""
        if isinstance(self.commands, Lazy):
            rows = [(name, says) for name, (_, says) in self.commands.table.items()]
        else:
            rows = [(name, one.get_short_help_str(1000)) for name, one in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; where its output cannot be written, that is one line too."""
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (or it would be flushed once more)
            name = "standard output" if error.filename is None else shown(error.filename)
            say(f"Error: {name}: {error.strerror or error}")
            sys.exit(1)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse; what was typed is not printed raw."""
        with _printable_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; errors raised on purpose, and warnings, become one line each."""
        with _printable_errors(), warnings.catch_warnings():
            warnings.showwarning = lambda message, *where: say(f"note: {message}")
            try:
                return super().invoke(ctx)
            except MinivaeError as error:
                raise click.ClickException(str(error)) from error
            except KeyboardInterrupt:  # a training answers for itself: see interrupt.py
                say("stopped")
                raise SystemExit(128 + signal.SIGINT) from None
            except MemoryError:
                raise click.ClickException(
                    "out of memory: use a smaller model (--hidden), batch or data set"
                ) from None


@contextmanager
def _printable_errors() -> Iterator[None]:
    try:
        yield
    except click.ClickException as error:
        error.message = printable(error.message, sys.stderr)
        raise


class PathName(click.Path):
    """A path; an empty text, as of a variable of the shell that is not set, is none."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the path."""
        from pathlib import Path

        if str(value) == "" or "\0" in str(value):
            self.fail(f"{value!a} is no path", param, ctx)
        return Path(super().convert(value, param, ctx))


class Widths(click.ParamType):
    """Whole numbers of at least 1, separated by commas: 256,128."""

    name = "N,N,..."

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Return the numbers."""
        if isinstance(value, tuple):
            return value
        try:
            widths = tuple(int(part) for part in value.split(","))
        except ValueError:
            widths = (0,)
        if min(widths) < 1:
            self.fail(f"{value!r}: give whole numbers of at least 1, such as 256,128", param, ctx)
        return widths


class Layers(click.ParamType):
    """Hidden layers: 256,128 or c32,c64,256."""

    name = "LAYER,..."

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int | str, ...]:
        """Return the layers, widths as numbers."""
        from minivae.errors import ArgumentError
        from minivae.networks import parse

        try:
            return parse(value)
        except ArgumentError as error:
            self.fail(str(error), param, ctx)


class Finite(click.FloatRange):
    """A number of a range, neither infinite nor NaN."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number", param, ctx)
        return number


def printable(text: str, stream: Any) -> str:
    """Return a text without what would steer a terminal, or what the stream cannot encode."""
    safe = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return safe.encode(encoding, "backslashreplace").decode(encoding)


def tell(text: str, nl: bool = True) -> None:
    """Print a result on standard output. Names in it have been through `errors.shown`."""
    click.echo(printable(text, sys.stdout), nl=nl)


def say(line: str) -> None:
    """Print a line on standard error: progress, warnings, what is not the result.

    A reader that has gone away (a closed terminal or pipe) is no reason to stop.
    """
    with suppress(OSError):
        click.echo(printable(line, sys.stderr), err=True)


def print_json(value: Any) -> None:
    """Print one JSON object on standard output."""
    import json

    click.echo(json.dumps(value, indent=2, allow_nan=False))


run_argument = click.argument("run", type=PathName())
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
seed_option = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the noise."
)
data_option = click.option(
    "--data",
    metavar="NAME|PATH",
    help="Data set: mnist, fashion-mnist, a folder, .npz, .npy, .csv. Default: that of the run.",
)
drop_option = click.option(
    "--drop",
    multiple=True,
    metavar="COLUMN",
    help="A table's column to leave out, such as labels. Several times, if need be.",
)
image_size_option = click.option(
    "--image-size", metavar="RxC", help="Size to which pictures of a folder are scaled."
)
_backend_options = (
    click.option(
        "--backend", type=click.Choice(["numpy", "cupy"]), default="numpy", show_default=True
    ),
    click.option("--device", type=click.IntRange(0), help="Number of the GPU, with cupy. [0]"),
    click.option(
        "--precision",
        type=click.Choice(["float32", "tf32"]),
        default="float32",
        show_default=True,
        help="tf32, with cupy: products on tensor cores, rounded to 10 bits.",
    ),
)


def backend_options(command: Any) -> Any:
    """Add --backend, --device and --precision, to be given to `open_backend`."""
    for option in reversed(_backend_options):
        command = option(command)
    return command


def open_backend(backend: str, device: int | None, precision: str) -> Any:
    """Return the backend that the three options ask for."""
    from minivae.backend import get_backend

    if device is not None and backend != "cupy":
        raise click.UsageError("--device chooses a GPU: it needs --backend cupy")
    return get_backend(backend, device or 0, precision, notice=say)


def out_option(default: str | None, **settings: Any) -> Any:
    """Return the option --out FILE, which may replace a file, but none that the command reads."""
    option = click.option("--out", type=PathName(dir_okay=False), default=default, **settings)

    def decorate(command: Any) -> Any:
        @wraps(command)
        def careful(*args: Any, **given: Any) -> Any:
            _spare(given.get("out"), given.get("run"), given.get("data"))
            return command(*args, **given)

        return option(careful)

    return decorate


def _spare(out: Path | None, run: Path | None, data: str | None) -> None:
    """Refuse to write over the data that are named, the run's own, or its checkpoint."""
    if out is None or not out.exists():
        return
    from minivae.runs import checkpoint

    read = [data]
    if run is not None:
        own = load_run(run).config.get("data", {}).get("source")
        read += [own, checkpoint.file_of(run)]
    for path in read:
        known = isinstance(path, str | os.PathLike) and os.path.exists(path)
        if known and os.path.samefile(path, out):
            raise MinivaeError(f"{shown(out)} is what is read: name another file with --out")


label_option = click.option(
    "--label", type=int, help="Of a model trained with --condition labels: what to draw."
)


def of_images(vae: Any, data: Any, rows: Any, part: str = "test") -> Any:
    """Return a model for some images of a part: told their labels, if it takes any."""
    from minivae.errors import DataError

    if not vae.condition:
        return vae
    labels = getattr(data, f"{part}_labels")
    if labels is None:
        raise DataError(
            f"{shown(data.name)} has no labels, and the model is told them: name data that have "
            "some with --data"
        )
    return vae.given(labels[rows])


def load_run(run: Path, backend: Any = "numpy") -> Any:
    """Return the checkpoint of a run directory or file."""
    from minivae.runs import checkpoint

    return checkpoint.read(run, backend)


def load_run_data(
    checkpoint: Any, data: str | None, image_size: str | None = None, colour: bool = False
) -> Any:
    """Return the named data set, by default the run's own; it must have the model's image size.

    The run's own must be what it was trained on, bit by bit: else a test part could hold images
    that were trained on, and a run from elsewhere could name any file of this machine.
    """
    from minivae.data import NAMES, load_data
    from minivae.errors import DataError

    known = checkpoint.config.get("data", {})
    source = known.get("source") or (known.get("name") in NAMES and known["name"])
    source = source if data is None else data
    if data == "":
        raise DataError("--data is empty: name a data set, or leave it out")
    if not source:
        raise DataError("the checkpoint does not say on what it was trained: name it with --data")
    reading = checkpoint.reading
    size = image_size if data is not None or image_size is not None else reading["image_size"]
    colour = colour or reading["colour"]
    loaded = load_data(source, image_size=size, units=checkpoint.units, notice=say, colour=colour)
    own = known.get("image_shape", loaded.image_shape)
    if loaded.train.shape[1] != checkpoint.vae.pixels or len(loaded.image_shape) != len(own):
        sides = "x".join(map(str, loaded.image_shape))
        raise DataError(
            f"{shown(loaded.name)} has images of {sides} = {loaded.train.shape[1]} pixels, the "
            f"model takes {checkpoint.vae.pixels}: name other data with --data"
        )
    if known.get("fingerprint", loaded.fingerprint) != loaded.fingerprint:
        if data is None:
            raise DataError(
                f"{shown(source)} is not what the run was trained on, or has changed since: name "
                "the data with --data"
            )
        say(
            f"note: {shown(source)} is not what the model was trained on; images of it may be "
            "among those"
        )
    return loaded


def drawn(rows: Any, units: Any) -> Any:
    """Return rows that a model takes or gives as numbers from 0 to 1, black to white."""
    return rows if units is None else units.drawn(units.cells(rows))


def for_pictures(checkpoint: Any) -> None:
    """Refuse a run of a table, which has no pictures."""
    from minivae.data.tables import Table
    from minivae.errors import ArgumentError

    if isinstance(checkpoint.units, Table):
        raise ArgumentError(
            "this run is of a table, which has no pictures: minivae sample RUN --out FILE.csv, "
            "minivae anomalies, impute or similar"
        )
