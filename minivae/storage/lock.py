"""Locks that end with the process that holds them, and files left by processes that are no more.

Which file is locked, and what is said to who comes second, is for the callers.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import IO


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
    if os.name == "nt" or pid == str(os.getpid()) or not pid.isdigit():
        return pid.isdigit()
    try:
        os.kill(int(pid), 0)  # no signal: only asks whether one could be sent
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        pass
    return False
