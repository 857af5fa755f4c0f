"""Several processes that share one training step: how they start, meet and end.

What a step computes is for the model and the optimizer; here is only who computes which part.

Why processes and not threads: a step makes a hundred short NumPy calls, and threads must hand
Python's lock to one another around each of them. Copies of the process (`fork`) have a lock each.
They work on the same arrays because `shared_empty` takes memory that a fork shares. Where a fork is
not safe (Windows; a process that runs threads of its own; processors that may reorder writes to
memory), one process computes all, on one core, or fresh.py starts others.
"""

from __future__ import annotations

import functools
import os
import pickle
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from minivae.backend import ORDERED, shared_empty
from minivae.errors import ArgumentError, MinivaeError

SPINS = 2000  # looks at a flag before the processor is offered to others
MOST = 1024  # processes, or threads


class CrewError(MinivaeError):
    """A process that shared the work has ended before its time."""


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cores(threads: int | None) -> int:
    """Return how many cores to use: those asked for, or those available.

    Raises
    ------
    ArgumentError
        If the number is below 1 or above 1024.
    """
    if threads is None:
        return min(available_cores(), MOST)
    if not 1 <= threads <= MOST:
        raise ArgumentError(f"the number of threads must be from 1 to {MOST}, not {threads}")
    return threads


def can_fork() -> bool:
    """Whether copies of this process can share its work: see the head of this module."""
    return hasattr(os, "fork") and ORDERED and threading.active_count() == 1


def why_alone() -> str:
    """Say why processes cannot share the work of this one."""
    if hasattr(os, "fork") and ORDERED and threading.active_count() > 1:
        return (
            f"this process has {threading.active_count()} threads, as a notebook has, and such a "
            "one has processes to share a step in a longer training alone"
        )
    return "processes cannot share a step of this model on this machine"


_held: dict[object, int] = {}  # how many threads the products shall use, by who wants it and age


class BlasThreads:
    """How many threads matrix products use, from `hold` to `release`; or as a context.

    Several may hold at a time, one within another or in turn: the last that called `hold` is
    obeyed. With the last `release` the products have the threads that they had before the first.
    One that is dropped is released.
    """

    _before: Any = None

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._end: Any = None

    def hold(self) -> None:
        """Set the number, again if somebody else has changed it."""
        limit = _controller().limit(limits=self.threads, user_api="blas")
        if self._end is None or not self._end.alive:
            if not _held:
                BlasThreads._before = limit
            key = object()
            _held[key] = self.threads
            self._end = weakref.finalize(self, _release, key)

    def release(self) -> None:
        """Give it up; whoever still holds has its own number again."""
        if self._end is not None:
            self._end()

    def __enter__(self) -> BlasThreads:  # noqa: D105
        self.hold()
        return self

    def __exit__(self, *error: object) -> None:  # noqa: D105
        self.release()


def _release(key: object) -> None:
    del _held[key]
    if _held:
        _controller().limit(limits=list(_held.values())[-1], user_api="blas")
    else:
        BlasThreads._before.restore_original_limits()


def kernel() -> str:
    """Return what computes NumPy's products, in words: "openblas 0.3.30 Haswell"."""
    found = [info for info in _controller().info() if info["user_api"] == "blas"]
    found.sort(key=lambda info: "numpy" not in info["filepath"])  # SciPy brings one of its own
    info = found[0] if found else {}
    words = (info.get(key) for key in ("internal_api", "version", "architecture"))
    return " ".join(filter(None, words)) or "an unknown library"


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


class Crew:
    """A process, member 0, and copies of it that compute with it until they are done.

    Nobody waits in a circle: a member says that it has arrived before it waits, the counts only
    grow, and copies wait for their own crew alone, so member 0 can lead several in turn. Who is
    waited for and has ended is noticed, by the first process or by its end.

    Parameters
    ----------
    size : int
        How many members, the first process included.

    Raises
    ------
    CrewError
        By whatever waits for a member that has ended.
    """

    def __init__(self, size: int) -> None:
        self.size, self.k = size, 0
        flags = shared_empty((size, 8), np.int64)  # a cache line each: how often it has arrived
        self._arrived = [memoryview(flags[k]) for k in range(size)]
        self._stop = memoryview(shared_empty((1,), np.int64))
        self._done = memoryview(shared_empty((size,), np.int64))  # who has finished its work
        self._children: list[int] = []
        self._pipes: list[int] = []
        self._round = 0
        self._parent = os.getpid()
        CREWS.add(self)
        weakref.finalize(self, _end, self._pipes, self._children)

    def start(self, work: Callable[[], None]) -> None:
        """Let each copy call `work`, with its number in `self.k`, and end."""
        for k in range(1, self.size):
            try:
                reading, writing = os.pipe()
                self._pipes.append(writing)
                child = os.fork()
            except OSError as error:
                self.close()
                raise MinivaeError(
                    f"{self.size} processes cannot be started ({error.strerror}): use a smaller "
                    "number with --threads"
                ) from None
            if child == 0:
                self._be_member(k, reading, work)
            os.close(reading)
            self._children.append(child)

    def _be_member(self, k: int, reading: int, work: Callable[[], None]) -> None:
        status = 1
        try:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # the first process decides when to stop
            self.k = k
            self._inbox = os.fdopen(reading, "rb")
            work()
            self._done[k] = 1
            status = 0
        finally:
            os._exit(status)

    def send(self, message: object) -> None:
        """As member 0: give every copy a message; the processor is not used while they wait."""
        self.send_bytes(pickle.dumps(message))

    def send_bytes(self, data: bytes) -> None:
        """As `send`, of what is pickled."""
        for pipe in self._pipes:
            rest = memoryview(data)
            try:
                while rest:
                    rest = rest[os.write(pipe, rest) :]
            except BrokenPipeError:
                raise self._lost() from None

    def messages(self) -> Iterator[Any]:
        """As another member: yield what member 0 sends, until it closes or ends."""
        while True:
            try:
                yield pickle.load(self._inbox)
            except EOFError:
                return

    def spread(self) -> None:
        """Move the member that calls this to a core of its own; it may be moved on afterwards.

        A process that was asleep wakes beside the one that woke it, and Linux can leave both on one
        core for a tenth of a second, which is many steps.
        """
        if self.size > 1 and hasattr(os, "sched_setaffinity"):
            with suppress(OSError):  # some sandboxes refuse it
                own = sorted(os.sched_getaffinity(0))
                os.sched_setaffinity(0, {own[self.k % len(own)]})
                os.sched_setaffinity(0, own)

    def rows(self, n: int) -> slice:
        """Return this member's share of n rows."""
        return slice(n * self.k // self.size, n * (self.k + 1) // self.size)

    def meet(self) -> None:
        """Return when every member has called this equally often."""
        self._round += 1
        self._arrived[self.k][0] = self._round
        for arrived in self._arrived:
            self._await(arrived, self._round)

    def release(self, stop: bool = False) -> None:
        """As member 0: let the others pass their next `follow`, and tell them whether to stop."""
        self._stop[0] = stop
        self._round += 1
        self._arrived[0][0] = self._round

    def follow(self) -> bool:
        """As another member: wait for member 0's `release`; return whether to go on."""
        self._round += 1
        self._arrived[self.k][0] = self._round
        self._await(self._arrived[0], self._round)
        return not self._stop[0]

    def _await(self, arrived: memoryview, count: int) -> None:
        spins = 0
        while arrived[0] < count:
            spins += 1
            if spins > SPINS:
                self._yield(spins)

    def _yield(self, spins: int) -> None:
        """Offer the processor to others, and notice when the one waited for has ended."""
        if spins % 256 == 0:
            if self.k and os.getppid() != self._parent:
                os._exit(1)
            for child in self._children:
                if _ended(child):
                    self._children.remove(child)
                    raise self._lost()
        if spins < 20 * SPINS:
            os.sched_yield() if hasattr(os, "sched_yield") else time.sleep(0)
        else:
            time.sleep(2e-4)

    def wait(self) -> None:
        """As member 0: return when all copies have finished their work."""
        while self._children:
            with suppress(ChildProcessError):  # collected by another part of the application
                os.waitpid(self._children[-1], 0)
            self._children.pop()
        if sum(self._done) < self.size - 1:
            raise CrewError("a process that shares the work has failed: use --threads 1")

    def close(self) -> None:
        """As member 0: end the copies that are still there."""
        _end(self._pipes, self._children)

    @property
    def leads(self) -> bool:
        """Whether copies of this process are at work."""
        return bool(self._children)

    def leave(self) -> None:
        """In a copy of the process that another part of the application made: have no part."""
        while self._pipes:  # or the end of the first process would go unnoticed
            os.close(self._pipes.pop())
        self._children.clear()

    def _lost(self) -> CrewError:
        return CrewError(
            "a process that shares the training step has ended (killed, or out of memory; use "
            "--threads 1 if it happens again)"
        )


def _end(pipes: list[int], children: list[int]) -> None:
    while pipes:
        os.close(pipes.pop())
    while children:
        child = children.pop()
        if not _ended(child):
            os.kill(child, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(child, 0)


def _ended(child: int) -> bool:
    """Whether a child has ended; it is collected then. The number of one that has not is safe."""
    try:
        return os.waitpid(child, os.WNOHANG)[0] != 0
    except ChildProcessError:  # the system, or the application, has collected it
        return True


CREWS: weakref.WeakSet[Crew] = weakref.WeakSet()


def _leave_all() -> None:
    for crew in list(CREWS):
        crew.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all)
