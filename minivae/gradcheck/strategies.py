"""Hypothesis strategies for the shapes and values on which layers are checked.

Hypothesis is imported here alone; what is done with the arrays is for the test.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st


def shapes(axes: int = 2, longest: int = 6) -> Any:
    """Return a strategy for shapes of so many axes, each 1 to `longest` long."""
    return st.tuples(*[st.integers(1, longest)] * axes)


@st.composite
def arrays(
    draw: Any,
    shape: Any = None,
    positive: bool = False,
    whole_below: int | None = None,
    dtype: str = "float64",
) -> np.ndarray:
    """Draw an array for a layer: normal numbers of any size from 1/100 to 100, seeded.

    Parameters
    ----------
    shape : tuple or strategy, optional
        `shapes()` if left out.
    positive : bool
        Whether all numbers are above 0.
    whole_below : int, optional
        Whole numbers from 0 to below this, such as labels.
    """
    if shape is None:
        shape = shapes()
    size = shape if isinstance(shape, tuple) else draw(shape)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if whole_below is not None:
        return rng.integers(0, whole_below, size)
    values = 10.0 ** draw(st.integers(-2, 2)) * rng.normal(size=size)
    return (np.abs(values) + 1e-3 if positive else values).astype(dtype)
