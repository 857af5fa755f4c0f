"""The parent's side of a child process that runs a student's code: started, asked, ended in time.

What happens in the child is in child.py; what the outcome is worth is for verdict.py.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import minivae
from minivae.teaching.exercises.child import PATIENCE

SECONDS = 20.0  # for one answer; the slowest of the solutions needs half a second
_GRACE = 5.0  # until a child that does not even report is killed


@dataclass
class Failure:
    """Why an answer could not be tried to its end.

    Attributes
    ----------
    kind : str
        "raised", "shape", "hung", "forbidden", "died" or "missing".
    message : str
        One line that follows the file's name.
    line : int or None
        Of the student's file.
    traceback : str
        The student's own part of it.
    advice : list of str
        What the shapes are, and what would fit.
    """

    kind: str
    message: str
    line: int | None = None
    traceback: str = ""
    advice: list[str] = field(default_factory=list)


@dataclass
class Finding:
    """What the gradient checker says of one gradient: see gradcheck's Entry."""

    name: str
    passed: bool
    cause: str | None
    sentence: str
    error: float


@dataclass
class Outcome:
    """What a run gave: numbers by name, the checker's findings, contracts broken, a failure.

    `changed` has the function, the position and the name of each argument that was written into.
    """

    numbers: dict[str, np.ndarray] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    contracts: list[str] = field(default_factory=list)
    changed: list[tuple[str, int, str]] = field(default_factory=list)
    failure: Failure | None = None
    printed: str = ""
    trace: list[str] = field(default_factory=list)
    right: list[list[str]] = field(default_factory=list)  # the numbers, for each change tried


class Sandbox:
    """A child process that tries answers one after another, and a new one when it has died.

    Use it in a `with` block. It is started when it is first asked. `turn` is a lock that the
    caller holds; others have it while the child is waited for.
    """

    def __init__(
        self, seconds: float = SECONDS, module: str = "tried", turn: threading.Lock | None = None
    ) -> None:
        self.seconds, self.module = seconds, f"minivae.teaching.exercises.{module}"
        self.turn = turn
        self.child: subprocess.Popen | None = None

    def __enter__(self) -> Sandbox:
        """Return itself."""
        return self

    def __exit__(self, *error: Any) -> None:
        """End the child."""
        self._end()

    def run(self, source: str, path: Path, **job: Any) -> Outcome:
        """Run a source in the child, as if it stood at `path`; `job` is what else to know."""
        token = secrets.token_hex(8)
        sent = {"source": source, "path": str(path), "token": token, "seconds": self.seconds, **job}
        child = self._child()
        late = threading.Timer(PATIENCE * self.seconds + _GRACE, child.kill)
        late.start()
        try:
            child.stdin.write(json.dumps(sent) + "\n")
            child.stdin.flush()
            while line := self._line(child):
                if token in line:
                    found = json.loads(line)
                    if "last" in found:  # the child ends itself
                        self._end()
                    return _outcome(found)
        except (OSError, ValueError):  # it died while it was written to, or wrote nonsense
            pass
        finally:
            hung = not late.is_alive()
            late.cancel()
        self._end()
        if hung or child.returncode == -getattr(signal, "SIGXCPU", 0):
            return Outcome(failure=Failure("hung", f"did not end within {self.seconds:g} seconds"))
        return Outcome(failure=Failure("died", "ended its own process before it was judged"))

    def _line(self, child: subprocess.Popen) -> str:
        """Return what the child says next, "" at its end; others have their turn meanwhile."""
        if self.turn is None:
            return child.stdout.readline()
        self.turn.release()
        try:
            return child.stdout.readline()
        finally:
            self.turn.acquire()

    def _child(self) -> subprocess.Popen:
        if self.child is None or self.child.poll() is not None:
            self._end()
            self._folder = tempfile.TemporaryDirectory(prefix="minivae-")
            source = str(Path(minivae.__file__).parent.parent)
            paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
            threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
            self.child = subprocess.Popen(
                [sys.executable, "-m", self.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                cwd=self._folder.name,
                env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)},
                start_new_session=True,  # Ctrl-C is for the parent, which ends the child
            )
        return self.child

    def _end(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            for pipe in (self.child.stdin, self.child.stdout):
                with suppress(OSError):
                    pipe.close()
            self._folder.cleanup()
            self.child = None


def _outcome(found: dict[str, Any]) -> Outcome:
    failure = found.get("failure")
    return Outcome(
        {
            name: np.array(one["data"], float).reshape(one["shape"])
            for name, one in found.get("numbers", {}).items()
        },
        [Finding(**one) for one in found.get("findings", [])],
        found.get("contracts", []),
        [tuple(one) for one in found.get("changed", [])],
        Failure(**failure) if failure else None,
        found.get("printed", ""),
        found.get("trace", []),
        found.get("right", []),
    )
