"""How products are described to cuBLASLt: that the description means the product.

The descriptors themselves are made where the library is installed; no product can be run here.
"""

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivae.cuda.cublaslt import (
    DESC_BIAS_POINTER,
    RELU_BIAS,
    Algorithm,
    Candidate,
    CublasLt,
    load_library,
    operands,
)
from minivae.errors import BackendError

SIZES = st.integers(1, 5)


def as_cublas_reads(array, operand):
    """Return the matrix that cuBLAS finds at the array's first number: columns `ld` apart."""
    size = (operand.columns - 1) * operand.ld + operand.rows
    memory = np.lib.stride_tricks.as_strided(array, (size,), (array.itemsize,))
    steps = (array.itemsize, operand.ld * array.itemsize)
    found = np.lib.stride_tricks.as_strided(memory, (operand.rows, operand.columns), steps)
    return found.T if operand.transposed else found


@given(SIZES, SIZES, SIZES, st.booleans(), st.booleans(), st.integers(0, 3))
def test_what_cublas_computes_is_the_product(m, n, k, a_across, b_across, gap):
    rng = np.random.default_rng(m + n + k)

    def matrix(rows, columns, across):
        if across:
            return matrix(columns, rows, False).T
        return rng.integers(-9, 9, (rows, columns + gap)).astype("float32")[:, :columns]

    a, b, out = matrix(m, k, a_across), matrix(k, n, b_across), matrix(m, n, False)
    first, second, result = operands(a, b, out)
    target = as_cublas_reads(out, result)
    target[...] = as_cublas_reads(b, first) @ as_cublas_reads(a, second)
    assert np.array_equal(out, a @ b)
    for operand in (first, second, result):
        assert operand.ld >= operand.rows  # as the library demands


def test_structures_have_the_sizes_of_the_header():
    assert ctypes.sizeof(Algorithm) == 64
    assert ctypes.sizeof(Candidate) == 64 + 8 + 4 + 4 + 16


def test_a_missing_library_is_one_line(monkeypatch):
    def none(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", none)
    monkeypatch.setitem(__import__("sys").modules, "cuda.pathfinder", None)
    with pytest.raises(BackendError, match=r"cuBLASLt library.*minivae\[cuda13\]"):
        load_library()


def test_the_library_takes_the_descriptors():
    try:
        library = load_library()
    except BackendError:
        pytest.skip("the cuBLASLt library is not installed (it comes with CuPy's ctk extra)")
    products = CublasLt.__new__(CublasLt)
    products.library, products.device = library, SimpleNamespace(lane=0)
    a, b = np.ones((128, 784), np.float32), np.ones((256, 784), np.float32).T
    operation, layouts = products.describe(operands(a, b, np.empty((128, 256), np.float32)))

    def read(kind, target, place, value):
        written = ctypes.c_size_t()
        where = (ctypes.c_int(place), ctypes.byref(value), ctypes.c_size_t(ctypes.sizeof(value)))
        status = getattr(library, kind)(target, *where, ctypes.byref(written))
        assert status == 0
        return value.value

    transposed = [
        read("cublasLtMatmulDescGetAttribute", operation, place, ctypes.c_int()) for place in (3, 4)
    ]
    assert transposed == [1, 0]  # our weights, seen by cuBLAS; then x
    # CUBLASLT_MATMUL_DESC_EPILOGUE 7, BIAS_POINTER 8; EPILOGUE_DEFAULT 1, RELU_BIAS 6
    assert read("cublasLtMatmulDescGetAttribute", operation, 7, ctypes.c_int()) == 1
    with_relu, _ = products.describe(operands(a, b, np.empty((128, 256), np.float32)), RELU_BIAS)
    products._set("Desc", with_relu, DESC_BIAS_POINTER, ctypes.c_void_p(4096))
    assert read("cublasLtMatmulDescGetAttribute", with_relu, 7, ctypes.c_int()) == 6
    assert read("cublasLtMatmulDescGetAttribute", with_relu, 8, ctypes.c_void_p()) == 4096
    # CUBLASLT_MATRIX_LAYOUT_TYPE 0, ROWS 2, COLS 3, LD 4
    seen = [
        [read("cublasLtMatrixLayoutGetAttribute", layout, place, ctypes.c_uint64())
         for place in (2, 3, 4)]
        for layout in layouts
    ]  # fmt: skip
    assert seen == [[784, 256, 784], [784, 128, 784], [256, 128, 256]]
