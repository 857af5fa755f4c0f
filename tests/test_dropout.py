"""Dropout: masks as arguments, derivatives, windows, training that repeats itself, files."""

import numpy as np
import pytest
from click.testing import CliRunner
from runs import dataset, npz, state, training

from minivae import VAE
from minivae.cli import main
from minivae.errors import ArgumentError
from minivae.gradcheck import assert_gradients
from minivae.networks import Dropout, dropout_mask
from minivae.runs import checkpoint
from minivae.training.crew import can_fork


def draw(seed, *shape):
    return np.random.default_rng(seed).random(shape)


def masked(vae, rows):
    """Return a twin of the model with masks, as training tells them."""
    again = vae.twin()
    for i, layer in enumerate(one for one in again.leaves() if isinstance(one, Dropout)):
        layer.mask = dropout_mask(draw(i, rows, layer.features), layer.p)
    return again


def test_a_mask_leaves_out_p_and_keeps_the_mean():
    mask = dropout_mask(draw(0, 100_000).astype(np.float32), 0.3)
    assert mask.dtype == np.float32
    assert set(mask.tolist()) == {0, float(np.float32(1 / 0.7))}
    # The deviation of a share of 100,000 is 0.0014; five of them.
    assert (mask == 0).mean() == pytest.approx(0.3, abs=0.0073)
    layer, x = Dropout(0.3, 8), draw(1, 4, 8)
    assert layer.forward(x) is x and layer.backward_input(x) is x
    layer.mask = np.float64([[0, 2] * 4] * 4)
    np.testing.assert_array_equal(layer.forward(x), x * layer.mask)
    np.testing.assert_array_equal(layer.backward_input(x), x * layer.mask)


@pytest.mark.parametrize("hidden", ["6,5", "c3,5"])
def test_derivatives_and_windows(hidden):
    vae, rng = VAE(16, hidden, 3, dtype="float64", dropout=0.4), np.random.default_rng(0)
    model, x, eps = masked(vae, 5), rng.random((5, 16)), rng.standard_normal((5, 3))
    assert_gradients(model, x, eps)
    nll, whole = model.step(x, eps).nll, vae.grad.copy()
    assert nll != pytest.approx(vae.step(x, eps).nll, rel=1e-3)
    given = x[::-1].copy()
    model.step(given, eps)
    given[...] = x
    total = 0.0
    for rows in (slice(0, 2), slice(2, 5)):
        window = model.window(rows)
        total += window.bound.step(window, x[rows], eps[rows], 1 / 5, 1.0)[0]
    vae.grad[...] = np.nan
    model.gradients()
    assert total == pytest.approx(nll, rel=1e-12)
    np.testing.assert_allclose(vae.grad, whole, rtol=1e-11, atol=1e-14)


def test_nothing_is_left_out_but_in_training():
    plain, vae = VAE(36, (8,), 3), VAE(36, (8,), 3, dropout=0.5)
    vae.theta[...] = plain.theta
    x = draw(0, 9, 36)
    np.testing.assert_array_equal(vae.reconstruct(x), plain.reconstruct(x))
    ends = []
    for p in (0.0, 0.5):
        t = training(dataset(), dropout=p)
        list(t.run(1, threads=1))
        ends.append(t.history[0].train_loss)
    assert ends[0] != pytest.approx(ends[1], rel=1e-3)
    with pytest.raises(ArgumentError, match="dropout must be from 0 to below 1"):
        VAE(36, (8,), 3, dropout=1.0)
    with pytest.raises(ArgumentError, match="the trace knows widths"):
        vae.plain("the trace")


@pytest.mark.skipif(not can_fork(), reason="this process cannot share work by forking")
def test_processes_train_as_one_does():
    ends = []
    for threads in (1, 2):
        t = training(dataset(), dropout=0.3, batch_size=32, bound="iwae:2")
        list(t.run(2, threads=threads))
        ends.append(t.vae.theta.copy())
    np.testing.assert_allclose(*ends, rtol=1e-4, atol=1e-5)  # 14 steps of float32 sums


@pytest.mark.parametrize("threads", [1, 2] if can_fork() else [1])
def test_a_resumed_run_ends_at_the_same_bits(tmp_path, threads):
    data, path = dataset(), tmp_path / "c.npz"
    whole = training(data, dropout=0.3)
    list(whole.run(2, threads=threads))
    part = training(data, dropout=0.3)
    list(part.run(2, threads=threads, after_step=lambda t: t.epoch == 1 and t.step == 12))
    checkpoint.save(path, part.vae, part)
    again = checkpoint.resume(path, data)
    assert again.vae.spec() == whole.vae.spec()
    list(again.run(2, threads=threads))
    assert state(again) == state(whole)


def test_the_command(tmp_path):
    out = str(tmp_path / "run")
    small = ["train", "--hidden", "8", "--latent", "2", "--threads", "1", "--out", out]
    args = ["--data", str(npz(tmp_path)), "--epochs", "1", "--dropout", "0.2"]
    done = CliRunner().invoke(main, [*small, *args])
    assert done.exit_code == 0, done.output
    assert checkpoint.load(out).dropout == 0.2
    done = CliRunner().invoke(main, [*small, "--resume", "--dropout", "0.3"])
    assert done.exit_code == 1 and "begun with --dropout 0.2, not 0.3" in done.output
