"""The outcome of contracts: what was measured, what was expected, and how the two are printed.

Which contracts there are is in contracts.py and tiny.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from minivae.gradcheck.report import table

SIGMAS = 5.0  # a right value lies outside once in 1.7 million


@dataclass
class Contract:
    """One law and how far the model is from it.

    Attributes
    ----------
    name : str
    measured, expected : float
    tolerance : float
        SIGMAS standard errors where `measured` is an average of draws, rounding where it is not.
    law : str
        What must hold, in a sentence.
    """

    name: str
    measured: float
    expected: float
    tolerance: float
    law: str

    @property
    def passed(self) -> bool:
        """Whether the law holds."""
        return bool(abs(self.measured - self.expected) <= self.tolerance)


@dataclass
class Contracts:
    """The outcome of all contracts; printing it gives a table and what the broken ones demand."""

    contracts: list[Contract]

    @property
    def passed(self) -> bool:
        """Whether every contract holds."""
        return all(one.passed for one in self.contracts)

    @property
    def broken(self) -> list[str]:
        """The names of the contracts that do not hold."""
        return [one.name for one in self.contracts if not one.passed]

    def __str__(self) -> str:
        """Return the table, and the law of each broken contract."""
        rows = [
            (
                one.name,
                f"{one.measured:.8g}",
                f"{one.expected:.8g}",
                f"{one.tolerance:.1e}",
                "ok" if one.passed else "BROKEN",
            )
            for one in self.contracts
        ]
        verdict = "hold" if self.passed else f"BROKEN ({len(self.broken)} of {len(rows)})"
        head = ("contract", "measured", "expected", "tolerance", "verdict")
        lines = [f"contracts: {verdict}", *(f"  {line}" for line in table(head, rows))]
        lines += [f"  {one.name}: {one.law}" for one in self.contracts if not one.passed]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome in JSON's types."""
        return {
            "passed": self.passed,
            "contracts": [
                {key: _plain(value) for key, value in vars(one).items()} | {"passed": one.passed}
                for one in self.contracts
            ],
        }


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
