"""Says in words by which factor a gradient is wrong, and what that factor equals.

That it is a factor at all is found in causes.py and pieces.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from minivae.gradcheck.subject import Subject

BATCH = "the batch size"


def describe(factor: float, room: float, names: Sequence[str] = ()) -> str:
    """Return how many times too large or small, and what that number is.

    Parameters
    ----------
    factor : float
        The wrong value over the right one.
    room : float
        Relative error up to which the factor equals a number.
    names : sequence of str
        What else the number is, of `meanings`.
    """
    size = max(abs(factor), 1 / abs(factor))
    if factor < 0 and size - 1 <= room:
        return "of the opposite sign"
    large = abs(factor) >= 1
    text = f"{_short(size)} times too {'large' if large else 'small'}"
    if factor < 0:
        text += " and of the opposite sign"
    if names:
        text += f": {_short(size)} is {', and also '.join(names)}"
    if BATCH in names:
        text += (
            ", as if the mean over the batch were missing"
            if large
            else ", as if it were divided out once too often"
        )
    return text


def meanings(factor: float, subject: Subject, room: float) -> list[str]:
    """Return which of the layer's numbers the factor, or its inverse, equals."""
    size = max(abs(factor), 1 / abs(factor))
    arrays = [one for one in (*subject.inputs, *subject.outputs) if one.ndim]
    known: dict[str, float] = {BATCH: arrays[0].shape[0]} if arrays else {}
    for name, one in zip(subject.input_names, subject.inputs, strict=True):
        if one.ndim > 1:
            known[f"the width of {name}"] = one.shape[-1]
            if not common(factor, room):  # 2 is itself, whatever else has that size
                known[f"the root of the width of {name}"] = one.shape[-1] ** 0.5
            known[f"the number of entries of {name}"] = one.size
            known[f"the number of entries of one row of {name}"] = one.size / max(len(one), 1)
        for output in subject.outputs:
            if output.size and one.size > output.size:
                known[f"the number of entries of {name} for each of the output"] = (
                    one.size / output.size
                )
    for one in subject.outputs:
        if one.ndim > 1:
            known["the width of the output"] = one.shape[-1]
            known["the number of entries of the output"] = one.size
    for name, one in subject.variables().items():
        if one.size == 1 and (value := abs(float(one.ravel()[0]))) > 0:
            known[name if value > 1 else f"1 / {name}"] = max(value, 1 / value)
            known[f"{name} squared" if value > 1 else f"1 / {name} squared"] = (
                max(value, 1 / value) ** 2
            )
    beta = getattr(getattr(subject.original, "vae", None), "beta", None)
    if beta:
        known["beta" if beta > 1 else "1 / beta"] = max(beta, 1 / beta)
    found = [
        name
        for name, value in known.items()
        if abs(value - 1) > room and abs(size - value) <= room * abs(value)
    ]
    return found[:3]


def common(factor: float, room: float) -> bool:
    """Return whether the factor is 2 or 1/2, or turns the sign alone."""
    return any(abs(abs(factor) - one) <= room * one for one in (1.0, 2.0, 0.5))


def _short(value: float) -> str:
    return f"{round(value)}" if abs(value - round(value)) <= 1e-6 * value else f"{value:.6g}"
