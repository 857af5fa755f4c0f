"""Files written whole or not at all: beside the target, flushed to the disk, then renamed.

What is in them is for others; everything this package writes goes through here.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from minivae.errors import WriteError, shown

# What a file system says that has no use for a flush of a folder, or forbids looking into it.
NO_FLUSH = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM}
KINDS = {"d": "a folder", "l": "a link", "p": "a pipe", "s": "a socket"}


class _Raw(io.FileIO):
    """A file that keeps its first error, and lets what follows vanish.

    Who writes (zipfile, NumPy) would meet the error again while cleaning up, where nobody catches
    it, and print it. So `replacing` asks for it at the end.
    """

    error: OSError | None = None

    def write(self, data) -> int:
        if self.error is None:
            try:
                return os.write(self.fileno(), data)
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when the block ends well, and vanishes otherwise.

    Missing folders are made. A file that is replaced hands on its permissions; what is no ordinary
    file (a link, a device) is not replaced.

    Raises
    ------
    WriteError
        If the target cannot be written, with the system's reason.
    """
    path = Path(path)
    if not path.name or "\0" in str(path):
        raise WriteError(f"{shown(path)!r} is no name of a file")
    # No other process can know the name, and no link of that name is followed ("x"); it ends with
    # the number of the process, so that what a dead one left is known: lock.py.
    beside = path.with_name(f".{path.name[:40]}.{os.urandom(4).hex()}.{os.getpid()}.part")
    try:
        make_folder(path.parent)
        mode = _mode(path)
        with _Raw(beside, "x") as raw:
            try:
                with io.BufferedWriter(raw) as file:
                    if mode is not None:
                        with suppress(OSError):  # a file system without permissions
                            os.chmod(beside, mode)
                    yield file
                    file.flush()
                    if raw.error is not None:
                        raise raw.error
                    os.fsync(raw.fileno())
                os.replace(beside, path)
            except BaseException:
                with suppress(OSError):
                    beside.unlink(missing_ok=True)
                raise
        _flush(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteError(f"{shown(path)} cannot be written: {reason}") from error


def make_folder(folder: str | os.PathLike[str]) -> None:
    """Make a folder and those above it that are missing, so that they survive a power cut.

    Raises
    ------
    OSError
        If that cannot be.
    """
    folder = Path(folder)
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        _flush(place.parent)


def _mode(path: Path) -> int | None:
    """Return the permissions of the file that is there, None if there is none."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.filemode(mode)[0], "a device")
        raise WriteError(f"{shown(path)} is {kind}, which is not replaced by a file: name another")
    return stat.S_IMODE(mode)


def _flush(folder: Path) -> None:
    """Make new names survive a power cut, where the system lets folders be flushed."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in NO_FLUSH:
            raise
