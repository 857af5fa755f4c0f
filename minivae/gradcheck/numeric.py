"""Derivatives along one direction, by differences and by the complex step, with their rounding.

It knows a function of arrays; which directions are wanted and what follows is for evidence.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minivae.gradcheck.function import Function
from minivae.gradcheck.report import GradcheckError
from minivae.gradcheck.subject import Array

COMPLEX_STEP = 1e-20  # its square vanishes beside 1, and nothing is subtracted
ROUNDING = 8.0  # an evaluation may be wrong by this many times its estimated rounding
CLEAR = 1e3  # one-sided slopes are read where they lie apart by this many times their rounding


@dataclass
class Slope:
    """A derivative of the weighted outputs.

    Attributes
    ----------
    parts : array (outputs of the layer,)
        What each output of the layer contributes.
    change : array (outputs,)
        The derivative of every number that forward gives, not weighted.
    noise : float
        How far rounding, or steps that did not settle, may have moved the sum.
    terms : float
        Sum of the absolute contributions of all entries of the outputs.
    low, high : float
        Between which every subgradient lies; both are the value but on a corner.
    kink : bool
        Whether the two one-sided derivatives differ however small the step: a corner.
    """

    parts: Array
    change: Array
    noise: float
    terms: float
    low: float = 0.0
    high: float = 0.0
    kink: bool = False

    @property
    def value(self) -> float:
        """The derivative."""
        return float(self.parts.sum())

    def __post_init__(self) -> None:
        """Close the interval, which a corner opens."""
        self.low = self.high = self.value


@dataclass
class _Level:
    parts: Array
    change: Array
    ahead: Array  # the one-sided slopes
    behind: Array
    noise: float
    terms: float
    bend: float  # how far the one-sided slopes lie apart
    bend_noise: float


def steps(eps: float) -> list[float]:
    """Return the steps tried in turn, relative to the variable's size.

    The first two, extrapolated, are within 1e-12 of a smooth function's slope in float64. The
    others serve functions that bend within the step, and step back from corners.
    """
    if eps > 1e-10:  # float32: rounding forbids small steps
        return [eps**0.25 / 2**k for k in range(5)]
    return [4e-3 / 4**k for k in range(10)]


def differences(
    f: Function,
    name: str | None,
    direction: int | Array | dict[str, Array],
    expected: float,
    accuracy: float,
) -> Slope:
    """Return the slope along one entry (its flat index) or a direction, by central differences.

    A direction may also be one in several variables, by their names; then `name` is None.
    Successive steps h and h/r are extrapolated: the error of (f(x+h) - f(x-h)) / 2h is even in h,
    so r^2/(r^2-1) of the finer minus 1/(r^2-1) of the coarser leaves h^4. Steps shrink until the
    result agrees with `expected` to `accuracy`, or with itself; what is left of its change when
    they do not settle counts as noise.
    """
    move, size = _mover(f, name, direction)
    levels: list[_Level] = []
    found: list[tuple[float, float, Slope]] = []
    sizes = steps(f.eps)
    ratio = (sizes[0] / sizes[1]) ** 2
    try:
        for step in sizes:
            level = _central(f, move, step * size)
            if level is None:  # outside the function's domain: closer in
                levels.clear()
                continue
            levels.append(level)
            if len(levels) < 2:
                slope = Slope(level.parts, level.change, level.noise, level.terms)
                close = 0.1 * accuracy * max(abs(expected), abs(slope.value))
                if f.large and abs(slope.value - expected) <= close + slope.noise:
                    return slope  # no curve bends it: a finer step could only confirm that
                continue
            coarse, fine = levels[-2:]
            parts, change = (
                (ratio * a - b) / (ratio - 1)
                for a, b in ((fine.parts, coarse.parts), (fine.change, coarse.change))
            )
            slope = Slope(parts, change, 1.3 * fine.noise, fine.terms)
            room = accuracy * max(abs(expected), abs(slope.value))
            if abs(slope.value - expected) <= room + slope.noise:
                return slope
            spread = np.inf
            if found:
                spread = abs(slope.value - found[-1][2].value)
            found.append((spread + slope.noise, spread, slope))
            lasting = fine.bend > 0.6 * coarse.bend and _corner(levels)
            if fine.bend < 4 * fine.bend_noise and lasting:
                break  # it bends, and closer in rounding hides that
            straight = fine.bend <= max(0.5 * coarse.bend, fine.bend_noise)
            if spread <= max(2 * slope.noise, accuracy * abs(slope.value)) and straight:
                return slope
    finally:
        move(0.0)
    if not found:
        raise GradcheckError("forward gives NaN or infinity next to the given values")
    _, spread, best = min(found, key=lambda one: one[0])
    best.kink = _corner(levels)
    if best.kink:
        clear = [level for level in levels if level.bend > CLEAR * level.bend_noise]
        _open(best, f.weights, clear[-1] if clear else levels[-1])
    else:
        best.noise += spread if np.isfinite(spread) else 0.0
    return best


def _open(slope: Slope, weights: Array, level: _Level) -> None:
    """Let the slope be anything between what the outputs' one-sided slopes permit."""
    sides = np.array([weights * level.ahead, weights * level.behind])
    low, high = float(sides.min(axis=0).sum()), float(sides.max(axis=0).sum())
    room = 1e-5 * (abs(low) + abs(high)) + 4 * level.noise
    slope.low, slope.high = low - room, high + room


def complex_step(f: Function, name: str, direction: int | Array) -> Slope:
    """Return the slope along an entry or direction as Im f(x + ih) / h: nothing cancels."""
    move, size = _mover(f, name, direction)
    step = COMPLEX_STEP * size
    try:
        move(1j * step)
        change = f.evaluate().imag / step
    finally:
        move(0.0)
    terms = float(np.abs(f.weights * change).sum())
    return Slope(f.parts(change), change, ROUNDING * f.eps * terms, terms)


def _mover(
    f: Function, name: str | None, direction: int | Array | dict[str, Array]
) -> tuple[Callable[[complex], float], float]:
    """Return a function that puts the variables at x + h v and gives back h, and h's unit."""
    if isinstance(direction, int | np.integer):
        variable, spread = f.variables[name], f.spread(name)
        at = np.unravel_index(direction, variable.shape)
        start = variable[at]
        size = max(abs(start), 1e-2 * min(spread, 1.0)) or 1.0

        def move(h: complex) -> float:
            variable[at] = start + h
            return float((variable[at] - start).real)

        return move, float(size)
    moved = direction if isinstance(direction, dict) else {name: direction}
    origins = {key: f.variables[key].copy() for key in moved}

    def move_all(h: complex) -> float:
        f.move(origins, moved, h)
        return float(np.real(h))

    return move_all, 1.0


def _central(f: Function, move: Callable[[complex], float], step: float) -> _Level | None:
    try:
        right = move(step)
        ahead = f.evaluate()
        left = -move(-step)
        behind = f.evaluate()
    except GradcheckError:
        return None
    if not (right > 0 and left > 0 and np.isfinite(ahead).all() and np.isfinite(behind).all()):
        return None
    if ahead.shape != f.base.shape or behind.shape != f.base.shape:
        return None
    change = (ahead - behind) / (right + left)
    rising, falling = (ahead - f.base) / right, (f.base - behind) / left
    moved = f.weights * f.noise * (change != 0)
    rounding = ROUNDING / step
    return _Level(
        f.parts(change),
        change,
        rising,
        falling,
        rounding * float(np.linalg.norm(moved)),
        float(np.abs(f.weights * change).sum()),
        float(np.abs(f.weights * (rising - falling)).sum()),
        4 * rounding * float(np.abs(moved).sum()),
    )


def _corner(levels: list[_Level]) -> bool:
    """Return whether the bend stays as the step shrinks; a smooth function's shrinks with it."""
    seen = [level.bend for level in levels if level.bend > level.bend_noise]
    return len(seen) >= 2 and seen[-1] > 0.6 * seen[-2]
