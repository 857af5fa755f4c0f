"""The outputs of a layer as one flat vector of named arrays, in float64 or complex numbers.

How it is differentiated is for numeric.py; what layer and inputs are is known by subject.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minivae.gradcheck.report import GradcheckError
from minivae.gradcheck.subject import Array, Subject

STEP = 1e-8  # relative to the values; a corner within so little is rare
POINTS = 6


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
    spreads: dict[str, float] = field(default_factory=dict)

    def evaluate(self) -> Array:
        """Return the outputs, flat, at the variables' present values."""
        with np.errstate(all="ignore"):  # a step may leave the function's domain
            outputs = self.subject.forward(self.layer, [one.copy() for one in self.inputs])
        return outputs[0].ravel() if len(outputs) == 1 else _flat(outputs)

    def spread(self, name: str) -> float:
        """Return the typical size of a variable's unperturbed entries."""
        if name not in self.spreads:
            squares = np.abs(self.variables[name]) ** 2
            self.spreads[name] = float(np.sqrt(np.mean(squares)))
        return self.spreads[name]

    def parts(self, change: Array) -> Array:
        """Return the weighted sum of a change of the outputs, for each output of the layer."""
        if len(self.starts) == 1:
            return np.array([self.weights @ change])
        return np.add.reduceat(self.weights * change, self.starts)


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
    starts = [0, *np.cumsum([one.size for one in subject.outputs])[:-1].tolist()]
    weights = _flat(subject.weights).astype(float)
    result = Function(subject, layer, inputs, variables, weights, starts, 0.0, *[np.empty(0)] * 2)
    result.base = result.evaluate()
    result.eps = _eps(result.base)
    plain = _flat(subject.outputs)
    if dtype is not None and result.base.dtype != dtype:
        raise GradcheckError(f"{subject.title} does not compute in {np.dtype(dtype).name}")
    close = 1e6 * precision(subject) * (np.abs(plain).max() + 1e-300)
    if result.base.shape != plain.shape or not np.abs(result.base - plain).max() <= close:
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
    kept = {name: one.copy() for name, one in found.variables.items() if _inexact(one)}
    moves = {
        name: np.maximum(np.abs(one), 1e-3 * found.spread(name))
        * rng.choice([-STEP, STEP], one.shape)
        for name, one in kept.items()
    }
    values = []
    for factor in range(-POINTS, POINTS + 1):
        for name, move in moves.items():
            found.variables[name][...] = kept[name] + factor * move
        values.append(found.evaluate())
    for name, one in kept.items():
        found.variables[name][...] = one
    differences = np.diff(values, n=4, axis=0)
    seen = np.sqrt(np.mean(differences**2, axis=0) / 70)  # 70 = 1 + 16 + 36 + 16 + 1
    seen = np.where(np.isfinite(seen), seen, 0.0)
    found.noise = np.maximum(seen, found.eps * np.abs(found.base))


def coarse(found: Function) -> bool:
    """Return whether a float64 function is one of float32 inside: its noise says so."""
    return bool(np.linalg.norm(found.noise) > 1e-10 * np.linalg.norm(found.base))


def _flat(arrays: list[Array]) -> Array:
    return np.concatenate([one.ravel() for one in arrays])


def _inexact(array: Array) -> bool:
    return np.issubdtype(array.dtype, np.inexact)


def _eps(array: Array) -> float:
    return float(np.finfo(array.dtype if _inexact(array) else float).eps)
