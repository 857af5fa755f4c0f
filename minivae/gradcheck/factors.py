"""Says in words by which factor a gradient is wrong, and what that factor equals.

That it is a factor at all is found in causes.py and pieces.py.
"""

from __future__ import annotations

from minivae.gradcheck.subject import Subject

BATCH = "the batch size"


def describe(factor: float, subject: Subject, room: float) -> str:
    """Return how many times too large or small, and what that number is.

    Parameters
    ----------
    factor : float
        The wrong value over the right one.
    room : float
        Relative error up to which the factor equals a number.
    """
    size = max(abs(factor), 1 / abs(factor))
    large = abs(factor) >= 1
    text = f"{_short(size)} times too {'large' if large else 'small'}"
    if factor < 0:
        text += " and of the opposite sign"
    names = meanings(factor, subject, room)
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
    beta = getattr(getattr(subject.original, "vae", None), "beta", None)
    if beta:
        known["beta" if beta > 1 else "1 / beta"] = max(beta, 1 / beta)
    found = [
        name
        for name, value in known.items()
        if value != 1 and abs(size - value) <= room * abs(value)
    ]
    return found[:3]


def common(factor: float, room: float) -> bool:
    """Return whether the factor is 2 or 1/2, or turns the sign alone."""
    return any(abs(abs(factor) - one) <= room * one for one in (1.0, 2.0, 0.5))


def _short(value: float) -> str:
    return f"{round(value)}" if abs(value - round(value)) <= 1e-6 * value else f"{value:.6g}"
