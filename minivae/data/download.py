"""Fashion-MNIST from its public homes into a cache: resumed, retried, verified, never half there.

What the files hold is left to the IDX module, a single transfer to `transfer.py`. A file counts
when the SHA-256 of its decompressed content is the published one, wherever it came from.
"""

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from minivae.data.idx import gunzip
from minivae.data.transfer import MAX_BYTES, TransferError, fetch, length, unwritable
from minivae.errors import DataError, shown
from minivae.storage.arrays import CHUNK, open_regular

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
IDLE_ATTEMPTS = 3  # in a row without one byte gained, at one mirror
MAX_ATTEMPTS = 20  # in all, at one mirror
PAUSE_SECONDS = 1.0  # before the second attempt; doubled for each further one


def cache_folder() -> Path:
    """Give the folder for downloads: MINIVAE_CACHE, else the platform's place for caches."""
    if own := os.environ.get("MINIVAE_CACHE"):
        return Path(own).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(base)) / "minivae"


def fashion_mnist(say: Callable[[str], None]) -> Path:
    """Make sure that Fashion-MNIST lies in the cache; gives its folder.

    Files put there by hand, plain or gzipped, are as good as downloaded ones. Every file is
    verified each time; a damaged one is downloaded anew.

    Parameters
    ----------
    say
        Called with each message. The progress bar goes to standard error, on a terminal only.

    Raises
    ------
    DataError
        Neither the cache nor any mirror has the files; says where to put them by hand.
    """
    folder = cache_folder() / "fashion-mnist"
    missing = [name for name in SHA256 if not _have(folder, name, say)]
    if not missing:
        return folder
    with _locked(folder):
        say(f"downloading fashion-mnist ({len(missing)} of 4 files) into {shown(folder)}")
        mirrors = list(MIRRORS)
        for name in missing:
            try:
                _download(name, folder, mirrors)
            except TransferError as error:
                raise DataError(
                    f"fashion-mnist could not be downloaded ({error}): put "
                    f"{', '.join(f'{n}.gz' for n in missing[missing.index(name) :])} from {HOME} "
                    f"into {shown(folder)} by hand"
                ) from None
    return folder


def _have(folder: Path, name: str, say: Callable[[str], None]) -> bool:
    for path in (folder / name, folder / f"{name}.gz"):  # the order in which they would be read
        if path.exists():
            if _sha256(path) == SHA256[name]:
                return True
            say(f"{shown(path)} is damaged or another file; it will be replaced")
            return False
    return False


def _sha256(path: Path) -> str | None:
    """Hash a file's decompressed content; None when it does not decompress or is far too long."""
    sha, size = hashlib.sha256(), 0
    try:
        file, _ = open_regular(path)
        with file:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            for piece in gunzip(file, "") if zipped else iter(lambda: file.read(CHUNK), b""):
                sha.update(piece)
                size += len(piece)
                if size > MAX_BYTES:
                    return None
    except (DataError, OSError):
        return None
    return sha.hexdigest()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make the folder and keep other processes from downloading into it (where files can lock)."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".lock", "ab")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise DataError(
            f"the cache {shown(folder)} cannot be written ({error.strerror}): set MINIVAE_CACHE "
            f"to a folder that can"
        ) from None
    with lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            pass  # Windows: two downloads at once end in a failed check, not in a wrong file
        except OSError:
            raise DataError(
                f"another process is downloading into {shown(folder)}: wait until it has finished"
            ) from None
        yield


def _download(name: str, folder: Path, mirrors: list[str]) -> None:
    """Bring one file into the folder from the first mirror that has it, which moves to the head."""
    part, reasons = folder / f"{name}.gz.part", []
    for mirror in list(mirrors):
        try:
            _from_mirror(f"{mirror}{name}.gz", part, SHA256[name])
        except TransferError as error:
            reasons.append(f"{urlsplit(mirror).hostname}: {error}")
            continue
        try:
            os.replace(part, folder / f"{name}.gz")
            (folder / name).unlink(missing_ok=True)  # a damaged plain file would be read first
        except OSError as error:
            raise unwritable(part, error) from None
        mirrors.remove(mirror)
        mirrors.insert(0, mirror)
        return
    raise TransferError("; ".join(reasons), again=False)


def _from_mirror(url: str, part: Path, sha256: str) -> None:
    """Fetch one address into `part`, going on where an earlier attempt ended, and verify it."""
    idle = 0
    for _ in range(MAX_ATTEMPTS):
        before = length(part)
        try:
            fetch(url, part)
        except TransferError as error:
            idle = 0 if length(part) > before else idle + 1
            if not error.again or idle == IDLE_ATTEMPTS:
                raise
            time.sleep(PAUSE_SECONDS * 2**idle)
            continue
        if _sha256(part) == sha256:
            return
        part.unlink(missing_ok=True)
        if not before:
            break  # all of it came from here; otherwise the earlier piece may be to blame
    else:
        raise TransferError("the connection broke again and again", again=False)
    raise TransferError("what it sent is not the published file", again=False)
