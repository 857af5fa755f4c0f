"""Resuming: to the bit, from any step, and only what it was begun with."""

import csv
import os
import subprocess
import sys

import numpy as np
import pytest
import runs
from click.testing import CliRunner
from PIL import Image

from minivae.cli import main
from minivae.errors import CheckpointError
from minivae.noise import RowNoise
from minivae.runs import checkpoint
from minivae.training.crew import can_fork


@pytest.fixture(scope="module")
def data():
    return runs.dataset()


@pytest.mark.parametrize(
    ("threads", "settings"),
    [
        (1, {}),
        (2, {}),
        (3, {"binarize": "sampled", "accumulate": 3}),
        pytest.param(1, {"beta": 0.5, "dtype": "float64"}, marks=pytest.mark.slow),
    ],
)
def test_from_every_step(tmp_path, data, threads, settings):
    """Saved after each step and each epoch, resumed from each: the end is the same to the bit.

    From every fifth place where several processes, begun anew each time, share the steps.
    """
    whole, saved = runs.training(data, **settings), []

    def save(t):
        saved.append(tmp_path / f"{len(saved)}.npz")
        checkpoint.save(saved[-1], t.vae, t)

    for _ in whole.run(2, threads=threads, after_step=save):
        save(whole)
    assert len(saved) == 2 * (whole.steps_per_epoch + 1)
    end = runs.state(whole)
    for file in saved[:: 1 if threads == 1 else 5]:
        again = checkpoint.resume(file, data)
        list(again.run(2, threads=threads))
        assert runs.state(again) == end, file.name


def test_through_many_hands(tmp_path, data):
    """Stopped and resumed after every fifth step, dozens of times in one run."""
    whole = runs.training(data)
    list(whole.run(5, threads=2))
    part, count = runs.training(data), 0
    while part.epoch < 5:
        left = iter(range(4, -1, -1))
        list(part.run(5, threads=2, after_step=lambda t, left=left: next(left) == 0))
        checkpoint.save(tmp_path / "c.npz", part.vae, part)
        part = checkpoint.resume(tmp_path / "c.npz", data)
        count += 1
    assert count >= 5 * whole.steps_per_epoch // 5
    assert runs.state(part) == runs.state(whole)


def test_noise_is_drawn_as_the_first_time():
    """What resuming rests on: rows drawn a few at a time are the rows drawn at once."""
    for dtype in (np.float32, np.float64):
        one = RowNoise(1, "eps", 2).normal(0, np.empty((350, 3), dtype))
        noise = RowNoise(1, "eps", 2)
        parts = [noise.normal(i, np.empty((7, 3), dtype)) for i in range(0, 350, 7)]
        assert (np.concatenate(parts) == one).all()


def test_other_data_are_refused(tmp_path, data):
    t = runs.training(data)
    list(t.run(1, threads=1))
    checkpoint.save(tmp_path / "c.npz", t.vae, t)
    x = data.train.copy()
    x[17, 3] ^= 1
    other = type(data)("other", x, data.test, None, None, (6, 6))
    with pytest.raises(CheckpointError) as caught:
        checkpoint.resume(tmp_path / "c.npz", other)
    for word in ("tiny", data.fingerprint[:12], "other", other.fingerprint[:12], "--data"):
        assert word in str(caught.value)


# --- by the command line -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    return runs.npz(tmp_path_factory.mktemp("data"))


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Call `minivae train` in this process, without its pictures."""
    monkeypatch.setattr("minivae.cli.train.draw_pictures", lambda *args: None)

    def call(*args, status=0):
        result = CliRunner().invoke(
            main, ["train", "--out", str(tmp_path / "run"), *map(str, args)]
        )
        assert result.exit_code == status, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.output

    return call


def epochs_in(folder):
    with open(folder / "history.csv") as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


def test_more_epochs_other_threads(tmp_path, npz, train):
    train("--data", npz, *runs.SMALL, "--epochs", 2)
    assert epochs_in(tmp_path / "run") == [1, 2]
    train("--resume", "--epochs", 4)  # data and all settings are the run's own
    assert epochs_in(tmp_path / "run") == [1, 2, 3, 4]
    whole = runs.like_command(npz)
    list(whole.run(4, threads=2))
    assert runs.state(checkpoint.resume(tmp_path / "run", whole.data)) == runs.state(whole)
    train("--resume", "--epochs", 5, "--threads", 1, "--lr", 5e-4)
    last = checkpoint.resume(tmp_path / "run", whole.data)
    assert (last.epoch, last.threads, last.adam.lr) == (5, 1, 5e-4)
    train("--resume")  # has all its epochs: nothing happens
    assert runs.state(checkpoint.resume(tmp_path / "run", whole.data)) == runs.state(last)


@pytest.mark.parametrize(
    ("option", "known", "asked"),
    [("--seed", "3", "4"), ("--latent", "3", "2"), ("--hidden", "12,8", "12"),
     ("--beta", "1.0", "2.0"), ("--batch-size", "16", "17"), ("--binarize", "none", "sampled")],
)  # fmt: skip
def test_what_may_not_change(npz, train, option, known, asked):
    train("--data", npz, *runs.SMALL, "--epochs", 1)
    output = train("--resume", option, asked, status=1)
    assert f"begun with {option} {known}, not {asked}: leave {option} out" in output
    train("--resume", option, known)


def test_a_batch_in_pieces(tmp_path, npz, train):
    train("--data", npz, *runs.SMALL, "--epochs", 1, "--accumulate", 3)
    assert "goes on with" not in train("--resume", "--epochs", 2)
    output = train("--resume", "--epochs", 3, "--accumulate", 1)
    assert "a batch in 3 pieces, and goes on with" in output
    new = ("--data", npz, *runs.SMALL, "--overwrite")
    output = train(*new, "--accumulate", 2, "--backend", "cupy", status=2)
    assert "--accumulate is for --backend numpy" in output
    assert "--average-every is for --ranks" in train(*new, "--average-every", 2, status=2)


def test_history_is_that_of_the_checkpoint(tmp_path, npz, train):
    """A process killed between an epoch's line and its checkpoint: the epoch is taken again."""
    train("--data", npz, *runs.SMALL, "--epochs", 2)
    kept = (tmp_path / "run" / "checkpoint.npz").read_bytes()
    train("--resume", "--epochs", 4, "--checkpoint-every", 10)
    (tmp_path / "run" / "checkpoint.npz").write_bytes(kept)
    train("--resume", "--epochs", 3)
    assert epochs_in(tmp_path / "run") == [1, 2, 3]
    (tmp_path / "run" / "checkpoint.npz").write_bytes(kept)
    train("--resume", "--epochs", 4, "--lr", 1e30, status=1)  # comes to no checkpoint
    assert epochs_in(tmp_path / "run") == [1, 2]
    train("--resume", "--epochs", 3)
    (tmp_path / "run" / "history.csv").unlink()
    train("--resume")
    assert epochs_in(tmp_path / "run") == [1, 2, 3]


def test_pictures_are_found_again_in_their_size(tmp_path, train, monkeypatch):
    """The run remembers where its data were, from wherever it is resumed, and how it took them."""
    for i, image in enumerate(runs.images(20, 80).reshape(20, 8, 10)):
        (tmp_path / "data").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "data" / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    train("--data", "data", "--image-size", "6x6", *runs.SMALL, "--epochs", 1)
    monkeypatch.chdir("/")
    train("--resume", "--epochs", 2)
    assert epochs_in(tmp_path / "run") == [1, 2]


def test_nothing_to_resume(tmp_path, train):
    assert "does not exist: train a model first" in train("--resume", status=1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.npz").write_bytes(b"PK")
    assert "is not an .npz file, or damaged" in train("--resume", status=1)


def test_a_run_is_not_replaced_by_chance(tmp_path, npz, train):
    train("--data", npz, *runs.SMALL, "--epochs", 1)
    before = (tmp_path / "run" / "checkpoint.npz").read_bytes()
    assert "holds a run already" in train("--data", npz, status=1)
    assert "exclude each other" in train("--resume", "--overwrite", status=2)
    assert (tmp_path / "run" / "checkpoint.npz").read_bytes() == before
    train("--data", npz, *runs.SMALL, "--epochs", 2, "--overwrite")
    assert epochs_in(tmp_path / "run") == [1, 2]


# --- elsewhere -----------------------------------------------------------------------------------


def test_on_another_number_of_processes_it_is_said_and_equal_to_rounding(tmp_path):
    data, said = runs.dataset(), []
    whole, t = (runs.training(data, dtype="float64") for _ in range(2))
    list(whole.run(4, threads=2))
    list(t.run(2, threads=2))
    checkpoint.save(tmp_path / "file", t.vae, t)
    again = checkpoint.resume(tmp_path / "file", data)
    again.notice = said.append
    list(again.run(3, threads=1))
    assert len(said) == can_fork()
    assert "computed by 2 processes and " in said[0] and "goes on with 1 process and" in said[0]
    list(again.run(4, threads=1))
    assert len(said) == 1
    np.testing.assert_allclose(again.vae.theta, whole.vae.theta, rtol=0, atol=1e-10)


ELSEWHERE = """
import sys
sys.path.insert(0, "tests")
import runs
from minivae.runs import checkpoint
data = runs.dataset()
t = checkpoint.resume(sys.argv[1], data)
t.notice = print
list(t.run(4, threads=2))
checkpoint.save(sys.argv[1], t.vae, t)
"""


@pytest.mark.parametrize("kernel", ["Nehalem", ""])
def test_on_another_kernel_of_the_library(tmp_path, kernel):
    """As on a machine with another processor: said in a line, and equal to rounding."""
    data = runs.dataset()
    t, whole = (runs.training(data, dtype="float64") for _ in range(2))
    list(t.run(2, threads=2))
    list(whole.run(4, threads=2))
    if "openblas" not in t.computed or not can_fork():
        pytest.skip("this NumPy has no OpenBLAS, whose kernel could be chosen")
    checkpoint.save(tmp_path / "file", t.vae, t)
    environment = os.environ | {"PYTHONPATH": str(runs.ROOT)}
    if kernel:
        environment["OPENBLAS_CORETYPE"] = kernel
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, tmp_path / "file"], env=environment, cwd=runs.ROOT,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    again = checkpoint.resume(tmp_path / "file", data)
    if kernel and kernel not in t.computed:
        assert "goes on with 2 processes and openblas" in done.stdout and kernel in done.stdout
        np.testing.assert_allclose(again.vae.theta, whole.vae.theta, rtol=0, atol=1e-10)
    else:
        assert done.stdout == "" and runs.state(again) == runs.state(whole)
