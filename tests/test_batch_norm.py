"""Batch norm in a model: the step's gradient, running means, training that goes on, its refusals.

The layer alone is held against PyTorch's in test_networks.py.
"""

import numpy as np
import pytest
from click.testing import CliRunner
from runs import dataset, npz, state, training

from minivae import VAE
from minivae.cli import main
from minivae.errors import ArgumentError
from minivae.gradcheck import assert_gradients
from minivae.runs import checkpoint

ONE = "ignore:.*looks at all images of a batch"  # said where several processes were asked for


def test_the_steps_gradient():
    vae, rng = VAE(4, "c2k2s1,2", 1, dtype="float64", norm="batch"), np.random.default_rng(0)
    vae.theta[...] += rng.normal(0, 0.1, vae.theta.shape)
    assert_gradients(vae, rng.random((4, 4)), rng.standard_normal((4, 1)))


def test_a_step_learns_from_the_batch_and_all_else_from_running_means():
    vae, rng = VAE(16, (6, 5), 3, norm="batch", seed=1), np.random.default_rng(0)
    x, eps = rng.random((64, 16)), rng.standard_normal((64, 3))
    before = vae.encode(x)[0]
    assert np.array_equal(vae.encode(x[:1])[0], before[:1])  # no row looks at others
    for _ in range(200):  # the running means come to those of this batch: 0.9^200 is nothing
        vae.step(x, eps)
    h = x @ vae.params["encoder.0.weight"].T + vae.params["encoder.0.bias"]
    means = vae.params["encoder.1.running_mean"], vae.params["encoder.1.running_var"]
    np.testing.assert_allclose(means[0], h.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(means[1], h.var(axis=0, ddof=1), rtol=1e-4)
    kept = vae.theta.copy()
    assert not np.allclose(vae.encode(x)[0], before, atol=0.1)
    vae.decode(eps)
    assert np.array_equal(vae.theta, kept)


@pytest.mark.filterwarnings(ONE)
def test_a_resumed_run_ends_at_the_same_bits_and_several_threads_at_those_of_one(tmp_path):
    data, path = dataset(), tmp_path / "c.npz"
    whole = training(data, norm="batch", hidden="c3,8")
    list(whole.run(2, threads=1))
    part = training(data, norm="batch", hidden="c3,8")
    list(part.run(2, threads=2, after_step=lambda t: t.epoch == 1 and t.step == 12))
    checkpoint.save(path, part.vae, part)
    again = checkpoint.resume(path, data)
    assert again.vae.spec() == whole.vae.spec()
    list(again.run(2, threads=1))
    assert state(again) == state(whole)


def test_a_batch_of_one_is_refused_before_anything_is_trained():
    t = training(dataset(193), norm="batch")  # 12 batches of 16, and one image
    with pytest.raises(ArgumentError, match="a batch of one, as batches of 16 leave of 193 images"):
        list(t.run(1, threads=1))
    vae = VAE(16, (6,), 3, norm="batch")
    with pytest.raises(ArgumentError, match=r"encoder\.1: a batch of one row has no variance"):
        vae.step(np.zeros((1, 16)), np.zeros((1, 3)))
    assert np.isfinite(vae.encode(np.zeros((1, 16)))[0]).all()


def test_the_command_and_what_it_refuses(tmp_path):
    out, data = str(tmp_path / "run"), str(npz(tmp_path))
    small = ["train", "--data", data, "--hidden", "8", "--latent", "2", "--epochs", "1"]
    small += ["--norm", "batch", "--threads", "1"]
    done = CliRunner().invoke(main, [*small, "--out", out])
    assert done.exit_code == 0, done.output
    assert checkpoint.load(out).params["decoder.1.running_var"].std() > 0
    other = str(tmp_path / "other")
    done = CliRunner().invoke(main, [*small, "--out", other, "--accumulate", "2"])
    assert done.exit_code == 1 and "looks at all images of a batch: no --accumulate" in done.output
