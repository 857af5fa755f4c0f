"""IDX files, plain or gzipped: the format in which MNIST and its kin are published.

Which files make a data set, and what their arrays mean, is left to the data module.
"""

import os
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

import numpy as np

from minivae.errors import DataError, shown
from minivae.storage.arrays import CHUNK, expansion_limit, open_regular

_TYPES = {8: "uint8", 9: "int8", 11: "int16", 12: "int32", 13: "float32", 14: "float64"}


def read_idx(path: str | os.PathLike, ndim: int) -> np.ndarray:
    """Read an IDX file of unsigned bytes; compression is told by the content, not by the name.

    A gzip file must be one stream, checksum included, with nothing after it.

    Parameters
    ----------
    path
        The file.
    ndim
        The number of dimensions that it must have: 3 for images, 1 for labels.

    Returns
    -------
    numpy.ndarray
        uint8, in the shape that the header states.

    Raises
    ------
    DataError
        Missing, of another type, damaged, truncated, or promising more than its length can hold.
    """
    where = shown(path)
    file, length = open_regular(path)
    with file:
        try:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            chunks = gunzip(file, where) if zipped else iter(lambda: file.read(CHUNK), b"")
            return _assemble(chunks, expansion_limit(length) if zipped else length, ndim, where)
        except OSError as error:
            raise DataError(f"{where} cannot be read: {error.strerror}") from None
        except MemoryError:
            raise DataError(f"{where} holds an array too large for this machine") from None


def gunzip(file: BinaryIO, where: str) -> Iterator[bytes]:
    """Yield the content of a gzip stream in pieces of at most 1 MiB."""
    stream = zlib.decompressobj(31)  # 31: a gzip header and its checksum, largest window
    try:
        while not stream.eof:
            packed = stream.unconsumed_tail or file.read(CHUNK // 4)
            piece = stream.decompress(packed, CHUNK)  # may have more to give of what it has had
            if piece:
                yield piece
            elif not packed and not stream.eof:
                raise DataError(f"{where} is truncated: its gzip stream does not end")
    except zlib.error:
        raise DataError(f"{where} is damaged: its gzip stream does not decode") from None
    if stream.unused_data or file.read(1):
        raise DataError(f"{where} is damaged: bytes follow its gzip stream")


def _assemble(chunks: Iterator[bytes], limit: int, ndim: int, where: str) -> np.ndarray:
    """Put the chunks into an array whose size the header gives and `limit` bounds."""
    piece = next(chunks, b"")
    offset = 4 + 4 * ndim
    while len(piece) < offset and (more := next(chunks, b"")):
        piece += more
    if len(piece) < 4 or piece[:2] != b"\0\0" or piece[2] not in _TYPES:
        raise DataError(f"{where} is not an IDX file (its first bytes are not 0 0 and a type)")
    if _TYPES[piece[2]] != "uint8" or piece[3] != ndim:
        raise DataError(
            f"{where} holds {_TYPES[piece[2]]} values in {piece[3]} dimensions; "
            f"expected uint8 in {ndim}: is the file mislabelled?"
        )
    if len(piece) < offset:
        raise DataError(f"{where} is truncated within its header")
    shape = tuple(int.from_bytes(piece[i : i + 4], "big") for i in range(4, offset, 4))
    size = 1
    for n in shape:
        size *= n
    if offset + size > limit:
        raise DataError(
            f"{where} is truncated or lies: its header promises {size} bytes (shape {shape}), "
            f"its length allows {max(limit - offset, 0)}"
        )
    array = np.empty(size, np.uint8)
    done = 0
    for more in chain([piece[offset:]], chunks):  # the header alone may have been a piece
        if done + len(more) > size:
            raise DataError(f"{where} is damaged: bytes follow the end of its array")
        array[done : done + len(more)] = np.frombuffer(more, np.uint8)
        done += len(more)
    if done < size:
        raise DataError(f"{where} is truncated: {size - done} bytes are missing")
    return array.reshape(shape)
