"""The student's file: copied once, read, run, and its failures told as the student's own.

What it computes is judged in verdict.py.
"""

from __future__ import annotations

import ast
import sys
import traceback
from pathlib import Path
from types import ModuleType

from minivae.errors import MinivaeError
from minivae.teaching.exercises.catalogue import BLANK, Exercise

NESTING = 100  # levels of a file's syntax; the solutions have up to 13


class ExerciseError(MinivaeError):
    """An answer that cannot be tried: no file, a blank left in, code that fails.

    Attributes
    ----------
    traceback : str
        The student's own part of the traceback; empty if their code did not run.
    counts : bool
        Whether this was a try.
    """

    def __init__(self, message: str, traceback: str = "", counts: bool = False) -> None:
        super().__init__(message)
        self.traceback, self.counts = traceback, counts


def copy_task(exercise: Exercise, folder: Path) -> Path:
    """Write the file with blanks into the folder and return its path.

    Raises
    ------
    ExerciseError
        If it is there already, or cannot be written.
    """
    path = folder / exercise.file
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(exercise.source())
    except FileExistsError:
        raise ExerciseError(
            f"{path.name} is here already and stays as it is: edit it, then "
            f"minivae exercise check {exercise.number}; move it away to begin anew"
        ) from None
    except OSError as error:
        raise ExerciseError(f"cannot write {path}: {error.strerror}") from None
    return path


def read(exercise: Exercise, folder: Path, blanks: bool = False) -> str:
    """Return the source of the student's file, if it is Python and has no blanks (or may have).

    Raises
    ------
    ExerciseError
        Otherwise.
    """
    path = folder / exercise.file
    try:
        source = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ExerciseError(
            f"{path.name} is not in this folder: minivae exercise start {exercise.number} makes it"
        ) from None
    except UnicodeDecodeError:
        raise ExerciseError(f"{path.name} is not text in UTF-8: save it as such") from None
    except OSError as error:
        raise ExerciseError(f"cannot read {path.name}: {error.strerror}") from None
    try:
        tree = ast.parse(source, str(path))
        if _deeper(tree, NESTING):
            raise RecursionError
    except (RecursionError, MemoryError):  # the parser's own limits
        raise ExerciseError(f"{path.name} is nested more than {NESTING} deep") from None
    except SyntaxError as error:
        text = "".join(traceback.format_exception_only(error))
        raise ExerciseError(
            f"{path.name} is not Python yet, line {error.lineno}: {error.msg}", text
        ) from None
    except ValueError as error:  # null bytes
        raise ExerciseError(f"{path.name} is not Python: {error}") from None
    lines = empty(tree)
    if lines and not blanks:
        shown = ", ".join(map(str, lines))
        which = f"line {shown} has" if len(lines) == 1 else f"lines {shown} have"
        raise ExerciseError(
            f"{path.name}: {which} a blank left ({BLANK}); fill it, then "
            f"minivae exercise check {exercise.number}"
        )
    return source


def _deeper(tree: ast.AST, limit: int) -> bool:
    """Return whether a tree is deeper than the limit: much walks trees by recursion."""
    level: list[ast.AST] = [tree]
    for _ in range(limit):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return bool(level)


def empty(tree: ast.AST) -> list[int]:
    """Return the lines with blanks of a file that was parsed."""
    return sorted({node.lineno for node in ast.walk(tree) if _blank(node)})


def _blank(node: ast.AST) -> bool:
    return (isinstance(node, ast.Name) and node.id == BLANK) or (
        isinstance(node, ast.Attribute) and node.attr == BLANK
    )


def run(source: str, name: str, path: Path | None = None) -> ModuleType:
    """Run a source as a module and return it; `path` is where the student has it.

    Raises
    ------
    ExerciseError
        With the traceback, if it fails.
    """
    module = ModuleType(name)
    sys.modules[name] = module  # where dataclasses look a class's module up
    code = compile(source, str(path or f"<{name}>"), "exec")
    try:
        exec(code, module.__dict__)
    except (Exception, SystemExit) as error:
        raise failed(error, path, "when it is run") from error
    finally:
        sys.modules.pop(name, None)
    return module


def failed(error: BaseException, path: Path | None, where: str) -> ExerciseError:
    """Return the error of the student's code as one line, with the part of its traceback."""
    told = traceback.TracebackException.from_exception(error)
    told.stack = traceback.StackSummary.from_list(
        [frame for frame in told.stack if frame.filename == str(path)]
    )
    name = path.name if path else "the file"
    text = "".join(told.format(chain=False)) if told.stack else ""
    first = str(error).partition("\n")[0]
    return ExerciseError(f"{name} raised {type(error).__name__} {where}: {first}", text, True)
