"""Runs a layer forward and backward in several orders, and notes what no derivative shows.

That is noise of its own, changed arguments, values of an earlier pass, gradients added to old ones.
Whether the gradients are right is for evidence.py; causes.py puts names to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minivae.gradcheck.intake import takes
from minivae.gradcheck.report import GradcheckError
from minivae.gradcheck.subject import Array, Subject

Gradients = dict[str, Any]
SMALL = 1_000_000  # parameters up to which more copies and more runs are no matter
LARGE = -1000.0  # what the outputs' gradient is multiplied by, to see whether backward is linear


@dataclass
class Observation:
    """The gradients that are judged, and those of other orders of calls.

    Attributes
    ----------
    gradients : dict of str to array or None
        From backward after a forward on these inputs, which followed one on others.
    again : dict
        From a second forward and backward on the same layer.
    third : dict
        From one more, after which there was a fourth.
    unprimed : dict
        From a layer that never saw other inputs.
    scaled : dict
        As `unprimed`, for LARGE times the gradient of the outputs.
    beside : dict
        As `unprimed`, while another copy ran on other inputs between forward and backward.
    resized : dict
        After a pass over a batch of twice the rows; empty if the layer does not take one.
    mutated : dict of str to str
        Name of an array that a call changed, with a sentence.
    random : str
        What shows that forward draws noise of its own; empty if nothing does.
    broken : str
        What fails after other calls, though it runs on a fresh layer; empty if nothing does.
    """

    gradients: Gradients = field(default_factory=dict)
    again: Gradients = field(default_factory=dict)
    third: Gradients = field(default_factory=dict)
    unprimed: Gradients = field(default_factory=dict)
    scaled: Gradients = field(default_factory=dict)
    beside: Gradients = field(default_factory=dict)
    resized: Gradients = field(default_factory=dict)
    mutated: dict[str, str] = field(default_factory=dict)
    random: str = ""
    broken: str = ""


def observe(subject: Subject) -> Observation:
    """Return the layer's gradients, and what its calls do besides."""
    seen = Observation()
    layer = subject.fresh()
    first = _forward(subject, layer, seen)
    second = subject.forward(layer, _copies(subject.inputs))
    for one, other in zip(first, second, strict=True):
        if not same(one, other) and not seen.mutated:
            apart = float(np.abs(one - other).max()) if one.shape == other.shape else np.inf
            seen.random = (
                "forward gives another value for the same input (they differ by up to"
                f" {apart:.2g}): it draws its own noise or keeps state, so it has no derivative to"
                " compare; make the noise an argument, or give reseed="
            )
            return seen
    layer = subject.fresh()
    subject.forward(layer, given := _copies(subject.inputs))
    plain = _backward(subject, layer, given, seen)

    def tried(words: str, call: Callable[[], Gradients]) -> Gradients:
        try:
            return call()
        except GradcheckError as error:
            seen.broken = f"it runs on a fresh layer, but {words} {error}"
            return {}

    primed = _primed(subject)

    def run() -> Gradients:
        return subject.run(primed, subject.inputs, subject.weights)

    seen.gradients = tried("after other inputs", run) or plain
    seen.again = tried("when run again", run)
    small = sum(one.size for one in subject.kept.values()) <= SMALL
    seen.third = tried("when run again", run) if small else seen.again
    if (
        small
        and seen.again
        and all(same(seen.again[name], one) for name, one in seen.third.items())
    ):
        seen.third = tried("when run again", run)
    seen.unprimed = plain
    if small:
        layer = subject.fresh()
        subject.forward(layer, _copies(subject.inputs))
        seen.unprimed = tried("after a second forward", lambda: _run(subject, layer))
    factor = 1.0 if subject.unit and takes(subject.original.backward) == 0 else LARGE
    scaled = [np.asarray(factor * w, w.dtype) for w in subject.weights]
    seen.scaled = tried(
        "for larger gradients of the output",
        lambda: subject.run(subject.fresh(), subject.inputs, scaled),
    )
    if factor == 1.0:
        seen.scaled = {k: one if one is None else LARGE * one for k, one in seen.scaled.items()}
    if small:
        seen.beside = tried("while another object is in use", lambda: _beside(subject))
    seen.resized = tried("after a larger batch", lambda: _resized(subject))
    return seen


def _run(subject: Subject, layer: Any) -> Gradients:
    return subject.run(layer, subject.inputs, subject.weights)


def same(one: Any, other: Any) -> bool:
    """Return whether two results are equal up to the rounding of a changed order of sums."""
    if one is None or other is None:
        return one is other
    if one.shape != other.shape:
        return False
    if one.dtype == other.dtype and np.array_equal(one, other):
        return True
    inexact = np.issubdtype(one.dtype, np.inexact)
    room = 1e4 * np.finfo(one.dtype).eps if inexact else 0.0
    finite = np.abs(one[np.isfinite(one)])
    with np.errstate(invalid="ignore"):
        near = np.abs(one - other) <= room * finite.max(initial=0.0)
    return bool(np.all(near | (one == other) | (np.isnan(one) & np.isnan(other))))


def others(subject: Subject) -> list[Array]:
    """Return other inputs of the same shapes: the same values shuffled, so in the same domain."""
    rng = np.random.default_rng(0)
    return [rng.permutation(one.ravel()).reshape(one.shape) for one in subject.inputs]


def _primed(subject: Subject) -> Any:
    """Return a layer whose forward has seen other inputs, and backward another gradient."""
    layer = subject.fresh()
    try:
        subject.forward(layer, others(subject))
    except GradcheckError:  # shuffled inputs need not be valid ones
        return subject.fresh()
    return layer


def _beside(subject: Subject) -> Gradients:
    """Return the gradients while another copy of the layer is used in between."""
    if not subject.copyable:
        return {}
    layer, other = subject.fresh(), subject.fresh()
    try:
        subject.forward(layer, _copies(subject.inputs))
        subject.forward(other, others(subject))
    except GradcheckError:
        return {}
    return subject.backward(layer, _copies(subject.weights))


def _resized(subject: Subject) -> Gradients:
    """Return the gradients after a pass over twice the rows; none if the layer cannot do that."""
    layer = subject.fresh()
    if any(one.ndim == 0 for one in (*subject.inputs, *subject.weights)):
        weights = _copies(subject.weights)
    else:
        weights = [np.concatenate([one, one]) for one in subject.weights]
    try:
        subject.forward(layer, [np.concatenate([one, one]) for one in others(subject)])
        subject.backward(layer, weights)
    except (GradcheckError, ValueError):
        return {}
    return subject.run(layer, subject.inputs, subject.weights)


def _forward(subject: Subject, layer: Any, seen: Observation) -> list[Array]:
    given = _copies(subject.inputs)
    parameters = {name: one.copy() for name, one in subject.parameters(layer).items()}
    outputs = subject.forward(layer, given)
    _note_changes(subject, layer, "forward", given, parameters, seen)
    return outputs


def _backward(subject: Subject, layer: Any, given: list[Array], seen: Observation) -> Gradients:
    weights = _copies(subject.weights)
    parameters = {name: one.copy() for name, one in subject.parameters(layer).items()}
    before = _copies(given)
    outputs = [(one, np.array(one)) for one in subject.given]
    gradients = subject.backward(layer, weights)
    for position, (one, kept) in enumerate(outputs):
        if not np.array_equal(one, kept, equal_nan=_inexact(kept)):
            name = "output" + (f" {position}" if len(outputs) > 1 else "")
            seen.mutated[name] = "backward changes the output that forward gave, in place"
    for position, (one, kept) in enumerate(zip(weights, subject.weights, strict=True)):
        if not np.array_equal(one, kept, equal_nan=True):
            name = "output gradient" + (f" {position}" if len(weights) > 1 else "")
            seen.mutated[name] = "backward changes the output's gradient it is given, in place"
    _note_changes(subject, layer, "backward", given, parameters, seen, before)
    return gradients


def _note_changes(
    subject: Subject,
    layer: Any,
    method: str,
    given: list[Array],
    parameters: dict[str, Array],
    seen: Observation,
    before: list[Array] | None = None,
) -> None:
    wanted = subject.inputs if before is None else before
    for name, one, kept in zip(subject.input_names, given, wanted, strict=True):
        if not np.array_equal(one, kept, equal_nan=_inexact(one)):
            seen.mutated.setdefault(name, f"{method} changes the input it is given, in place")
    for name, one in subject.parameters(layer).items():
        kept = parameters[name]
        if not np.array_equal(one, kept, equal_nan=_inexact(one)):
            key = subject.parameter_name(name)
            seen.mutated.setdefault(key, f"{method} changes the parameter itself")


def _inexact(array: Array) -> bool:
    return np.issubdtype(array.dtype, np.inexact)


def _copies(arrays: list[Array]) -> list[Array]:
    return [one.copy() for one in arrays]
