"""Rows of a data set into batches of pixels: gathered, brought into [0, 1], made binary on request.

Where the rows come from, their order and the noise are left to others. The training step calls
`gather` each time, so it allocates nothing.
"""

import mmap
from typing import Any, NamedTuple

import numpy as np

from minivae.errors import ArgumentError, DataError, shown

BINARIZE = ("none", "threshold", "sampled")


class Source(NamedTuple):
    """Rows to train on, (N, D), how their pixels are made binary (a `BINARIZE` word), label codes.

    The codes are (N,) int64, for a model that is told labels.
    """

    rows: "np.ndarray | RowSubset"
    binarize: str = "none"
    codes: np.ndarray | None = None

    @property
    def sampled(self) -> bool:
        """Whether a batch needs uniform noise."""
        return self.binarize == "sampled"


class RowSubset:
    """Some rows of a larger array, by their numbers: nothing is copied until rows are asked for.

    Parameters
    ----------
    base
        (M, D) array, perhaps a mapped file.
    rows
        (N,) int64, the rows that belong to the subset.
    """

    ndim = 2

    def __init__(self, base: np.ndarray, rows: np.ndarray):
        self.base, self.rows = base, rows
        root = self._file()
        self._bytes = 0 if root is None else root.base.size()
        self.dtype, self.shape = base.dtype, (len(rows), base.shape[1])

    def __len__(self) -> int:
        """Give the number of rows."""
        return len(self.rows)

    def __getitem__(self, key) -> np.ndarray:
        """Give rows by number, slice, mask or array of numbers."""
        self.intact()
        return self.base[self.rows[key]]

    def intact(self) -> None:
        """Look whether a mapped file is as long as it was, since a look at its lost end would kill.

        Raises
        ------
        DataError
            If it has been cut short. (Between this look and the next it can still be.)
        """
        root = self._file()
        if root is not None and root.base.size() < self._bytes:
            raise DataError(f"{shown(root.filename)} has been cut short while it was in use")

    def _file(self) -> Any:
        """Return the mapped file that the rows lie in; None for rows in memory."""
        root: Any = self.base
        while isinstance(root.base, np.ndarray):
            root = root.base
        return root if isinstance(root, np.memmap) and isinstance(root.base, mmap.mmap) else None


def gather(
    rows: "np.ndarray | RowSubset",
    indices: np.ndarray,
    out: np.ndarray,
    scratch: np.ndarray | None = None,
    *,
    binarize: str = "none",
    uniform: np.ndarray | None = None,
) -> np.ndarray:
    """Write the chosen rows into `out` as pixels in [0, 1]; overwritten.

    Without allocation when `scratch` is given. Indices must be right: one beyond the end gives
    the last row, since checking would cost a copy.

    Parameters
    ----------
    rows
        (N, D), a part of a `Dataset`.
    indices
        (B,) whole numbers from 0 to N - 1.
    out
        (B, D) float32 or float64.
    scratch
        (B, D) of the rows' type, overwritten; unused where that is `out`'s type.
    binarize, uniform
        As in `to_pixels`.

    Returns
    -------
    numpy.ndarray
        `out`.
    """
    if isinstance(rows, RowSubset):
        rows.intact()
        rows, indices = rows.base, rows.rows[indices]
    if rows.dtype == out.dtype:
        scratch = out
    elif scratch is None:
        scratch = np.empty(out.shape, rows.dtype)
    # mode="clip": the default, "raise", checks every index, and by NumPy's manual buffers `out`.
    np.take(rows, indices, axis=0, out=scratch, mode="clip")
    return to_pixels(scratch, out, binarize=binarize, uniform=uniform)


def to_pixels(
    rows: np.ndarray,
    out: np.ndarray,
    *,
    binarize: str = "none",
    uniform: np.ndarray | None = None,
) -> np.ndarray:
    """Turn uint8 or float rows into pixels in [0, 1], overwriting `out`.

    Parameters
    ----------
    rows
        (B, D) uint8 (divided by 255) or floats; may be `out` itself.
    out
        (B, D) float32 or float64.
    binarize
        "none"; "threshold": 1 where the grey value is at least 0.5; "sampled": 1 with the
        probability that the grey value is.
    uniform
        (B, D) numbers in [0, 1) for "sampled": new ones each epoch, which the caller draws.

    Returns
    -------
    numpy.ndarray
        `out`.
    """
    if out is not rows:
        np.copyto(out, rows, casting="same_kind" if rows.dtype.kind == "f" else "safe")
    if rows.dtype == np.uint8:
        np.divide(out, out.dtype.type(255), out=out)  # not times 1/255: that rounds twice
    if binarize == "threshold":
        np.greater_equal(out, out.dtype.type(0.5), out=out, casting="unsafe")
    elif binarize == "sampled":
        if uniform is None:
            raise ArgumentError('binarize="sampled" needs uniform noise of the batch\'s shape')
        np.less(uniform, out, out=out, casting="unsafe")
    elif binarize != "none":
        raise ArgumentError(f"binarize {binarize!r} is unknown: {', '.join(BINARIZE)}")
    return out
