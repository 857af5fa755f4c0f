"""Data sets: what a name or path gives, how it is checked and split, how pixels come out."""

import copy
import gzip
import hashlib
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import minivae.data
from minivae.data import RowSubset, gather, load_data, sources, to_pixels
from minivae.data import dataset as data_module
from minivae.errors import ArgumentError, DataError

MNIST = Path(minivae.data.__file__).parent / "mnist"
rng = np.random.default_rng(0)
X = rng.integers(0, 256, (40, 5, 7), dtype=np.uint8)
Y = np.arange(40)
SAID = "no test part: 4 of 40 images held out for testing (seed 0)"


@pytest.fixture(scope="module")
def mnist():
    return load_data("mnist")


def rows(array):
    return array.reshape(len(array), -1)


@pytest.mark.parametrize("name", [
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
])  # fmt: skip
def test_embedded_mnist_has_the_published_content(name):
    expected = {
        "train-images-idx3-ubyte":
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte":
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte":
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte":
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }  # fmt: skip
    content = gzip.decompress((MNIST / f"{name}.gz").read_bytes())
    assert hashlib.sha256(content).hexdigest() == expected[name]


def test_mnist(mnist):
    assert mnist.name == "mnist"
    assert mnist.train.shape == (60_000, 784) and mnist.train.dtype == np.uint8
    assert mnist.test.shape == (10_000, 784) and mnist.image_shape == (28, 28)
    assert mnist.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    raw = gzip.decompress((MNIST / "t10k-images-idx3-ubyte.gz").read_bytes())
    assert mnist.test[3].tobytes() == raw[16 + 3 * 784 : 16 + 4 * 784]


def test_loading_mnist_holds_it_once():
    tracemalloc.start()
    data = load_data("mnist")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < data.train.nbytes + data.test.nbytes + (6 << 20)


def test_pictures_and_network_are_imported_when_needed():
    code = "import sys, minivae.data as d; d.load_data(); print('PIL' in sys.modules, 'ssl' in sys.modules)"  # noqa: E501
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


# Sources


def save_idx(path, array):
    dims = b"".join(n.to_bytes(4, "big") for n in array.shape)
    content = bytes([0, 0, 8, array.ndim]) + dims + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("suffix", ["-idx{}-ubyte", "-idx{}-ubyte.gz", ".idx{}-ubyte"])
def test_idx_folder(tmp_path, suffix):
    for part, x, y in (("train", X, Y), ("t10k", X[:9], Y[:9])):
        save_idx(tmp_path / f"{part}-images{suffix.format(3)}", x)
        save_idx(tmp_path / f"{part}-labels{suffix.format(1)}", y)
    data = load_data(tmp_path)
    assert data.name == tmp_path.name and data.image_shape == (5, 7)
    assert np.array_equal(data.train, rows(X)) and np.array_equal(data.test, rows(X[:9]))
    assert np.array_equal(data.train_labels, Y) and np.array_equal(data.test_labels, Y[:9])


def test_idx_folder_of_training_images_alone(tmp_path):
    save_idx(tmp_path / "train-images-idx3-ubyte", X)
    said = []
    data = load_data(str(tmp_path), notice=said.append)
    assert data.train.shape == (36, 35) and data.test.shape == (4, 35)
    assert data.train_labels is None and data.test_labels is None and said == [SAID]


def test_idx_folder_with_labels_for_images(tmp_path):
    save_idx(tmp_path / "train-images-idx3-ubyte", X)
    save_idx(tmp_path / "train-labels-idx1-ubyte", Y[:39])
    with pytest.raises(DataError, match=r"labels of shape \(39,\) .* for 40 images"):
        load_data(tmp_path)
    save_idx(tmp_path / "train-labels-idx1-ubyte", X)
    with pytest.raises(DataError, match=r"train-labels.* holds uint8 values in 3 dimensions"):
        load_data(tmp_path)


def test_npz_with_all_parts(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=X / 255, x_test=X[:6] / 255, y_train=Y, y_test=Y[:6, None])
    data = load_data(tmp_path / "a.npz")
    assert data.name == "a" and data.train.dtype == data.test.dtype == np.float32
    assert np.array_equal(data.train, rows(X / 255).astype(np.float32))
    assert np.array_equal(data.test_labels, Y[:6]) and data.train_labels.dtype == np.int64


@pytest.mark.parametrize("arrays", [
    {"x_train": X, "y_train": Y}, {"x_train": X, "y_train": Y, "y_test": Y[:3], "classes": Y[:2]},
])  # fmt: skip
def test_npz_without_test_part_is_split_with_its_labels(tmp_path, arrays):
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    said = []
    data = load_data(tmp_path / "a.npz", notice=said.append)
    assert said == [SAID]
    assert np.array_equal(data.train, rows(X)[data.train_labels])
    assert np.array_equal(data.test, rows(X)[data.test_labels])
    assert sorted([*data.train_labels, *data.test_labels]) == Y.tolist()
    again = load_data(tmp_path / "a.npz")
    other = load_data(tmp_path / "a.npz", seed=1)
    assert np.array_equal(again.test_labels, data.test_labels)
    assert not np.array_equal(other.test_labels, data.test_labels)


@pytest.mark.parametrize(("array", "shape"), [
    (X, (5, 7)), (X[..., None], (5, 7)), (X[:, None], (5, 7)), (rows(X), (1, 35)),
    (rows(X)[:, :25], (5, 5)), (X[:, :1], (1, 7)), (np.asfortranarray(X), (5, 7)),
])  # fmt: skip
def test_single_arrays(tmp_path, array, shape):
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "b.npz", anything=array)
    one, two = load_data(tmp_path / "a.npy"), load_data(tmp_path / "b.npz")
    assert one.image_shape == two.image_shape == shape
    assert np.array_equal(one.train, two.train) and one.train.flags.c_contiguous
    expected = sorted(row.tobytes() for row in array.reshape(40, -1))
    assert sorted(row.tobytes() for part in (one.train, one.test) for row in part) == expected


def test_image_size_shapes_rows(tmp_path):
    np.save(tmp_path / "a.npy", rows(X))
    assert load_data(tmp_path / "a.npy", image_size="5x7").image_shape == (5, 7)
    with pytest.raises(DataError, match=r"images of 35 pixels where 6x6 are expected"):
        load_data(tmp_path / "a.npy", image_size="6x6")
    np.save(tmp_path / "a.npy", X)
    with pytest.raises(DataError, match=r"images of 5x7 pixels where 7x5 are expected"):
        load_data(tmp_path / "a.npy", image_size="7x5")


@pytest.mark.parametrize(("array", "expected"), [
    (X > 127, np.where(X > 127, 255, 0).astype(np.uint8)),
    ((X / 255).astype(np.float16), (X / 255).astype(np.float16).astype(np.float32)),
    ((X / 255).astype(">f8"), (X / 255).astype(np.float32)),
])  # fmt: skip
def test_types_that_are_converted(tmp_path, array, expected):
    np.savez(tmp_path / "a.npz", x_train=array, x_test=array)
    data = load_data(tmp_path / "a.npz")
    assert data.train.dtype == expected.dtype and np.array_equal(data.train, rows(expected))


def spoiled(value):
    x = X / 255
    x[7, 3, 3] = value
    return x


@pytest.mark.parametrize(("arrays", "match"), [
    ({"a": spoiled(np.nan)}, r"a pixel that is no number \(NaN\); pixels must"),
    ({"a": spoiled(np.inf)}, r"floats from 0 to inf; pixels must lie in \[0, 1\]"),
    ({"a": spoiled(-0.01)}, r"floats from -0.01 to 1;"),
    ({"a": X.astype(float)}, r"floats from 0 to 255;"),
    ({"a": X.astype(np.int64)}, "pixels of type int64; save them as uint8"),
    ({"x_train": X / 255, "x_test": spoiled(2)}, "the test part has floats from 0 to 2"),
    ({"x_train": X, "x_test": X / 255}, "test images are float32, training images uint8"),
    ({"x_train": X, "x_test": X[:, :4]}, "test part has images of 4x7 pixels where 5x7"),
    ({"x_train": X, "x_test": X[:0]}, r"the test part has an array of shape \(0, 5, 7\)"),
    ({"a": X[:0]}, "shape .0, 5, 7.; expected images .* not empty"),
    ({"a": X[:, :0]}, "not empty"),
    ({"a": Y}, "expected images"),
    ({"a": np.array(1.0)}, "expected images"),
    ({"a": np.zeros((4, 32, 32, 2))}, "neither 1 channel .grey. nor 3 .red, green, blue"),
    ({"a": np.zeros((4, 32, 32, 4))}, r"alpha, by x\[..., :3\]"),
    ({"a": X[:1]}, "a single image; at least 2"),
    ({"a": X, "b": X}, "holds 2 arrays .a, b.; expected x_train"),
    ({"x_train": X, "y_train": Y[:9]}, r"labels of shape \(9,\)"),
    ({"x_train": X, "y_train": Y / 2}, "labels of shape .* and type float64"),
    ({"x_train": X, "y_train": np.eye(40, dtype=int)}, r"labels of shape \(40, 40\)"),
    ({"x_train": X, "y_train": np.full(40, 2**64 - 1, np.uint64)}, "labels above"),
    ({}, "holds 0 arrays"),
])  # fmt: skip
def test_arrays_that_are_refused(tmp_path, arrays, match):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=match) as error:
        load_data(tmp_path / "a.npz")
    assert str(error.value).startswith(str(tmp_path / "a.npz")) and str(error.value).isprintable()


def test_zeros_and_ones_as_bytes_are_pointed_out(tmp_path):
    np.save(tmp_path / "a.npy", X // 128)
    said = []
    load_data(tmp_path / "a.npy", notice=said.append)
    assert len(said) == 2 and "nearly black" in said[1]


def test_what_does_not_exist(tmp_path):
    with pytest.raises(DataError, match="no data named 'minst': the names are mnist, fashion-mni"):
        load_data("minst")
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    for path, match in (
        (tmp_path / "none.npy", "the path of an existing"),
        (tmp_path / "a.txt", "neither a folder nor"),
        (tmp_path / "empty", "holds neither train-images-idx3"),
        ("a\0b", ""),
        ("x" * 5000, ""),
        ("two\nlines", ""),
    ):
        with pytest.raises(DataError, match=match or None) as error:
            load_data(path)
        assert str(error.value).isprintable()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(tmp_path):
    np.save(tmp_path / "a.npy", X)
    (tmp_path / "a.npy").chmod(0)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        load_data(tmp_path / "a.npy")


def test_an_installation_without_its_data(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "__file__", str(tmp_path / "sources.py"))
    with pytest.raises(DataError, match=r"mnist lacks train-images-idx3-ubyte\(.gz\)"):
        load_data("mnist")


# Mapped files


@pytest.fixture
def mapped(monkeypatch):
    monkeypatch.setattr(sources, "MAP_ABOVE", 100)
    monkeypatch.setattr(data_module, "BLOCK", 1 << 10)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_a_large_npy_is_mapped(tmp_path, mapped, dtype):
    array = X if dtype == "uint8" else (X / 255).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    data = load_data(tmp_path / "a.npy")
    assert isinstance(data.train, RowSubset) and isinstance(data.test, RowSubset)
    assert len(data.train) == 36 and data.train.shape == (36, 35) and data.train.dtype == dtype
    assert isinstance(data.train.base.base, np.memmap) or data.train.base.base is not None
    assert (copy.deepcopy(data).train[:] == data.train[:]).all()
    assert sorted([*data.train.rows, *data.test.rows]) == list(range(40))
    wanted = np.array([35, 20])  # beyond the first row held out, so not rows 35 and 20 of the file
    assert np.array_equal(data.train[wanted], rows(array)[data.train.rows[wanted]])
    out = np.empty((2, 35), np.float32)
    gather(data.train, wanted, out)
    assert np.allclose(out, rows(X)[data.train.rows[wanted]] / 255, rtol=1e-6)
    sources.MAP_ABOVE = 1 << 20
    in_memory = load_data(tmp_path / "a.npy")
    assert np.array_equal(in_memory.train, data.train[:].astype(in_memory.train.dtype))
    assert (in_memory.fingerprint == data.fingerprint) == (dtype != "float64")
    os.truncate(tmp_path / "a.npy", 500)
    for look in (lambda: data.train[:], lambda: gather(data.train, np.array([35]), out[:1])):
        with pytest.raises(DataError, match=r"a\.npy has been cut short"):
            look()


def test_of_a_mapped_file_a_rank_looks_at_its_share(tmp_path, mapped):
    x = np.full((40, 35), 0.5, np.float32)
    x[30, 3] = 7
    np.save(tmp_path / "a.npy", x)
    load_data(tmp_path / "a.npy", share=(0, 2))
    for share in ((1, 2), (0, 1)):
        with pytest.raises(DataError, match="to 7"):
            load_data(tmp_path / "a.npy", share=share)
    with pytest.raises(ArgumentError, match="share must be"):
        load_data(tmp_path / "a.npy", share=(2, 2))


def test_a_large_npy_of_booleans_would_need_a_copy(tmp_path, mapped):
    np.save(tmp_path / "a.npy", X > 99)
    with pytest.raises(DataError, match="type bool; save them as uint8"):
        load_data(tmp_path / "a.npy")


@pytest.mark.parametrize("value", [np.nan, 1.5, -1])
@pytest.mark.parametrize("where", [0, 17, 39])
def test_every_float_of_a_mapped_file_is_checked(tmp_path, mapped, value, where):
    array = X / 255
    array[where, 4, 6] = value
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match="NaN" if np.isnan(value) else r"must lie in \[0, 1\]"):
        load_data(tmp_path / "a.npy")


def test_a_million_images_take_no_memory(tmp_path):
    """The file is sparse: 784 MB of nothing, mapped, split and gathered from."""
    path = tmp_path / "million.npy"
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (1_000_000, 784)}
        )
        file.truncate(file.tell() + 784_000_000)
    with open(path, "r+b") as file:
        file.seek(128 + 784 * 999_999)
        file.write(b"\xff")
    tracemalloc.start()
    data = load_data(path)
    out = np.empty((128, 784), np.float32)
    gather(data.train, np.arange(899_872, 900_000), out)
    assert len(data.fingerprint) == 64
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.train.shape == (900_000, 784) and data.test.shape == (100_000, 784)
    assert 999_999 in (data.train.rows[-1], data.test.rows[-1])
    last = data.train if data.train.rows[-1] == 999_999 else data.test
    assert last[-1][0] == 255
    assert peak < 48 << 20  # three permutations of a million numbers; no pixels


# Pixels


def test_gather_divides_by_255_exactly(mnist):
    chosen = np.array([5, 0, 59_999])
    for dtype in ("float32", "float64"):
        out = np.full((3, 784), np.nan, dtype)
        assert gather(mnist.train, chosen, out) is out
        assert np.array_equal(out, mnist.train[chosen].astype(dtype) / np.array(255, dtype))
        assert out.max() == 1 and out.min() == 0


def test_gather_allocates_nothing_once_warm(mnist):
    out, scratch = np.empty((128, 784), np.float32), np.empty((128, 784), np.uint8)
    uniform = rng.random((128, 784), dtype=np.float32)
    chosen = rng.permutation(60_000)[:128]
    for binarize in ("none", "threshold", "sampled"):
        gather(mnist.train, chosen, out, scratch, binarize=binarize, uniform=uniform)
        tracemalloc.start()
        for _ in range(5):
            gather(mnist.train, chosen, out, scratch, binarize=binarize, uniform=uniform)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # A batch of bytes would be 100 352. To binarise, NumPy casts through 8 KiB of its own.
        assert peak < (2048 if binarize == "none" else 12 << 10)


def test_threshold():
    grey = np.arange(256, dtype=np.uint8).reshape(1, 256)
    out = to_pixels(grey, np.empty((1, 256), np.float32), binarize="threshold")
    assert np.array_equal(out[0], [0] * 128 + [1] * 128)
    out = np.array([[0.0, 0.4999, 0.5, 1.0]])
    assert np.array_equal(to_pixels(out, out, binarize="threshold"), [[0, 0, 1, 1]])


def test_sampled():
    grey = np.repeat(np.array([0, 1, 100, 254, 255], np.uint8), 20_000).reshape(5, -1)
    uniform = rng.random(grey.shape, dtype=np.float32)
    uniform[:, 0] = 0  # may be drawn; black must stay black
    out = to_pixels(grey, np.empty(grey.shape, np.float32), binarize="sampled", uniform=uniform)
    assert set(np.unique(out)) == {0, 1} and not out[0].any() and out[4].all()
    p = grey[:, 0] / 255
    # Five standard deviations of the mean of 20 000 coin tosses.
    assert np.all(np.abs(out.mean(axis=1) - p) <= 5 * np.sqrt(p * (1 - p) / 20_000))
    assert np.array_equal(out, uniform < grey / np.float32(255))


def test_binarize_arguments():
    grey, out = np.zeros((1, 4), np.uint8), np.empty((1, 4), np.float32)
    with pytest.raises(ArgumentError, match="needs uniform noise"):
        to_pixels(grey, out, binarize="sampled")
    with pytest.raises(ArgumentError, match="'always' is unknown: none, threshold, sampled"):
        to_pixels(grey, out, binarize="always")


@pytest.mark.parametrize("kind", ["bytes", "floats", "subset"])
def test_rows_of_a_part_as_pixels(kind):
    grey = np.arange(12, dtype=np.uint8).reshape(6, 2) * 20
    part = {"bytes": grey, "floats": grey / np.float32(255),
            "subset": RowSubset(np.repeat(grey, 2, axis=0), np.arange(0, 12, 2))}[kind]  # fmt: skip
    data = data_module.Dataset("tiny", part, part[:1], None, None, (1, 2))
    assert np.array_equal(data.pixels("train"), grey / np.float32(255))
    assert np.array_equal(data.pixels(), grey[:1] / np.float32(255))
    for rows in (slice(2), slice(4, 99), [5, 0], np.arange(6) % 2 == 0):
        x = data.pixels("train", rows, dtype="float64", binarize="threshold")
        assert np.array_equal(x, grey[rows] > 127) and x.dtype == np.float64


# Fingerprints


def test_fingerprint_tells_data_apart(tmp_path):
    def fingerprint(**arrays):
        np.savez(tmp_path / "a.npz", **arrays)
        return load_data(tmp_path / "a.npz").fingerprint

    base = fingerprint(x_train=X, x_test=X[:8])
    other = X.copy()
    other[39, 4, 6] ^= 1
    assert fingerprint(x_train=X, x_test=X[:8], y_train=Y) == base
    variants = [
        fingerprint(x_train=other, x_test=X[:8]),
        fingerprint(x_train=X, x_test=other[32:]),
        fingerprint(x_train=X[::-1], x_test=X[:8]),
        fingerprint(x_train=X[:32], x_test=X[:8]),
        fingerprint(x_train=X / 255, x_test=X[:8] / 255),
        fingerprint(x_train=X),
    ]
    assert len({base, *variants}) == 7


def test_fingerprint_tells_shapes_and_types_of_the_same_bytes_apart():
    def fingerprint(train, test):
        return data_module.Dataset("d", train, test, None, None, (1, train.shape[1])).fingerprint

    x = rows(X)
    prints = {
        fingerprint(x, x[:10]),
        fingerprint(x.reshape(8, 175), x[:10].reshape(2, 175)),
        fingerprint(x.reshape(20, 70).view("f2"), x[:10].reshape(5, 70).view("f2")),
        fingerprint(np.vstack([x, x[:9]]), x[9:10]),
    }
    assert len(prints) == 4


def test_fingerprint_of_a_held_out_split_depends_on_the_seed(tmp_path):
    np.save(tmp_path / "a.npy", X)
    prints = {load_data(tmp_path / "a.npy", seed=seed).fingerprint for seed in (0, 1, 0)}
    assert len(prints) == 2
    with pytest.raises(ArgumentError, match=r"seed must be a whole number from 0 to 2\^63, not -1"):
        load_data(tmp_path / "a.npy", seed=-1)


def test_fingerprint_of_a_large_part_is_a_sample(monkeypatch):
    monkeypatch.setattr(data_module, "MAP_ABOVE", 1000)
    big = rng.integers(0, 256, (50_000, 4), dtype=np.uint8)

    def prints(x):
        return data_module.Dataset(
            "d", x, X[:2, :1, :4].reshape(2, 4), None, None, (2, 2)
        ).fingerprint

    base = prints(big)
    assert prints(RowSubset(big, np.arange(50_000))) == base
    for row in (0, 49_999):
        other = big.copy()
        other[row] ^= 1
        assert prints(other) != base
    assert prints(big[:-1]) != base and prints(big ^ 1) != base
