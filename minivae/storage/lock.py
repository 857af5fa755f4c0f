"""Locks that end with the process that holds them, and files left by processes that are no more.

Which file is locked, and what is said to who comes second, is for the callers.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO


def open_lock(path: str | os.PathLike[str]) -> IO[str]:
    """Open the file of a lock, made where it is missing.

    Raises
    ------
    OSError
        If it cannot be opened, or is a link to something: whoever locks it writes into it.
    """
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe does not answer
    handle = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o666)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(handle)
        raise OSError(errno.EINVAL, f"its {Path(path).name} is no ordinary file")
    return os.fdopen(handle, "r+")


def take(file: IO[str]) -> bool:
    """Take the lock of an open file; False if another process has it.

    A process that has it gets it again, and loses it by closing the file anywhere. Where the
    system or the file system has no locks, every process gets it.
    """
    try:
        import fcntl
    except ImportError:
        return _take_on_windows(file)
    try:
        # Not flock: the copies of a process that share its work would inherit that lock, and hold
        # it for a while after it is dead.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN)
    return True


def _take_on_windows(file: IO[str]) -> bool:
    try:
        import msvcrt
    except ImportError:
        return True
    file.seek(1 << 30)  # beyond the text, which others may then read
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True


def orphan(part: Path) -> bool:
    """Whether the process whose number this file's name ends with is no more."""
    pid = part.name.split(".")[-2]
    if not (pid.isascii() and pid.isdigit()):
        return False
    if os.name == "nt" or pid == str(os.getpid()):
        return True
    try:
        os.kill(int(pid), 0)  # no signal: only asks whether one could be sent
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        pass
    return False
