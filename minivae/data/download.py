"""Fashion-MNIST from its public homes into a cache: over https alone, verified, never half there.

What the files hold is left to the IDX module. A file counts when the SHA-256 of its decompressed
content is the published one, wherever it came from.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import sys
import time
import urllib.request as web
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from minivae.data.idx import gunzip
from minivae.errors import DataError, WriteError, shown
from minivae.storage.arrays import CHUNK, open_regular
from minivae.storage.files import replacing

HOME = "https://github.com/zalandoresearch/fashion-mnist"
MIRRORS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)
SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
MAX_BYTES = 64 << 20  # of one file, compressed or not; the largest has 47 MB unpacked
SILENT_SECONDS = 20  # without a byte, and a server is given up
MAX_SECONDS = 900  # for one file: 30 KB a second
# Who may answer: nobody who speaks plain http or opens files, redirections included.
HANDLERS = (
    web.ProxyHandler, web.HTTPSHandler, web.HTTPRedirectHandler, web.HTTPErrorProcessor,
    web.HTTPDefaultErrorHandler, web.UnknownHandler,
)  # fmt: skip


def cache_folder() -> Path:
    """Return the folder for downloads: MINIVAE_CACHE, else the platform's place for caches."""
    if own := os.environ.get("MINIVAE_CACHE"):
        folder = Path(own)
    elif sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local", "minivae")
    elif sys.platform == "darwin":
        folder = Path("~/Library/Caches/minivae")
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "minivae")
    try:
        return folder.expanduser()
    except RuntimeError:
        raise DataError(
            f"{shown(folder)} is in no home directory that is known: set MINIVAE_CACHE to a folder"
        ) from None


def fashion_mnist(say: Callable[[str], None]) -> Path:
    """Make sure that Fashion-MNIST lies in the cache; return its folder.

    Files put there by hand, plain or gzipped, are as good as downloaded ones. Every file is
    verified each time; a damaged one is downloaded anew.

    Parameters
    ----------
    say : callable
        Called with each message.

    Raises
    ------
    DataError
        Neither the cache nor any mirror has the files; says where to put them by hand.
    """
    folder = cache_folder() / "fashion-mnist"
    missing = [name for name in SHA256 if not _have(folder, name, say)]
    if missing:
        say(f"downloading fashion-mnist ({len(missing)} of 4 files) into {shown(folder)}")
    for i, name in enumerate(missing):
        content, reasons = _from_mirrors(name)
        if content is None:
            raise DataError(
                f"fashion-mnist could not be downloaded ({'; '.join(reasons)}): put "
                f"{', '.join(f'{n}.gz' for n in missing[i:])} from {HOME} into {shown(folder)} "
                "by hand"
            )
        try:
            with replacing(folder / f"{name}.gz") as file:
                file.write(content)
            (folder / name).unlink(missing_ok=True)  # a damaged plain file would be read first
        except (WriteError, OSError) as error:
            raise DataError(f"{error}: set MINIVAE_CACHE to a folder that can") from None
    return folder


def _have(folder: Path, name: str, say: Callable[[str], None]) -> bool:
    for path in (folder / name, folder / f"{name}.gz"):  # the order in which they would be read
        if path.exists():
            try:
                with open_regular(path)[0] as file:
                    right = _sha256(file) == SHA256[name]
            except DataError:
                right = False
            if not right:
                say(f"{shown(path)} is damaged or another file; it will be replaced")
            return right
    return False


def _sha256(file: BinaryIO) -> str | None:
    """Hash a file's decompressed content; None when it does not decompress or is far too long."""
    sha, size = hashlib.sha256(), 0
    zipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    try:
        for piece in gunzip(file, "") if zipped else iter(lambda: file.read(CHUNK), b""):
            sha.update(piece)
            size += len(piece)
            if size > MAX_BYTES:
                return None
    except (DataError, OSError):
        return None
    return sha.hexdigest()


def _from_mirrors(name: str) -> tuple[bytes | None, list[str]]:
    """Return a file as the first mirror has it that has the right one, and what ailed the others.

    A server may break off, stall, or send anything: then the next one is asked.
    """
    opener, reasons = web.OpenerDirector(), []
    for handler in HANDLERS:
        opener.add_handler(handler())
    for mirror in MIRRORS:
        request = web.Request(f"{mirror}{name}.gz", headers={"User-Agent": "minivae"})
        try:
            content = _fetch(opener, request)
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = str(error).removeprefix("<urlopen error ").removesuffix(">")
            reason = reason if reason.isprintable() else ascii(reason)
            reasons.append(f"{urlsplit(mirror).hostname}: {reason[:99] or type(error).__name__}")
        else:
            if _sha256(io.BytesIO(content)) == SHA256[name]:
                return content, reasons
            reasons.append(f"{urlsplit(mirror).hostname}: what it sent is not the published file")
    return None, reasons


def _fetch(opener: web.OpenerDirector, request: web.Request) -> bytes:
    """Return what lies at an address, within the limits on bytes and seconds."""
    content, end = bytearray(), time.monotonic() + MAX_SECONDS
    with opener.open(request, timeout=SILENT_SECONDS) as response:
        while piece := response.read1(CHUNK):
            content += piece
            if len(content) > MAX_BYTES:
                raise ValueError(f"it sends more than {MAX_BYTES} bytes")
            if time.monotonic() > end:
                raise TimeoutError(f"not done in {MAX_SECONDS} seconds")
        if response.length:
            raise ConnectionError(f"it broke off {response.length} bytes before the end")
    return bytes(content)
