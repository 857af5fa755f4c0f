"""Explains a wrong gradient by known arrays: a factor that it lacks, or a term that is absent.

The known arrays are the inputs, the parameters, the outputs, the outputs' gradient, and simple
functions of them, spread to the gradient's shape. Sums of the right terms are for paths.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from minivae.gradcheck.case import Case
from minivae.gradcheck.factors import describe
from minivae.gradcheck.subject import Array

Named = tuple[str, str]
CLOSE = 1e-6  # relative, of a factor or a term to what it is held for


def two_factors(case: Case) -> Named | None:
    """Return the factors on the two sides of 0 of a known array, where they are the errors."""
    telling = np.abs(case.numeric) > 1e-5 * np.abs(case.numeric).max(initial=0.0)
    if telling.sum() < 6 or (case.analytic[~telling] != 0).any():
        return None
    ratio = case.analytic[telling] / case.numeric[telling]
    low, high = ratio.min(), ratio.max()
    upper = ratio > (low + high) / 2
    sides = ratio[~upper], ratio[upper]
    size = np.abs(ratio).max()
    if not np.isfinite(size) or min(map(len, sides)) < 3:
        return None
    if high - low < 1e-3 * size or max(map(np.ptp, sides)) > CLOSE * size:
        return None
    for words, known in _plain(case, case.evidence.shape):
        values = known.ravel()[case.at][telling]
        for one, other in ((upper, "> 0"), (~upper, "< 0")):
            if np.array_equal(values > 0, one):
                here, there = (high, low) if other == "> 0" else (low, high)
                return "mask", f"where {words} > 0 it is {_times(here)}, elsewhere {_times(there)}"
    return None


def lost_factor(case: Case) -> Named | None:
    """Return which factor is missing or too much, the same along some axes or a known array."""
    shape, at = case.evidence.shape, case.at
    telling = np.abs(case.numeric) > 1e-5 * np.abs(case.numeric).max(initial=0.0)
    if telling.sum() < 4 or (case.analytic[telling] == 0).any():
        return None
    if not case.matches(np.where(telling, case.analytic, case.numeric)):
        return None  # not zero where the true one is: no factor does that
    ratio = case.analytic[telling] / case.numeric[telling]
    if not np.isfinite(ratio).all():
        return None
    for words, known in _known(case, shape):
        values = known.ravel()[at][telling]
        if np.ptp(np.abs(values)) <= 1e-3 * np.abs(values).max(initial=0.0):
            continue
        for power, said in ((1, "has a factor too much"), (-1, "lacks a factor")):
            with np.errstate(all="ignore"):
                constant = ratio / values**power
            if np.isfinite(constant).all() and _flat(constant, ratio, values):
                mean = float(np.median(constant))
                times = "" if abs(mean - 1) < 1e-5 else f", and is off by {1 / mean:.6g} besides"
                return "factor", f"every entry {said}: {words}{times}"
    places = np.unravel_index(at[telling], shape)
    for axis in range(len(shape)):
        groups = places[axis]
        found = [ratio[groups == k] for k in np.unique(groups)]
        if len(found) < 2 or min(map(len, found)) < 2:
            continue
        if all(np.ptp(one) <= CLOSE * np.abs(one).max() for one in found):
            shown = ", ".join(f"{one[0]:.4g}" for one in found[:4])
            more = ", ..." if len(found) > 4 else ""
            return (
                "scale",
                f"each place of axis {axis} is off by a factor of its own: {shown}{more}",
            )
    return None


def _times(factor: float) -> str:
    if abs(factor) <= CLOSE or abs(factor - 1) <= CLOSE:
        return "0" if abs(factor) <= CLOSE else "right"
    return describe(factor, CLOSE)


def _flat(constant: Array, ratio: Array, values: Array) -> bool:
    middle = abs(float(np.median(constant)))
    return bool(middle > 0 and np.ptp(constant) <= CLOSE * middle * 10)


def lost_term(case: Case) -> Named | None:
    """Return what the error is: the same along an axis, or a multiple of known arrays."""
    shape = case.evidence.shape
    if len(case.at) < 4:
        return None
    rest = case.numeric - case.analytic
    size = np.abs(case.numeric).max(initial=0.0) + np.abs(case.analytic).max(initial=0.0)
    if np.abs(rest).max() < 1e-5 * size:
        return None
    known = [(words, one.ravel()[case.at]) for words, one in _known(case, shape)]
    if found := _multiple(rest, known):
        return "missing-term", f"{found} is absent or of the wrong sign; the rest is right"
    places = np.unravel_index(case.at, shape)
    kept = [axis for axis in range(len(shape)) if shape[axis] > 1]
    for count in range(len(kept)):
        for axes in combinations(kept, count):
            groups = _numbered([places[axis] for axis in axes], len(rest))
            which = " and ".join(map(str, axes))
            where = f"for each place of axis {which}" if axes else "everywhere"
            one = np.ones((len(rest), 1))
            if _explained(rest, one, groups, size):
                return (
                    "constant",
                    f"what is wrong is one number {where}: a sum or mean along the other axes",
                )
            for words, values in known:
                if not axes or words not in (case.name, "the output"):
                    continue
                for columns, said in (
                    (values[:, None], f"a multiple of {words}"),
                    (np.stack([values, one[:, 0]], axis=1), f"a number and a multiple of {words}"),
                ):
                    if _explained(rest, columns, groups, size):
                        return (
                            "missing-term",
                            f"what is wrong or absent is {said} {where}: a path through a sum",
                        )
    return None


def _multiple(rest: Array, known: list[tuple[str, Array]]) -> str:
    """Return the known array, or product of such, of which the error is a multiple."""
    if len(rest) < 5:
        return ""
    unit = rest / np.linalg.norm(rest)
    single = [(words, one) for words, one in known if np.linalg.norm(one)]
    for words, values in single:
        if _parallel(unit, values):
            return f"{_short(rest, values)} times {words}"
    dys = [(words, one) for words, one in single if words.endswith("'s gradient")]
    plain = [one for one in single if one not in dys][:80]
    for words, values in dys:
        for other, more in plain:
            if _parallel(unit, values * more):
                return f"{_short(rest, values * more)} times {words} times {other}"
    if len(rest) < 6 or not plain:
        return ""
    stack = np.array([values for _, values in plain]).reshape(len(plain), -1)
    for dy_words, dy in [("", np.ones(len(rest))), *((f"{w} times ", v) for w, v in dys)]:
        for position, (words, values) in enumerate(plain):
            with np.errstate(all="ignore"):
                made = stack[position:] * values
                trivial = np.ptp(np.abs(made), axis=1) <= 1e-9 * np.abs(made).max(axis=1)
                made *= dy
                length = np.where(trivial, np.inf, np.sqrt((made**2).sum(axis=1)))
                along = np.abs(made @ unit) / length
            for offset in np.flatnonzero(along > 1 - 1e-9):
                if _parallel(unit, made[offset]):
                    other = plain[position + offset][0]
                    return f"{_short(rest, made[offset])} times {dy_words}{words} times {other}"
    return ""


def _parallel(unit: Array, values: Array) -> bool:
    with np.errstate(all="ignore"):
        length = float(np.linalg.norm(values))
        if not np.isfinite(length) or not length:
            return False
        off = np.abs(unit - values / length * np.sign(float(unit @ values)))
    return bool(off.max() <= CLOSE)


def _short(rest: Array, values: Array) -> str:
    return f"{float(rest @ values) / float(values @ values):.6g}"


def _numbered(places: list[Array], count: int) -> Array:
    if not places:
        return np.zeros(count, int)
    return np.unique(np.stack(places), axis=1, return_inverse=True)[1].ravel()


def _explained(rest: Array, columns: Array, groups: Array, size: float) -> bool:
    """Return whether in each group the error is a sum of multiples of the columns."""
    spare = 0
    for k in np.unique(groups):
        inside = groups == k
        part, have = rest[inside], columns[inside]
        if len(part) <= columns.shape[1]:
            return False
        found = np.linalg.lstsq(have, part, rcond=1e-10)[0]
        if np.abs(have @ found - part).max() > CLOSE * size:
            return False
        spare += len(part) - columns.shape[1]
    return spare >= 3


def _known(case: Case, shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """Yield arrays that a formula may contain, spread to the gradient's shape, with their names."""
    seen = _plain(case, shape)
    yield from seen
    for words, values in seen:
        with np.errstate(all="ignore"):
            for said, made in (
                (f"the sign of {words}", np.sign(values)),
                (f"{words} squared", values**2),
                (f"the size of {words}", np.abs(values)),
                (f"the root of {words}", np.sqrt(values)),
                (f"1 - {words}", 1 - values),
                (f"1 - {words} squared", 1 - values**2),
                (f"{words} (1 - {words})", values * (1 - values)),
                (f"exp of {words}", np.exp(values)),
                (f"exp of half {words}", np.exp(values / 2)),
                (f"log of {words}", np.log(values)),
                (f"the sigmoid of {words}", 1 / (1 + np.exp(-values))),
                (f"the sigmoid's slope at {words}", 1 / (2 + np.exp(-values) + np.exp(values))),
                (f"the sine of {words}", np.sin(values)),
                (f"the cosine of {words}", np.cos(values)),
                (f"tanh's slope at {words}", 1 - np.tanh(values) ** 2),
                (f"1 / {words}", 1 / values),
                (f"1 / (1 - {words})", 1 / (1 - values)),
                (f"1 minus the sigmoid of {words}", 1 / (1 + np.exp(values))),
                (f"the normal density at {words}", np.exp(-(values**2) / 2)),
                (f"1 + {words} squared", 1 + values**2),
            ):
                if np.isfinite(made).all() and np.ptp(made) > 0:
                    yield said, made


def _plain(case: Case, shape: tuple[int, ...]) -> list[tuple[str, Array]]:
    """Return the arrays themselves, without functions of them."""
    subject, seen = case.subject, []
    named = list(subject.variables().items())
    many = len(subject.outputs) > 1
    for position, (one, dy) in enumerate(zip(subject.outputs, subject.weights, strict=True)):
        which = f"output {position}" if many else "the output"
        named += [(which, one), (f"{which}'s gradient", dy)]
    made = []
    for (name, one), (other, two) in combinations(named[: len(subject.inputs)], 2):
        if one.shape == two.shape and one.dtype.kind in "fi" and two.dtype.kind in "fi":
            made.append((f"({name} - {other})", one - two))
    for name, one in named[: len(subject.inputs)]:
        if one.ndim == 2 and one.dtype.kind == "f" and np.isfinite(one).all():
            shifted = np.exp(one - one.max(axis=1, keepdims=True, initial=-np.inf))
            made.append((f"the softmax of {name}", shifted / shifted.sum(axis=1, keepdims=True)))
        if one.ndim == 1 and one.dtype.kind in "iu" and len(shape) == 2 and len(one) == shape[0]:
            made.append((f"1 at the places of {name}", one[:, None] == np.arange(shape[1])))
    for name, one in [*named, *made]:
        if one.dtype.kind not in "fiub" or not one.size or not np.isfinite(one).all():
            continue
        one = one.astype(float)
        for words, values in (
            (name, one),
            (f"{name} transposed", one.T if one.ndim == 2 else None),
        ):
            spread = None if values is None else _spread(values, shape)
            if spread is not None and np.ptp(spread) > 0:
                seen.append((words, spread))
    return seen


def _spread(one: Array, shape: tuple[int, ...]) -> Array | None:
    """Return the array at the gradient's shape; as its rows where only that fits."""
    try:
        return np.broadcast_to(one, shape)
    except ValueError:
        pass
    if one.ndim < len(shape) and one.shape == shape[: one.ndim]:
        return np.broadcast_to(one.reshape(*one.shape, *[1] * (len(shape) - one.ndim)), shape)
    return None
