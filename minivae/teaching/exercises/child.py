"""Runs in a child process: a student's code, within limits, and what it gives.

The parent's side, and what becomes of a child that hangs or dies, is in sandbox.py; what the
results are worth is for verdict.py. The limits stop accidents and pranks, not an attacker.
"""

from __future__ import annotations

import builtins
import io
import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, ModuleType
from typing import Any

SHOWN, PRINTED = 4_000, 1_000_000  # characters of output that are shown, and that end the run
PATIENCE = 6
GRACE = 1  # seconds of the processor's time, after which the system ends what does not end itself
PARENT = os.getppid()
MEMORY = 4 << 30  # bytes of address space
ALLOWED = {
    *("__future__", "abc", "cmath", "collections", "copy", "dataclasses", "enum", "functools"),
    *("io", "itertools", "math", "numbers", "numpy", "operator", "os", "pathlib", "random"),
    *("scipy", "statistics", "string", "sys", "time", "types", "typing", "warnings"),
}
# Audit events that an answer has no business with, by their beginnings, and what they are called.
FORBIDDEN = {
    "os.remove": "deletes a file",
    "os.rmdir": "deletes a folder",
    "shutil.": "copies, moves or deletes files",
    "os.rename": "renames a file",
    "os.mkdir": "makes a folder",
    "os.link": "makes a link",
    "os.symlink": "makes a link",
    "os.truncate": "cuts a file",
    "os.ch": "changes a file's rights or the folder",
    "os.utime": "changes a file's times",
    "os.system": "starts another program",
    "os.exec": "starts another program",
    "os.posix_spawn": "starts another program",
    "os.spawn": "starts another program",
    "os.startfile": "starts another program",
    "subprocess.": "starts another program",
    "pty.": "starts another program",
    "os.fork": "starts another process",
    "os.kill": "ends processes",
    "signal.": "sends signals",
    "socket.": "uses the network",
    "urllib.": "uses the network",
    "tempfile.": "makes files",
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Forbidden(BaseException):
    """Something that an answer must not do; not an Exception, lest `except` swallows it."""


class Guard:
    """Watches one run: what is imported, opened, printed, and how long it takes.

    Parameters
    ----------
    path : str
        Of the student's file.
    reply : callable
        Sends the result, should the time be over.
    seconds : float
        Of the processor's time; a machine that is busy is given PATIENCE times as many.
    """

    def __init__(self, path: str, reply: Callable[[dict], None], seconds: float) -> None:
        self.path, self.folder, self.reply, self.seconds = (
            path,
            os.path.dirname(path),
            reply,
            seconds,
        )
        self.open = True  # whether the student's code is running
        self.broken: dict[str, Any] | None = None
        self.modules: set[str] = set()  # of the library, that the task itself imports
        self.printed = 0
        self.text = io.StringIO()
        threading.Thread(target=self._watch, daemon=True).start()

    def line(self, frame: FrameType | None) -> int | None:
        """Return the line of the student's file that a frame stands in or was called from."""
        while frame is not None:
            if frame.f_code.co_filename == self.path:
                return frame.f_lineno
            frame = frame.f_back
        return None

    def refuse(self, what: str) -> None:
        """Note what was tried, and where; raise Forbidden."""
        if self.broken is None:
            self.broken = {"kind": "forbidden", "message": what, "line": self.line(sys._getframe())}
        raise Forbidden(what)

    def audit(self, event: str, arguments: tuple) -> None:
        """Refuse what FORBIDDEN names, and files opened to be written."""
        if not self.open or threading.current_thread() is not threading.main_thread():
            return
        if event == "open":
            path, mode, flags = arguments
            if (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & WRITING:
                self.refuse("opens a file to write into it")
            if isinstance(path, str) and os.path.join("exercises", "tasks") in path:
                self.refuse("opens the solutions")
            return
        for beginning, what in FORBIDDEN.items():
            if event.startswith(beginning):
                self.refuse(what)

    def importer(self, name: str, globals: Any = None, locals: Any = None, *rest: Any) -> Any:
        """Import for the student's code: what ALLOWED names, and the student's own files."""
        root = name.partition(".")[0]
        if root == "minivae":
            wanted = [f"{name}.{one}" for one in (rest[0] if rest else None) or ()] or [name]
            if not self.modules.issuperset(wanted):
                self.refuse(f"imports {name}: write it yourself, the library's own is no answer")
        elif root not in ALLOWED and not os.path.exists(os.path.join(self.folder, f"{root}.py")):
            self.refuse(f"imports {name}, for which an answer has no use")
        return builtins.__import__(name, globals, locals, *rest)

    def write(self, text: str) -> int:
        """Take what the student's code prints."""
        self.printed += len(text)
        if self.text.tell() < SHOWN:
            self.text.write(text[: SHOWN - self.text.tell()])
        if self.printed > PRINTED:
            self.refuse(f"prints more than {PRINTED:,} characters")
        return len(text)

    def flush(self) -> None:
        """Do nothing: there is nothing to flush."""

    def _watch(self) -> None:
        used, end = time.process_time() + self.seconds, time.monotonic() + PATIENCE * self.seconds
        while time.process_time() < used and time.monotonic() < end:
            time.sleep(0.1)
            if os.getppid() != PARENT:
                os._exit(3)
            if not self.open:
                return
        main = threading.main_thread().ident
        at = self.line(sys._current_frames().get(main or 0))
        if self.broken:  # the code went on after the refusal
            self.reply({"failure": self.broken, "last": True})
            os._exit(3)
        message = f"did not end within {self.seconds:g} seconds"
        self.reply({"failure": {"kind": "hung", "message": message, "line": at}, "last": True})
        os._exit(3)


def module_of(source: str, path: str, guard: Guard) -> ModuleType:
    """Run a source as a module whose imports pass the guard, and return it."""
    module = ModuleType("answer")
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": guard.importer}
    module.__file__ = path
    sys.modules["answer"] = module  # where dataclasses look a class's module up
    exec(compile(source, path, "exec"), module.__dict__)
    return module


def serve(work: Callable[[dict, Guard], dict]) -> None:
    """Answer the jobs on standard input, a line of JSON each, by a line of JSON each.

    Parameters
    ----------
    work : callable
        Given the job and the guard that watches it.
    """
    jobs, results = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(null, handle)
    sys.dont_write_bytecode = True
    _limit()
    guards: list[Guard] = []
    sys.addaudithook(
        lambda event, arguments: guards[-1].audit(event, arguments) if guards else None
    )
    for line in jobs:
        job = json.loads(line)

        def reply(result: dict, token: str = job["token"]) -> None:
            results.write(json.dumps({"token": token, **result}) + "\n")
            results.flush()

        # The clock of the system, where the code lets no other thread run, and nobody is left.
        _set("RLIMIT_CPU", math.ceil(time.process_time() + job["seconds"] + GRACE))
        guard = Guard(job["path"], reply, job["seconds"])
        guards[:] = [guard]
        sys.stdout = sys.stderr = guard  # type: ignore[assignment]
        try:
            result = work(job, guard)
        except Forbidden:
            result = {}
        guard.open = False
        if guard.broken:
            result = {"failure": guard.broken}
        reply({**result, "printed": guard.text.getvalue()})


def _limit() -> None:
    for name, amount in (("RLIMIT_AS", MEMORY), ("RLIMIT_CORE", 0), ("RLIMIT_FSIZE", 0)):
        _set(name, amount)


def _set(name: str, amount: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has none: there the guard and the clock must do
        return
    what = getattr(resource, name)
    hard = resource.getrlimit(what)[1]
    if hard == resource.RLIM_INFINITY or amount <= hard:
        with suppress(OSError, ValueError):  # macOS refuses RLIMIT_AS
            resource.setrlimit(what, (amount, hard))
