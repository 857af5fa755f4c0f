"""Jacobians as arrays, numeric and analytic, and what a wrong one shows by its structure.

The analytic one comes from backward, one output after another; how its columns, rows and blocks
differ from the numeric one's tells where in the backward pass the mistake lies. Sums of right terms
are explained in paths.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from minivae.gradcheck.case import Case
from minivae.gradcheck.residual import lost_factor, lost_term, two_factors
from minivae.gradcheck.subject import Array, Subject

Named = tuple[str, str]
OUTPUTS = 300  # at most, for each of which backward is run once
CLOSE = 1e-5  # of the largest number: closer are equal


def analytic_rows(subject: Subject, name: str, indices: Array) -> Array | None:
    """Return (entries, outputs): what backward gives those entries for each output alone."""
    sizes = [one.size for one in subject.weights]
    if subject.unit or sum(sizes) > OUTPUTS or any(w.dtype.kind == "c" for w in subject.weights):
        return None
    layer, columns = subject.fresh(), []
    for position, size in enumerate(sizes):
        for place in range(size):
            weights = [np.zeros_like(one) for one in subject.weights]
            weights[position].ravel()[place] = 1
            weights[position] = weights[position].reshape(subject.weights[position].shape)
            found = subject.run(layer, subject.inputs, weights)[name]
            if found is None or found.shape != subject.variables()[name].shape:
                return None
            columns.append(found.ravel()[indices])
    return np.array(columns).T


def structure(case: Case) -> Named | None:
    """Return what the two Jacobians show together."""
    numeric = case.evidence.changes
    analytic = _analytic(case)
    if numeric is None or analytic is None:
        return None
    both = _Both(case, analytic, numeric)
    for pattern in (_permuted, _turned, _ends, _local, _pairs, _narrow):
        if found := pattern(both):
            return found
    return None


def per_output(case: Case) -> Named | None:
    """Explain the gradient of an array of which each output knows one entry: output by output."""
    numeric, analytic = case.evidence.changes, _analytic(case)
    if numeric is None or analytic is None or len(case.subject.outputs) > 1:
        return None
    if not case.evidence.whole or numeric.shape[1] <= numeric.shape[0]:
        return None
    there = np.array([np.abs(one) > 1e-12 * np.abs(one).max() for one in (numeric, analytic)])
    if there.any(axis=0).sum(axis=0).max() > 1:
        return None
    view = _Outputs(case, numeric.sum(axis=0), analytic.sum(axis=0))
    for pattern in (two_factors, lost_factor, lost_term):
        if found := pattern(view):
            return found[0], f"in what each output adds to it {found[1]}"
    return None


class _Outputs(Case):
    """A case whose entries are those of the output: the slope of each by the array."""

    def __init__(self, case: Case, numeric: Array, analytic: Array) -> None:
        shape = case.subject.outputs[0].shape
        self.name, self.subject = case.name, case.subject
        self.evidence = replace(case.evidence, shape=shape)
        self.at = np.arange(len(numeric))
        self.numeric, self.analytic = numeric, analytic


def _analytic(case: Case) -> Array | None:
    """Return the Jacobian that backward gives, if it is linear and tells something."""
    outputs = sum(one.size for one in case.subject.outputs)
    if not len(case.at) or outputs < 2 or case.evidence.kinks.any():
        return None
    if "analytic" not in case.kept:
        found = analytic_rows(case.subject, case.name, case.evidence.indices)
        if found is not None and not np.isfinite(found).all():
            found = None
        if found is not None and not case.matches(found @ case.probe.real.weights):
            found = None  # not linear: no matrix describes it
        case.kept["analytic"] = found
    return case.kept["analytic"]


class _Both:
    """The two Jacobians with small numbers set to zero."""

    def __init__(self, case: Case, analytic: Array, numeric: Array) -> None:
        self.case = case
        self.size = max(np.abs(numeric).max(), np.abs(analytic).max(), 1e-300)
        self.a, self.n = (
            np.where(np.abs(one) <= CLOSE * self.size, 0.0, one) for one in (analytic, numeric)
        )
        self.inner, self.outputs = case.evidence.shape, case.subject.outputs

    def equal(self, one: Array, other: Array) -> bool:
        return bool(np.abs(one - other).max(initial=0.0) <= 3 * CLOSE * self.size)

    @property
    def diagonal(self) -> bool:
        """Whether each entry has one output of its own."""
        for there in (self.a != 0, self.n != 0):
            if (there.sum(axis=0) > 1).any() or (there.sum(axis=1) > 1).any():
                return False
        return bool(
            ((self.a != 0) <= (self.n != 0)).all() or ((self.n != 0) <= (self.a != 0)).all()
        )

    def axes(self) -> Iterator[tuple[int, int, Array]]:
        """Yield axis of the array, axis of the output, and which pairs are at one place of both."""
        if not self.case.evidence.whole or len(self.outputs) != 1:
            return
        shape = self.outputs[0].shape
        ours = np.unravel_index(np.arange(self.n.shape[0]), self.inner) if self.inner else ()
        theirs = np.unravel_index(np.arange(self.n.shape[1]), shape) if shape else ()
        for i, one in enumerate(ours):
            for k, other in enumerate(theirs):
                if self.inner[i] == shape[k] > 1:
                    yield i, k, one[:, None] == other[None, :]


def _permuted(both: _Both) -> Named | None:
    """Find rows or columns that are right, but in other places."""
    for turned, what in (
        (False, "the output's gradient is read"),
        (True, "its entries are written"),
    ):
        a, n = (both.a.T, both.n.T) if turned else (both.a, both.n)
        apart = (
            np.abs(a[:, :, None] - n[:, None, :]).max(axis=0) if a.size * n.shape[1] < 4e6 else None
        )
        if apart is None:
            continue
        same = apart <= 3 * CLOSE * both.size  # column of a, column of n
        filled = np.abs(a).max(axis=0) > 0
        distinct = len(np.unique(np.round(n / both.size, 4), axis=1).T)
        moved = filled & ~np.diag(same)
        if distinct < 3 or not moved.any() or not same[filled].any(axis=1).all():
            continue
        source = same[filled].argmax(axis=1)
        if len(np.unique(source)) < len(source) or (source != np.flatnonzero(filled)).sum() < 2:
            continue
        some = "in another order" if filled.all() else "in other places, and some not at all"
        return "swapped", f"{what} {some}: an index or a reshape is wrong"
    return None


def _turned(both: _Both) -> Named | None:
    if not both.case.evidence.whole or both.a.shape[0] != both.a.shape[1]:
        return None
    said = "a product lacks a transpose, or a factor stands on its wrong side"
    if both.equal(both.a, both.n.T):
        return "transpose", f"the Jacobian is transposed: {said}"
    if len(both.outputs) == 1 and both.outputs[0].shape == both.inner:
        blocks = both.n.reshape(*both.inner, *both.inner)
        for axis in range(len(both.inner)):
            turned = blocks.swapaxes(axis, len(both.inner) + axis).reshape(both.n.shape)
            if not both.equal(turned, both.n) and both.equal(both.a, turned):
                return (
                    "transpose",
                    f"the Jacobian is transposed along axis {axis}: {said}, or a sum runs the wrong"
                    " way",
                )
    return None


def _ends(both: _Both) -> Named | None:
    """Find one wrong factor for each output, or for each entry."""
    if both.diagonal:
        return (
            "slope",
            "each entry has one output of its own and no other, and its slope there is wrong: the"
            " formula of the derivative itself",
        )
    for axis, what in (
        (0, "each output's gradient is off by a factor of its own: the slope of the last step"),
        (1, "each entry is off by a factor of its own: the slope of the first step"),
    ):
        top, bottom = (both.a * both.n).sum(axis=axis), (both.n**2).sum(axis=axis)
        factor = np.divide(top, bottom, out=np.ones_like(top), where=bottom > 0)
        scaled = both.n * (factor[None, :] if axis == 0 else factor[:, None])
        off = (bottom > 0) & (np.abs(factor - 1) > 1e-4)
        many = ((both.n != 0).sum(axis=axis) > 1)[off]
        if many.sum() < 2 or 2 * many.sum() < len(many) or not both.equal(both.a, scaled):
            continue
        if axis == 0 and np.abs(factor[off]).max() < 1e-4:
            count = f"{len(many)} of {int((bottom > 0).sum())} outputs"
            return "missing-term", f"what flows back from {count} is absent; the rest is right"
        if np.abs(factor[off]).min() > 1e-4 and np.ptp(factor[bottom > 0]) > 1e-4:
            return "factor", f"{what} is wrong or missing"
    return None


def _local(both: _Both) -> Named | None:
    """Find axes along which forward keeps places apart and backward does not, or the reverse."""
    for ours, _, here in both.axes():
        forward, backward = not both.n[~here].any(), not both.a[~here].any()
        if forward and not backward:
            return (
                "mixed",
                f"places along axis {ours} do not depend on each other in forward, but in backward"
                " they do: a sum over the wrong axis, or a wrong index",
            )
        if backward and not forward and both.a.any():
            right = both.equal(np.where(here, both.a, 0), np.where(here, both.n, 0))
            said = (
                f"places along axis {ours} depend on each other through a sum, a mean or a state in"
                " forward, in backward they do not: "
            )
            if right:
                return "missing-term", f"{said}that path is absent; the rest is right"
            return "mixed", f"{said}a sum or a product runs along the wrong axis, or is absent"
    return None


def _pairs(both: _Both) -> Named | None:
    """Find paths from outputs to entries that are absent, or lead where there are none."""
    apart = np.abs(both.a - both.n) > 3 * CLOSE * both.size
    absent, extra = apart & (both.a == 0), apart & (both.n == 0)
    if not apart.any() or (apart & ~absent & ~extra).any():
        return None
    if not extra.any():
        count = f"{int(absent.sum())} of {int((both.n != 0).sum())}"
        return (
            "missing-term",
            f"{count} paths from an output to an entry are absent; the rest is right",
        )
    if not absent.any():
        return (
            "mask",
            f"{int(extra.sum())} paths lead from outputs to entries that they do not depend on",
        )
    if (absent.any(axis=0) & extra.any(axis=0)).any():
        return "swapped", "paths from outputs lead to the wrong entries: an index is wrong"
    count = f"{int(absent.sum())} of {int((both.n != 0).sum())}"
    return (
        "mask",
        f"{count} paths from an output to an entry are absent, and {int(extra.sum())} lead where"
        " there are none: a mask is inverted, or another one",
    )


def _narrow(both: _Both) -> Named | None:
    """Find an error that passes through one number: a norm, a mean, a determinant."""
    wrong = both.n - both.a
    said = "the path through one number{}, such as a sum, a mean or a norm, is wrong or absent"
    if min(wrong.shape) >= 3 and _rank(wrong, both.size) == 1 and _rank(both.n, both.size) > 2:
        return "missing-term", said.format("")
    for ours, _, here in both.axes():
        if np.where(here, 0, wrong).any() or both.inner[ours] < 2:
            continue
        places = np.unravel_index(np.arange(wrong.shape[0]), both.inner)[ours]
        ranks, full = [], []
        for place in range(both.inner[ours]):
            rows = places == place
            block = wrong[rows][:, here[rows].any(axis=0)]
            ranks.append(_rank(block, both.size))
            full.append(min(block.shape))
        if max(ranks) == 1 and min(full) >= 3:
            return "missing-term", said.format(f" for each place of axis {ours}")
    return None


def _rank(matrix: Array, size: float) -> int:
    return int((np.linalg.svd(matrix, compute_uv=False) > 10 * CLOSE * size).sum())
