"""Denormal numbers are zeros within a training step, and nowhere else."""

import platform

import numpy as np
import pytest

from minivae import VAE, Adam, formulas
from minivae.data.pixels import Source
from minivae.denormals import Flushed, library
from minivae.noise import RowNoise
from minivae.parts.elbo import Elbo
from minivae.training.steps import Steps

SMALL = np.full(100, 1e-39, np.float32)  # below 2^-126 = 1.2e-38

needs_switch = pytest.mark.skipif(
    library() is None, reason="denormal numbers are flushed on Linux with glibc on x86-64 alone"
)


def flushed():
    """Whether this thread takes denormal numbers as zeros."""
    return not np.any(SMALL * np.float32(1))


def test_here_the_switch_is_there():
    if platform.system() == "Linux" and platform.machine() == "x86_64":
        assert library() is not None or "glibc" not in platform.libc_ver()


@needs_switch
def test_on_within_and_as_before_after():
    assert not flushed()
    with Flushed():
        assert flushed()
        with Flushed():
            assert flushed()
        assert flushed()  # as the inner one found it
    assert not flushed()
    with pytest.raises(KeyboardInterrupt), Flushed():
        raise KeyboardInterrupt
    assert not flushed()


@needs_switch
def test_moments_of_gradients_that_stay_zero_come_to_zero():
    """A pixel that is never lit again: m shrinks by 0.9 a step, to 1e-38 in 810 of them."""
    vae = VAE(6, (4,), 2, seed=0)
    adam = Adam(vae.parameters, vae.backend)
    vae.grad[...] = 1e-3
    adam.step()
    vae.grad[...] = 0
    theta, m, v = (array.copy() for array in (adam.theta, adam.m, adam.v))
    for _ in range(900):
        adam.step()
        constants = formulas.adam_constants(adam.steps, 1e-3, 0.9, 0.999, 1e-8)
        formulas.adam(theta, vae.grad, m, v, 0.9, 0.999, *constants)
    assert np.all((m > 0) & (m < 2.0**-126))  # without the switch
    assert not np.any(adam.m)
    assert not flushed()
    # What it leaves out is far below what a parameter can hold.
    np.testing.assert_array_equal(adam.theta, theta)
    np.testing.assert_array_equal(adam.v, v)


def test_the_room_begins_with_a_cache_line():
    vae = VAE(6, (4,), 2)
    for dtype, count in (("float32", 1), ("float32", 1000), ("float64", 77)):
        rooms = [vae.backend.room(count, dtype) for _ in range(5)]
        assert all(room.shape == (count,) and room.dtype == dtype for room in rooms)
        assert all(room.ctypes.data % 64 == 0 for room in rooms)
        assert not any(np.shares_memory(rooms[0], room) for room in rooms[1:])


@needs_switch
def test_a_step_is_flushed_by_hand_and_in_training(monkeypatch):
    """Importance weights of 1e-39 pass through the decoder's products."""
    seen, step = [], Elbo.step
    monkeypatch.setattr(Elbo, "step", lambda *given: (seen.append(flushed()), step(*given))[1])
    monkeypatch.setattr(Adam, "_update", lambda adam, block: seen.append(flushed()))
    vae, rows = VAE(6, (4,), 2), np.random.default_rng(0).random((8, 6), np.float32)
    adam = Adam(vae.parameters, vae.backend)
    vae.step(rows, np.zeros((8, 2)))
    adam.step()
    steps = Steps(vae, adam, Source(rows), 8, 1)
    steps.begin(np.arange(8), RowNoise(0, "eps", 1), RowNoise(0, "binarize", 1))
    steps.step(0)
    steps.close()
    assert seen == [True] * 4
    assert not flushed()
