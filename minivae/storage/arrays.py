"""Arrays out of .npy and .npz files: parsed without pickle, sizes checked before memory is taken.

What an array means (pixels, labels, parameters) is left to the data sets and to the checkpoints.

A file is believed only as far as its length allows. A plain array must fill the file exactly. A
compressed one may promise at most what deflate can hold (1032 bytes for one, so that wholly black
images pass) and never more than `expansion_limit`: 256 MiB, or 100 times the file if that is more.
"""

import io
import os
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from minivae.errors import DataError, shown

DEFLATE_RATIO = 1032  # deflate's own bound: 258 bytes for 2 bits
FREE_EXPANSION = 256 << 20
MAX_RATIO = 100
MAX_HEADER = 1000  # of a plain array's, NumPy's own has 128 bytes
MAX_MEMBERS = 4096
CHUNK = 1 << 20

_ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError,
    NotImplementedError, RuntimeError, OverflowError, LookupError,
)  # fmt: skip


def expansion_limit(compressed: int) -> int:
    """Give the most bytes that `compressed` bytes of deflate are allowed to become."""
    possible = DEFLATE_RATIO * compressed + 1024
    return min(possible, max(FREE_EXPANSION, MAX_RATIO * compressed))


def open_regular(path: str | os.PathLike) -> tuple[BinaryIO, int]:
    """Open an ordinary file for reading and give its length; no pipe, no device, no folder.

    Raises
    ------
    DataError
        The file is missing, cannot be read, or is none.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise DataError(f"{shown(path)} is not an ordinary file")
        file = open(os.fspath(path), "rb")  # noqa: SIM115 (the caller closes it)
        return file, os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{shown(path)} cannot be read: {reason}") from None


def _header(file: BinaryIO, where: str) -> tuple[tuple[int, ...], np.dtype, bool, int]:
    """Read a .npy header; gives shape, dtype, whether Fortran order, and the header's length."""
    start = file.read(8)
    if len(start) < 8 or start[:6] != b"\x93NUMPY":
        raise DataError(f"{where} is not a .npy array (its first bytes are not NumPy's)")
    if start[6] not in (1, 2, 3) or start[7] != 0:
        raise DataError(f"{where} has .npy format version {start[6]}.{start[7]}; known are 1 to 3")
    width = 2 if start[6] == 1 else 4
    count = file.read(width)
    length = int.from_bytes(count, "little")
    if length > MAX_HEADER:
        raise DataError(f"{where} has a .npy header of {length} bytes; the most is {MAX_HEADER}")
    text = io.BytesIO(count + file.read(length))
    parse = npy.read_array_header_1_0 if width == 2 else npy.read_array_header_2_0
    try:
        with warnings.catch_warnings():  # Python's own, of odd escapes and the like
            warnings.simplefilter("ignore")
            shape, fortran, dtype = parse(text)
    except Exception:  # NumPy has it parsed as Python, which has many words for nonsense
        raise DataError(
            f"{where} is damaged, or not a plain array of numbers (its .npy header)"
        ) from None
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise DataError(
            f"{where} holds elements of type {dtype.str!r}; only plain numbers are read "
            f"(save it as uint8 or float32)"
        )
    if len(shape) > 32:
        raise DataError(f"{where} has {len(shape)} dimensions; the most is 32")
    if not all(type(n) is int and 0 <= n < 1 << 64 for n in shape):
        raise DataError(f"{where} is damaged: no array has the shape {shape!a:.60}")
    return shape, dtype, fortran, 8 + width + length


def _size(shape: tuple[int, ...], dtype: np.dtype) -> int:
    size = dtype.itemsize
    for n in shape:
        size *= n
    return size


def fill(file: BinaryIO, target: np.ndarray, where: str) -> None:
    """Read exactly `target` (contiguous) from `file` by chunks; the file must end with it."""
    # Through bytes: a memoryview of a zero-sized or odd dtype cannot be cast.
    view = memoryview(target.reshape(-1, order="A").view(np.uint8)) if target.size else b""
    done = 0
    while done < len(view):
        piece = file.read(min(CHUNK, len(view) - done))
        if not piece:
            raise DataError(f"{where} is truncated: {len(view) - done} bytes are missing")
        view[done : done + len(piece)] = piece
        done += len(piece)
    if file.read(1):
        raise DataError(f"{where} is damaged: bytes follow the end of its array")


def _read_array(file: BinaryIO, length: int, where: str) -> np.ndarray:
    shape, dtype, fortran, offset = _header(file, where)
    size = _size(shape, dtype)
    if offset + size != length:
        state = "truncated" if offset + size > length else "damaged"
        raise DataError(
            f"{where} is {state}: an array of shape {shape} and type {dtype.name} needs "
            f"{offset + size} bytes, it has {length}"
        )
    if fortran and len(shape) > 1:
        columns = np.empty(shape[::-1], dtype)
        fill(file, columns, where)
        array = np.ascontiguousarray(columns.T)
    else:
        array = np.empty(shape, dtype)
        fill(file, array, where)
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def read_npy(path: str | os.PathLike) -> np.ndarray:
    """Read a .npy file into memory.

    Fortran order and foreign byte order are converted (for a moment the array is held twice).

    Returns
    -------
    numpy.ndarray
        In C order and native byte order; numbers or booleans.

    Raises
    ------
    DataError
        Missing, damaged, truncated, with bytes to spare, or with elements other than numbers.
    """
    where = shown(path)
    file, length = open_regular(path)
    with file:
        try:
            return _read_array(file, length, where)
        except OSError as error:
            raise DataError(f"{where} cannot be read: {error.strerror}") from None
        except (MemoryError, ValueError, OverflowError) as error:
            raise _too_large(error, where) from None


def map_npy(path: str | os.PathLike) -> np.ndarray:
    """Map a .npy file read-only: its rows come from the disk when they are used.

    Raises
    ------
    DataError
        As `read_npy`; and Fortran order or foreign byte order, which only a copy could mend.
    """
    where = shown(path)
    file, length = open_regular(path)
    with file:
        shape, dtype, fortran, offset = _header(file, where)
        if offset + _size(shape, dtype) != length:
            raise DataError(f"{where} is damaged: its header does not fit its {length} bytes")
        if (fortran and len(shape) > 1) or not dtype.isnative or 0 in shape:
            raise DataError(
                f"{where} cannot be used in place (Fortran order, foreign byte order or empty): "
                f"save it again with np.save(path, np.ascontiguousarray(array))"
            )
        try:
            mapped = np.memmap(file, dtype, "r", offset, shape)
        except (OSError, ValueError, OverflowError) as error:
            raise DataError(f"{where} cannot be mapped: {error}") from None
    return np.asarray(mapped)


class _Cautious(io.BufferedReader):
    """Refuses to read a directory of millions of members, which zipfile would do at once."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > 2 * CHUNK:
            raise zipfile.BadZipFile(f"its directory has {size} bytes, too many")
        return super().read(size)


def _members(
    archive: zipfile.ZipFile, length: int, where: str, compressed: bool
) -> dict[str, zipfile.ZipInfo]:
    """Check a zip's directory against the file's length; gives its arrays by name."""
    members: dict[str, zipfile.ZipInfo] = {}
    packed = unpacked = 0
    if len(archive.infolist()) > MAX_MEMBERS:
        raise DataError(f"{where} holds more than {MAX_MEMBERS} arrays")
    for info in archive.infolist():
        name, dot, kind = info.filename.rpartition(".")
        steps = name.split("/")
        plain = name.isprintable() and "\\" not in name and not {"", ".", ".."} & set(steps)
        if (dot, kind) != (".", "npy") or not plain:
            raise DataError(f"{where} has a member that is no array: {info.filename!a}")
        if name in members:
            raise DataError(f"{where} has two members named {name!r}")
        if info.comment or len(info.extra) >= 46:  # the length of another member's entry
            raise DataError(f"{where} is damaged: remarks on {name!r} hide what follows it")
        stored = info.compress_type == zipfile.ZIP_STORED
        if info.flag_bits & 0x1 or not (stored or info.compress_type == zipfile.ZIP_DEFLATED):
            raise DataError(f"{where} has a member {name!r} that is encrypted or oddly compressed")
        if not (stored or compressed):
            raise DataError(f"{where} has a compressed member {name!r}; here none may be")
        members[name] = info
        packed += info.compress_size
        unpacked += info.file_size
    if packed > length or unpacked > expansion_limit(length):
        raise DataError(
            f"{where} would expand from {length} to {unpacked} bytes; the most allowed is "
            f"{expansion_limit(length)}: save it with np.savez, uncompressed"
        )
    return members


def list_npz(path: str | os.PathLike) -> list[str]:
    """Give the names of the arrays in an .npz file, in its order."""
    return list(_open_npz(path, names=()))


def read_npz(
    path: str | os.PathLike, names: Iterable[str] | None = None, *, compressed: bool = True
) -> dict[str, np.ndarray]:
    """Read arrays of an .npz file into memory; every byte is covered by the zip's checksums.

    Parameters
    ----------
    path
        The file; stored or deflated members, no encryption.
    names
        The arrays wanted (those that the file lacks are left out); all of them when None.
    compressed
        Whether deflated members are accepted; without them no more memory is taken than the
        file is long.

    Raises
    ------
    DataError
        Anything that a well-formed file of plain arrays does not show: see the module's head.
    """
    found = _open_npz(path, names, compressed)
    return {name: array for name, array in found.items() if array is not None}


def _open_npz(
    path: str | os.PathLike, names: Iterable[str] | None, compressed: bool = True
) -> dict[str, np.ndarray | None]:
    where = shown(path)
    file, length = open_regular(path)
    with _Cautious(file.detach()) as cautious:
        try:
            with zipfile.ZipFile(cautious) as archive:
                members = _members(archive, length, where, compressed)
                wanted = set(members) if names is None else set(names)
                found = {}
                for name, info in members.items():
                    # Opening checks the name against the member's own header, wanted or not.
                    with archive.open(info) as member:
                        found[name] = (
                            _read_array(member, info.file_size, f"{where} ({name})")
                            if name in wanted
                            else None
                        )
                return found
        except DataError:
            raise
        except MemoryError as error:
            raise _too_large(error, where) from None
        except _ZIP_ERRORS as error:
            reason = ascii(str(error).splitlines()[0] if str(error) else type(error).__name__)
            raise DataError(f"{where} is not an .npz file, or damaged: {reason[1:-1]}") from None


def _too_large(error: Exception, where: str) -> DataError:
    if isinstance(error, DataError):
        return error
    return DataError(f"{where} holds an array too large for this machine")
