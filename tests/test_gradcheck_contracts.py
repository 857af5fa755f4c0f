"""What no gradient check sees: contracts hold on the engine and break on faulty models."""

import numpy as np
import pytest
import runs

from minivae.errors import ArgumentError
from minivae.gradcheck import GradcheckError, check, check_contracts
from minivae.gradcheck.gallery.vae import DecodesLogits, SigmaIsVariance, WeightsOfTheLoss
from minivae.gradcheck.parts import _parts
from minivae.gradcheck.subject import StepLayer
from minivae.layers import Linear
from minivae.vae import VAE


@pytest.fixture(scope="module")
def outcome():
    return check_contracts(VAE(9, hidden=(6, 5), latent=3, beta=2.0, seed=1))


def test_contracts_hold_on_a_new_model(outcome):
    assert outcome.passed, outcome
    assert len(outcome.contracts) >= 14
    assert "contracts: hold" in str(outcome)


OTHERS = {  # of the parts, and which contracts can not be asked of them
    "gaussian-optimal": ({"likelihood": "gaussian-optimal"}, {"decode", "batch"}),
    "student": ({"likelihood": "student"}, {"decode"}),
    "poisson": ({"likelihood": "poisson"}, {"decode"}),
    "full": ({"posterior": "full"}, {"KL"}),
    "planar": ({"posterior": "planar:2"}, {"KL", "z", "decode"}),
    "mixture": ({"prior": "mixture:2"}, {"KL"}),
    "vamp": ({"prior": "vamp:2"}, {"KL", "batch"}),
    "iwae": ({"bound": "iwae:3"}, {"KL"}),
    "dreg": ({"bound": "dreg:2"}, {"KL"}),
}


@pytest.mark.parametrize("name", runs.thinned([*OTHERS], 2))
def test_contracts_hold_for_other_parts(name, outcome):
    parts, without = OTHERS[name]
    x = np.random.default_rng(0).integers(0, 2, (5, 9)).astype(float)  # in every support
    found = check_contracts(VAE(9, hidden=(6,), latent=2, **parts), x)
    assert found.passed, found
    named = {one.name for one in outcome.contracts}
    assert named - {one.name for one in found.contracts} == {
        one for one in named if one.split()[0] in without
    }


def test_what_decode_gives_is_held_against_the_likelihood():
    wrong = DecodesLogits(9, hidden=(6,), latent=2)
    assert "decode is the likelihood's" in check_contracts(wrong).broken


def test_free_bits_are_not_negative():
    found = check_contracts(VAE(9, hidden=(6,), latent=2, bound="freebits:0.1"))
    assert found.passed, found
    assert [one.name for one in found.contracts if "KL" in one.name] == ["KL is not negative"]


@pytest.mark.parametrize("posterior", ["full", "planar:2"])
def test_the_parts_of_a_model_with_any_posterior_are_looked_at(posterior):
    vae = VAE(9, hidden=(6,), latent=2, posterior=posterior, dtype="float64")
    rng = np.random.default_rng(0)
    inner = _parts(StepLayer(vae), [rng.random((4, 9)), rng.normal(size=(4, 2))])
    found = {name.split(".")[0]: x for name, _, x in inner}
    assert set(found) == {"encoder", "decoder"} and np.isfinite(found["decoder"]).all()


def test_what_cannot_be_checked_is_said():
    vae = VAE(9, hidden=(6,), latent=2, bound="stl:2")
    with pytest.raises(GradcheckError, match="in the mean alone"):
        check(vae, np.full((3, 9), 0.5), np.zeros((3, 4)))
    with pytest.raises(GradcheckError, match="inputs x is empty"):
        check(Linear(4, 3), np.zeros((0, 4)))


def test_tolerances_are_standard_errors_or_rounding(outcome):
    for one in outcome.contracts:
        assert one.tolerance > 0
        if one.name.startswith(("batch", "row", "terms", "images")):
            assert one.tolerance < 1e-6
        if one.name == "KL is its expectation":
            assert one.tolerance < 0.2 * one.expected  # a KL twice as large would be seen


def test_a_model_keeps_its_weights_and_its_dtype():
    vae = VAE(9, hidden=(6,), latent=2)
    before = vae.theta.copy()
    check_contracts(vae)
    np.testing.assert_array_equal(vae.theta, before)
    assert vae.theta.dtype == np.float32


def test_broken_contracts_print_their_law():
    vae = SigmaIsVariance(9, hidden=(6,), latent=2, dtype="float64")
    outcome = check_contracts(vae)
    assert not outcome.passed
    assert "z has deviation sigma" in outcome.broken
    assert "exp(logvar / 2)" in str(outcome)


@pytest.mark.parametrize("seed", range(3))
def test_turned_importance_weights_are_seen_for_any_seed(seed):
    vae = WeightsOfTheLoss(9, hidden=(6,), latent=2, dtype="float64", seed=seed)
    assert check_contracts(vae, seed=seed).broken == ["importance sampling"]


def test_other_backends_are_refused_in_one_line():
    vae = VAE(9, hidden=(6,), latent=2)
    vae.backend = type("Other", (), {"name": "cupy"})()
    with pytest.raises(ArgumentError, match="NumPy backend"):
        check_contracts(vae)
