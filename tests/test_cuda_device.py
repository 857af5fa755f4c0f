"""What Device asks of CuPy, and in which order, seen by a stand-in that writes it down."""

import contextlib
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from minivae.cuda.device import Device
from minivae.errors import BackendError


class Array(np.ndarray):
    def set(self, values, stream=None):
        assert values.shape == self.shape and values.dtype == self.dtype and stream is not None
        LOG.append(("copy", stream.name))
        self[...] = values


LOG = []
current = None


class Stream:
    count = 0

    def __init__(self, non_blocking):
        assert non_blocking
        self.name, self.ptr, self.capturing = f"s{Stream.count}", 100 + Stream.count, False
        Stream.count += 1

    def use(self):
        global current
        current = self

    def __enter__(self):
        LOG.append(("enter", self.name))

    def wait_event(self, event):
        LOG.append(("wait", self.name, event.recorded))

    def synchronize(self):
        LOG.append(("synchronize", self.name))

    def begin_capture(self):
        self.capturing = True

    def end_capture(self):
        assert self.capturing
        self.capturing = False
        return SimpleNamespace(launch=lambda stream: LOG.append(("graph", stream.name)))


class Event:
    def __init__(self, disable_timing):
        self.recorded = None

    def record(self, stream):
        self.recorded = f"{stream.name}@{len(LOG)}"
        LOG.append(("record", stream.name))

    def synchronize(self):
        LOG.append(("wait for copy", self.recorded))


class Module:
    def __init__(self, code, options):
        assert "__global__" in code
        self.options = options
        LOG.append(("compile", options))

    def compile(self):
        pass

    def get_function(self, name):
        def launch(grid, block, arguments):
            assert None not in [a for a in arguments if not isinstance(a, np.ndarray)]
            LOG.append(("launch", name, current.name, self.options[0]))

        return launch


@pytest.fixture
def device():
    LOG.clear()
    Stream.count = 0
    cuda = SimpleNamespace(
        Stream=Stream,
        Event=Event,
        Device=lambda index: SimpleNamespace(use=lambda: LOG.append(("device", index))),
        alloc_pinned_memory=lambda size: LOG.append(("pin", size)) or bytearray(size),
        memory=SimpleNamespace(OutOfMemoryError=MemoryError),
        runtime=SimpleNamespace(memGetInfo=lambda: (1000, 5000)),
    )
    cupy = SimpleNamespace(
        cuda=cuda,
        RawModule=Module,
        empty=lambda shape, dtype: np.empty(shape, dtype).view(Array),
        asarray=lambda array, dtype: np.array(array, dtype).view(Array),
        asnumpy=np.array,
        get_default_memory_pool=lambda: SimpleNamespace(free_bytes=lambda: 20),
    )
    device = Device(cupy, 3)
    device.use()
    LOG.clear()
    return device


def test_a_kernel_is_compiled_once_for_each_type(device):
    a = device.zeros((3,), np.float32)
    for dtype in (np.dtype("float32"), np.dtype("float64"), np.dtype("float32")):
        device.launch("relu", (1,), (256,), (1, 3, a, 3, a, 3), dtype)
        device.launch("adam", (1,), (256,), (3, a, None), dtype)
    assert [entry for entry in LOG if entry[0] == "compile"] == [
        ("compile", ("-DREAL=float",)), ("compile", ("-DREAL=double",))
    ]  # fmt: skip
    assert sum(entry[0] == "launch" for entry in LOG) == 6


def test_a_compiler_that_fails_is_one_line(device, monkeypatch):
    def fail(code, options):
        raise RuntimeError("nvrtc: error\n at line 1")

    monkeypatch.setattr(device.cupy, "RawModule", fail)
    with pytest.raises(BackendError, match=r"cannot compile minivae's kernels .*nvrtc: error at"):
        device.launch("relu", (1,), (1,), (), np.dtype("float32"))


def test_lanes_begin_after_what_was_before_and_end_before_what_comes(device):
    seen = []
    for _ in range(2):
        device.fork(lambda: seen.append((device.lane, current.name, device.stream())))
        assert device.lane == 0 and current.name == "s0"
    device.join()
    assert seen == [(1, "s1", 101), (2, "s2", 102)]
    assert LOG == [
        ("record", "s0"),
        ("wait", "s1", "s0@0"),
        ("record", "s1"),
        ("record", "s0"),
        ("wait", "s2", "s0@3"),
        ("record", "s2"),
        ("wait", "s0", "s1@2"),
        ("wait", "s0", "s2@5"),
    ]
    assert device.lane == 0 and current.name == "s0" and device.stream() == 100
    LOG.clear()
    device.fork(lambda: None)  # the first lane again
    device.join()
    assert [entry[1] for entry in LOG] == ["s0", "s1", "s1", "s0"]


def test_a_lane_that_fails_leaves_the_first_one_current(device):
    with pytest.raises(ZeroDivisionError):
        device.fork(lambda: 1 / 0)
    assert device.lane == 0 and current.name == "s0"
    device.join()
    assert LOG[-1][:2] == ("wait", "s0")  # what was begun is waited for


def test_a_graph_keeps_the_arrays_and_launches_on_the_first_stream(device):
    a, b = device.zeros((3,), np.float32), device.zeros((2,), np.float32)

    def step():
        device.launch("relu", (1,), (1,), (1, a, None, 2.0), a.dtype)
        device.hold((b, 5))

    graph = device.capture(step)
    assert [id(part) for part in graph._held] == [id(a), id(b)]
    device.launch("relu", (1,), (1,), (b,), a.dtype)
    assert len(graph._held) == 2
    graph.launch()
    assert LOG[-1] == ("graph", "s0")


def test_a_capture_that_fails_is_ended(device):
    def fail():
        raise KeyError("inside")

    with pytest.raises(KeyError):
        device.capture(fail)
    assert not device._lanes[0].capturing and device._held is None


def test_a_capture_that_cannot_begin_leaves_no_trace(device, monkeypatch):
    monkeypatch.setattr(device._lanes[0], "begin_capture", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        device.capture(lambda: None)
    assert device._held is None


def test_uploads_take_turns_and_wait_only_for_the_last_but_one(device):
    out = device.zeros((4,), np.int64)
    for number in range(4):
        device.upload("order", np.full(4, number), out)
        assert (out == number).all()
    assert [entry[0] for entry in LOG] == [
        "pin", "copy", "record",
        "pin", "copy", "record",
        "wait for copy", "copy", "record",
        "wait for copy", "copy", "record",
    ]  # fmt: skip
    assert LOG[6][1] == "s0@2" and LOG[9][1] == "s0@5"
    part = out[:2]
    device.upload("order", np.arange(2), part)  # shorter: the same buffer
    device.upload("order", np.arange(4), out)
    assert sum(entry[0] == "pin" for entry in LOG) == 2
    with contextlib.suppress(AssertionError):
        device.upload("order", np.arange(8), out)  # longer: a new one, once the copy is done
    assert LOG[-1] == ("pin", 64) and LOG[-2][0] == "wait for copy"


def test_the_stream_is_entered_once_and_used_each_time(device):
    other = Device(device.cupy, 4)
    other.use()
    other.use()
    assert LOG == [("device", 4), ("enter", "s1"), ("device", 4)] and current.name == "s1"
    device.use()
    assert current.name == "s0"
    LOG.clear()
    thread = threading.Thread(target=device.use)
    thread.start()
    thread.join()
    assert LOG == [("device", 3), ("enter", "s0")]  # each thread for itself


def test_numbers_come_back_whole(device, monkeypatch):
    def asnumpy(array):
        assert array.flags.c_contiguous
        return np.array(array)

    monkeypatch.setattr(device.cupy, "asnumpy", asnumpy)
    whole = np.arange(12.0).reshape(3, 4).view(Array)
    assert np.array_equal(device.to_host(whole[:, 2:]), np.arange(12.0).reshape(3, 4)[:, 2:])


def test_free_memory_counts_what_the_pool_holds(device):
    assert device.free_memory() == 1020
    device.forget_uploads()
    assert LOG[-1] == ("synchronize", "s0")
