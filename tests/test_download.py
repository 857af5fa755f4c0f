"""The download against a real HTTP server on the loopback that does what servers do wrong."""

import contextlib
import gzip
import hashlib
import http.server
import io
import socket
import threading

import numpy as np
import pytest

from minivae.data import download, load_data, transfer
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
        count = self.server.requests.setdefault((how, name), [])
        count.append(self.headers["Range"])
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, how)(FILES[name], len(count))

    def start(self, status, length=None, **headers):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()

    def send_all(self, body, length=None):
        self.start(200, len(body) if length is None else length)
        self.wfile.write(body)

    def ok(self, body, count):
        self.send_all(body)

    def ranged(self, body, count, stop=None):
        asked = self.headers["Range"]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if start >= len(body):
            return self.start(416, 0, Content_Range=f"bytes */{len(body)}")
        span = f"bytes {start}-{len(body) - 1}/{len(body)}"
        self.start(206 if asked else 200, len(body) - start, Content_Range=span)
        self.wfile.write(body[start:stop])

    def breaks(self, body, count):  # and can go on: half of what is missing each time, thrice
        asked = self.headers["Range"]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        self.ranged(body, count, None if count > 3 else start + (len(body) - start) // 2)

    def breaks_ignoring_range(self, body, count):
        self.send_all(body if count > 1 else body[:100], len(body))

    def always_breaks(self, body, count):
        self.send_all(body[: len(body) // 2], len(body))

    def other_range(self, body, count):
        if not self.headers["Range"]:
            return self.send_all(body[:100], len(body)) if count == 1 else self.send_all(body)
        self.start(206, len(body) - 50, Content_Range=f"bytes 50-{len(body) - 1}/{len(body)}")
        self.wfile.write(body[50:])

    def longer_than_told(self, body, count):
        self.send_all(body, len(body) // 2)

    def wrong_content(self, body, count):
        self.send_all(OTHER)

    def page(self, body, count):
        self.send_all(b"<html>Welcome to the airport</html>")

    def no_length(self, body, count):
        self.start(200)
        self.wfile.write(body)

    def huge(self, body, count):
        self.start(200, 10**12)

    def endless(self, body, count):
        self.start(200)
        while True:
            self.wfile.write(bytes(1 << 16))

    def stalls(self, body, count):
        self.start(200, len(body))
        self.wfile.write(body[:100])
        self.server.done.wait(5)

    def drips(self, body, count):
        self.start(200, len(body))
        for i in range(len(body)):
            self.wfile.write(body[i : i + 1])
            if self.server.done.wait(0.01):
                return

    def drips_headers(self, body, count):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(1000):
            self.wfile.write(b"X: y\r\n")
            if self.server.done.wait(0.02):
                return

    def silent(self, body, count):
        self.server.done.wait(5)

    def nonsense(self, body, count):
        self.wfile.write(b"\0\xff SSH-2.0 \r\n\r\n" * 5)

    def hangs_up(self, body, count):
        self.close_connection = True

    def missing(self, body, count):
        self.start(404, 0)

    def busy(self, body, count):
        return self.start(503, 0) if count < 3 else self.send_all(body)

    def moved(self, body, count):
        self.start(302, 0, Location=self.path.replace("/moved/", "/ok/"))

    def to_plain(self, body, count):
        port = self.server.server_port
        self.start(302, 0, Location=f"http://localhost:{port}/ok/{self.path.split('/')[-1]}")

    def to_file(self, body, count):
        self.start(302, 0, Location="file:///etc/passwd")

    def to_nothing(self, body, count):
        self.start(302, 0, Location="https://[half")

    def loop(self, body, count):
        self.start(302, 0, Location=self.path)

    def complete_already(self, body, count):
        self.start(416, 0)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    with Server(("127.0.0.1", 0), Handler) as server:
        server.requests, server.done = {}, threading.Event()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        netloc = f"127.0.0.1:{server.server_port}"

        def use(*ways):
            monkeypatch.setattr(
                download, "MIRRORS", tuple(f"http://{netloc}/{way}/" for way in ways)
            )

        server.use = use
        sha = {name: hashlib.sha256(content).hexdigest() for name, content in PLAIN.items()}
        monkeypatch.setattr(download, "SHA256", sha)
        monkeypatch.setattr(download, "PAUSE_SECONDS", 0.001)
        monkeypatch.setattr(transfer, "PLAIN_HTTP", (netloc,))
        monkeypatch.setattr(transfer, "CONNECT_SECONDS", 10.0)
        monkeypatch.setattr(transfer, "STALL_SECONDS", 0.2)
        monkeypatch.setenv("MINIVAE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("no_proxy", "*")
        yield server
        server.done.set()
        server.shutdown()


def left_over(tmp_path):
    return sorted(p.name for p in (tmp_path / "cache" / "fashion-mnist").iterdir())


def check(tmp_path):
    said = []
    data = load_data("fashion-mnist", notice=said.append)
    assert data.name == "fashion-mnist"
    assert np.array_equal(data.train, X.reshape(30, 784))
    assert np.array_equal(data.test, X[::-1].reshape(30, 784))
    assert np.array_equal(data.train_labels, Y) and np.array_equal(data.test_labels, Y[::-1])
    assert left_over(tmp_path) == [".lock", *sorted(FILES)]
    return said


def test_the_real_mirrors_speak_https():
    assert len(download.MIRRORS) > 1 and transfer.PLAIN_HTTP == ()
    assert all(url.startswith("https://") and url.endswith("/") for url in download.MIRRORS)


def test_download_then_cache(server, tmp_path, capfd):
    server.use("ok")
    said = check(tmp_path)
    assert said == [
        f"downloading fashion-mnist (4 of 4 files) into {tmp_path / 'cache' / 'fashion-mnist'}"
    ]
    server.use("missing")
    assert check(tmp_path) == []
    assert capfd.readouterr() == ("", "")  # no bar where there is no terminal


@pytest.mark.parametrize("way", [
    "ranged", "breaks", "breaks_ignoring_range", "other_range", "no_length", "busy", "moved",
])  # fmt: skip
def test_servers_from_which_it_arrives(server, tmp_path, way):
    server.use(way)
    check(tmp_path)


def test_a_broken_transfer_goes_on_where_it_ended(server, tmp_path):
    server.use("breaks")
    check(tmp_path)
    asked = server.requests["breaks", "train-images-idx3-ubyte.gz"]
    size = len(FILES["train-images-idx3-ubyte.gz"])
    assert asked == [None, *(f"bytes={size - -(-size // 2**k)}-" for k in (1, 2, 3))]


def test_a_mirror_that_works_is_asked_first_from_then_on(server, tmp_path):
    server.use("missing", "ok")
    check(tmp_path)
    assert [name for way, name in server.requests if way == "missing"] == [next(iter(FILES))]


@pytest.mark.parametrize(("way", "reason", "attempts"), [
    ("always_breaks", "broke off", 4),
    ("longer_than_told", "not the published file", 1),
    ("wrong_content", "not the published file", 1),
    ("page", "not the published file", 1),
    ("huge", "1000000000000 bytes, too many", 1),
    ("stalls", "no answer in time", 4),
    ("silent", "no answer in time", 3),
    ("drips_headers", "no answer in time", 3),
    ("nonsense", "", 3),
    ("hangs_up", "", 3),
    ("missing", "status 404", 1),
    ("to_plain", "not https", 1),
    ("to_file", "status 302", 1),
    ("to_nothing", "", 3),
    ("loop", "", 1),
    ("complete_already", "not the published file", 1),
])  # fmt: skip
def test_servers_from_which_the_next_mirror_takes_over(
    server, tmp_path, monkeypatch, way, reason, attempts
):
    if reason == "no answer in time":
        monkeypatch.setattr(transfer, "CONNECT_SECONDS", 0.25)
    server.use(way, "ok")
    check(tmp_path)
    name = "train-images-idx3-ubyte.gz"
    if way != "loop":  # its redirections are requests too
        assert len(server.requests[way, name]) == attempts
    server.use(way)
    (tmp_path / "cache" / "fashion-mnist" / name).unlink()
    with pytest.raises(DataError, match="could not be downloaded") as error:
        load_data("fashion-mnist")
    line = str(error.value)
    assert "\n" not in line and reason in line
    assert f"put {name} from https://github.com" in line and str(tmp_path / "cache") in line
    assert name not in left_over(tmp_path)


def test_a_dripping_server_is_given_up(server, tmp_path):
    server.use("drips")
    with pytest.raises(DataError, match=r"127\.0\.0\.1: (it stalls|the connection broke)"):
        load_data("fashion-mnist")
    # How many bytes drip before it is given up depends on the machine, and so do the attempts.
    assert 3 <= len(server.requests["drips", "train-images-idx3-ubyte.gz"]) <= 20


def test_an_endless_server_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "MAX_BYTES", 1 << 20)
    server.use("endless", "ok")
    check(tmp_path)


def test_a_killed_download_goes_on(server, tmp_path):
    folder = tmp_path / "cache" / "fashion-mnist"
    folder.mkdir(parents=True)
    name = "train-images-idx3-ubyte.gz"
    (folder / f"{name}.part").write_bytes(FILES[name][:1000])
    server.use("ranged")
    check(tmp_path)
    assert server.requests["ranged", name] == ["bytes=1000-"]


def test_a_download_killed_before_its_last_step(server, tmp_path):
    folder = tmp_path / "cache" / "fashion-mnist"
    folder.mkdir(parents=True)
    name = "train-images-idx3-ubyte.gz"
    (folder / f"{name}.part").write_bytes(FILES[name])
    server.use("ranged")
    check(tmp_path)
    assert server.requests["ranged", name] == [f"bytes={len(FILES[name])}-"]


def test_a_wrong_beginning_is_not_held_against_the_mirror(server, tmp_path):
    folder = tmp_path / "cache" / "fashion-mnist"
    folder.mkdir(parents=True)
    name = "train-images-idx3-ubyte.gz"
    (folder / f"{name}.part").write_bytes(OTHER[:1000])
    server.use("ranged")
    check(tmp_path)
    assert server.requests["ranged", name] == ["bytes=1000-", None]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_files_put_there_by_hand(server, tmp_path, suffix):
    folder = tmp_path / "cache" / "fashion-mnist"
    folder.mkdir(parents=True)
    for name, content in (FILES if suffix else PLAIN).items():
        (folder / name).write_bytes(content)
    server.use("missing")
    assert load_data("fashion-mnist").train.shape == (30, 784)
    assert server.requests == {}


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
        "fashion-mnist could not be downloaded (one.example: no such host, or no network; "
        "two.example: no such host, or no network): put train-images-idx3-ubyte.gz, "
        "train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz from "
        f"https://github.com/zalandoresearch/fashion-mnist into "
        f"{tmp_path / 'cache' / 'fashion-mnist'} by hand"
    )


def test_a_lookup_that_never_ends(server, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: server.done.wait(30))
    monkeypatch.setattr(download, "MIRRORS", ("https://one.example/",))
    monkeypatch.setattr(transfer, "CONNECT_SECONDS", 0.05)
    with pytest.raises(DataError, match=r"one\.example: no answer in time"):
        load_data("fashion-mnist")


def test_plain_http_is_not_spoken(server, monkeypatch):
    server.use("ok")
    monkeypatch.setattr(transfer, "PLAIN_HTTP", ())
    with pytest.raises(DataError, match="not https"):
        load_data("fashion-mnist")
    assert server.requests == {}


def test_an_untrusted_certificate(server, monkeypatch):
    """A plain answer where TLS is expected fails the handshake: never a fall back to http."""
    monkeypatch.setattr(download, "MIRRORS", (f"https://127.0.0.1:{server.server_port}/ok/",))
    with pytest.raises(DataError, match="could not be downloaded"):
        load_data("fashion-mnist")
    assert server.requests == {}


def test_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINIVAE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot be written.*: set MINIVAE_CACHE to a folder"):
        load_data("fashion-mnist")


def test_a_full_disk(server, tmp_path, monkeypatch):
    def fsync(fd):
        raise OSError(28, "No space left on device")

    server.use("ok")
    monkeypatch.setattr(transfer.os, "fsync", fsync)
    with pytest.raises(DataError, match=r"train-images.*\.part cannot be written: No space left"):
        load_data("fashion-mnist")


def test_two_downloads_at_once(server, tmp_path):
    pytest.importorskip("fcntl", reason="file locks are POSIX's")
    server.use("ok")
    with (
        download._locked(tmp_path / "cache" / "fashion-mnist"),
        pytest.raises(DataError, match="another process is downloading"),
    ):
        load_data("fashion-mnist")
    check(tmp_path)


def test_the_bar_on_a_terminal(server, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    server.use("ok")
    check(tmp_path)
    assert "train-images-idx3-ubyte.gz  [####################] 0.0 of 0.0 MB" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


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
