"""Importance-weighted bounds: PyTorch's gradients, windows, and what mathematics says of them."""

from pathlib import Path

import numpy as np
import pytest
import runs
from click.testing import CliRunner

from minivae import VAE, Adam
from minivae.cli import main
from minivae.data.pixels import Source
from minivae.errors import ArgumentError
from minivae.gradcheck import check
from minivae.noise import RowNoise, permutation
from minivae.training import Training
from minivae.training.crew import can_fork
from minivae.training.steps import Steps

with np.load(Path(__file__).parent / "golden" / "bounds.npz") as file:
    GOLDEN = dict(file)
KINDS = ("iwae", "stl", "dreg")


def golden_model(kind, dtype="float64"):
    sizes = {"hidden": GOLDEN["hidden"].tolist(), "latent": int(GOLDEN["latent"])}
    bound = f"{kind}:{GOLDEN['samples']}"
    vae = VAE(GOLDEN["x"].shape[1], **sizes, beta=float(GOLDEN["beta"]), bound=bound, dtype=dtype)
    for name, view in vae.params.items():
        view[...] = GOLDEN[f"start {name}"]
    return vae


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-10), ("float32", 5e-6)])
def test_value_and_gradients_are_pytorchs(kind, dtype, tolerance):
    """Sums in another order: some roundings of the largest number of a tensor, as test_golden."""
    vae = golden_model(kind, dtype)
    terms = vae.step(GOLDEN["x"], GOLDEN["eps"])
    np.testing.assert_allclose(terms, GOLDEN[f"terms {kind}"], rtol=tolerance)
    for name, grad in vae.grads.items():
        expected = GOLDEN[f"grad {kind} {name}"]
        room = tolerance * np.abs(expected).max()
        np.testing.assert_allclose(grad, expected, rtol=0, atol=room, err_msg=f"{kind} {name}")


def test_terms_of_each_image_are_those_of_the_step():
    vae = golden_model("iwae")
    terms = vae.step(GOLDEN["x"], GOLDEN["eps"])
    log_p, kl = vae.bound.terms(vae, GOLDEN["x"], GOLDEN["eps"])
    assert (terms.nll, terms.kl) == pytest.approx((-log_p.mean(), kl.mean()), rel=1e-12)


@pytest.mark.parametrize("samples", [1, 3])
def test_the_checker_finds_the_gradient_of_iwae_right(samples):
    vae = VAE(6, (5,), 2, beta=1.7, dtype="float64", bound=f"iwae:{samples}")
    rng = np.random.default_rng(0)
    report = check(vae, rng.random((4, 6)), rng.standard_normal((4, 2 * samples)))
    assert report.passed, report


def test_one_sample_and_the_same_for_all_k_are_one_bound():
    """K equal draws weigh alike: the bound and its gradients are those of one draw."""
    rng = np.random.default_rng(0)
    x, eps = rng.random((5, 6)), rng.standard_normal((5, 2))
    grads = []
    for samples in (1, 7):
        vae = VAE(6, (5,), 2, dtype="float64", bound=f"iwae:{samples}")
        vae.step(x, np.tile(eps, samples))
        grads.append(vae.grad.copy())
    np.testing.assert_allclose(*grads, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_where_q_is_the_posterior_stl_has_no_noise(kind):
    """A decoder that ignores z makes N(0, 1) the posterior: then log w is constant.

    Through z alone the encoder's gradient vanishes for every draw (Roeder and others 2017); with
    the score of q it is noise, of mean 0.
    """
    vae = VAE(6, (), 2, dtype="float64", bound=f"{kind}:3")
    for name in ("encoder.0.weight", "encoder.0.bias", "decoder.0.weight"):
        vae.params[name][...] = 0
    rng = np.random.default_rng(0)
    vae.step(rng.random((5, 6)), rng.standard_normal((5, 6)))
    size = np.abs(vae.grads["encoder.0.bias"]).max()
    assert size > 1e-3 if kind == "iwae" else size < 1e-15


@pytest.mark.skipif(not can_fork(), reason="this process cannot share work by forking")
@pytest.mark.parametrize("kind", KINDS)
def test_processes_share_the_rows_of_all_samples(kind):
    """Three processes, uneven shares, a smaller last batch: the numbers of one process.

    In float64: a float32 keeps no more than 1e-5 of a log weight, and Adam makes that visible.
    """
    images = np.random.default_rng(0).integers(0, 256, (37, 30), np.uint8)
    thetas = []
    for threads in (1, 3):
        vae = VAE(30, (12, 8), 4, bound=f"{kind}:5", dtype="float64")
        adam = Adam(vae.parameters, vae.backend, 1e-2)
        steps = Steps(vae, adam, Source(images), 8, threads)
        for epoch in range(2):
            order = permutation(0, "order", epoch, len(images))
            steps.begin(order, RowNoise(0, "eps", epoch), None)
            losses = [steps.step(i) for i in range(5)]
        steps.close()
        thetas.append(np.append(vae.theta, losses))
    np.testing.assert_allclose(*thetas, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "bound, part",
    [
        ("iwae", "--samples"),
        ("iwae:", "iwae:5"),
        ("dreg:many", "dreg:5"),
        ("stl:0", "from 1 to"),
        ("iwae:1000000", "from 1 to"),
        ("elbo:5", "not understood"),
        ("wake", "is unknown"),
    ],
)
def test_a_bound_that_cannot_be_is_refused(bound, part):
    with pytest.raises(ArgumentError, match=part):
        VAE(6, (5,), 2, bound=bound)


def test_the_specification_makes_the_same_bound_again():
    vae = VAE(6, (5,), 2, bound="dreg:7")
    assert vae.spec()["bound"] == "dreg:7"
    assert VAE(**vae.spec()).bound.samples == 7


# --- free bits, and a KL that collapses --------------------------------------------------------


def free(nats, **settings):
    bound = "elbo" if nats is None else f"freebits:{nats}"
    vae = VAE(6, (5,), 2, dtype="float64", seed=1, beta=1.7, bound=bound, **settings)
    rng = np.random.default_rng(0)
    return vae, rng.random((8, 6)), 2 * rng.standard_normal((8, 2))


def test_no_free_bits_are_the_bound():
    (vae, x, eps), (other, *_) = free(0), free(None)
    assert vae.step(x, eps) == pytest.approx(other.step(x, eps), rel=1e-12)
    np.testing.assert_allclose(vae.grad, other.grad, rtol=1e-12)


def test_free_bits_count_for_each_image_and_dimension():
    vae, x, eps = free(0.05)
    mu, logvar = vae.encode(x)
    each = (mu**2 + np.exp(logvar) - 1 - logvar) / 2
    assert (each > 0.05).any() and (each < 0.05).any()
    assert vae.step(x, eps).kl == pytest.approx(np.maximum(each, 0.05).sum() / len(x), rel=1e-12)
    report = check(vae, x, eps)
    assert report.passed, report


def test_a_kl_below_its_floor_has_no_gradient():
    """All is free: the gradient is that of beta = 0."""
    (vae, x, eps), (other, *_) = free(1e9), free(None)
    other.beta = 0
    vae.step(x, eps), other.step(x, eps)
    np.testing.assert_allclose(vae.grad, other.grad, rtol=1e-12)


def test_a_collapsed_kl_is_told_with_its_remedy(tmp_path):
    data = ["--data", str(runs.npz(tmp_path)), "--out", str(tmp_path / "run"), "--threads", "1"]
    result = CliRunner().invoke(main, ["train", *data, "--epochs", "2", "--beta", "400"])
    assert result.exit_code == 0, result.output
    assert result.stderr.count("--free-bits") == 1


def test_more_samples_than_memory_are_refused_before_training():
    data = runs.dataset()
    vae = VAE(36, (8,), 2, bound="iwae:100000", dtype="float64")
    Training(VAE(36, (8,), 2, bound="iwae:50"), data, batch_size=128)
    vae.latent = 2**20  # as if: so that no machine has it
    with pytest.raises(ArgumentError, match="fewer --samples"):
        Training(vae, data, batch_size=128)


def test_of_many_epochs_some_fifty_are_told(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((12, 9)))
    small = ["--hidden", "2", "--latent", "1", "--threads", "1", "--checkpoint-every", "1000"]
    arguments = ["train", "--data", str(tmp_path / "x.npy"), "--out", str(tmp_path / "run"), *small]
    said = CliRunner().invoke(main, [*arguments, "--epochs", "210"]).stderr
    epochs = [int(line.split("/")[0][6:]) for line in said.splitlines() if line[:6] == "epoch "]
    assert epochs == [1, 2, 3, *range(4, 209, 4), 210]


@pytest.mark.parametrize("other", [{"prior": "mixture:3"}, {"posterior": "full"}])
def test_free_bits_refuse_what_has_no_closed_form_before_anything_begins(other):
    with pytest.raises(ArgumentError, match="free bits need --posterior gaussian"):
        VAE(6, (5,), 2, bound="freebits:0.1", **other)
