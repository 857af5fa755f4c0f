"""One transfer over https: what is missing of a file is fetched and appended, within limits.

Which file, from which mirrors, how often, and whether it is the right one, is left to the download
module. Only https is spoken, redirections included.
"""

import http.client
import os
import queue
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from minivae.errors import DataError, shown

MAX_BYTES = 64 << 20  # of one file, compressed or not; the largest has 47 MB unpacked
PLAIN_HTTP: tuple[str, ...] = ()  # hosts (with port) that need not speak https: for the tests
CONNECT_SECONDS = 20.0  # to look up, connect and receive the headers
STALL_SECONDS = 20.0  # without STALL_BYTES having come, a connection is given up
STALL_BYTES = 16 << 10


class TransferError(Exception):
    """A transfer went wrong; `again` tells whether the same address is worth another attempt."""

    def __init__(self, reason: str, again: bool):
        super().__init__(reason)
        self.again = again


def length(path: Path) -> int:
    """Give a file's length, 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def unwritable(path: Path, error: OSError) -> DataError:
    """Say that a file cannot be written, and why."""
    return DataError(f"{shown(path)} cannot be written: {error.strerror}")


def _allowed(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.netloc in PLAIN_HTTP)


class _Redirect(urllib.request.HTTPRedirectHandler):
    """Follows redirections (ten at most, no loops), but never away from https."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if not _allowed(newurl):
            raise TransferError(f"it redirects to {newurl[:80]!a}, not https", again=False)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(request: urllib.request.Request) -> http.client.HTTPResponse:
    """Open an address within CONNECT_SECONDS in all: name lookups have no time limit of their own.

    Raises
    ------
    TransferError
        No answer, or one that is no success.
    """
    if not _allowed(request.full_url):
        raise TransferError("its address is not https", again=False)
    answer: queue.SimpleQueue = queue.SimpleQueue()
    late = threading.Event()

    def work() -> None:
        try:
            response = urllib.request.build_opener(_Redirect).open(request, timeout=CONNECT_SECONDS)
            if late.is_set():
                response.close()
            answer.put(response)
        except Exception as error:
            answer.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        result = answer.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        late.set()
        raise TransferError("no answer in time", again=True) from None
    if isinstance(result, TransferError):
        raise result
    if isinstance(result, urllib.error.HTTPError):
        result.close()
        if result.code == 416:  # nothing follows what is there already: let the check decide
            return None
        again = result.code >= 500 or result.code in (408, 429)
        raise TransferError(f"status {result.code}", again)
    if isinstance(result, Exception):
        raise _failure(result)
    return result


def _failure(error: Exception) -> TransferError:
    """Say in a few words what the network did."""
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return TransferError("its certificate is not trusted", again=False)
    if isinstance(reason, TimeoutError):
        return TransferError("no answer in time", again=True)
    if isinstance(reason, OSError) and type(reason).__name__ == "gaierror":
        return TransferError("no such host, or no network", again=False)
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return TransferError(ascii(str(text))[1:80].rstrip("'"), again=True)


def fetch(url: str, part: Path) -> None:
    """Append to `part` what it lacks; rewrite it when the server starts at the beginning."""
    start = length(part)
    headers = {"User-Agent": "minivae", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    response = _open(urllib.request.Request(url, headers=headers))
    if response is None:
        return
    with response:
        if response.status != 206:
            start = 0
        elif not (response.headers["Content-Range"] or "").startswith(f"bytes {start}-"):
            part.unlink(missing_ok=True)
            raise TransferError("it sent another range than asked for", again=True)
        promised = response.headers["Content-Length"]
        total = start + int(promised) if promised and promised.isdecimal() else None
        if total is not None and total > MAX_BYTES:
            raise TransferError(f"it offers {total} bytes, too many", again=False)
        try:
            with open(part, "ab" if start else "wb") as file:
                for piece in _pieces(response):
                    file.write(piece)
                    start += len(piece)
                    if start > MAX_BYTES:
                        raise TransferError("it sends without end", again=False)
                    _progress(part, start, total)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise unwritable(part, error) from None
        finally:
            _progress(part, None, total)
    if total is not None and start < total:
        raise TransferError("the connection broke off", again=True)


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield what comes in; a connection that gives less than STALL_BYTES in time is given up."""
    since, came = time.monotonic(), 0
    while True:
        try:
            piece = response.read1(64 << 10)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _failure(error) from None
        if not piece:
            return
        yield piece
        came += len(piece)
        if came >= STALL_BYTES:
            since, came = time.monotonic(), 0
        elif time.monotonic() - since > STALL_SECONDS:
            raise TransferError("it stalls", again=True)


def _progress(part: Path, done: int | None, total: int | None) -> None:
    """Draw the bar, or wipe it when `done` is None; on a terminal only."""
    if not sys.stderr.isatty():
        return
    if done is None:
        sys.stderr.write("\r\x1b[K")
    else:
        filled = 20 * done // total if total else 0
        of = f" of {total / 1e6:.1f}" if total else ""
        sys.stderr.write(f"\r{part.stem}  [{'#' * filled:<20}] {done / 1e6:.1f}{of} MB\x1b[K")
    sys.stderr.flush()
