"""Where data sets lie: from a name or a path to the arrays found there, as they were saved.

What may be in the arrays, and the split into training and test part, is left to the data module.
A .npy file above 256 MiB is not read but mapped: its rows come from the disk when they are used.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minivae.data.idx import read_idx
from minivae.data.pictures import find_pictures, read_pictures
from minivae.errors import DataError, shown
from minivae.storage.arrays import list_npz, map_npy, read_npy, read_npz

NAMES = ("mnist", "fashion-mnist")
MAP_ABOVE = 256 << 20
Parts = tuple[np.ndarray, np.ndarray | None, np.ndarray | None, np.ndarray | None]


def read_source(
    source: str | os.PathLike,
    size: tuple[int, int] | None,
    say: Callable[[str], None],
    colour: bool = False,
) -> tuple[str, np.ndarray, np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Find and read a data set; gives its name, x_train, y_train, x_test, y_test (or None).

    Parameters
    ----------
    source
        A name or a path, as `load_data` takes them.
    size
        (rows, columns) to which pictures are scaled; other sources ignore it.
    say
        Called with each message.
    colour
        Whether pictures keep their colours; other sources ignore it.

    Raises
    ------
    DataError
        There is no such thing, or it cannot be read.
    """
    if source == "mnist":
        return "mnist", *_from_idx(Path(__file__).parent / "mnist")
    if source == "fashion-mnist":
        from minivae.data.download import (
            fashion_mnist,  # here: the network's modules take time to import
        )

        return "fashion-mnist", *_from_idx(fashion_mnist(say))
    path = Path(source)
    parts = _from_path(path, size, say, colour)
    path = path.resolve()
    return (path.name if path.is_dir() else path.stem) or "data", *parts


def _from_path(
    path: Path, size: tuple[int, int] | None, say: Callable[[str], None], colour: bool
) -> Parts:
    """Read what lies at a path; gives x_train, y_train, x_test, y_test, None where missing."""
    where = shown(path)
    try:
        if path.is_dir():
            if _idx_file(path, "train", "images"):
                return _from_idx(path)
            if pictures := find_pictures(path):
                return read_pictures(pictures, size, say, colour), None, None, None
            raise DataError(
                f"folder {where} holds neither train-images-idx3-ubyte(.gz) nor PNG or JPEG "
                f"pictures (folders in it are not searched)"
            )
        if not path.exists():
            raise DataError(
                f"no data named {where!r}: the names are {', '.join(NAMES)}; anything else must "
                f"be the path of an existing folder, .csv, .parquet, .npz or .npy file"
            )
        if path.suffix.lower() == ".npz":
            return _from_npz(path)
        if path.suffix.lower() == ".npy":
            large = path.stat().st_size > MAP_ABOVE
            return (map_npy(path) if large else read_npy(path)), None, None, None
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror}") from None
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where} cannot be a path: {error}") from None
    raise DataError(f"{where} is neither a folder nor a .csv, .parquet, .npz or .npy file")


def _idx_file(folder: Path, part: str, kind: str) -> Path | None:
    stem = f"{part}-{kind}"
    dims = 3 if kind == "images" else 1
    for name in (f"{stem}-idx{dims}-ubyte", f"{stem}.idx{dims}-ubyte"):
        for path in (folder / name, folder / f"{name}.gz"):
            if path.exists():
                return path
    return None


def _from_idx(folder: Path) -> Parts:
    found = []
    for part in ("train", "t10k"):
        for kind, ndim in (("images", 3), ("labels", 1)):
            path = _idx_file(folder, part, kind)
            found.append(read_idx(path, ndim) if path else None)
    if found[0] is None:
        raise DataError(f"folder {shown(folder)} lacks train-images-idx3-ubyte(.gz)")
    return tuple(found)


def _from_npz(path: Path) -> Parts:
    names = list_npz(path)
    keys = ("x_train", "y_train", "x_test", "y_test")
    if "x_train" not in names and len(names) != 1:
        raise DataError(
            f"{shown(path)} holds {len(names)} arrays ({', '.join(names)[:60]}); "
            f"expected x_train (x_test, y_train, y_test), or one array alone"
        )
    if "x_train" not in names:
        return read_npz(path)[names[0]], None, None, None
    found = read_npz(path, keys)
    return tuple(found.get(key) for key in keys)
