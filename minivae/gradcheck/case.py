"""A gradient that failed its check, with all the evidence that may explain it.

How it was compared is in evidence.py; what explains it is for causes.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minivae.gradcheck.evidence import Evidence, Probe
from minivae.gradcheck.observe import Observation
from minivae.gradcheck.subject import Array, Subject


@dataclass
class Case:
    """One array whose gradient failed, with all that may explain it."""

    name: str
    gradient: Array
    evidence: Evidence
    subject: Subject
    seen: Observation
    probe: Probe
    all: Mapping[str, Evidence]
    kept: dict[str, Any] = field(default_factory=dict)  # what was found of it and is dear

    def __post_init__(self) -> None:
        """Gather analytic and numeric values at the compared entries."""
        self.fits = self.gradient.shape == self.evidence.shape
        use = ~self.evidence.kinks
        self.at = self.evidence.indices[use]
        self.numeric = self.evidence.numeric[use]
        if self.fits:
            self.analytic = self.gradient.ravel()[self.at]
            self.wrong = (self.evidence.errors(self.gradient) > self.evidence.tolerance)[use]

    def matches(self, analytic: Array) -> bool:
        """Return whether values at the compared entries, corners left out, are the gradient's."""
        size = np.maximum(np.abs(analytic), np.abs(self.analytic))
        size = np.maximum(size, 1e-3 * size.max(initial=0.0) + 1e-300)
        with np.errstate(invalid="ignore"):
            off = np.abs(analytic - self.analytic) / size
        return bool(off.max(initial=0.0) <= max(1e-6, 10 * self.evidence.tolerance))
