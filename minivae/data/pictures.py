"""Folders of pictures (PNG, JPEG) as one array of pixels; the only module that uses Pillow.

What the array is for, and which part of it is held out for testing, is left to the data module.
"""

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minivae.errors import DataError, shown

SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_SIDE = 2048  # of --image-size
MAX_PIXELS = 1 << 24  # of one picture before it is scaled; 4096 x 4096
MAX_BYTES = 64 << 20  # of one file
MAX_SCANS = 100  # of one JPEG, which is decoded once for each; cameras and editors make 10
COLOUR_TOLERANCE = 8  # of 255; JPEG's rounding of a grey picture stays below
TURNS = {  # what a camera's note (EXIF orientation) says is to be done with rows and columns
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, 3),
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
    8: np.rot90,
}


def find_pictures(folder: Path) -> list[Path]:
    """Give the pictures that lie in a folder (not below it), in the order of their names.

    Links that lead nowhere are among them, so that they are named when they cannot be read.
    """
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.is_dir())


def read_pictures(
    paths: list[Path],
    size: tuple[int, int] | None = None,
    notice: Callable[[str], None] | None = None,
    colour: bool = False,
) -> np.ndarray:
    """Read pictures as pixels, grey or in colour, all of one size.

    Colour pictures whose channels agree count as grey; 16 bits keep their upper 8; transparent
    parts are laid over black. A broken picture is named to `notice` and skipped, and the number of
    them comes last; in colour also of those that are grey, or have transparent parts.

    Parameters
    ----------
    paths
        The files.
    size
        (rows, columns) to which every picture is scaled, its proportions not kept; None means
        that they have one size already.
    notice
        Called with each message.
    colour
        Whether red, green and blue are kept.

    Returns
    -------
    numpy.ndarray
        (N, rows, columns), in colour (N, rows, columns, 3), uint8.

    Raises
    ------
    DataError
        A picture in colour where grey is asked for, one of CMYK, pictures of several sizes, or none
        that can be read.
    """
    channels = (3,) if colour else ()
    images = None if size is None else _room(len(paths), (*size, *channels))
    count = broken = 0
    grey = laid = 0
    for path in paths:
        try:
            pixels, clear = _read(path, size, colour)
        except DataError:
            raise
        except Exception as error:  # whatever a decoder says of a damaged file, it is skipped
            broken += 1
            if notice:
                notice(f"skipped {shown(path)}: {_reason(error)}")
            continue
        if images is None:
            images = _room(len(paths), pixels.shape)
        if pixels.shape != images.shape[1:]:
            rows, columns = images.shape[1:3]
            raise DataError(
                f"{shown(path)} is {pixels.shape[0]}x{pixels.shape[1]}, the pictures before it "
                f"{rows}x{columns}: give --image-size {rows}x{columns} to scale them all"
            )
        images[count] = pixels
        count += 1
        grey += colour and int(_spread(pixels).max()) <= COLOUR_TOLERANCE
        laid += colour and clear
    if broken and notice:
        notice(f"{broken:,} of {len(paths):,} pictures could not be read and were skipped")
    if grey and notice:
        notice(f"{grey:,} of {count:,} pictures are grey: their three colours are equal")
    if laid and notice:
        notice(f"{laid:,} of {count:,} pictures are transparent in part, which is laid over black")
    if not count:
        raise DataError(f"none of the {len(paths):,} pictures could be read")
    return images[:count]


def _room(count: int, size: tuple[int, ...]) -> np.ndarray:
    try:
        return np.empty((count, *size), np.uint8)
    except MemoryError:
        raise DataError(
            f"{count:,} pictures of {size[0]}x{size[1]} do not fit into memory: give a smaller "
            f"--image-size"
        ) from None


def _reason(error: Exception) -> str:
    """Say in a line what is wrong with a picture, leaving out the path that Pillow repeats."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if "cannot identify" in text:
        return "not a PNG or JPEG picture"
    text = text.splitlines()[0][:100]
    return text if text.isprintable() else ascii(text)


def _read(path: Path, size: tuple[int, int] | None, colour: bool) -> tuple[np.ndarray, bool]:
    """Give the pixels of a picture, scaled, and whether parts of it are transparent."""
    from PIL import Image

    if path.stat().st_size > MAX_BYTES:
        raise ValueError("more than 64 MiB")
    if not path.is_file():  # a pipe would never answer
        raise ValueError("no ordinary file")
    read = path.read_bytes()
    if read[:2] == b"\xff\xd8" and read.count(b"\xff\xda") > MAX_SCANS:
        raise ValueError(f"a JPEG of more than {MAX_SCANS} scans")
    content = io.BytesIO(read)  # of a real file Pillow reads the length it claims
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(content, formats=("PNG", "JPEG")) as picture:
            columns, rows = picture.size
            if columns * rows > MAX_PIXELS:
                raise ValueError(f"{rows}x{columns} pixels are more than 4096x4096")
            if size is None and max(rows, columns) > MAX_SIDE:
                raise DataError(
                    f"{shown(path)} is too large to model: give --image-size, such as 28x28"
                )
            turn = picture.getexif().get(0x0112, 1)
            pixels, clear = _pixels(picture, path, colour)
            pixels = TURNS.get(turn, TURNS[1])(pixels)
    if size is None or pixels.shape[:2] == size:
        return pixels, clear
    scaled = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(scaled), clear


def _pixels(picture, path: Path, colour: bool) -> tuple[np.ndarray, bool]:
    """Give the pixels (rows, columns[, 3]), strip by strip, and whether any is transparent.

    A picture in colour is refused where grey is asked for.
    """
    columns, rows = picture.size
    if colour and picture.mode == "CMYK":
        raise DataError(
            f"{shown(path)} is CMYK, a printer's inks: convert the pictures to RGB first"
        )
    whole = np.empty((rows, columns, 3) if colour else (rows, columns), np.uint8)
    clear = False
    step = max(1, (1 << 18) // columns)
    for top in range(0, rows, step):
        strip = picture.crop((0, top, columns, min(top + step, rows)))
        out = whole[top : top + step]
        if strip.mode.startswith("I"):  # 16 bits; Pillow's own conversion would cut off at 255
            shade = np.asarray(strip).astype(np.int64).clip(0, 65535) >> 8
            out[...] = shade[..., None] if colour else shade
        elif strip.mode in ("1", "L"):
            out[...] = np.asarray(strip.convert("RGB" if colour else "L"))
        else:
            strip = strip.convert("RGBA")
            pixels = np.asarray(strip)
            alpha = pixels[..., 3]
            if not colour and ((_spread(pixels) > COLOUR_TOLERANCE) & (alpha > 0)).any():
                raise DataError(
                    f"{shown(path)} is in colour: keep it with --colour (in Python colour=True), "
                    "or convert the pictures to grey first"
                )
            clear = clear or bool((alpha < 255).any())
            shade = np.asarray(pixels[..., :3] if colour else strip.convert("L"), np.uint16)
            out[...] = (shade * (alpha[..., None] if colour else alpha) + 127) // 255
    return whole, clear


def _spread(pixels: np.ndarray) -> np.ndarray:
    """Give how far red, green and blue, the first three channels, lie apart."""
    red, green, blue = (pixels[..., i] for i in range(3))
    spread = np.maximum(np.maximum(red, green), blue)
    return spread - np.minimum(np.minimum(red, green), blue)
