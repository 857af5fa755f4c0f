"""Whether data are what a likelihood is for: asked once, before training.

What each is for is the likelihood's own to say; that data lie in range at all is asked in loading.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.data.dataset import Dataset
from minivae.data.pixels import gather
from minivae.errors import ArgumentError, DataError, shown
from minivae.parts import LIKELIHOODS
from minivae.parts.likelihood import ANY, LEVELS, ONE_HOT, TABLE, UNIT

BLOCK = 1000  # rows at a time


def label_codes(vae: Any, data: Dataset) -> np.ndarray | None:
    """Return the codes of the training labels (N,), or None if the model is not told labels.

    Raises
    ------
    DataError
        If the model is told labels and the data have none, or others.
    """
    if not vae.condition:
        return None
    codes = []
    for part in ("train", "test"):
        labels = getattr(data, f"{part}_labels")
        if labels is None:
            raise DataError(
                f"{shown(data.name)} has no labels in its {part} part, and the model is told them: "
                "leave --condition out, or give y_train and y_test in an .npz"
            )
        try:
            codes.append(vae.codes(labels))
        except ArgumentError as error:
            raise DataError(f"{shown(data.name)}, {part} part: {error}") from None
    return codes[0]


def check_support(likelihood: Any, data: Dataset, binarize: str = "none") -> None:
    """Refuse data outside the likelihood's support.

    Raises
    ------
    DataError
        With the first such value, and a likelihood that fits.
    """
    for part in ("train", "test"):
        check_rows(
            likelihood, getattr(data, part), f"{shown(data.name)} has in its {part} part", binarize
        )


def check_rows(likelihood: Any, rows: Any, what: str, binarize: str = "none") -> None:
    """As `check_support`, of rows (N, D); `what` begins the message: "x has in its test part"."""
    if rows.dtype == np.uint8 and likelihood.support in (UNIT, LEVELS, ANY):
        return  # they become k/255
    found = _first_outside(likelihood, rows, binarize)
    if found is None:
        return
    row, column, value = found
    fits = [
        other.kind
        for other in LIKELIHOODS
        if other.support not in (ONE_HOT, TABLE)  # their groups are for the user to say
        and _first_outside(other(rows.shape[1]), rows, binarize) is None
    ]
    remedy = f": --likelihood {fits[0]} fits" if fits else ""
    raise DataError(
        f"{what} the value {value:g} at row {row}, column {column}, and the likelihood "
        f"{likelihood.kind} is for {likelihood.support}{remedy}"
    )


def _first_outside(likelihood: Any, rows: Any, binarize: str) -> tuple[int, int, float] | None:
    """Return row, column and value of the first number outside the support, as training sees it."""
    binary = "none" if binarize == "none" else "threshold"  # sampled ones are 0 and 1, too
    for start in range(0, len(rows), BLOCK):
        indices = np.arange(start, min(start + BLOCK, len(rows)))
        x = np.empty((len(indices), rows.shape[1]), np.float32)
        outside = likelihood.outside(gather(rows, indices, x, binarize=binary))
        if outside.any():
            row, column = (int(place[0]) for place in outside.nonzero())
            return start + row, column, float(x[row, column])
    return None
