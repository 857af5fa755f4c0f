"""Finds what is wrong in a student's own lines: the smallest change of them that makes all right.

Each change is tried in the child process (tried.py); what is said of one is true, as undoing the
mistake gives the right numbers. Mistakes that are known beforehand are for causes.py.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from minivae.teaching.exercises import causes
from minivae.teaching.exercises.catalogue import Exercise
from minivae.teaching.exercises.edits import SWAPS, forms
from minivae.teaching.exercises.sandbox import Sandbox

CHUNK, TRIES, ROUNDS = 100, 900, 3  # changes tried in one run of the child, in all, one on another
SIZE = 14  # nodes of an expression that is exchanged; larger ones are another way, no slip
_RANK = dict.fromkeys((ast.Mult, ast.Div), "*") | dict.fromkeys((ast.Add, ast.Sub), "+")
TWINS = {"m": "v", "v": "m", "1": "2", "2": "1"}  # Adam's two averages, and their betas
# What a piece of code that is wrong, or that was meant, is called.
NOTES = {
    r"sqrt\(|\*\* ?0\.5": "sqrt is a root",
    r"log2\(|log10\(": "in nats the logarithm is the natural one, np.log",
    r"\blogvar\b": "e^logvar is the variance, e^(logvar / 2) is sigma",
    r"len\(": "len counts the rows",
    r"shape\[1\]": "shape[1] counts the columns",
    r"\b(\w+) \* \1\b|\*\* ?2\b": "a number times itself is its square",
    r"einsum": "in einsum, an index that does not stand behind -> is summed over, b: the rows",
    r"\[-1": "an index below 0 counts from the end, in the reversed order",
    r"expm1": "expm1(a) is e^a - 1",
    r"log1p": "log1p(a) is log(1 + a)",
    r"reshape": "reshape keeps the order of the entries, it is no transpose",
    r"\.T\b": "a transpose (.T) makes rows of the columns",
    r"\.size": "size counts all entries",
    r"self\.grads": "grads hold gradients, params the values",
    r"> 0|>= 0|< 0": "a mask is 1 where its array is positive",
    r"axis": "axis 0 goes over the rows, axis 1 over the columns",
    r"1e-": "a small number added or a limit hides what a certain pixel costs",
}


class Repair(NamedTuple):
    """A change of a source: the characters from `start` to `end` become `text`."""

    cost: float
    start: int
    end: int
    text: str
    says: str

    def applied(self, source: str) -> str:
        """Return the changed source."""
        return source[: self.start] + self.text + source[self.end :]


def recognise(
    exercise: Exercise,
    source: str,
    path: Path,
    sandbox: Sandbox,
    lines: tuple[int, int] | None = None,
    answer: str = "",
) -> tuple[list[str], set[str]]:
    """Return what is wrong in a file, a sentence for each change, and the numbers they mend.

    Parameters
    ----------
    exercise, source, path, sandbox
        As for `verdict.judged`.
    lines : (int, int), optional
        The first and the one after the last of the lines to change, from 0; else all.
    answer : str
        The right line in their place, if it is known.
    """
    outcome = sandbox.run(source, path, number=exercise.number)
    said: list[str] = []
    mended: set[str] = set()
    if outcome.failure:
        return said, mended
    wrong = causes.differing(exercise, outcome.numbers)
    names = set(causes.solved(exercise))
    for _ in range(ROUNDS):
        best: tuple[int, Repair, set[str]] | None = None
        tries = sorted(_repairs(exercise, source, lines, answer), key=lambda one: one.cost)[:TRIES]
        for at in range(0, len(tries), CHUNK):
            chunk = tries[at : at + CHUNK]
            outcome = sandbox.run(
                source, path, number=exercise.number, repairs=[one[1:4] for one in chunk]
            )
            for one, right in zip(chunk, outcome.right, strict=False):
                gained = len(wrong & set(right))
                if names - wrong <= set(right) and gained > (best[0] if best else 0):
                    best = gained, one, set(right)
            if outcome.failure or (best and best[0] == len(wrong)):
                break
        if best is None:
            break
        _, repair, right = best
        said.append(f"line {source.count(chr(10), 0, repair.start) + 1}: {repair.says}")
        mended |= wrong & right
        source, wrong = repair.applied(source), wrong - right
        if not wrong:
            break
        if lines is not None:
            lines = (lines[0], lines[1] + repair.text.count("\n"))
    return said, mended


def _repairs(
    exercise: Exercise, source: str, lines: tuple[int, int] | None, answer: str
) -> Iterator[Repair]:
    """Yield changes of the lines asked for."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    text = _Text(source)
    known = {} if answer else _functions(exercise.source({}))
    for owner, function in _functions_of(tree):
        names = _names(function)
        rights = _pieces(answer) if answer else _pieces(known.get((owner, function.name), ""))
        rights = {
            key: piece
            for key, piece in rights.items()
            if answer or {one.id for one in ast.walk(piece) if isinstance(one, ast.Name)} <= names
        }
        for statement in ast.walk(function):
            if not isinstance(statement, ast.stmt) or statement is function:
                continue
            if lines and not lines[0] <= statement.lineno - 1 < lines[1]:
                continue
            if isinstance(statement, (ast.Assign, ast.AugAssign, ast.Return, ast.Expr)):
                yield from _statement(statement, text)
                mask = getattr(getattr(statement, "targets", [None])[0], "slice", None)
                for to, piece in rights.items():
                    if isinstance(mask, ast.Compare) and isinstance(piece, ast.Compare):
                        says = f"The mask `{ast.unparse(mask)}` is not that of `{to}`."
                        yield text.become(mask, 4, f"~({to})", says)
                value = statement.value
                if value is not None and not isinstance(getattr(value, "value", None), str):
                    yield from _expressions(value, rights, names, text)
        if not lines or lines[0] <= function.lineno < lines[1]:
            yield from _order(function, text)
            yield from _twins(function, text)


class _Text:
    """A source, and where its nodes are in it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.lines = source.splitlines()

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        return (
            self.at(node.lineno, node.col_offset),
            self.at(node.end_lineno or node.lineno, node.end_col_offset or 0),
        )

    def at(self, line: int, bytes_: int) -> int:
        before = self.lines[line - 1].encode()[:bytes_] if line <= len(self.lines) else b""
        return self.starts[line - 1] + len(before.decode())

    def become(self, node: ast.expr | ast.stmt, cost: float, text: str, says: str) -> Repair:
        start, end = self.span(node)
        return Repair(cost, start, end, text, says)


def _functions_of(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield "", node
        elif isinstance(node, ast.ClassDef):
            for one in node.body:
                if isinstance(one, ast.FunctionDef):
                    yield node.name, one


def _functions(source: str) -> dict[tuple[str, str], str]:
    """Return the solution's functions by class and name."""
    return {(owner, one.name): ast.unparse(one) for owner, one in _functions_of(ast.parse(source))}


def _names(function: ast.FunctionDef) -> set[str]:
    found = {"np", "len", "range", "zip", "self"} | {one.arg for one in function.args.args}
    return found | {one.id for one in ast.walk(function) if isinstance(one, ast.Name)}


def _pieces(code: str) -> dict[str, ast.expr]:
    """Return the expressions of right code, and of its other forms, by their text."""
    found: dict[str, ast.expr] = {}
    for line in code.splitlines():
        for form in forms(line.strip()):
            try:
                statement = ast.parse(f"def f():\n {form}").body[0].body[0]
            except SyntaxError:  # the head of a function or a loop
                continue
            value = getattr(statement, "value", None)
            if isinstance(statement, ast.stmt) and isinstance(value, ast.expr):
                for node in _inner(value):
                    found.setdefault(ast.unparse(node), node)
    found.pop("None", None)
    return {key: node for key, node in found.items() if _size(node) <= SIZE}


def _inner(value: ast.expr) -> Iterator[ast.expr]:
    """Yield an expression and those in it, without names of functions and of keywords."""
    functions = {id(one.func) for one in ast.walk(value) if isinstance(one, ast.Call)}
    bases = {
        id(one.value)
        for one in ast.walk(value)
        if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name)
    }
    for node in ast.walk(value):
        if (
            isinstance(node, ast.expr)
            and id(node) not in functions | bases
            and not isinstance(node, (ast.Slice, ast.Starred))
            and not any(isinstance(one, ast.Slice) for one in getattr(node, "elts", ()))
        ):
            yield node


def _tiny(node: ast.expr) -> bool:
    """Return whether it is a number that changes no result by much, whatever is done with it."""
    value = getattr(node, "value", None)
    return isinstance(node, ast.Constant) and isinstance(value, float) and 0 < value < 1e-3


def _size(node: ast.AST) -> int:
    return sum(isinstance(one, (ast.expr, ast.operator)) for one in ast.walk(node))


def _note(*pieces: str) -> str:
    notes = [says for pattern, says in NOTES.items() if re.search(pattern, " ".join(pieces))]
    return f" ({'; '.join(notes[:2])})" if notes else ""


def _expressions(
    value: ast.expr,
    rights: dict[str, ast.expr],
    names: set[str],
    text: _Text,
) -> Iterator[Repair]:
    parents = {
        id(child): ast.unparse(node)
        for node in ast.walk(value)
        if isinstance(node, (ast.Compare, ast.Call, ast.BinOp, ast.Subscript))
        for child in ast.iter_child_nodes(node)
    }
    terms = {id(one) for one in _parts(value)}
    for node in _inner(value):
        was, size = ast.unparse(node), _size(node)
        large = size > SIZE and node is not value
        for piece in [] if large or _tiny(node) else rights.values():
            to = ast.unparse(piece)
            if to == was or (node is value and size > 3 and _size(piece) > 8):
                continue  # that is another line, no slip in this one
            if isinstance(piece, ast.Constant) and isinstance(node, ast.Name):
                continue  # a name is written for another name: a number would only hide it
            cost = 2 + size + _size(piece) - 2 * _shared(node, piece)
            if isinstance(node, ast.Constant) and not isinstance(piece, ast.Constant):
                cost += 2
            says = _stands(was, to, value, parents.get(id(node)))
            yield text.become(node, cost, f"({to})", says)
        if isinstance(node, ast.Call):
            yield from _call(node, was, text)
        if isinstance(node, ast.BinOp) and not (_tiny(node.left) or _tiny(node.right)):
            yield from _operation(node, was, text)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            to = ast.unparse(node.operand)
            yield text.become(node, 2, f"({to})", f"The sign of `{to}` is wrong.")
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            to = ast.unparse(node.value)
            if not to.endswith(("params", "grads", "shape")):
                yield text.become(node, 5, to, f"`{was}` is a part alone: `{to}` belongs there.")
        if isinstance(node, (ast.Tuple, ast.List)) and len(node.elts) > 1:
            turned = ", ".join(ast.unparse(one) for one in node.elts[::-1])
            brackets = "[]" if isinstance(node, ast.List) else "()"
            says = f"`{was}` is in the wrong order: it is `{turned}`."
            yield text.become(node, 3, brackets[0] + turned + brackets[1], says)
        if (
            id(node) in terms
            and not _tiny(node)
            and not isinstance(node, (ast.Tuple, ast.List, ast.Dict))
        ):
            yield from _scaled(node, was, names, text, 0 if node is value else 2)


def _parts(value: ast.expr) -> Iterator[ast.expr]:
    """Yield a right side, its terms, what a function is taken of, and the results it has."""
    yield value
    for node in ast.walk(value):
        if isinstance(node, ast.BinOp):
            yield from (node.left, node.right)
        elif isinstance(node, ast.Call):
            yield from node.args
        elif isinstance(node, ast.Tuple):
            yield from node.elts


def _scaled(
    node: ast.expr, was: str, names: set[str], text: _Text, more: float
) -> Iterator[Repair]:
    of = f" in `{was}`{_note(was)}" if more else ""
    if not (isinstance(node, ast.Constant) or was.endswith("step")):
        yield text.become(node, 2 + more, f"(0.5 * ({was}))", f"The half is missing{of}.")
        yield text.become(node, 2 + more, f"(2 * ({was}))", f"A factor 2 is missing{of}.")
        yield text.become(node, 2 + more, f"(-({was}))", f"The sign of `{was}` is wrong.")
        yield text.become(node, 4 + more, f"(({was}) ** 2)", f"The square is missing: `{was}`.")
        yield text.become(node, 4 + more, f"np.sqrt({was})", f"The root is missing: `{was}`.")
        yield text.become(node, 4 + more, f"(({was}) - 1)", f"The - 1 is missing at `{was}`.")
        yield text.become(node, 4 + more, f"(1 - ({was}))", f"`1 - {was}` belongs there.")
    for name in sorted(names - {"np", "self", "len", "range", "zip"}):
        says = f"The factor {name} is missing{of}."
        yield text.become(node, 4 + more, f"(({was}) * {name})", says)
        says = f"{was if more else 'It'} must be divided by {name}."
        yield text.become(node, 5 + more, f"(({was}) / {name})", says)
        batch = f"len({name})"
        says = f"The mean over the batch is missing: divide by {batch}, the number of rows{of}."
        yield text.become(node, 4 + more, f"(({was}) / {batch})", says)
        says = f"It is divided by the number of rows, {batch}, once too often{of}."
        yield text.become(node, 4 + more, f"(({was}) * {batch})", says)
        width = f"{name}.shape[1]"
        says = f"It is divided by the width, {width}, too: over a row it is a sum, no mean{of}."
        yield text.become(node, 5 + more, f"(({was}) * {width})", says)


def _call(node: ast.Call, was: str, text: _Text) -> Iterator[Repair]:
    function, arguments = ast.unparse(node.func), [ast.unparse(one) for one in node.args]
    words = [ast.unparse(one) for one in node.keywords]
    name = function.rpartition(".")[2]
    method = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) != "np"
    inner = ast.unparse(node.func.value) if method else (arguments or [""])[0]
    if name == "copy":
        says = f"`{was}` is a copy: what is done to it does not change the array given ({inner})."
        yield text.become(node, 2, inner, says)
    elif inner and not function.startswith(("vae.", "rng.", "self.")):
        says = f"`{function}` is too much: `{inner}` belongs there, without it{_note(was)}."
        if name in ("sum", "mean", "max", "min"):
            says = f"`{was}` is one number for many: each entry has its own, `{inner}`."
        yield text.become(node, 4, f"({inner})", says)
    for other in SWAPS.get(name, ()):
        to = f"{function[: -len(name)]}{other}({', '.join([*arguments, *words])})"
        says = {
            ("mean", "sum"): "A mean stands where a sum belongs",
            ("sum", "mean"): "A sum stands where a mean belongs",
        }.get((name, other), f"`{name}` stands where `{other}` belongs")
        yield text.become(node, 4, to, f"{says}: `{was}`{_note(to)}.")
    if name in SWAPS and name in ("sum", "mean", "max", "min"):
        rest = [one for one in words if not one.startswith("axis")]
        for axis in (None, 0, 1):
            to = [*arguments[: 0 if method else 1], *([] if axis is None else [f"axis={axis}"])]
            to = f"{function}({', '.join([*to, *rest])})"
            belongs = "over all entries" if axis is None else f"over axis {axis}"
            says = f"`{was}`: the {name} belongs {belongs} (axis 0: rows, axis 1: columns)."
            yield text.become(node, 4, to, says)
    for i in range(len(arguments)):
        for k in range(i + 1, len(arguments)):
            turned = list(arguments)
            turned[i], turned[k] = turned[k], turned[i]
            says = f"`{arguments[i]}` and `{arguments[k]}` are exchanged in `{was}`."
            yield text.become(node, 4, f"{function}({', '.join([*turned, *words])})", says)


def _operation(node: ast.BinOp, was: str, text: _Text) -> Iterator[Repair]:
    left, right = ast.unparse(node.left), ast.unparse(node.right)
    sign = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.MatMult: "@"}
    now = sign.get(type(node.op), "**")
    one = any(getattr(side, "value", None) == 1 for side in (node.left, node.right))
    for other in {"+": "-*", "-": "+*", "*": "/+@", "/": "*-", "@": "*", "**": "*"}[now]:
        if one and other in "*/":
            continue  # nobody multiplies by 1: that term, or factor, is too many
        if {now, other} == {"+", "-"}:
            says = f"The sign of `{right}` is wrong: `{left} {other} {right}`."
        else:
            does = {"*": "multiply", "/": "divide", "+": "add", "-": "subtract"}
            how = does.get(other, "a product of matrices, @")
            how = "multiply entry by entry, each entry with its own" if now == "@" else how
            says = f"`{was}`: {how}, `{left} {other} {right}`."
        yield text.become(node, 3, f"(({left}) {other} ({right}))", says)
    if isinstance(node.left, ast.Call) and len(node.left.args) == 1 and not node.left.keywords:
        function, inner = ast.unparse(node.left.func), ast.unparse(node.left.args[0])
        to = f"{function}(({inner}) {now} ({right}))"
        says = (
            f"`{now} {right}` stands outside of `{function}(...)`: it belongs inside{_note(was)}."
        )
        if function != "len":  # in there it would do nothing
            yield text.become(node, 4, to, says)
    what = "term" if now in "+-" else "factor"
    for gone, kept in ((right, left), (left, right)):
        twice = " It is in already." if kept == gone else ""
        more = f" {'-+'[now == '+']}" if gone == right and now in "+-" else ""
        minus = gone == left and now == "-"
        says = f"The {what}{more} `{gone}` is too many in `{was}`{_note(was)}.{twice}"
        yield text.become(node, 4, f"(-({kept}))" if minus else f"({kept})", says)
    if _RANK.get(type(node.op)) == "+":  # brackets: a factor that is on one term alone
        for one, two in ((node.left, right), (node.right, left)):
            if isinstance(one, ast.BinOp) and isinstance(one.op, (ast.Mult, ast.Div)):
                inside = [(ast.unparse(one.left), ast.unparse(one.right))]
                if isinstance(one.op, ast.Mult):
                    inside.append(inside[0][::-1])
                op = sign[type(one.op)]
                for keep, factor in inside:
                    pair = (keep, two) if one is node.left else (two, keep)
                    to = f"(({pair[0]} {now} {pair[1]}) {op} ({factor}))"
                    says = f"Brackets (parentheses) are missing in `{was}`: `{to[1:-1]}`."
                    yield text.become(node, 3, to, says)


def _statement(statement: ast.stmt, text: _Text) -> Iterator[Repair]:
    was = ast.unparse(statement)
    if isinstance(statement, ast.Assign):
        target, value = ast.unparse(statement.targets[0]), ast.unparse(statement.value)
        named = isinstance(statement.targets[0], (ast.Name, ast.Attribute, ast.Subscript))
        if named and not target.endswith(("[...]", "[:]")):
            yield text.become(
                statement,
                2,
                f"{target}[...] = {value}",
                f"`{target} = ...` makes a new array, and who holds the given one sees it "
                f"unchanged: write into it in place, `{target}[...] = ...`.",
            )
        if isinstance(statement.value, (ast.Name, ast.Attribute)):
            says = f"`{was}` makes {target} and {value} the same array: each needs one of its own."
            new = f"{target} = __import__('copy').deepcopy({value})"
            yield text.become(statement, 2, new, says)
        says = f"`{target}` is overwritten: add to what is there (+=)."
        yield text.become(statement, 3, f"{target} += {value}", says)
    elif isinstance(statement, ast.AugAssign):
        target, value = ast.unparse(statement.target), ast.unparse(statement.value)
        op = was[len(target) + 1 :].partition("=")[0]
        says = (
            f"`{was}` changes {target} itself, and the next call finds it changed: keep it, and "
            f"give the result another array, `... = {target} {op} ...`."
        )
        yield text.become(statement, 2, f"{target} = {target} {op} ({value})", says)
        if op in "+-":
            other = "-+"[op == "-"]
            says = f"The sign is wrong: it is `{target} {other}= ...`."
            yield text.become(statement, 3, f"{target} {other}= {value}", says)
        says = f"`{target}` is to be overwritten, not added to: `{target}[...] = ...`."
        yield text.become(statement, 3, f"{target}[...] = {value}", says)
    if not isinstance(statement, ast.Return):
        twice = (
            ", it is there twice"
            if text.source.count(text.source[slice(*text.span(statement))]) > 1
            else ""
        )
        yield text.become(
            statement, 6, "pass", f"`{was}` is too many{twice}: without it all is right."
        )


def _order(function: ast.FunctionDef, text: _Text) -> Iterator[Repair]:
    """Yield statements in another order, out of a loop, and a count that is missing."""
    for node in ast.walk(function):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for one, two in itertools.pairwise(body):
            (start, middle), (later, end) = text.span(one), text.span(two)
            source = text.source
            between = source[middle:later]
            says = (
                f"`{ast.unparse(one)}` and `{ast.unparse(two)}` are in the wrong order: the "
                "second must come first."
            )
            if len(ast.unparse(one)) + len(ast.unparse(two)) < 160 and "\n" in between:
                new = source[later:end] + between + source[start:middle]
                yield Repair(4, start, end, new, says)
        if isinstance(node, ast.For) and node is not function:
            for one in body:
                start, end = text.span(one)
                head, _ = text.span(node)
                indent = " " * node.col_offset
                if isinstance(one, (ast.AugAssign, ast.Assign)):
                    moved = ast.unparse(one)
                    new = f"{moved}\n{indent}{text.source[head:start]}pass"
                    says = f"`{moved}` is done in every turn of the loop, once for each array: "
                    yield Repair(4, head, end, new, says + "it belongs before it, once a step.")
    counts = sorted(
        {
            ast.unparse(one)
            for one in ast.walk(function)
            if isinstance(one, ast.Attribute) and ast.unparse(one) in ("self.step", "self.t")
        }
    )
    counted = {
        ast.unparse(one.target) for one in ast.walk(function) if isinstance(one, ast.AugAssign)
    }
    first = function.body[0]
    for name in counts:
        start, _ = text.span(first)
        says = f"{name} is never counted up: it stays as it was at the first step."
        if name in counted:
            says = f"{name} is counted up too late: the first step is step 1 already."
        yield Repair(3, start, start, f"{name} += 1\n{' ' * first.col_offset}", says)


def _twins(function: ast.FunctionDef, text: _Text) -> Iterator[Repair]:
    """Yield Adam's lines of m as those of v have it, and the other way round."""
    lines = [one for one in ast.walk(function) if isinstance(one, ast.Assign)]
    for one, other in itertools.permutations(lines, 2):
        value, model = ast.unparse(one.value), ast.unparse(other.value)
        turned = re.sub(r"\b(m|v)(?=\b|_?hat)|(?<=beta)[12]", lambda at: TWINS[at[0]], model)
        target = ast.unparse(one.targets[0])
        if (
            target
            == re.sub(
                r"^(m|v)|(?<=\.)(m|v)(?=\b|_?hat)",
                lambda at: TWINS[at[0]],
                (ast.unparse(other.targets[0])),
            )
            and value != turned != model
            and value in turned
        ):
            says = (
                f"`{target}` lacks what `{ast.unparse(other.targets[0])}` has, its correction: "
                f"`{turned}`."
            )
            yield text.become(one.value, 2, f"({turned})", says)


def _stands(was: str, to: str, value: ast.expr, parent: str | None) -> str:
    line = ast.unparse(value)
    within = f" in `{parent}`" if parent and len(was) < 4 else ""
    missing = [
        one.id
        for one in ast.walk(ast.parse(to, mode="eval"))
        if isinstance(one, ast.Name) and not re.search(rf"\b{one.id}\b", line)
    ]
    lacks = [one for one in dict.fromkeys(missing) if one not in ("np", "len", to)]
    more = ""
    if 0 < len(lacks) < 3:
        more = f": {' and '.join(lacks)} {'is' if len(lacks) == 1 else 'are'} missing"
    elif to[0] == "d" and to.isidentifier() and to in missing:
        more = f": {to} is missing"
    if more and any(one[0] == "d" for one in [*lacks, to]):
        more += ", and the chain rule is broken"
    if " @ " in was and " @ " not in to:
        more += ", entry by entry: a product of matrices pairs each row with every other"
    return f"`{was}` stands where `{to}` belongs{within}{more}{_note(was, to, parent or '')}."


def _shared(one: ast.expr, other: ast.expr) -> int:
    """Return how many nodes of one expression are in the other too, as a whole."""
    text = {ast.unparse(node) for node in ast.walk(other) if isinstance(node, ast.expr)}
    return max(
        (
            _size(node)
            for node in ast.walk(one)
            if isinstance(node, ast.expr) and ast.unparse(node) in text
        ),
        default=0,
    )
