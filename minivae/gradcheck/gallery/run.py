"""Runs every check on every fault: which catches which, and by what name.

The faults themselves are in faults.py and vae_faults.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minivae.gradcheck.check import check
from minivae.gradcheck.contracts import check_contracts
from minivae.gradcheck.gallery.faults import LAYER_FAULTS, inputs_of
from minivae.gradcheck.gallery.vae import VAE_FAULTS
from minivae.gradcheck.report import table


@dataclass
class Finding:
    """What the checks say of one fault.

    Attributes
    ----------
    fault, description : str
    expected : str
        The name it should get: a cause, or a contract.
    cause : str
        The cause that the gradient check gives where backward meets it first; empty if it passes.
    contracts : list of str
        The contracts that are broken.
    sentence : str
        What the gradient check prints first.
    """

    fault: str
    description: str
    expected: str
    cause: str
    contracts: list[str]
    sentence: str

    @property
    def caught(self) -> bool:
        """Whether any check fails."""
        return bool(self.cause or self.contracts)

    @property
    def named(self) -> bool:
        """Whether the fault's own name is given, and by a contract only if gradients agree."""
        return self.expected == self.cause or (not self.cause and self.expected in self.contracts)


def gallery(seed: int = 0) -> Iterator[Finding]:
    """Yield the findings on every fault, layers first."""
    for fault, expected in LAYER_FAULTS:
        report = check(fault(), *inputs_of(fault, np.random.default_rng(seed)), seed=seed)
        yield _finding(fault, expected, report, [])
    for fault, expected in VAE_FAULTS:
        rng = np.random.default_rng(seed)
        vae = fault(7, hidden=(6,), latent=3, beta=0.4, seed=seed, dtype="float64")
        x, eps = rng.uniform(size=(5, 7)), rng.standard_normal((5, 3))
        report = check(vae, x, eps, seed=seed)
        broken = [] if report.failures else check_contracts(vae, x, seed).broken
        yield _finding(fault, expected, report, broken)


def print_gallery(findings: list[Finding]) -> str:
    """Return the findings as a table."""
    rows = [
        (
            one.fault,
            one.cause or "-",
            ", ".join(one.contracts) or "-",
            "ok" if one.named else f"MISNAMED, {one.expected} expected" if one.caught else "MISSED",
        )
        for one in findings
    ]
    caught, named = sum(one.caught for one in findings), sum(one.named for one in findings)
    lines = table(("fault", "gradient check", "broken contracts", "verdict"), rows)
    count = len(findings)
    return "\n".join([*lines, f"{caught} of {count} caught, {named} of {count} named rightly"])


def _finding(fault: type[Any], expected: str, report: Any, broken: list[str]) -> Finding:
    root = report.root
    return Finding(
        fault.__name__,
        (fault.__doc__ or "").strip(),
        expected,
        root.cause if root else "",
        broken,
        root.sentence if root else "",
    )
