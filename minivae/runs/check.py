"""Whether a run on the disk is whole: each file looked at as if somebody else had written it.

What a file must hold is for checkpoint.py and snapshots.py; nothing is mended here.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from minivae.data import NAMES, load_data
from minivae.errors import CheckpointError, DataError, shown
from minivae.runs import checkpoint, snapshots
from minivae.runs.directory import HISTORY
from minivae.storage.arrays import open_regular, read_npz
from minivae.storage.lock import orphan
from minivae.training import Record


class Finding(NamedTuple):
    """What was found of one thing, in words, and whether that is a fault."""

    thing: str
    said: str
    fault: bool = False


def check(path: str | os.PathLike[str]) -> Iterator[Finding]:
    """Look at a checkpoint, or at all of a run directory; yield a finding for each thing there.

    Parameters
    ----------
    path : path
        A run directory or a checkpoint file.
    """
    try:
        saved = checkpoint.read(path)
    except CheckpointError as error:
        yield Finding(checkpoint.FILE, str(error), True)
        return
    state = saved.config.get("training")
    where = f", epoch {state['epoch']}, step {state['step']}" if state else ", a model alone"
    yield Finding(checkpoint.FILE, f"whole{where}")
    if os.path.isdir(path):
        if state:
            yield _history(Path(path) / HISTORY, saved.config["history"])
        if (Path(path) / snapshots.FILE).exists():
            yield _frames(Path(path) / snapshots.FILE)
        for part in sorted(Path(path).glob(".*.part")):
            left = "left by a process that is no more: the next training removes it"
            yield Finding(shown(part.name), left if orphan(part) else "is being written")
    if "data" in saved.config:
        yield _data(saved)


def _history(path: Path, known: list[Record]) -> Finding:
    """Compare the table with the checkpoint's own; it may have epochs that came after."""
    try:
        with open_regular(path)[0] as file:
            names, *rows = csv.reader(file.read().decode().splitlines())
        written = [tuple(map(float, row)) for row in rows]
        if tuple(names) != Record._fields or written[: len(known)] != list(map(tuple, known)):
            raise ValueError
    except (DataError, OSError, ValueError, csv.Error):
        return Finding(HISTORY, "is not the checkpoint's history: --resume writes it anew", True)
    return Finding(HISTORY, f"{len(written)} epochs")


def _frames(path: Path) -> Finding:
    try:
        return Finding(path.name, f"{len(read_npz(path)['frames'])} frames")
    except (DataError, KeyError) as error:
        return Finding(path.name, str(error), True)


def _data(saved: checkpoint.Checkpoint) -> Finding:
    """Look whether the data are there, and those that the run was trained on."""
    known = saved.config["data"]
    source = known["source"] or (known["name"] in NAMES and known["name"])
    if not source:
        return Finding("data", "the checkpoint does not say where they lie")
    try:
        loaded = load_data(source, **saved.reading, units=saved.units)
        same = loaded.fingerprint == known["fingerprint"]
    except DataError as error:
        return Finding("data", str(error), True)
    said = "those that it was trained on" if same else "not what the run was trained on"
    return Finding("data", f"{shown(source)}: {said}", not same)
