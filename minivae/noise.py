"""Random numbers as a function of (seed, purpose, step), always drawn by NumPy.

The same three give the same numbers on any backend, with any number of threads, in any order of
asking; nothing here remembers anything. Who needs which noise is decided by the callers.
"""

from __future__ import annotations

import zlib

import numpy as np


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
    seed: int, purpose: str, step: int, shape: tuple[int, ...], dtype: str = "float32"
) -> np.ndarray:
    """Return standard normal numbers of that shape; float32 and float64 are different streams."""
    return generator(seed, purpose, step).standard_normal(shape, dtype=dtype)


def permutation(seed: int, purpose: str, step: int, n: int) -> np.ndarray:
    """Return a random order of 0 .. n-1."""
    return generator(seed, purpose, step).permutation(n)
