"""Finds the rows or columns outside which a gradient is right.

What else a pattern of wrong entries may mean is for causes.py.
"""

from __future__ import annotations

import numpy as np

from minivae.gradcheck.case import Case
from minivae.gradcheck.subject import Array


def wrong_rows(case: Case) -> str:
    """Return which rows (or columns, ...) hold all wrong entries, while others are right."""
    shape = case.evidence.shape
    if not shape:
        return ""
    telling = (case.numeric != 0) | (case.analytic != 0)  # two zeros tell nothing
    places = [along[telling] for along in np.unravel_index(case.at, shape)]
    wrong = case.wrong[telling]
    best = ""
    for axis, along in reversed(list(enumerate(places))):
        bad = np.unique(along[wrong])
        inside = np.isin(along, bad)
        if inside.all() or not wrong[inside].all():
            continue
        kind = "entry" if len(shape) == 1 else ("row", "column", "place")[min(axis, 2)]
        if _right_elsewhere(case, axis, bad):
            best = f"wrong only in {_listed(kind, bad)} of {shape[axis]}; right in the others"
    return best


def _right_elsewhere(case: Case, axis: int, bad: Array) -> bool:
    """Confirm it along a direction that leaves those rows out, where entries were only sampled."""
    if not case.evidence.directions:
        return True
    direction = np.moveaxis(case.evidence.directions[0].copy(), axis, 0)
    direction[bad] = 0
    direction = np.moveaxis(direction, 0, axis)
    expected = float(np.vdot(direction, case.gradient))
    slope = case.probe.slope(case.name, direction, expected, use_complex=False)
    room = case.evidence.tolerance * max(abs(expected), abs(slope.value)) + slope.noise
    return abs(slope.value - expected) <= room


def _listed(kind: str, numbers: Array) -> str:
    kinds = kind if len(numbers) == 1 else {"entry": "entries"}.get(kind, f"{kind}s")
    shown = ", ".join(map(str, numbers[:6]))
    return f"{kinds} {shown}" + (f", ... ({len(numbers)} in all)" if len(numbers) > 6 else "")
