"""One CUDA device: its arrays, its streams, and the one function through which kernels start.

Everything that is asked of CuPy while a model runs is asked here; what the kernels compute is for
kernels.cu, in which order they run for the formulas and the epoch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from minivae.cuda.detect import check_device, import_cupy, one_line, out_of_memory
from minivae.cuda.fusion import LIBRARY, Launch, fuse, may_be_followed
from minivae.errors import BackendError

SOURCE = Path(__file__).with_name("kernels.cu")
_open: dict[int, Device] = {}


def open_device(index: int = 0) -> Device:
    """Return the device of that number, the same object each time.

    Raises
    ------
    BackendError
        If this machine cannot offer it, with what to do.
    """
    if index not in _open:
        cupy = import_cupy()
        check_device(cupy, index)
        _open[index] = Device(cupy, index)
    _open[index].use()
    return _open[index]


class Device:
    """Arrays on a device and launches on a stream of its own, which can be captured.

    Attributes
    ----------
    lane : int
        Which of the parallel streams is current; 0 except within `fork`.
    """

    def __init__(self, cupy: Any, index: int) -> None:
        self.cupy, self.index = cupy, index
        self.lane = 0
        self._lanes = [cupy.cuda.Stream(non_blocking=True)]
        self._events: list[list[Any]] = []  # before and after each lane but the first
        self._forks = 0  # since the last join
        self._entered = threading.local()
        self._kernels: dict[tuple[str, Any], Any] = {}
        self._modules: dict[Any, Any] = {}
        self._held: list[Any] | None = None  # while a graph is captured
        self._pending: Launch | None = None
        self._pinned: dict[str, Any] = {}
        self._library: Any = None

    def use(self) -> None:
        """Make this device and its stream the current ones of this thread.

        A thread enters the stream once, never to leave it: CuPy goes back to the stream last
        entered, not to the one in use, where it enters one itself.
        """
        self.cupy.cuda.Device(self.index).use()
        if not hasattr(self._entered, "done"):
            self._lanes[0].__enter__()
            self._entered.done = True
        self._lanes[0].use()

    # --- Arrays --------------------------------------------------------------------------------

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return an uninitialised, C-contiguous array."""
        try:
            return self.cupy.empty(shape, dtype)
        except self.cupy.cuda.memory.OutOfMemoryError as error:
            raise out_of_memory(error) from error

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return an array of zeros."""
        array = self.empty(shape, dtype)
        array[...] = 0
        return array

    def asarray(self, array: Any, dtype: Any = None) -> Any:
        """Return the values as an array on the device, copied only where needed."""
        try:
            return self.cupy.asarray(array, dtype)
        except self.cupy.cuda.memory.OutOfMemoryError as error:
            raise out_of_memory(error) from error

    def to_host(self, array: Any) -> np.ndarray:
        """Return the values as a NumPy array; waits for the device."""
        if not array.flags.c_contiguous:
            array = array.copy()  # here, on our stream, and not within asnumpy
        return self.cupy.asnumpy(array)

    def address(self, array: Any) -> int:
        """Return where the array lies on the device, for kernels that are given a table of such."""
        return array.data.ptr

    def upload(self, name: str, values: np.ndarray, out: Any) -> None:
        """Copy to an array on the device without waiting for it.

        The values pass through the two pinned buffers of that name in turn; the last copy but one
        of the name is waited for, which leaves the device one to work on.
        """
        cuda = self.cupy.cuda
        turn, buffers, copied = self._pinned.get(name, (0, [None, None], [None, None]))
        if copied[turn] is not None:
            copied[turn].synchronize()
        if buffers[turn] is None or len(buffers[turn]) < values.nbytes:
            memory = cuda.alloc_pinned_memory(values.nbytes)
            buffers[turn] = np.frombuffer(memory, np.uint8, values.nbytes)
        staged = buffers[turn][: values.nbytes].view(values.dtype).reshape(values.shape)
        np.copyto(staged, values)
        out.set(staged, stream=self._lanes[0])
        copied[turn] = copied[turn] or cuda.Event(disable_timing=True)
        copied[turn].record(self._lanes[0])
        self._pinned[name] = (1 - turn, buffers, copied)

    def forget_uploads(self) -> None:
        """Let go of the pinned buffers, after all copies."""
        self.synchronize()
        self._pinned.clear()

    def free_memory(self) -> int:
        """Return how many bytes may still be allocated: the device's and the pool's own."""
        free, _ = self.cupy.cuda.runtime.memGetInfo()
        return free + self.cupy.get_default_memory_pool().free_bytes()

    def synchronize(self) -> None:
        """Wait for everything launched so far."""
        self._lanes[0].synchronize()

    # --- Launches ------------------------------------------------------------------------------

    def launch(
        self,
        kernel: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        arguments: Sequence[Any],
        dtype: Any,
    ) -> None:
        """Launch a kernel of kernels.cu, compiled for that dtype, or the library's product.

        Arguments are arrays or None (pointers), int (long long) and float (double). Nothing checks
        them here: they must be those of the kernel.
        """
        launch = Launch(kernel, grid, block, tuple(arguments), dtype)
        if self._held is None:
            self._start(launch)
            return
        fused = fuse(self._pending, launch) if self._pending is not None else None
        if fused is None:
            self.flush()
        self._pending = fused or launch
        if not may_be_followed(self._pending):
            self.flush()

    def flush(self) -> None:
        """Start the launch that waits for one to be fused with; only while a graph is captured."""
        launch, self._pending = self._pending, None
        if launch is not None:
            self.hold(launch.arguments)
            self._start(launch)

    def _start(self, launch: Launch) -> None:
        kernel, grid, block, arguments, dtype = launch
        if kernel == LIBRARY:
            self.cublaslt().matmul(*arguments)
            return
        function = self._kernels.get((kernel, dtype))
        if function is None:
            function = self._kernels[kernel, dtype] = self._load(kernel, np.dtype(dtype))
        function(grid, block, tuple(0 if part is None else part for part in arguments))

    def hold(self, arguments: Sequence[Any]) -> None:
        """Keep the arrays among these, where a graph is being captured: it does not itself."""
        if self._held is not None:
            self._held.extend(part for part in arguments if hasattr(part, "data"))

    def _load(self, kernel: str, dtype: np.dtype) -> Any:
        if dtype not in self._modules:
            real = {np.dtype("float32"): "float", np.dtype("float64"): "double"}[dtype]
            try:
                module = self.cupy.RawModule(code=SOURCE.read_text(), options=(f"-DREAL={real}",))
                module.compile()
            except Exception as error:  # CompileException, or NVRTC's own
                raise BackendError(
                    f"CUDA cannot compile minivae's kernels for device {self.index} "
                    f"({one_line(error)}): reinstall CuPy, see minivae info"
                ) from error
            self._modules[dtype] = module
        return self._modules[dtype].get_function(kernel)

    def stream(self) -> int:
        """Return the current stream's handle, for libraries called beside CuPy."""
        return self._lanes[self.lane].ptr

    def cublaslt(self) -> Any:
        """Return the cuBLASLt library's products on this device, loaded once."""
        if self._library is None:
            from minivae.cuda.cublaslt import CublasLt

            self._library = CublasLt(self)
        return self._library

    def fork(self, function: Callable[[], None]) -> None:
        """Call the function with its launches on a stream of its own, after what was before.

        What is launched later does not wait for them, until `join`; it must not write to what they
        read or write.
        """
        self.flush()
        cuda = self.cupy.cuda
        self._forks += 1
        while len(self._lanes) <= self._forks:
            self._lanes.append(cuda.Stream(non_blocking=True))
            self._events.append([cuda.Event(disable_timing=True) for _ in range(2)])
        main, stream = self._lanes[0], self._lanes[self._forks]
        before, after = self._events[self._forks - 1]
        before.record(main)
        stream.wait_event(before)
        self.lane = self._forks
        stream.use()  # not `with`: a lane may be left by an error
        try:
            function()
            self.flush()
        finally:
            self.lane = 0
            main.use()
            after.record(stream)

    def join(self) -> None:
        """Let what is launched from now on wait for all that was forked."""
        self.flush()
        for _, after in self._events[: self._forks]:
            self._lanes[0].wait_event(after)
        self._forks = 0

    def capture(self, function: Callable[[], None]) -> Graph:
        """Return what the function launches as a graph, without running it.

        Launches that can be one are (see fusion.py).
        """
        stream = self._lanes[0]
        stream.begin_capture()
        held = self._held = []
        try:
            function()
            self.flush()
        except BaseException:
            with suppress(Exception):
                self.join()
                stream.end_capture()  # leaves the capturing state; what it has is of no use
            raise
        finally:
            self._held = self._pending = None
        return Graph(stream.end_capture(), stream, held)


class Graph:
    """Captured launches, with the arrays that they use: a CUDA graph does not keep those alive."""

    def __init__(self, graph: Any, stream: Any, held: list[Any]) -> None:
        self._graph, self._stream, self._held = graph, stream, held

    def launch(self) -> None:
        """Launch all of it again, in the same order, with the same arguments."""
        self._graph.launch(self._stream)
