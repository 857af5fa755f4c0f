"""Says what a shape that does not fit is made of: the operands, the target, the transpose to take.

It reads the frame in which the student's code failed; who runs that code is tried.py.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import numpy as np

Shapes = dict[tuple[str, str], tuple[int, ...]]  # by function and local name


def shapes_of(run: Callable[[], Any], filename: str) -> Shapes:
    """Run something and return the shapes of the local arrays of all functions of one file."""
    return {key: one.shape for key, one in arrays_of(run, filename).items()}


def arrays_of(run: Callable[[], Any], filename: str) -> dict[tuple[str, str], np.ndarray]:
    """Run something and return the local arrays, at their last return, of one file's functions."""
    found: dict[tuple[str, str], np.ndarray] = {}

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "return":
            name = frame.f_code.co_name
            found.update(
                ((name, key), value.copy())
                for key, value in frame.f_locals.items()
                if isinstance(value, np.ndarray)
            )
            if isinstance(argument, np.ndarray):
                found[name, "return"] = argument.copy()
        return local

    sys.settrace(lambda frame, *rest: local if frame.f_code.co_filename == filename else None)
    try:
        run()
    finally:
        sys.settrace(None)
    return found


def explain(error: BaseException, source: str, path: str, right: Shapes) -> tuple[int, list[str]]:
    """Return the line at fault and what to say of its shapes; (0, []) if no shape is at fault.

    Parameters
    ----------
    error : exception
        With the traceback of the student's code.
    source, path : str
        The student's file.
    right : dict
        From `shapes_of` the solution.
    """
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == path:
            frames.append((traceback.tb_frame, traceback.tb_lineno))
        traceback = traceback.tb_next
    if not frames or not isinstance(error, (ValueError, IndexError)) or "truth" in str(error):
        return 0, []
    frame, line = frames[-1]
    function, tree = frame.f_code.co_name, ast.parse(source)
    names = {**frame.f_globals, **frame.f_locals}
    for statement in _statements(tree, function, line):  # an earlier line may be the one at fault
        name, want = _target(statement, function, right)
        have = names.get(name)
        if (
            isinstance(statement, ast.Assign)
            and isinstance(statement.targets[0], ast.Name)
            and isinstance(have, np.ndarray)
            and want not in (None, have.shape)
        ):
            return statement.lineno, _value(statement.value, have, name, want, names)
    statement = _at(tree, line)
    if statement is None:
        return 0, []
    name, want = _target(statement, function, right)
    given = _loaded(statement, names)
    want = want or (given.shape if isinstance(given, np.ndarray) else None)
    value = getattr(statement, "value", None)
    wrong = _failing(value, names) if value is not None else None
    if wrong is not None:
        said = _operands(wrong, names, name, want)
        return (line, said) if said else (0, [])
    target = _loaded(statement, names)
    shape = target.shape if isinstance(target, np.ndarray) else want
    if value is None or shape is None:
        return 0, []
    got = _evaluate(value, names)
    if not isinstance(got, np.ndarray) or got.shape == shape:
        return 0, []
    return line, _value(value, got, name, shape, names)


def _statements(tree: ast.AST, function: str, line: int) -> Iterator[ast.stmt]:
    """Yield the function's statements before the line, in order."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            for one in node.body:
                if node.lineno < line and one.lineno < line:
                    yield one


def _at(tree: ast.AST, line: int) -> ast.stmt | None:
    """Return the smallest statement that covers a line."""
    found = None
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno):
            found = node  # the walk goes from the outside to the inside
    return found


def _target(statement: ast.stmt, function: str, right: Shapes) -> tuple[str, tuple | None]:
    """Return the name of what a statement gives, and the shape that it should have."""
    if isinstance(statement, ast.Return):
        return "what is returned", right.get((function, "return"))
    target = getattr(statement, "target", None) or getattr(statement, "targets", [None])[0]
    while isinstance(target, ast.Subscript) and isinstance(target.value, (ast.Name, ast.Subscript)):
        target = target.value
    name = ast.unparse(target) if target is not None else ""
    return name, right.get((function, name))


def _loaded(statement: ast.stmt, names: dict[str, Any]) -> Any:
    """Return what a statement writes into, if it is there already."""
    target = getattr(statement, "target", None) or getattr(statement, "targets", [None])[0]
    if not isinstance(target, (ast.Name, ast.Subscript, ast.Attribute)):
        return None
    if isinstance(target, ast.Name) and isinstance(statement, ast.Assign):
        return None
    try:
        return eval(ast.unparse(target), names)
    except Exception:
        return None


def _evaluate(node: ast.AST, names: dict[str, Any]) -> Any:
    return eval(compile(ast.Expression(node), "<shapes>", "eval"), names)


def _failing(node: ast.AST, names: dict[str, Any]) -> ast.AST | None:
    """Return the innermost expression that raises; None if none does."""
    if isinstance(node, (ast.Lambda, ast.GeneratorExp, ast.ListComp, ast.DictComp, ast.SetComp)):
        return None
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.expr, ast.keyword)):
            child = child.value if isinstance(child, ast.keyword) else child
            found = _failing(child, names)
            if found is not None:
                return found
    if not isinstance(node, ast.expr) or isinstance(node, (ast.Starred, ast.Slice)):
        return None
    try:
        _evaluate(node, names)
    except Exception:
        return node
    return None


def _operands(
    node: ast.AST, names: dict[str, Any], name: str, want: tuple[int, ...] | None
) -> list[str]:
    pair = _factors(node)
    if pair is not None:
        left, right = pair
        one, other = np.shape(_evaluate(left, names)), np.shape(_evaluate(right, names))
        said = (
            f"`{_text(left)}` is {one} and `{_text(right)}` is {other}: a product of matrices "
            f"needs the last size of the left to be the first of the right, here "
            f"{one[-1] if one else 1} and {other[0] if other else 1}."
        )
        return [said, *_fits(left, right, names, name, want)]
    if isinstance(node, ast.BinOp):
        one, other = (np.shape(_evaluate(side, names)) for side in (node.left, node.right))
        said = (
            f"`{_text(node.left)}` is {one} and `{_text(node.right)}` is {other}: entry by entry "
            "their shapes must be equal, or 1 where they differ."
        )
        if isinstance(node.op, ast.Mult):
            fits = _fits(node.left, node.right, names, name, want)
            return [said, *([f"A product of matrices is `@`. {fits[0]}"] if fits else [])]
        return [said]
    if isinstance(node, ast.Call):
        shapes = [
            f"`{_text(one)}` is {np.shape(value)}"
            for one in node.args
            if isinstance(value := _evaluate(one, names), np.ndarray)
        ]
        return [f"In `{_text(node)}`, {' and '.join(shapes)}: they do not fit."] if shapes else []
    return []


def _factors(node: ast.AST) -> tuple[ast.expr, ast.expr] | None:
    """Return the two factors of a product of matrices, however it is written."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        return node.left, node.right
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
    if called and node.func.attr in ("dot", "matmul", "inner"):
        pair = node.args if len(node.args) >= 2 else [node.func.value, *node.args]
        return pair[0], pair[1]
    return None


def _fits(
    left: ast.expr, right: ast.expr, names: dict[str, Any], name: str, want: tuple | None
) -> list[str]:
    """Return the product with transposes that has the target's shape, in a sentence."""
    found = []
    a, b = _plain(left, names), _plain(right, names)
    if a is None or b is None:
        return []
    for (one, first), (two, second) in ((a, b), (b, a)):
        for turned in (False, True):
            for other in (False, True):
                x, y = first.T if turned else first, second.T if other else second
                if x.shape[1] != y.shape[0] or (want and (x.shape[0], y.shape[1]) != want):
                    continue
                text = f"{one}{'.T' * turned} @ {two}{'.T' * other}"
                found.append((turned + other, text, (x.shape[0], y.shape[1])))
    found.sort(key=lambda one: one[0])
    if not found:
        return _others(a, b, names, name, want) if want else []
    if want:
        return [
            f"`{name}` is to be {want}: `{found[0][1]}` has that shape; {_change(*found[0][:2], a)}"
        ]
    return [f"These fit: {', '.join(f'`{text}` {shape}' for _, text, shape in found)}."]


def _change(turns: int, text: str, left: tuple[str, np.ndarray]) -> str:
    if not text.startswith(left[0]):
        return "the order of the factors is to be swapped."
    return "one is to be transposed (.T)." if turns else "no transpose is needed."


def _others(
    a: tuple[str, np.ndarray],
    b: tuple[str, np.ndarray],
    names: dict[str, Any],
    name: str,
    want: tuple,
) -> list[str]:
    """Return what else to multiply, where no transpose gives the target's shape."""
    if a[1].shape == b[1].shape == want:
        return [f"Entry by entry it is `*`: `{a[0]} * {b[0]}` has the shape {want} of `{name}`."]
    known = {**names, **{f"self.{k}": v for k, v in vars(names.get("self", object)).items()}}
    for one, two in ((a, b), (b, a)):
        for other, value in known.items():
            if isinstance(value, np.ndarray) and value.ndim == 2 and other != name:
                for x, turned in ((one[1], ""), (one[1].T, ".T")):
                    if x.shape[1] == value.shape[0] and (x.shape[0], value.shape[1]) == want:
                        fits = f"`{one[0]}{turned} @ {other}` has that shape"
                        return [f"`{name}` is to be {want}: not {two[0]}, {fits}."]
    return [f"`{name}` is to be {want}."]


def _plain(node: ast.expr, names: dict[str, Any]) -> tuple[str, np.ndarray] | None:
    """Return text and value of a matrix without its transpose."""
    while isinstance(node, ast.Attribute) and node.attr == "T":
        node = node.value
    value = _evaluate(node, names)
    if not isinstance(value, np.ndarray) or value.ndim != 2:
        return None
    text = _text(node)
    return (
        text if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)) else f"({text})"
    ), value


def _value(
    node: ast.expr, got: np.ndarray, name: str, want: tuple, names: dict[str, Any]
) -> list[str]:
    """Say that a whole right side has the wrong shape, and what would turn it into the right."""
    said = [f"`{_text(node)}` is {got.shape}, but `{name}` is to be {want}."]
    pair = _factors(node)
    if pair is not None and len(want) == 2:
        fits = _fits(*pair, names, name, want)
        return said + fits[:1]
    if got.ndim == len(want) == 2 and 2 * got.shape[1] == want[1]:
        return [*said, "Two halves stand side by side: np.concatenate([a, b], axis=1)."]
    if got.shape[::-1] == want and got.ndim == 2:
        return [*said, "Its transpose has that shape."]
    for axis in range(got.ndim):
        if got.sum(axis=axis).shape == want:
            return [*said, f"A sum over axis {axis} gives that shape."]
    if got.ndim == 1 and isinstance(node, ast.Call):  # the sum over the other axis
        return [*said, "Sum over the other axis."]
    return said


def _text(node: ast.AST) -> str:
    return ast.unparse(node)
