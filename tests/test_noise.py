"""Noise: a function of (seed, purpose, step) and of nothing else."""

import os
import subprocess
import sys

import numpy as np
import pytest

from minivae.noise import RowNoise, generator, normal, permutation


def test_the_same_three_give_the_same_numbers_in_any_order_of_asking():
    keys = [
        (seed, purpose, step) for seed in (0, 1) for purpose in ("eps", "order") for step in (0, 5)
    ]
    first = {key: normal(*key, (4, 3)) for key in keys}
    for key in reversed(keys):
        assert np.array_equal(normal(*key, (4, 3)), first[key])


def test_other_seed_purpose_or_step_gives_other_numbers():
    keys = [(0, "eps", 0), (1, "eps", 0), (0, "order", 0), (0, "eps", 1), (1, "order", 1)]
    drawn = [normal(*key, (100,), "float64") for key in keys]
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            # Independent: the correlation of 100 pairs is beyond 0.5 once in ten million.
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.5


def test_a_stream_is_the_same_in_another_process():
    """Purposes are words: Python's own hash of a word changes from process to process."""
    code = "from minivae.noise import normal; print(normal(3, 'eps', 2, (5,), 'float64').tolist())"
    here = str(normal(3, "eps", 2, (5,), "float64").tolist())
    for hash_seed in ("1", "2"):
        env = os.environ | {"PYTHONHASHSEED": hash_seed}
        there = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True
        )
        assert there.stdout.strip() == here, there.stderr


def test_drawing_by_batches_is_drawing_at_once():
    """The training loop draws batch by batch; how it is cut must not matter."""
    stream, pieces = generator(0, "eps", 1), []
    for n in (8, 8, 3):
        pieces.append(stream.standard_normal((n, 4), dtype="float32"))
    assert np.array_equal(np.concatenate(pieces), normal(0, "eps", 1, (19, 4)))


def test_normal_numbers_are_normal():
    for dtype in ("float32", "float64"):
        x = normal(0, "eps", 0, (100_000,), dtype)
        assert x.dtype == dtype
        # Standard errors at 100,000 draws: 0.003 of the mean, 0.0045 of the variance, 0.0015 of
        # the share within one deviation (0.6827). Five of each.
        assert abs(x.mean()) < 0.016
        assert abs(x.var() - 1) < 0.023
        assert abs((np.abs(x) < 1).mean() - 0.6827) < 0.0075


def test_permutation():
    order = permutation(0, "order", 1, 1000)
    assert sorted(order.tolist()) == list(range(1000))
    assert not np.array_equal(order, permutation(0, "order", 2, 1000))
    assert np.array_equal(order, permutation(0, "order", 1, 1000))


def test_rows_have_noise_of_their_own():
    """No row repeats another's, near or far, in this stream or in another epoch's."""
    rows = [RowNoise(0, "eps", epoch).normal(0, np.empty((1000, 20))) for epoch in range(2)]
    assert len(np.unique(np.concatenate(rows))) == 2 * 1000 * 20
    assert len(np.unique(RowNoise(0, "x").uniform(0, np.empty((1000, 20))))) == 1000 * 20


def test_row_noise_is_normal_and_uniform():
    """Mean and variance of 300,000 draws within five standard errors of their own."""
    n = 15_000 * 20
    normal = RowNoise(1, "eps").normal(0, np.empty((15_000, 20)))
    assert abs(normal.mean()) < 5 / n**0.5
    assert abs(normal.var() - 1) < 5 * (2 / n) ** 0.5
    uniform = RowNoise(1, "x").uniform(0, np.empty((15_000, 20)))
    assert abs(uniform.mean() - 1 / 2) < 5 * (1 / 12 / n) ** 0.5
    assert abs(uniform.var() - 1 / 12) < 5 * (1 / 180 / n) ** 0.5
    assert uniform.min() >= 0
    assert uniform.max() < 1


@pytest.mark.parametrize("first, count", [(0, 10), (64, 64), (63, 2), (100, 200), (5, 200), (7, 0)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("columns", [7, 100, 1000])
def test_a_row_has_the_same_noise_whoever_asks(first, count, columns, dtype):
    whole = RowNoise(3, "eps", 5).normal(0, np.empty((300, columns), dtype))
    noise = RowNoise(3, "eps", 5)
    noise.normal(250, np.empty((50, columns), dtype))  # asking for others before changes nothing
    part = noise.normal(first, np.empty((count, columns), dtype))
    assert np.array_equal(part, whole[first : first + count])


class Counting:
    """A generator that counts the numbers it draws."""

    def __init__(self, generator):
        self.bit_generator, self._generator, self.drawn = generator.bit_generator, generator, 0

    def standard_normal(self, *shape, **settings):
        drawn = self._generator.standard_normal(*shape, **settings)
        self.drawn += drawn.size
        return drawn


@pytest.mark.parametrize("columns", [20, 100, 1000, 10_000])
@pytest.mark.parametrize("first", [0, 16, 48, 61])
def test_little_is_drawn_in_vain(columns, first):
    noise = RowNoise(0, "eps")
    noise._generator = Counting(noise._generator)
    noise.normal(first, np.empty((16, columns), np.float32))
    assert 16 * columns <= noise._generator.drawn < 16 * columns + 4096
