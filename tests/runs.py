"""Small runs for the tests: data, trainings, processes that train, and fingerprints of states."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minivae.data import Dataset, load_data
from minivae.training import Training
from minivae.vae import VAE

ROOT = Path(__file__).parent.parent
SIZES = {"hidden": (12, 8), "latent": 3}


def thinned(cases: list, every: int) -> list:
    """Return the cases, of which all but one in so many are slow."""
    return [
        case if i % every == 0 else pytest.param(case, marks=pytest.mark.slow)
        for i, case in enumerate(cases)
    ]


def images(n: int, pixels: int = 36) -> np.ndarray:
    """Uint8 (n, pixels): a bright half, left or right, under noise."""
    rng = np.random.default_rng(5)
    x = rng.integers(0, 90, (n, pixels))
    x[::2, : pixels // 2] += 160
    x[1::2, pixels // 2 :] += 160
    return x.astype(np.uint8)


def dataset(n: int = 200) -> Dataset:
    x = images(n + 40)
    return Dataset("tiny", x[:n], x[n:], None, None, (6, 6))


def training(
    data: Dataset, *, lr=1e-3, batch_size=16, binarize="none", seed=3, accumulate=1, **model
) -> Training:
    vae = VAE(data.train.shape[1], **(SIZES | {"seed": seed} | model))
    settings = {"binarize": binarize, "accumulate": accumulate}
    return Training(vae, data, batch_size=batch_size, lr=lr, seed=seed, **settings)


def state(t: Training) -> str:
    """SHA-256 of all that decides how a training goes on, and of its history without the times."""
    t.sync()
    sha = hashlib.sha256()
    for array in (t.vae.theta, t.adam.m, t.adam.v):
        sha.update(array)
    rows = [list(record[:7]) for record in t.history]
    sha.update(repr((t.epoch, t.step, t.adam.steps, t.nll_sum, t.kl_sum, rows)).encode())
    return sha.hexdigest()


def npz(folder: Path, n: int = 240) -> Path:
    """Write a data set for the command line."""
    path = folder / "tiny.npz"
    x = images(n + 40).reshape(-1, 6, 6)
    np.savez(path, x_train=x[:n], x_test=x[n:])
    return path


# A disk that takes its time to flush, so that a kill can come while a file is being written.
SLOW_DISK = """
import os, time
flush = os.fsync
os.fsync = lambda file: (time.sleep(0.003), flush(file))
from minivae.cli import main
main()
"""


def command(*args: object, slow_disk: bool = False) -> list[str]:
    program = ["-c", SLOW_DISK] if slow_disk else ["-m", "minivae"]
    return [sys.executable, *program, "train", *map(str, args)]


SMALL = ("--hidden", "12,8", "--latent", 3, "--batch-size", 16, "--seed", 3, "--threads", 2)


def like_command(data: Path) -> Training:
    """Return the training that `command("--data", data, *SMALL)` begins."""
    return training(load_data(data))


def start(*args: object, stderr=subprocess.PIPE, slow_disk: bool = False) -> subprocess.Popen:
    """Start `minivae train` as a process of its own, with signals as in a terminal."""
    return subprocess.Popen(
        command(*args, slow_disk=slow_disk),
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    )
