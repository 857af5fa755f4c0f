"""Arrays from .npy and .npz files: what NumPy writes comes back, anything else is refused."""

import io
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae.errors import DataError
from minivae.storage import arrays as arrayfile
from minivae.storage.arrays import expansion_limit, list_npz, map_npy, read_npy, read_npz

ARRAYS = [
    np.arange(12, dtype=np.uint8).reshape(3, 4),
    np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4),
    np.asfortranarray(np.arange(24, dtype=np.int16).reshape(2, 3, 4)),
    np.arange(5, dtype=">f8"),
    np.asfortranarray(np.arange(6, dtype=">u4").reshape(2, 3)),
    np.array(7.5), np.array([True, False]), np.float16([[1]]), np.zeros((0, 3)),
]  # fmt: skip


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(text, data=b"", version=1, length=None):
    text = text if isinstance(text, bytes) else text.encode("latin1")
    length = len(text) if length is None else length
    return (
        b"\x93NUMPY" + bytes([version, 0]) + length.to_bytes(2 if version == 1 else 4, "little")
    ) + (text + data)


def refused(function, path, match=None):
    """The call must fail with one printable line that names the file, taking little memory."""
    tracemalloc.start()
    with pytest.raises(DataError, match=match) as caught:
        function(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    line = str(caught.value)
    assert os.fspath(path) in line and line.isprintable()
    assert peak < 4 << 20


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype.str}{a.shape}")
def test_what_numpy_saves_is_read(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", one=array, two=array[..., None])
    np.savez_compressed(tmp_path / "b.npz", one=array)
    for found in (
        read_npy(tmp_path / "a.npy"),
        read_npz(str(tmp_path / "a.npz"))["one"],
        read_npz(tmp_path / "b.npz")["one"],
    ):
        assert np.array_equal(found, array) and found.shape == array.shape
        assert found.dtype == array.dtype.newbyteorder("=") and found.dtype.isnative
        assert found.flags.c_contiguous and found.flags.writeable
    assert list_npz(tmp_path / "a.npz") == ["one", "two"]
    assert list(read_npz(tmp_path / "a.npz", names=["two", "three"])) == ["two"]


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("text", [
    "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }\n",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (2L,), }",
    "{'shape':(2,),'fortran_order':True,'descr':'u1'}",
    "{ 'shape' : ( 2 , ) , 'descr' : '|u1' , 'fortran_order' : False } \n\n",
])  # fmt: skip
def test_headers_that_other_writers_make(tmp_path, text, version):
    (tmp_path / "a.npy").write_bytes(header(text, b"\1\2", version))
    assert read_npy(tmp_path / "a.npy").tolist() == [1, 2]


GOOD = "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }"


@pytest.mark.parametrize(("content", "match"), [
    (b"", "not a .npy"),
    (b"PK\3\4", "not a .npy"),
    (b"\x93NUMPY\1", "not a .npy"),
    (header(GOOD, b"ab", version=4), "version 4.0"),
    (header(GOOD, b"ab", length=500), "damaged"),
    (header(GOOD, b"a"), "truncated"),
    (header(GOOD, b"abc"), "damaged"),
    (header(GOOD, b"", 2, length=2**31), "header of 2147483648 bytes"),
    (header(GOOD.replace("(2,)", "(1000000000000, 28, 28)")), "truncated"),
    (header(GOOD.replace("(2,)", "(9999999999999999999,)" )), "truncated"),
    (header(GOOD.replace("(2,)", "(0, 9999999999999999999)")), "too large|shape"),
    (header(GOOD.replace("(2,)", f"({'9' * 19},{'9' * 19},{'9' * 19})")), "truncated"),
    (header(GOOD.replace("(2,)", f"({'1,' * 40})"), b"a"), "40 dimensions"),
    (header(GOOD.replace("(2,)", "(-2,)"), b"ab"), "damaged"),
    (header(GOOD.replace("(2,)", "(2.0,)"), b"ab"), "damaged"),
    (header(GOOD.replace("|u1", "|O"), b"ab"), "type '|O'"),
    (header(GOOD.replace("|u1", "<U1"), b"ab" * 4), "type '<U1'"),
    (header(GOOD.replace("|u1", "<c8"), b"ab" * 8), "type '<c8'"),
    (header(GOOD.replace("|u1", "<M8[s]"), b"ab" * 8), "type"),
    (header(GOOD.replace("|u1", "u3"), b"ab" * 3), "not a plain array"),
    (header(GOOD.replace("'|u1'", "[('a', '|u1')]"), b"ab"), "type"),
    (header(GOOD.replace("'descr': '|u1'", "'shape': (2,)"), b"ab"), "not a plain array"),
    (header(GOOD.replace("False", "0"), b"ab"), "damaged"),
    (header("__import__('os').system('true')", b"ab"), "damaged"),
    (header(GOOD[:-2] + " " * 900), "damaged"),
    (header(GOOD + " " * 1000, b"ab"), "header of 1057 bytes"),
    *((header(text), "damaged") for text in (
        "(" * 999, "-" * 998 + "1", "1+" * 499 + "1", "not " * 249 + "1", "'" * 999, "\0",
        "\n" * 999, r"{'descr': '\d'}", GOOD.replace("'|u1'", "[" * 400 + "]" * 400),
        GOOD.replace("2", "9" * 900 + "L"), "if 1:\n " * 120,
    )),
    (npy(np.array([{}, None], dtype=object)), "type '|O'"),
    (npy(np.zeros(3, "S5")), "type"),
])  # fmt: skip
def test_hostile_npy(tmp_path, content, match):
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    refused(read_npy, path, match)
    refused(map_npy, path)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)
    refused(read_npz, tmp_path / "a.npz")


def test_truncated_anywhere(tmp_path):
    whole = npy(np.arange(3, dtype=np.uint8))
    zipped = io.BytesIO()
    np.savez_compressed(zipped, x=np.arange(3, dtype=np.uint8))
    for name, content, function in (
        ("a.npy", whole, read_npy),
        ("a.npy", whole, map_npy),
        ("a.npz", zipped.getvalue(), read_npz),
    ):
        for end in range(len(content)):
            (tmp_path / name).write_bytes(content[:end])
            with pytest.raises(DataError):
                function(tmp_path / name)


def test_not_an_ordinary_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "none", tmp_path / "pipe", "/dev/zero", "a\0b"):
        for function in (read_npy, map_npy, read_npz, list_npz):
            with pytest.raises(DataError) as caught:
                function(path)
            assert str(caught.value).isprintable()


def test_a_name_that_is_no_line(tmp_path):
    path = tmp_path / "two\nlines.npy"
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"two\\nlines.npy' is not a .npy"):
        read_npy(path)


def make_zip(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("names", "match"), [
    (["x.npy", "x.npy"], "two members named 'x'"),
    (["../x.npy"], "no array: '../x.npy'"),
    (["/x.npy"], "no array"),
    (["a/../x.npy"], "no array"),
    (["a\\x.npy"], "no array"),
    (["x.npy", "readme.txt"], "no array: 'readme.txt'"),
    (["x.npy", "é\n.npy"], "no array"),
    (["a//x.npy"], "no array"),
    (["./x.npy"], "no array"),
    (["x.NPY"], "no array"),
    (["npy"], "no array"),
    ([".npy"], "no array"),
    ([f"x{i}.npy" for i in range(5000)], "more than 4096"),
])  # fmt: skip
def test_names_in_an_npz(tmp_path, names, match):
    make_zip(tmp_path / "a.npz", [(name, npy(np.zeros(1))) for name in names], zipfile.ZIP_STORED)
    refused(read_npz, tmp_path / "a.npz", match)
    refused(list_npz, tmp_path / "a.npz", match)


def test_names_of_parameters(tmp_path):
    arrays = {"encoder.0.weight": np.ones(3), "adam/m-1": np.ones(2), "é [1]": 0}
    np.savez(tmp_path / "a.npz", **arrays)
    assert list(read_npz(tmp_path / "a.npz")) == list(arrays)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(tmp_path, method):
    make_zip(tmp_path / "a.npz", [("x.npy", npy(np.zeros(9)))], method)
    refused(read_npz, tmp_path / "a.npz", "oddly compressed")


def test_an_encrypted_member_is_refused(tmp_path):
    make_zip(tmp_path / "a.npz", [("x.npy", npy(np.zeros(9)))])
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "a.npz").write_bytes(content)
    refused(read_npz, tmp_path / "a.npz", "encrypted")


def test_black_images_pass_and_a_bomb_does_not(tmp_path, monkeypatch):
    black = np.zeros((20_000, 784), np.uint8)  # deflate makes 1000 bytes one
    np.savez_compressed(tmp_path / "black.npz", black)
    assert read_npz(tmp_path / "black.npz")["arr_0"].shape == black.shape
    monkeypatch.setattr(arrayfile, "FREE_EXPANSION", 1 << 20)
    refused(read_npz, tmp_path / "black.npz", r"would expand from \d+ to \d+ bytes")


def test_expansion_limit_is_what_the_docstring_says():
    assert expansion_limit(1000) < 1032 * 1000 + 2000  # deflate can do no more
    assert expansion_limit(1 << 20) == 256 << 20
    assert expansion_limit(1 << 30) == 100 << 30


def test_sizes_that_the_directory_invents(tmp_path):
    """A directory may claim any size: neither memory nor the claim is taken at its word."""
    for field, value, match in (
        (20, 2**31, "would expand"), (24, 2**31, "would expand"), (24, 1, None), (20, 1, None),
        (42, 2**31, None),
    ):  # fmt: skip
        make_zip(tmp_path / "a.npz", [("x.npy", npy(np.zeros(1000)))])
        content = bytearray((tmp_path / "a.npz").read_bytes())
        struct.pack_into("<I", content, content.index(b"PK\1\2") + field, value)
        (tmp_path / "a.npz").write_bytes(content)
        refused(read_npz, tmp_path / "a.npz", match)


def test_overlapping_members(tmp_path):
    """Many names for the same compressed bytes: the classic bomb without recursion."""
    make_zip(tmp_path / "a.npz", [("x0.npy", npy(np.zeros(100_000)))])
    content = (tmp_path / "a.npz").read_bytes()
    start = content.index(b"PK\1\2")
    entry = content[start : content.index(b"PK\5\6")]
    entries = b"".join(entry.replace(b"x0.npy", b"x%d.npy" % i) for i in range(10))
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 10, 10, len(entries), start, 0)
    (tmp_path / "a.npz").write_bytes(content[:start] + entries + end)
    refused(read_npz, tmp_path / "a.npz", "would expand")


def test_a_directory_of_millions(tmp_path):
    entry = b"PK\1\2" + bytes(42)
    entries = entry * 100_000
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, len(entries), 0, 0)
    (tmp_path / "a.npz").write_bytes(entries + end)
    refused(read_npz, tmp_path / "a.npz", "directory has 4600000 bytes")


def test_any_flipped_byte_of_the_arrays_is_noticed(tmp_path):
    array = np.arange(200, dtype=np.float32)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", x=array)
        content = (tmp_path / "a.npz").read_bytes()
        for i in range(len(content)):
            damaged = bytearray(content)
            damaged[i] ^= 0x5A
            (tmp_path / "b.npz").write_bytes(damaged)
            try:
                found = read_npz(tmp_path / "b.npz")
            except DataError:
                continue
            assert [*map(list, found.values())] == [list(array)]


def test_a_member_that_is_not_wanted_is_checked_for_its_name(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=np.ones(3), x_test=np.ones(3))
    content = (tmp_path / "a.npz").read_bytes()
    at = content.rindex(b"x_test")  # in the directory; the member's own header keeps its name
    (tmp_path / "a.npz").write_bytes(content[:at] + b"y" + content[at + 1 :])
    refused(list_npz, tmp_path / "a.npz", "differ")
    with pytest.raises(DataError, match="differ"):
        read_npz(tmp_path / "a.npz", names=["x_train"])


@pytest.mark.parametrize("field", [30, 32])
def test_a_remark_that_swallows_the_next_member(tmp_path, field):
    """One wrong length in a directory, of an extra field or a comment, and x_test is gone."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name in ("x_train", "x_test"):
            archive.writestr(f"{name}.npy", npy(np.ones(3)))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    first = content.index(b"PK\1\2")
    second = content.index(b"PK\1\2", first + 1)
    size = content.index(b"PK\5\6") - second
    if field == 30:
        content[second : second + 4] = struct.pack("<HH", 0x4142, size - 4)
    struct.pack_into("<H", content, first + field, size)
    (tmp_path / "a.npz").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert archive.namelist() == ["x_train.npy"]
    refused(list_npz, tmp_path / "a.npz", "remarks on 'x_train' hide what follows")


def test_map(tmp_path):
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.save(tmp_path / "a.npy", array)
    found = map_npy(tmp_path / "a.npy")
    assert np.array_equal(found, array) and not found.flags.writeable
    for other in (np.asfortranarray(array), array.astype(">f4"), array[:0]):
        np.save(tmp_path / "b.npy", other)
        refused(map_npy, tmp_path / "b.npy", "cannot be used in place")


SEEDS = [npy(array) for array in ARRAYS[:5]]
for method in (np.savez, np.savez_compressed):
    file = io.BytesIO()
    method(file, x_train=ARRAYS[0], y=ARRAYS[1])
    SEEDS.append(file.getvalue())


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_files_load_or_are_refused(tmp_path_factory, data):
    content = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(content)
    for function in (read_npy, map_npy, read_npz, list_npz):
        try:
            function(path)
        except DataError as error:
            assert str(error).isprintable()
