"""The directory of a run: its lock, its checkpoints, and disks that are full."""

import errno
import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
import runs
from click.testing import CliRunner

from minivae.cli import main
from minivae.errors import ArgumentError, MinivaeError, WriteError
from minivae.runs import checkpoint
from minivae.runs.directory import Cadence, RunDirectory


@pytest.fixture(scope="module")
def data():
    return runs.dataset()


# --- how often -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cadence"),
    [("1", (1, "epochs")), ("5epochs", (5, "epochs")), ("1 epoch", (1, "epochs")),
     ("500steps", (500, "steps")), ("1step", (1, "steps"))],
)  # fmt: skip
def test_cadence(text, cadence):
    assert Cadence.parse(text) == cadence


@pytest.mark.parametrize("text", ["0", "-1", "", "steps", "1.5", "5 hours", "0steps", "5steps5"])
def test_cadence_that_is_none(text):
    with pytest.raises(ArgumentError, match="give a number of epochs or steps"):
        Cadence.parse(text)
    result = CliRunner().invoke(main, ["train", "--checkpoint-every", text])
    assert result.exit_code == 2 and "give a number of epochs or steps" in result.output


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", [(1, 0), (2, 0), (3, 0)]), ("2epochs", [(2, 0)]),
     ("5steps", [(0, 5), (0, 10), (1, 2), (1, 7), (1, 12), (2, 4), (2, 9)]),
     ("13steps", [(0, 13), (1, 13), (2, 13)])],
)  # fmt: skip
def test_when_a_checkpoint_is_due(data, text, expected):
    t, cadence, due = runs.training(data), Cadence.parse(text), []  # 13 steps an epoch

    def look(t):
        if cadence.due(t):
            due.append((t.epoch, t.step))

    for _ in t.run(3, threads=1, after_step=look):
        look(t)
    assert due == expected


# --- one process at a time -----------------------------------------------------------------------

HOLD = """
import sys
from minivae.runs.directory import RunDirectory
with RunDirectory(sys.argv[1]):
    print(0, flush=True)
    sys.stdin.read()
"""


def hold(folder, script=HOLD):
    process = subprocess.Popen(
        [sys.executable, "-c", script, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(runs.ROOT)},
    )
    process.said = int(process.stdout.readline())
    return process


def test_second_process_is_refused(tmp_path):
    first = hold(tmp_path)
    with pytest.raises(MinivaeError) as caught, RunDirectory(tmp_path):
        pass
    expected = f"{tmp_path} is in use by another training (process {first.pid}): wait for it"
    assert str(caught.value).startswith(expected)
    arguments = ["train", "--data", str(runs.npz(tmp_path)), "--out", str(tmp_path)]
    result = CliRunner().invoke(main, [*arguments, "--overwrite"])
    assert result.exit_code == 1 and f"(process {first.pid})" in result.output
    first.stdin.close()
    assert first.wait() == 0
    with RunDirectory(tmp_path):
        pass


def test_dead_process_is_no_obstacle(tmp_path):
    first = hold(tmp_path)
    part = tmp_path / f".checkpoint.npz.{first.pid}.part"
    other = tmp_path / f".loss.png.{os.getppid()}.part"  # of a process that lives
    part.write_bytes(b"half")
    other.write_bytes(b"half")
    first.kill()
    first.wait()
    with RunDirectory(tmp_path):
        assert not part.exists()
        assert other.exists()


SHARED = """
import os, sys, time
from minivae.runs.directory import RunDirectory
with RunDirectory(sys.argv[1]):
    child = os.fork()  # as those that share a training step
    if child == 0:
        time.sleep(1000)
    print(child, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_copies_of_a_dead_process_are_no_obstacle(tmp_path):
    first = hold(tmp_path, SHARED)
    first.kill()
    first.wait()
    try:
        with RunDirectory(tmp_path):
            pass
    finally:
        os.kill(first.said, signal.SIGKILL)


def test_not_twice_in_one_process(tmp_path):
    with RunDirectory(tmp_path):
        with pytest.raises(MinivaeError, match=f"process {os.getpid()}"), RunDirectory(tmp_path):
            pass
        held = subprocess.run(
            [sys.executable, "-c", HOLD, tmp_path],
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(runs.ROOT)},
        )
        assert b"is in use by another training" in held.stderr
    with RunDirectory(tmp_path):
        pass


def test_place_that_is_no_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="cannot be written"), RunDirectory(tmp_path / "file"):
        pass


# --- disks that are full -------------------------------------------------------------------------


@pytest.fixture
def full(monkeypatch):
    """Writing into the folders in this list fails, in the end, for want of space."""
    folders, replace = [], os.replace

    def refuse(source, target):
        if any(str(target).startswith(str(folder)) for folder in folders):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    return folders


def test_full_for_a_while(tmp_path, data, full):
    t, said = runs.training(data), []
    with RunDirectory(tmp_path, said.append) as run:
        for record in t.run(6, threads=1):
            full[:] = [tmp_path] if record.epoch in (3, 4, 5) else []
            run.epoch(t)
            kept = record.epoch if record.epoch in (1, 2, 6) else 2
            assert checkpoint.resume(tmp_path, data).epoch == kept
        assert run.finish(t) == tmp_path
    assert len(said) == 2
    assert "checkpoint.npz cannot be written: No space left on device" in said[0]
    assert "training goes on, what was written before stays" in said[0]
    assert "can be written again" in said[1]


def test_full_to_the_end(tmp_path, full, monkeypatch):
    """The run goes on, and what it has is offered in another place, from where it can go on."""
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    file = runs.npz(tmp_path)
    arguments = ["train", "--data", str(file), *map(str, runs.SMALL), "--out", str(run)]
    full.append(run)
    result = CliRunner().invoke(main, [*arguments, "--epochs", "3"])
    assert result.exit_code == 1
    assert result.output.count("warning: ") == 1
    (saved,) = elsewhere.iterdir()
    assert f"the trained model is in {saved} instead" in result.output
    assert f"minivae train --resume --out {saved}" in result.output
    whole = runs.like_command(file)
    list(whole.run(3, threads=2))
    assert runs.state(checkpoint.resume(saved, whole.data)) == runs.state(whole)
    assert (saved / "history.csv").read_text().count("\n") == 4


def test_full_everywhere(tmp_path, data, full):
    t = runs.training(data)
    list(t.run(1, threads=1))
    full.append("/")
    with RunDirectory(tmp_path) as run, pytest.raises(WriteError, match="nor could the model"):
        run.finish(t)
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux's prlimit")
def test_limit_of_the_system(tmp_path):
    """A real limit on the size of files, set while a process trains: its checkpoint stays."""
    run, file = tmp_path / "run", runs.npz(tmp_path)
    process = runs.start("--data", file, *runs.SMALL, "--epochs", 12, "--out", run)
    assert process.stderr.readline().startswith("epoch 1/12")
    assert process.stderr.readline().startswith("epoch 2/12")  # so the first one is saved
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100, 100))
    _, said = process.communicate()
    assert process.returncode == 1
    assert said.count("warning: ") == 1 and "epoch 12/12" in said
    assert said.splitlines()[-1].startswith("Error: ") and "File too large" in said
    assert "Traceback" not in said and "Exception" not in said
    assert 1 <= checkpoint.read(run).config["training"]["epoch"] < 12


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="root may write anywhere")
def test_directory_without_permission(tmp_path):
    (tmp_path / "run").mkdir(mode=0o500)
    file = runs.npz(tmp_path)
    result = CliRunner().invoke(main, ["train", "--data", str(file), "--out", f"{tmp_path}/run"])
    assert result.exit_code == 1 and "cannot be written: Permission denied" in result.output


def test_numbers_that_go_wrong_keep_the_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("minivae.cli.train.draw_pictures", lambda *args: None)
    run, file = tmp_path / "run", runs.npz(tmp_path)
    arguments = ["train", "--data", str(file), *map(str, runs.SMALL), "--out", str(run)]
    assert CliRunner().invoke(main, [*arguments, "--epochs", "1"]).exit_code == 0
    before = (run / "checkpoint.npz").read_bytes()
    again = ["train", "--resume", "--out", str(run), "--epochs", "9", "--lr"]
    result = CliRunner().invoke(main, [*again, "1e30"])
    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert "not finite at epoch 2, step 2" in line and "keeps the last checkpoint" in line
    assert (run / "checkpoint.npz").read_bytes() == before
    assert CliRunner().invoke(main, [*again, "1e-4"]).exit_code == 0  # the remedy
    assert np.isfinite(checkpoint.read(run).config["history"][-1]).all()


@pytest.mark.parametrize("option", [
    "--lr nan", "--lr inf", "--beta inf", "--beta nan", "--beta -1", "--hidden 100000000,100000000",
    "--latent 1" + "0" * 30, "--hidden 1" + "0" * 400, "--threads 1000000000", "--resume",
    "--device 1", "--image-size 3x3", "--hidden " + ",".join(["2"] * 1100),
])  # fmt: skip
def test_an_option_that_cannot_be_leaves_no_directory(tmp_path, option):
    out, file = tmp_path / "run", runs.npz(tmp_path)
    arguments = ["train", "--data", str(file), "--out", str(out), *option.split()]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code in (1, 2) and result.output.splitlines()[-1].startswith("Error: ")
    assert not out.exists()


def test_resuming_what_is_not_there_leaves_no_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["train", "--data", str(runs.npz(tmp_path)), "--resume"])
    assert result.exit_code == 1 and "runs/tiny does not exist: train a model" in result.output
    assert not (tmp_path / "runs").exists()


# --- runs that come from others -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["link", "hard link", "dangling link", "pipe", "folder"])
def test_a_lock_that_is_a_trap(tmp_path, kind):
    """A received run whose lock leads elsewhere: what is there stays, and nothing waits."""
    precious, run = tmp_path / "precious", tmp_path / "run"
    precious.write_text("years of work")
    run.mkdir()
    lock = run / ".lock"
    make = {
        "link": lambda: lock.symlink_to(precious),
        "hard link": lambda: lock.hardlink_to(precious),
        "dangling link": lambda: lock.symlink_to(tmp_path / "new"),
        "pipe": lambda: os.mkfifo(lock),
        "folder": lock.mkdir,
    }
    make[kind]()
    with pytest.raises(WriteError, match="run cannot be written: "), RunDirectory(run):
        pass
    assert precious.read_text() == "years of work" and not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", [".z.\u00b2.part", ".part", ".x.part", ".z..part", ".z.-1.part"])
def test_odd_names_of_what_seems_half_written(tmp_path, name):
    (tmp_path / name).write_text("")
    (tmp_path / f".folder.{2**22 + 1}.part").mkdir()
    with RunDirectory(tmp_path):
        pass
    assert (tmp_path / name).exists()


def test_no_folder_for_temporary_files(tmp_path, data, full, monkeypatch):
    """The home directory is tried then."""
    t, run, home = runs.training(data), tmp_path / "run", tmp_path / "home"
    home.mkdir()
    list(t.run(1, threads=1))
    full.append(run)

    def none():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none)
    monkeypatch.setenv("HOME", str(home))
    with RunDirectory(run) as directory:
        assert directory.finish(t).parent == home


def test_memory_that_does_not_suffice_for_a_checkpoint(tmp_path, data, monkeypatch):
    t, said = runs.training(data), []
    list(t.run(1, threads=1))

    def refuse(*args, **kwargs):
        raise MemoryError

    with RunDirectory(tmp_path, said.append) as run:
        with monkeypatch.context() as patch:
            patch.setattr(np, "savez", refuse)
            assert not run.save(t)
        assert "out of memory; training goes on" in said[0]
        assert run.save(t)
    assert not list(tmp_path.glob(".*.part"))


def test_overwriting_leaves_nothing_of_the_old_run_to_resume(tmp_path):
    """Killed before its first checkpoint, the new run stands at its beginning: one state."""
    run, file = tmp_path / "run", runs.npz(tmp_path)
    arguments = ["train", "--data", str(file), *map(str, runs.SMALL), "--out", str(run)]
    assert CliRunner().invoke(main, [*arguments, "--epochs", "2"]).exit_code == 0
    rest = ("--overwrite", "--checkpoint-every", 1000, "--epochs", 100_000)
    process = runs.start("--data", file, *runs.SMALL, *rest, "--out", run)
    assert process.stderr.readline().startswith("epoch 1/")
    process.kill()
    process.communicate()
    assert checkpoint.read(run).config["training"]["epoch"] == 0
    again = ["train", "--resume", "--out", str(run), "--epochs", "1"]
    assert CliRunner().invoke(main, again).exit_code == 0
    whole = runs.like_command(file)
    list(whole.run(1, threads=2))
    assert runs.state(checkpoint.resume(run, whole.data)) == runs.state(whole)
