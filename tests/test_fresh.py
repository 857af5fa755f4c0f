"""Workers started fresh: the bits of copied ones, beside other threads, and nothing left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from minivae import VAE, Adam, load_data
from minivae.data.pixels import Source
from minivae.noise import RowNoise, permutation
from minivae.training import Training, fresh
from minivae.training.crew import Crew, CrewError, can_fork
from minivae.training.fresh import FreshCrew
from minivae.training.steps import Steps
from minivae.training.told import ToldSteps

pytestmark = pytest.mark.skipif(not can_fork(), reason="this process cannot share work by forking")

SCRIPT = """
import os, sys, threading
import numpy as np
from minivae import VAE, load_data
from minivae.layers import Linear
from minivae.training import Training, fresh

print("run", flush=True)
fresh.LEAST = 0
class Mine(Linear):
    pass
layer = Mine if sys.argv[1] == "mine" else Linear
vae = VAE(30, hidden=(layer(30, 8), layer(4, 30)), latent=4)
training = Training(vae, load_data(np.random.default_rng(0).random((300, 30))), batch_size=20)
waiting = threading.Event()
threading.Thread(target=waiting.wait, daemon=True).start()
for _ in training.run(1 if sys.argv[1] == "mine" else 10**6, threads=2):
    crew = training._steps._crew
    print(training.computed.split()[0], *crew._children, flush=True)
"""


@pytest.fixture(scope="module")
def data():
    return load_data(np.random.default_rng(0).random((333, 30)), labels=np.arange(333) % 3)


def gone(pid):
    """Whether a process has ended, or does within some seconds."""
    limit = time.monotonic() + 20
    while time.monotonic() < limit:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def ends(kind, data, make, codes, **settings):
    vae = VAE(30, hidden=(12, 8), latent=4, seed=2, **settings)
    held, adam = vae.params["encoder.0.weight"], Adam(vae.parameters, vae.backend)
    source = Source(data.train, "sampled", codes and data.train_labels)
    steps, losses = make(vae, adam, source, 40, 2, None, 2, kind), []
    for epoch in range(2):
        order = permutation(0, "order", epoch, len(data.train))
        steps.begin(order, RowNoise(0, "eps", epoch), RowNoise(0, "binarize", epoch))
        losses += [steps.step(i) for i in range(-(-len(order) // 40))]
    assert steps.members == 2
    steps.close()
    return losses, held.tobytes(), *(a.tobytes() for a in (vae.theta, adam.m, adam.v))


@pytest.mark.parametrize(
    ("make", "codes", "settings"),
    [
        (Steps, None, {"prior": "mixture:3", "bound": "iwae:2"}),
        (ToldSteps, True, {"condition": 3, "dropout": 0.2}),
    ],
)
def test_they_give_the_bits_of_copies(data, make, codes, settings):
    assert ends(FreshCrew, data, make, codes, **settings) == ends(
        Crew, data, make, codes, **settings
    )


def test_a_training_beside_a_thread_is_shared_and_leaves_nothing(data, monkeypatch):
    def trained():
        vae = VAE(30, hidden=(12, 8), latent=4, seed=2)
        training, notes = Training(vae, data, batch_size=40, products="numpy"), []
        training.notice = notes.append
        for _ in training.run(2, threads=2):
            computed = training.computed
        return vae.theta.tobytes(), computed, notes

    alone, waiting = trained(), threading.Event()
    files = len(os.listdir("/proc/self/fd"))
    thread = threading.Thread(target=waiting.wait)
    thread.start()
    try:
        short = trained()
        assert short[1].startswith("1 process") and "longer training" in short[2][0]
        monkeypatch.setattr(fresh, "LEAST", 0)
        assert trained() == alone
    finally:
        waiting.set()
        thread.join()
    assert len(os.listdir("/proc/self/fd")) == files
    assert not list(Path("/dev/shm").glob("*minivae*"))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_one_that_is_killed_ends_the_step(data):
    vae = VAE(30, hidden=(12, 8), latent=4)
    steps = Steps(vae, Adam(vae.parameters, vae.backend), Source(data.train), 40, 2, crew=FreshCrew)
    steps.begin(np.arange(333), RowNoise(0, "eps"), RowNoise(0, "binarize"))
    os.kill(steps._crew._children[0], signal.SIGKILL)
    with pytest.raises(CrewError, match="has ended"):
        for i in range(9):
            steps.step(i)
    steps.close()


def test_a_script_is_run_once_and_its_own_layers_are_said(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, script, "mine"], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["run", "1"], done.stderr
    assert "one core is used, since the step cannot be shared: Mine is defined in" in done.stderr


def test_workers_end_with_a_first_process_that_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, script, "ours"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "run\n"
        members, worker = process.stdout.readline().split()
        process.kill()
    assert members == "2"
    assert gone(worker)
