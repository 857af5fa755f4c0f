"""On correct code no check fails, whatever the shapes and values."""

import numpy as np
import pytest
from right_layers import draw

from minivae.gradcheck import check, check_contracts
from minivae.vae import VAE


def trials(first, last):
    failed = []
    for seed in range(first, last):
        layer, inputs = draw(np.random.default_rng(seed))
        report = check(layer, *inputs, seed=seed)
        if not report.passed:
            failed.append(f"seed {seed}: {report}")
    return failed


def test_twenty_trials():
    failed = trials(0, 20)
    assert not failed, "\n".join(failed)


def contract_trials(first, last):
    failed = []
    for seed in range(first, last):
        rng = np.random.default_rng(seed)
        pixels, hidden, latent = (int(one) for one in rng.integers(1, 9, 3))
        vae = VAE(pixels, hidden=(hidden,), latent=latent, beta=rng.uniform(0, 3), seed=seed)
        outcome = check_contracts(vae, seed=seed)
        if not outcome.passed:
            failed.append(f"seed {seed}: {outcome}")
    return failed


def test_contracts_hold_in_two_trials():
    failed = contract_trials(0, 2)
    assert not failed, "\n".join(failed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 1000, 100))
def test_a_thousand_trials(first):
    failed = trials(first, first + 100)
    assert not failed, "\n".join(failed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 1000, 100))
def test_contracts_hold_in_a_thousand_trials(first):
    failed = contract_trials(first, first + 100)
    assert not failed, "\n".join(failed)
