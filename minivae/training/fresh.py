"""Workers of one machine that are started fresh, where this process cannot be copied by a fork.

What is sent to them is what `Crew.start` calls: all that it holds, with the arrays that processes
share as memory files. What it computes is steps.py's matter, how members meet crew.py's.

A notebook runs threads of its own, and a copy of a process with threads may hang. A fresh process
is safe, and costs the start of a Python. It is given memory by open files without a name, so that
nothing is left behind by whoever is killed; arrays that are there already, of which the user may
hold views, stay at their addresses and get the file's pages in place of their own. The user's own
script is not run again: it needs no ``if __name__ == "__main__"``.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import io
import mmap
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any

import numpy as np

from minivae import products
from minivae.backend import ORDERED
from minivae.training import crew
from minivae.training.crew import BlasThreads, Crew, CrewError
from minivae.vae import VAE

LEAST = 5e10  # images passed, times parameters, from which on a start pays: some seconds of work
FIXED = 0x10  # MAP_FIXED, as Linux and macOS have it; Python does not say
LARGE = 1 << 16  # bytes from which on an array goes as a file


class Unsendable(pickle.PicklingError):
    """Something of the work is known to this process alone."""


def pays(vae: Any, images: int) -> bool:
    """Whether to start workers to train on so many images in all, as `Crew` cannot.

    It depends on counts, not on time, so that a run has the same bits whenever it is begun.
    """
    return (
        os.name == "posix"
        and ORDERED
        and threading.active_count() > 1
        and images * vae.theta.size >= LEAST
        and vae.backend.name == "numpy"
        and bool(sys.executable)
        and multiprocessing.parent_process() is None  # whoever made this one uses the cores
        and not any(other.leads for other in crew.CREWS)  # their copies keep the pages they have
    )


def started(make: Callable[..., Any], notice: Callable[[str], None], *settings: Any) -> Any:
    """Return `make(*settings)`, steps whose workers are there; with a notice of one process if not.

    That is where something of the model is unknown to them, as a class of layers in a notebook.
    """
    steps = make(*settings, FreshCrew)
    try:
        steps.start()
    except (Unsendable, CrewError) as error:
        steps.close()
        notice(f"one core is used, since the step cannot be shared: {error}")
        return make(*settings)
    return steps


class FreshCrew(Crew):
    """As `Crew`; but other members are new processes, which are sent what they are to call."""

    def start(self, work: Callable[[], None]) -> None:
        """Let each worker call `work` and end; return when all are there.

        Raises
        ------
        Unsendable, CrewError
            If they cannot know what it is, or do not start.
        """
        sender = Sender()
        try:
            sent = sender.pickled((work, self))
            code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main()"
            for k in range(1, self.size):
                reading, writing = os.pipe()
                self._pipes.append(writing)
                with open(reading, "rb") as inbox:
                    started = subprocess.Popen(
                        [sys.executable, "-c", code, str(k)],
                        stdin=inbox,
                        pass_fds=tuple(sender.files),
                        start_new_session=True,  # the first process decides when to stop
                        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
                    )
                started.returncode = 0  # `Crew` collects it, by its number
                self._children.append(started.pid)
            self.send_bytes(sent)
            self.meet()
        except (OSError, CrewError) as error:
            self.close()
            raise CrewError(f"processes that share the work do not start ({error})") from None
        except BaseException:
            self.close()
            raise
        finally:
            sender.close()

    def send(self, message: object) -> None:
        """As `Crew.send`, with the library that computes products."""
        super().send((products.in_use is not None, message))

    def messages(self) -> Iterator[Any]:
        """As `Crew.messages`; until the next one products are computed as member 0 does."""
        for onednn, message in super().messages():
            with products.using("onednn" if onednn else "numpy"):
                yield message

    def __getstate__(self) -> dict[str, Any]:
        """Return what another member is to have: no processes of its own."""
        return vars(self) | {"_pipes": [], "_children": []}


def main() -> None:
    """Be the worker whose number is the first argument, for the process at the other end."""
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        inbox = os.fdopen(0, "rb")
        work, joined = pickle.load(inbox)
        joined.k, joined._inbox = int(sys.argv[1]), inbox
        with BlasThreads(1), np.errstate(all="ignore"):
            joined.meet()
            work()
        status = 0
    finally:
        os._exit(status)


class Sender(pickle.Pickler):
    """Pickles an object whose shared arrays stay shared; `files` are open and to be passed on."""

    def __init__(self) -> None:
        self._written = io.BytesIO()
        super().__init__(self._written, protocol=5)
        self.files: list[int] = []
        self._of: dict[int, int] = {}  # the file of a memory, by its address

    def close(self) -> None:
        """Close the files; who has mapped them keeps their memory."""
        while self.files:
            os.close(self.files.pop())

    def pickled(self, sent: object) -> bytes:
        """Return the object as bytes for `pickle.load` in a process that has the same files."""
        try:
            self.dump(sent)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise Unsendable(str(error)) from None
        return self._written.getvalue()

    def reducer_override(self, sent: Any) -> Any:
        """Return how to make again what pickle cannot, or would make with memory of its own."""
        if isinstance(sent, FunctionType | type) and sent.__module__ == "__main__":
            raise Unsendable(f"{sent.__qualname__} is defined in no file that others can import")
        if isinstance(sent, np.ndarray) and not sent.dtype.hasobject:
            return self._array(sent)
        if isinstance(sent, memoryview):
            return memoryview, (np.asarray(sent),)
        if isinstance(sent, VAE):  # by itself it would be made anew
            return object.__new__, (type(sent),), vars(sent) | {"_idle": []}
        if isinstance(sent, ModuleType):
            return importlib.import_module, (sent.__name__,)
        if isinstance(sent, MappingProxyType):
            return _view, (dict(sent),)
        if isinstance(sent, BlasThreads):
            return BlasThreads, (sent.threads,)
        return NotImplemented

    def _array(self, array: np.ndarray) -> Any:
        root, base = array, array
        while isinstance(base, np.ndarray | memoryview):
            root = base if isinstance(base, np.ndarray) else root
            base = base.base if isinstance(base, np.ndarray) else base.obj
        if isinstance(root, np.memmap) and root.filename is not None:
            if array is root:
                return np.memmap, (root.filename, root.dtype, "r", root.offset, root.shape)
        elif isinstance(base, mmap.mmap):
            memory = np.frombuffer(base, np.uint8)
            start = _address(memory)
            if start not in self._of:
                self._of[start] = self._file(memory, exchange=True)
            return attached, (self._of[start], _address(array) - start, *_layout(array))
        elif array is root:
            if array.nbytes < LARGE or not array.flags.c_contiguous:
                return NotImplemented
            return attached, (self._file(array), 0, *_layout(array), mmap.ACCESS_COPY)
        return within, (root, _address(array) - _address(root), *_layout(array))

    def _file(self, array: np.ndarray, exchange: bool = False) -> int:
        """Return a new file that holds the array; `exchange`: the array's own pages from now on."""
        file = os.memfd_create("minivae") if hasattr(os, "memfd_create") else _unnamed()
        self.files.append(file)
        rest = memoryview(array).cast("B")
        while rest:
            rest = rest[os.write(file, rest) :]
        if exchange:
            _exchange(_address(array), array.nbytes, file)
        return file


def attached(
    file: int, start: int, shape: Any, strides: Any, dtype: Any, access: int = mmap.ACCESS_WRITE
) -> np.ndarray:
    """Return an array in a file's memory, which starts at that byte; as a worker."""
    return np.ndarray(shape, dtype, _memory(file, access), start, strides)


def within(root: np.ndarray, start: int, shape: Any, strides: Any, dtype: Any) -> np.ndarray:
    """Return an array in another one's memory, which starts at that byte."""
    return np.ndarray(shape, dtype, root, start, strides)


@functools.cache
def _memory(file: int, access: int) -> mmap.mmap:
    memory = mmap.mmap(file, 0, access=access)
    os.close(file)
    return memory


def _view(mapping: dict[str, Any]) -> MappingProxyType[str, Any]:
    return MappingProxyType(mapping)


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _layout(array: np.ndarray) -> tuple[Any, ...]:
    return array.shape, array.strides, array.dtype


def _unnamed() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _exchange(address: int, size: int, file: int) -> None:
    """Put a file's pages at the address of a mapped memory, in place of those there."""
    call = ctypes.CDLL(None, use_errno=True).mmap
    call.restype = ctypes.c_void_p
    call.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    how = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | FIXED
    if call(address, size, *how, file, 0) != address:
        raise OSError(ctypes.get_errno(), "memory cannot be shared")
