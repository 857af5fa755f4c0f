"""Columns as they lie in a CSV file, a Parquet file or a DataFrame: read cell by cell, written.

A column is float64, NaN where a number is missing, or an array of texts, None where one is. Which
columns a model takes, and what it makes of them, is for tables.py.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minivae.errors import DataError, shown
from minivae.storage.arrays import open_regular
from minivae.storage.files import replacing

Columns = dict[str, np.ndarray]
SUFFIXES = (".csv", ".tsv", ".parquet")
MISSING = {"", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "?"}
NUMBER, CATEGORY, TEXT = "number", "category", "text"  # TEXT: kept as it stands, for no model
DELIMITERS = ",;\t|"
MANY = 1000  # categories of a column
BLOCK = 4096  # rows at a time
LINE = 1 << 20  # characters of a first line
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the start of one


def is_table(source: Any) -> bool:
    """Whether a source of data has named columns: such a path, a DataFrame, a mapping."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source).lower().endswith(SUFFIXES)
    return isinstance(source, Mapping) or hasattr(source, "columns")


def read_columns(source: Any, kinds: Mapping[str, str] | None = None) -> Columns:
    """Read what `is_table` says yes to.

    Parameters
    ----------
    source
        A path of a .csv, .tsv or .parquet file, a DataFrame, or a mapping of names to columns.
    kinds
        What columns are known to be, by name: "number", "category", or "text" (not looked into).
        Of the others it is seen: a column of numbers alone is one.

    Raises
    ------
    DataError
        A file that cannot be read, or a cell that cannot be, with its column and line.
    """
    kinds = kinds or {}
    if not isinstance(source, str | os.PathLike):
        names = list(source.keys() if isinstance(source, Mapping) else source.columns)
        columns = {str(name): _cells(source[name], str(name), kinds) for name in names}
        if len(columns) < len(names):
            raise DataError("two columns of the data have one name: rename one")
    elif os.fspath(source).lower().endswith(".parquet"):
        columns = _read_parquet(source, kinds)
    else:
        columns = read_csv(source, kinds)
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1 or not min(lengths):
        raise DataError(
            "the columns of the data are of several lengths"
            if len(lengths) > 1
            else f"{_where(source)} has no rows"
        )
    return columns


def options(names: Sequence[str]) -> str:
    """Return the options that leave these columns out."""
    return " ".join(f"--drop {shlex.quote(shown(name))}" for name in names)


def _where(source: Any) -> str:
    return shown(source) if isinstance(source, str | os.PathLike) else "the data"


# --- CSV -----------------------------------------------------------------------------------------


def read_csv(path: str | os.PathLike, kinds: Mapping[str, str]) -> Columns:
    """Read a CSV file: UTF-8, a first line of names, cells parted by commas, semicolons or tabs.

    Where the first line holds numbers alone there are no names, and the columns are called 1, 2,
    ... A first column without a name is a spreadsheet's numbering, and left out.

    Raises
    ------
    DataError
        As `read_columns`.
    """
    where = shown(path)
    file, _ = open_regular(path)
    with file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        try:
            first = text.readline(LINE)
            delimiter = max(DELIMITERS, key=re.sub('"[^"]*"', "", first).count)
            text.seek(0)
            reader = csv.reader(text, delimiter=delimiter, skipinitialspace=True, strict=True)
            return _read(reader, kinds, where)
        except UnicodeDecodeError:
            raise DataError(f"{where} is not text in UTF-8: save it as that") from None
        except csv.Error as error:
            raise DataError(f"{where}, line {reader.line_num}: {shown(str(error))}") from None
        except OSError as error:
            raise DataError(f"{where} cannot be read: {error.strerror}") from None


def _read(reader: Any, kinds: Mapping[str, str], where: str) -> Columns:
    head = next((row for row in reader if row), None)
    if head is None:
        raise DataError(f"{where} is empty")
    names, block = [_plain(name.strip()) for name in head], []
    if set(names) != set(kinds) and all(_number(name) is not None for name in names):
        names, block = [str(i + 1) for i in range(len(head))], [(1, head)]
    unnamed = [i for i, name in enumerate(names) if not name]
    if unnamed and (unnamed != [0] or len(names) == 1):
        raise DataError(f"{where}: column {unnamed[-1] + 1} has no name in the first line")
    if twice := {name for name in names if names.count(name) > 1}:
        raise DataError(f"{where} has two columns named {shown(min(twice))!r}: rename one")
    columns = [_Column(name, kinds.get(name, ""), where) for name in names]
    for row in reader:
        if not row:
            continue
        if len(row) != len(names):
            raise DataError(
                f"{where}, line {reader.line_num}: {len(row)} cells, where the first line has "
                f"{len(names)}"
            )
        block.append((reader.line_num, row))
        if len(block) == BLOCK:
            _add(columns, block)
            block = []
    if block:
        _add(columns, block)
    return {column.name: column.whole() for column in columns if column.name}


def _add(columns: Sequence[_Column], block: list[tuple[int, list[str]]]) -> None:
    lines, rows = zip(*block, strict=True)
    for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
        if column.name:
            column.add(cells, lines)


class _Column:
    """A column as it is read: numbers for as long as there is nothing else, and texts."""

    def __init__(self, name: str, kind: str, where: str) -> None:
        self.name, self.kind = name, kind
        self.what = f"{where}: column {shown(name)!r}"
        self.numbers: list[np.ndarray] | None = [] if kind in ("", NUMBER) else None
        self.codes: list[np.ndarray] | None = [] if kind != NUMBER else None
        self.known: dict[str, int] = {}  # the codes of texts

    def add(self, cells: Sequence[str], lines: Sequence[int]) -> None:
        """Take some more cells."""
        texts = [cell.strip() for cell in cells]
        if self.kind != TEXT:
            texts = ["" if text.lower() in MISSING else text for text in texts]
        if self.numbers is not None:
            self._add_numbers(texts, lines)
        if self.codes is not None:
            known, plain = self.known, map(_plain, texts)
            codes = [known.setdefault(text, len(known)) if text else -1 for text in plain]
            self.codes.append(np.array(codes, np.int64))
            if len(known) > MANY and self.kind == "":
                self.codes = None
                if self.numbers is None:
                    raise DataError(
                        f"{self.what} has more than {MANY:,} different texts: leave it out "
                        f"({options([self.name])})"
                    )

    def _add_numbers(self, texts: Sequence[str], lines: Sequence[int]) -> None:
        values = [_number(text) if text else math.nan for text in texts]
        if None in values:
            i = values.index(None)
            self.odd = f"the text {shown(texts[i])[:50]!r} in line {lines[i]}"
            self.numbers = None
            if self.codes is None:
                raise self._among_numbers()
            return
        self.numbers.append(np.array(values, np.float64))
        infinite = np.isinf(self.numbers[-1])
        if infinite.any():
            raise DataError(f"{self.what} is infinite in line {lines[int(infinite.argmax())]}")

    def whole(self) -> np.ndarray:
        """Return all cells."""
        if self.numbers is not None:
            return np.concatenate(self.numbers) if self.numbers else np.zeros(0)
        found = sum(_number(text) is not None for text in self.known)
        if self.kind == "" and 2 * found > len(self.known):
            raise self._among_numbers()
        texts = np.array([*self.known, None], object)
        return texts[np.concatenate(self.codes)] if self.codes else np.zeros(0, object)

    def _among_numbers(self) -> DataError:
        return DataError(
            f"{self.what} has {self.odd} where numbers belong: mend it, or leave the column out "
            f"({options([self.name])}), or take it for categories (--category)"
        )


def _number(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _plain(text: str) -> str:
    """Return a text without the apostrophe that `write_csv` puts before a formula."""
    return text[1:] if text[:1] == "'" and text[1:].startswith(FORMULA) else text


# --- Parquet and DataFrames ----------------------------------------------------------------------


def _read_parquet(path: str | os.PathLike, kinds: Mapping[str, str]) -> Columns:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            f"{shown(path)} is read by pyarrow, which is not installed: pip install pyarrow, or "
            "save the table as .csv"
        ) from None
    open_regular(path)[0].close()
    try:
        found = parquet.read_table(os.fspath(path))
    except (pyarrow.ArrowException, OSError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise DataError(f"{shown(path)} cannot be read as Parquet: {shown(reason)}") from None
    names = found.column_names
    if len(set(names)) < len(names):
        raise DataError(f"{shown(path)} has two columns of one name: rename one")
    return {name: _cells(found[name].to_numpy(), name, kinds) for name in names}


def _cells(given: Any, name: str, kinds: Mapping[str, str]) -> np.ndarray:
    """Return a column of a DataFrame as numbers, or as texts."""
    what, kind = f"column {shown(name)!r}", kinds.get(name, "")
    values = np.asarray(given)
    if values.dtype.kind == "U" and not hasattr(given, "dtype"):
        values = np.asarray(given, object)  # a NaN among texts stays one
    if values.ndim != 1 or (kind != TEXT and values.dtype.kind not in "biufOUST"):
        raise DataError(
            f"{what} holds {values.dtype} of shape {values.shape}: make it numbers or texts, or "
            f"leave it out ({options([name])})"
        )
    if values.dtype.kind not in "iuf":
        values = np.array([None if _is_missing(one) else one for one in values.tolist()], object)
        numbers = [isinstance(one, int | float) and one is not True and one is not False
                   for one in values if one is not None]  # fmt: skip
        if kind in ("", NUMBER) and all(numbers):
            values = np.array([math.nan if one is None else one for one in values], np.float64)
        elif kind == NUMBER or (kind == "" and 2 * sum(numbers) > len(numbers)):
            raise DataError(f"{what} has texts where numbers belong: mend it, or leave it out")
    if values.dtype == object or kind in (CATEGORY, TEXT):
        texts = [None if _is_missing(one) else _text(one) for one in values.tolist()]
        return np.array(texts, object)
    values = values.astype(np.float64)
    if np.isinf(values).any():
        raise DataError(f"{what} is infinite in row {int(np.isinf(values).argmax())}")
    return values


def _is_missing(cell: Any) -> bool:
    """Whether a cell is None, NaN or what pandas has for them."""
    return cell is None or type(cell).__name__ in ("NAType", "NaTType") or cell != cell


def _text(cell: Any) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


# --- out -----------------------------------------------------------------------------------------


def write_csv(path: str | os.PathLike, columns: Mapping[str, Any]) -> None:
    """Write columns as CSV, a first line of names; what is missing is left empty.

    A text that a spreadsheet would take for a formula has an apostrophe before it, which
    `read_csv` takes away again.

    Raises
    ------
    WriteError
        If the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [_cell(name) for name in columns]
    plain = not set(DELIMITERS) & set("".join(names))  # or the first line would mislead
    csv.writer(text, lineterminator="\n", quoting=0 if plain else csv.QUOTE_ALL).writerow(names)
    writer.writerows(
        zip(*(map(_cell, np.asarray(c).tolist()) for c in columns.values()), strict=True)
    )
    with replacing(path) as file:
        file.write(text.getvalue().encode("utf-8", "backslashreplace"))


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if not isinstance(value, str):
        return str(value)
    return "'" + value if value.startswith(FORMULA) and _number(value) is None else value
