"""Commands for what a trained run is used for: anomalies, impute, similar, combine.

Each calls one function of jobs.py, and writes a file or prints a few lines.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from minivae.cli.common import drop_option, load_run, out_option, print_json, run_argument, tell
from minivae.errors import ArgumentError, shown

rows_option = click.option(
    "--data",
    required=True,
    metavar="FILE",
    help="The rows: a .csv, .tsv or .parquet file, or arrays, with the columns of the run's data.",
)
samples_option = click.option(
    "--samples", type=click.IntRange(1), default=100, show_default=True, help="Draws of z a row."
)
TOLD = 3  # columns that are named for each row


@click.command()
@run_argument
@rows_option
@out_option("scores.csv", show_default=True)
@click.option(
    "--quantile",
    type=click.FloatRange(0, 1),
    default=0.95,
    show_default=True,
    help="An anomaly scores higher than this share of the run's own rows.",
)
@samples_option
@drop_option
def anomalies(
    run: Path, data: str, out: Path, quantile: float, samples: int, drop: tuple[str, ...]
) -> None:
    """Score each row by how improbable it is, and name the columns that weigh most.

    A score is -log p of the row, in nats. Columns that the model does not know are copied.
    """
    import numpy as np

    from minivae import jobs
    from minivae.data.columns import write_csv

    saved = load_run(run)
    found = jobs.anomalies(saved, data, quantile=quantile, samples=samples, drop=drop)
    strange = found.scores > found.threshold
    columns: dict[str, Any] = {
        "row": np.arange(len(found.scores)),
        "score": found.scores.round(4),
        "anomaly": strange.astype(int),
    }
    order = np.argsort(-found.weights, axis=1, kind="stable")[:, :TOLD]
    names = np.array(found.features, object)
    for i in range(order.shape[1]):
        columns[f"column {i + 1}"] = names[order[:, i]]
        columns[f"nats {i + 1}"] = np.take_along_axis(found.weights, order, 1)[:, i].round(4)
    columns |= {name: cells for name, cells in found.cells.items() if name not in found.features}
    write_csv(out, columns)
    whose = f"of {found.reference:,} rows of the run's own data"
    if not found.reference:
        whose = "of these rows themselves, since the run's data are gone or have changed"
    tell(
        f"{strange.sum():,} of {len(strange):,} rows score above {found.threshold:.2f} nats, the "
        f"{quantile:g} quantile {whose}; scores in {shown(out)}"
    )


@click.command()
@run_argument
@rows_option
@out_option("imputed.csv", show_default=True)
@click.option(
    "--samples", type=click.IntRange(1), default=1000, show_default=True, help="Draws of z a row."
)
@drop_option
def impute(run: Path, data: str, out: Path, samples: int, drop: tuple[str, ...]) -> None:
    """Fill what is missing in a table with what the model expects there."""
    from minivae import jobs
    from minivae.data.columns import write_csv

    filled, count = jobs.impute(load_run(run), data, samples=samples, drop=drop)
    write_csv(out, filled)
    tell(f"{count:,} cells filled in {shown(out)}")


@click.command()
@run_argument
@rows_option
@click.option("--row", type=click.IntRange(0), required=True, help="Which, counted from 0.")
@click.option("-n", "count", type=click.IntRange(1), default=10, show_default=True)
@out_option(None, help="A .csv or .png file for the rows themselves.")
@drop_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def similar(
    run: Path,
    data: str,
    row: int,
    count: int,
    out: Path | None,
    drop: tuple[str, ...],
    as_json: bool,
) -> None:
    """Find the rows that lie nearest to one in latent space."""
    from minivae import jobs

    saved = load_run(run)
    numbers, distances, rows = jobs.similar(saved, data, row, count, drop)
    if out is not None:
        write_rows(out, rows, saved)
    if as_json:
        print_json({"row": row, "rows": numbers.tolist(), "distances": distances.tolist()})
        return
    for number, distance in zip(numbers.tolist(), distances.tolist(), strict=True):
        tell(f"{number:>8}  {distance:.4f}")
    if out is not None:
        tell(f"row {row} and {len(numbers)} rows near it in {shown(out)}")


@click.command()
@run_argument
@rows_option
@click.option(
    *("--plus", "-p"),
    multiple=True,
    required=True,
    type=click.IntRange(0),
    help="A row to add, counted from 0. Several times.",
)
@click.option(
    *("--minus", "-m"),
    multiple=True,
    type=click.IntRange(0),
    help="A row to take away. Several times, if need be.",
)
@out_option(None, help="A .png, .npz or .csv file. [combined.png; of a table combined.csv]")
@drop_option
def combine(
    run: Path,
    data: str,
    plus: tuple[int, ...],
    minus: tuple[int, ...],
    out: Path | None,
    drop: tuple[str, ...],
) -> None:
    """Add and take away rows in latent space: --plus 3 --minus 7 --plus 9.

    Written are these rows as the model sees them, those added first, and last what comes of them.
    """
    from minivae import jobs

    saved = load_run(run)
    rows = jobs.combine(saved, data, plus, minus, drop)
    out = out or Path(f"combined.{'csv' if isinstance(rows, dict) else 'png'}")
    write_rows(out, rows, saved, len(plus) + len(minus) + 1)
    terms = " + ".join(map(str, plus)) + "".join(f" - {i}" for i in minus)
    tell(f"rows {terms}, and what comes of them, in {shown(out)}")


def write_rows(out: Path, rows: Any, saved: Any, columns: int | None = None) -> None:
    """Write rows in the user's units, a table's columns or an array: .csv, .npz or .png."""
    import numpy as np

    from minivae.data.columns import write_csv
    from minivae.storage.files import replacing

    suffix, table = out.suffix.lower(), isinstance(rows, dict)
    if suffix == ".csv":
        write_csv(out, rows if table else dict(enumerate(np.asarray(rows).T)))
    elif suffix == ".npz":
        if not table and len(saved.image_shape) == 3:  # load_data tells colours by their axis
            rows = rows.reshape(-1, *saved.image_shape)
        arrays = {name: _plain(column) for name, column in rows.items()} if table else {"x": rows}
        with replacing(out) as file:
            np.savez(file, **arrays)
    elif suffix == ".png" and not table:
        from minivae.looking import plots

        wide = columns or max(1, round(len(rows) ** 0.5))
        shades = rows if saved.units is None else saved.units.drawn(rows)
        plots.save_grid(out, shades, saved.image_shape, wide)
    else:
        kinds = ".csv or .npz" if table else ".png, .npz or .csv"
        raise ArgumentError(f"{shown(out)}: name a file that ends with {kinds}")


def _plain(column: Any) -> Any:
    """Return a column as an array that NumPy keeps without pickling."""
    if column.dtype != object:
        return column
    import numpy as np

    return np.array(["" if text is None else text for text in column], str)
