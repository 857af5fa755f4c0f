"""Judges one gradient: whether it passes, where it is worst, and which cause is named.

What may be wrong with a wrong one is found in causes.py; the evidence is gathered by check.py.
"""

from __future__ import annotations

import numpy as np

from minivae.gradcheck.case import Case
from minivae.gradcheck.causes import complex_by_mistake, explain
from minivae.gradcheck.observe import LARGE, same
from minivae.gradcheck.report import Entry


def verdict(case: Case) -> Entry:
    """Return the entry of the report for one gradient."""
    evidence, gradient = case.evidence, case.gradient
    entry = Entry(
        case.name,
        evidence.shape,
        checked=int((~evidence.kinks).sum()),
        kinks=int(evidence.kinks.sum()),
        directions=len(evidence.directions),
        method=evidence.method,
        tolerance=evidence.tolerance,
    )
    _judge(case, entry)
    if case.name in case.seen.mutated:
        _fail(entry, "mutates", case.seen.mutated[case.name])
    elif not entry.passed:
        _fail(entry, *explain(case))
    elif unsettled := _unsettled(case):
        _fail(entry, *unsettled)
    elif shared := complex_by_mistake(case):
        _fail(entry, *shared)
    elif not _dtype_kept(case):
        wanted = case.subject.variables()[case.name].dtype
        _fail(entry, "dtype", f"the values are right, but {gradient.dtype} where {wanted} is due")
    return entry


def _judge(case: Case, entry: Entry) -> None:
    """Fill in the worst error and whether it passes; look for the entry where only sums differ."""
    if not case.fits:
        entry.passed = False
        return
    evidence, gradient = case.evidence, case.gradient
    errors, along = evidence.errors(gradient), evidence.errors_along(gradient)
    tolerance = evidence.tolerance
    if along.max(initial=0.0) > tolerance >= errors.max(initial=0.0) and not evidence.whole:
        case.evidence = evidence = case.probe.look_closer(case.name, gradient, evidence)
        case.__post_init__()
        errors = evidence.errors(gradient)
    worst = max(errors.max(initial=0.0), along.max(initial=0.0))
    entry.max_rel_error = float(worst)
    entry.passed = bool(worst <= tolerance) and bool(np.isfinite(gradient).all())
    if errors.size:
        analytic = gradient.ravel()[evidence.indices]
        apart = np.where(errors > 0.9 * errors.max(), np.abs(analytic - evidence.numeric), -1.0)
        at = int(np.argmax(np.nan_to_num(apart, nan=np.inf)))
        place = np.unravel_index(int(evidence.indices[at]), evidence.shape)
        entry.index = tuple(int(one) for one in place)
        entry.analytic = float(gradient[place].real)
        entry.numeric = float(evidence.numeric[at])


def _fail(entry: Entry, cause: str, sentence: str) -> None:
    entry.passed, entry.cause, entry.explanation = False, cause, sentence


def _unsettled(case: Case) -> tuple[str, str] | None:
    """Return what is wrong if a right gradient is not the same when the layer is run again."""
    seen, name, gradient = case.seen, case.name, case.gradient
    if any(one in seen.mutated for one in case.subject.kept):
        return None  # another gradient is due: the parameters are others
    if seen.broken:
        return "stale", seen.broken
    again = seen.again.get(name)
    if not same(gradient, again) and not case.evidence.agrees(again):
        if again is None or again.shape != gradient.shape:
            return "stale", "right at first, of another shape when run again"
        if case.evidence.agrees(again - gradient):
            return "accumulated", "right at first; a second backward adds to the first"
        share = float(np.vdot(again - gradient, gradient)) / float(np.vdot(gradient, gradient))
        if case.evidence.agrees((again - gradient) / share if share else None):
            return (
                "accumulated",
                f"right at first; a second backward adds {share:.6g} times the first, as a running"
                " mean or momentum does",
            )
        if same(again, seen.third.get(name)):
            return "stale", "right at first, wrong when run again: values of before are used"
        return "random", "backward gives another gradient for the same input"
    third = seen.third.get(name)
    if not same(again, third) and not case.evidence.agrees(third):
        return "stale", "right twice, wrong when run again: values of before are used"
    if name in seen.resized and not case.evidence.agrees(seen.resized[name]):
        return "stale", "wrong after a pass over a larger batch, of which values are used"
    if name in seen.beside and not case.evidence.agrees(seen.beside[name]):
        return "stale", "wrong while another object of the class is in use: they share values"
    scaled = seen.scaled.get(name)
    if scaled is not None and not case.evidence.agrees(scaled / LARGE):
        return (
            "chain",
            f"right for small gradients of the output, not for {LARGE:g} times as large ones: it is"
            " clipped, or not linear in them",
        )
    return None


def _dtype_kept(case: Case) -> bool:
    """Return whether the gradient has the dtype of its array, or of the outputs."""
    if case.subject.widened:
        return True  # what its own dtype gives is compared in check.py
    known = case.subject.variables()
    outer = [*known.values(), *case.subject.outputs]
    mixed = np.result_type(*[one.dtype for one in outer if one.dtype.kind in "fc"])
    return case.gradient.dtype in (known[case.name].dtype, mixed)
