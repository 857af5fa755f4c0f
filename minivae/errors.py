"""The errors that a user can meet, each a sentence that names the thing and the remedy.

Every other module raises these; the command line prints them as one line and leaves with status 1.
"""

from __future__ import annotations

import os


def shown(path: str | os.PathLike[str]) -> str:
    """Give a path as one printable line, whatever characters the file's owner chose."""
    text = os.fspath(path)
    return text if text.isprintable() else ascii(text)


class MinivaeError(Exception):
    """Base of all errors raised on purpose: one line that names the thing and the remedy."""


class ArgumentError(MinivaeError, ValueError):
    """An argument that cannot be: a batch size below 1, a shape that does not fit."""


class DataError(MinivaeError, ValueError):
    """Data that cannot be had or read: missing, damaged, of another size, out of range."""


class CheckpointError(MinivaeError, ValueError):
    """A checkpoint that is none, is damaged, or belongs to another model or version."""


class WriteError(MinivaeError):
    """A file that cannot be written: a full disk, a folder without permission."""


class BackendError(MinivaeError, RuntimeError):
    """A backend that this machine cannot offer, with what to install."""


class NotFiniteError(MinivaeError, ArithmeticError):
    """A loss or gradient that is not finite, with the step, the tensor and the likely remedy."""
