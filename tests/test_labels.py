"""Models that are told labels: PyTorch's values, windows, training, files, commands."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from runs import dataset, images, state, training

import minivae
from minivae import VAE, Adam
from minivae.cli import main
from minivae.data import Dataset
from minivae.data.pixels import Source
from minivae.errors import ArgumentError, DataError
from minivae.gradcheck import assert_gradients
from minivae.networks import Label
from minivae.runs import checkpoint
from minivae.training.crew import can_fork
from minivae.training.steps import Steps, open_steps

LABELS = (2, 5, 9)
with np.load(Path(__file__).parent / "golden" / "labels.npz") as file:
    GOLDEN = dict(file)


def labelled(n=200):
    plain, rng = dataset(n), np.random.default_rng(7)
    y = rng.choice(LABELS, n + 40)
    return Dataset("tiny", plain.train, plain.test, y[:n], y[n:], (6, 6))


def test_a_step_is_pytorchs_on_one_hot_labels_joined_to_the_inputs():
    vae = VAE(12, (7,), 4, dtype="float64", condition=3)
    for name, view in vae.params.items():
        view[...] = GOLDEN[name]
    terms = vae.given(GOLDEN["labels"]).step(GOLDEN["x"], GOLDEN["eps"])
    assert terms.nll == pytest.approx(GOLDEN["nll"], rel=1e-12)
    assert terms.kl == pytest.approx(GOLDEN["kl"], rel=1e-12)
    for name, grad in vae.grads.items():
        np.testing.assert_allclose(grad, GOLDEN[f"d{name}"], rtol=1e-10, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("hidden, bound", [("5", "elbo"), ("5", "iwae:3"), ("c2,3", "iwae:2")])
def test_derivatives_and_windows(hidden, bound):
    vae, rng = VAE(16, hidden, 3, dtype="float64", condition=LABELS, bound=bound), rand(0)
    told = vae.given([2, 9, 2, 5, 9])
    x, eps = rng.random((5, 16)), rng.standard_normal((5, vae.noise))
    assert_gradients(told, x, eps)
    nll, whole = told.step(x, eps).nll, vae.grad.copy()
    given = x[::-1].copy()
    told.step(given, eps)  # buffers that hold something else
    given[...] = x
    total = 0.0
    for rows in (slice(0, 2), slice(2, 5)):
        window = told.window(rows)
        total += window.bound.step(window, x[rows], eps[rows], 1 / 5, 1.0)[0]
    vae.grad[...] = np.nan
    told.gradients()
    assert total == pytest.approx(nll, rel=1e-12)
    np.testing.assert_allclose(vae.grad, whole, rtol=1e-11, atol=1e-14)


def rand(seed):
    return np.random.default_rng(seed)


def test_one_label_for_all_is_that_label_for_each():
    vae, rng = VAE(16, (8,), 3, condition=LABELS), rand(0)
    x, z = rng.random((1203, 16)), rng.standard_normal((1203, 3))  # more than a block
    labels = rng.choice(LABELS, len(x))
    each, close = vae.given(labels), {"rtol": 1e-5, "atol": 1e-6}
    for label in LABELS:
        of, one = labels == label, vae.given(label)
        np.testing.assert_allclose(each.encode(x)[0][of], one.encode(x[of])[0], **close)
        np.testing.assert_allclose(each.decode(z)[of], one.decode(z[of]), **close)
        assert not np.allclose(one.decode(z[~of]), each.decode(z)[~of])
    evaluated = minivae.evaluate(each, x, threads=1)
    assert evaluated == minivae.evaluate(each, x, threads=2)
    assert evaluated != minivae.evaluate(vae.given(2), x, threads=1)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda vae: pickle.loads(pickle.dumps(vae))])
def test_a_copy_is_told_what_the_model_was_told(again):
    vae, x = VAE(16, (8,), 3, condition=LABELS), rand(1).random((2, 16))
    for told in (vae.given(5), vae.given([9, 2])):
        np.testing.assert_array_equal(again(told).encode(x)[0], told.encode(x)[0])
    with pytest.raises(ArgumentError, match="takes labels: say which"):
        again(vae).encode(x)


def test_what_cannot_be_is_said():
    vae, x = VAE(16, (8,), 3, condition=LABELS), np.zeros((4, 16))
    for wrong, message in {
        "label 7 is none.*: 2, 5, 9": lambda: vae.given([2, 7]),
        "takes labels: say which": lambda: vae.encode(x),
        "3 labels for 4 rows": lambda: vae.given([2, 5, 9]).encode(x),
        "one whole number": lambda: vae.given(2.5),
        "was trained without --condition": lambda: VAE(16, (8,), 3).given(2),
        "images of its own": lambda: VAE(16, (8,), 3, condition=3, prior="vamp:3"),
    }.items():
        with pytest.raises(ArgumentError, match=wrong):
            message()
    with pytest.raises(DataError, match="no labels in its train part"):
        training(dataset(), condition=LABELS)
    with pytest.raises(DataError, match="test part: label 9 is none"):
        data = labelled()
        training(Dataset("t", data.train, data.test, data.train_labels % 9, data.test_labels,
                         (6, 6)), condition=(0, 2, 5))  # fmt: skip


def test_a_model_without_labels_has_nothing_of_this():
    vae = VAE(36, (8,), 3)
    steps = open_steps(vae, Adam(vae.parameters, vae.backend), Source(images(40)), 20, 1)
    assert type(steps) is Steps
    assert not any(isinstance(layer, Label) for layer in steps.model.leaves())


@pytest.mark.skipif(not can_fork(), reason="this process cannot share work by forking")
def test_processes_train_as_one_does():
    ends = []
    for threads in (1, 2):
        t = training(labelled(), condition=LABELS, batch_size=32)  # the last batch is smaller
        list(t.run(3, threads=threads))
        ends.append(t.vae.theta.copy())
    np.testing.assert_allclose(*ends, rtol=1e-4, atol=1e-5)  # 21 steps of float32 sums


@pytest.mark.parametrize("threads", [1, 2] if can_fork() else [1])
def test_a_resumed_run_ends_at_the_same_bits(tmp_path, threads):
    data, path = labelled(), tmp_path / "c.npz"
    whole = training(data, condition=LABELS)
    list(whole.run(2, threads=threads))
    part = training(data, condition=LABELS)
    list(part.run(2, threads=threads, after_step=lambda t: t.epoch == 1 and t.step == 12))
    checkpoint.save(path, part.vae, part)
    again = checkpoint.resume(path, data)
    assert again.vae.spec() == whole.vae.spec()
    list(again.run(2, threads=threads))
    assert state(again) == state(whole)


def test_another_order_of_labels_is_another_run(tmp_path):
    data, path = labelled(), tmp_path / "c.npz"
    t = training(data, condition=LABELS)
    checkpoint.save(path, t.vae, t)
    other = Dataset(
        "tiny", data.train, data.test, data.train_labels[::-1], data.test_labels, (6, 6)
    )
    with pytest.raises(minivae.errors.CheckpointError, match="labels"):
        checkpoint.resume(path, other)


def test_the_commands(tmp_path):
    def run(*args, fails=None):
        done = CliRunner().invoke(main, [*map(str, args)])
        assert (done.exit_code != 0) == (fails is not None), done.output
        if fails:
            assert fails in done.output and len(done.output.strip().splitlines()) == 1
        return done.output

    data, out = labelled(), tmp_path / "run"
    arrays = {"x_train": data.train.reshape(-1, 6, 6), "x_test": data.test.reshape(-1, 6, 6)}
    np.savez(tmp_path / "bare.npz", **arrays)
    np.savez(tmp_path / "d.npz", **arrays, y_train=data.train_labels, y_test=data.test_labels)
    small = ("--epochs", 1, "--hidden", "8", "--latent", 2, "--threads", 1)
    train = ("train", *small, "--condition", "labels")
    run(*train, "--data", tmp_path / "bare.npz", "--out", out, fails="has no labels")
    assert not out.exists()
    run(*train, "--data", tmp_path / "d.npz", "--out", out)
    run("train", "--resume", "--out", out, "--condition", "labels", "--epochs", 2)
    picture = ("--out", tmp_path / "p.png")
    drawn = []
    for label in ((), ("--label", 5), ("--label", 9)):
        run("sample", out, *label, *picture)
        drawn.append((tmp_path / "p.png").read_bytes())
    for command in ("reconstruct", "interpolate"):
        run(command, out, "-n", 2, *picture)
        run(command, out, "-n", 2, "--label", 5, *picture)
    run("manifold", out, "-n", 2, "--label", 5, *picture)
    run("traverse", out, "--all", "--steps", 2, "--label", 5, *picture)
    assert len(set(drawn)) == 3
    run("sample", out, "--label", 7, *picture, fails="label 7 is none that the model was trained")
    run("manifold", out, *picture, fails="takes labels: say which, by --label 7")
    run("similar", out, "--data", tmp_path / "d.npz", "--row", 1, fails="without --condition")
    run("trace", out, fails="the trace knows widths")
    run("evaluate", out, "--samples", 2)
    run("encode", out, "--out", tmp_path / "e.npz")
    run("gradcheck", out)
    run("train", *small, "--data", tmp_path / "d.npz", "--out", tmp_path / "plain")
    run("sample", tmp_path / "plain", "--label", 5, *picture, fails="takes no labels")
