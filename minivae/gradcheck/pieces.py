"""Splits a derivative into the paths it flows along, and finds the path that a gradient lacks.

For a layer of several outputs those are the outputs; for a VAE the two terms of the loss, each
through mu and through the log variance.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.gradcheck.case import Case
from minivae.gradcheck.clone import clone
from minivae.gradcheck.factors import describe
from minivae.gradcheck.function import build
from minivae.gradcheck.numeric import differences
from minivae.gradcheck.report import GradcheckError
from minivae.gradcheck.subject import Array, Subject

ENTRIES = 48
TERMS = ("the path through z (the reconstruction's gradient)", "the KL's own gradient")
PATHS = (
    "the reconstruction's path through mu",
    "the reconstruction's path through the log variance",
    "the KL's own gradient to mu",
    "the KL's own gradient to the log variance",
)


class _Terms:
    """The two terms of a VAE's loss as two outputs, as the model itself computes them."""

    unit_weight = True

    def __init__(self, vae: Any) -> None:
        self.vae = vae

    @property
    def params(self) -> Any:
        return self.vae.params

    def forward(self, x: Array, eps: Array) -> tuple[Any, ...]:
        terms = self.vae.step(x, eps)
        return terms.nll, terms.loss - terms.nll

    def backward(self, *weights: Any) -> None:
        """Stand in for what every layer has; the terms are only differentiated numerically."""


class _Paths(_Terms):
    """The terms again, each through mu alone and through the log variance alone.

    What is not the path's own stays at its first value, in a frozen copy of the model.
    """

    def __init__(self, vae: Any, x: Array, eps: Array) -> None:
        self.vae, self.frozen = vae, clone(vae)
        self.mu, self.logvar = (one.copy() for one in vae.encode(x))

    def forward(self, x: Array, eps: Array) -> tuple[Any, ...]:
        mu, logvar = (one.copy() for one in self.vae.encode(x))
        beta = self.vae.beta
        return (
            _nll(self.vae, mu, self.logvar, x, eps),
            _nll(self.frozen, self.mu, logvar, x, eps),
            beta * _kl(mu, self.logvar),
            beta * _kl(self.mu, logvar),
        )


def _nll(vae: Any, mu: Array, logvar: Array, x: Array, eps: Array) -> Any:
    logits = vae.decoder.forward(vae.posterior.draw(np.hstack([mu, logvar]), eps))
    return (np.logaddexp(0, logits) - x * logits).sum() / len(x)


def _kl(mu: Array, logvar: Array) -> Any:
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum() / len(mu)


def absent_piece(case: Case) -> tuple[str, str] | None:
    """Return the path that is missing, or scaled, if the rest explains the gradient."""
    vae = getattr(case.subject.original, "vae", None)
    if vae is None:
        use = ~case.evidence.kinks
        slopes = [s for s, good in zip(case.evidence.slopes, use, strict=True) if good]
        parts = np.array([s.parts for s in slopes]).reshape(len(slopes), -1)
        names = [f"what flows back from output {k}" for k in range(parts.shape[1])]
        return _explained(case, names, case.at, parts)
    x, eps = (one.astype(float) for one in case.subject.inputs)
    try:
        split = _split(case, _Terms(case.subject.fresh(float).vae), TERMS, x, eps)
        return split or _split(case, _Paths(case.subject.fresh(float).vae, x, eps), PATHS, x, eps)
    except (GradcheckError, AttributeError):  # a model without encode, sampler, decoder
        return None


def _split(
    case: Case, layer: Any, names: tuple[str, ...], x: Array, eps: Array
) -> tuple[str, str] | None:
    at = case.at[:: max(1, len(case.at) // ENTRIES)]
    paths = build(Subject(layer, (x, eps), 0), None)
    slopes = [differences(paths, case.name, int(i), np.inf, 1e-9) for i in at]
    return _explained(case, list(names), at, np.array([slope.parts for slope in slopes]))


def _explained(case: Case, names: list[str], at: Array, pieces: Array) -> tuple[str, str] | None:
    """Return what is missing or scaled if the gradient is a sum of multiples of the pieces."""
    present = np.abs(pieces).max(axis=0, initial=0.0) > 1e-9 * np.abs(pieces).max(initial=1e-300)
    names = [name for name, there in zip(names, present, strict=True) if there]
    pieces = pieces[:, present]
    telling = np.abs(pieces).sum(axis=1) > 0
    if len(names) < 2 or telling.sum() < len(names) + 2:  # as many unknowns as entries always fit
        return None
    analytic = case.gradient.ravel()[at]
    size = np.abs(analytic).max() + np.abs(pieces).max()
    room = 10 * case.evidence.tolerance
    shares, _, rank, _ = np.linalg.lstsq(pieces, analytic, rcond=1e-9)
    off = np.abs(pieces @ shares - analytic).max()
    if rank < len(names) or off > room * size or np.abs(shares - 1).max() < room:
        return None
    gone = [name for name, part in zip(names, shares, strict=True) if abs(part) < room]
    if gone:
        return "missing-term", f"{' and '.join(gone)} is absent; the rest is right"
    changed = [
        f"{name} is {describe(part, room)}"
        for name, part in zip(names, shares, strict=True)
        if abs(part - 1) > room
    ]
    turned = np.abs(np.abs(shares) - 1).max() <= room
    return "sign" if turned else "scale", "; ".join(changed)
