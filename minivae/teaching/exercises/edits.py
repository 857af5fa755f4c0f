"""Small faults put into a right line of code, each with the sentence that names it.

Factors and terms that are missing, signs, halves, means, exchanged names: what people write. Who
compares a student's numbers with theirs is causes.py.
"""

from __future__ import annotations

import ast
import copy
import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

HALF = "The half is missing"
SWAPS = {  # functions that are taken for one another
    "exp": ("expm1", "log"),
    "expm1": ("exp",),
    "log": ("log1p", "exp"),
    "log1p": ("log", "exp"),
    "sum": ("mean", "max"),
    "mean": ("sum", "max"),
    "max": ("min", "sum", "mean"),
    "maximum": ("minimum",),
    "sqrt": (),
    "abs": (),
    "tanh": ("sinh",),
}
MEANING = {
    "scale": "The mean over the batch is missing: the factor `scale`.",
    "beta": "beta is missing: the weight of the KL.",
}


class Edit(NamedTuple):
    """A faulty piece of code and what to say of it; `plain` faults are also made two at a time."""

    node: ast.AST
    says: str
    plain: bool = True


def faulty(line: str, names: list[str]) -> Iterator[tuple[str, str, bool]]:
    """Yield faulty forms of a statement: its text, the sentence, whether it is a plain fault.

    Parameters
    ----------
    line : str
        One statement.
    names : list of str
        What else is in scope: `dy` may stand where `y` belongs.
    """
    statement = ast.parse(f"def f():\n {line}").body[0].body[0]
    seen = {ast.unparse(statement)}
    for edit in _of_statement(statement, names):
        try:
            text = ast.unparse(ast.fix_missing_locations(edit.node))
        except Exception:
            continue
        if text not in seen:
            seen.add(text)
            yield text, edit.says, edit.plain


def without(line: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the statement without several factors of its right side, with what to say of each."""
    statement = ast.parse(f"def f():\n {line}").body[0].body[0]
    value = getattr(statement, "value", None)
    factors = _factors(value) if value is not None else []
    for count in range(2, len(factors)):
        for gone in itertools.combinations(range(len(factors)), count):
            rest = [one for i, one in enumerate(factors) if i not in gone]
            if any(power == 1 for _, power in rest):
                says = tuple(_missing(*factors[i]) for i in gone)
                whole = _with(statement, value=_build(rest))
                yield ast.unparse(ast.fix_missing_locations(whole)), says


def _of_statement(statement: ast.stmt, names: list[str]) -> Iterator[Edit]:
    if isinstance(statement, ast.AugAssign):
        other = ast.Sub() if isinstance(statement.op, ast.Add) else ast.Add()
        sign = f"The sign is wrong: `{_text(statement.target)}` changes the other way."
        yield Edit(_with(statement, op=other), sign)
        target = _text(statement.target)
        whole = ast.Subscript(statement.target, ast.Constant(...), ast.Store())
        yield Edit(
            ast.Assign([whole], statement.value, lineno=0),
            f"This overwrites what is in {target}: add to what is there (+=).",
        )
        yield Edit(
            ast.Assign([statement.target], statement.value, lineno=0),
            f"`{target} = ...` makes a new array and leaves the given one as it was.",
        )
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Subscript):
        target = statement.targets[0]
        yield Edit(
            ast.AugAssign(target, ast.Add(), statement.value),
            "This adds to what is there: write `d[...] = ...`, not `+=`.",
        )
        if isinstance(target.slice, ast.Constant) and target.slice.value is ...:
            yield Edit(
                ast.Assign([_with(target.value, ctx=ast.Store())], statement.value, lineno=0),
                f"`{_text(target.value)} = ...` makes a new array and leaves the given one as it "
                f"was: write `{_text(target.value)}[...] = ...`.",
            )
    if not isinstance(statement, ast.Return):
        yield Edit(ast.Pass(), "This line does nothing.", False)
    value = getattr(statement, "value", None)
    if isinstance(value, ast.expr):
        several = isinstance(value, ast.Tuple)
        for edit in _of(value, names):
            yield Edit(_with(statement, value=edit.node), edit.says, edit.plain)
        for edit in [] if several else _whole(value, names):
            yield Edit(_with(statement, value=edit.node), edit.says, edit.plain)


def _whole(value: ast.expr, names: list[str]) -> Iterator[Edit]:
    """Yield faults of a right side as a whole."""
    if isinstance(value, ast.Call) and not _is_sum(value):
        return
    yield Edit(_minus(value), "The sign is wrong: it is the opposite.")
    yield Edit(_times(value, ast.Constant(2)), "A factor 2 is too many.")
    yield Edit(_times(value, ast.Constant(0.5)), "There is a half too many.")
    used = {one.id for one in ast.walk(value) if isinstance(one, ast.Name)} & set(names)
    for one, other in itertools.combinations(sorted(used), 2):
        yield Edit(_swapped(value, one, other), f"{one} and {other} are exchanged.", False)
    for name in ("sum", "mean"):
        whole = ast.Call(ast.Attribute(ast.Name("np"), name), [value], [])
        says = f"That is one {name} over all entries: every entry has its own."
        yield Edit(whole, says, False)
    for name in [one for one in names if one[0] in "dmx" and "." not in one][:1]:
        width = ast.parse(f"{name}.shape[1]", mode="eval").body
        says = "No mean over the width belongs here: it is a sum, and is divided by shape[1]."
        yield Edit(ast.BinOp(value, ast.Div(), width), says, False)
    if "scale" in names:
        once = "scale" in {one.id for one in ast.walk(value) if isinstance(one, ast.Name)}
        says = (
            "The mean over the batch is taken twice: the factor `scale`."
            if once
            else "No `scale` belongs here."
        )
        yield Edit(_times(value, ast.Name("scale")), says)
    if "beta" in names:
        says = "beta is in it twice." if "beta" in ast.unparse(value) else "No beta belongs here."
        yield Edit(_times(value, ast.Name("beta")), says)
    arrays = [name for name in names if name[0] == "d" and "." not in name]
    for name in (arrays or [one for one in names if "." not in one])[:1]:
        length = ast.Call(ast.Name("len"), [ast.Name(name)], [])
        yield Edit(
            ast.BinOp(value, ast.Div(), length),
            "No mean over the batch belongs here: it is divided by the batch size.",
        )


def _of(node: ast.expr, names: list[str]) -> Iterator[Edit]:
    """Yield the node with one fault in it."""
    if _is_product(node):
        yield from _product(node, names)
        return
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
        yield from _sum(node, names)
        return
    yield from _local(node, names)
    for field, child in ast.iter_fields(node):
        if field in ("func", "ctx", "slice") and not (
            field == "func" and isinstance(child, ast.Attribute)
        ):
            continue
        if field == "func":  # dy.sum(): the array is in the function's place
            if isinstance(child.value, ast.Name) and child.value.id in ("np", "f", "vae", "self"):
                continue
            for edit in _of(child.value, names):
                yield Edit(_with(node, func=_with(child, value=edit.node)), edit.says, edit.plain)
        elif isinstance(child, ast.expr):
            for edit in _of(child, names):
                yield Edit(_with(node, **{field: edit.node}), edit.says, edit.plain)
        elif isinstance(child, list):
            for i, item in enumerate(child):
                if isinstance(item, ast.expr):
                    for edit in _of(item, names):
                        items = [*child[:i], edit.node, *child[i + 1 :]]
                        yield Edit(_with(node, **{field: items}), edit.says, edit.plain)


def _product(node: ast.expr, names: list[str]) -> Iterator[Edit]:
    factors = _factors(node)
    for i, (factor, power) in enumerate(factors):
        rest = factors[:i] + factors[i + 1 :]
        if _text(factor) == "-1":
            yield Edit(_build(rest), _missing(factor, power))
            continue
        if any(one == 1 for _, one in rest):
            yield Edit(_build(rest), _missing(factor, power))
        yield Edit(
            _build([*factors, (factor, power)]),
            f"The factor `{_text(factor)}` is twice in it: it belongs there once.",
        )
        if power < 0:
            yield Edit(
                _build([*rest, (factor, 1)]),
                f"It is to be divided by `{_text(factor)}`, not multiplied.",
            )
        elif len(rest) and any(one == 1 for _, one in rest):
            yield Edit(
                _build([*rest, (factor, -1)]),
                f"It is to be multiplied by `{_text(factor)}`, not divided.",
                False,
            )
        if isinstance(factor, ast.BinOp) and isinstance(factor.op, (ast.Add, ast.Sub)):
            first = _build([*rest, (factor.left, power)])  # the parentheses left out
            last = _build([*rest, (factor.right, power)])
            says = f"Parentheses (brackets) are missing around `{_text(factor)}`."
            yield Edit(ast.BinOp(first, factor.op, factor.right), says)
            yield Edit(ast.BinOp(factor.left, factor.op, last), says)
        for edit in _of(factor, names):
            changed = [*factors[:i], (edit.node, power), *factors[i + 1 :]]
            yield Edit(_build(changed), edit.says, edit.plain)


def _sum(node: ast.BinOp, names: list[str]) -> Iterator[Edit]:
    terms, whole = _terms(node), _text(node)
    for i, (term, sign) in enumerate(terms):
        rest = terms[:i] + terms[i + 1 :]
        said = f"{'-+'[sign > 0]} {_text(term)}" if i else _text(term)
        yield Edit(_add(rest), f"The term {said} is missing: it is {whole}.")
        turned = [*terms[:i], (term, -sign), *terms[i + 1 :]]
        yield Edit(_add(turned), f"The sign of {_text(term)} is wrong: it is {whole}.")
        for factor, says in (
            (2, "is twice what it should be"),
            (0.5, "is half of what it should be"),
        ):
            changed = [*terms[:i], (_times(term, ast.Constant(factor)), sign), *terms[i + 1 :]]
            yield Edit(_add(changed), f"The term `{_text(term)}` {says}.", False)
        for edit in _of(term, names):
            changed = [*terms[:i], (edit.node, sign), *terms[i + 1 :]]
            yield Edit(_add(changed), edit.says, edit.plain)
    if len(terms) == 2:
        first, second = (one for one, _ in terms)
        product = ast.BinOp(first, ast.Mult(), second)
        how = "add" if isinstance(node.op, ast.Add) else "subtract"
        yield Edit(product, f"It is {whole}: {how}, do not multiply.", False)


def _local(node: ast.expr, names: list[str]) -> Iterator[Edit]:
    """Yield faults of this node alone."""
    if isinstance(node, (ast.Name, ast.Attribute)):
        text = _text(node)
        if text in names:
            for other in names:
                if other != text:
                    says = f"It has {other} instead of {text}."
                    yield Edit(ast.parse(other, mode="eval").body, says, False)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield Edit(node.operand, f"The sign of `{_text(node.operand)}` is wrong.")
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        power = _text(node.right)
        says = "The square is missing" if power == "2" else f"The power `{power}` is missing"
        yield Edit(node.left, f"{says}: `{_text(node)}`.")
        yield Edit(
            ast.BinOp(node.left, ast.Mult(), node.right),
            f"`{_text(node.left)} * {power}` is a product: the power is `**`.",
        )
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        left, right = node.left, node.right
        exchanged = "The factors of the product are exchanged or transposed."
        for one, other in ((left, right), (right, left)):
            for turn in range(4):
                product = ast.BinOp(
                    _turned(one) if turn & 1 else one,
                    ast.MatMult(),
                    _turned(other) if turn & 2 else other,
                )
                yield Edit(product, exchanged, False)
                yield Edit(_turned(product), exchanged, False)
    elif isinstance(node, ast.Compare):
        for op, says in (
            (ast.LtE(), "The comparison is the other way round: the mask is inverted."),
            (ast.GtE(), "`>=` lets zero pass: it is true everywhere here."),
            (ast.Lt(), "The comparison is the other way round: the mask is inverted."),
        ):
            yield Edit(_with(node, ops=[op]), says)
    elif isinstance(node, ast.Call):
        yield from _call(node)
    elif isinstance(node, (ast.List, ast.Tuple)) and len(node.elts) > 1:
        yield Edit(_with(node, elts=node.elts[::-1]), "These are in the wrong order.")


def _call(node: ast.Call) -> Iterator[Edit]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else _text(node.func)
    inner = node.args[0] if node.args else getattr(node.func, "value", None)
    if name in SWAPS and isinstance(node.func, ast.Attribute):
        if inner is not None and name not in ("sum", "mean", "max", "maximum"):
            yield Edit(inner, f"`{_text(node.func)}` is missing.")
        for other in SWAPS[name]:
            says = {
                ("sum", "mean"): "A mean stands where a sum belongs.",
                ("mean", "sum"): "A sum stands where a mean belongs.",
            }.get((name, other), f"`{other}` stands where `{name}` belongs.")
            yield Edit(_with(node, func=_with(node.func, attr=other)), says)
            if any(word.arg == "axis" for word in node.keywords):
                flat = _with(node, func=_with(node.func, attr=other), keywords=[])
                yield Edit(flat, f"{says} And it is taken over axis 0 alone.", False)
    if name in ("exp", "expm1"):
        for factor in (0.5, 2):
            argument = _times(inner, ast.Constant(factor))
            how = "half of" if factor < 1 else "twice"
            says = f"The exponent is {how} what it should be: `{_text(inner)}`."
            if "logvar" in says:
                says += " e^logvar is the variance, e^(logvar/2) is sigma."
            yield Edit(_with(node, args=[argument]), says)
    for word in node.keywords:
        if word.arg == "axis":
            axis = _text(word.value)
            rest = [one for one in node.keywords if one is not word]
            yield Edit(_with(node, keywords=rest), f"The axis is missing: over axis {axis} alone.")
            other = ast.keyword("axis", ast.Constant(1 - int(axis)))
            yield Edit(
                _with(node, keywords=[*rest, other]),
                f"It is taken over axis {axis}, not {1 - int(axis)}.",
            )
    if _text(node.func).startswith("vae."):
        for i, one in enumerate(node.args):
            turned = [*node.args[:i], _minus(one), *node.args[i + 1 :]]
            yield Edit(_with(node, args=turned), f"The sign of `{_text(one)}` is wrong.", False)
    for i in range(len(node.args)):
        for k in range(i + 1, len(node.args)):
            swapped = list(node.args)
            swapped[i], swapped[k] = swapped[k], swapped[i]
            one, other = _text(node.args[i]), _text(node.args[k])
            yield Edit(_with(node, args=swapped), f"`{one}` and `{other}` are exchanged.")


# --- pieces of code -------------------------------------------------------------------------------


def _missing(factor: ast.expr, power: int) -> str:
    text = _text(factor)
    if text == "-1":
        return "The sign is wrong: it is the opposite."
    if (text == "0.5" and power > 0) or (text == "2" and power < 0):
        return f"{HALF}."
    if text in MEANING:
        return MEANING[text]
    if text[0] == "d" and text.isidentifier():
        return f"The chain rule is missing: the slope must be multiplied by {text}."
    if power < 0:
        return f"It must be divided by `{text}`."
    return f"The factor {_named(text)} is missing."


def _swapped(node: ast.expr, one: str, other: str) -> ast.expr:
    found = copy.deepcopy(node)
    for name in ast.walk(found):
        if isinstance(name, ast.Name) and name.id in (one, other):
            name.id = other if name.id == one else one
    return found


def forms(line: str) -> list[str]:
    """Return a statement as it is, and written in other ways: e^x - 1 for expm1, y^2 for y y."""
    found = [line]
    for pattern, other in (
        (r"np\.expm1\(((?:[^()]|\([^()]*\))*)\)", r"(np.exp(\1) - 1)"),
        (r"\b(\w+) \* \1\b", r"\1**2"),
        (r"\by \* \(1 - y\)", "(y - y**2)"),
        (r"dy \* y \* \(1 - y\)", "dy * y - dy * y**2"),
    ):
        changed = re.sub(pattern, other, line)
        found += [changed] if changed != line else []
    return found


def _named(text: str) -> str:
    return text if text.isidentifier() else f"`{text}`"


def _is_product(node: ast.AST) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div))


def _is_sum(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Attribute) and node.func.attr in SWAPS


def _factors(node: ast.expr, power: int = 1) -> list[tuple[ast.expr, int]]:
    if _is_product(node):
        right = power if isinstance(node.op, ast.Mult) else -power
        return _factors(node.left, power) + _factors(node.right, right)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return [(ast.Constant(-1), 1), *_factors(node.operand, power)]
    return [(node, power)]


def _build(factors: list[tuple[ast.expr, int]]) -> ast.expr:
    above = [factor for factor, power in factors if power > 0]
    below = [factor for factor, power in factors if power < 0]
    found: ast.expr = above[0] if above else ast.Constant(1)
    for factor in above[1:]:
        found = ast.BinOp(found, ast.Mult(), factor)
    for factor in below:
        found = ast.BinOp(found, ast.Div(), factor)
    return found


def _terms(node: ast.expr, sign: int = 1) -> list[tuple[ast.expr, int]]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
        right = sign if isinstance(node.op, ast.Add) else -sign
        return _terms(node.left, sign) + _terms(node.right, right)
    return [(node, sign)]


def _add(terms: list[tuple[ast.expr, int]]) -> ast.expr:
    first, sign = terms[0]
    found = first if sign > 0 else _minus(first)
    for term, sign in terms[1:]:
        found = ast.BinOp(found, ast.Add() if sign > 0 else ast.Sub(), term)
    return found


def _minus(node: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.USub(), node)


def _times(node: ast.expr, factor: ast.expr) -> ast.expr:
    return ast.BinOp(node, ast.Mult(), factor)


def _turned(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.Attribute) and node.attr == "T":
        return node.value
    return ast.Attribute(node, "T", ast.Load())


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _text(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(node))
