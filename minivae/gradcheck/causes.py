"""Names what is wrong with a gradient: a pattern counts only if undoing it makes the check pass.

The patterns are tried from the most certain to the least; those that need the whole Jacobian are in
paths.py, those that compare the error with known arrays in residual.py. The evidence comes from
evidence.py, the other orders of calls from observe.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import permutations, product

import numpy as np

from minivae.gradcheck.case import Case
from minivae.gradcheck.factors import common, describe, meanings
from minivae.gradcheck.jacobian import per_output, structure
from minivae.gradcheck.linear import TINY, not_linear, with_factor
from minivae.gradcheck.observe import same
from minivae.gradcheck.paths import absent_outputs, wrong_weights
from minivae.gradcheck.pieces import absent_piece
from minivae.gradcheck.residual import lost_factor, lost_term, two_factors
from minivae.gradcheck.rows import wrong_rows
from minivae.gradcheck.second import confirmed, second
from minivae.gradcheck.subject import Array

Named = tuple[str, str]
Pattern = Callable[[Case], Named | None]


def explain(case: Case) -> Named:
    """Return the cause of a failure in one word and in a sentence."""
    early: tuple[Pattern, ...] = (
        _not_finite,
        _word("shape", _shape),
        _dtype,
        _word("zero", _zero),
    )
    certain: tuple[Pattern, ...] = (
        _word("accumulated", _accumulated),
        _word("random", _random),
        _word("stale", _stale),
        _word("sign", _sign),
        _word("swapped", _swapped),
        _word("transpose", _transpose),
        _word("precision", _roughly),
        _word("sign", _signs),
        _word("clipped", _clipped),
        not_linear,
        _word("scale", _scale),
        _moved_entries,
        _word("mask", _mask),
        absent_piece,
        absent_outputs,
        wrong_weights,
    )
    # Of many arrays and places that are tried, one may fit by chance: these must hold twice.
    doubtful: tuple[tuple[Pattern, bool], ...] = (
        (two_factors, True),
        (lost_factor, False),
        (lost_term, False),
        (_word("partial", _one_row), True),
        (_word("mask", _one_side), False),
        (structure, False),
        (per_output, False),
        (_word("partial", wrong_rows), True),
        (_word("mask", _where_zero), False),
    )
    for pattern in (*early, *certain) if case.fits else early:
        if named := pattern(case):
            return named
    for pattern, exact in doubtful if case.fits else ():
        named = pattern(case)
        if named and (named := confirmed(pattern, case, named, exact)):
            return named
    return "unknown", _worst(case)


def _word(word: str, pattern: Callable[[Case], str]) -> Pattern:
    def named(case: Case) -> Named | None:
        sentence = pattern(case)
        return (word, sentence) if sentence else None

    return named


def _not_finite(case: Case) -> Named | None:
    if np.isfinite(case.gradient).all():
        return None
    bad = int((~np.isfinite(case.gradient)).sum())
    return "not-finite", f"{bad} of {case.gradient.size} entries are NaN or infinite"


def _swapped(case: Case) -> str:
    agrees = case.evidence.agrees
    for other, evidence in case.all.items():
        theirs = case.seen.gradients.get(other)
        if other != case.name and theirs is not None and agrees(theirs):
            if evidence.agrees(case.gradient):
                return f"this is the gradient of {other}, and {other} has this one's: exchanged"
            if not evidence.agrees(theirs):
                return f"the gradient given for {other} is this one's"
        if other != case.name and case.numeric.any() and evidence.agrees(case.gradient):
            return f"this is the gradient of {other}"
    for axis, length in enumerate(case.gradient.shape):
        half = np.roll(case.gradient, length // 2, axis=axis)
        if length % 2 == 0 and length > 2 and agrees(half):
            where = "" if case.gradient.ndim == 1 else f" along axis {axis}"
            return f"its first half and its second half are exchanged{where}"
    return ""


def _transpose(case: Case) -> str:
    shape = case.evidence.shape
    given = case.gradient
    if len(shape) < 2 or given.size != np.prod(shape) or given.ndim not in (1, len(shape)):
        return ""
    for axes in list(permutations(range(len(shape))))[1:] if len(shape) < 5 else ():
        turned = tuple(np.argsort(axes))
        matrix = len(shape) == 2
        named = "transposed" if matrix else f"of the axes {axes}, not {tuple(range(len(axes)))}"
        if given.ndim == len(shape) and case.evidence.agrees(np.transpose(given, turned)):
            got = "" if case.fits else f" (its shape is {given.shape})"
            return f"the gradient is {named}{got}"
        stored = tuple(shape[axis] for axis in axes)
        if case.evidence.agrees(np.transpose(given.reshape(stored), turned)):
            if matrix:
                return "the gradient is the transposed one, reshaped instead of transposed back"
            return f"the gradient is {named}, and was reshaped instead of transposed back"
    return ""


def _shape(case: Case) -> str:
    if case.fits:
        return ""
    if turned := _transpose(case):
        return turned
    have, want = case.gradient.shape, case.evidence.shape
    sentence = f"the gradient's shape is {have}, the array's is {want}"
    if case.gradient.size == np.prod(want) and case.evidence.agrees(case.gradient.reshape(want)):
        return f"{sentence}; the values are right"
    for axis in range(case.gradient.ndim):
        summed = case.gradient.sum(axis=axis)
        if case.evidence.agrees(summed) or case.evidence.agrees(np.expand_dims(summed, axis)):
            return f"{sentence}: the sum over axis {axis} is missing"
    axes = tuple(range(case.gradient.ndim - len(want)))
    if axes and case.evidence.agrees(case.gradient.sum(axis=axes)):
        return f"{sentence}: the sum over the first {len(axes)} axes is missing"
    return sentence


def _dtype(case: Case) -> Named | None:
    kind = case.gradient.dtype
    if np.issubdtype(kind, np.floating):
        return None
    if kind.kind != "c":
        return "dtype", f"the gradient is {kind}, whole numbers: its fractions are cut off"
    return complex_by_mistake(case) or ("dtype", f"the gradient is {kind}, the array is real")


def complex_by_mistake(case: Case) -> Named | None:
    """Return what it means if only another copy of the layer was given complex numbers."""
    own = [*case.subject.variables().values(), *case.subject.outputs]
    if case.gradient.dtype.kind != "c" or any(one.dtype.kind == "c" for one in own):
        return None
    imaginary = np.abs(case.gradient.imag).max()
    if not 0 < imaginary < 1e-18 * np.abs(case.gradient).max():  # no rounding is so small
        return None
    return (
        "stale",
        "it is made of numbers that another object of the class was given: they share values",
    )


def _zero(case: Case) -> str:
    if not case.gradient.any():
        return "the gradient is zero everywhere: it is never written"
    if np.abs(case.gradient).max() <= TINY * np.abs(case.numeric).max(initial=0.0):
        return "the gradient is zero everywhere, but for rounding: its terms cancel"
    return ""


def _sign(case: Case) -> str:
    if case.numeric.any() and case.evidence.agrees(-case.gradient):
        return "every entry has the opposite sign"
    return ""


def _signs(case: Case) -> str:
    if len(case.at) < 3 or not np.any(case.analytic * case.numeric < 0):
        return ""
    if case.evidence.agrees_at(_at(case, np.abs(case.analytic) * np.sign(case.numeric))):
        return "every entry has the right size, but some have the wrong sign"
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
    telling = int((np.abs(case.numeric) > 1e-6 * np.abs(case.numeric).max(initial=0.0)).sum())
    if not size or not telling:
        return ""
    factor = float(case.analytic @ case.numeric) / size
    if not 1e-9 < abs(factor) < 1e9 or not case.evidence.agrees(case.gradient / factor):
        return ""
    room = 10 * case.evidence.tolerance
    names = _meant(case, factor, room)
    if telling == 1 and not (common(factor, room) or names):
        return ""  # one number is always some multiple of another
    return f"every entry is {describe(factor, room, names)}"


def _meant(case: Case, factor: float, room: float) -> list[str]:
    """Return which of the layer's numbers the factor is, also at another batch size."""
    names = meanings(factor, case.subject, room)
    other = second(case, rows=True) if names else None
    if other is None or not other.numeric.any():
        return [] if common(factor, room) else names
    there = float(other.analytic @ other.numeric) / float(other.numeric @ other.numeric)
    room = max(room, 1e-5)
    return [one for one in names if there and one in meanings(there, other.subject, room)]


def _moved_entries(case: Case) -> Named | None:
    """Find a gradient written in reverse, rolled or shifted along some axis."""
    given, agrees = case.gradient, case.evidence.agrees
    axes = [axis for axis, length in enumerate(given.shape) if length > 1]
    for chosen in list(product((False, True), repeat=len(axes)))[1:] if len(axes) < 5 else ():
        turned = tuple(axis for axis, flip in zip(axes, chosen, strict=True) if flip)
        if agrees(np.flip(given, turned)):
            return "flip", f"it is in reverse order along {_axes(turned)}"
    for axis in axes:
        for step in {*range(1, min(given.shape[axis], 5)), *range(-4, 0)}:
            if agrees(np.roll(given, step, axis=axis)):
                return "shift", f"it is rolled by {-step} along axis {axis}"
        for step in (1, -1, 2, -2):
            if given.shape[axis] > abs(step) + 1 and _shifted(case, axis, step):
                return "shift", f"it is shifted by {-step} along axis {axis}"
    if len(given.shape) and case.evidence.whole and case.numeric.any():
        flat, numeric = np.sort(given.ravel()), np.sort(case.evidence.numeric)
        different = len(np.unique(np.round(flat, 12)))
        if different > 3 and len(case.at) == given.size and case.wrong.sum() > 2:
            size = np.abs(flat).max(initial=0.0)
            if np.abs(flat - numeric).max() <= 1e-6 * size:
                return "swapped", "all its values are right, but in other places"
    return None


def _shifted(case: Case, axis: int, step: int) -> bool:
    """Return whether, moved by a step, it is right wherever it has a value to be compared."""
    moved = np.roll(case.gradient, step, axis=axis).ravel()[case.evidence.indices]
    place = np.unravel_index(case.evidence.indices, case.evidence.shape)[axis]
    length = case.evidence.shape[axis]
    inside = (place >= step) if step > 0 else (place < length + step)
    inside &= ~case.evidence.kinks
    numeric = case.evidence.numeric
    if len(np.unique(numeric[inside])) < 4 or length < 3:
        return False
    return case.evidence.equal_at(np.where(inside, moved, numeric), numeric)


def _axes(axes: tuple[int, ...]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"the axes {', '.join(map(str, axes))}"


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


def _where_zero(case: Case) -> str:
    """Find leaks and gaps that fill whole rows, too, where nothing else explains them."""
    flat = np.abs(case.numeric) <= 1e-9 * np.abs(case.numeric).max(initial=0.0)
    if (case.wrong & flat).sum() > 1 and not (case.wrong & ~flat).any():
        return f"wrong exactly where the true derivative is zero ({_count(case.wrong)} entries)"
    return ""


def _count(chosen: Array) -> str:
    return f"{int(chosen.sum())} of {len(chosen)} compared"


def _one_row(case: Case) -> str:
    """Find one row, or column, outside which it is right."""
    sentence = wrong_rows(case)
    return sentence if re.match(r"wrong only in \w+ \d+ of", sentence) else ""


def _clipped(case: Case) -> str:
    """Find values that are right up to a limit and stay there beyond it."""
    if len(case.at) < 4 or not case.wrong.any() or case.wrong.all():
        return ""
    limit = np.abs(case.analytic).max()
    stuck = np.abs(np.abs(case.analytic) - limit) <= 1e-9 * limit
    if not stuck[case.wrong].all() or case.wrong.sum() < 2:
        return ""
    if len(np.unique(np.round(np.abs(case.analytic) / limit, 6))) < 4:
        return ""
    if (np.abs(case.numeric[case.wrong]) > limit).all():
        return f"it is clipped at {limit:.6g}; where the true derivative is smaller it is right"
    return ""


def _one_side(case: Case) -> str:
    """Find errors that follow the sign of the array itself, or of an output of its shape."""
    known = [(case.name, case.subject.variables()[case.name])]
    known += [("the output", one) for one in case.subject.outputs]
    for name, one in known:
        own = name in case.subject.kept
        if one.shape != case.evidence.shape or one.dtype.kind != "f" or len(case.at) < 6:
            continue
        values = one.ravel()[case.at]
        for sign, word in ((1, "<"), (-1, ">")):
            inside = sign * values < 0
            if inside.sum() > 2 and (~inside).sum() > 2 and np.array_equal(inside, case.wrong):
                return f"wrong only where {name} {word} 0, right elsewhere"
        if own:
            continue  # a parameter is no value that a forward would compare with a limit
        order = np.argsort(values)
        for ascending, word in ((order, "below"), (order[::-1], "above")):
            wrong = case.wrong[ascending]
            count = int(wrong.sum())
            if 2 < count < len(wrong) - 2 and wrong[:count].all():
                edge = values[ascending][count - 1 : count + 1].mean()
                return f"wrong only where {name} is {word} about {edge:.2g}, right elsewhere"
        size = np.argsort(-np.abs(values))
        wrong, count = case.wrong[size], int(case.wrong.sum())
        if 2 < count < len(wrong) - 2 and wrong[:count].all():
            return f"wrong only where {name} is large, right elsewhere"
        if 2 < count < len(wrong) - 2 and wrong[-count:].all():
            return f"wrong only where {name} is small, right elsewhere"
    return ""


def _roughly(case: Case) -> str:
    """Find a gradient that is right to a few digits, and rounds: it is not linear in dy."""
    size, off = np.linalg.norm(case.numeric), np.linalg.norm(case.analytic - case.numeric)
    if not size or off > 1e-2 * size:
        return ""
    one, third, none = (with_factor(case, factor) for factor in (1.0, 3.0, 0.0))
    if one is None or third is None or none is None or none.any() or same(third, 3 * one):
        return ""
    return f"right to about {int(-np.log10(off / size))} digits: rounded on its way"


def _at(case: Case, values: Array) -> Array:
    """Return values at all compared entries, with the numeric ones on corners."""
    full = case.evidence.numeric.copy()
    full[~case.evidence.kinks] = values
    return full


def _worst(case: Case) -> str:
    apart = np.abs(case.analytic - case.numeric)
    shown = [
        f"({', '.join(map(str, np.unravel_index(case.at[i], case.evidence.shape)))}):"
        f" {case.analytic[i]:.6g}, not {case.numeric[i]:.6g}"
        for i in np.argsort(-apart)[:3]
    ]
    where = wrong_rows(case)
    return (
        f"no known pattern explains it; {f'here it is {where}; ' if where else ''}the worst entries"
        f" are {'; '.join(shown)}"
    )
