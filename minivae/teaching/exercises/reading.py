"""What the text of a wrong line gives away: Python's own traps, which no number shows.

It is asked only where a blank is wrong; the numbers are for causes.py.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator


def traps(text: str, blank: str) -> list[str]:
    """Return what is suspicious in the lines that stand in place of a blank."""
    try:
        tree = ast.parse(f"def f():\n{textwrap.indent(textwrap.dedent(text), ' ')}\n")
    except SyntaxError:
        return []
    found = [says for node in ast.walk(tree) for says in _of(node)]
    if blank.startswith("return") and not any(isinstance(n, ast.Return) for n in ast.walk(tree)):
        found.append("Nothing is returned: the line must begin with `return`.")
    target = blank.partition("=")[0].strip(" +-")
    if "self.grads" in target and "self.params[" in text.partition("=")[0]:
        found.append("This writes into params: the gradients belong into grads.")
    return list(dict.fromkeys(found))


def _of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv):
        yield "`//` rounds down to a whole number: divide with `/`."
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor):
        yield "`^` is no power in Python: the power is `**`."
    elif isinstance(node, ast.Call):
        yield from _of_call(node)
    elif isinstance(node, ast.IfExp):
        yield "`if` decides once for the whole array: np.where chooses for every entry."
    elif isinstance(node, ast.For):
        yield from _of_loop(node)
    elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.GtE):
        left, right = ast.unparse(node.left), ast.unparse(node.comparators[0])
        if right == "0":
            yield f"{left} >= 0 lets 0 pass: with the mask {left} > 0, the slope at 0 is 0."
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        if isinstance(node.slice, ast.Compare):
            yield (
                "A number cannot be indexed: multiply by the mask, or use np.where."
                if isinstance(node.value, ast.Constant)
                else "A mask as index picks entries into a flat array: np.where keeps the shape."
            )
    elif isinstance(node, ast.Module):
        yield from _kept(node)


def _kept(tree: ast.Module) -> Iterator[str]:
    """Yield what to say of a mask on the left, unless the whole array was written before."""
    targets = [one.targets[0] for one in ast.walk(tree) if isinstance(one, ast.Assign)]
    if targets and _masked(targets[0]):
        yield "The other entries keep what was in them: overwrite them too."


def _masked(target: ast.expr) -> bool:
    return isinstance(getattr(target, "slice", None), ast.Compare)


def _small(node: ast.AST) -> bool:
    value = getattr(node, "value", None)
    return isinstance(node, ast.Constant) and isinstance(value, float) and 0 < value < 1e-3


def _list(node: ast.expr) -> bool:
    return isinstance(node, (ast.List, ast.Tuple))


def _of_call(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    if name in ("np.log", "np.sqrt", "math.log") and any(map(_small, ast.walk(node))):
        yield (
            "A small number in the logarithm clips the cost of a certain pixel: for large logits "
            "it is wrong, however small the number."
            if name.endswith("log")
            else f"`{ast.unparse(node)}`: the small number stands outside the root."
        )
    if name in ("max", "min") and len(node.args) == 2:
        yield f"Python's {name} compares whole arrays: np.{name}imum goes entry by entry."
    elif name in ("np.max", "np.min") and len(node.args) == 2:
        yield f"{name}(a, 0) is taken along axis 0: {name}imum goes entry by entry."
    elif name in ("int", "round", "np.round", "np.rint") or (
        name.endswith(".astype") and node.args and "int" in ast.unparse(node.args[0])
    ):
        yield "It is rounded to whole numbers (integers)."
    elif name == "np.clip":
        yield "Clipping changes the result for large numbers: nothing is to be clipped."
    elif name.isidentifier() and name.startswith(("d", "y", "x")) and len(name) < 9:
        yield f"{name}(...) is a call: is a `*` missing?"
    elif name == "vae.decoder.forward" and ast.unparse(node.args[0]).startswith("d"):
        yield "The way back is `backward`, not `forward`."
    elif name == "vae.decoder.backward" and ast.unparse(node.args[0]) in ("loss", "nll", "kl"):
        yield "backward takes the gradient of the output, dlogits, not the loss."
    elif name == "vae.encoder.backward" and ast.unparse(node.args[0]) in ("dmu", "dlogvar"):
        yield "That is one half alone: dstats holds both."
    elif name in ("np.concatenate", "np.hstack") and len(node.args) > 1 and not _list(node.args[0]):
        yield f"{name} takes one list of arrays: put brackets around them, [a, b]."


def _of_loop(node: ast.For) -> Iterator[str]:
    turns = ast.unparse(node.iter)
    if turns.startswith("range(1,"):
        yield "The loop begins at 1: it leaves out the first, row or output 0."
    if turns.startswith("range(") and "- 1)" in turns:
        yield "The loop ends too early: it leaves out the last row."
    loop = {one.id for one in ast.walk(node.target) if isinstance(one, ast.Name)}
    for one in node.body:
        if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Subscript):
            used = {n.id for n in ast.walk(one.targets[0]) if isinstance(n, ast.Name)}
            if not used & loop:
                yield "Each turn overwrites the one before, only the last is left: sum with +=."
