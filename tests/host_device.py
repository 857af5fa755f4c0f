"""A device in host memory: kernels.cu compiled by g++, on real CuPy arrays where CuPy is installed.

It stands in for minivae.cuda.device.Device in tests; what it cannot show (races, alignment, the
limits of a launch) needs a GPU.
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from minivae.cuda.detect import describe
from minivae.cuda.device import SOURCE, Device, open_device
from minivae.cuda.fusion import LIBRARY

try:
    import cupy
except Exception:  # not installed, or broken: NumPy's arrays do
    cupy = None

HERE = Path(__file__).parent / "cuda_host"
TEXT = SOURCE.read_text()
BOUNDS = r"(?:__launch_bounds__\(\w+\)\s+)?"
KERNELS = re.findall(rf"^extern .C. __global__ void {BOUNDS}(\w+)\(", TEXT, re.MULTILINE)
KERNELS += re.findall(r"^(?:FORWARD|BACKWARD)\((\w+),", TEXT, re.MULTILINE)
for name in re.findall(r"^ACTIVATION\((\w+),", TEXT, re.MULTILINE):
    KERNELS += [name, f"{name}_backward"]
KERNELS += [f"product_{side}" for side in re.findall(r"^PRODUCT\((\d)\)", TEXT, re.MULTILINE)]
KERNELS += [f"gradients_{side}" for side in re.findall(r"^GRADIENTS\((\d)\)", TEXT, re.MULTILINE)]
for rows in re.findall(r"^MIDDLE\((\d)\)", TEXT, re.MULTILINE):
    KERNELS += [f"middle_forward_{rows}", f"middle_backward_{rows}"]
for name in re.findall(r"^LIKELIHOOD\((\w+)\)", TEXT, re.MULTILINE):
    KERNELS += [f"{name}_nll", f"{name}_product_2", f"{name}_product_4"]
LIBRARIES = {}
POINTED = {"float32": "f", "float64": "d", "int64": "i", "uint32": "u"}

NO_COMPILER = "g++ is not installed: the kernels cannot be tried on a CPU"
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason=NO_COMPILER)


KINDS = [  # of device and arrays, to run a test on
    pytest.param("cupy", marks=pytest.mark.skipif(cupy is None, reason="CuPy is not installed")),
    "numpy",
    pytest.param("gpu", marks=pytest.mark.gpu),
]


def device_of(kind, free=1 << 40):
    """Return a device for a test: the host with arrays of CuPy or NumPy, or a GPU."""
    if kind != "gpu":
        if shutil.which("g++") is None:
            pytest.skip(NO_COMPILER)
        return HostDevice(kind, free)
    facts = describe()
    if not facts["available"]:
        pytest.skip(f"no GPU: {facts['reason']}")
    return open_device()


def build(real: str) -> ctypes.CDLL:
    """Compile the kernels with REAL as "float" or "double", once for each version of the text."""
    text = f'#define REAL {real}\n#include "{HERE / "cuda_host.h"}"\n#include "{SOURCE}"\n'
    text += "".join(f"EXPORT({kernel})\n" for kernel in KERNELS)
    content = text.encode() + SOURCE.read_bytes() + (HERE / "cuda_host.h").read_bytes()
    name = f"minivae-kernels-{os.getuid()}-{hashlib.sha256(content).hexdigest()[:16]}.so"
    library = Path(tempfile.gettempdir()) / name
    if not library.exists():
        with tempfile.TemporaryDirectory() as folder:
            source, built = Path(folder) / "kernels.cpp", Path(folder) / "kernels.so"
            source.write_text(text)
            command = ["g++", "-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-shared"]
            command += [
                "-U_FORTIFY_SOURCE",
                "-Wall",
                "-Wno-unknown-pragmas",
                "-Werror",
                str(source),
                "-o",
                str(built),
            ]
            subprocess.run(command, check=True)
            os.replace(shutil.copy(built, f"{library}.{os.getpid()}"), library)
    return ctypes.CDLL(str(library))


def view(array):
    """Return the same memory as a NumPy array; a copy of what lies on a GPU."""
    if isinstance(array, (np.ndarray, np.generic, float)):
        return np.asarray(array)
    if not isinstance(array, HostArray):
        return cupy.asnumpy(array)
    low = array.data.ptr
    size = (
        sum((n - 1) * step for n, step in zip(array.shape, array.strides, strict=True))
        + array.itemsize
    )
    raw = (ctypes.c_char * size).from_address(low)
    raw.owner = array  # whose memory it is
    return np.ndarray(array.shape, array.dtype, raw, 0, array.strides)


def write(array, values):
    """Overwrite an array of any of the devices."""
    if isinstance(array, (np.ndarray, HostArray)):
        view(array)[...] = values
    else:
        array[...] = cupy.asarray(values, array.dtype)


def allocate(size):
    """Give CuPy memory of the host, all bits set: float NaN until something is written."""
    buffer = np.full(max(size, 1), 255, np.uint8)
    memory = cupy.cuda.UnownedMemory(buffer.ctypes.data, size, buffer, 0)
    return cupy.cuda.MemoryPointer(memory, 0)


if cupy is None:
    HostArray = np.ndarray
else:

    class HostArray(cupy.ndarray):
        """A CuPy array in host memory; what CuPy would launch a kernel for is done by NumPy."""

        def __setitem__(self, key, value):
            view(self)[key] = view(value) if isinstance(value, cupy.ndarray) else value

        def sum(self, axis=None):
            return HostDevice.current.asarray(view(self).sum(axis=axis))

        def max(self):
            return view(self).max()

        def min(self):
            return view(self).min()

        def copy(self):
            return HostDevice.current.asarray(view(self).copy())

        def _by_numpy(operation):
            def method(self, other):
                other = view(other) if isinstance(other, cupy.ndarray) else other
                return HostDevice.current.asarray(operation(view(self), other))

            return method

        __mul__, __add__ = _by_numpy(np.multiply), _by_numpy(np.add)
        __sub__, __rsub__ = _by_numpy(np.subtract), _by_numpy(lambda a, b: b - a)
        __rmul__, __radd__ = __mul__, __add__


class HostDevice(Device):
    """What Device offers, in host memory; a captured graph is the list of its launches.

    Attributes
    ----------
    turn : int
        Who goes first among the threads of a block: 0 the first, 1 the last, else mixed.
    launches : list of str
        The kernels launched so far.
    """

    current = None

    def __init__(self, arrays="cupy" if cupy is not None else "numpy", free=1 << 40):
        self.arrays, self.free = arrays, free
        self.index = self.lane = self.turn = 0
        self.launches, self.downloads, self.forked = [], 0, []
        self._held = self._recording = self._pending = None
        HostDevice.current = self

    def use(self):
        pass

    def empty(self, shape, dtype):
        if self.arrays == "cupy":
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            return HostArray(shape, np.dtype(dtype), allocate(size))
        array = np.empty(shape, dtype)
        array.reshape(-1).view(np.uint8)[...] = 255
        return array

    def asarray(self, array, dtype=None):
        if self.arrays == "numpy" or isinstance(array, cupy.ndarray):
            return array if dtype is None else np.asarray(array, dtype)
        array = np.asarray(array, dtype)
        out = self.empty(array.shape, array.dtype)
        view(out)[...] = array
        return out

    def to_host(self, array):
        self.downloads += 1
        return view(array).copy()

    def address(self, array):
        return pack(array)[1].value

    def upload(self, name, values, out):
        assert values.dtype == out.dtype and values.shape == out.shape
        assert out.flags.c_contiguous and self._recording is None
        view(out)[...] = values

    def forget_uploads(self):
        pass

    def synchronize(self):
        pass

    def free_memory(self):
        return self.free

    def fork(self, function):
        self.flush()
        self.forked.append(function)

    def join(self):
        """Run what was forked as late as it may, and in no order that is given."""
        self.flush()
        for lane, function in reversed(list(enumerate(self.forked, 1))):
            self.lane = lane
            function()
            self.flush()
        self.lane = 0
        self.forked.clear()

    def capture(self, function):
        held = self._held = []
        recording = self._recording = []
        function()
        self.flush()
        self._held = self._recording = None
        return HostGraph(self, recording, held)

    def cublaslt(self):
        return True  # see `product_in_tf32`

    def _start(self, launch):
        kernel, grid, block, arguments, dtype = launch
        packed = arguments if kernel == LIBRARY else tuple(map(pack, arguments))
        launch = (kernel, grid, block, packed, np.dtype(dtype))
        if self._recording is not None:
            self._recording.append(launch)
        else:
            self.run(*launch)

    def run(self, kernel, grid, block, packed, dtype):
        self.launches.append(kernel)
        if kernel == LIBRARY:
            product_in_tf32(*packed)
            return
        real = {"float32": "float", "float64": "double"}[dtype.name]
        if real not in LIBRARIES:
            LIBRARIES[real] = build(real)
        library = LIBRARIES[real]
        takes = getattr(library, f"takes_{kernel}")
        takes.restype = ctypes.c_char_p
        wanted, given = takes().decode(), "".join(letter for letter, _ in packed)
        assert len(wanted) == len(given), f"{kernel} takes {wanted}, was given {given}"
        for place, (want, got) in enumerate(zip(wanted, given, strict=True)):
            fits = got == want or (want in "fdiuv" and got == "0") or (want == "v" and got in "fdv")
            assert fits, f"{kernel}: argument {place} of {given}, for {wanted}"
        dims = (ctypes.c_uint * 6)(*(*grid, 1, 1)[:3], *(*block, 1, 1)[:3])
        pointers = (ctypes.c_void_p * len(packed))(*(ctypes.addressof(v) for _, v in packed))
        function = getattr(library, f"launch_{kernel}")
        function.restype = ctypes.c_char_p
        error = function(dims, self.turn, pointers)
        assert error is None, f"{kernel}: {error.decode()}"


def product_in_tf32(a, b, out, bias, relu):
    """What cuBLASLt does in TF32: factors are rounded to 10 bits, sums are float32's."""
    value = to_tf32(view(a)) @ to_tf32(view(b))
    if bias is not None:
        value += view(bias)
    view(out)[...] = np.maximum(value, 0) if relu else value


def to_tf32(array, bits=10):
    """Return float32 numbers rounded to that many bits after the first."""
    lost = 23 - bits
    numbers = np.ascontiguousarray(array).view(np.uint32)
    numbers = numbers + ((1 << (lost - 1)) - 1) + ((numbers >> lost) & 1)
    return (numbers >> lost << lost).astype(np.uint32).view(np.float32)


class HostGraph:
    """Recorded launches: pointers and numbers as they were, like a CUDA graph's."""

    def __init__(self, device, recording, held):
        self.device, self.recording, self.held = device, recording, held

    def launch(self):
        for launch in self.recording:
            self.device.run(*launch)


def pack(argument):
    """Return an argument's letter (see cuda_host.h) and the C value; "0" is no pointer."""
    if argument is None:
        return "0", ctypes.c_void_p(0)
    if isinstance(argument, bool):
        raise TypeError("a bool as a kernel's argument")
    if isinstance(argument, int):
        return "I", ctypes.c_longlong(argument)
    if isinstance(argument, float):
        return "D", ctypes.c_double(argument)
    address = argument.ctypes.data if isinstance(argument, np.ndarray) else argument.data.ptr
    return POINTED.get(argument.dtype.name, "v"), ctypes.c_void_p(address)
