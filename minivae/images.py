"""Folders of pictures (PNG, JPEG) as one array of grey pixels; the only module that uses Pillow.

What the array is for, and which part of it is held out for testing, is left to the data module.
"""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .arrayfile import shown
from .errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_SIDE = 2048  # of --image-size
MAX_PIXELS = 1 << 24  # of one picture before it is scaled; 4096 x 4096
COLOUR_TOLERANCE = 8  # of 255; JPEG's rounding of a grey picture stays below


def find_pictures(folder: Path) -> list[Path]:
    """Give the pictures that lie in a folder (not below it), in the order of their names."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())


def read_pictures(
    paths: list[Path],
    size: tuple[int, int] | None = None,
    notice: Callable[[str], None] | None = None,
) -> np.ndarray:
    """Read pictures as grey pixels, all of one size.

    Colour pictures whose channels agree count as grey; 16-bit grey keeps its upper 8 bits;
    transparent parts are laid over black. A broken picture is named to `notice` and skipped, and
    the number of them comes last.

    Parameters
    ----------
    paths
        The files.
    size
        (rows, columns) to which every picture is scaled, its proportions not kept; None means
        that they have one size already.
    notice
        Called with each message.

    Returns
    -------
    numpy.ndarray
        (N, rows, columns), uint8.

    Raises
    ------
    DataError
        A picture in colour, pictures of several sizes, or none that can be read.
    """
    images = None if size is None else np.empty((len(paths), *size), np.uint8)
    count = broken = 0
    for path in paths:
        try:
            pixels = _read(path, size)
        except DataError:
            raise
        except Exception as error:  # whatever a decoder says of a damaged file, it is skipped
            broken += 1
            if notice:
                reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
                notice(f"skipped {shown(path)}: {_plain(reason, path)}")
            continue
        if images is None:
            images = np.empty((len(paths), *pixels.shape), np.uint8)
        if pixels.shape != images.shape[1:]:
            rows, columns = images.shape[1:]
            raise DataError(
                f"{shown(path)} is {pixels.shape[0]}x{pixels.shape[1]}, the pictures before it "
                f"{rows}x{columns}: give --image-size {rows}x{columns} to scale them all"
            )
        images[count] = pixels
        count += 1
    if broken and notice:
        notice(f"{broken:,} of {len(paths):,} pictures could not be read and were skipped")
    if not count:
        raise DataError(f"none of the {len(paths):,} pictures could be read")
    return images[:count]


def _plain(reason: str, path: Path) -> str:
    """Shorten what Pillow says: the path is named already."""
    if "cannot identify" in reason:
        return "not a PNG or JPEG picture"
    reason = reason.replace(os.fspath(path), "the file")
    return reason if reason.isprintable() else ascii(reason)


def _read(path: Path, size: tuple[int, int] | None) -> np.ndarray:
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            columns, rows = picture.size
            if columns * rows > MAX_PIXELS:
                raise ValueError(f"{rows}x{columns} pixels are more than 4096x4096")
            grey = _grey(ImageOps.exif_transpose(picture), path)
    if size is None and max(grey.size) > MAX_SIDE:
        raise DataError(f"{shown(path)} is too large to model: give --image-size, such as 28x28")
    if size is not None and grey.size != (size[1], size[0]):
        grey = grey.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(grey, np.uint8)


def _grey(picture, path: Path):
    """Give the picture in Pillow's mode L, or refuse it for its colours."""
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits; Pillow's own conversion would cut off at 255
        wide = np.asarray(picture).astype(np.int64)
        return Image.fromarray((wide.clip(0, 65535) >> 8).astype(np.uint8))
    if picture.mode in ("1", "L"):
        # A transparent grey level in a PNG without alpha channel stays as it is.
        return picture.convert("L")
    pixels = np.asarray(picture.convert("RGBA"))
    low, high = pixels[..., :3].min(axis=2), pixels[..., :3].max(axis=2)
    alpha = pixels[..., 3]
    if ((high - low > COLOUR_TOLERANCE) & (alpha > 0)).any():
        raise DataError(f"{shown(path)} is in colour; convert the pictures to grey first")
    grey = np.asarray(Image.fromarray(pixels[..., :3]).convert("L"), np.uint16)
    return Image.fromarray(((grey * alpha + 127) // 255).astype(np.uint8))
