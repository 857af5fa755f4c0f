"""Adam over the flat vector, against the paper's algorithm written out here."""

import numpy as np
import pytest

from minivae import Adam, MinivaeError
from minivae.backend import get_backend
from minivae.params import Parameters


def make(n, dtype="float64", **settings):
    params = Parameters({"w": (n,)}, lambda shape: np.zeros(shape, dtype))
    rng = np.random.default_rng(0)
    params.theta[...] = rng.standard_normal(n)
    return params, Adam(params, get_backend(), **settings), rng


def paper(theta, grads, lr, beta1, beta2, eps):
    """Return theta after each step of algorithm 1 (Kingma and Ba 2015), in its own words."""
    m = v = np.zeros_like(theta)
    for t, g in enumerate(grads, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        theta = theta - lr * m_hat / (np.sqrt(v_hat) + eps)
        yield theta


@pytest.mark.parametrize(
    "settings", [{}, {"lr": 0.1, "beta1": 0.99, "beta2": 0.9, "eps": 1e-4}, {"beta1": 0.0}]
)
def test_every_step_is_the_papers(settings):
    params, adam, rng = make(50, **settings)
    grads = rng.standard_normal((20, 50)) * 10.0 ** rng.integers(-6, 3, 50)
    full = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8} | settings
    for t, expected in enumerate(paper(params.theta.copy(), grads, **full)):
        params.grad[...] = grads[t]
        adam.step()
        np.testing.assert_allclose(params.theta, expected, rtol=1e-11, atol=1e-13)
    assert adam.steps == 20


def test_blocks_and_shares_change_nothing():
    params, adam, rng = make(50)
    whole, adam_whole, _ = make(50)
    adam.backend.block = 7  # of this backend alone; the other updates all 50 at once
    assert adam_whole.backend.block > 50
    for _ in range(3):
        whole.grad[...] = params.grad[...] = rng.standard_normal(50)
        adam_whole.step()
        adam.advance()
        for part in (slice(20, 50), slice(0, 13), slice(13, 20)):
            adam.update(part)
    assert np.array_equal(params.theta, whole.theta)
    assert np.array_equal(adam.m, adam_whole.m)
    assert np.array_equal(adam.v, adam_whole.v)


def test_float32_follows_float64():
    """Each update is lr times a number near 1 with a few roundings of 6e-8 in it."""
    params, adam, rng = make(1000, "float32", lr=0.01)
    start, grads = (
        params.theta.astype(np.float64),
        rng.standard_normal((50, 1000)).astype(np.float32),
    )
    *_, expected = paper(start, grads.astype(np.float64), 0.01, 0.9, 0.999, 1e-8)
    for g in grads:
        params.grad[...] = g
        adam.step()
    # 50 updates of at most 0.01, and 50 roundings of theta itself (below 4, so 2.4e-7 each).
    np.testing.assert_allclose(params.theta, expected, rtol=0, atol=50 * (0.01 * 1e-6 + 2.4e-7))
    assert params.theta.dtype == adam.m.dtype == adam.v.dtype == np.float32


def test_a_parameter_without_gradient_stays():
    params, adam, _ = make(5)
    before = params.theta.copy()
    adam.step()
    assert np.array_equal(params.theta, before)


def test_a_learning_rate_of_zero_is_refused():
    with pytest.raises(MinivaeError, match="learning rate"):
        make(3, lr=0.0)
