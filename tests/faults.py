"""Faults put under everything that writes: the n-th system call of storage/files.py fails.

What must hold then is in test_faults.py.
"""

import os
import sys
from contextlib import contextmanager
from unittest.mock import patch

from minivae.storage import files

# Of the module os, and the opening of a new file.
CALLS = ("write", "fsync", "replace", "lstat", "mkdir", "chmod", "open", "close", "stat", "unlink")
WRITERS = ("storage/files.py", "pathlib.py")


class Faults:
    """Counts the calls; number `nth` (from 0) raises `error` instead of doing anything."""

    def __init__(self, nth, error):
        self.nth, self.error, self.count = nth, error, 0
        self.failed = None  # the name of the call that did

    def call(self, name, function):
        def called(*args, **kwargs):
            caller = sys._getframe(1).f_code.co_filename.replace(os.sep, "/")
            if not caller.endswith(WRITERS):
                return function(*args, **kwargs)
            self.count += 1
            if self.count - 1 == self.nth:
                self.failed = name
                raise self.error
            return function(*args, **kwargs)

        return called


@contextmanager
def faults(nth, error):
    """Let call number `nth` of `replacing` fail; gives what was counted."""
    found = Faults(nth, error)
    with patch.object(files, "_Raw", RawWith(found)):
        patches = [patch.object(os, n, found.call(n, getattr(os, n))) for n in CALLS]
        for each in patches:
            each.start()
        try:
            yield found
        finally:
            for each in patches:
                each.stop()


def RawWith(found):
    class Raw(files._Raw):
        def __init__(self, *args):
            if found.nth == found.count:
                found.failed = "creat"
            found.count += 1
            if found.failed == "creat" and found.count - 1 == found.nth:
                raise found.error
            super().__init__(*args)

    return Raw
