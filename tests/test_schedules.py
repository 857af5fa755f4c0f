"""Optimizers, schedules, clipping, early stopping: PyTorch's numbers; resuming to the bit."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import runs
from click.testing import CliRunner

from minivae.backend import get_backend
from minivae.cli import main
from minivae.errors import ArgumentError
from minivae.optim import optimizer
from minivae.params import Parameters
from minivae.runs import checkpoint
from minivae.training import Training, evaluate, schedules
from minivae.training.crew import can_fork
from minivae.vae import VAE

with np.load(Path(__file__).parent / "golden" / "optimizers.npz") as file:
    GOLDEN = dict(file)

# --- optimizers --------------------------------------------------------------------------------


@pytest.mark.parametrize("clip", [None, 5.0])
@pytest.mark.parametrize("kind", ["adamw:0.1", "sgd:0.9", "sgd:0"])
def test_twenty_updates_are_pytorchs(kind, clip):
    """PyTorch adds 1e-6 to the norm that it divides by: 2e-7 of a gradient of norm 5."""
    params = Parameters({"w": (30,)}, lambda shape: np.zeros(shape))
    one = optimizer(kind, params, get_backend(), 0.01)
    one.clip = clip
    params.theta[...] = GOLDEN["start"]
    for grad, expected in zip(GOLDEN["grads"], GOLDEN[f"{kind} {clip}"], strict=True):
        params.grad[...] = grad
        one.step()
        room = {"rtol": 1e-11, "atol": 1e-13} if clip is None else {"rtol": 0, "atol": 1e-6}
        np.testing.assert_allclose(params.theta, expected, **room)


@pytest.mark.parametrize("text", ["adagrad", "adam:1", "sgd:x", "sgd:1", "adamw:-1", "adamw:nan"])
def test_an_optimizer_that_cannot_be_is_refused(text):
    params = Parameters({"w": (3,)}, lambda shape: np.zeros(shape))
    with pytest.raises(ArgumentError):
        optimizer(text, params, get_backend())


# --- schedules ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, step, value",
    [
        ("0.1:1:20epochs", 0, 0.1),
        ("0.1:1:20epochs", 100, 0.55),  # half of 20 epochs of 10 steps
        ("0.1:1:20epochs", 10_000, 1.0),
        ("2:0:4steps", 1, 1.5),
        ("0:1:2epochs:cyclical", 5, 0.5),
        ("0:1:2epochs:cyclical", 12, 1.0),
        ("0:1:2epochs:cyclical", 20, 0.0),
    ],
)
def test_beta_by_the_step(text, step, value):
    assert schedules.weight(text, 10)(step) == pytest.approx(value)


@pytest.mark.parametrize(
    "text, step, value",
    [
        ("warmup:5steps", 0, 0.2),
        ("warmup:5steps", 7, 1.0),
        ("cosine:2epochs", 0, 1.0),
        ("cosine:2epochs", 5, 0.5 + 0.5 * math.cos(math.pi / 4)),
        ("cosine:2epochs", 25, 0.0),
        ("steps:0.1:1epoch", 9, 1.0),
        ("steps:0.1:1epoch", 20, 0.01),
        ("warmup:1epochs,cosine:2epochs", 4, 0.5 * (0.5 + 0.5 * math.cos(math.pi / 5))),
    ],
)
def test_the_learning_rate_by_the_step(text, step, value):
    assert schedules.factor(text, 10)(step) == pytest.approx(value, abs=1e-15)


@pytest.mark.parametrize(
    "text", ["1", "0:1", "0:1:5", "-1:1:5steps", "0:x:5steps", "0:1:5steps:up"]
)
def test_a_beta_that_is_no_schedule_is_refused(text):
    with pytest.raises(ArgumentError, match="no schedule"):
        schedules.weight(text, 10)


@pytest.mark.parametrize("text", ["linear:5steps", "cosine", "steps:5steps", "warmup:0steps", ","])
def test_a_rate_that_is_no_schedule_is_refused(text):
    with pytest.raises(ArgumentError, match="is unknown"):
        schedules.factor(text, 10)


# --- in training -------------------------------------------------------------------------------

SETTINGS = [
    {"optimizer": "adamw:0.1", "lr_schedule": "warmup:5steps,cosine:2epochs", "clip": 0.5},
    {"optimizer": "sgd:0.9", "lr": 1e-4, "beta_schedule": "0:1:15steps"},
    {"early_stop": 3, "validation": 0.25, "beta_schedule": "0:1:1epochs:cyclical"},
]


def start(settings):
    data = runs.dataset()
    vae = VAE(36, **runs.SIZES, seed=3)
    return data, Training(vae, data, batch_size=16, seed=3, **settings)


def state(training):
    best = training.best_epoch, training.best_loss, training.vae.beta, training.adam.factor
    arrays = [*training.adam.state.values(), training.vae.theta]
    arrays += [] if training.best is None else [training.best]
    return [a.tobytes() for a in arrays], best, [record[:7] for record in training.history]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("threads", [1, 2] if can_fork() else [1])
def test_resumed_anywhere_the_end_is_the_same_to_the_bit(tmp_path, settings, threads):
    data, whole = start(settings)
    saved = []

    def save(training):
        saved.append(tmp_path / f"{len(saved)}.npz")
        checkpoint.save(saved[-1], training.vae, training)

    for _ in whole.run(3, threads=threads, after_step=save):
        save(whole)
    for file in saved[:: 5 if threads == 1 else 15]:
        again = checkpoint.resume(file, data)
        list(again.run(3, threads=threads))
        assert state(again) == state(whole), file.name


@pytest.mark.skipif(not can_fork(), reason="this process cannot share work by forking")
def test_the_norm_is_that_of_all_parts():
    """Clipped over three processes: the parameters of one, but for the sum's rounding."""
    ends = []
    for threads in (1, 3):
        _data, training = start({"clip": 0.1, "optimizer": "sgd:0.9", "lr": 1e-2})
        list(training.run(1, threads=threads))
        ends.append(training.vae.theta.copy())
    np.testing.assert_allclose(*ends, atol=1e-5)
    _, training = start({"optimizer": "sgd:0.9", "lr": 1e-2})
    list(training.run(1, threads=1))
    assert np.abs(training.vae.theta - ends[0]).max() > 1e-3  # it does clip


def test_early_stopping_keeps_the_best(tmp_path):
    """At a rate far too large the loss soon rises: the run ends, with the parameters before."""
    data, training = start({"early_stop": 2, "lr": 0.05})
    list(training.run(60, threads=1))
    assert training.ended
    assert training.epoch == training.best_epoch + 2 < 60
    np.testing.assert_array_equal(training.vae.theta, training.best)
    assert training.images == 180
    parts = training._trained, training.held.test.rows
    assert list(map(len, parts)) == [180, 20] and len(np.union1d(*parts)) == 200  # none in both
    held = evaluate(training.vae, training.held.test, seed=3, threads=1)
    assert held.loss == pytest.approx(training.best_loss)
    checkpoint.save(tmp_path / "c.npz", training.vae, training)
    again = checkpoint.resume(tmp_path / "c.npz", data)
    assert list(again.run(80, threads=1)) == []


@pytest.mark.parametrize(
    "settings", [{"clip": 0.0}, {"clip": math.inf}, {"early_stop": 0}, {"optimizer": "lbfgs"}]
)
def test_settings_that_cannot_be(settings):
    with pytest.raises(ArgumentError):
        start(settings)


def test_validation_alone_ends_with_the_best_and_tells_it_by_part(tmp_path):
    """The run goes on to its end, and `evaluate` finds each part again."""
    _, training = start({"validation": 0.25, "lr": 0.05})
    losses = [training.validation_loss for _ in training.run(6, threads=1)]
    assert training.epoch == 6 and training.images == 150
    assert training.best_loss == min(losses) == losses[training.best_epoch - 1] < losses[-1]
    np.testing.assert_array_equal(training.vae.theta, training.best)
    file = runs.npz(tmp_path)
    options = "--hidden", "8", "--latent", "2", "--threads", "1", "--out", str(tmp_path / "run")
    words = ["train", "--data", str(file), *options, "--epochs", "2", "--validation", "0.25"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0 and done.output.count("  validation ") == 2, done.output
    best = float(checkpoint.read(tmp_path / "run").config["training"]["best_loss"])
    told = {}
    for part in ("validation", "train", "test"):
        words = ["evaluate", str(tmp_path / "run"), "--part", part, "--json"]
        told[part] = json.loads(CliRunner().invoke(main, words).output)
    assert told["validation"]["loss"] == pytest.approx(best)
    assert [told[part]["images"] for part in told] == [60, 180, 40]
    with pytest.raises(ArgumentError, match="a share of the 200 training images"):
        start({"validation": 0.001})
