"""The directory of a run: who may write there, when a checkpoint is due, and if it cannot be.

It holds `checkpoint.npz`, `history.csv` and pictures. What is in a checkpoint is checkpoint.py's
matter, progress and signals are the command line's.
"""

from __future__ import annotations

import csv
import io
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, NamedTuple

from minivae.errors import ArgumentError, MinivaeError, WriteError, shown
from minivae.runs import checkpoint
from minivae.runs.logs import Log
from minivae.storage.files import make_folder, replacing
from minivae.storage.lock import open_lock, orphan, take
from minivae.training import Record, Training

HISTORY, LOCK = "history.csv", ".lock"


class Cadence(NamedTuple):
    """How often a checkpoint is written: every `count` epochs, or steps of the whole run."""

    count: int = 1
    unit: str = "epochs"

    @classmethod
    def parse(cls, text: str) -> Cadence:
        """Read "5", "5epochs" or "500steps".

        Raises
        ------
        ArgumentError
            If the text is none of these.
        """
        found = re.fullmatch(r"([1-9][0-9]{0,9}) ?(epochs?|steps?)?", text.strip())
        if not found:
            raise ArgumentError(f"{text!r}: give a number of epochs or steps: 1, 5epochs, 500steps")
        return cls(int(found[1]), "steps" if (found[2] or "").startswith("step") else "epochs")

    def due(self, training: Training) -> bool:
        """Whether a checkpoint is due where the training stands: after a step, or an epoch.

        Ranks that meet every few steps alone ask only there, for the steps since the last time.
        """
        if self.unit == "epochs":
            return training.step == 0 and training.epoch % self.count == 0
        before, every = training.epoch * training.steps_per_epoch, training.average_every
        asked = before + (training.step - 1) // every * every
        return training.step > 0 and (before + training.step) // self.count > asked // self.count


EVERY_EPOCH = Cadence()
_held: set[Path] = set()  # directories locked by this process: its locks do not stop itself


class RunDirectory:
    """A directory into which one process at a time writes the results of one training.

    Use it as a context: entering makes the directory and takes its lock, and removes what a
    process that was killed left half written. The lock vanishes with the process that holds it.

    Parameters
    ----------
    path : path
        The directory.
    notice : callable
        Called with each message for the user.
    cadence : Cadence
        When `step` and `epoch` write a checkpoint.
    logs : sequence of callable
        Each is called with the record of every epoch: see logs.py.

    Raises
    ------
    MinivaeError
        On entering, if another process is at work there; `WriteError` if it cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        notice: Callable[[str], None] = lambda line: None,
        cadence: Cadence = EVERY_EPOCH,
        logs: Sequence[Log] = (),
    ) -> None:
        self.path, self.notice, self.cadence, self.logs = Path(path), notice, cadence, logs
        self.failed: WriteError | None = None  # why the last file could not be written
        self._lock: IO[str] | None = None
        self._saved: tuple[int, int] | None = None  # epoch and step of the last checkpoint

    @property
    def checkpoint(self) -> Path:
        """The checkpoint's file, whether it exists or not."""
        return self.path / checkpoint.FILE

    def __enter__(self) -> RunDirectory:  # noqa: D105
        try:
            make_folder(self.path)
            if self.path.resolve() in _held:
                raise self._in_use(str(os.getpid()))
            with ExitStack() as stack:
                lock = stack.enter_context(open_lock(self.path / LOCK))
                if not take(lock):
                    raise self._in_use(lock.read(20).strip())
                lock.truncate(0)
                lock.write(f"{os.getpid()}\n")
                lock.flush()
                for part in self.path.glob(".*.part"):
                    if orphan(part):
                        with suppress(OSError):
                            part.unlink()
                self._lock = lock
                _held.add(self.path.resolve())
                stack.pop_all()
        except OSError as error:
            raise WriteError(f"{shown(self.path)} cannot be written: {error.strerror}") from None
        return self

    def __exit__(self, *error: object) -> None:  # noqa: D105
        if self._lock is not None:
            self._lock.close()
            _held.discard(self.path.resolve())

    def _in_use(self, pid: str) -> MinivaeError:
        return MinivaeError(
            f"{shown(self.path)} is in use by another training"
            f"{f' (process {pid})' if pid.isdigit() else ''}: wait for it, stop it, or "
            "choose another directory with --out"
        )

    def step(self, training: Training) -> None:
        """Write a checkpoint if one is due after this step."""
        if self.cadence.due(training):
            self.save(training)

    def epoch(self, training: Training) -> None:
        """Write the history and the logs, and a checkpoint if one is due after this epoch."""
        if self.cadence.due(training):
            self.save(training)
        else:
            self.write_history(training.history)
        try:
            for log in self.logs:
                log(training.history[-1])
        except WriteError as error:
            self._warn(error)

    def save(self, training: Training) -> bool:
        """Write checkpoint and history; on failure say so once, and return False.

        The checkpoint written before stays as it is until the new one is whole.
        """
        try:
            checkpoint.save(self.checkpoint, training.vae, training)
        except WriteError as error:
            self._warn(error)
            return False
        except MemoryError:
            self._warn(WriteError(f"{shown(self.checkpoint)} cannot be written: out of memory"))
            return False
        self._saved = (training.epoch, training.step)
        if self.write_history(training.history) and self.failed is not None:
            self.notice(f"{shown(self.path)} can be written again")
            self.failed = None
        return True

    def write_history(self, history: list[Record]) -> bool:
        """Write one line an epoch as comma-separated values, under a line of names.

        The whole file each time, so that an epoch taken twice, after a resumption, stands once.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(Record._fields)
        writer.writerows(history)
        try:
            with replacing(self.path / HISTORY) as file:
                file.write(text.getvalue().encode())
        except WriteError as error:
            self._warn(error)
            return False
        return True

    def finish(self, training: Training) -> Path:
        """Write the last checkpoint, here or, if that fails, elsewhere; return its directory.

        Raises
        ------
        WriteError
            If it could be written nowhere.
        """
        if self._saved == (training.epoch, training.step) or self.save(training):
            return self.path
        for parent in (None, os.path.expanduser("~")):  # None: where temporary files belong
            try:
                other = Path(tempfile.mkdtemp(prefix="minivae-", dir=parent))
            except OSError:
                continue
            if RunDirectory(other).save(training):
                return other
            with suppress(OSError):
                other.rmdir()
        raise WriteError(f"{self.failed}; nor could the model be saved anywhere else")

    def _warn(self, error: WriteError) -> None:
        if self.failed is None:
            self.notice(f"warning: {error}; training goes on, what was written before stays")
        self.failed = error
