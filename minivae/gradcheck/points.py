"""Other values at which a layer's gradients must be right as well, made from those that were given.

A layer that is right where gain = 1, where no clip bites, where every input is positive or where
the batch has one certain size may be wrong elsewhere. What is found there is judged by check.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minivae.gradcheck.clone import clone
from minivae.gradcheck.function import Function, build
from minivae.gradcheck.intake import put_arrays
from minivae.gradcheck.numeric import differences
from minivae.gradcheck.report import GradcheckError
from minivae.gradcheck.subject import Array, Subject

MOVE = 0.3  # by how much of their size the parameters are moved
FAR = 8.0  # what inputs of both signs are multiplied by, and divided
SENSIBLE = 1e3  # a gradient this many times the largest of the given values lies outside the domain
ROOM = 1e-6  # relative; the errors looked for are of another formula, not of rounding


def points(subject: Subject) -> Iterator[tuple[str, Subject]]:
    """Yield other values, with words for them, that the layer's forward takes."""
    rng = np.random.default_rng(subject.seed + 1)
    inputs = subject.inputs
    free = [
        one.dtype.kind == "f" and name not in subject.constants and one.size > 0
        for name, one in zip(subject.input_names, inputs, strict=True)
    ]
    mixed = [_mixed(x, rng) if is_free else x for x, is_free in zip(inputs, free, strict=True)]
    wanted = [
        ("with its parameters moved", mixed, True),
        (
            "for inputs with other signs",
            [_turned(x, f, rng) for x, f in zip(inputs, free, strict=True)],
            False,
        ),
        *(
            (
                f"for {how} inputs",
                [_sized(x, f, k) for x, f in zip(inputs, free, strict=True)],
                False,
            )
            for how, k in (("larger", FAR), ("smaller", 1 / FAR))
        ),
    ]
    rows = {len(x) if x.ndim else 0 for x in inputs}
    if len(rows) == 1 and (length := rows.pop()) > 0:
        if length > 1:
            wanted.append(("for a batch of one row", [x[:1] for x in inputs], True))
        double = [np.concatenate([x, y]) for x, y in zip(inputs, mixed, strict=True)]
        wanted.append((f"for a batch of {2 * length} rows", double, True))
    for words, values, move in wanted:
        if not move and all(x is y for x, y in zip(values, inputs, strict=True)):
            continue
        try:
            yield words, subject.at(values, _moved(subject, rng) if move else None)
        except GradcheckError:  # not values that the layer takes
            continue


def wrong_at(point: Subject, judged: list[str], largest: float) -> bool:
    """Return whether gradients are wrong there, along random directions in all arrays at once."""
    layer = point.fresh()
    gradients = point.run(layer, point.inputs, point.weights)
    usable = [
        name
        for name in judged
        if gradients.get(name) is not None
        and gradients[name].shape == point.variables()[name].shape
    ]
    if len(usable) < len(judged):
        rows = {len(one) for one in point.inputs if one.ndim}
        return any(one.ndim and len(one) in rows for one in point.outputs)  # rows are a batch
    found = [gradients[name] for name in usable]
    sizes = [float(max(one.max(initial=0.0), -one.min(initial=0.0))) for one in found]
    if not np.isfinite(sizes).all() or max(sizes, default=0.0) > SENSIBLE * (largest or np.inf):
        return False  # a singular point: of no layer's making
    try:
        f = build(point, None if point.inputs and _single(point) else float)
        groups = [usable] if f.large else _groups(usable)
        return any(_disagrees(f, gradients, names, largest) for names in groups)
    except GradcheckError:
        return False


def _groups(names: list[str]) -> list[list[str]]:
    """Return all names twice, and each alone: a small gradient would drown among large ones."""
    return [names, names, *([name] for name in names if len(names) > 1)]


def _disagrees(f: Function, gradients: dict[str, Array], names: list[str], typical: float) -> bool:
    rng = np.random.default_rng(len(names) + sum(map(len, names)))
    direction = f.direction(names, rng)
    expected, largest = 0.0, 0.0
    for name in names:
        terms = gradients[name] * direction[name]
        expected += float(terms.sum())
        largest = max(largest, float(np.abs(terms).sum()))
    slope = differences(f, None, direction, expected, 1e-9)
    size = max(abs(expected), abs(slope.value), 1e-3 * slope.terms)
    room = ROOM * size + slope.noise + 1e-12 * largest + 1e-9 * typical
    return not slope.low - room <= expected <= slope.high + room


def _single(point: Subject) -> bool:
    return any(one.dtype.kind == "f" and one.dtype != float for one in point.inputs)


def _mixed(x: Array, rng: np.random.Generator) -> Array:
    """Return values between those of x, so that they stay in its domain."""
    other = rng.permutation(x.ravel()).reshape(x.shape)
    part = rng.uniform(0.1, 0.9, x.shape)
    with np.errstate(invalid="ignore"):
        moved = part * x + (1 - part) * other
    return np.where(np.isfinite(moved), moved, x).astype(x.dtype)


def _turned(x: Array, free: bool, rng: np.random.Generator) -> Array:
    """Return x with random signs, if all of it is positive and no share or probability."""
    finite = x[np.isfinite(x)] if free else x
    if not free or not finite.size or finite.min() < 0 or finite.max() <= 1:
        return x
    return x * rng.choice([-1.0, 1.0], x.shape).astype(x.dtype)


def _sized(x: Array, free: bool, times: float) -> Array:
    if not free or not x.size or x.min() >= 0 or not np.isfinite(x).all():
        return x
    return (times * x).astype(x.dtype)


def _moved(subject: Subject, rng: np.random.Generator) -> object:
    """Return the layer with its parameters moved, their signs kept."""
    layer = clone(subject.original)
    put_arrays(layer, subject.places)
    for one in subject.parameters(layer).values():
        if one.dtype.kind != "f":
            continue
        typical = float(np.abs(one).mean()) if one.size else 0.0
        factor = np.resize(1 + MOVE * rng.uniform(-1, 1, min(one.size, 65_537)), one.shape)
        zeros = one == 0
        one *= factor
        one[zeros] = (typical or 1.0) * (factor[zeros] - 1)
    return layer
