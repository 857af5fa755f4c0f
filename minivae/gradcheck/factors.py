"""Says in words by which factor a gradient is wrong, and what that factor equals.

That it is a factor at all is found in causes.py and pieces.py.
"""

from __future__ import annotations

from minivae.gradcheck.subject import Subject


def times(factor: float) -> str:
    """Return the factor in words: which of the two values is the larger, and how often."""
    turned = ", and has the opposite sign" if factor < 0 else ""
    size = abs(factor)
    if size >= 1:
        return f"{_short(size)} times too large{turned}"
    return f"{_short(1 / size)} times too small (a factor {size:.6g}){turned}"


def factor_meaning(factor: float, subject: Subject, room: float) -> str:
    """Return what a factor equals: the batch size, its inverse, a width, 2; empty if nothing."""
    size = abs(factor)

    def near(value: float) -> bool:
        return abs(size - value) <= room * value

    names: dict[str, float] = {}
    arrays = [one for one in (*subject.inputs, *subject.outputs) if one.ndim]
    if arrays:
        rows = arrays[0].shape[0]
        names["the batch size"] = rows
    for name, one in zip(subject.input_names, subject.inputs, strict=True):
        if one.ndim > 1:
            names[f"the width of {name}"] = one.shape[-1]
            names[f"the number of entries of {name}"] = one.size
    for one in subject.outputs:
        if one.ndim > 1:
            names["the width of the output"] = one.shape[-1]
    beta = getattr(getattr(subject.original, "vae", None), "beta", None)
    if beta:
        names["beta"] = float(beta)
    found = [name for name, value in names.items() if value != 1 and near(value)]
    inverse = [name for name, value in names.items() if value != 1 and near(1 / value)]
    if "the batch size" in found:
        return ", the batch size: as if the mean over the batch were missing" + _also(found[1:])
    if "the batch size" in inverse:
        return ", the batch size: as if it were divided out once too often" + _also(inverse[1:])
    if found or inverse:
        return f", {(found or inverse)[0]}" + _also((found or inverse)[1:])
    return ", exactly" if any(near(one) for one in (1, 2, 0.5)) else ""


def _also(names: list[str]) -> str:
    return f" (but also {', '.join(names)})" if names else ""


def _short(value: float) -> str:
    return f"{round(value)}" if abs(value - round(value)) <= 1e-6 * value else f"{value:.6g}"
