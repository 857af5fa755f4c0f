"""Numbers that go wrong: found at their step, named, and never saved; NumPy says nothing."""

import re
import warnings

import numpy as np
import pytest
import runs
from host_device import HostDevice, needs_compiler

from minivae.backend import CupyBackend
from minivae.errors import NotFiniteError
from minivae.runs import checkpoint
from minivae.training import evaluate
from minivae.training.watch import CHECK


@pytest.fixture(autouse=True)
def silence():
    """Any warning, in any thread, is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="module")
def data():
    return runs.dataset()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_large_logits_are_finite(data, threads, logit):
    t = runs.training(data)
    t.vae.params["decoder.4.bias"][...] = logit
    *_, last = t.run(2, threads=threads)
    grey = data.train.mean() / 255  # a logit of l costs |l| for what it gets wrong
    expected = 1e4 * 36 * ((1 - grey) if logit > 0 else grey)
    assert last.train_nll == pytest.approx(expected, rel=2e-2)
    assert np.isfinite(last).all()


def test_small_log_variance_is_finite(data):
    t = runs.training(data)
    t.vae.params["encoder.4.bias"][3:] = -80
    record = next(t.run(1, threads=2))
    assert record.train_kl == pytest.approx(3 * 0.5 * 79, rel=0.05)  # -log sigma^2 - 1, halved


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("name", "part", "value", "message"),
    [
        ("encoder.4.bias", slice(3, 6), 80, "the gradient's square is not finite .*encoder.4.we"),
        ("encoder.4.bias", slice(3, 6), 90, "the loss is not finite .* first in mu or logvar"),
        ("encoder.2.weight", slice(None), 3e38, "the loss is not finite .* the input of encoder.4"),
        ("decoder.4.bias", slice(None), 3e38, "the loss is not finite .* first in the logits"),
        ("decoder.2.weight", slice(None), 1e26, "the gradient's square .* in decoder.4.weight"),
        ("encoder.2.weight", slice(None), np.nan, "the loss is not finite .* input of encoder.4"),
    ],
)
def test_what_is_named(data, threads, name, part, value, message):
    t = runs.training(data)
    t.vae.params[name][part] = value
    with pytest.raises(NotFiniteError, match=f"{message}.* smaller learning rate .*--lr 0.001"):
        list(t.run(1, threads=threads))


def spoil(t, step, tensor, value):
    """Make the gradient of one tensor wrong in one step, before the optimizer sees it."""
    real, place = t.adam.update, t.vae.parameters.slices[tensor]

    def update(part):
        if t.adam.steps == step + 1 and part.start <= place.start < part.stop:
            t.vae.grad[place.start] = value
        real(part)

    t.adam.update = update


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("step", runs.thinned([0, 1, 99, 100, 101, 129, 130, 220], 2))
def test_step_and_tensor_are_those(data, step, value):
    """A gradient wrong in one step only: 1e30 leaves every later loss finite, but Adam stands."""
    t = runs.training(data, batch_size=1)  # 200 steps an epoch
    spoil(t, step, "decoder.2.bias", value)
    what = "the gradient's square" if value == 1e30 else "the gradient"
    epoch, number = 1 + step // 200, 1 + step % 200
    with pytest.raises(NotFiniteError) as caught:
        list(t.run(2, threads=1))
    expected = f"{what} is not finite at epoch {epoch}, step {number}, first in decoder.2.bias: "
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize("value", [np.nan, 1e30])
def test_left_in_a_good_state(tmp_path, data, value):
    """After the error the training stands where all was well, at most 100 steps earlier."""
    good, states = runs.training(data, batch_size=1), {}

    def note(t):
        states[t.step] = runs.state(t)

    list(good.run(1, threads=1, after_step=note))
    bad = runs.training(data, batch_size=1)
    spoil(bad, 150, "encoder.0.weight", value)
    with pytest.raises(NotFiniteError):
        list(bad.run(1, threads=1))
    assert 150 - CHECK <= bad.step <= 150
    assert runs.state(bad) == states[bad.step]
    checkpoint.save(tmp_path / "c.npz", bad.vae, bad)


def test_nothing_wrong_is_saved(tmp_path, data):
    """A checkpoint due between the fault and the next look is not written."""
    t, saved = runs.training(data, batch_size=1), []
    spoil(t, 20, "decoder.0.weight", 1e30)

    def save(t):
        checkpoint.save(tmp_path / "c.npz", t.vae, t)
        saved.append(t.step)

    with pytest.raises(NotFiniteError, match="step 21, first in decoder"):
        list(t.run(1, threads=1, after_step=save))
    assert saved == list(range(1, 21))
    assert checkpoint.resume(tmp_path / "c.npz", data).step == 20


@pytest.mark.parametrize("lr", [10.0, 1e30])
def test_learning_rate_too_large(data, lr):
    with pytest.raises(NotFiniteError, match=re.escape(f"smaller learning rate (now --lr {lr:g})")):
        list(runs.training(data, lr=lr).run(50, threads=2))


def test_evaluation_that_is_not_finite(data):
    vae = runs.training(data).vae
    vae.params["encoder.4.bias"][3:] = 200
    with pytest.raises(NotFiniteError, match="test loss is not finite"):
        evaluate(vae, data.test)


@needs_compiler
@pytest.mark.parametrize("capture", [True, False])
@pytest.mark.parametrize("value", [np.nan, 1e30])
def test_on_a_device(data, capture, value):
    """There it is looked at after an epoch and before a checkpoint; the first step is named."""
    backend = CupyBackend(HostDevice("numpy", 1 << 40), capture=capture, notice=print)
    t = runs.training(data, backend=backend)
    list(t.run(1))
    t.vae.params["encoder.4.bias"][4] = 80 if value == 1e30 else value
    before, count = t.vae.theta.copy(), t.adam.steps
    what = "gradient's square" if value == 1e30 else "loss"
    with pytest.raises(NotFiniteError, match=f"the {what} is not finite at epoch 2, step 1, first"):
        list(t.run(2))
    assert t.vae.theta.tobytes() == before.tobytes()
    assert (t.epoch, t.step, t.adam.steps) == (1, 0, count)
