"""Random numbers as a function of (seed, purpose, step), always drawn by NumPy.

The same three give the same numbers on any backend, with any number of threads, in any order of
asking; nothing here remembers anything. Who needs which noise is decided by the callers.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np

UNIT = 64  # rows that are drawn from one place of a stream; fewer, a power of 2, if they are long
NUMBERS = 4096  # most numbers of such a unit: who begins within it draws what precedes in vain


def generator(seed: int, purpose: str, step: int = 0) -> np.random.Generator:
    """Return the generator of one stream of random numbers.

    Parameters
    ----------
    seed : int
        The seed of the run, 0 or larger.
    purpose : str
        What the numbers are for ("eps", "order", "sample", ...): other purposes, other streams.
    step : int
        Which stream of that purpose; the training loop uses the epoch's number.
    """
    key = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(purpose.encode()), step))
    return np.random.Generator(np.random.Philox(key))


def normal(
    seed: int, purpose: str, step: int, shape: tuple[int, ...], dtype: Any = "float32"
) -> np.ndarray:
    """Return standard normal numbers of that shape; float32 and float64 are different streams."""
    return generator(seed, purpose, step).standard_normal(shape, dtype=dtype)


def permutation(seed: int, purpose: str, step: int, n: int) -> np.ndarray:
    """Return a random order of 0 .. n-1."""
    return generator(seed, purpose, step).permutation(n)


class RowNoise:
    """Noise for numbered rows: a row gets the same numbers whoever asks, and in whatever order.

    Rows are drawn in units, 64 if short, each from its own place in the stream: Philox generates
    numbers from a counter (Salmon and others 2011), and its third word is the unit's number.

    Parameters
    ----------
    seed, purpose, step
        Which stream: see `generator`.
    """

    def __init__(self, seed: int, purpose: str, step: int = 0) -> None:
        self._seed, self._step = seed, step
        self._generator = generator(seed, purpose, step)
        self._start = self._generator.bit_generator.state

    def of(self, purpose: str) -> RowNoise:
        """Return noise for another purpose, of the same seed and step."""
        return RowNoise(self._seed, purpose, self._step)

    def normal(self, first: int, out: np.ndarray) -> np.ndarray:
        """Overwrite out (n, columns) with standard normal numbers for rows first, first + 1, ..."""
        return self._fill(first, out, self._generator.standard_normal)

    def uniform(self, first: int, out: np.ndarray) -> np.ndarray:
        """Overwrite out (n, columns) with uniform numbers in [0, 1), rows as in `normal`."""
        return self._fill(first, out, self._generator.random)

    def _fill(self, first: int, out: np.ndarray, draw: Any) -> np.ndarray:
        last, size = first + len(out), UNIT
        while size > 1 and size * math.prod(out.shape[1:]) > NUMBERS:
            size //= 2
        for unit in range(first // size, -(-last // size)):
            self._start["state"]["counter"][2] = unit
            self._generator.bit_generator.state = self._start
            begin, end = max(first, unit * size), min(last, (unit + 1) * size)
            skip, part = begin - unit * size, out[begin - first : end - first]
            if skip == 0:
                draw(out=part, dtype=out.dtype)
            else:  # the unit's earlier rows belong to somebody else
                part[...] = draw((skip + len(part), *out.shape[1:]), dtype=out.dtype)[skip:]
        return out
