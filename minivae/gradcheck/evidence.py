"""Which derivatives of one array are compared, and whether a gradient agrees with them.

Numeric slopes come from numeric.py; what a disagreement means is for causes.py.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from minivae.gradcheck.function import Function
from minivae.gradcheck.numeric import Slope, complex_step, differences
from minivae.gradcheck.subject import Array

FLOOR = 1e-6  # entries below this part of the largest are compared with that part
DIRECTIONS = 2
ANALYTIC_ROUNDING = 256.0  # units in the last place that a backward may lose
ENTRIES = 2000  # at most, of all arrays together
BUDGET = 1e8  # numbers touched per check: more entries are sampled where evaluations are cheap
SLOW = 2e-3  # seconds of an evaluation beyond which fewer are sampled
HELD = 4_000_000  # numbers of the Jacobian that are kept


@dataclass
class Evidence:
    """Numeric derivatives of one array, at some of its entries and along some directions.

    Attributes
    ----------
    shape : tuple of int
    indices : array (n,)
        Flat indices of the entries compared.
    slopes : list of Slope
        Their derivatives.
    directions : list of array
        Random directions, of the array's shape.
    along : list of Slope
        The derivatives along them.
    method : str
        "complex step" or "differences".
    tolerance : float
        The relative error that passes.
    eps : float
        Precision of the gradients that are judged.
    outer : float
        Size of the outputs over size of the array, at most 1: a derivative far below is rounded
        away where a function saturates.
    """

    shape: tuple[int, ...]
    indices: Array
    slopes: list[Slope]
    directions: list[Array]
    along: list[Slope]
    method: str
    tolerance: float
    eps: float
    outer: float

    def __post_init__(self) -> None:
        """Gather what is compared often."""
        self.numeric = np.array([one.value for one in self.slopes])
        self.kinks = np.array([one.kink for one in self.slopes], dtype=bool)
        self._floors = self._floor(self.slopes)
        self._floors_along = self._floor(self.along)

    @property
    def whole(self) -> bool:
        """Whether every entry was compared."""
        return len(self.indices) == int(np.prod(self.shape))

    @property
    def changes(self) -> Array | None:
        """The Jacobian's rows of the compared entries (entries, outputs); None if not kept."""
        rows = [one.change for one in self.slopes]
        return np.array(rows) if rows and all(one.size for one in rows) else None

    def _floor(self, slopes: list[Slope]) -> Array:
        noise = np.array([one.noise for one in slopes])
        terms = np.array([one.terms for one in slopes])
        largest = np.abs(self.numeric[~self.kinks]).max(initial=0.0)
        noise = noise + ANALYTIC_ROUNDING * self.eps * (terms + largest + self.outer)
        return np.maximum(noise / self.tolerance, FLOOR * largest) + 1e-300

    def errors(self, gradient: Array) -> Array:
        """Return the relative error of each compared entry, on a corner that to the interval."""
        return self.errors_at(gradient.ravel()[self.indices])

    def errors_at(self, analytic: Array) -> Array:
        """Return the same for values at the compared entries alone."""
        return _relative(analytic, self.slopes, self._floors)

    def errors_along(self, gradient: Array) -> Array:
        """Return the relative error along each direction."""
        with np.errstate(invalid="ignore", over="ignore"):
            analytic = np.array([np.vdot(one, gradient) for one in self.directions])
        return _relative(analytic, self.along, self._floors_along)

    def agrees(self, gradient: Array | None) -> bool:
        """Return whether a gradient passes, at every entry and along every direction."""
        if gradient is None or gradient.shape != self.shape:
            return False
        if self.errors(gradient).max(initial=0.0) > self.tolerance:
            return False
        return bool(self.errors_along(gradient).max(initial=0.0) <= self.tolerance)

    def agrees_at(self, analytic: Array) -> bool:
        """Return whether values at the compared entries pass."""
        return bool(self.errors_at(analytic).max(initial=0.0) <= self.tolerance)

    def equal_at(self, one: Array, other: Array) -> bool:
        """Return whether two arrays of values at the compared entries are the same, as nearly."""
        size = np.maximum(np.maximum(np.abs(one), np.abs(other)), self._floors)
        size = np.maximum(size, 1e-3 * np.abs(other).max(initial=0.0))
        with np.errstate(invalid="ignore"):
            return bool((np.abs(one - other) <= 10 * self.tolerance * size).all())


def _relative(analytic: Array, slopes: list[Slope], floor: Array) -> Array:
    low, high = (np.array([getattr(one, side) for one in slopes]) for side in ("low", "high"))
    size = np.maximum(np.maximum(np.abs(analytic), np.maximum(np.abs(low), np.abs(high))), floor)
    with np.errstate(invalid="ignore"):
        error = np.maximum(np.maximum(low - analytic, analytic - high), 0.0) / size
    return np.where(np.isfinite(analytic), error, np.inf)


@dataclass
class Probe:
    """The function with its means: real, and complex where forward takes complex numbers."""

    real: Function
    complex: Function | None
    tolerance: float
    eps: float
    rng: np.random.Generator
    keeps: bool = True  # the Jacobian's rows

    def measure(
        self, name: str, gradient: Array, entries: int, tolerance: float, eps: float
    ) -> Evidence:
        """Compare up to that many entries of the variable, and random directions besides."""
        shape = self.real.variables[name].shape
        size = int(np.prod(shape))
        use_complex = self.complex is not None and self._holds(name)
        indices = np.arange(size)
        if size > entries:
            indices = np.sort(self.rng.choice(size, entries, replace=False))
        count = 1 if self.real.large else DIRECTIONS
        directions = [self.direction(name) for _ in range(count)] if size > 1 else []
        flat = gradient.ravel()
        slopes = [self.slope(name, int(i), float(flat[i]), use_complex) for i in indices]
        with np.errstate(invalid="ignore", over="ignore"):
            expected = [float(np.vdot(v, gradient)) for v in directions]
        along = [
            self.slope(name, v, one, use_complex)
            for v, one in zip(directions, expected, strict=True)
        ]
        for one in (*slopes, *along):
            if not self.keeps:
                one.change = np.empty(0)
        method = "complex step" if use_complex else "differences"
        spread = min(self.real.spread(name), 1.0) or 1.0
        outer = np.abs(self.real.weights * self.real.base).max(initial=0.0) / spread
        return Evidence(
            shape, indices, slopes, directions, along, method, tolerance, eps, float(outer)
        )

    def look_closer(self, name: str, gradient: Array, evidence: Evidence) -> Evidence:
        """Return more evidence, at an entry that is wrong though no sampled one is, and around it.

        The entry is found by halving the direction that disagrees most.
        """
        errors = evidence.errors_along(gradient)
        worst = int(np.argmax(errors))
        direction = evidence.directions[worst].ravel()
        flat, off = gradient.ravel(), evidence.along[worst].value
        off -= float(direction @ flat)
        inside = np.arange(flat.size)
        while len(inside) > 1:
            half = inside[: len(inside) // 2]
            part = np.zeros_like(direction)
            part[half] = direction[half]
            here = float(part @ flat)
            slope = self.slope(name, part.reshape(evidence.shape), here, False).value - here
            if abs(slope) > abs(off - slope):
                inside, off = half, slope
            else:
                inside, off = inside[len(inside) // 2 :], off - slope
        place = np.unravel_index(inside[0], evidence.shape)
        near = {int(inside[0])}
        for axis, length in enumerate(evidence.shape):
            for other in self.rng.choice(length, min(length, 12), replace=False):
                moved = (*place[:axis], other, *place[axis + 1 :])
                near.add(int(np.ravel_multi_index(moved, evidence.shape)))
        fresh = sorted(near - set(evidence.indices.tolist()))
        slopes = [self.slope(name, i, float(flat[i]), False) for i in fresh]
        for one in slopes:
            if not self.keeps:
                one.change = np.empty(0)
        return Evidence(
            evidence.shape,
            np.concatenate([evidence.indices, fresh]).astype(int),
            [*evidence.slopes, *slopes],
            evidence.directions,
            evidence.along,
            evidence.method,
            evidence.tolerance,
            evidence.eps,
            evidence.outer,
        )

    def direction(self, name: str) -> Array:
        """Return a random direction: signs times the size of the variable's entries."""
        return self.real.direction([name], self.rng)[name]

    def slope(self, name: str, where: int | Array, expected: float, use_complex: bool) -> Slope:
        """Return one derivative; a complex step that disagrees is confirmed by differences."""
        accuracy = 0.05 * self.tolerance
        if not use_complex:
            return differences(self.real, name, where, expected, accuracy)
        slope = complex_step(self.complex, name, where)
        room = self.tolerance * max(abs(expected), abs(slope.value)) + slope.noise
        if abs(slope.value - expected) <= room:
            return slope
        checked = differences(self.real, name, where, slope.value, accuracy)
        room = 1e-5 * max(abs(checked.value), abs(slope.value)) + checked.noise
        return checked if checked.kink or abs(checked.value - slope.value) > room else slope

    def _holds(self, name: str) -> bool:
        """Return whether the complex step agrees with differences, output by output."""
        for _ in range(2):
            where = self.direction(name)
            try:
                step = complex_step(self.complex, name, where)
                plain = differences(self.real, name, where, step.value, 1e-6)
            except Exception:  # a forward that takes complex input only where it is real
                return False
            largest = np.abs(step.change).max(initial=0.0) + np.abs(plain.change).max(initial=0.0)
            noise = self.real.noise * 1e8 + 1e-6 * largest
            apart = np.abs(plain.change - step.change)
            size = np.maximum(np.abs(plain.change), np.abs(step.change))
            if plain.kink or not (apart <= 1e-4 * size + noise).all():
                return False
        return True


def share(sizes: dict[str, int], total: int, seconds: float) -> dict[str, int]:
    """Return how many entries of each array to compare: all of the small, a sample of the large.

    `total` is the number of values that one evaluation touches, `seconds` what it takes: only a
    slow one counts, and roughly, so that the sample is the same on the next run.
    """
    left = int(np.clip(BUDGET / max(total, 1), 12, ENTRIES))
    while seconds > SLOW and left > 30:
        seconds, left = seconds / 3, left // 3
    result = {}
    waiting = sorted(sizes, key=sizes.get)
    for place, name in enumerate(waiting):
        result[name] = min(sizes[name], max(left // (len(waiting) - place), 3))
        left -= result[name]
    return result


def duration(function: Function) -> float:
    """Return how many seconds one evaluation takes."""
    begin = time.perf_counter()
    function.evaluate()
    return time.perf_counter() - begin
