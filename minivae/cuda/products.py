"""Which kernel makes a matrix product, and in how many parts.

A product depends on its shape alone: the parts are chosen without asking the device, so that every
device adds in the same order. The kernel is in kernels.cu, cuBLASLt's calls in cublaslt.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minivae.cuda.cublaslt import BIAS_ALIGNMENT
from minivae.cuda.fusion import LIBRARY, NOTHING
from minivae.cuda.strides import row_stride, strides
from minivae.errors import BackendError

THREADS = 256
WANTED_BLOCKS = 264  # enough to keep a large device busy; a constant, so that the bits are too
# From this many multiply-adds on, a tile of 64 x 64 or 128 x 128 is worth its idle neighbours.
MEDIUM, LARGE = 2**26, 2**29
DOWN = 65535  # blocks of a grid, from top to bottom
SMALLER = "more than a kernel can count; use a smaller --batch-size"


class Cut(NamedTuple):
    """How a product is cut: tiles of 16 `side` squared, and `splits` pieces of the depth."""

    side: int
    grid: tuple[int, int, int]
    chunk: int

    @property
    def splits(self) -> int:
        """In how many pieces the depth is cut."""
        return self.grid[2]

    @property
    def tiles(self) -> int:
        """How many tiles the result has."""
        return self.grid[0] * self.grid[1]


def plan(rows: int, columns: int, depth: int, side: int = 0) -> Cut:
    """Return the plan of a (rows, depth) by (depth, columns) product; `side` 2, 4 or 8 forces one.

    Small products are cut along the depth too, until there are blocks for the whole device, but
    not below four stages a piece.

    Raises
    ------
    BackendError
        If there are more rows than a grid has.
    """
    work = rows * columns * depth
    side = side or (8 if work >= LARGE else 4 if work >= MEDIUM else 2)
    stage, tile = 64 // side, 16 * side
    across, down = -(-columns // tile), -(-rows // tile)
    if down > DOWN:
        raise BackendError(f"a product of {rows:,} rows: {SMALLER}")
    stages = -(-depth // stage)
    wanted = max(1, -(-WANTED_BLOCKS // (across * down)))
    chunk = max(4 if side > 2 else 2, -(-stages // wanted)) * stage
    return Cut(side, (across, down, -(-depth // chunk)), chunk)


class Products:
    """out = a b + bias for matrices on the device, through kernels of our own or cuBLASLt.

    Each lane of the device (a stream of its own) has its own room for unfinished sums.

    Parameters
    ----------
    device : Device
        Allocates and launches.
    precision : str
        "float32": always our kernel. "tf32": always cuBLASLt on tensor cores (float32 arrays).
    """

    def __init__(self, device: Any, precision: str = "float32") -> None:
        self.device, self.precision = device, precision
        self.side = 0  # 2, 4 or 8 forces one kernel, to compare them
        self._plans: dict[tuple[int, ...], Cut] = {}
        self._rooms: dict[tuple[int, int, Any], tuple[Any, Any]] = {}
        self._library = device.cublaslt() if precision == "tf32" else None

    def __call__(
        self, a: Any, b: Any, out: Any, bias: Any = None, following: tuple[Any, ...] = NOTHING
    ) -> Any:
        """Overwrite out (m, n) with a (m, k) b (k, n), plus bias (n,) in every row if given.

        `following` is what our own kernel does with the result besides (see fusion.py).
        """
        (m, k), (k2, n) = a.shape, b.shape
        if k != k2 or out.shape != (m, n) or (bias is not None and bias.shape != (n,)):
            raise ValueError(f"a product of {a.shape} and {b.shape} into {out.shape}")
        if not a.dtype == b.dtype == out.dtype or (bias is not None and bias.dtype != a.dtype):
            raise TypeError(f"a product of {a.dtype} and {b.dtype} into {out.dtype}")
        if self._library is not None and a.dtype == np.float32:
            whole = bias is None or self.device.address(bias) % BIAS_ALIGNMENT == 0
            arguments = a, b, out, bias if whole else None, False
            self.device.launch(LIBRARY, (), (), arguments, a.dtype)
            if not whole:
                grid, arguments = (-(-m * n // THREADS),), (m, n, bias, out, row_stride(out))
                self.device.launch("add_bias", grid, (THREADS,), arguments, a.dtype)
            return out
        cut = self._plans.get((m, n, k, self.side))
        if cut is None:
            cut = self._plans[m, n, k, self.side] = plan(m, n, k, self.side)
        parts, arrived = self.room(cut.side, a.dtype) if cut.splits > 1 else (None, None)
        self.device.launch(
            f"product_{cut.side}",
            cut.grid,
            (THREADS,),
            (
                *(m, n, k, a, *strides(a), b, *strides(b), bias, out, row_stride(out)),
                *(cut.splits, cut.chunk, parts, arrived, *following),
            ),
            a.dtype,
        )
        return out

    def room(self, side: int, dtype: Any) -> tuple[Any, Any]:
        """Return this lane's room for parts of sums, and its counters, which are zero at rest.

        One size for every product, for a captured graph keeps the pointers: a product is cut only
        if it has fewer tiles than blocks are wanted, into less than twice as many blocks.
        """
        key = (self.device.lane, side, np.dtype(dtype))
        if key not in self._rooms:
            self._rooms[key] = (
                self.device.empty((2 * WANTED_BLOCKS * (16 * side) ** 2,), dtype),
                self.device.zeros((WANTED_BLOCKS,), np.uint32),
            )
        return self._rooms[key]
