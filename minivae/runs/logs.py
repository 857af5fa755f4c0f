"""Records of epochs as other programs follow them: lines of JSON, or TensorBoard's events.

The run's own history.csv is directory.py's matter.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from minivae.errors import BackendError, WriteError, shown
from minivae.training import Record

Log = Callable[[Record], None]


def open_log(kind: str, folder: str | os.PathLike[str]) -> Log:
    """Return what writes a record into a folder; it is called once an epoch.

    A run that goes on adds to what is there: of an epoch that was taken twice, the last one counts.

    Parameters
    ----------
    kind : str
        "jsonl": one JSON object a line in log.jsonl. "tensorboard": an events file, one scalar
        for each number, such as "test/loss" (needs the package tensorboard).
    folder : path
        There must be one when the first record comes.

    Raises
    ------
    BackendError
        If the package tensorboard is missing.
    WriteError
        By the log, if it cannot be written.
    """
    line, name, first = (_json, "log.jsonl", b"") if kind == "jsonl" else _tensorboard(time.time())
    path = Path(folder) / name

    def log(record: Record) -> None:
        try:
            begin = b"" if path.exists() else first
            with open(path, "ab") as file:
                file.write(begin + line(record))
        except OSError as error:
            raise WriteError(f"{shown(path)} cannot be written: {error.strerror}") from None

    return log


def _json(record: Record) -> bytes:
    return json.dumps(record._asdict()).encode() + b"\n"


def _tensorboard(now: float) -> tuple[Callable[[Record], bytes], str, bytes]:
    """Return what makes events of records, the file's name, and what it begins with.

    The package's own writer would start a thread, and processes that share a step are not forked
    beside threads.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError:
        raise BackendError(
            "TensorBoard's events need its package: pip install tensorboard"
        ) from None

    def framed(**event: object) -> bytes:
        file = io.BytesIO()
        RecordWriter(file).write(Event(wall_time=time.time(), **event).SerializeToString())
        return file.getvalue()

    def line(record: Record) -> bytes:
        numbers = {
            name.replace("_", "/"): value
            for name, value in record._asdict().items()
            if name.startswith(("train_", "test_"))
        }
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in numbers.items()]
        return framed(step=record.epoch, summary=Summary(value=values))

    return line, f"events.out.tfevents.{now:.0f}.minivae", framed(file_version="brain.Event:2")
