"""Finds what the user named, a class in a Python file, and draws inputs to check it on.

The file is run because the user named it, and only then; checking is for check.py.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from minivae.gradcheck.report import GradcheckError

Array = np.ndarray


def load_class(target: str) -> Any:
    """Return the class (or ready object) that FILE.py:NAME names, by running the file.

    Raises
    ------
    GradcheckError
        If there is no such file or name, or the file raises; its own exception is the cause.
    """
    file, _, name = target.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise GradcheckError(f"{file} does not exist: give FILE.py:CLASS")
    spec = importlib.util.spec_from_file_location(f"checked_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise GradcheckError(f"{file} is no Python file: give FILE.py:CLASS")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise GradcheckError(f"{file} cannot be imported: {reason}") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    if not hasattr(module, name):
        here = [
            key
            for key, value in vars(module).items()
            if isinstance(value, type) and value.__module__ == spec.name
        ]
        raise GradcheckError(f"{file} has no {name!r}: it defines {', '.join(here) or 'no class'}")
    return getattr(module, name)


def make(found: Any, arguments: tuple[Any, ...]) -> Any:
    """Return an object of the class, made with those arguments; an object is returned as it is."""
    if not isinstance(found, type):
        return found
    shown = f"{found.__name__}({', '.join(map(repr, arguments))})"
    try:
        return found(*arguments)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise GradcheckError(
            f"{shown} raised {reason}; give the constructor's arguments with --init"
        ) from error


def arguments(text: str) -> tuple[Any, ...]:
    """Return the values of "5,3" or "5,relu": Python's where they are, else the words."""
    values = []
    for part in filter(None, text.split(",")):
        try:
            values.append(ast.literal_eval(part.strip()))
        except (ValueError, SyntaxError):
            values.append(part.strip())
    return tuple(values)


def draw(shapes: tuple[tuple[int, ...], ...], seed: int, dtype: str, positive: bool) -> list[Array]:
    """Return normal inputs of those shapes; positive ones lie between 1/10 and 2."""
    rng = np.random.default_rng(seed)
    return [
        (rng.uniform(0.1, 2, shape) if positive else rng.normal(size=shape)).astype(dtype)
        for shape in shapes
    ]


def own_frames(error: BaseException, target: str) -> str:
    """Return the traceback of an error in the user's file, without the frames that led there."""
    path = str(Path(target.rpartition(":")[0]).resolve())
    frames = traceback.extract_tb(error.__traceback__)
    inside = [i for i, frame in enumerate(frames) if str(Path(frame.filename).resolve()) == path]
    if not inside and not isinstance(error, SyntaxError):
        return ""
    lines = traceback.format_list(frames[inside[0] :]) if inside else []
    head = "Traceback (most recent call last):\n" if lines else ""
    return head + "".join([*lines, *traceback.format_exception_only(error)]).rstrip()


def real_rows(data: Any, dtype: str, rows: int) -> Array:
    """Return the first test images as pixels in [0, 1]."""
    x = np.asarray(data.test[np.arange(min(rows, len(data.test)))])
    return x.astype(dtype) / (255 if x.dtype == np.uint8 else 1)
