"""The download against a real HTTP server on the loopback that does what servers do wrong."""

import contextlib
import gzip
import hashlib
import http.client
import http.server
import io
import os
import socket
import threading
import urllib.request
import urllib.response

import numpy as np
import pytest

from minivae.data import download, load_data
from minivae.errors import DataError

rng = np.random.default_rng(0)
X = rng.integers(0, 256, (30, 28, 28), dtype=np.uint8)
Y = rng.integers(0, 10, 30, dtype=np.uint8)


def idx(array):
    dims = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + dims + array.tobytes()


PLAIN = {
    "train-images-idx3-ubyte": idx(X),
    "train-labels-idx1-ubyte": idx(Y),
    "t10k-images-idx3-ubyte": idx(X[::-1]),
    "t10k-labels-idx1-ubyte": idx(Y[::-1]),
}
FILES = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in PLAIN.items()}
OTHER = gzip.compress(idx(X // 2), mtime=0)


class Handler(http.server.BaseHTTPRequestHandler):
    """The first part of the path says how the server behaves; the last is the file."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        how, name = self.path.strip("/").split("/")[0], self.path.split("/")[-1]
        self.server.requests.append((how, name))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, how)(FILES[name])

    def start(self, status, length=None, location=None):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if location is not None:
            self.send_header("Location", location)
        self.end_headers()

    def send_all(self, body, length=None):
        self.start(200, len(body) if length is None else length)
        self.wfile.write(body)

    def ok(self, body):
        self.send_all(body)

    def no_length(self, body):
        self.start(200)
        self.wfile.write(body)

    def moved(self, body):
        self.start(302, 0, self.path.replace("/moved/", "/ok/"))

    def length_of_5000_digits(self, body):
        self.start(200, "9" * 5000)
        self.wfile.write(body)

    def breaks(self, body):
        self.send_all(body[: len(body) // 2], len(body))

    def longer_than_told(self, body):
        self.send_all(body, len(body) // 2)

    def wrong_content(self, body):
        self.send_all(OTHER)

    def page(self, body):
        self.send_all(b"<html>Welcome to the airport</html>")

    def bomb(self, body):
        self.send_all(gzip.compress(bytes(1 << 22)))

    def endless(self, body):
        self.start(200)
        while True:
            self.wfile.write(bytes(1 << 16))

    def stalls(self, body):
        self.start(200, len(body))
        self.wfile.write(body[:100])
        self.server.done.wait(5)

    def drips(self, body):
        self.start(200, len(body))
        for i in range(len(body)):
            self.wfile.write(body[i : i + 1])
            if self.server.done.wait(0.01):
                return

    def silent(self, body):
        self.server.done.wait(5)

    def nonsense(self, body):
        self.wfile.write(b"\0\xff SSH-2.0 \r\n\r\n" * 5)

    def hangs_up(self, body):
        self.close_connection = True

    def missing(self, body):
        self.start(404, 0)

    def to_file(self, body):
        self.start(302, 0, "file:///etc/passwd")

    def to_nothing(self, body):
        self.start(302, 0, "https://[half")

    def escapes(self, body):
        self.wfile.write(b"HTTP/1.1 500 \x1b[31mred\r\n\r\n")

    def loop(self, body):
        self.start(302, 0, self.path)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    with Server(("127.0.0.1", 0), Handler) as server:
        server.requests, server.done = [], threading.Event()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

        def use(*ways):
            urls = (f"http://127.0.0.1:{server.server_port}/{way}/" for way in ways)
            monkeypatch.setattr(download, "MIRRORS", tuple(urls))

        server.use = use
        sha = {name: hashlib.sha256(content).hexdigest() for name, content in PLAIN.items()}
        monkeypatch.setattr(download, "SHA256", sha)
        with_http = (*download.HANDLERS, urllib.request.HTTPHandler)
        monkeypatch.setattr(download, "HANDLERS", with_http)
        monkeypatch.setenv("MINIVAE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("no_proxy", "*")
        yield server
        server.done.set()
        server.shutdown()


def left_over(tmp_path):
    return sorted(p.name for p in (tmp_path / "cache" / "fashion-mnist").glob("*"))


def check(tmp_path):
    said = []
    data = load_data("fashion-mnist", notice=said.append)
    assert data.name == "fashion-mnist"
    assert np.array_equal(data.train, X.reshape(30, 784))
    assert np.array_equal(data.test, X[::-1].reshape(30, 784))
    assert np.array_equal(data.train_labels, Y) and np.array_equal(data.test_labels, Y[::-1])
    assert left_over(tmp_path) == sorted(FILES)
    return said


def test_the_real_mirrors_speak_https():
    assert len(download.MIRRORS) > 1
    assert all(url.startswith("https://") and url.endswith("/") for url in download.MIRRORS)


def test_download_then_cache(server, tmp_path, capfd):
    server.use("ok")
    said = check(tmp_path)
    assert said == [
        f"downloading fashion-mnist (4 of 4 files) into {tmp_path / 'cache' / 'fashion-mnist'}"
    ]
    server.use("missing")
    assert check(tmp_path) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("way", ["no_length", "moved", "length_of_5000_digits"])
def test_servers_from_which_it_arrives(server, tmp_path, way):
    server.use(way)
    check(tmp_path)


@pytest.mark.parametrize(("way", "reason"), [
    ("breaks", "it broke off"),
    ("longer_than_told", "not the published file"),
    ("wrong_content", "not the published file"),
    ("page", "not the published file"),
    ("bomb", "not the published file"),
    ("endless", "more than 1048576 bytes"),
    ("stalls", "timed out"),
    ("silent", "timed out"),
    ("drips", "not done in 0.2 seconds"),
    ("nonsense", ""),
    ("hangs_up", ""),
    ("missing", "404"),
    ("to_file", "not allowed"),
    ("to_nothing", ""),
    ("escapes", "500"),
    ("loop", "infinite loop"),
])  # fmt: skip
def test_servers_from_which_the_next_mirror_takes_over(server, tmp_path, monkeypatch, way, reason):
    monkeypatch.setattr(download, "MAX_BYTES", 1 << 20)
    monkeypatch.setattr(download, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(download, "MAX_SECONDS", 0.2)
    name = "train-images-idx3-ubyte.gz"
    server.use("ok")
    check(tmp_path)
    (tmp_path / "cache" / "fashion-mnist" / name).unlink()
    server.use(way)
    with pytest.raises(DataError, match="could not be downloaded") as error:
        load_data("fashion-mnist")
    line = str(error.value)
    assert line.isprintable() and reason in line
    assert f"put {name} from https://github.com" in line and str(tmp_path / "cache") in line
    assert name not in left_over(tmp_path)
    server.use(way, "ok")
    check(tmp_path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_files_put_there_by_hand(server, tmp_path, suffix):
    folder = tmp_path / "cache" / "fashion-mnist"
    folder.mkdir(parents=True)
    for name, content in (FILES if suffix else PLAIN).items():
        (folder / name).write_bytes(content)
    server.use("missing")
    assert load_data("fashion-mnist").train.shape == (30, 784)
    assert server.requests == []


@pytest.mark.parametrize("damage", [b"", b"\x1f\x8b", b"\0" * 100, OTHER, idx(Y)])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_damaged_file_in_the_cache_is_replaced(server, tmp_path, damage, suffix):
    server.use("ok")
    check(tmp_path)
    path = tmp_path / "cache" / "fashion-mnist" / f"train-images-idx3-ubyte{suffix}"
    path.write_bytes(damage)
    assert f"{path} is damaged or another file; it will be replaced" in check(tmp_path)


def test_offline(server, tmp_path, monkeypatch):
    def lookup(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(download, "MIRRORS", ("https://one.example/", "https://two.example/"))
    with pytest.raises(DataError) as error:
        load_data("fashion-mnist")
    assert str(error.value) == (
        "fashion-mnist could not be downloaded (one.example: [Errno -2] Name or service not known; "
        "two.example: [Errno -2] Name or service not known): put train-images-idx3-ubyte.gz, "
        "train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz from "
        f"https://github.com/zalandoresearch/fashion-mnist into "
        f"{tmp_path / 'cache' / 'fashion-mnist'} by hand"
    )


@pytest.mark.parametrize("way", ["plain", "redirected"])
def test_plain_http_is_not_spoken(server, monkeypatch, way):
    """Neither at once nor where a redirection leads to it."""
    server.use("ok")
    monkeypatch.setattr(download, "HANDLERS", download.HANDLERS[:-1])
    if way == "redirected":

        class Redirected(urllib.request.HTTPSHandler):
            def https_open(self, request):
                url = download.MIRRORS[0].replace("https", "http") + request.selector.split("/")[-1]
                headers = http.client.HTTPMessage()
                headers["Location"] = url
                answer = urllib.response.addinfourl(io.BytesIO(), headers, request.full_url, 302)
                answer.msg = "Found"
                return answer

        handlers = [Redirected if h is urllib.request.HTTPSHandler else h
                    for h in download.HANDLERS]  # fmt: skip
        monkeypatch.setattr(download, "HANDLERS", handlers)
        secure = tuple(url.replace("http:", "https:") for url in download.MIRRORS)
        monkeypatch.setattr(download, "MIRRORS", secure)
    with pytest.raises(DataError, match="unknown url type: http"):
        load_data("fashion-mnist")
    assert server.requests == []


def test_an_untrusted_certificate(server, monkeypatch):
    """A plain answer where TLS is expected fails the handshake: never a fall back to http."""
    monkeypatch.setattr(download, "MIRRORS", (f"https://127.0.0.1:{server.server_port}/ok/",))
    with pytest.raises(DataError, match="could not be downloaded"):
        load_data("fashion-mnist")
    assert server.requests == []


def test_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    server.use("ok")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINIVAE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot be written.*: set MINIVAE_CACHE to a folder"):
        load_data("fashion-mnist")


def test_a_full_disk(server, tmp_path, monkeypatch):
    def fsync(fd):
        raise OSError(28, "No space left on device")

    server.use("ok")
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DataError, match=r"train-images.*gz cannot be written: No space left"):
        load_data("fashion-mnist")
    assert left_over(tmp_path) == []


@pytest.mark.parametrize(("platform", "variables", "expected"), [
    ("linux", {}, "/home/u/.cache/minivae"),
    ("linux", {"XDG_CACHE_HOME": "/c"}, "/c/minivae"),
    ("darwin", {"XDG_CACHE_HOME": "/c"}, "/home/u/Library/Caches/minivae"),
    ("win32", {"LOCALAPPDATA": "/local"}, "/local/minivae"),
    ("linux", {"MINIVAE_CACHE": "~/x", "XDG_CACHE_HOME": "/c"}, "/home/u/x"),
])  # fmt: skip
def test_cache_folder(monkeypatch, platform, variables, expected):
    for name in ("MINIVAE_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/u")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(download.sys, "platform", platform)
    assert download.cache_folder().as_posix() == expected


@pytest.mark.parametrize("variables", [{}, {"MINIVAE_CACHE": "~nobody-of-that-name/x"}])
def test_no_home_directory(monkeypatch, variables):
    """A folder named ~ would be made where the command runs."""
    for name in ("MINIVAE_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(download.sys, "platform", "linux")
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])  # a user without an entry
    with pytest.raises(DataError, match="set MINIVAE_CACHE"):
        load_data("fashion-mnist")
