"""IDX files: what the format says is read, plain and gzipped; anything else is refused."""

import gzip
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae.data.idx import read_idx
from minivae.errors import DataError
from minivae.storage import arrays as arrayfile

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.array([3, 1, 4], np.uint8)


def idx(shape, data=b"", magic=(0, 0, 8)):
    dims = b"".join(n.to_bytes(4, "big") for n in shape)
    return bytes([*magic, len(shape)]) + dims + data


PLAIN = idx(IMAGES.shape, IMAGES.tobytes())
ZIPPED = gzip.compress(PLAIN, mtime=0)


def refused(path, match, ndim=3):
    tracemalloc.start()
    with pytest.raises(DataError, match=match) as caught:
        read_idx(path, ndim)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    line = str(caught.value)
    assert str(path) in line and line.isprintable()
    assert peak < 4 << 20


def test_plain_and_gzipped(tmp_path):
    for content in (PLAIN, ZIPPED, gzip.compress(PLAIN, 0)):
        (tmp_path / "a").write_bytes(content)
        found = read_idx(tmp_path / "a", 3)
        assert np.array_equal(found, IMAGES) and found.dtype == np.uint8 and found.flags.writeable
    (tmp_path / "a").write_bytes(idx((3,), LABELS.tobytes()))
    assert read_idx(str(tmp_path / "a"), 1).tolist() == [3, 1, 4]


def test_a_gzip_header_with_a_name(tmp_path):
    with open(tmp_path / "a", "wb") as file, gzip.GzipFile("a-name", "wb", 9, file) as zipped:
        zipped.write(PLAIN)
    assert b"a-name\0" in (tmp_path / "a").read_bytes()
    assert np.array_equal(read_idx(tmp_path / "a", 3), IMAGES)


@pytest.mark.parametrize(("content", "match"), [
    (b"", "not an IDX"),
    (b"\0\0", "not an IDX"),
    (b"\0\0\x08\x03\0\0", "truncated within its header"),
    (b"\x93NUMPY", "not an IDX"),
    (idx((2, 3, 4), IMAGES.tobytes(), (0, 1, 8)), "not an IDX"),
    (idx((2, 3, 4), IMAGES.tobytes(), (0, 0, 7)), "not an IDX"),
    (idx((2, 3, 4), bytes(96), (0, 0, 13)), "holds float32 values in 3 .* mislabelled"),
    (idx((3,), LABELS.tobytes()), "holds uint8 values in 1 .* expected uint8 in 3"),
    (PLAIN[:-1], "truncated"),
    (PLAIN + b"\0", "bytes follow"),
    (idx((10**9, 1000, 1)), "promises 1000000000000 bytes"),
    (idx((2**32 - 1,) * 3), "promises"),
    (ZIPPED[:-1], "does not end"),
    (ZIPPED[:20], "does not end"),
    (ZIPPED + b"\0", "bytes follow its gzip"),
    (ZIPPED + ZIPPED, "bytes follow its gzip"),
    (ZIPPED[:-8] + b"\0" + ZIPPED[-7:], "does not decode"),
    (ZIPPED[:-4] + b"\0\0\0\1", "does not decode"),
    (b"\x1f\x8b\x08\x00" + bytes(6) + b"\7nonsense", "does not decode"),
    (gzip.compress(b"", mtime=0), "not an IDX"),
    (gzip.compress(PLAIN[:-1], mtime=0), "1 bytes are missing"),
    (gzip.compress(PLAIN + b"\0", mtime=0), "bytes follow the end"),
    (gzip.compress(idx((10**9, 1000, 1)), mtime=0), "promises 1000000000000 bytes"),
    (gzip.compress(PLAIN + bytes(50 << 20), mtime=0), "bytes follow the end"),
    (gzip.compress(idx((2, 3, 4)) + bytes(50 << 20)), "bytes follow the end"),
])  # fmt: skip
def test_hostile_files(tmp_path, content, match):
    (tmp_path / "a").write_bytes(content)
    refused(tmp_path / "a", match)


def test_images_and_labels_exchanged(tmp_path):
    (tmp_path / "a").write_bytes(PLAIN)
    refused(tmp_path / "a", "in 3 dimensions; expected uint8 in 1", ndim=1)


def test_black_images_pass_and_a_bomb_does_not(tmp_path, monkeypatch):
    shape = (60_000, 28, 28)
    packer = zlib.compressobj(9, wbits=31)
    black = packer.compress(idx(shape) + bytes(np.prod(shape))) + packer.flush()
    (tmp_path / "a").write_bytes(black)
    assert len(black) < 47_040_016 / 1000
    assert read_idx(tmp_path / "a", 3).shape == shape
    monkeypatch.setattr(arrayfile, "FREE_EXPANSION", 1 << 20)
    refused(tmp_path / "a", "promises 47040000 bytes")


def test_not_an_ordinary_file(tmp_path):
    for path in (tmp_path, tmp_path / "none", "/dev/zero"):
        with pytest.raises(DataError):
            read_idx(path, 3)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_files_load_or_are_refused(tmp_path_factory, data):
    content = bytearray(data.draw(st.sampled_from([PLAIN, ZIPPED])))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(content)
    try:
        assert read_idx(path, 3).dtype == np.uint8
    except DataError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize("flush", ["after the header", "after each byte of it"])
def test_a_stream_flushed_within_its_header(tmp_path, flush):
    """Valid gzip whose first piece is the header, or less: nothing is missing."""
    content = idx((2, 3, 4), bytes(range(24)))
    stream = zlib.compressobj(wbits=31)
    pieces = [content[:16], content[16:]]
    if flush != "after the header":
        pieces = [*(content[i : i + 1] for i in range(16)), content[16:]]
    packed = b"".join(stream.compress(p) + stream.flush(zlib.Z_SYNC_FLUSH) for p in pieces)
    (tmp_path / "x").write_bytes(packed + stream.flush())
    assert read_idx(tmp_path / "x", 3).ravel().tolist() == list(range(24))


@pytest.mark.parametrize("extra", [0, 1, 16, 100])
def test_a_stream_whose_end_comes_after_all_is_read(tmp_path, extra):
    """What decompresses to whole pieces: the last of them is out, the input is used up."""
    size = 3 * arrayfile.CHUNK - 16 + extra
    (tmp_path / "x").write_bytes(gzip.compress(idx((size, 1, 1), bytes(size))))
    assert len(read_idx(tmp_path / "x", 3)) == size
