"""How a matrix lies in memory, in elements: what a kernel or a library is told besides its pointer.

Arrays may be NumPy's or CuPy's; what is done with the numbers is for the callers.
"""

from __future__ import annotations

from typing import Any


def strides(matrix: Any) -> tuple[int, int]:
    """Return the elements from row to row and from column to column; one of the two is 1.

    Raises
    ------
    ValueError
        If it has gaps in both directions.
    """
    row, column = (step // matrix.itemsize for step in matrix.strides)
    rows, columns = matrix.shape
    if column == 1 or columns == 1:
        return row, 1
    if row == 1 or rows == 1:
        return 1, column
    raise ValueError(f"a matrix with gaps in both directions: strides {matrix.strides}")


def row_stride(array: Any) -> int:
    """Return the elements from row to row; within a row they must touch.

    An array of other than two dimensions must be contiguous; its last dimension makes the rows.

    Raises
    ------
    ValueError
        If it has gaps within a row.
    """
    if array.ndim == 2:
        row, column = strides(array)
        if column == 1:
            return row
    elif array.flags.c_contiguous:
        return array.shape[-1] if array.ndim else 1
    raise ValueError(f"an array with gaps in its rows: strides {array.strides}")
