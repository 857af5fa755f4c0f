"""Names what is wrong with a gradient: a pattern counts only if undoing it makes the check pass.

The patterns are tried from the most certain to the least; the evidence comes from evidence.py, the
other orders of calls from observe.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minivae.gradcheck.case import Case
from minivae.gradcheck.factors import common, describe, meanings
from minivae.gradcheck.observe import same
from minivae.gradcheck.pieces import absent_piece
from minivae.gradcheck.rows import wrong_rows
from minivae.gradcheck.subject import Array


def explain(case: Case) -> tuple[str, str]:
    """Return the cause of a failure in one word and in a sentence."""
    patterns: tuple[tuple[str, Callable[[Case], str]], ...] = (
        ("swapped", _swapped),
        ("transpose", _transpose),
        ("shape", _shape),
        ("dtype", _dtype),
        ("zero", _zero),
        ("sign", _sign),
        ("stale", _stale),
        ("accumulated", _accumulated),
        ("random", _random),
        ("scale", _scale),
        ("chain", _chain),
        ("mask", _mask),
        ("missing-term", _missing_path),
    )
    for word, pattern in patterns:
        sentence = pattern(case)
        if sentence:
            return word, sentence
    return absent_piece(case) or _partial(case) or ("unknown", _worst(case))


def _swapped(case: Case) -> str:
    agrees = case.evidence.agrees
    for other, evidence in case.all.items():
        theirs = case.seen.gradients.get(other)
        if other != case.name and theirs is not None and agrees(theirs):
            if evidence.agrees(case.gradient):
                return f"this is the gradient of {other}, and {other} has this one's: exchanged"
            if not evidence.agrees(theirs):
                return f"the gradient given for {other} is this one's"
    even = case.fits and case.gradient.ndim and len(case.gradient) % 2 == 0
    if even and agrees(np.roll(case.gradient, len(case.gradient) // 2, axis=0)):
        return "its first half and its second half are exchanged"
    return ""


def _transpose(case: Case) -> str:
    if len(case.evidence.shape) != 2:
        return ""
    turned = case.gradient.T
    if case.evidence.agrees(turned):
        got = "" if case.fits else f" (its shape is {case.gradient.shape})"
        return f"the gradient is transposed{got}"
    if case.fits and case.evidence.agrees(case.gradient.reshape(turned.shape).T):
        return "the gradient is the transposed one, reshaped instead of transposed back"
    return ""


def _shape(case: Case) -> str:
    if case.fits:
        return ""
    have, want = case.gradient.shape, case.evidence.shape
    sentence = f"the gradient's shape is {have}, the array's is {want}"
    if case.gradient.size == np.prod(want) and case.evidence.agrees(case.gradient.reshape(want)):
        return f"{sentence}; the values are right"
    for axis in range(case.gradient.ndim):
        if case.evidence.agrees(case.gradient.sum(axis=axis)):
            return f"{sentence}: the sum over axis {axis} is missing"
    return sentence


def _dtype(case: Case) -> str:
    if np.issubdtype(case.gradient.dtype, np.floating):
        return ""
    return f"the gradient is {case.gradient.dtype}, whole numbers: its fractions are cut off"


def _zero(case: Case) -> str:
    return "" if case.gradient.any() else "the gradient is zero everywhere: it is never written"


def _sign(case: Case) -> str:
    if len(case.at) > 1 and case.evidence.agrees(-case.gradient):
        return "every entry has the opposite sign"
    return ""


def _stale(case: Case) -> str:
    if case.evidence.agrees(case.seen.unprimed.get(case.name)):
        return "backward uses values of an earlier forward, not of the last one"
    return ""


def _accumulated(case: Case) -> str:
    again, first = case.seen.again.get(case.name), case.gradient
    if again is None or again.shape != first.shape or same(again, first):
        return ""
    if case.evidence.agrees(again - first):
        return "a second backward adds to the first: clear or overwrite the gradient"
    return ""


def _random(case: Case) -> str:
    runs = (case.gradient, case.seen.again.get(case.name), case.seen.third.get(case.name))
    if any(one is None for one in runs):
        return ""
    if not same(runs[0], runs[1]) and not same(runs[1], runs[2]):
        return "backward gives another gradient for the same input: it draws its own noise"
    return ""


def _scale(case: Case) -> str:
    size = float(case.numeric @ case.numeric)
    if not size or not np.isfinite(case.analytic).all():
        return ""
    factor = float(case.analytic @ case.numeric) / size
    if not factor or not case.evidence.agrees(case.gradient / factor):
        return ""
    room = 10 * case.evidence.tolerance
    if len(case.at) == 1 and not (common(factor, room) or meanings(factor, case.subject, room)):
        return ""  # one number is always some multiple of another
    return f"every entry is {describe(factor, case.subject, room)}"


def _chain(case: Case) -> str:
    doubled, plain = case.seen.doubled.get(case.name), case.seen.unprimed.get(case.name)
    if doubled is None or plain is None or not plain.any() or same(doubled, 2 * plain):
        return ""
    if same(doubled, plain):
        return "it stays the same when the output's gradient doubles: that factor is missing"
    return "it does not double when the output's gradient does: a part of it lacks that factor"


def _mask(case: Case) -> str:
    largest = np.abs(case.numeric).max(initial=0.0)
    flat = np.abs(case.numeric) <= 1e-9 * largest
    if not largest:
        return "it should be zero everywhere: the forward's value does not depend on this array"
    leaks, gaps = case.wrong & flat, case.wrong & (case.analytic == 0)
    if not (leaks | gaps)[case.wrong].all() or (gaps.sum() and wrong_rows(case)):
        return ""
    if not gaps.any():
        return f"wrong exactly where the true derivative is zero ({_count(leaks)} entries)"
    if not leaks.any():
        return f"zero where the true derivative is not ({_count(gaps)} entries), right elsewhere"
    return "zero where the true derivative is not, and not zero where it is: the mask is inverted"


def _count(chosen: Array) -> str:
    return f"{int(chosen.sum())} of {len(chosen)} compared"


def _missing_path(case: Case) -> str:
    weights = case.subject.weights
    if len(weights) == 1 and weights[0].shape == case.gradient.shape:
        if case.evidence.agrees(case.gradient + weights[0]):
            return "the output's own gradient is not added: the path around (skip) is missing"
        if case.evidence.agrees(case.gradient - weights[0]):
            return "the output's own gradient is added, though no path leads around"
    return ""


def _partial(case: Case) -> tuple[str, str] | None:
    sentence = wrong_rows(case)
    return ("partial", sentence) if sentence else None


def _worst(case: Case) -> str:
    if not np.isfinite(case.gradient).all():
        bad = int((~np.isfinite(case.gradient)).sum())
        return f"{bad} of {case.gradient.size} entries are NaN or infinite"
    apart = np.abs(case.analytic - case.numeric)
    shown = [
        f"({', '.join(map(str, np.unravel_index(case.at[i], case.evidence.shape)))}):"
        f" {case.analytic[i]:.6g}, not {case.numeric[i]:.6g}"
        for i in np.argsort(-apart)[:3]
    ]
    return f"no known pattern explains it; the worst entries are {'; '.join(shown)}"
