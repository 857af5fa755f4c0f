"""What a row of numbers means in the user's units: tables of named columns, arrays of any range.

A `Table` makes columns of numbers and categories into rows of the kind that parts/table.py is for,
and back; a `Scale` does it for arrays. Both are kept in a checkpoint, as text. Reading columns from
files is for columns.py.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minivae.data.columns import CATEGORY, MANY, NUMBER, TEXT, Columns, options
from minivae.errors import ArgumentError, DataError, shown

SHOWN = 10  # columns that a message names
LIKELIHOODS = ("gaussian", "bernoulli", "poisson")  # that a scale proposes
SCALES = ("standard", "minmax", "none")


class Column(NamedTuple):
    """A column: categories, or without them numbers, of which x is (number - offset) / factor."""

    name: str
    categories: tuple[str, ...] = ()
    offset: float = 0.0
    factor: float = 1.0
    whole: bool = False  # whether all that there were are whole numbers


class Table:
    """Columns of numbers and categories as rows of a model, and back.

    A row holds the numbers, standardised; for each a flag, 1 where it is missing; the categories,
    one-hot, zeros where one is missing.

    Attributes
    ----------
    columns : tuple of Column
        In the table's order.
    features : list of Column
        In the order of a row: numbers, then categories.
    dropped : tuple of str
        Columns that are left out wherever they come.
    width : int
        D, the numbers of a row.
    likelihood : str
        The name of p(x|z) for such rows.
    """

    def __init__(self, columns: Sequence[Column], dropped: Sequence[str] = ()) -> None:
        self.columns, self.dropped = tuple(columns), tuple(dropped)
        self.numbers = [column for column in columns if not column.categories]
        self.groups = [column for column in columns if column.categories]
        self.features = self.numbers + self.groups
        sizes = [len(self.numbers), *(len(column.categories) for column in self.groups)]
        self.width = sizes[0] + sum(sizes)
        self.likelihood = f"table:{','.join(map(str, sizes))}"

    @classmethod
    def learn(
        cls, cells: Columns, where: str, drop: Sequence[str] = (), category: Sequence[str] = ()
    ) -> Table:
        """Return the table that describes these columns.

        Raises
        ------
        DataError
            If a column says nothing, or too much: one value alone, or a text of its own a row.
        """
        for name in (*drop, *category):
            if name not in cells:
                raise DataError(f"{where} has no column {shown(name)!r}: {_names(cells)}")
        if len(next(iter(cells.values()))) < 2:
            raise DataError(f"{where} has a single row; at least 2 are needed, one to test on")
        kept = {name: _seen(column) for name, column in cells.items() if name not in drop}
        if not kept:
            raise DataError(f"{where} has no columns but those left out")
        if same := [name for name, seen in kept.items() if len(seen) < 2]:
            names = ", ".join(repr(shown(name)) for name in same[:SHOWN])
            more = f" and {len(same) - SHOWN} more" if len(same) > SHOWN else ""
            raise DataError(
                f"{where}: column{'s' * (len(same) > 1)} {names}{more} with one value alone, or "
                f"none: leave out what says nothing ({options(same)})"
            )
        for name in kept:
            if name not in category and cells[name].dtype == object:
                _no_commas(name, kept[name], where)
        return cls([_learn(name, cells[name], kept[name], where) for name in kept], drop)

    def kinds(self) -> dict[str, str]:
        """Return what each column is, as `columns.read_columns` takes it."""
        kinds = {c.name: CATEGORY if c.categories else NUMBER for c in self.columns}
        return kinds | dict.fromkeys(self.dropped, TEXT)

    def rows(self, cells: Columns, where: str) -> np.ndarray:
        """Return rows (N, D), float32, of columns that are named and filled as these are.

        Raises
        ------
        DataError
            A column that is missing, or not known; a category never seen.
        """
        names = [column.name for column in self.columns]
        for name in names:
            if name not in cells:
                raise DataError(
                    f"{where} lacks the column {shown(name)!r}, which the model was trained on"
                )
        for name in cells:
            if name not in names and name not in self.dropped:
                raise DataError(
                    f"{where} has the column {shown(name)!r}, which was not there in training: "
                    f"take it out, or name it ({options([name])}: anomalies, impute, similar)"
                )
        n = len(self.numbers)
        x = np.zeros((len(cells[names[0]]), self.width), np.float32)
        for i, column in enumerate(self.numbers):
            values = (cells[column.name] - column.offset) / column.factor
            missing = np.isnan(values)
            x[:, i], x[:, n + i] = np.where(missing, 0, values), missing
            if not np.isfinite(x[:, i]).all():
                raise DataError(f"{where}: column {shown(column.name)!r} has numbers too large")
        start = 2 * n
        for column in self.groups:
            place = {text: start + i for i, text in enumerate(column.categories)}
            for row, text in enumerate(cells[column.name].tolist()):
                if text is not None and text not in place:
                    raise DataError(
                        f"{where}: column {shown(column.name)!r} has {shown(text)[:50]!r} in row "
                        f"{row} (from 0), which was never seen in training: {_names(place)}"
                    )
                if text is not None:
                    x[row, place[text]] = 1
            start += len(column.categories)
        return x

    def cells(self, x: np.ndarray) -> Columns:
        """Return columns in the user's units for rows x (N, D).

        Of a group the largest is taken: of means, the likeliest category.
        """
        found: Columns = {}
        n, start = len(self.numbers), 2 * len(self.numbers)
        for i, column in enumerate(self.numbers):
            values = x[:, i].astype(np.float64) * column.factor + column.offset
            digits = 6 - math.floor(math.log10(column.factor))  # float32 knows no more
            values = np.rint(values) if column.whole else np.round(values, digits)
            found[column.name] = np.where(x[:, n + i] == 1, np.nan, values)
        for column in self.groups:
            shares = x[:, start : start + len(column.categories)]
            texts = np.array([*column.categories, None], object)
            found[column.name] = texts[np.where(shares.any(axis=1), shares.argmax(axis=1), -1)]
            start += len(column.categories)
        return {column.name: found[column.name] for column in self.columns}

    def text(self) -> str:
        """Return what makes this table again."""
        return json.dumps({"table": self.columns, "dropped": self.dropped})


class Scale(NamedTuple):
    """Numbers of any range as a model takes them: x = (number - offset) / factor, and back.

    Attributes
    ----------
    offset, factor : array (D,)
        Of each column.
    least, most : float
        Of the numbers that it was learned from.
    """

    offset: np.ndarray
    factor: np.ndarray
    least: float
    most: float
    likelihood: str

    @classmethod
    def learn(cls, x: np.ndarray, how: str, where: str, together: bool) -> Scale:
        """Return what makes rows x (N, D) standard (mean 0, deviation 1) or minmax (0 to 1).

        Each column by itself, or all `together`, as pixels are. What is constant is 0. "none"
        leaves numbers as they are, such as counts.
        """
        if how not in SCALES:
            raise ArgumentError(f"scale {how!r:.50} is unknown: {', '.join(SCALES)}")
        axis = None if together else 0
        x = _finite(x, where)
        least, most = x.min(axis=axis), x.max(axis=axis)
        with np.errstate(over="ignore", invalid="ignore"):
            if how == "standard":
                offset, factor = x.mean(axis=axis), x.std(axis=axis)
                factor = np.where(factor > 1e-12 * np.abs(offset), factor, 1)
            elif how == "minmax":
                offset, factor = least, np.where(most > least, most - least, 1)
            else:
                offset, factor = np.zeros_like(least), np.ones_like(most)
        offset, factor = (np.broadcast_to(a, x.shape[1:]) for a in (offset, factor))
        if not np.isfinite([offset, factor]).all():
            raise DataError(f"{where} has numbers too large to be scaled")
        counts = how == "none" and least.min() >= 0 and (x == np.rint(x)).all()
        likelihood = "poisson" if counts else "bernoulli" if how == "minmax" else "gaussian"
        return cls(offset, factor, float(least.min()), float(most.max()), likelihood)

    @property
    def width(self) -> int:
        """D, the numbers of a row."""
        return len(self.offset)

    def rows(self, x: np.ndarray, where: str) -> np.ndarray:
        """Return rows (N, D), float32, as the model takes them."""
        return ((_finite(x, where) - self.offset) / self.factor).astype(np.float32)

    def cells(self, x: np.ndarray) -> np.ndarray:
        """Return rows (N, D), float64, in the user's units."""
        return x * self.factor + self.offset

    def drawn(self, x: np.ndarray) -> np.ndarray:
        """Return numbers in the user's units as grey: 0 to 1, the range of what there was."""
        return np.clip((x - self.least) / (self.most - self.least or 1), 0, 1)

    def text(self) -> str:
        """Return what makes this again."""
        columns = [self.offset.tolist(), self.factor.tolist()]
        return json.dumps({"scale": [*columns, self.least, self.most, self.likelihood]})


def parse(text: str) -> Table | Scale:
    """Return the table or scale of that text; nothing in it is believed.

    Raises
    ------
    KeyError, TypeError, ValueError, OverflowError
        If it is none.
    """
    try:
        said = json.loads(text)
    except RecursionError:
        raise ValueError("its units are nested") from None
    if "scale" in said:
        offset, factor, least, most, likelihood = said["scale"]
        numbers = np.array([offset, factor], np.float64)
        if numbers.ndim != 2 or not np.isfinite([*numbers.ravel(), least, most]).all():
            raise ValueError("its scale is none")
        if not (numbers[1] > 0).all() or likelihood not in LIKELIHOODS:
            raise ValueError("its scale is none")
        return Scale(*numbers, float(least), float(most), likelihood)
    columns = []
    for name, categories, offset, factor, whole in said["table"]:
        texts = [name, *categories]
        if not all(isinstance(one, str) for one in texts) or len(set(categories)) == 1:
            raise ValueError("its table has columns without names")
        if not (0 < float(factor) < math.inf and math.isfinite(offset)):
            raise ValueError(f"column {name!a:.50} has no scale")
        columns.append(Column(name, tuple(categories), float(offset), float(factor), whole is True))
    dropped = said["dropped"]
    names = [*(column.name for column in columns), *dropped]
    if not columns or len(set(names)) < len(names):
        raise ValueError("its table has no columns, or one twice")
    return Table(columns, dropped)


def _seen(cells: np.ndarray) -> Sequence[Any]:
    """Return the different values of a column, in order, without what is missing."""
    if cells.dtype == object:
        return sorted({text for text in cells.tolist() if text is not None})
    return np.unique(cells[~np.isnan(cells)])


def _no_commas(name: str, seen: Sequence[Any], where: str) -> None:
    """Refuse numbers that are written with commas, which else would be categories."""
    if all(re.fullmatch(r"[-+]?\d+(,\d+)+", text) for text in seen):
        raise DataError(
            f"{where}: column {shown(name)!r} has numbers with commas, such as {seen[0]}: write "
            f"a point, or take them as texts by --category (in Python category=[{shown(name)!r}])"
        )


def _learn(name: str, cells: np.ndarray, seen: Sequence[Any], where: str) -> Column:
    what, remedy = f"{where}: column {shown(name)!r}", f"leave it out ({options([name])})"
    if cells.dtype == object:
        if len(seen) > min(MANY, max(20, len(cells) // 2)):
            raise DataError(
                f"{what} has {len(seen)} different texts in {len(cells)} rows: {remedy}"
            )
        return Column(name, tuple(seen))
    there = cells[~np.isnan(cells)]
    with np.errstate(over="ignore"):
        offset, factor = float(there.mean()), float(there.std())
    if not (0 < factor < 1e150 and abs(offset) < 1e150):
        raise DataError(f"{what} has numbers too large, or too close to one another: {remedy}")
    return Column(name, (), offset, factor, bool((there == np.rint(there)).all()))


def _finite(x: np.ndarray, where: str) -> np.ndarray:
    if x.dtype.kind not in "biuf":
        raise DataError(f"{where} has an array of type {x.dtype}: expected numbers")
    x = np.asarray(x, np.float64)
    wrong = ~np.isfinite(x)
    if wrong.any():
        row, column = (int(place[0]) for place in wrong.nonzero())
        raise DataError(
            f"{where}: row {row}, column {column} is {x[row, column]}: only tables (a DataFrame, a "
            ".csv) may have holes"
        )
    return x


def _names(names: Any) -> str:
    """Return the first few names, as a line shows them."""
    shorter = ", ".join(shown(str(name)) for name in list(names)[:20])
    return shorter if len(shorter) < 200 else shorter[:200] + " ..."
