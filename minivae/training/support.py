"""Whether data are what a likelihood is for: asked once, before training.

What each is for is the likelihood's own to say; that data lie in range at all is asked in loading.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.data.dataset import Dataset
from minivae.errors import DataError, shown
from minivae.parts import LIKELIHOODS
from minivae.parts.likelihood import ANY, LEVELS, ONE_HOT, TABLE, UNIT

BLOCK = 1000  # rows at a time


def check_support(likelihood: Any, data: Dataset, binarize: str = "none") -> None:
    """Refuse data outside the likelihood's support.

    Raises
    ------
    DataError
        With the first such value, and a likelihood that fits.
    """
    for part in ("train", "test"):
        rows = getattr(data, part)
        if rows.dtype == np.uint8 and likelihood.support in (UNIT, LEVELS, ANY):
            continue  # they become k/255
        value = _first_outside(likelihood, data, part, binarize)
        if value is None:
            continue
        fits = [
            other.kind
            for other in LIKELIHOODS
            if other.support not in (ONE_HOT, TABLE)  # their groups are for the user to say
            and _first_outside(other(rows.shape[1]), data, part, binarize) is None
        ]
        remedy = f": --likelihood {fits[0]} fits" if fits else ""
        raise DataError(
            f"{shown(data.name)} has the value {value:g} in its {part} part, and the likelihood "
            f"{likelihood.kind} is for {likelihood.support}{remedy}"
        )


def _first_outside(likelihood: Any, data: Dataset, part: str, binarize: str) -> float | None:
    """Return the first value outside the support, as training sees it; None if there is none."""
    binary = "none" if binarize == "none" else "threshold"  # sampled ones are 0 and 1, too
    for start in range(0, len(getattr(data, part)), BLOCK):
        x = data.pixels(part, slice(start, start + BLOCK), binarize=binary)
        outside = likelihood.outside(x)
        if outside.any():
            return float(x[outside][0])
    return None
