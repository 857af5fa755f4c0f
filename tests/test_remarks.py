"""Settings and data that make a run pointless: each is said in one line, and others in none."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import runs
from click.testing import CliRunner

from minivae import VAE, train
from minivae.cli import main
from minivae.data import Dataset
from minivae.training import Training
from minivae.training.remarks import collapsed, remarks

X = runs.images(240)
GREY = np.full((50, 36), 7, np.uint8)
DATA = runs.dataset()


def made(train, test):
    return Dataset("made", train, test, None, None, (6, 6))


def lines(data, schedule="", **model):
    vae = VAE(36, **(runs.SIZES | model))
    return list(remarks(Training(vae, data, beta_schedule=schedule)))


@pytest.mark.parametrize(("data", "model", "said"), [
    (DATA, {"beta": 0.0}, "beta is 0, so nothing holds z"),
    (DATA, {"latent": 37}, "37 latent dimensions are more than the 36 numbers of an image"),
    (made(GREY, X[:50]), {}, "all 50 images of the train part are the same one"),
    (made(X, GREY), {}, "all 50 images of the test part are the same one"),
    (made(X, X), {}, "64 of 64 test images looked at are among the training images"),
    (made(X, X[100:140]), {}, "40 of 40 test images looked at are among the training images"),
    (made(X / np.float32(255), X[-1:] / np.float32(255)), {}, "1 of 1 test images"),
])  # fmt: skip
def test_what_is_pointless_is_said_in_one_line(data, model, said):
    (line,) = lines(data, **model)
    assert said in line and line.isprintable()


def test_nothing_is_said_of_what_is_not():
    assert lines(DATA) == []
    assert lines(DATA, beta=1e-3, latent=36) == []
    assert lines(DATA, beta=0.0, schedule="0:1:5epochs") == []
    half = np.concatenate([X[:10], 255 - X[:30]])  # a quarter of it was trained on
    assert lines(made(X, half)) == []
    assert lines(made(X[:200], X[200:])) == []


def test_python_and_the_command_line_say_it_once(tmp_path, monkeypatch):
    with pytest.warns(UserWarning, match="beta is 0") as caught:
        list(train(VAE(36, beta=0.0, **runs.SIZES), DATA, epochs=1, threads=1))
    assert len(caught) == 1 and caught[0].filename == __file__
    vae = VAE(36, beta=1000.0, **runs.SIZES)
    with pytest.warns(UserWarning, match="the KL has collapsed to .* take a smaller --beta"):
        list(train(vae, DATA, epochs=2, batch_size=16, lr=0.01, threads=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(train(VAE(36, **runs.SIZES), DATA, epochs=1, threads=1))
    np.savez(tmp_path / "same.npz", x_train=X, x_test=X[:60])
    words = ["train", "--data", "same.npz", *map(str, runs.SMALL), "--epochs", "1"]
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0
    assert result.stderr.count("note: same: 60 of 60 test images looked at") == 1


def test_only_a_kl_in_closed_form_collapses():
    record = SimpleNamespace(test_kl=-0.2)  # what is left of a bound of several draws
    assert "has collapsed" in collapsed(record, VAE(36, **runs.SIZES).bound)
    assert collapsed(record, VAE(36, bound="dreg:2", **runs.SIZES).bound) is None
