"""Splits a derivative into the paths it flows along, and finds the path that a gradient lacks.

For a layer of several outputs those are the outputs; for a VAE the two terms of the loss, each
through mu and through the log variance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minivae.gradcheck.clone import clone
from minivae.gradcheck.factors import factor_meaning, times
from minivae.gradcheck.function import build
from minivae.gradcheck.numeric import differences
from minivae.gradcheck.report import GradcheckError
from minivae.gradcheck.subject import Array, Subject

if TYPE_CHECKING:
    from minivae.gradcheck.causes import Case

ENTRIES = 48
PATHS = (
    "the reconstruction's path through mu",
    "the reconstruction's path through the log variance",
    "the KL's own gradient through mu",
    "the KL's own gradient through the log variance",
)


class PathsLayer:
    """The loss of a VAE in four outputs, in each of which only one path is alive.

    The others are held at the values they had at first, in a frozen copy.
    """

    unit_weight = True

    def __init__(self, vae: Any, x: Array, eps: Array) -> None:
        self.vae = vae
        self.frozen = clone(vae)
        mu, logvar = self.frozen.encode(x)
        self.mu, self.logvar = mu.copy(), logvar.copy()

    @property
    def params(self) -> Any:
        """The model's parameters."""
        return self.vae.params

    def forward(self, x: Array, eps: Array) -> tuple[Any, ...]:
        """Return the loss's terms as PATHS names them."""
        mu, logvar = (one.copy() for one in self.vae.encode(x))
        beta = self.vae.beta
        return (
            _nll(self.vae, self.mu + mu - self.mu, self.logvar, x, eps),
            _nll(self.frozen, self.mu, logvar, x, eps),
            beta * _kl(mu, self.logvar),
            beta * _kl(self.mu, logvar),
        )

    def backward(self, *weights: Any) -> None:
        """Stand in for the method that every layer has; the paths are only differentiated."""


def _nll(vae: Any, mu: Array, logvar: Array, x: Array, eps: Array) -> Any:
    logits = vae.decoder.forward(mu + np.exp(logvar / 2) * eps)
    return (np.logaddexp(0, logits) - x * logits).sum() / len(x)


def _kl(mu: Array, logvar: Array) -> Any:
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum() / len(mu)


def absent_piece(case: Case) -> tuple[str, str] | None:
    """Return the path that is missing, or scaled, if the rest explains the gradient."""
    names, at, pieces = _pieces(case)
    present = np.abs(pieces).max(axis=0, initial=0.0) > 1e-9 * np.abs(pieces).max(initial=1e-300)
    names = [name for name, there in zip(names, present, strict=True) if there]
    pieces = pieces[:, present]
    if len(names) < 2 or len(at) < len(names) + 2:
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
        every = len(gone) == 2 and all("reconstruction" in name for name in gone)
        what = "the path through z" if every else " and ".join(gone)
        if len(gone) == 2 and all("KL" in name for name in gone):
            what = "the KL's own gradient"
        return "missing-term", f"{what} is absent; the rest is right"
    changed = [
        f"{name} is {times(part)}{factor_meaning(part, case.subject, room)}"
        for name, part in zip(names, shares, strict=True)
        if abs(part - 1) > room
    ]
    return "scale", "; ".join(changed)


def _pieces(case: Case) -> tuple[list[str], Array, Array]:
    """Return the paths' names, the flat entries looked at, and what each path gives there."""
    vae = getattr(case.subject.original, "vae", None)
    if vae is None or not all(hasattr(vae, name) for name in ("encode", "decoder", "beta")):
        use = ~case.evidence.kinks
        slopes = [s for s, good in zip(case.evidence.slopes, use, strict=True) if good]
        parts = np.array([s.parts for s in slopes]).reshape(len(slopes), -1)
        names = [f"what flows back from output {k}" for k in range(parts.shape[1])]
        return names, case.at, parts
    at = case.at[:: max(1, len(case.at) // ENTRIES)]
    x, eps = (one.astype(float) for one in case.subject.inputs)
    layer = PathsLayer(case.subject.fresh(float), x, eps)
    try:
        paths = build(Subject(layer, (x, eps), 0), None)
    except GradcheckError:
        return [], at, np.empty((len(at), 0))
    variable = paths.variables[case.name]
    slopes = [differences(paths, variable, int(i), np.inf, 1e-9) for i in at]
    return list(PATHS), at, np.array([slope.parts for slope in slopes])
