"""log p(x) by importance sampling, over processes and from the command line."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from minivae import VAE
from minivae.cli import main
from minivae.data.dataset import Dataset
from minivae.errors import ArgumentError, NotFiniteError
from minivae.runs import checkpoint
from minivae.training import Training, log_likelihood
from minivae.training.crew import can_fork


def images(n, pixels=9, seed=0):
    return np.random.default_rng(seed).integers(0, 2, (n, pixels)).astype(np.uint8) * 255


def model(**settings):
    return VAE(9, (5,), 1, dtype="float64", seed=3, **settings)


def test_it_is_the_integral_over_z():
    """One latent dimension: p(x) by the trapezoid rule; 2,000 draws leave 1% of noise."""
    vae, rows = model(), images(5)
    z = np.linspace(-9, 9, 4001)
    p = vae.decode(z[:, None])
    prior = np.exp(-(z**2) / 2) / (2 * np.pi) ** 0.5
    exact = [np.trapezoid(np.where(row > 0, p, 1 - p).prod(axis=1) * prior, z) for row in rows]
    found = log_likelihood(vae, rows, 2000)
    np.testing.assert_allclose(found, np.log(exact), atol=0.03)


@pytest.mark.skipif(not can_fork(), reason="this process cannot share work by forking")
def test_any_number_of_processes_gives_the_same():
    vae, rows = model(), images(450)
    seen = []
    one = log_likelihood(
        vae, rows, 3, binarize="sampled", threads=1, progress=lambda *n: seen.append(n)
    )
    assert seen[-1] == (450, 450)
    assert (log_likelihood(vae, rows, 3, binarize="sampled", threads=3) == one).all()


def test_what_cannot_be_is_refused():
    vae = model()
    with pytest.raises(ArgumentError, match="samples"):
        log_likelihood(vae, images(3), 0)
    vae.theta[0] = np.nan
    with pytest.raises(NotFiniteError, match="of 3 images"):
        log_likelihood(vae, images(3), 2, threads=1)


def test_the_command_prints_the_estimate_with_its_error(tmp_path):
    rows = images(30)
    np.savez(tmp_path / "data.npz", x_train=rows.reshape(-1, 3, 3), x_test=rows.reshape(-1, 3, 3))
    data = Dataset("data", rows, rows, None, None, (3, 3))
    training = Training(VAE(9, (5,), 2), data, batch_size=10)
    list(training.run(1, threads=1))
    checkpoint.save(tmp_path / "checkpoint.npz", training.vae, training)
    arguments = ["evaluate", str(tmp_path), "--data", str(tmp_path / "data.npz"), "--limit", "20"]
    result = CliRunner().invoke(main, [*arguments, "--samples", "7"])
    assert result.exit_code == 0, result.output
    assert "20 test images" in result.output
    assert "standard error over images" in result.output
    shown = json.loads(CliRunner().invoke(main, [*arguments, "--samples", "7", "--json"]).stdout)
    values = log_likelihood(training.vae, rows[:20], 7)
    found = shown["log_likelihood"]
    assert found["mean"] == pytest.approx(values.mean())
    assert found["standard_error"] == pytest.approx(values.std(ddof=1) / 20**0.5)
