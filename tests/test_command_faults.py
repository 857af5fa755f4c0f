"""Every command that writes, on a disk that fails at each system call in turn; and closed streams.

The commands are found by what their options are: see misuse.py.
"""

import errno
import os
import subprocess
import sys

import faults
import misuse
import pytest
import runs
from click.testing import CliRunner

from minivae.cli import main
from minivae.storage import files

# The option by which a command is told where to write, and what else it needs then.
OUT = ("--out", "--html", "--png", "--plot")
NAMES = {"--out": "out.png", "--html": "out.html", "--png": "out.png", "--plot": "out.png"}
ENDINGS = {("encode",): "out.npz", ("explore",): "out.html", ("play",): "out.html",
           ("anomalies",): "out.csv", ("train",): "out", ("learn",): "out", ("export",): "out",
           ("course", "new"): "out"}  # fmt: skip
LEFT_OUT = {
    ("impute",): "needs a table",
    ("exercise", "build"): "needs four solved exercises",
    ("course", "grade"): "needs submissions",
}
WRITES = [
    (words, next((name for one in command.params for name in one.opts if name in OUT), "folder"))
    for words, command in misuse.commands()
    if words not in LEFT_OUT and any(name in OUT for one in command.params for name in one.opts)
] + [(("course", "new"), "folder")]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    return misuse.prepare(folder)


def arguments(words, option, right, needs, out):
    command = dict(misuse.commands())[words]
    one = next(p for p in command.params if option in p.opts)
    return misuse.line(words, command, one, str(out), right, needs)


@pytest.mark.parametrize("every", [17, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("words", "option"), WRITES, ids=lambda one: "".join(one))
def test_every_call_failing_in_turn(given, tmp_path, monkeypatch, words, option, every):
    """One line or success; no traceback, and no part of a file left."""
    right, needs = given
    monkeypatch.chdir(tmp_path)
    tried, nth = 0, len("".join(words)) % every
    if every > 1 and words[0] in ("learn", "train", "trace", "gradcheck", "play", "course"):
        pytest.skip("each try takes seconds: the long form has it")
    while True:
        number = (errno.ENOSPC, errno.EIO, errno.EACCES)[nth % 3]
        out = tmp_path / str(nth) / ENDINGS.get(words, NAMES.get(option, "out"))
        with faults.faults(nth, OSError(number, os.strerror(number))) as found:
            result = CliRunner().invoke(main, arguments(words, option, right, needs, out))
        told = result.exception, result.output, found.failed, number
        assert result.exception is None or isinstance(result.exception, SystemExit), told
        lines = [one for one in result.output.splitlines() if one.startswith("Error: ")]
        assert len(lines) == (result.exit_code != 0), told
        assert found.failed == "unlink" or not list(tmp_path.rglob("*.part")), told
        if found.failed is None:
            break
        nth, tried = nth + every, tried + 1
    print(f"{tried} faults in {' '.join(words)}")
    assert tried > 0


def test_every_command_that_writes_is_here():
    """A command without such an option writes nothing, or says here why it is not tried."""
    tried = {words for words, _ in WRITES} | set(LEFT_OUT)
    quiet = {("evaluate",), ("info",), ("check",), ("compare",), ("exercise", "list"),
             ("exercise", "start"), ("exercise", "check"), ("exercise", "hint")}  # fmt: skip
    assert {words for words, _ in misuse.commands()} <= tried | quiet
    assert files.__name__ == "minivae.storage.files"


# --- streams and surroundings --------------------------------------------------------------------


def shell(text, **environment):
    """Run a line of the shell in which $MINIVAE is the command."""
    known = os.environ | {"PYTHONPATH": str(runs.ROOT), "MINIVAE": f"{sys.executable} -m minivae"}
    return subprocess.run(
        ["bash", "-c", text], env={k: v for k, v in (known | environment).items() if v is not None},
        capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(("text", "environment", "said"), [
    ("$MINIVAE info --parts | head -1", {}, ""),
    ("$MINIVAE info <&- >&- 2>&-", {}, ""),
    ("$MINIVAE info > /dev/full", {}, "No space left on device"),
    ("$MINIVAE info", {"HOME": None, "TMPDIR": "/nowhere"}, ""),
    ("cd $(mktemp -d) && rmdir $PWD && $MINIVAE info", {}, ""),
    ("ulimit -v 200000; $MINIVAE train --hidden 9000,9000 --epochs 1 --out /dev/null/x", {}, ""),
], ids=["head", "closed", "full", "no home", "no folder", "no memory"])  # fmt: skip
def test_streams_and_surroundings(text, environment, said):
    done = shell(text, **environment)
    assert "Traceback" not in done.stderr and said in done.stderr
    assert len(done.stderr.splitlines()) <= 2
