"""Ctrl-C and its like, sent to real processes: the step is finished, the state saved, and told."""

import signal
import subprocess
import sys
import time

import pytest
import runs
from click.testing import CliRunner

from minivae.cli import main
from minivae.runs import checkpoint

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize(
    "number, every",
    [
        (signal.SIGINT, "7steps"),
        *((one, "1") for one in SIGNALS),
        *(pytest.param(one, "7steps", marks=pytest.mark.slow) for one in SIGNALS[1:]),
    ],
)
def test_first_signal(tmp_path, number, every):
    run, file = tmp_path / "a run", runs.npz(tmp_path)
    arguments = ("--data", file, *runs.SMALL, "--epochs", 100_000, "--checkpoint-every", every)
    process = runs.start(*arguments, "--out", run)
    assert process.stderr.readline().startswith("epoch 1/")
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 128 + number
    assert f"go on with\n  minivae train --resume --out '{run}'" in said
    assert "Traceback" not in said
    # What it left is the uninterrupted run's state at that step, and the history fits it.
    config = checkpoint.read(run).config["training"]
    whole = runs.like_command(file)
    assert config["epoch"] >= 1
    stop = config["epoch"], config["step"]
    whole_run = whole.run(
        config["epoch"] + 1, threads=2, after_step=lambda t: (t.epoch, t.step) == stop
    )
    for _ in whole_run:
        if (whole.epoch, whole.step) == stop:
            break
    whole.epochs = None
    assert runs.state(checkpoint.resume(run, whole.data)) == runs.state(whole)
    lines = (run / "history.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [str(n + 1) for n in range(stop[0])]


TWICE = """
import sys, time
from minivae.cli.interrupt import Interrupts
with Interrupts() as interrupts:
    print("ready", flush=True)
    while interrupts.status is None:
        time.sleep(0.01)
    print(interrupts.status, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS[:2])
def test_second_signal_ends_at_once(first, second):
    process = subprocess.Popen(
        [sys.executable, "-c", TWICE],
        stdout=subprocess.PIPE,
        cwd=runs.ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(first)
    assert process.stdout.readline() == b"%d\n" % (128 + first)
    process.send_signal(second)
    assert process.wait() == -second  # a shell calls this 128 + number


def test_a_terminal_that_closes_sends_several_hang_ups(tmp_path):
    """Those that come while the state is saved, and after, must not end the process."""
    run, file = tmp_path / "run", runs.npz(tmp_path)
    arguments = ("--data", file, *runs.SMALL, "--epochs", 100_000, "--checkpoint-every", 10**9)
    process = runs.start(*arguments, "--out", run, slow_disk=True)
    assert process.stderr.readline().startswith("epoch 1/")
    while process.poll() is None:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.0005)
    _, said = process.communicate()
    assert process.returncode == 128 + signal.SIGHUP
    assert "go on with" in said and "Traceback" not in said
    assert checkpoint.read(run).config["training"]["epoch"] >= 1


def test_ignored_signals_stay_ignored(tmp_path):
    """As under nohup: a terminal that closes does not end the run."""
    run, file = tmp_path / "run", runs.npz(tmp_path)
    process = subprocess.Popen(
        runs.command("--data", file, *runs.SMALL, "--epochs", 3, "--out", run),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        cwd=runs.ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert process.stderr.readline().startswith("epoch 1/3")
    process.send_signal(signal.SIGHUP)
    process.communicate()
    assert process.returncode == 0


def test_interrupted_before_the_training(tmp_path, monkeypatch):
    def load_data(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("minivae.data.load_data", load_data)
    result = CliRunner().invoke(main, ["train", "--out", str(tmp_path)])
    assert (result.exit_code, result.output) == (130, "stopped\n")


def test_handlers_are_put_back(tmp_path, monkeypatch):
    monkeypatch.setattr("minivae.cli.train.draw_pictures", lambda *args: None)
    before = [signal.getsignal(number) for number in SIGNALS]
    during = []
    monkeypatch.setattr(
        "minivae.runs.directory.RunDirectory.epoch",
        lambda self, t: during.append([signal.getsignal(number) for number in SIGNALS]),
    )
    arguments = ["train", "--data", str(runs.npz(tmp_path)), "--out", str(tmp_path / "run")]
    assert CliRunner().invoke(main, [*arguments, *map(str, runs.SMALL), "--epochs", "1"])
    assert len(during) == 1
    assert all(now != then for now, then in zip(during[0], before, strict=True))
    assert [signal.getsignal(number) for number in SIGNALS] == before
