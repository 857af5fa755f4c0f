"""Answers to exercises 3 and 4: the gradients of Linear's input, weight and bias.

How a blank is replaced is said in answer.py. Exercise 4 has two: dweight (1) and dbias (2).
"""

from __future__ import annotations

from bench.answers.answer import (
    ADDED,
    CHANGED,
    FORGOT_DY,
    HANGS,
    LIBRARY,
    NOT_WRITTEN,
    REBOUND,
    SIGN,
    SYNTAX,
    Answer,
)

RAW = ("gufunc", "core dimension")  # NumPy's own words, which no beginner understands
_NO_TRANSPOSE = ("no transpose", "without", "not transposed", "transpose", "dy @ weight")
_DY_FIRST = ("order", "swap", "dy @ weight", "left", "exchang")

INPUT = (
    Answer(
        3, "shape", "dx[...] = dy @ weight.T", "weight must not be transposed", _NO_TRANSPOSE, RAW
    ),
    Answer(
        3, "shape", "dx[...] = weight @ dy", "the operands are in the wrong order", _DY_FIRST, RAW
    ),
    Answer(
        3,
        "shape",
        "dx[...] = weight.T @ dy",
        "the order is wrong and a transpose too many: this sums over the wrong index",
        (*_DY_FIRST, "transpose"),
        RAW,
    ),
    Answer(
        3,
        "shape",
        "dx[...] = weight.T @ dy.T",
        "right but transposed: (in, B) instead of (B, in)",
        ("transpose", "dy @ weight", "(in, b)"),
    ),
    Answer(
        3,
        "shape",
        "dx[...] = dy.T @ weight",
        "dy must not be transposed: the sum runs over o, not over the batch",
        ("transpose", "dy @ weight"),
        RAW,
    ),
    Answer(
        3,
        "shape",
        "dx[...] = dy * weight",
        "an entrywise product instead of a matrix product",
        ("@", "matrix product", "matmul", "product of matrices"),
    ),
    Answer(
        3,
        "shape",
        "dx[...] = np.dot(weight, dy.T)",
        "weight must be transposed here, and then the result too: dy W",
        ("transpose", "dy @ weight"),
        RAW,
    ),
    Answer(
        3,
        "square only",
        "for b in range(len(dy)):\n    dx[b] = weight @ dy[b]",
        "W dy instead of W^T dy: weight.T is meant, and only square weights hide it",
        ("transpose", "dy @ weight", "weight.t"),
        RAW,
    ),
    Answer(
        3,
        "shape",
        "dx[...] = (dy @ weight).reshape(dx.shape[::-1])",
        "a reshape that was not needed turns the shape around",
        ("reshape", "(b, in)", "shape"),
        RAW,
    ),
    Answer(
        3,
        "shape",
        "dx[...] = (weight.T @ dy.T).reshape(dx.shape)",
        "reshape where a transpose belongs: the right shape with the entries mixed up",
        ("reshape", "transpose", "order of the entries"),
    ),
    Answer(
        3,
        "forgot dy",
        "dx[...] = weight.sum(axis=0)",
        "dy is missing",
        FORGOT_DY,
    ),
    Answer(
        3,
        "mean",
        "dx[...] = dy @ weight / len(dy)",
        "divided by the batch: each row stands alone",
        ("batch", "1/b", "divided", "len(dy)", "mean"),
    ),
    Answer(
        3,
        "mean",
        "dx[...] = dy @ weight / len(weight)",
        "a mean over the outputs instead of a sum",
        ("mean", "divided", "outputs", "sum"),
    ),
    Answer(3, "sign", "dx[...] = -dy @ weight", "the sign", SIGN),
    Answer(
        3,
        "wrong array",
        "dx[...] = dx @ weight.T @ weight",
        "dx stands where dy belongs: its old content is read",
        ("dy", "reads dx", "old content", "before it is written"),
    ),
    Answer(
        3,
        "wrong name",
        "dx[...] = dy @ W",
        "there is no W: it is called weight",
        ("weight", "'w'", "w is not", "no w"),
    ),
    Answer(3, "rebound", "dx = dy @ weight", "dx names a new array", REBOUND),
    Answer(
        3,
        "not assigned",
        "np.matmul(dy, weight)",
        "the product is made and thrown away",
        (*NOT_WRITTEN, "thrown away", "out=", "dx[...]"),
    ),
    Answer(3, "added", "dx += dy @ weight", "added where it must be overwritten", ADDED),
    Answer(
        3,
        "off by one",
        "dx[...] = 0\nfor o in range(1, dy.shape[1]):\n    dx += np.outer(dy[:, o], weight[o])",
        "the sum leaves out the first output",
        ("first", "o = 0", "output 0", "leaves out", "missing"),
    ),
    Answer(
        3,
        "not overwritten",
        "for o in range(dy.shape[1]):\n    dx += np.outer(dy[:, o], weight[o])",
        "dx is not set to 0 before the sum",
        (*ADDED, "zero", "set to 0", "old content"),
    ),
    Answer(
        3,
        "off by one",
        "for b in range(len(dy) + 1):\n    dx[b] = dy[b] @ weight",
        "one row too far",
        ("range", "too far", "out of bounds", "row"),
    ),
    Answer(
        3,
        "loop",
        "for o in range(dy.shape[1]):\n    dx[...] = np.outer(dy[:, o], weight[o])",
        "each turn overwrites the one before: only the last output is left",
        ("last", "overwrite", "sum"),
    ),
    Answer(
        3,
        "extra",
        "dx[...] = (dy + 1) @ weight",
        "a bias is added to dy: a constant has no slope",
        ("dy + 1", "constant", "added", "does not depend on dy", "dy is 0", "dy = 0"),
    ),
    Answer(
        3,
        "library",
        "from minivae import formulas as f\nf.linear_backward_input(dy, weight, dx)",
        "calls the library's own function",
        LIBRARY,
    ),
    Answer(
        3,
        "mutation",
        "weight *= 1.0 * len(dy)\ndx[...] = dy @ weight / len(dy)",
        "weight, an input, is changed",
        (*CHANGED, "weight"),
    ),
    Answer(
        3,
        "integers",
        "dx[...] = (dy @ weight).astype(int)",
        "rounded to integers",
        ("integer", "rounded", "whole number", "astype"),
    ),
    Answer(
        3,
        "hang",
        "b = len(dy)\nwhile b != 0.5:\n    b -= 1\n    dx[b % len(dy)] = dy[b % len(dy)] @ weight",
        "the loop's condition never fails",
        HANGS,
    ),
    Answer(
        3,
        "style",
        "dx[...] = np.einsum('bo,oi->bi', dy, weight)",
        "einsum, straight from the formula",
        right=True,
    ),
    Answer(
        3,
        "style",
        "dx.fill(0)\nfor b, row in enumerate(dy):\n    for o, slope in enumerate(row):\n"
        "        dx[b] += slope * weight[o]",
        "two loops over rows and outputs",
        right=True,
    ),
    Answer(3, "style", "dx.T[...] = weight.T @ dy.T", "all transposed", right=True),
)

_W = ("transpose", "dy.t", "order", "swap")

WEIGHT = (
    Answer(
        4, "shape", "dweight[...] = x.T @ dy", "the transpose of the result: (in, out)", _W, RAW
    ),
    Answer(4, "shape", "dweight[...] = dy @ x", "dy is not transposed", _W, RAW),
    Answer(
        4, "shape", "dweight[...] = dy @ x.T", "the wrong one is transposed: sums over o", _W, RAW
    ),
    Answer(4, "shape", "dweight[...] = x @ dy.T", "wrong order and transpose", _W, RAW),
    Answer(
        4, "shape", "dweight[...] = dy.T * x.T", "* instead of @", ("@", "matrix product", "matmul")
    ),
    Answer(
        4,
        "shape",
        "dweight[...] = np.outer(dy, x)",
        "outer flattens: it pairs every row with every row",
        ("outer", "dy.t @ x", "flatten", "@", "matrix product"),
    ),
    Answer(
        4,
        "shape",
        "dweight[...] = np.reshape(x.T @ dy, dweight.shape)",
        "reshape where a transpose belongs: the entries are mixed up",
        ("reshape", "transpose", "order of the entries"),
    ),
    Answer(
        4,
        "shape",
        "dweight[...] = dy.sum(axis=0)[:, None] * x.sum(axis=0)",
        "the product of sums is not the sum of products",
        ("product of sums", "sum of products", "each row", "row by row", "dy.t @ x", "before"),
    ),
    Answer(
        4,
        "mean",
        "dweight[...] = dy.T @ x / len(x)",
        "a mean over the batch instead of a sum",
        ("mean", "batch", "1/b", "divided"),
    ),
    Answer(
        4,
        "mean",
        {2: "dbias[...] = dy.mean(axis=0)"},
        "a mean over the batch instead of a sum",
        ("mean", "batch", "1/b", "divided"),
    ),
    Answer(
        4,
        "doubled",
        {1: "dweight[...] = dy.T @ x / len(x)", 2: "dbias[...] = dy.mean(0)"},
        "both are means over the batch instead of sums",
        ("dweight & dbias & mean", "dweight & dbias & batch", "both", "dweight & dbias & divided"),
    ),
    Answer(
        4,
        "doubled",
        {1: "dweight[...] = x.T @ dy", 2: "dbias[...] = dy.sum(axis=1)"},
        "dweight is transposed and dbias sums over the wrong axis",
        ("transpose & axis", "dweight & dbias"),
        RAW,
    ),
    Answer(
        4,
        "axis",
        {2: "dbias[...] = dy.sum(axis=1)"},
        "sums over the outputs (axis 1) instead of over the batch",
        ("axis", "over the batch"),
        RAW,
    ),
    Answer(
        4,
        "axis",
        {2: "dbias[...] = dy.sum()"},
        "sums over everything: the axis is missing",
        ("axis", "over everything", "all entries", "one number", "over the batch"),
    ),
    Answer(
        4,
        "axis",
        {2: "dbias[...] = dy"},
        "not summed over the batch",
        ("sum", "batch"),
    ),
    Answer(
        4,
        "axis",
        {2: "dbias[...] = dy[0]"},
        "the first row only: not summed over the batch",
        ("sum", "batch", "first row"),
    ),
    Answer(
        4,
        "axis",
        {2: "dbias[...] = dy.sum(axis=0, keepdims=True).T"},
        "a column (out, 1) instead of (out,)",
        ("keepdims", "column", "(out, 1)", "one dimension", "shape"),
    ),
    Answer(
        4,
        "forgot dy",
        {2: "dbias[...] = np.ones(len(dbias))"},
        "dy is missing: the slope 1 alone",
        FORGOT_DY,
    ),
    Answer(
        4,
        "forgot dy",
        {2: "dbias[...] = len(dy)"},
        "dy is missing: the slope summed over the batch",
        FORGOT_DY,
    ),
    Answer(4, "sign", "dweight[...] = -dy.T @ x", "the sign of dweight", SIGN),
    Answer(
        4,
        "wrong array",
        "dweight[...] = dy.T @ np.ones_like(x)",
        "x is missing: the slope of W_oi is x_bi",
        ("x is missing", "x_bi", "times x", "without x", "missing x", "slope"),
    ),
    Answer(4, "rebound", "dweight = dy.T @ x", "dweight names a new array", REBOUND),
    Answer(
        4,
        "rebound",
        {1: "dweight = dy.T @ x", 2: "dbias = dy.sum(axis=0)"},
        "dweight and dbias name new arrays",
        tuple(f"dweight & dbias & {word}" for word in REBOUND),
    ),
    Answer(4, "added", "dweight += dy.T @ x", "added where it must be overwritten", ADDED),
    Answer(
        4,
        "added",
        {2: "for row in dy:\n    dbias += row"},
        "dbias is not set to 0 before the sum",
        (*ADDED, "zero", "set to 0", "old content"),
    ),
    Answer(
        4,
        "off by one",
        {2: "dbias[...] = 0\nfor b in range(1, len(dy)):\n    dbias += dy[b]"},
        "the first row of the batch is left out",
        ("first row", "row 0", "leaves out", "left out"),
    ),
    Answer(
        4,
        "loop",
        "for b in range(len(x)):\n    dweight[...] = np.outer(dy[b], x[b])",
        "each row overwrites the one before: only the last is left",
        ("last", "sum", "overwrit"),
    ),
    Answer(
        4,
        "wrong name",
        {2: "dbias[...] = dY.sum(axis=0)"},
        "there is no dY: it is called dy",
        ("'dy'", "dy is not", "called dy", "no dy", "capital", "not defined"),
    ),
    Answer(
        4,
        "wrong name",
        {2: "dbias[...] = dy.sum(axes=0)"},
        "the argument is called axis",
        ("axis", "axes"),
    ),
    Answer(
        4,
        "syntax",
        {2: "dbias[...] = dy.sum(axis=0))"},
        "a bracket too many",
        (*SYNTAX, "unmatched"),
    ),
    Answer(
        4,
        "library",
        {
            1: "import minivae.formulas as mf\nmf.linear_backward_weight(x, dy, dweight)",
            2: "import minivae.formulas as mf\nmf.linear_backward_bias(dy, dbias)",
        },
        "calls the library's own functions",
        LIBRARY,
    ),
    Answer(
        4,
        "returned",
        {2: "return dy.sum(axis=0)"},
        "returned instead of written into dbias",
        ("return", *REBOUND, *NOT_WRITTEN),
    ),
    Answer(
        4,
        "style",
        {1: "np.einsum('bo,bi->oi', dy, x, out=dweight)", 2: "dbias[...] = np.ones(len(dy)) @ dy"},
        "einsum, and a row of ones",
        right=True,
    ),
    Answer(
        4,
        "style",
        {
            1: "dweight[...] = sum(np.outer(d, r) for d, r in zip(dy, x))",
            2: "for o in range(dy.shape[1]):\n    dbias[o] = sum(dy[:, o])",
        },
        "sums of Python",
        right=True,
    ),
    Answer(4, "style", "dweight[...] = (x.T @ dy).T", "the transpose of the transpose", right=True),
)

ANSWERS = (*INPUT, *WEIGHT)
