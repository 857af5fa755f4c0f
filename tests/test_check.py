"""`minivae check`, data that are not a run's own any more, and the page of promises."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import runs
from click.testing import CliRunner

from minivae.cli import main
from minivae.runs import checkpoint
from minivae.storage import files

TESTS = Path(__file__).parent


def invoke(*arguments):
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.output.isascii() or result.output.replace("\n", "").isprintable()
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    file = runs.npz(folder)
    arguments = ("train", "--data", file, *runs.SMALL, "--epochs", 2, "--snapshots")
    assert invoke(*arguments, "--out", folder / "run")[0] == 0
    return folder / "run", file


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained[0], tmp_path / "run")
    return tmp_path / "run"


def test_a_whole_run(run, trained):
    code, said = invoke("check", run)
    assert code == 0
    assert said == (
        "ok    checkpoint.npz: whole, epoch 2, step 0\n"
        "ok    history.csv: 2 epochs\n"
        "ok    snapshots.npz: 3 frames\n"
        f"ok    data: {trained[1]}: those that it was trained on\n"
    )
    (run / ".loss.png.4194305.part").write_text("half")
    assert "loss.png.4194305.part: left by a process that is no more" in invoke("check", run)[1]
    code, said = invoke("check", run / "checkpoint.npz", "--json")
    assert code == 0 and [f["fault"] for f in json.loads(said)] == [False, False]
    checkpoint.save(run / "model.npz", checkpoint.load(run))
    assert invoke("check", run / "model.npz")[1] == ("ok    checkpoint.npz: whole, a model alone\n")


@pytest.mark.parametrize("name", ["checkpoint.npz", "history.csv", "snapshots.npz"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "gone", "a folder"])
def test_a_damaged_run(run, name, damage):
    path = run / name
    content = bytearray(path.read_bytes())
    path.unlink()
    if damage == "flipped":
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    elif damage == "a folder":
        path.mkdir()
    elif damage != "gone":
        path.write_bytes(content[: 100 if damage == "cut" else 0])
    code, said = invoke("check", run)
    if (name, damage) == ("snapshots.npz", "gone"):  # a run need not have any
        assert code == 0 and "snapshots" not in said
    else:
        assert code == 1
        (fault,) = [line for line in said.splitlines() if line.startswith("FAULT")]
        assert name in fault


def test_a_history_that_goes_on_after_the_checkpoint(run):
    with (run / "history.csv").open("a") as file:
        file.write("3" + ",1.0" * 8 + "\n")
    assert "ok    history.csv: 3 epochs" in invoke("check", run)[1]


def test_a_run_s_own_data_must_be_what_it_was_trained_on(trained, tmp_path):
    """One image put before the others, and most of the test part has been trained on."""
    run, out = tmp_path / "run", tmp_path / "page.html"
    x = runs.images(100).reshape(-1, 6, 6)
    np.save(tmp_path / "x.npy", x)
    train = ("train", "--data", tmp_path / "x.npy", *runs.SMALL, "--epochs", 1, "--out", run)
    assert invoke(*train)[0] == 0
    assert invoke("evaluate", run)[0] == 0
    np.save(tmp_path / "x.npy", np.concatenate([x[:1] ^ 1, x]))
    for command in ("evaluate", "explore", "trace", "encode", "train --resume"):
        writes = ("--out", out) if command in ("explore", "encode") else ()
        place = ("--out", run) if "train" in command else (run, *writes)
        code, said = invoke(*command.split(), *place)
        assert code == 1 and "is not what the run was trained on, or has changed since" in said
    assert not out.exists()
    assert "FAULT data: " in invoke("check", run)[1]
    code, said = invoke("evaluate", run, "--data", tmp_path / "x.npy")
    assert code == 0 and "note: " in said and "images of it may be among those" in said


def test_a_run_whose_data_s_path_cannot_be_printed(tmp_path):
    """It is never taken for a data set of the package that has the file's name."""
    folder = tmp_path / "\x1b"
    folder.mkdir()
    np.savez(folder / "mnist.npz", x_train=np.zeros((20, 784), np.uint8) + 7)
    sizes = ("--hidden", "2", "--latent", "2", "--epochs", "1", "--threads", "1")
    run = tmp_path / "run"
    assert invoke("train", "--data", folder / "mnist.npz", *sizes, "--out", run)[0] == 0
    code, said = invoke("evaluate", run)
    assert code == 1 and "name the data with --data" in said


def test_each_promise_names_a_test_that_is_there():
    page = (Path(files.__file__).parent / "README.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    named = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", page)
    assert len(rows) > 15 and all("::test_" in row for row in rows)
    for file, name in named:
        assert not name or f"def {name}(" in (TESTS / file).read_text(), (file, name)
