"""Explains a wrong gradient by the Jacobian: which outputs count, and with which weights.

The true gradient of an entry is the sum over the outputs of its Jacobian's row times the output's
gradient dy. A wrong one is often another sum of the same terms: some are missing, or dy is turned,
or the Jacobian is. Terms that are no part of the Jacobian are for residual.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from minivae.gradcheck.case import Case
from minivae.gradcheck.factors import describe
from minivae.gradcheck.subject import Array

Named = tuple[str, str]


def absent_outputs(case: Case) -> Named | None:
    """Return what is missing if only some rows, steps or channels of the output count."""
    terms = _terms(case)
    if terms is None:
        return None
    for words, places, groups in _groupings(case):
        pieces = np.stack([terms[:, groups == k].sum(axis=1) for k in range(len(places))], axis=1)
        if found := _counted(case, words, places, pieces):
            return found
    return None


def wrong_weights(case: Case) -> Named | None:
    """Return how dy, or the Jacobian, is turned if that gives the gradient."""
    terms, jacobian = _terms(case), _jacobian(case)
    if terms is None or jacobian is None or len(case.at) < 3:
        return None
    dy = case.probe.real.weights
    for word, sentence, values in _turned(case, jacobian, terms, dy):
        different = len(np.unique(np.round(np.abs(values), 9)))
        if different > 2 and case.matches(values):
            return word, sentence
    return None


def _jacobian(case: Case) -> Array | None:
    changes = case.evidence.changes
    return None if changes is None else changes[~case.evidence.kinks]


def _terms(case: Case) -> Array | None:
    """Return (entries, outputs): what each output adds to each entry."""
    jacobian = _jacobian(case)
    if jacobian is None or not jacobian.size or len(case.at) < 2:
        return None
    terms = jacobian * case.probe.real.weights
    quiet = np.abs(terms) <= 1e-9 * np.abs(terms).max(axis=1, keepdims=True, initial=0.0)
    return np.where(quiet, 0.0, terms)


def _groupings(case: Case) -> Iterator[tuple[str, list[str], Array]]:
    """Yield words, the names of groups of outputs, and the group of each output."""
    outputs = case.subject.outputs
    if any(one.dtype.kind == "c" for one in outputs):
        return
    sizes = [one.size for one in outputs]
    if len(outputs) > 1:
        yield (
            "output",
            [f"output {k}" for k in range(len(sizes))],
            np.repeat(range(len(sizes)), sizes),
        )
    if len({one.shape for one in outputs}) > 1:
        return
    shape = outputs[0].shape
    for axis, length in enumerate(shape):
        if length > 1:
            along = np.broadcast_to(
                np.arange(length).reshape([-1 if k == axis else 1 for k in range(len(shape))]),
                shape,
            )
            names = [f"place {k}" for k in range(length)]
            yield f"axis {axis} of the output", names, np.tile(along.ravel(), len(outputs))


def _counted(case: Case, words: str, places: list[str], pieces: Array) -> Named | None:
    present = np.abs(pieces).max(axis=0, initial=0.0) > 1e-9 * np.abs(pieces).max(initial=1e-300)
    if present.sum() < 2:
        return None
    pieces = pieces[:, present]
    names = [name for name, there in zip(places, present, strict=True) if there]
    shares = _shares(case, pieces)
    if shares is None or np.abs(shares - 1).max() < 1e-5:
        return None
    gone = [name for name, part in zip(names, shares, strict=True) if abs(part) < 1e-5]
    others = shares[np.abs(shares) >= 1e-5]
    kind = words if words != "output" else "outputs"
    if gone and np.abs(others - 1).max(initial=0.0) < 1e-5:
        left = [name for name in names if name not in gone]
        if len(left) < len(gone):
            return (
                "missing-term",
                f"only {_listed(left)} of {kind} counts: the rest of the sum is absent",
            )
        return "missing-term", f"what flows back from {_listed(gone)} of {kind} is absent"
    changed = [
        f"what flows back from {name} is {describe(part, 1e-5)}"
        for name, part in zip(names, shares, strict=True)
        if abs(part - 1) > 1e-5 and abs(part) >= 1e-5
    ]
    few = len(changed) <= max(2, len(names) // 2)
    if not few or len(np.unique(np.round(shares, 5))) > 3:
        return None
    word = "sign" if np.abs(np.abs(shares) - 1).max() <= 1e-5 else "scale"
    return word, f"along {kind}: {'; '.join(changed[:4])}"


def _shares(case: Case, pieces: Array) -> Array | None:
    """Return how often each piece is in the gradient; None if it is no such sum."""
    size = np.abs(case.analytic).max(initial=0.0) + np.abs(pieces).max(initial=0.0)
    telling = (np.abs(pieces).sum(axis=1) > 0).sum()
    if not np.isfinite(size) or not size:
        return None
    if telling >= pieces.shape[1] + 2:
        shares, _, rank, _ = np.linalg.lstsq(pieces, case.analytic, rcond=1e-9)
        fits = np.abs(pieces @ shares - case.analytic).max() <= 1e-6 * size
        return shares if rank == pieces.shape[1] and fits else None
    return None


def _turned(
    case: Case, jacobian: Array, terms: Array, dy: Array
) -> Iterator[tuple[str, str, Array]]:
    outputs = case.subject.outputs
    yield "chain", "1 stands for the output's gradient", jacobian.sum(axis=1)
    yield "chain", "the size of the output's gradient stands for it", jacobian @ np.abs(dy)
    yield "chain", "the output's gradient is squared", jacobian @ dy**2
    if len(outputs) == 1:
        shape = outputs[0].shape
        full = dy.reshape(shape)
        axes = [axis for axis, length in enumerate(shape) if length > 1]
        for count in range(1, len(axes) + 1):
            for chosen in combinations(axes, count):
                yield (
                    "flip",
                    f"the output's gradient is read in reverse along {_listed(chosen, 'axis')}",
                    jacobian @ np.flip(full, chosen).ravel(),
                )
        for axis in axes:
            for step in range(1, min(shape[axis], 5)):
                for way in (step, -step):
                    yield (
                        "shift",
                        f"the output's gradient is read {way} places off along axis {axis}",
                        jacobian @ np.roll(full, way, axis=axis).ravel(),
                    )
            mean = np.broadcast_to(full.mean(axis=axis, keepdims=True), shape)
            total = mean * shape[axis]
            for words, values in (("mean", mean), ("sum", total)):
                yield (
                    "missing-term",
                    f"the {words} of the output's gradient along axis {axis} stands for it",
                    jacobian @ values.ravel(),
                )
            if shape[axis] > 1:
                first = np.broadcast_to(np.take(full, [0], axis=axis), shape)
                yield (
                    "partial",
                    f"the output's gradient at the first place of axis {axis} stands for all",
                    jacobian @ first.ravel(),
                )
        for one, other in combinations(axes, 2):
            if shape[one] == shape[other]:
                yield (
                    "transpose",
                    f"the axes {one} and {other} of the output's gradient are exchanged, or a sum"
                    " runs over the wrong one",
                    jacobian @ full.swapaxes(one, other).ravel(),
                )
        if shape == case.evidence.shape and len(terms) == terms.shape[1]:
            yield (
                "missing-term",
                "only the output at an entry's own place counts: the others' paths are absent",
                np.diag(terms),
            )
        for words, group in (("", None), *((f" along axis {axis}", axis) for axis in axes)):
            parts = terms.reshape(len(terms), *shape)
            if group is not None:
                parts = parts.sum(axis=group + 1)
            yield from _one_of(parts.reshape(len(terms), -1), words)
    if len(outputs) == 1 and len(dy) == len(case.at) == case.gradient.size:
        yield (
            "slope",
            "the output's gradient is passed on as it is: the layer's own derivative is missing",
            dy,
        )
        yield "missing-term", "the path around is absent", terms.sum(axis=1) - dy
        yield "missing-term", "the path around is added twice", terms.sum(axis=1) + dy


def _one_of(parts: Array, words: str) -> Iterator[tuple[str, str, Array]]:
    """Yield the sums of which each has only one term: the last written, or the first."""
    there = parts != 0
    if there.sum(axis=1).max(initial=0) < 2:
        return
    rows = np.arange(len(parts))
    last = parts.shape[1] - 1 - there[:, ::-1].argmax(axis=1)
    said = "of the terms that meet in one entry only the {} counts: it is overwritten, not added to"
    yield "missing-term", said.format("last") + words, parts[rows, last]
    yield "missing-term", said.format("first") + words, parts[rows, there.argmax(axis=1)]
    largest = np.abs(parts).argmax(axis=1)
    only = f"of the terms that meet in one entry only the largest counts{words}"
    yield "missing-term", only, parts[rows, largest]
    count = np.maximum(there.sum(axis=1), 1)
    yield (
        "scale",
        "the terms that meet in one entry are averaged, not summed",
        parts.sum(axis=1) / count,
    )


def _listed(names: list[str] | tuple[int, ...], kind: str = "") -> str:
    shown = [f"{kind} {one}".strip() for one in names]
    if len(shown) > 5:
        return f"{', '.join(shown[:4])}, ... ({len(shown)} in all)"
    return " and ".join(shown)
