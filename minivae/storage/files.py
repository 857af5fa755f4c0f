"""Files written whole or not at all: beside the target, flushed to the disk, then renamed.

What is in them is for others; everything this package writes goes through here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from minivae.errors import WriteError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when the block ends well, and vanishes otherwise.

    Missing folders are made.

    Raises
    ------
    WriteError
        If the target cannot be written, with the system's reason.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(beside, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)
    except OSError as error:
        shown = str(path) if str(path).isprintable() else ascii(str(path))
        reason = error.strerror or str(error)
        raise WriteError(f"{shown} cannot be written: {reason}") from error


def _flush_folder(folder: Path) -> None:
    """Make the new name survive a power cut, where the system lets folders be flushed."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
