"""Named arrays and one JSON object in a sealed .npz: any change of their content is noticed.

What they mean is for checkpoint.py; safe parsing of the arrays is for arrays.py, writing whole or
not at all for files.py. NumPy opens these files like any .npz.

The zip's own checksums do not cover its names and headers. So one more member, "sha256", holds the
SHA-256 of the names, types, shapes and bytes of all others.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from minivae.errors import ArgumentError, CheckpointError, DataError, shown
from minivae.storage.arrays import MAX_MEMBERS, read_npz
from minivae.storage.files import replacing

CONFIG, SEAL = "config", "sha256"
MAX_CONFIG = 64 << 10  # bytes of JSON


def write(
    path: str | os.PathLike[str], config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write both to a file that appears whole or not at all.

    Raises
    ------
    ArgumentError
        If there are more arrays, or a longer configuration, than `read` takes back.
    WriteError
        If the file cannot be written.
    """
    text = json.dumps(config, allow_nan=False, default=np.generic.item).encode()
    judge(len(arrays), len(text))
    members = {**arrays, CONFIG: np.frombuffer(text, np.uint8)}
    members[SEAL] = np.frombuffer(_digest(members), np.uint8)
    with replacing(path) as file:
        np.savez(file, **members)


def judge(arrays: int, described: int = 0) -> None:
    """Raise ArgumentError if so many arrays, or bytes of configuration, would not be read back."""
    if arrays + 2 > MAX_MEMBERS or described > MAX_CONFIG:
        raise ArgumentError(
            f"a model of {arrays} arrays, described by {described} bytes, cannot be saved: "
            f"the most is {MAX_MEMBERS - 2} arrays and {MAX_CONFIG} bytes"
        )


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return configuration and arrays of a file that `write` made.

    No more memory is taken than a few times the file's length.

    Raises
    ------
    CheckpointError
        If the file is missing, is something else, or if any bit of a name, a type, a shape or a
        number differs from what was written. (What a zip says besides, such as times, is not read.)
    """
    where = shown(path)
    try:
        arrays = read_npz(path, compressed=False)
    except DataError as error:
        raise CheckpointError(str(error)) from None
    seal = arrays.pop(SEAL, None)
    if seal is None or CONFIG not in arrays:
        raise CheckpointError(f"{where} is not a minivae checkpoint: it lacks its seal (sha256)")
    if seal.dtype != np.uint8 or seal.tobytes() != _digest(arrays):
        raise CheckpointError(f"{where} is damaged: its content does not match its SHA-256")
    text = arrays.pop(CONFIG)
    try:
        if text.dtype != np.uint8 or text.ndim != 1 or text.nbytes > MAX_CONFIG:
            raise ValueError("not a short text")
        config = json.loads(text.tobytes().decode(), parse_constant=_refuse)
        if not isinstance(config, dict):
            raise ValueError("no object")
    except (ValueError, RecursionError):
        raise CheckpointError(
            f"{where} is not a minivae checkpoint: its configuration is no JSON object"
        ) from None
    return config, arrays


def _digest(arrays: Mapping[str, np.ndarray]) -> bytes:
    sha = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        sha.update(f"{name} {array.dtype.name} {array.shape};".encode())
        sha.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).data)
    return sha.digest()


def _refuse(constant: str) -> None:
    raise ValueError(constant)
