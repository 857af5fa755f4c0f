"""Names that hold markup, terminals' escapes, newlines or no text: nothing of them comes out raw.

Every command that shows a name is run on a run, a data set and files of such names.
"""

import html
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import runs
from click.testing import CliRunner
from runs import thinned

from minivae.cli import main
from minivae.data import Dataset
from minivae.errors import MinivaeError
from minivae.looking.explore import explore_page
from minivae.runs import checkpoint
from minivae.training import Training

NAMES = [
    "=cmd|' C'!A0 <img src=x onerror=alert(1)> \x1b[31mred\x1b]0;title\x07 $\\frac$ {x} %s %(y)s",
    "--epochs\nError: lines \u202etxt.exe a\tb\r\x08\x7f\x9b31m",
    os.fsdecode(b"no \xff text"),
]
COMMANDS = {
    "evaluate": (), "info": (), "evaluate --json": (), "info --json": (), "trace": (),
    "sample": ("--out", "x.png"), "reconstruct": ("--out", "x.png"),
    "interpolate": ("--out", "x.png"), "encode": ("--out", "x.npz"),
    "trace --checks 1": ("--html", "x.html", "--png", "x.png"), "explore": ("--out", "x.html"),
    "traverse --all": ("--out", "x.png"), "manifold": ("--out", "x.png"),
    "export --to html": ("--out", "x.folder"),
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a model with two latent dimensions, and its data."""
    folder = tmp_path_factory.mktemp("names")
    file = runs.npz(folder)
    sizes = ("--hidden", "6", "--latent", "2", "--epochs", "1", "--threads", "1")
    result = CliRunner().invoke(
        main, ["train", "--data", str(file), *sizes, "--out", str(folder / "run")]
    )
    assert result.exit_code == 0, result.output
    return folder / "run", file


def invoke(arguments, code=0):
    """Run a command; what it prints must be lines of printable text, none of them an escape."""
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    assert result.output.endswith("\n")
    for line in result.output.splitlines():
        assert line.isprintable(), line
        assert not (line.startswith("Error: lines") and code == 0)
    return result.output


@pytest.mark.parametrize("name", thinned(NAMES, 2), ids=ascii)
def test_every_command_that_shows_a_name(trained, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / f"{name}.npz"
    shutil.copy(trained[1], data)
    folder = tmp_path / f"{name} $"
    shutil.copytree(trained[0], folder)
    out = tmp_path / f"{name} out"
    for command, files in COMMANDS.items():
        written = [out / one if "." in one else one for one in files]
        arguments = [*command.split()[:1], folder, *command.split()[1:], *written]
        if command.split()[0] not in ("sample", "info", "manifold"):
            arguments += ["--data", data]
        said = invoke(arguments)
        if "--json" in command:
            json.loads(said[said.index("{") :])
        if "x.html" in files:
            page = (out / "x.html").read_text("utf-8")  # it can be decoded, so no half characters
            inside = re.search(r"<title>(.*?)</title>", page, re.S)[1]
            assert "<" not in inside and inside.isprintable()
            assert "<img src=x" not in page
    assert len(list(out.iterdir())) >= 2
    invoke(["evaluate", tmp_path / name / "nothing"], 1)
    invoke(["evaluate", folder, "--data", tmp_path / name], 1)
    invoke(["sample", folder, "--out", folder], 2)
    invoke(["train", "--data", data, "--out", folder], 1)
    invoke([name], 2)
    invoke(["info", folder, name], 2)


@pytest.mark.parametrize("name", thinned(NAMES[1:], 2), ids=ascii)
def test_a_run_trained_and_resumed_under_such_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / f"{name}.npz"
    shutil.copy(runs.npz(tmp_path), data)
    sizes = ("--hidden", "6", "--latent", "2", "--threads", "1", "--snapshots")
    invoke(["train", "--data", data, *sizes, "--epochs", 1, "--out", name])
    invoke(["train", "--resume", "--data", data, "--epochs", 2, "--out", name])
    assert checkpoint.read(name).config["data"]["name"].isprintable()
    invoke(["train", "--resume", "--data", data, "--hidden", "7", "--out", name], 1)


def test_a_strict_terminal(trained, tmp_path):
    """What an encoding lacks is written as an escape: no traceback at the end of a long run."""
    out = os.fsencode(tmp_path / "é") + b"\xff.png"
    for encoding in ("utf-8:strict", "ascii:strict"):
        done = subprocess.run(
            [sys.executable, "-m", "minivae", "sample", trained[0], "--out", out],
            capture_output=True, cwd=runs.ROOT,
            env=os.environ | {"PYTHONPATH": str(runs.ROOT), "PYTHONIOENCODING": encoding},
        )  # fmt: skip
        assert done.returncode == 0 and done.stderr == b""
        assert b"64 samples in" in done.stdout and b"\xff" not in done.stdout
    assert os.path.exists(out)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_data_set_named_so_by_a_program(name):
    x = runs.images(40)
    data = Dataset(name, x, x[:20], None, None, (6, 6))
    t = runs.training(data)
    list(t.run(1, threads=1))
    page = explore_page(t.vae, data, name)
    assert "<img src=x" not in page and "\x1b" not in page
    page.encode()
    assert html.escape(name) in page or not name.isprintable()
    with pytest.raises(MinivaeError) as caught:
        Training(t.vae, Dataset(name, x[:, :9], x[:, :9], None, None, (3, 3)))
    assert str(caught.value).isprintable()


# --- output that cannot be written ----------------------------------------------------------------


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("command", [["--help"], ["info"], ["sample"]])
def test_a_full_disk_under_the_output(trained, tmp_path, command):
    rest = [trained[0], "--out", tmp_path / "x.png"] if command == ["sample"] else []
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "minivae", *command, *rest], stdout=full, stderr=subprocess.PIPE,
            text=True, cwd=runs.ROOT,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "Error: standard output: No space left on device\n"


@pytest.mark.parametrize("close", ["0<&- 1>&- 2>&-", "| head -n 0"])
def test_streams_that_are_closed(trained, tmp_path, close):
    command = f"{sys.executable} -m minivae sample {trained[0]} --out {tmp_path}/x.png {close}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=runs.ROOT)
    assert done.returncode == 0 or "|" in close
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    assert (tmp_path / "x.png").stat().st_size > 100
    assert np.fromfile(tmp_path / "x.png", np.uint8, 4).tobytes() == b"\x89PNG"
