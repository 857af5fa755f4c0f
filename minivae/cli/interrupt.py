"""Ctrl-C and its like while a command trains: noted, so that the loop can end at a good moment.

What is saved and said then is for the command.
"""

from __future__ import annotations

import signal
import threading
from typing import Any


class Interrupts:
    """As a context: the first SIGINT, SIGTERM or SIGHUP is noted, a second ends the process.

    A second SIGHUP does not: a terminal that closes sends several, some while the state is saved.

    Attributes
    ----------
    status : int or None
        128 plus the number of the signal that came: the exit status by custom.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:  # noqa: D105
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                # One that is ignored (under nohup, or in a shell's background) stays so.
                if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:  # noqa: D105
        for number, handler in self._before.items():
            # Once the process is about to end, hang-ups still do nothing: it has words to say.
            if self.status is None or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, handler)

    def _note(self, number: int, frame: Any) -> None:
        self.status = 128 + number
        for each in self._before:
            again = signal.SIG_IGN if each == getattr(signal, "SIGHUP", None) else signal.SIG_DFL
            signal.signal(each, again)  # the system's own way to end works within any call
