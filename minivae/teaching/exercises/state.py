"""What was tried and done in a working folder, in a small file there.

A file that is missing or damaged means that nothing is known; nobody loses an answer by it.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FILE = ".minivae-exercises.json"


@dataclass
class Progress:
    """The failed tries of one exercise, and whether it is done."""

    tries: int = 0
    done: bool = False


def load(folder: Path) -> dict[int, Progress]:
    """Return what is known of each exercise that was tried."""
    found = {}
    try:
        entries = json.loads((folder / FILE).read_text(encoding="utf-8"))["exercises"]
        for number, entry in entries.items():
            tries, done = entry["tries"], entry["done"]
            if isinstance(tries, int) and isinstance(done, bool) and tries >= 0:
                found[int(number)] = Progress(tries, done)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    return found


def note(folder: Path, number: int, passed: bool) -> Progress:
    """Write down a try and return the exercise's progress; a folder that refuses it is no error."""
    known = load(folder)
    progress = known.setdefault(number, Progress())
    if passed:
        progress.done = True
    else:
        progress.tries += 1
    content = {"exercises": {str(key): vars(known[key]) for key in sorted(known)}}
    new = folder / f"{FILE}.{os.getpid()}"
    try:
        new.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        new.replace(folder / FILE)
    except OSError:
        with suppress(OSError):
            new.unlink()
    return progress
