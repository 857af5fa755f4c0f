"""Data sets: what a name or path gives, how it is checked and split, how pixels come out."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

import minivae.data
from minivae.data import gather, load_data

MNIST = Path(minivae.data.__file__).parent / "datasets" / "mnist"


@pytest.fixture(scope="module")
def mnist():
    return load_data("mnist")


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


def test_gather_divides_by_255_exactly(mnist):
    rows = np.array([5, 0, 59_999])
    for dtype in ("float32", "float64"):
        out = np.full((3, 784), np.nan, dtype)
        assert gather(mnist.train, rows, out) is out
        assert np.array_equal(out, mnist.train[rows].astype(dtype) / np.array(255, dtype))
        assert out.max() == 1 and out.min() == 0
