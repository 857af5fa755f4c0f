"""Compares a layer's gradients with numeric derivatives, and reports what is wrong with them.

The steps are those of the other modules of this package, in order: subject.py, observe.py,
evidence.py, causes.py; here they are put together.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from minivae.gradcheck.case import Case
from minivae.gradcheck.evidence import Probe, share
from minivae.gradcheck.function import Function, build, coarse, precision
from minivae.gradcheck.observe import observe
from minivae.gradcheck.parts import failing_parts
from minivae.gradcheck.report import Entry, GradcheckError, Report
from minivae.gradcheck.subject import Array, Subject
from minivae.gradcheck.threads import one_thread
from minivae.gradcheck.verdict import verdict

FLOAT32 = float(np.finfo(np.float32).eps)
# The relative error that passes, by what the gradient and the forward are computed in.
TOLERANCES = {"float64": 1e-7, "float32": 3e-4, "float32 throughout": 1e-2}


def check(layer: Any, *inputs: Any, seed: int = 0) -> Report:
    """Compare a layer's gradients with numeric derivatives of its forward.

    Parameters
    ----------
    layer : object
        With ``forward(*inputs)`` and ``backward(*output_gradients)``, each giving one array or a
        tuple, and, if it has parameters, mappings ``params`` and ``grads`` of equal names. Or a
        model with ``step(x, eps)``. The layer is copied and left as it was.
    *inputs : array_like
        Floating inputs are checked; integers are held constant, as are those for which backward
        returns None.
    seed : int
        Of the gradients given to backward, and of the sample of entries in large arrays.

    Returns
    -------
    Report

    Raises
    ------
    GradcheckError
        If the layer cannot be run at all; the layer's own exception is its cause.
    """
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        return _check(Subject(layer, inputs, seed), seed)


def check_function(
    value: Callable[[Array], Any], gradient: Callable[[Array], Array], x: Any, seed: int = 0
) -> Report:
    """Compare the gradient of a scalar function with its numeric derivatives at x."""
    return check(_FunctionLayer(value, gradient), x, seed=seed)


def assert_gradients(layer: Any, *inputs: Any, seed: int = 0) -> None:
    """Raise AssertionError, with the report, unless every gradient of the layer is right."""
    __tracebackhide__ = True  # pytest shows the line that called this
    report = check(layer, *inputs, seed=seed)
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


def _check(subject: Subject, seed: int) -> Report:
    seen = observe(subject)
    names = {name: one.shape for name, one in subject.variables().items()}
    if seen.random:
        entries = [
            Entry(name, shape, cause="random", explanation=seen.random, passed=False)
            for name, shape in names.items()
        ]
        return Report(subject.title, entries)
    notes = []
    real, tolerance = _real_function(subject, notes)
    judged = {name: one for name, one in seen.gradients.items() if _judged(subject, name, one)}
    if not judged:
        raise GradcheckError(
            f"{subject.title} gives no gradient to check: its inputs are constants"
            f" ({', '.join(subject.input_names)}) and it has no params"
        )
    constant = [name for name in names if name not in judged]
    if constant:
        notes.append(f"held constant, not checked: {', '.join(constant)}")
    eps = FLOAT32 if tolerance > TOLERANCES["float64"] else float(np.finfo(float).eps)
    probe = Probe(real, _complex_function(subject), tolerance, eps, np.random.default_rng(seed))
    sizes = {name: int(np.prod(names[name])) for name in judged}
    entries = share(sizes, sum(one.size for one in real.variables.values()) + real.base.size)
    evidence = {
        name: probe.measure(name, _usable(gradient, names[name]), entries[name])
        for name, gradient in judged.items()
    }
    found = [
        verdict(
            Case(name, _given(one, names[name]), evidence[name], subject, seen, probe, evidence)
        )
        for name, one in judged.items()
    ]
    for name in seen.mutated:
        if name not in judged:
            sentence = seen.mutated[name]
            found.append(Entry(name, (), cause="mutates", explanation=sentence, passed=False))
    report = Report(subject.title, found, notes)
    if not report.passed:
        report.parts = failing_parts(subject, check, seed)
    return report


def _judged(subject: Subject, name: str, gradient: Any) -> bool:
    """Return whether a gradient is compared: a constant input's and an integer parameter's not."""
    variable = subject.variables()[name]
    if not np.issubdtype(variable.dtype, np.floating):
        return False
    return gradient is not None or name not in subject.input_names


def _real_function(subject: Subject, notes: list[str]) -> tuple[Function, float]:
    """Return the function in float64 if the layer permits, and the error that passes."""
    single = precision(subject) > 1e-10
    try:
        real = build(subject, float)
        if not coarse(real):
            return real, TOLERANCES["float32" if single else "float64"]
    except GradcheckError:
        real = build(subject, None)
    real.eps = FLOAT32
    notes.append(
        f"{subject.title} computes in float32 whatever it is given: differences were taken with a"
        f" wide step, and errors up to {TOLERANCES['float32 throughout']:g} pass"
    )
    return real, TOLERANCES["float32 throughout"]


def _complex_function(subject: Subject) -> Function | None:
    try:
        found = build(subject, complex)
    except Exception:  # a forward that meets complex numbers may raise anything
        return None
    return found


def _given(gradient: Array | None, shape: tuple[int, ...]) -> Array:
    return np.zeros(shape) if gradient is None else gradient


def _usable(gradient: Array | None, shape: tuple[int, ...]) -> Array:
    usable = gradient is not None and gradient.shape == shape
    return gradient if usable else np.zeros(shape)
