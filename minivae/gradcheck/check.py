"""Compares a layer's gradients with numeric derivatives, and reports what is wrong with them.

The steps are those of the other modules of this package, in order: subject.py, observe.py,
evidence.py, causes.py, points.py; here they are put together.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from itertools import islice
from typing import Any

import numpy as np

from minivae.gradcheck.case import Case
from minivae.gradcheck.evidence import HELD, Evidence, Probe, duration, share
from minivae.gradcheck.function import LARGE, Function, build, coarse, corners, precision
from minivae.gradcheck.intake import Pair
from minivae.gradcheck.observe import Observation, observe
from minivae.gradcheck.parts import failing_parts
from minivae.gradcheck.points import points, wrong_at
from minivae.gradcheck.report import Entry, GradcheckError, Report
from minivae.gradcheck.subject import Array, Subject
from minivae.gradcheck.threads import one_thread
from minivae.gradcheck.verdict import verdict
from minivae.inputs import typed

FLOAT32 = float(np.finfo(np.float32).eps)
FLOAT64 = float(np.finfo(float).eps)
# The relative error that passes, by what the gradient and the forward are computed in.
TOLERANCES = {"float64": 1e-7, "float32": 3e-4, "float32 throughout": 1e-2}
SLOW = 0.02  # seconds of a forward beyond which a layer is tried at one other point alone


@typed
def check(
    layer: Any,
    *inputs: Any,
    seed: int = 0,
    constants: int | str | Iterable[int | str] | None = None,
    reseed: Callable[..., Any] | None = None,
    rtol: float | None = None,
) -> Report:
    """Compare a layer's gradients with numeric derivatives of its forward.

    Parameters
    ----------
    layer : object
        With ``forward(*inputs)``, or ``__call__``, and ``backward(*output_gradients)``, each
        giving one array, a tuple or a mapping. Its parameters are the mapping or list ``params``,
        with ``grads`` beside it, or attributes such as ``W`` beside ``dW``. Or a pair of functions
        ``forward(*inputs)`` and ``backward(dy, *inputs)``; or a model with ``step(x, eps)``. The
        layer is copied and left as it was.
    *inputs : array_like
        Floating inputs are checked; integers are held constant.
    seed : int
        Of the gradients given to backward, and of the sample of entries in large arrays.
    constants : names or places of inputs, optional
        That have no gradient, such as targets and noise. Left out, the layer's own tuple
        `constants`; or else, of several float inputs, those for which backward returns None.
    reseed : callable, optional
        Called before each forward of a layer that draws noise, with the layer if it takes an
        argument, so that it draws the same noise each time.
    rtol : float, optional
        The relative error that passes, instead of 1e-7 (or what float32 permits).

    Returns
    -------
    Report

    Raises
    ------
    GradcheckError
        If the layer cannot be run at all; the layer's own exception is its cause.
    """
    if isinstance(layer, tuple) and len(layer) == 2 and all(map(callable, layer)):
        layer = Pair(*layer)
    with one_thread():
        subject = Subject(layer, inputs, seed, constants, reseed)
    with nullcontext() if _numbers(subject) > LARGE else one_thread():
        exact = _exact(subject)
        report, seen = _check(exact or subject, seed, rtol)
        if exact is not None and report.passed:
            _compare_single(report, subject, seen)
        if report.passed and rtol is None and subject.copyable:
            report = _elsewhere(report, exact or subject, seen, seed)
        if not report.passed and not report.parts:
            report.parts = failing_parts(subject, _alone, seed)
        return report


def _alone(layer: Any, x: Array, seed: int) -> Report:
    """Return the report of a layer inside another, at the values that it has there."""
    return _check(Subject(layer, (x,), seed), seed, None)[0]


@typed
def check_function(
    value: Callable[[Array], Any], gradient: Callable[[Array], Array], x: Any, seed: int = 0
) -> Report:
    """Compare the gradient of a scalar function with its numeric derivatives at x."""
    return check(_FunctionLayer(value, gradient), x, seed=seed)


@typed
def assert_gradients(
    layer: Any,
    *inputs: Any,
    seed: int = 0,
    constants: int | str | Iterable[int | str] | None = None,
    reseed: Callable[..., Any] | None = None,
    rtol: float | None = None,
) -> None:
    """Raise AssertionError, with the report of `check`, unless every gradient is right."""
    __tracebackhide__ = True  # pytest shows the line that called this
    report = check(layer, *inputs, seed=seed, constants=constants, reseed=reseed, rtol=rtol)
    if not report.passed:
        raise AssertionError(str(report))


class _FunctionLayer:
    """A scalar function and its gradient as a layer."""

    unit_weight = True

    def __init__(self, value: Callable[[Array], Any], gradient: Callable[[Array], Array]) -> None:
        self.value, self.gradient = value, gradient

    def forward(self, x: Array) -> Any:
        self.x = x
        return self.value(x)

    def backward(self, dvalue: float) -> Any:
        found = self.gradient(self.x)
        return None if found is None else np.asarray(found) * dvalue


def _exact(subject: Subject) -> Subject | None:
    """Return a float32 layer as one of float64, at the same values, if it computes in that."""
    if not subject.copyable or precision(subject) <= 1e-10:
        return None
    inputs = [one.astype(float) if one.dtype.kind == "f" else one for one in subject.inputs]
    try:
        exact = subject.at(inputs, dtype=float)
        if any(one.dtype.kind == "f" and one.dtype != float for one in exact.outputs):
            return None
        return None if coarse(build(exact, float)) else exact
    except GradcheckError:
        return None


def _check(subject: Subject, seed: int, rtol: float | None) -> tuple[Report, Observation]:
    seen = observe(subject)
    names = {name: one.shape for name, one in subject.variables().items()}
    if seen.random:
        entries = [
            Entry(name, shape, cause="random", explanation=seen.random, passed=False)
            for name, shape in names.items()
        ]
        return Report(subject.title, entries), seen
    notes: list[str] = []
    judged = {name: one for name, one in seen.gradients.items() if _judged(subject, name, one)}
    if not judged and not seen.mutated:
        raise GradcheckError(
            f"{subject.title} gives no gradient to check: its inputs are constants"
            f" ({', '.join(subject.input_names)}) and it has no params"
        )
    constant = [name for name in names if name not in judged]
    if constant:
        notes.append(f"held constant, not checked: {', '.join(constant)}")
    found = _entries(subject, seen, judged, seed, rtol, notes)
    for name in seen.mutated:
        if name not in judged:
            sentence = seen.mutated[name]
            found.append(Entry(name, (), cause="mutates", explanation=sentence, passed=False))
    return Report(subject.title, found, notes), seen


def _entries(
    subject: Subject,
    seen: Observation,
    judged: dict[str, Any],
    seed: int,
    rtol: float | None,
    notes: list[str],
) -> list[Entry]:
    """Return the verdict on each gradient: beside the corners first, then on them."""
    names = {name: one.shape for name, one in subject.variables().items()}
    real, tolerance = _real_function(subject, notes)
    complex_one, rng = _complex_function(subject), np.random.default_rng(seed)
    probe = Probe(real, complex_one, rtol or tolerance, FLOAT64, rng)
    bent = corners(real) if real.eps < 1e-10 else np.zeros(len(real.base), bool)
    split = bent.any() and not bent.all() and not real.split
    if split:
        notes.append(f"{int(bent.sum())} of {bent.size} outputs are on a corner: judged apart")
    entries: dict[str, Entry] = {}
    weights = real.weights
    for on_corner in (False, True) if split else (False,):
        here, gradients = seen, judged
        if split:
            subject, here = _weighted(subject, weights * (bent == on_corner), seen)
            real.weights = weights * (bent == on_corner)
            gradients = {name: here.gradients[name] for name in judged}
        evidence = _measured(probe, gradients, names, rtol, on_corner)
        for name, one in gradients.items():
            given = _given(one, names[name])
            case = Case(name, given, evidence[name], subject, here, probe, evidence)
            entry = verdict(case)
            if name not in entries or (entries[name].passed and not entry.passed):
                if on_corner and entry.cause in ("unknown", "mask", "partial"):
                    entry.cause = "corner"
                    entry.explanation = (
                        f"on a corner it lies outside both slopes; {entry.explanation}"
                    )
                kinks = entries[name].kinks if name in entries else 0
                entries[name] = entry
                entry.kinks = max(entry.kinks, kinks)
            elif on_corner:
                entries[name].kinks = entry.kinks
                entries[name].checked -= entry.kinks if entries[name].checked > entry.kinks else 0
    return list(entries.values())


def _measured(
    probe: Probe,
    gradients: dict[str, Any],
    names: dict[str, tuple[int, ...]],
    rtol: float | None,
    on_corner: bool,
) -> dict[str, Evidence]:
    real = probe.real
    sizes = {name: int(np.prod(names[name])) for name in gradients}
    total = sum(one.size for one in real.variables.values()) + real.base.size
    entries = share(sizes, total, duration(real) * (4 if on_corner else 1))
    probe.keeps = sum(entries.values()) * real.base.size <= HELD
    evidence = {}
    for name, gradient in gradients.items():
        usable = _usable(gradient, names[name])
        tolerance, eps = probe.tolerance, probe.eps
        if rtol is None and tolerance < TOLERANCES["float32"] and _is_single(gradient):
            tolerance, eps = TOLERANCES["float32"], FLOAT32
        if tolerance == TOLERANCES["float32 throughout"]:
            eps = FLOAT32
        evidence[name] = probe.measure(name, usable, entries[name], tolerance, eps)
    return evidence


def _weighted(subject: Subject, weights: Array, seen: Observation) -> tuple[Subject, Observation]:
    """Return the subject with other weights of its outputs, and the gradients for those."""
    other = copy.copy(subject)
    cuts = np.cumsum([one.size for one in subject.weights])[:-1]
    other.weights = [
        part.reshape(one.shape).astype(one.dtype)
        for part, one in zip(np.split(weights, cuts), subject.weights, strict=True)
    ]
    found = observe(other)
    found.mutated = seen.mutated
    return other, found


def _is_single(gradient: Any) -> bool:
    return gradient is not None and gradient.dtype in (np.float32, np.float16)


def _compare_single(report: Report, subject: Subject, seen: Observation) -> None:
    """Fail gradients that are right in float64 and wrong, or of another dtype, in their own."""
    found = subject.run(subject.fresh(), subject.inputs, subject.weights)
    variables = subject.variables()
    outer = [*variables.values(), *subject.outputs]
    known = [one.dtype for one in outer if one.dtype.kind == "f"]
    known.append(np.result_type(*known))
    for entry in report.entries:
        one, exact = found.get(entry.name), seen.gradients.get(entry.name)
        if one is None or exact is None:
            continue
        if one.dtype not in known:
            wanted = variables[entry.name].dtype
            entry.cause = "dtype"
            entry.explanation = f"the values are right, but {one.dtype} where {wanted} is due"
        elif not np.isfinite(one).all():
            entry.cause = "not-finite"
            entry.explanation = f"right in float64, NaN or infinite in {one.dtype}"
        entry.passed = entry.cause is None


def _elsewhere(report: Report, subject: Subject, seen: Observation, seed: int) -> Report:
    """Return the report of other values at which the gradients are wrong, or the one given."""
    judged = [e.name for e in report.entries if e.method]
    sizes = [np.abs(seen.gradients[name]).max(initial=0.0) for name in judged]
    slow = _numbers(subject) > LARGE
    if not slow:
        begin = time.perf_counter()
        subject.forward(subject.fresh(), [one.copy() for one in subject.inputs])
        slow = time.perf_counter() - begin > SLOW
    for words, point in islice(points(subject), 1 if slow else None):
        try:
            if not wrong_at(point, judged, float(max(sizes, default=0.0))):
                continue
            other, _ = _check(point, seed, None)
        except GradcheckError as error:
            if "backward" not in str(error):
                continue
            other = report
            for entry in other.entries:
                entry.passed, entry.cause, entry.explanation = False, "raises", str(error)
        if other.passed:
            continue
        for entry in other.failures:
            entry.explanation += f" (right at the given values, wrong {words})"
        return other
    return report


def _judged(subject: Subject, name: str, gradient: Any) -> bool:
    """Return whether a gradient is compared: a constant input's and an integer parameter's not."""
    variable = subject.variables()[name]
    if not np.issubdtype(variable.dtype, np.floating) or name in subject.constants:
        return False
    if gradient is not None or name not in subject.input_names:
        return True
    if subject.declared:
        return True
    alone = sum(one.dtype.kind == "f" for one in subject.inputs) == 1
    return alone and name == subject.input_names[0]


def _real_function(subject: Subject, notes: list[str]) -> tuple[Function, float]:
    """Return the function in float64 if the layer permits, and the error that passes."""
    try:
        real = build(subject, None if any(o.dtype.kind == "c" for o in subject.outputs) else float)
        if not coarse(real):
            single = precision(subject) > 1e-10
            return real, TOLERANCES["float32" if single else "float64"]
    except GradcheckError:
        real = build(subject, None)
    real.eps = FLOAT32
    notes.append(
        f"{subject.title} computes in float32 whatever it is given: differences were taken with a"
        f" wide step, and errors up to {TOLERANCES['float32 throughout']:g} pass"
    )
    return real, TOLERANCES["float32 throughout"]


def _numbers(subject: Subject) -> int:
    return sum(one.size for one in (*subject.variables().values(), *subject.outputs))


def _complex_function(subject: Subject) -> Function | None:
    if _numbers(subject) > LARGE:
        return None
    try:
        found = build(subject, complex)
    except Exception:  # a forward that meets complex numbers may raise anything
        return None
    return found


def _given(gradient: Array | None, shape: tuple[int, ...]) -> Array:
    return np.zeros(shape) if gradient is None else gradient


def _usable(gradient: Array | None, shape: tuple[int, ...]) -> Array:
    if gradient is None or gradient.shape != shape:
        return np.zeros(shape)
    return gradient.real if gradient.dtype.kind == "c" else gradient
