"""Tries an answer: runs it as a module, checks its gradients and contracts, collects its numbers.

As a program it is the child of sandbox.py; the solution and the known mistakes, which are ours, are
tried in the parent. What it all means is said by verdict.py.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from minivae.gradcheck import GradcheckError, check, check_contracts
from minivae.teaching.exercises import student
from minivae.teaching.exercises.catalogue import EXERCISES, Exercise, find
from minivae.teaching.exercises.child import Forbidden, Guard, module_of, serve
from minivae.teaching.exercises.shapes import arrays_of, explain, shapes_of
from minivae.teaching.exercises.trials import TRIALS, Trial

CLOSE = 1e-9  # relative: two ways to write one formula differ by rounding alone


def numbers_of(exercise: Exercise, source: str) -> dict[str, Any]:
    """Return the numbers of a source of ours: the solution, or one with a mistake in it."""
    with np.errstate(all="ignore"):
        return TRIALS[exercise.trial](student.run(source, "solution")).numbers()


def changed_by(exercise: Exercise) -> list[tuple[str, int, str]]:
    """Return which arguments the solution writes into."""
    module = student.run(exercise.source({}), "solution")
    with np.errstate(all="ignore"):
        found = _watch(module, exercise)
        TRIALS[exercise.trial](module).numbers()
    return list(found)


def work(job: dict[str, Any], guard: Guard) -> dict[str, Any]:
    """Try the answer of a job of sandbox.py and return an outcome in JSON's types."""
    if "values" in job:
        return _values(job, guard)
    if "repairs" in job:
        return _repaired(job, guard)
    exercise, source, path = find(job["number"]), job["source"], job["path"]
    guard.modules = _library(exercise)
    try:
        module = module_of(source, path, guard)
    except (Exception, SystemExit) as error:
        return _failed(error, path, "when it is run")
    for name in re.findall(r"^(?:def|class) (\w+)", exercise.solution, flags=re.MULTILINE):
        if not callable(getattr(module, name, None)):
            return {"failure": {"kind": "missing", "message": name}}
    changed, trace = _watch(module, exercise), []
    with np.errstate(all="ignore"):
        try:
            trial = TRIALS[exercise.trial](module)
            findings = _findings(trial) if job.get("full") else []
            contracts = _contracts(trial) if job.get("contracts") else []
            if job.get("trace"):
                trace = _trace(arrays_of(trial.numbers, path))
            numbers = trial.numbers()
        except Forbidden:
            raise
        except (Exception, SystemExit) as error:
            if isinstance(error, GradcheckError):
                if error.__cause__ is None:
                    return {"failure": {"kind": "unusable", "message": str(error)}}
                error = error.__cause__
            return _failed(error, path, "while it was tried", source, exercise)
    return {
        "numbers": {
            name: {"data": np.asarray(one, float).ravel().tolist(), "shape": np.shape(one)}
            for name, one in numbers.items()
        },
        "findings": findings,
        "contracts": contracts,
        "changed": list(changed),
        "trace": trace,
    }


@functools.cache
def _solved(exercise: Exercise) -> dict[str, Any]:
    return numbers_of(exercise, exercise.source({}))


def _repaired(job: dict[str, Any], guard: Guard) -> dict[str, Any]:
    """Return the names of the right numbers for each change of a source, made alone."""
    exercise, source, found = find(job["number"]), job["source"], []
    guard.modules, right = _library(exercise), _solved(exercise)
    for start, end, text in job["repairs"]:
        try:
            module = module_of(source[:start] + text + source[end:], job["path"], guard)
            with np.errstate(all="ignore"):
                numbers = TRIALS[exercise.trial](module).numbers()
            found.append([name for name in right if same(numbers.get(name), right[name])])
        except (Exception, SystemExit):
            found.append([])
    return {"right": found}


def _values(job: dict[str, Any], guard: Guard) -> dict[str, Any]:
    """Return the numbers that a file gives to the names asked for, of those that are numbers."""
    try:
        module = module_of(job["source"], job["path"], guard)
        numbers = {}
        for name in job["values"]:
            value = getattr(module, name, None)
            if isinstance(value, (int, float, np.integer, np.floating)):
                numbers[name] = {"data": [float(value)], "shape": []}
    except (Exception, SystemExit) as error:
        return _failed(error, job["path"], "when it is run")
    return {"numbers": numbers}


def same(one: np.ndarray | None, other: np.ndarray) -> bool:
    """Return whether two results are equal but for rounding."""
    if one is None or np.shape(one) != np.shape(other):
        return False
    return bool(close(np.ravel(one), np.ravel(other), room(np.ravel(other))).all())


def close(one: np.ndarray, other: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Return which numbers of two rows differ by no more than the room."""
    with np.errstate(invalid="ignore"):
        near = np.abs(one - other) <= room
    return near | (one == other) | (np.isnan(one) & np.isnan(other))


def room(row: np.ndarray) -> np.ndarray:
    """Return by how much each number of a row may be off."""
    size = np.abs(row[np.isfinite(row)]).max(initial=0.0)
    return np.full(len(row), CLOSE * (size or 1.0))


def _findings(trial: Trial) -> list[dict[str, Any]]:
    """Return what the gradient checker says of each gradient."""
    if trial.layer is None:
        return []
    return [
        {
            "name": one.name,
            "passed": one.passed,
            "cause": one.cause,
            "sentence": one.sentence,
            "error": one.max_rel_error,
        }
        for one in check(trial.layer, *trial.inputs).entries
    ]


def _contracts(trial: Trial) -> list[str]:
    """Return the laws that the model breaks, each once, with its first failure."""
    broken = [one for one in check_contracts(trial.model).contracts if not one.passed]
    laws = {one.law: one for one in reversed(broken)}
    return [
        f"contract: {law}; it gives {one.measured:.6g}, not {one.expected:.6g}"
        for law, one in reversed(laws.items())
    ]


def _trace(arrays: dict[tuple[str, str], np.ndarray]) -> list[str]:
    """Return a line for each array that the student's functions computed."""
    return [
        f"{function}: {name} {one.shape}, from {one.min():.4g} to {one.max():.4g}"
        for (function, name), one in arrays.items()
        if one.size
    ]


def _watch(module: ModuleType, exercise: Exercise) -> dict[tuple[str, int, str], None]:
    """Note, from now on, which arguments the module's functions write into."""
    found: dict[tuple[str, int, str], None] = {}

    def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        code = getattr(function, "__code__", None)
        names = code.co_varnames[: code.co_argcount] if code else ()

        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            before = [_bytes(one) for one in arguments]
            try:
                return function(*arguments, **named)
            finally:
                for i, (one, was) in enumerate(zip(arguments, before, strict=True)):
                    if was != _bytes(one):
                        found[name, i, names[i] if i < len(names) else f"argument {i}"] = None

        return call

    for name in re.findall(r"^def (\w+)", exercise.solution, flags=re.MULTILINE):
        setattr(module, name, watched(name, getattr(module, name)))
    for name in re.findall(r"^class (\w+)", exercise.solution, flags=re.MULTILINE):
        owner = getattr(module, name)
        for method, function in list(vars(owner).items()):
            if inspect.isfunction(function) and not method.startswith("_"):
                setattr(owner, method, watched(f"{name}.{method}", function))
    return found


def _bytes(argument: Any) -> Any:
    if isinstance(argument, dict):
        return [_bytes(one) for one in argument.values()]
    return argument.tobytes() if isinstance(argument, np.ndarray) else None


def _library(exercise: Exercise) -> set[str]:
    """Return the modules of the library that the task itself imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(exercise.solution)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minivae"):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _failed(
    error: BaseException, path: str, where: str, source: str = "", exercise: Exercise | None = None
) -> dict[str, Any]:
    """Return the failure of the student's code, with the part of its traceback."""
    told = traceback.TracebackException.from_exception(error)
    frames = [frame for frame in told.stack if frame.filename == path]
    told.stack = traceback.StackSummary.from_list(frames)
    first = str(error).partition("\n")[0]
    if "truth value of an array" in first:
        first = "a whole array is neither true nor false; np.where and np.maximum go entry by entry"
    failure = {
        "kind": "raised",
        "message": f"raised {type(error).__name__} {where}: {first}",
        "line": frames[-1].lineno if frames else None,
        "traceback": "".join(told.stack.format()) if frames else "",
    }
    if exercise is not None:
        solution = student.run(exercise.source({}), "solution")
        right = shapes_of(TRIALS[exercise.trial](solution).numbers, "<solution>")
        if exercise.kind == "page":  # the names are the student's own
            right = {}
        try:
            line, advice = explain(error, source, path, right)
        except Exception:  # it is read from a frame that may hold anything
            line, advice = 0, []
        if advice:
            failure |= {"kind": "shape", "line": line, "advice": advice}
    return {"failure": failure}


if __name__ == "__main__":
    assert all(one.solution for one in EXERCISES)  # read before a student's code could
    serve(work)
