"""oneDNN by ctypes: products of float32 matrices, and Adam's update in three passes over memory.

oneDNN compiles a function for each form of arrays, a primitive. products.py decides when it is
asked; what it cannot take it declines, and NumPy computes it. The functions called here are
described in the reference of oneDNN's version 3.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from typing import Any, ClassVar

import numpy as np

from minivae.errors import BackendError

PACKAGE, FILE, OPENMP = "onednn-cpu-gomp", "libdnnl.so.3", "libgomp.so.1"
REMEDY = 'install it with pip install "minivae[fast]", or use --products numpy'
OPENMP_REMEDY = "install GCC's OpenMP (Debian's libgomp1), or use --products numpy"
NUMPY = "use --products numpy"
# (rows, inputs, outputs) of products that it must get right before it is used.
SHAPES = ((1, 1, 1), (3, 5, 2), (16, 20, 128), (33, 257, 100), (64, 784, 256), (128, 256, 784))
LENGTHS = (1, 17, 5000)  # and of vectors that it must update rightly
# While it waits for its other threads a thread looks this often whether they are done, and then
# sleeps: with as many looks as are usual a busy machine is many times as slow (bench/README.md).
LOOKS = "3000"

CPU, IN_ORDER, FLOAT32, MOST_DIMENSIONS = 1, 1, 3, 12  # dnnl_types.h
ADD, MULTIPLY, SQUARE_ROOT, POWER = 0x1FFF0, 0x1FFF1, 0x25, 0x30
LEFT, RIGHT, WEIGHTS, RESULT, NAME = 1, 2, 33, 17, 8
AFTER = 32768  # times the number, from 1, of what follows a primitive: its second operand

Ints = tuple[int, ...]
Placed = tuple[Any, int]  # the form of an array and its address
# What follows in one pass: ("sum", scale), ("eltwise", which, alpha, beta), ("binary", which, with)
Post = tuple[Any, ...]


class _Declined(Exception):
    """OneDNN does not take arrays of this form."""


class _Argument(ctypes.Structure):
    _fields_ = (("index", ctypes.c_int), ("memory", ctypes.c_void_p))


class _Made(ctypes.c_void_p):
    """Something that the library has made; its end is the end of that too."""

    destroy: Callable[[Any], object] | None = None

    def __del__(self) -> None:
        if self and self.destroy is not None:
            self.destroy(self)


class OneDNN:
    """The library, with a number of threads.

    A thread keeps what it has prepared to itself, for it is computed in room of that thread's own.

    Parameters
    ----------
    threads : int
        How many compute. Give 1 where processes are forked, for they have none of them.

    Raises
    ------
    BackendError
        If it is not installed, cannot be loaded, or computes wrong numbers.
    """

    FEW_ROWS: ClassVar = 32  # up to which `formulas.matmul` turns x W^T around
    LEAST: ClassVar = 200_000  # multiplications: smaller products are as quick by NumPy

    def __init__(self, threads: int = 1) -> None:
        path = file()
        if path is None:
            raise BackendError(f"oneDNN is not installed: {REMEDY}")
        self.threads = threads
        try:
            self._openmp, self._library = _load(path, threads)
            self._execute = self._library.dnnl_primitive_execute
            self._execute.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_int, ctypes.c_void_p]
            self.hold()
            self._engine = self._new("engine", CPU, ctypes.c_size_t(0))
            self._own = threading.local()
            check(self)
        except (OSError, AttributeError, _Declined) as error:
            remedy = OPENMP_REMEDY if OPENMP in str(error) else REMEDY
            raise BackendError(f"oneDNN cannot be loaded ({error}): {remedy}") from None

    def hold(self) -> None:
        """Compute with its number of threads whatever this thread asks for from now on."""
        self._openmp.omp_set_num_threads(self.threads)

    def matmul(self, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> bool:
        """Overwrite out with a b and return True, if these are large float32 matrices."""
        if out.ndim != 2 or a.ndim != 2 or not a.dtype == b.dtype == out.dtype == "f4":
            return False
        return out.size * a.shape[1] >= self.LEAST and self.multiply(a, b, out)

    def multiply(self, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> bool:
        """Overwrite out with a b, float32 matrices of any size, if their rows or columns lie whole.

        No copy is made: rows may lie apart, and a and b be transposed.
        """
        form = a.shape, a.strides, b.shape, b.strides, out.strides
        product = self._kept()[0](*form, _address(a), _address(b), _address(out))
        if product is None:
            return False
        product()
        return True

    def adam(
        self,
        theta: np.ndarray,
        grad: np.ndarray,
        m: np.ndarray,
        v: np.ndarray,
        beta1: float,
        beta2: float,
        rate: float,
        floor: float,
    ) -> None:
        """As `formulas.adam`, for float32 vectors without gaps."""
        if theta.size:
            addresses = map(_address, (theta, grad, m, v))
            self._kept()[1](theta.size, beta1, beta2, *addresses)(rate, floor)

    # --- What is made once for a form of arrays --------------------------------------------------

    def _kept(self) -> tuple[Any, Any]:
        """Return what makes products and updates in this thread, or has made them."""
        try:
            return self._own.kept
        except AttributeError:
            own = self._own
            own.stream = self._new("stream", self._engine, IN_ORDER)
            own.matmul = lru_cache(256)(self._matmul)
            own.kept = lru_cache(1024)(self._product), lru_cache(1024)(self._update)
            return own.kept

    def _product(
        self, a: Ints, a_strides: Ints, b: Ints, b_strides: Ints, out_strides: Ints, *addresses: int
    ) -> Callable[[], None] | None:
        """Return the function that multiplies the matrices that lie at these addresses."""
        try:
            primitive, *forms = self._own.matmul(a, a_strides, b, b_strides, out_strides)
        except _Declined:
            return None
        arguments = zip((LEFT, WEIGHTS, RESULT), forms, addresses, strict=True)
        return self._call(primitive, arguments)

    def _matmul(
        self, a: Ints, a_strides: Ints, b: Ints, b_strides: Ints, out_strides: Ints
    ) -> tuple[_Made, ...]:
        """Return the primitive for such matrices, and its forms of a, b and out."""
        left, right = self._matrix(a, a_strides), self._matrix(b, b_strides)
        result = self._matrix((a[0], b[1]), out_strides)
        return self._primitive("matmul", left, right, None, result), left, right, result

    def _update(
        self, size: int, beta1: float, beta2: float, *addresses: int
    ) -> Callable[[float, float], None]:
        """Return the function of rate and floor that updates the vectors at theta, grad, m, v."""
        vector, one = self._form((size,), (1,)), self._form((1,), (1,))
        theta, grad, m, v = ((vector, address) for address in addresses)
        numbers = (ctypes.c_float * 4)(beta1, 1)
        beta, unit, floor_, rate_ = ((one, ctypes.addressof(numbers) + 4 * k) for k in range(4))
        passes = (
            # m <- m beta1 + g
            self._pass(m, beta, m, ("binary", ADD, grad)),
            # v <- g g + beta2 v
            self._pass(grad, grad, v, ("sum", beta2)),
            # theta <- 1 / (sqrt(v) + floor) m (-rate) + theta
            self._pass(
                *(v, unit, theta),
                ("eltwise", SQUARE_ROOT, 0, 0),
                ("binary", ADD, floor_),
                ("eltwise", POWER, 1, -1),
                ("binary", MULTIPLY, m),
                ("binary", MULTIPLY, rate_),
                ("binary", ADD, theta),
            ),
        )

        def update(rate: float, floor: float) -> None:
            numbers[2], numbers[3] = floor, -rate
            for each in passes:
                each()

        return update

    def _pass(self, left: Placed, right: Placed, result: Placed, *following: Any) -> Any:
        """Return the function that overwrites result with left times right and what follows."""
        forms = (each[0] for each in (left, right, result))
        primitive = self._primitive("binary", MULTIPLY, *forms, following=following)
        arguments = [(LEFT, *left), (RIGHT, *right), (RESULT, *result)]
        for k, (kind, _, *operand) in enumerate(following, 1):
            if kind == "binary":
                arguments.append((k * AFTER | RIGHT, *operand[0]))
        return self._call(primitive, arguments)

    def _matrix(self, shape: Sequence[int], strides: Sequence[int]) -> _Made:
        """Return the form of a matrix whose rows or columns lie whole."""
        rows, columns = shape
        down, across = (stride // 4 for stride in strides)
        if rows and columns and across == 1 and (down >= columns or rows == 1):
            return self._form(shape, (max(down, columns), 1))
        if rows and columns and down == 1 and (across >= rows or columns == 1):
            return self._form(shape, (1, max(across, rows)))
        raise _Declined

    # --- Its functions, which return 0 if all is well --------------------------------------------

    def _new(self, kind: str, *arguments: Any, create: str = "") -> _Made:
        """Return what a function named `create`, or after its kind, makes: its first argument."""
        made, name = _Made(), f"dnnl_{create or kind + '_create'}"
        status = self._library[name](ctypes.byref(made), *arguments)
        if status:
            raise _Declined(f"{name} returns {status}")
        if kind not in ("engine", "stream"):  # others hold on to these
            made.destroy = self._library[f"dnnl_{kind}_destroy"]
        return made

    def _form(self, shape: Sequence[int], strides: Sequence[int]) -> _Made:
        lengths, steps = ((ctypes.c_int64 * MOST_DIMENSIONS)(*each) for each in (shape, strides))
        arguments = len(shape), lengths, FLOAT32, steps
        return self._new("memory_desc", *arguments, create="memory_desc_create_with_strides")

    def _primitive(self, kind: str, *about: Any, following: Sequence[Post] = ()) -> _Made:
        """Return a primitive of that kind, with what follows it in the same pass."""
        attributes, after = self._new("primitive_attr"), self._new("post_ops")
        for what, *rest in following:
            if what == "sum":
                arguments = [ctypes.c_float(rest[0]), 0, 0]
            elif what == "eltwise":
                arguments = [rest[0], *map(ctypes.c_float, rest[1:])]
            else:
                arguments = [rest[0], rest[1][0]]
            self._library[f"dnnl_post_ops_append_{what}"](after, *arguments)
        self._library.dnnl_primitive_attr_set_post_ops(attributes, after)
        create = f"{kind}_primitive_desc_create"
        made = self._new("primitive_desc", self._engine, *about, attributes, create=create)
        name = ctypes.c_char_p()
        self._library.dnnl_primitive_desc_query(made, NAME, 0, ctypes.byref(name))
        if name.value is None or name.value.startswith(b"ref"):  # many times slower than NumPy
            raise _Declined
        return self._new("primitive", made)

    def _call(self, primitive: _Made, arguments: Iterable[Any]) -> Callable[[], None]:
        """Return the function that runs a primitive on arguments: index, form and address each."""
        made = [
            (index, self._new("memory", form, self._engine, ctypes.c_void_p(address)))
            for index, form, address in arguments
        ]
        given = (_Argument * len(made))(*[_Argument(index, memory.value) for index, memory in made])
        execute, stream = self._execute, self._own.stream

        def call() -> None:
            status = execute(primitive, stream, len(made), given)
            if status:
                raise BackendError(f"oneDNN returns {status}: {NUMPY}")

        return call


@cache
def library(threads: int = 1) -> OneDNN:
    """Return the library with so many threads, loaded and checked once.

    Raises
    ------
    BackendError
        As `OneDNN`.
    """
    return OneDNN(threads)


def file() -> str | None:
    """Return the path of the library as pip installed it; None if it is not there."""
    from importlib import metadata  # 15 ms that nobody needs who only imports minivae

    try:
        files = metadata.files(PACKAGE) or ()
    except metadata.PackageNotFoundError:
        return None
    found = (os.path.realpath(each.locate()) for each in files if each.name == FILE)
    return next(found, None)


def version() -> str:
    """Return the version of the package, in words."""
    from importlib import metadata

    try:
        return f"{PACKAGE} {metadata.version(PACKAGE)}"
    except metadata.PackageNotFoundError:
        return "onednn"


def _load(path: str, threads: int) -> tuple[ctypes.CDLL, ctypes.CDLL]:
    """Return OpenMP, which reads its settings while it is loaded, and the library."""
    settings = {"OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": LOOKS}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        return ctypes.CDLL(OPENMP), ctypes.CDLL(path)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _address(array: Any) -> int:
    """Return where an array begins; array.ctypes.data takes four times as long."""
    flags = array.flags
    if flags.writeable and flags.c_contiguous:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))
    if flags.writeable and flags.f_contiguous:
        return ctypes.addressof(ctypes.c_char.from_buffer(array.T))
    return array.ctypes.data


def check(library: OneDNN) -> None:
    """Compare what it computes with float64's, in all the forms that a step has.

    Raises
    ------
    BackendError
        If a number is further off than roundings explain.
    """
    rng = np.random.default_rng(0)
    for batch, inputs, outputs in SHAPES:
        x, w, dy = (
            rng.standard_normal((rows, columns + 3), np.float32)[:, :columns]  # rows apart
            for rows, columns in ((batch, inputs), (outputs, inputs), (batch, outputs))
        )
        for a, b in ((x, w.T), (w, x.T), (dy, w), (dy.T, x)):
            out = np.full((len(a), b.shape[1] + 1), np.nan, np.float32)
            library.multiply(a, b, out[:, :-1])
            exact, most = a.astype("f8") @ b.astype("f8"), np.abs(a) @ np.abs(b)
            right = (np.abs(out[:, :-1] - exact) <= 2**-22 * len(b) * most).all()
            if not (right and np.isnan(out[:, -1]).all()):
                about = f"a wrong product of {a.shape} and {b.shape}"
                raise BackendError(f"oneDNN computes {about}: {NUMPY}")
    for size in LENGTHS:
        theta, grad, m, v = rng.standard_normal((4, size + 1), np.float32)
        v *= v
        begun = [each[:-1].astype("f8") for each in (theta, grad, m, v)]
        last = [each[-1] for each in (theta, m, v)]
        library.adam(theta[:-1], grad[:-1], m[:-1], v[:-1], 0.9, 0.999, 0.01, 1e-3)
        m8 = 0.9 * begun[2] + begun[1]
        v8 = 0.999 * begun[3] + begun[1] ** 2
        theta8 = begun[0] - 0.01 * m8 / (np.sqrt(v8) + 1e-3)
        new = theta, m, v
        close = all(
            np.allclose(each[:-1], exact, rtol=2**-20, atol=2**-20)
            for each, exact in zip(new, (theta8, m8, v8), strict=True)
        )
        if not close or last != [each[-1] for each in new]:
            raise BackendError(f"oneDNN computes a wrong update of {size} numbers: {NUMPY}")
