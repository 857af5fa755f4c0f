"""Finds what the user named, a class in a Python file, and draws inputs to check it on.

The file is run because the user named it, and only then; checking is for check.py.
"""

from __future__ import annotations

import ast
import importlib.util
import math
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from minivae.gradcheck.report import GradcheckError
from minivae.inputs import affordable, said

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


def make(found: Any, positional: tuple[Any, ...], named: dict[str, Any] | None = None) -> Any:
    """Return an object of the class, made with those arguments; an object is returned as it is."""
    if not isinstance(found, type):
        return found
    named = named or {}
    given = [*map(repr, positional), *(f"{key}={value!r}" for key, value in named.items())]
    try:
        return found(*positional, **named)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise GradcheckError(
            f"{found.__name__}({', '.join(given)}) raised {reason}; give the constructor's"
            " arguments with --init"
        ) from error


def arguments(text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of "5,(3, 3),act=relu": Python's values where they are, else words.

    Raises
    ------
    GradcheckError
        If the text is no list of arguments.
    """
    try:
        call = ast.parse(f"f({text})", mode="eval").body
    except (SyntaxError, ValueError) as error:
        reason = getattr(error, "msg", "no text")
        raise GradcheckError(f"--init {said(text)}: {reason}; write 5,relu or width=5") from error

    def value(node: ast.expr) -> Any:
        try:
            return ast.literal_eval(node)
        except ValueError:
            return ast.unparse(node)

    assert isinstance(call, ast.Call)
    named = {one.arg: value(one.value) for one in call.keywords if one.arg}
    return tuple(map(value, call.args)), named


def guess(layer: Any, seed: int, dtype: str, positive: bool) -> list[Array]:
    """Return inputs that forward takes, of a shape that the parameters suggest.

    Raises
    ------
    GradcheckError
        If forward takes none of those tried.
    """
    from minivae.gradcheck.intake import places, takes
    from minivae.gradcheck.subject import Subject

    sizes = {n for one in places(layer, None) for n in np.shape(one.value(layer))}
    sizes |= {n for n in getattr(layer, "__dict__", {}).values() if isinstance(n, int) and n > 0}
    count = takes(layer.forward) if hasattr(layer, "forward") else takes(layer)
    widths = [*sorted(sizes), 5]
    tried = [(6, n) for n in widths] + [(4, 3, n) for n in widths] + [(2, n, 6, 6) for n in widths]
    for shape in tried:
        inputs = draw((shape,) * min(count, 3), seed, dtype, positive)
        try:
            Subject(layer, tuple(inputs), seed)
        except GradcheckError:
            continue
        return inputs
    raise GradcheckError(
        "no shape that was tried fits: give the shape of each of forward's inputs, --input-shape"
        " 8,5 (whole numbers below 10: 8,5<10)"
    )


def draw(
    shapes: tuple[tuple[int, ...], ...],
    seed: int,
    dtype: str,
    positive: bool,
    whole_below: tuple[int | None, ...] = (),
) -> list[Array]:
    """Return normal inputs of those shapes; positive ones lie between 1/10 and 2.

    Where `whole_below` has a number, whole numbers from 0 to below it.
    """
    rng = np.random.default_rng(seed)
    found = []
    for position, shape in enumerate(shapes):
        affordable(16 * math.prod(shape), f"an input of shape {said(shape)}")
        top = whole_below[position] if position < len(whole_below) else None
        if top is not None:
            found.append(rng.integers(0, top, shape))
        else:
            values = rng.uniform(0.1, 2, shape) if positive else rng.normal(size=shape)
            found.append(np.asarray(values).astype(dtype))
    return found


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
