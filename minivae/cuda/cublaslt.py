"""Matrix products by cuBLASLt through ctypes: on tensor cores, also while a graph is captured.

CuPy's own products are not allowed there. Which products come here is decided in products.py.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_float, c_int, c_size_t, c_uint32, c_uint64, c_void_p, sizeof
from typing import Any, NamedTuple

import numpy as np

from minivae.cuda.strides import strides
from minivae.errors import BackendError

WORKSPACE = 32 << 20  # bytes a lane: what NVIDIA recommends for its newest devices

# From cublas_api.h, library_types.h and cublasLt.h of CUDA 12 and 13.
COMPUTE_32F_FAST_TF32, REAL_32F = 77, 0
DESC_TRANSA, DESC_TRANSB, DESC_EPILOGUE, DESC_BIAS_POINTER = 3, 4, 7, 8
PLAIN, BIAS, RELU_BIAS = 1, 4, 6  # epilogues
BIAS_ALIGNMENT = 16  # bytes
PREFERENCE_WORKSPACE, PREFERENCE_ALIGNMENT = 1, (5, 6, 7, 8)  # of A, B, C, D


class Algorithm(ctypes.Structure):
    """cublasLtMatmulAlgo_t."""

    _fields_ = (("data", c_uint64 * 8),)


class Candidate(ctypes.Structure):
    """cublasLtMatmulHeuristicResult_t."""

    _fields_ = (
        ("algorithm", Algorithm),
        ("workspace", c_size_t),
        ("state", c_int),
        ("waves", c_float),
        ("reserved", c_int * 4),
    )


class Operand(NamedTuple):
    """A matrix as cuBLAS sees it: columns one after another, `ld` elements apart."""

    rows: int
    columns: int
    ld: int
    transposed: bool


def operands(a: Any, b: Any, out: Any) -> tuple[Operand, Operand, Operand]:
    """Return how cuBLAS is told of out = a b.

    It stores columns where we store rows, so it sees every array transposed, and is asked for
    out^T = b^T a^T: our b is its first operand. A view that we call transposed it sees as it lies.
    """
    (m, k), n = a.shape, b.shape[1]
    (a_row, a_column), (b_row, b_column) = strides(a), strides(b)
    first = Operand(n, k, b_row, False) if b_column == 1 else Operand(k, n, b_column, True)
    second = Operand(k, m, a_row, False) if a_column == 1 else Operand(m, k, a_column, True)
    return (
        first._replace(ld=max(first.ld, first.rows)),  # one row or column has any stride
        second._replace(ld=max(second.ld, second.rows)),
        Operand(n, m, max(strides(out)[0], n), False),
    )


class Chosen(NamedTuple):
    """A product's descriptors, an operation for each epilogue, the algorithm for all."""

    operations: dict[int, c_void_p]
    layouts: tuple[c_void_p, c_void_p, c_void_p]
    algorithm: Algorithm


class CublasLt:
    """TF32 products of float32 matrices.

    The algorithm is what the library's heuristic names first, for a shape and alignment; it is
    asked once, before any capture, and then given by hand. Every lane has a workspace of its own.

    Raises
    ------
    BackendError
        If the library is not there.
    """

    def __init__(self, device: Any) -> None:
        self.device = device
        self.library = load_library()
        self._handle = c_void_p()
        self._plans: dict[tuple[Any, ...], Chosen] = {}
        self._workspaces: dict[int, Any] = {}
        self._one, self._zero = c_float(1), c_float(0)
        self._call("cublasLtCreate", byref(self._handle))

    def matmul(self, a: Any, b: Any, out: Any, bias: Any = None, relu: bool = False) -> Any:
        """Overwrite out (m, n) with a (m, k) b (k, n), float32; a, b may be transposed views.

        bias (n,), if given, is added to every row; with `relu` ReLU follows.
        """
        described = operands(a, b, out)
        alignments = tuple(min(256, x & -x) for x in (pointer(b), pointer(a), pointer(out)))
        key = described, alignments, bias is not None
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._plan(described, alignments, bias)
        operation = plan.operations[PLAIN if bias is None else RELU_BIAS if relu else BIAS]
        if bias is not None:
            self._set("Desc", operation, DESC_BIAS_POINTER, c_void_p(pointer(bias)))
        workspace = self._workspaces.get(self.device.lane)
        if workspace is None:
            workspace = self.device.empty((WORKSPACE,), np.uint8)
            self._workspaces[self.device.lane] = workspace
        self.device.hold((a, b, out, bias, workspace))
        first, second, result = plan.layouts
        out_at = c_void_p(pointer(out))
        self._call(
            "cublasLtMatmul",
            *(self._handle, operation, byref(self._one), c_void_p(pointer(b)), first),
            *(c_void_p(pointer(a)), second, byref(self._zero), out_at, result, out_at, result),
            *(byref(plan.algorithm), c_void_p(pointer(workspace)), c_size_t(WORKSPACE)),
            c_void_p(self.device.stream()),
        )
        return out

    def _plan(
        self, described: tuple[Operand, ...], alignments: tuple[int, int, int], bias: Any
    ) -> Chosen:
        # With and without ReLU by one algorithm: the sums are the same bits.
        epilogues = (PLAIN,) if bias is None else (BIAS, RELU_BIAS)
        operations = {}
        for epilogue in epilogues:
            operations[epilogue], layouts = self.describe(described, epilogue)
            if bias is not None:
                where = c_void_p(pointer(bias))
                self._set("Desc", operations[epilogue], DESC_BIAS_POINTER, where)
        operation = operations[epilogues[-1]]
        preference = c_void_p()
        self._call("cublasLtMatmulPreferenceCreate", byref(preference))
        self._set("Preference", preference, PREFERENCE_WORKSPACE, c_uint64(WORKSPACE))
        for place, alignment in zip(
            PREFERENCE_ALIGNMENT, (*alignments, alignments[2]), strict=True
        ):
            self._set("Preference", preference, place, c_uint32(alignment))
        candidate, found = Candidate(), c_int()
        first, second, result = layouts
        try:
            self._call(
                "cublasLtMatmulAlgoGetHeuristic",
                *(self._handle, operation, first, second, result, result, preference),
                *(c_int(1), byref(candidate), byref(found)),
            )
        finally:
            self._call("cublasLtMatmulPreferenceDestroy", preference)
        if found.value < 1 or candidate.state:
            raise BackendError(f"cuBLASLt has no product for {described}: use --precision float32")
        return Chosen(operations, layouts, candidate.algorithm)

    def describe(
        self, described: tuple[Operand, ...], epilogue: int = PLAIN
    ) -> tuple[c_void_p, tuple[c_void_p, c_void_p, c_void_p]]:
        """Return the descriptors of the operation and of the three matrices."""
        operation = c_void_p()
        self._call(
            "cublasLtMatmulDescCreate",
            *(byref(operation), c_int(COMPUTE_32F_FAST_TF32), c_int(REAL_32F)),
        )
        for place, operand in zip((DESC_TRANSA, DESC_TRANSB), described[:2], strict=True):
            self._set("Desc", operation, place, c_int(operand.transposed))
        self._set("Desc", operation, DESC_EPILOGUE, c_int(epilogue))
        layouts = (c_void_p(), c_void_p(), c_void_p())
        for layout, (rows, columns, ld, _) in zip(layouts, described, strict=True):
            sizes = (c_uint64(rows), c_uint64(columns), ctypes.c_int64(ld))
            self._call("cublasLtMatrixLayoutCreate", byref(layout), c_int(REAL_32F), *sizes)
        return operation, layouts

    def _set(self, kind: str, target: c_void_p, place: int, value: Any) -> None:
        arguments = (c_int(place), byref(value), c_size_t(sizeof(value)))
        self._call(f"cublasLtMatmul{kind}SetAttribute", target, *arguments)

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self.library, name)(*arguments)
        if status:
            raise BackendError(
                f"{name} failed with cuBLAS status {status}: use --precision float32"
            )


def pointer(array: Any) -> int:
    """Return the array's address on the device."""
    return array.data.ptr


def load_library() -> Any:
    """Return the cuBLASLt library that CuPy's packages bring, or the system's."""
    names = ["libcublasLt.so.13", "libcublasLt.so.12", "cublasLt64_13.dll", "cublasLt64_12.dll"]
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        names.insert(0, load_nvidia_dynamic_lib("cublasLt").abs_path)
    except Exception:  # no such package, or it finds nothing: the names below may still do
        pass
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise BackendError(
        "--precision tf32 needs the cuBLASLt library, which was not found: pip install "
        '"minivae[cuda13]" or "minivae[cuda12]" brings it; or use --precision float32'
    )
