"""A failed gradient once more, at other values: what explains it there as well is no coincidence.

The other values come from points.py; what must hold twice is decided in causes.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from minivae.gradcheck.case import Case
from minivae.gradcheck.evidence import Probe
from minivae.gradcheck.function import build
from minivae.gradcheck.observe import observe
from minivae.gradcheck.points import points
from minivae.gradcheck.report import GradcheckError

Named = tuple[str, str]
ENTRIES = 400
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def confirmed(
    pattern: Callable[[Case], Named | None], case: Case, named: Named, exact: bool
) -> Named | None:
    """Return the explanation if it holds at other values too, without numbers that change.

    An `exact` one, of places alone, must be the same word for word, and the gradient wrong there.
    """
    other = second(case)
    if other is None or not other.wrong.any():
        missed = other is None or not other.evidence.whole  # a sample need not meet it
        return named if missed or not exact else None
    again = pattern(other)
    if again is None or again[0] != named[0]:
        return None
    if again[1] == named[1]:
        return named
    if exact or NUMBER.sub("", again[1]) != NUMBER.sub("", named[1]):
        return None
    theirs = iter(NUMBER.findall(again[1]))

    def common(found: re.Match[str]) -> str:
        one, two = float(found[0]), float(next(theirs))
        return found[0] if abs(one - two) <= 1e-4 * abs(one) else "some number"

    return named[0], NUMBER.sub(common, named[1]).replace("about some", "some")


def second(case: Case, rows: bool = False) -> Case | None:
    """Return the case at other inputs, parameters and outputs' gradients, if it can be had.

    With `rows`, at a batch of twice the rows.
    """
    key = "more rows" if rows else "other values"
    if key not in case.kept:
        case.kept[key] = _second(case, rows)
    return case.kept[key]


def _second(case: Case, rows: bool) -> Case | None:
    subject, old = case.subject, case.evidence
    if not subject.copyable or not case.fits:
        return None
    found = (
        one for words, one in points(subject) if not rows or re.search("batch of .* rows", words)
    )
    point = next(found, None)
    if point is None or point.variables()[case.name].ndim != len(old.shape):
        return None
    rng = np.random.default_rng(subject.seed + 2)
    point.weights = [point._weight(one, rng) for one in point.outputs]
    try:
        seen = observe(point)
        gradient = seen.gradients.get(case.name)
        if gradient is None or gradient.shape != point.variables()[case.name].shape:
            return None
        exact = float if all(one.dtype.kind == "f" for one in point.outputs) else None
        probe = Probe(build(point, exact), None, case.probe.tolerance, case.probe.eps, rng)
        entries = min(ENTRIES, max(2 * len(old.indices), 30))
        evidence = probe.measure(case.name, gradient, entries, old.tolerance, old.eps)
    except GradcheckError:
        return None
    return Case(case.name, gradient, evidence, point, seen, probe, {case.name: evidence})
