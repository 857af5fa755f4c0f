"""Which derivatives of one array are compared, and whether a gradient agrees with them.

Numeric slopes come from numeric.py; what a disagreement means is for causes.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minivae.gradcheck.function import Function
from minivae.gradcheck.numeric import Slope, complex_step, differences
from minivae.gradcheck.subject import Array

FLOOR = 1e-2  # entries below this part of the largest are compared with that part
DIRECTIONS = 3
ANALYTIC_ROUNDING = 64.0  # units in the last place that a backward may lose
BUDGET = 3e8  # numbers touched per check: more entries are sampled where evaluations are cheap


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

    def _floor(self, slopes: list[Slope]) -> Array:
        noise = np.array([one.noise for one in slopes])
        terms = np.array([one.terms for one in slopes])
        largest = np.abs(self.numeric[~self.kinks]).max(initial=0.0)
        noise = noise + ANALYTIC_ROUNDING * self.eps * (terms + largest + self.outer)
        return np.maximum(noise / self.tolerance, FLOOR * largest) + 1e-300

    def errors(self, gradient: Array) -> Array:
        """Return the relative error of each compared entry; 0 where it stands on a corner."""
        analytic = gradient.ravel()[self.indices]
        error = _relative(analytic, self.numeric, self._floors)
        return np.where(self.kinks, 0.0, error)

    def errors_along(self, gradient: Array) -> Array:
        """Return the relative error along each direction."""
        analytic = np.array([np.vdot(one, gradient) for one in self.directions])
        numeric = np.array([one.value for one in self.along])
        kinks = np.array([one.kink for one in self.along], dtype=bool)
        return np.where(kinks, 0.0, _relative(analytic, numeric, self._floors_along))

    def agrees(self, gradient: Array | None) -> bool:
        """Return whether a gradient passes, at every entry and along every direction."""
        if gradient is None or gradient.shape != self.shape:
            return False
        worst = max(
            self.errors(gradient).max(initial=0.0), self.errors_along(gradient).max(initial=0.0)
        )
        return bool(worst <= self.tolerance)


def _relative(analytic: Array, numeric: Array, floor: Array) -> Array:
    size = np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), floor)
    with np.errstate(invalid="ignore"):
        error = np.abs(analytic - numeric) / size
    return np.where(np.isfinite(analytic), error, np.inf)


@dataclass
class Probe:
    """The function with its means: real, and complex where forward takes complex numbers."""

    real: Function
    complex: Function | None
    tolerance: float
    eps: float
    rng: np.random.Generator

    def measure(self, name: str, gradient: Array, entries: int) -> Evidence:
        """Compare up to that many entries of the variable; where not all, directions besides."""
        shape = self.real.variables[name].shape
        size = int(np.prod(shape))
        use_complex = self.complex is not None and self._holds(name)
        if size <= entries:
            indices, directions = np.arange(size), []
        else:
            indices = np.sort(self.rng.choice(size, entries, replace=False))
            directions = [self.direction(name) for _ in range(DIRECTIONS)]
        flat = gradient.ravel()
        slopes = [self.slope(name, int(i), float(flat[i]), use_complex) for i in indices]
        along = [self.slope(name, v, float(np.vdot(v, gradient)), use_complex) for v in directions]
        method = "complex step" if use_complex else "differences"
        spread = min(self.real.spread(name), 1.0) or 1.0
        outer = float(np.abs(self.real.weights * self.real.base).max()) / spread
        return Evidence(
            shape, indices, slopes, directions, along, method, self.tolerance, self.eps, outer
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
        variable = self.real.variables[name]
        size = min(self.real.spread(name), 1.0) or 1.0
        return size * self.rng.choice([-1.0, 1.0], variable.shape)

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
        """Return whether the complex step agrees with differences along a random direction."""
        where = self.direction(name)
        try:
            step = complex_step(self.complex, name, where)
        except Exception:  # a forward that takes complex input only where it is real
            return False
        plain = differences(self.real, name, where, step.value, 1e-6)
        room = 1e-5 * max(abs(plain.value), abs(step.value), plain.terms) + plain.noise
        return bool(plain.kink or abs(plain.value - step.value) <= room)


def share(sizes: dict[str, int], total: int) -> dict[str, int]:
    """Return how many entries of each array to compare: all of the small, a sample of the large.

    `total` is the number of values that one evaluation touches.
    """
    left = int(np.clip(BUDGET / max(total, 1), 500, 2000))
    result = {}
    waiting = sorted(sizes, key=sizes.get)
    for place, name in enumerate(waiting):
        result[name] = min(sizes[name], max(left // (len(waiting) - place), 8))
        left -= result[name]
    return result
