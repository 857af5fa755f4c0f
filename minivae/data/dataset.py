"""Data sets: arrays of images checked, named, and given a test part where they have none.

Finding and reading them is left to `sources.py`, turning rows into pixels to `pixels.py`.

Pixels stay as they came, uint8 or float32, and become numbers in [0, 1] a batch at a time. A large
.npy file is mapped, not read; the floats in it are still all checked (in [0, 1], no NaN), by plain
reads of 8 MiB that keep nothing.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from minivae import views
from minivae.data.columns import CATEGORY, TEXT, Columns, is_table, read_columns
from minivae.data.pictures import MAX_SIDE
from minivae.data.pixels import RowSubset, gather
from minivae.data.sources import MAP_ABOVE, read_source
from minivae.data.tables import Scale, Table
from minivae.errors import ArgumentError, DataError, shown
from minivae.inputs import one_of, precision, said, typed
from minivae.noise import permutation

BLOCK = 8 << 20


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images to train on and images to test on; labels where there are any.

    Attributes
    ----------
    name
        Its name, or that of its file or folder.
    train, test
        (N, D) uint8, or floats in [0, 1]; they have `len`, `shape`, `dtype` and `rows[numbers]`,
        but need not be arrays (`RowSubset`). Nothing is chosen by the test part: for that,
        training holds a validation part out of the training part.
    train_labels, test_labels
        (N,) int64, or None.
    image_shape
        (rows, columns) of one image, in colour (rows, columns, 3): D is their product. The three
        numbers of a pixel lie side by side in a row.
    units
        What made the rows of a table's columns, or of numbers of another range, and makes them
        again; None where they are as they came.
    places
        Which rows of the source the two parts are, where its test part was held out of them.
    """

    name: str
    train: np.ndarray | RowSubset
    test: np.ndarray | RowSubset
    train_labels: np.ndarray | None
    test_labels: np.ndarray | None
    image_shape: tuple[int, ...]
    units: Table | Scale | None = None
    places: tuple[np.ndarray, np.ndarray] | None = None

    def __post_init__(self) -> None:
        """Refuse arrays of other shapes and types; their numbers are looked at by `load_data`."""
        for part in ("train", "test"):
            rows, labels = getattr(self, part), getattr(self, f"{part}_labels")
            what = f"{shown(self.name)}, {part}"
            pixel_rows(rows, self.train.shape[1], what)
            if labels is not None and np.shape(labels) != (len(rows),):
                raise DataError(f"{what}: {len(rows)} images, labels of shape {np.shape(labels)}")
        shape = self.image_shape
        if (len(shape) != 2 and shape[2:] != (3,)) or math.prod(shape) != self.train.shape[1]:
            raise DataError(
                f"{shown(self.name)}: image_shape {said(shape)} is none of rows of "
                f"{self.train.shape[1]} pixels: give (rows, columns), or (rows, columns, 3)"
            )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of both parts: shapes, types and pixels. Labels do not count.

        Of a part above 256 MiB only 64 runs of 64 rows count, at even distances from its first
        row to its last: so a mapped file is not read whole.
        """
        import hashlib  # slow to load, and not wanted before

        sha = hashlib.sha256()
        for part in (self.train, self.test):
            sha.update(f"{part.shape} {part.dtype.name};".encode())
            if len(part) * part.shape[1] * part.dtype.itemsize <= MAP_ABOVE:
                step = max(1, BLOCK // (part.shape[1] * part.dtype.itemsize))
                for start in range(0, len(part), step):
                    sha.update(np.ascontiguousarray(part[start : start + step]))
            else:
                for start in np.linspace(0, max(0, len(part) - 64), 64).astype(np.int64):
                    sha.update(np.ascontiguousarray(part[start : start + 64]))
        return sha.hexdigest()

    @cached_property
    def label_fingerprint(self) -> str:
        """SHA-256 of the labels of both parts; empty where there are none."""
        parts = self.train_labels, self.test_labels
        if any(labels is None for labels in parts):
            return ""
        import hashlib

        return hashlib.sha256(
            b";".join(np.ascontiguousarray(y).tobytes() for y in parts)
        ).hexdigest()

    @property
    def noun(self) -> str:
        """What one of them is called: a row, unless it has a height."""
        return "row" if self.image_shape[0] == 1 else "image"

    def __repr__(self) -> str:
        """Return one line: name, how many rows or images of which size, and whether labelled."""
        return f"<Dataset {', '.join(f'{k}: {v}' for k, v in self._facts().items())}>"

    def _repr_html_(self) -> str:
        return views.facts("Dataset", self._facts())

    def _facts(self) -> dict[str, str]:
        labelled = self.train_labels is not None
        return {
            "name": shown(self.name),
            "training": f"{len(self.train):,}",
            "test": f"{len(self.test):,}",
            f"{self.noun}s": "x".join(map(str, self.image_shape)),
            "numbers": self.train.dtype.name,
            "labels": "yes" if labelled else "no",
        }

    @typed
    def held_out(self, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of the training rows in two parts: trained on, and held out of that.

        The second, `share` of them, is what a training validates on; the test part has no share
        in it. The same seed, the same parts.
        """
        n = len(self.train)
        held = int(n * share)
        if not 0 < held < n:
            raise ArgumentError(
                f"validation must be a share of the {n:,} training {self.noun}s, with some on "
                f"either side of it, not {share:g}"
            )
        order = permutation(seed, "held out", 0, n)
        return np.sort(order[held:]), np.sort(order[:held])

    @typed
    def validating(self, share: float, seed: int) -> Dataset:
        """Return these data without their test part: trained on, and in its place held out."""
        parts = self.held_out(share, seed)
        rows = [
            RowSubset(self.train.base, self.train.rows[numbers])
            if isinstance(self.train, RowSubset)
            else RowSubset(self.train, numbers)
            for numbers in parts
        ]
        y = self.train_labels
        labels = [None if y is None else y[numbers] for numbers in parts]
        return replace(
            self,
            **{"train": rows[0], "test": rows[1], "places": None},
            **{"train_labels": labels[0], "test_labels": labels[1]},
        )

    @typed
    def pixels(
        self,
        part: str = "test",
        rows: Any = slice(None),
        *,
        binarize: str = "none",
        dtype: Any = "float32",
    ) -> np.ndarray:
        """Return rows of a part as pixels in [0, 1], (n, D), in memory.

        Parameters
        ----------
        part : str
            "train" or "test".
        rows : slice, array of whole numbers or mask
            Which; all of them if left out.
        binarize : str
            "none" or "threshold". Noise for "sampled" is drawn in training alone.
        dtype : dtype
            float32 or float64.
        """
        one_of(part, ("train", "test"), "part")
        source = getattr(self, part)
        try:
            indices = np.arange(len(source))[rows]
        except (IndexError, TypeError, ValueError):
            indices = np.zeros(())
        if indices.ndim != 1:
            raise ArgumentError(
                f"rows {said(rows)} choose none of {len(source)} images: give a slice, an array of "
                "whole numbers or a mask"
            )
        out = np.empty((len(indices), source.shape[1]), precision(dtype))
        return gather(source, indices, out, binarize=binarize)


def pixel_rows(rows: Any, pixels: int, what: str) -> None:
    """Raise DataError unless rows are (N, pixels), uint8 or floats, at least one of them."""
    if not isinstance(rows, np.ndarray | RowSubset):
        raise DataError(f"{what}: rows must be an array (N, {pixels}), not {said(rows)}")
    if rows.ndim != 2 or rows.shape[1] != pixels or 0 in rows.shape:
        raise DataError(f"{what}: rows of shape {rows.shape}, not (N, {pixels}) of one at least")
    if rows.dtype != np.uint8 and rows.dtype.kind != "f":
        raise DataError(f"{what}: rows of type {said(rows.dtype)}: expected uint8 or floats")


@typed
def load_data(
    source: Any = "mnist",
    *,
    labels: Any = None,
    image_size: str | tuple[int, int] | None = None,
    scale: str | None = None,
    drop: Sequence[str] = (),
    category: Sequence[str] = (),
    units: Table | Scale | None = None,
    seed: int = 0,
    notice: Callable[[str], None] | None = None,
    colour: bool = False,
    share: tuple[int, int] = (0, 1),
) -> Dataset:
    """Load a data set by name, from a file or folder, or from what Python holds.

    Parameters
    ----------
    source
        "mnist" (comes with the package), "fashion-mnist" (downloaded once), or a path: a folder
        of IDX files under MNIST's names (plain or gzipped), a folder of PNG or JPEG pictures, an
        .npz (`x_train`, `x_test`, `y_train`, `y_test`, all but the first optional; or one array),
        or an .npy. Arrays hold images or rows: uint8, booleans, or floats in [0, 1]; those of
        (N, rows, columns, 3) or (N, 3, rows, columns) are in colour. An array itself will do. A
        table: a .csv, .tsv or .parquet file, a DataFrame, or a mapping of names
        to columns; its numbers are standardised, its texts are categories, and cells may be empty.
    labels
        One whole number for each row of an array.
    image_size
        "28x28" or (28, 28), rows by columns: pictures are scaled to it, rows are shown by it, and
        it says which axis is colour where two could be.
    scale
        For arrays of any range: "standard" (mean 0, deviation 1), "minmax" (0 to 1) or "none" (as
        they are: counts). Columns of rows (N, D) each by itself, all pixels of pictures (N, rows,
        columns) together.
    drop, category
        Names of a table's columns that are left out (labels, say), or that hold categories though
        they look like numbers.
    units
        Those of data already known, which this is to be measured in.
    seed
        Chooses the tenth held out for testing where the data have no test part.
    notice
        Called with each message: what was held out, which pictures were skipped, where the colours
        of an array were found.
    colour
        Whether a folder of pictures is read in red, green and blue; an array without them is
        refused.
    share
        (k, n): of a mapped file's numbers look at the k-th n-th alone, since others look at theirs.

    Returns
    -------
    Dataset
        With both parts.

    Raises
    ------
    DataError
        An unknown name; a file that is missing, damaged, empty, out of range or of another size;
        a column that a model cannot use, or another than `units` has.
    """
    say = notice or (lambda line: None)
    if len(share) != 2 or not 0 <= share[0] < share[1]:
        raise ArgumentError(f"share must be (k, n) with k from 0 to n - 1, not {share!r:.50}")
    if isinstance(units, Table) or (units is None and is_table(source)):
        if scale is not None or labels is not None or colour:
            raise ArgumentError("tables are standardised: scale, labels and colour are for arrays")
        name = _name(source, "table")
        kinds = dict.fromkeys(category, CATEGORY) | dict.fromkeys(drop, TEXT)
        cells = read_columns(source, units.kinds() if units else kinds)
        units = units or Table.learn(cells, shown(name), drop, category)
        rows = units.rows(cells, shown(name))
        train, _, test, _, places = _hold_out(rows, None, seed, shown(name), say, "rows")
        return Dataset(name, train, test, None, None, (1, units.width), units, places)
    if len(drop) or len(category):
        raise ArgumentError("columns are a table's: give a .csv or .parquet file, or a DataFrame")
    size = parse_size(image_size)
    where = shown(_name(source, "array"))
    if isinstance(source, str | os.PathLike):
        if labels is not None:
            raise ArgumentError("labels belong to an array; a file holds its own")
        name, x_train, y_train, x_test, y_test = read_source(source, size, say, colour)
        where = shown(source)
    else:
        name = where
        x_train, x_test, y_test = np.asarray(source), None, None
        y_train = None if labels is None else np.asarray(labels)
    if colour and isinstance(source, str | os.PathLike) and os.path.isdir(source):
        where_colours, size = (lambda line: None), x_train.shape[1:3]  # a folder's lie last
    else:
        where_colours = say
    together = x_train.ndim > 2
    x_train, shape = _rows(x_train, size, f"{where}: the training part", where_colours)
    if colour and len(shape) == 2:
        raise DataError(f"{where} has no colours: colour is for pictures in red, green and blue")
    if scale is not None and units is None:
        units = Scale.learn(x_train, scale, where, together)

    def read(x: np.ndarray, part: str) -> np.ndarray:
        return _pixels(x, part, share) if units is None else units.rows(x, part)

    x_train = read(x_train, f"{where}: the training part")
    y_train = _labels(y_train, len(x_train), f"{where}: the training part")
    places = None
    if x_test is not None:
        part = f"{where}: the test part"
        x_test, other = _rows(x_test, shape, part, say)
        if other != shape:
            both = ["x".join(map(str, sides)) for sides in (other, shape)]
            raise DataError(f"{part} has images of {both[0]}, the training part of {both[1]}")
        x_test = read(x_test, part)
        if x_test.dtype != x_train.dtype:
            raise DataError(
                f"{where}: test images are {x_test.dtype.name}, training images "
                f"{x_train.dtype.name}; save both as one type"
            )
        y_test = _labels(y_test, len(x_test), f"{where}: the test part")
    else:
        x_train, y_train, x_test, y_test, places = _hold_out(x_train, y_train, seed, where, say)
    if x_train.dtype == np.uint8 and not isinstance(x_train, RowSubset) and x_train.max() <= 1:
        say(f"{where}: no pixel is above 1 of 255, so all are nearly black; "
            f"save 0 and 1 as booleans or floats")  # fmt: skip
    return Dataset(name, x_train, x_test, y_train, y_test, shape, units, places)


def load_rows(
    source: Any,
    units: Table | Scale | None,
    drop: Sequence[str] = (),
    colours: tuple[int, ...] | None = None,
) -> tuple[np.ndarray, Columns]:
    """Return all rows of new data (N, D), as a model with these units takes them, and its columns.

    Nothing is held out; of arrays with a test part it is that part. Columns that the model does not
    know, those of `drop` among them, come as texts; arrays have none. For a model of pictures in
    colour, `colours` is their shape.

    Raises
    ------
    DataError
        As `load_data`.
    """
    if isinstance(units, Table):
        if not is_table(source):
            raise DataError(f"{shown(_name(source, 'the data'))} is no table: give a .csv file")
        cells = read_columns(source, units.kinds() | dict.fromkeys(drop, TEXT))
        known = {name: column for name, column in cells.items() if name not in drop}
        return units.rows(known, shown(_name(source, "the table"))), cells
    if isinstance(source, str | os.PathLike) and is_table(source):
        name = shown(_name(source, "the data"))
        raise DataError(f"{name} is a table, and this run was trained on arrays or pictures")
    if len(drop):
        raise DataError("columns are a table's: this run was trained on an array, leave drop out")
    if isinstance(source, str | os.PathLike):
        _, x, _, test, _ = read_source(source, None, lambda line: None, colours is not None)
        x = x if test is None else test
    else:
        x = np.asarray(source)
    where = shown(_name(source, "the array"))
    x, _ = _rows(x, colours, where)
    return (_pixels(x, where) if units is None else units.rows(x, where)), {}


def _name(source: Any, otherwise: str) -> str:
    """Return what a data set is called: after its file, if it has one."""
    if not isinstance(source, str | os.PathLike):
        return otherwise
    return Path(source).stem or otherwise


def parse_size(image_size: str | tuple[int, int] | None) -> tuple[int, int] | None:
    """Turn "28x28" (rows by columns) into (28, 28).

    Raises
    ------
    DataError
        Anything but two whole numbers from 1 to 2048.
    """
    if image_size is None:
        return None
    try:
        rows, columns = image_size.lower().split("x") if isinstance(image_size, str) else image_size
        size = int(rows), int(columns)
    except (TypeError, ValueError):
        size = (0, 0)
    if not all(1 <= side <= MAX_SIDE for side in size):
        raise DataError(
            f"image size {image_size!a} is none: give rows by columns, such as 28x28, "
            f"each from 1 to {MAX_SIDE}"
        )
    return size


def _rows(
    x: np.ndarray,
    size: tuple[int, ...] | None,
    where: str,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Give an array as rows (N, D), and the shape of an image: (rows, columns), in colour with a 3.

    `size` is what is expected, without the 3 where a user said it. The three numbers of a pixel
    come to lie side by side.
    """
    if x.ndim == 4 and 0 not in x.shape:
        x = _colours_last(x, size, where, say)
    shape = x.shape[1:]
    if len(shape) not in (1, 2, 3) or 0 in x.shape:
        raise DataError(
            f"{where} has an array of shape {x.shape}; expected images (N, rows, columns), in "
            "colour (N, rows, columns, 3) or (N, 3, rows, columns), or rows (N, pixels), not empty"
        )
    if len(shape) == 1:
        if size and shape[0] == math.prod((*size[:2], 3)):
            sides = f"{size[0]}, {size[1]}"
            raise DataError(
                f"{where} has rows of {shape[0]} numbers, {size[0]}x{size[1]} in colour: reshape "
                f"them to (N, {sides}, 3), or where each colour is a plane to (N, 3, {sides})"
            )
        side = math.isqrt(shape[0])
        square = (side, side) if side * side == shape[0] else (1, shape[0])
        fits, shape = not size or math.prod(size) == shape[0], size or square
    else:
        fits = not size or shape in (size, (*size, 3))
    if not fits:
        raise DataError(
            f"{where} has images of {'x'.join(map(str, x.shape[1:]))} pixels where "
            f"{'x'.join(map(str, size or ()))} are expected; only folders of pictures are scaled"
        )
    return x.reshape(len(x), -1), shape


def _colours_last(
    x: np.ndarray, size: tuple[int, ...] | None, where: str, say: Callable[[str], None]
) -> np.ndarray:
    """Give (N, rows, columns, 3), or without an axis of one channel (N, rows, columns).

    Channels may be the second axis or the last; of two that could be, `size` tells which it is.
    """
    _, first, middle, last = x.shape
    found = {-1: (first, middle), 1: (middle, last)}  # which axis, and the sides that are left
    found = {axis: sides for axis, sides in found.items() if x.shape[axis] in (1, 3)}
    if not found:
        alpha = ": leave out the fourth, alpha, by x[..., :3]" if last == 4 else ""
        raise DataError(
            f"{where} has an array of shape {x.shape}, whose images have neither 1 channel (grey) "
            f"nor 3 (red, green, blue), first or last{alpha}"
        )
    if len(found) == 2 and (first, last) != (1, 1):
        fitting = {axis: sides for axis, sides in found.items() if size and sides == size[:2]}
        if not fitting:
            raise DataError(
                f"{where} has an array of shape {x.shape}, of which two axes could be colour: "
                f"--image-size {first}x{middle} says the last, {middle}x{last} the second (in "
                "Python image_size)"
            )
        found = fitting
    axis = next(iter(found))
    if x.shape[axis] == 1:
        return x.reshape(len(x), *found[axis])
    rows, columns = found[axis]
    layout = "(N, rows, columns, 3)" if axis == -1 else "(N, 3, rows, columns)"
    say(f"{where}: {len(x):,} images of {rows}x{columns} in colour, taken as {layout}")
    if axis == 1 and _map_of(x) is not None:
        raise DataError(
            f"{where} is too large to be turned: save it with the colours last, by "
            "np.save(FILE, np.moveaxis(x, 1, -1))"
        )
    return x if axis == -1 else np.ascontiguousarray(np.moveaxis(x, 1, -1))


def _pixels(x: np.ndarray, where: str, share: tuple[int, int] = (0, 1)) -> np.ndarray:
    """Check the values; gives (N, D), uint8 or float32 (a mapped file keeps its own type)."""
    if x.dtype == np.uint8:
        return x
    if x.dtype == bool and _map_of(x) is None:
        return x.view(np.uint8) * np.uint8(255)
    if x.dtype.kind != "f":
        raise DataError(
            f"{where} has pixels of type {x.dtype.name}; save them as uint8 or floats in [0, 1], "
            "or scale them: --scale standard or minmax, or none for counts"
        )
    for block in _blocks(x, share):
        low, high = block.min(), block.max()
        if not (low >= 0 and high <= 1):  # NaN fails every comparison
            raise DataError(
                f"{where} has a pixel that is no number (NaN); pixels must lie in [0, 1]"
                if np.isnan(low)
                else f"{where} has floats from {low:g} to {high:g}; pixels must lie in [0, 1]: "
                "--scale standard or minmax, or none for counts"
            )
    return x if _map_of(x) is not None else np.ascontiguousarray(x, np.float32)


def _map_of(x: np.ndarray) -> np.memmap | None:
    """Give the mapped file whose view x is, if it is one."""
    while isinstance(x, np.ndarray):
        if isinstance(x, np.memmap):
            return x
        x = x.base
    return None


def _blocks(x: np.ndarray, share: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield values of x by 8 MiB; a share of a mapped file's, read, so that no page stays."""
    source = _map_of(x)
    if source is None:
        step = max(1, BLOCK // (x.shape[1] * x.dtype.itemsize))
        for start in range(0, len(x), step):
            yield x[start : start + step]
        return
    try:
        with open(source.filename, "rb") as file:
            first, end = (x.size * k // share[1] for k in (share[0], share[0] + 1))
            file.seek(source.offset + first * x.dtype.itemsize)
            for start in range(first, end, BLOCK // x.dtype.itemsize):
                count = min(BLOCK // x.dtype.itemsize, end - start)
                yield np.fromfile(file, x.dtype, count)
    except OSError as error:
        raise DataError(f"{shown(source.filename)} cannot be read: {error.strerror}") from None


def _labels(y: np.ndarray | None, count: int, where: str) -> np.ndarray | None:
    if y is None:
        return None
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.shape != (count,) or y.dtype.kind not in "iu":
        raise DataError(
            f"{where} has labels of shape {y.shape} and type {y.dtype.name} for {count:,} images; "
            f"expected one whole number for each image"
        )
    if y.size and y.dtype == np.uint64 and y.max() > np.iinfo(np.int64).max:
        raise DataError(f"{where} has labels above 2^63")
    return y.astype(np.int64)


def _hold_out(
    x: Any, y: Any, seed: int, where: str, say: Callable[[str], None], what: str = "images"
) -> tuple:
    """Split off a seeded tenth for testing; a mapped file is split by row numbers alone."""
    count = len(x) // 10 or 1
    if len(x) < 2:
        raise DataError(f"{where} has a single {what[:-1]}; at least 2 are needed, one to test on")
    # The bit stream itself: NumPy keeps it for ever, which it does not promise of permutation().
    order = np.argsort(np.random.PCG64([seed, 0x7E57]).random_raw(len(x)), kind="stable")
    test, train = np.sort(order[:count]), np.sort(order[count:])
    say(f"no test part: {count:,} of {len(x):,} {what} held out for testing (seed {seed})")
    y_train, y_test = (None, None) if y is None else (y[train], y[test])
    if _map_of(x) is not None:
        return RowSubset(x, train), y_train, RowSubset(x, test), y_test, (train, test)
    return x[train], y_train, x[test], y_test, (train, test)
