"""The outputs of a layer as one flat vector of named arrays, in float64 or complex numbers.

How it is differentiated is for numeric.py; what layer and inputs are is known by subject.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minivae.gradcheck.report import GradcheckError
from minivae.gradcheck.subject import Array, Subject

STEP = 1e-8  # relative to the values; a corner within so little is rare
POINTS = 4  # on either side; half as many of a large layer
LARGE = 1_000_000  # numbers in its arrays
BLOCK = 999_983  # random signs that are drawn at most; then they come again
SAMPLE = 50_000  # numbers of one array that are moved to see its rounding and its corners


@dataclass
class Function:
    """A layer whose inputs and parameters are changed in place between evaluations.

    Attributes
    ----------
    variables : dict of str to array
    weights : array (outputs,)
        The value whose derivatives are compared is weights @ outputs.
    starts : list of int
        Where each output of the layer begins in the vector.
    eps : float
        The relative precision of an evaluation.
    base : array (outputs,)
        The outputs at the unperturbed variables.
    noise : array (outputs,)
        How far rounding moves each of them.
    split : bool
        Whether complex outputs stand there as real and imaginary parts.
    """

    subject: Subject
    layer: Any
    inputs: list[Array]
    variables: dict[str, Array]
    weights: Array
    starts: list[int]
    eps: float
    base: Array
    noise: Array
    split: bool = False
    spreads: dict[str, float] = field(default_factory=dict)

    def evaluate(self) -> Array:
        """Return the outputs, flat, at the variables' present values."""
        outputs = self.subject.forward(self.layer, [one.copy() for one in self.inputs])
        return _flat(outputs, self.split)

    def spread(self, name: str) -> float:
        """Return the typical size of a variable's unperturbed entries."""
        if name not in self.spreads:
            flat = self.variables[name].ravel()
            finite = flat if np.isfinite(flat @ flat) else flat[np.isfinite(flat)]
            mean = float(np.vdot(finite, finite).real) / max(finite.size, 1)
            self.spreads[name] = mean**0.5
        return self.spreads[name]

    def parts(self, change: Array) -> Array:
        """Return the weighted sum of a change of the outputs, for each output of the layer."""
        if len(self.starts) == 1:
            return np.array([self.weights @ change])
        sums = np.zeros(len(self.starts))
        ends = [*self.starts[1:], len(change)]
        for position, (start, end) in enumerate(zip(self.starts, ends, strict=True)):
            sums[position] = self.weights[start:end] @ change[start:end]
        return sums

    def direction(self, names: list[str], rng: np.random.Generator) -> dict[str, Array]:
        """Return a random direction in these variables: signs times the size of the entries."""
        return {
            name: signs(rng, self.variables[name].shape, min(self.spread(name) or 1.0, 1.0))
            for name in names
        }

    def move(self, origins: dict[str, Array], along: dict[str, Array], step: complex) -> None:
        """Put variables at the origins plus a step along a direction, without large copies."""
        for name, origin in origins.items():
            if step:
                np.multiply(along[name], step, out=self.variables[name])
                self.variables[name] += origin
            else:
                self.variables[name][...] = origin

    def some(self, rng: np.random.Generator) -> dict[str, Array]:
        """Return flat places of all floating variables: all of the small, a sample of the large."""
        return {
            name: np.arange(one.size)
            if one.size <= SAMPLE
            else np.unique(rng.integers(0, one.size, SAMPLE))
            for name, one in self.variables.items()
            if one.dtype.kind == "f"
        }

    def at(self, places: dict[str, Array]) -> dict[str, Array]:
        """Return copies of the variables' numbers at flat places."""
        return {name: self.variables[name].flat[where] for name, where in places.items()}

    def put(self, places: dict[str, Array], values: dict[str, Array]) -> None:
        """Write numbers at flat places of the variables."""
        for name, where in places.items():
            self.variables[name].flat[where] = values[name]

    @property
    def large(self) -> bool:
        """Whether its arrays hold so many numbers that each evaluation counts."""
        return sum(one.size for one in (*self.variables.values(), self.base)) > LARGE


def build(subject: Subject, dtype: type | None, layer: Any = None) -> Function:
    """Return the subject's function in `dtype`; in its own where that is None.

    Raises
    ------
    GradcheckError
        If forward does not compute in that dtype, or not the same function.
    """
    if layer is None:
        arrays = [*subject.inputs, *subject.kept.values()]
        same = dtype is None or all(one.dtype == dtype for one in arrays if _inexact(one))
        layer = subject.fresh(None if same else dtype)
    inputs = [
        one.astype(dtype or one.dtype) if np.issubdtype(one.dtype, np.floating) else one.copy()
        for one in subject.inputs
    ]
    variables = dict(zip(subject.input_names, inputs, strict=True))
    for name, one in subject.parameters(layer).items():
        variables[subject.parameter_name(name)] = one
    split = any(one.dtype.kind == "c" for one in subject.outputs)
    if split and dtype is complex:
        raise GradcheckError(f"{subject.title} gives complex numbers already")
    sizes = [_flat([one], split).size for one in subject.outputs]
    starts = [0, *np.cumsum(sizes)[:-1].tolist()]
    weights = _flat(subject.weights, split).astype(float)
    result = Function(subject, layer, inputs, variables, weights, starts, 0.0, *[np.empty(0)] * 2)
    result.split = split
    result.base = result.evaluate()
    result.eps = _eps(result.base)
    plain = _flat(subject.outputs, split)
    if dtype is not None and result.base.dtype != dtype:
        raise GradcheckError(f"{subject.title} does not compute in {np.dtype(dtype).name}")
    close = 1e6 * precision(subject) * (np.abs(plain).max(initial=0.0) + 1e-300)
    far = np.abs(result.base - plain).max(initial=0.0) if result.base.shape == plain.shape else 1
    if result.base.shape != plain.shape or not far <= close:
        raise GradcheckError(f"{subject.title} computes something else in {dtype}")
    if result.base.dtype.kind == "f":
        measure_noise(result)
    return result


def precision(subject: Subject) -> float:
    """Return the coarsest relative precision among the layer's inputs, parameters and outputs."""
    return max(_eps(one) for one in (*subject.inputs, *subject.kept.values(), *subject.outputs))


def measure_noise(found: Function) -> None:
    """Estimate the rounding of each output from fourth differences over tiny equal steps.

    A smooth function's own are far below it (Hamming 1962, chapter 6); those of a function that
    is computed in float32 inside show its precision.
    """
    rng = np.random.default_rng(0)
    places = found.some(rng)
    kept = found.at(places)
    moves = {
        name: np.maximum(np.abs(one), 1e-3 * found.spread(name)) * signs(rng, one.shape, STEP)
        for name, one in kept.items()
    }
    values, points = [], POINTS // 2 if found.large else POINTS
    for factor in range(-points, points + 1):
        found.put(places, {name: one + factor * moves[name] for name, one in kept.items()})
        values.append(found.evaluate())
    found.put(places, kept)
    differences = np.diff(values, n=4, axis=0)
    with np.errstate(all="ignore"):
        seen = np.sqrt(np.mean(differences**2, axis=0) / 70)  # 70 = 1 + 16 + 36 + 16 + 1
    seen = np.where(np.isfinite(seen), seen, 0.0)
    size = np.abs(found.base)
    # Where nothing moved, as in 1 + tanh(-15), steps of rounding may be those of a hidden 1.
    hidden = (seen == 0) & (size > 0)
    found.noise = np.maximum(seen, found.eps * np.where(hidden, min(size.max(initial=0), 1), size))


def coarse(found: Function) -> bool:
    """Return whether a float64 function is one of float32 inside.

    At numbers that float32 cannot hold, its outputs are numbers that it can, or stay the same when
    the inputs are rounded to it.
    """
    rng = np.random.default_rng(1)
    places = found.some(rng)
    kept = found.at(places)
    values = {name: one * (1 + 1e-3 * rng.uniform(-1, 1, one.shape)) for name, one in kept.items()}
    found.put(places, values)
    moved = found.evaluate()
    found.put(places, {name: one.astype(np.float32) for name, one in values.items()})
    rounded = found.evaluate()
    found.put(places, kept)
    telling = np.isfinite(moved) & (moved != found.base)
    if not telling.any():
        return False
    with np.errstate(over="ignore"):
        holds = moved.astype(np.float32) == moved
    return bool(holds[telling].all() or (moved == rounded)[telling].all())


def corners(found: Function) -> Array:
    """Return which outputs stand on a corner: one-sided slopes that differ for any small step."""
    rng = np.random.default_rng(2)
    places = found.some(rng)
    kept = found.at(places)
    moves = {
        name: signs(rng, one.shape, min(found.spread(name) or 1.0, 1.0))
        for name, one in kept.items()
    }
    bends = []
    for step in (1e-5, 1e-6, 1e-7):
        sides = []
        for sign in (1, -1):
            moved = {name: one + sign * step * moves[name] for name, one in kept.items()}
            found.put(places, moved)
            sides.append((found.evaluate() - found.base) / step)
        found.put(places, kept)
        with np.errstate(invalid="ignore"):
            bend, size = np.abs(sides[0] + sides[1]), np.abs(sides[0]) + np.abs(sides[1])
        bends.append(np.where(bend > 1e-3 * size + 40 * found.noise / step, bend, 0.0))
    large, middle, small = bends
    with np.errstate(invalid="ignore"):
        return (small > 0) & (small > 0.5 * middle) & (middle > 0.5 * large)


def signs(rng: np.random.Generator, shape: tuple[int, ...], size: float) -> Array:
    """Return random signs times a number."""
    block = rng.integers(0, 2, min(math.prod(shape), BLOCK), dtype=np.int8) * (2 * size) - size
    return np.resize(block, shape)


def _flat(arrays: list[Array], split: bool = False) -> Array:
    """Return all numbers in a row; complex ones as real and imaginary part where that is asked."""
    rows = []
    for one in arrays:
        if split and one.dtype.kind == "c":
            one = np.stack([one.real, one.imag], axis=-1)
        rows.append(one.ravel())
    return rows[0] if len(rows) == 1 else np.concatenate(rows) if rows else np.empty(0)


def _inexact(array: Array) -> bool:
    return np.issubdtype(array.dtype, np.inexact)


def _eps(array: Array) -> float:
    return float(np.finfo(array.dtype if _inexact(array) else float).eps)
