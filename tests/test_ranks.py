"""Ranks of a real MPI: the numbers of one process, a rank that dies, ranks that disagree.

Skipped, with the reason, where mpi4py or mpiexec is missing: pip install mpi4py mpich.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minivae import VAE, Adam, load_data
from minivae.data.pixels import Source, gather
from minivae.noise import RowNoise, permutation
from minivae.training.ranks import Ranks
from minivae.training.steps import Steps

pytest.importorskip("mpi4py", reason="mpi4py is not installed")
# Beside the interpreter first: there the wheels of an MPI put theirs.
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
pytestmark = pytest.mark.skipif(not MPIEXEC, reason="there is no mpiexec")

STEP = """
import sys
import numpy as np
from minivae import VAE, Adam
from minivae.data.pixels import Source
from minivae.noise import RowNoise
from minivae.training.ranks import Ranks
from minivae.training.steps import open_steps

ranks = Ranks()
vae = VAE(30, hidden=(12, 8), latent=4, dtype="float64", seed=2)
images = np.random.default_rng(0).random((70, 30))
pieces, threads = map(int, sys.argv[2:])
adam = Adam(vae.parameters, vae.backend)
steps = open_steps(vae, adam, Source(images), 20, threads, ranks, pieces)
assert steps.members == threads
steps.begin(np.arange(70), RowNoise(0, "eps"), RowNoise(0, "binarize"))
losses = [steps.step(i) for i in range(4)]
steps.close()
if ranks.rank == 0:
    np.savez(sys.argv[1], losses=losses, grad=vae.grad, theta=vae.theta)
"""

APART = """
import sys
import numpy as np
from minivae import VAE, Adam, load_data
from minivae.noise import RowNoise
from minivae.runs import checkpoint
from minivae.training import Training
from minivae.training.ranks import Ranks

ranks, data, folder = Ranks(), load_data(sys.argv[1]), sys.argv[2]
def start():
    vae = VAE(64, hidden=(12, 8), latent=4, dtype="float64", seed=2)
    training = Training(vae, data, batch_size=40, seed=3, average_every=5)
    training.ranks = ranks
    return training

stopped, asked = start(), []
def stop(training):
    asked.append((training.step, ranks.any(training.step == 5)))
    return asked[-1][1]
assert not list(stopped.run(2, after_step=stop))
if ranks.rank == 0:
    checkpoint.save(f"{folder}/checkpoint.npz", stopped.vae, stopped)
ranks.any(False)
again, whole = checkpoint.resume(folder, data), start()
again.ranks = ranks
ends = [[training.vae.theta, *training.adam.state.values(),
         np.array([record[:7] for record in training.run(2)])] for training in (again, whole)]
assert all(a.tobytes() == b.tobytes() for a, b in zip(*ends, strict=True))
if ranks.rank == 0:
    np.savez(f"{folder}/{ranks.size}.npz", theta=stopped.vae.theta, v=stopped.adam.v,
             sums=[stopped.nll_sum, stopped.kl_sum], asked=asked)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a small data set's file."""
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:8, :8]
    centres = rng.uniform(1, 7, (600, 2))
    x = np.exp(-((rows - centres[:, :1, None]) ** 2 + (columns - centres[:, 1:, None]) ** 2) / 4)
    x = (255 * x).astype(np.uint8)
    np.savez(path, x_train=x[:500], x_test=x[500:])
    return path


def environment():
    few = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return os.environ | few | {"MPIR_CVAR_POLLS_BEFORE_YIELD": "1"}  # more ranks than cores


def command(n, *arguments):
    return [MPIEXEC, "-n", str(n), sys.executable, *map(str, arguments)]


def train(n, data, out, *options):
    arguments = ("-m", "minivae", "train", "--ranks", "mpi", "--data", data, "--out", out)
    settings = ("--hidden", "12", "--latent", "3", "--batch-size", "32", "--seed", "1")
    return command(n, *arguments, *(() if "--resume" in options else settings), *options)


def run(arguments, **settings):
    return subprocess.run(
        arguments, capture_output=True, text=True, timeout=300, env=environment(), **settings
    )


def history(out):
    return np.loadtxt(out / "history.csv", delimiter=",", skiprows=1, ndmin=2)[:, :7]


def test_gradients_of_a_step_are_those_of_one_process(tmp_path):
    script = tmp_path / "step.py"
    script.write_text(STEP)
    found = {}
    # Pieces of three images: one rank has none. Two processes in a rank share its memory.
    for n, pieces, threads in ((1, 1, 1), (2, 1, 1), (4, 7, 1), (2, 1, 2), (2, 4, 2)):
        kind = n, pieces, threads
        done = run(command(n, script, tmp_path / f"{kind}.npz", pieces, threads))
        assert done.returncode == 0, done.stderr
        found[kind] = np.load(tmp_path / f"{kind}.npz")
    first = found.pop((1, 1, 1))
    for kind in found:
        for name in ("losses", "grad", "theta"):
            np.testing.assert_allclose(found[kind][name], first[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("twice", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_losses_of_an_epoch_and_a_run_that_goes_on_with_other_ranks(data, tmp_path, twice):
    for n in (1, 2):
        done = run(train(n, data, tmp_path / str(n), "--epochs", 2))
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("test loss") == 1  # the terminal is rank 0's
        np.testing.assert_allclose(history(tmp_path / str(n)), history(tmp_path / "1"), rtol=1e-5)
    if twice:
        again = run(train(2, data, tmp_path / "again", "--epochs", 2))
        assert again.returncode == 0
        same = [np.load(tmp_path / run / "checkpoint.npz") for run in ("2", "again")]
        for name in same[0].files:
            if name not in ("config", "sha256", "history"):  # these hold the time that it took
                assert same[0][name].tobytes() == same[1][name].tobytes()
    done = run(train(3, data, tmp_path / "2", "--resume", "--epochs", 3))
    assert done.returncode == 0, done.stderr
    assert len(history(tmp_path / "2")) == 3


def test_ranks_that_meet_every_five_steps(data, tmp_path):
    script = tmp_path / "apart.py"
    script.write_text(APART)
    done = run(command(2, script, data, tmp_path))
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "2.npz")
    assert found["asked"].tolist() == [[5, 1]]  # nobody is asked, nothing saved, before they meet
    images = load_data(data)
    order, noise = permutation(3, "order", 0, 500), RowNoise(3, "eps", 0)
    ends, sums = [], np.zeros(2)
    for rank in range(2):  # each by hand, on its half of five batches
        vae = VAE(64, hidden=(12, 8), latent=4, dtype="float64", seed=2)
        adam = Adam(vae.parameters, vae.backend)
        for first in range(20 * rank, 200, 40):
            eps = np.empty((20, 4))
            noise.normal(first, eps)
            terms = vae.step(images.pixels("train", order[first : first + 20], dtype="f8"), eps)
            sums += 20 * np.array(terms[1:])
            adam.step()
        ends.append((vae.theta, adam.v))
    for name, pair in zip(("theta", "v"), zip(*ends, strict=True), strict=True):
        assert not np.allclose(*pair, rtol=1e-3, atol=0)  # they have gone different ways
        np.testing.assert_allclose(found[name], np.mean(pair, axis=0), rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(found["sums"], sums, rtol=1e-12)


def test_numbers_that_go_wrong_between_meetings_are_named_by_all(data, tmp_path):
    options = ("--average-every", 8, "--lr", 1e30, "--epochs", 1)
    done = run(train(2, data, tmp_path / "out", *options))
    assert done.returncode != 0
    assert "is not finite at epoch 1, step 2, first in" in done.stderr


def test_a_rank_gathers_its_rows_of_a_batch_and_no_others(monkeypatch):
    seen = []

    def gathering(rows, indices, *arrays, **settings):
        seen.extend(indices)
        return gather(rows, indices, *arrays, **settings)

    monkeypatch.setattr("minivae.training.steps.gather", gathering)
    ranks = object.__new__(Ranks)  # the second of two, with nobody to add to
    ranks.rank, ranks.size, ranks.add = 1, 2, lambda array: None
    vae = VAE(30, hidden=(12, 8), latent=4)
    images, order = np.random.default_rng(0).random((70, 30)), permutation(0, "order", 0, 70)
    steps = Steps(vae, Adam(vae.parameters, vae.backend), Source(images), 20, 1, ranks)
    steps.begin(order, RowNoise(0, "eps"), RowNoise(0, "binarize"))
    for i in range(4):
        steps.step(i)
    assert seen == [*order[10:20], *order[30:40], *order[50:60], *order[65:70]]


def test_ranks_that_disagree_are_refused(data, tmp_path):
    seeds = tmp_path / "seeds.py"
    seeds.write_text(
        "import sys\nfrom mpi4py import MPI\nfrom minivae.cli import main\n"
        "main([*sys.argv[1:], '--batch-size', str(8 + MPI.COMM_WORLD.rank)])\n"
    )
    options = ("train", "--ranks", "mpi", "--data", data, "--out", tmp_path / "out")
    done = run(command(2, seeds, *options))
    assert done.returncode != 0
    assert "Error: rank 1 has another batch size than rank 0 (9, not 8)" in done.stderr
    assert not (tmp_path / "out").exists()


def pieces(seed):
    return ("--accumulate", 1 + seed % 2)


def killed(data, out, seed):
    """Kill a rank at a random moment; return how long the others went on, and what they said."""
    begun = subprocess.Popen(
        train(2, data, out, "--epochs", 10_000, *pieces(seed)),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(),
    )  # fmt: skip
    limit = time.monotonic() + 60
    while not (out / "checkpoint.npz").exists():
        assert time.monotonic() < limit and begun.poll() is None
        time.sleep(0.05)
    time.sleep(random.Random(seed).uniform(0, 0.5))
    found = subprocess.run(["pgrep", "-f", f"python.*{out}"], capture_output=True, text=True)
    pids = [int(pid) for pid in found.stdout.split()]
    names = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] for pid in pids}
    ranks = sorted(pid for pid in pids if names[pid] == sys.executable.encode())
    assert len(ranks) == 2, names
    os.kill(ranks[seed % 2], signal.SIGKILL)
    start = time.monotonic()
    said = begun.communicate(timeout=60)[0]
    return time.monotonic() - start, begun.returncode, said


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_rank_that_dies_ends_the_run_and_the_run_goes_on(data, tmp_path, seed):
    seconds, status, said = killed(data, tmp_path / "run", seed)
    print(f"the others ended after {seconds:.1f} s")
    assert status != 0
    assert "KILLED BY SIGNAL: 9" in said or "signal 9" in said, said  # MPICH's words, Open MPI's
    epochs = len(history(tmp_path / "run")) + 1
    done = run(train(2, data, tmp_path / "run", "--resume", "--epochs", epochs))
    assert done.returncode == 0, done.stderr
    whole = run(train(2, data, tmp_path / "whole", "--epochs", epochs, *pieces(seed)))
    assert whole.returncode == 0, whole.stderr
    both = [np.load(tmp_path / run / "checkpoint.npz") for run in ("run", "whole")]
    for name in both[0].files:
        if name not in ("config", "sha256", "history"):
            assert both[0][name].tobytes() == both[1][name].tobytes(), name


def test_without_mpiexec_one_line(tmp_path, monkeypatch):
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("PMI", "MPI", "OMPI"))}
    done = subprocess.run(
        [sys.executable, "-m", "minivae", "train", "--ranks", "mpi", "--out", tmp_path / "o"],
        capture_output=True, text=True, timeout=60, env=clean,
    )  # fmt: skip
    assert done.returncode == 1
    assert "start it as mpiexec -n 4 minivae train --ranks mpi" in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "o").exists()
