"""What a check found: one entry for each input and parameter, and how that is printed.

Nothing is computed here; the numbers come from numeric.py and the words from causes.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from minivae import views
from minivae.errors import MinivaeError

HEAD = ("gradient of", "shape", "compared", "method", "worst error", "at", "verdict")


class GradcheckError(MinivaeError, ValueError):
    """A layer that cannot be checked at all: it raises, returns NaN, or lacks a method."""


@dataclass
class Entry:
    """The verdict on one gradient.

    Attributes
    ----------
    name : str
        Of the input (as `forward` calls it) or of the parameter.
    shape : tuple of int
    max_rel_error : float
        The largest |analytic - numeric| / max(|analytic|, |numeric|, floor); the floor is a
        hundredth of the largest derivative in the array, or what rounding leaves uncertain.
    index : tuple of int or None
        Where that is; None where no single entry stands out.
    analytic, numeric : float
        The two values there.
    cause : str or None
        One word for what is wrong; None if nothing is.
    explanation : str
        The same in a sentence.
    passed : bool
    checked, kinks : int
        Entries compared, and entries left out because they stand on a corner.
    directions : int
        Random directions compared besides.
    method : str
        "complex step", "differences" or "" where nothing was compared.
    tolerance : float
        The relative error up to which the entry passes.
    """

    name: str
    shape: tuple[int, ...]
    max_rel_error: float = math.nan
    index: tuple[int, ...] | None = None
    analytic: float = math.nan
    numeric: float = math.nan
    cause: str | None = None
    explanation: str = ""
    passed: bool = True
    checked: int = 0
    kinks: int = 0
    directions: int = 0
    method: str = ""
    tolerance: float = math.nan

    @property
    def sentence(self) -> str:
        """What is wrong, where, and why, in one line."""
        where = f", worst at {_place(self.index)}" if self.index is not None else ""
        values = ""
        if not math.isnan(self.analytic) or not math.isnan(self.numeric):
            values = f": analytic {self.analytic:.6g}, numeric {self.numeric:.6g}"
        return f"{self.name}{where}{values}; {self.explanation}"


@dataclass(repr=False)
class Report:
    """What `check` found. Printing it gives a table, and a sentence for each failure.

    Attributes
    ----------
    title : str
    entries : list of Entry
    notes : list of str
        What limits the check: inputs held constant, forward that insists on float32.
    parts : list of Report
        Of the layers inside that fail on their own, where a model failed.
    """

    title: str
    entries: list[Entry]
    notes: list[str] = field(default_factory=list)
    parts: list[Report] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every entry passed."""
        return all(entry.passed for entry in self.entries)

    @property
    def failures(self) -> list[Entry]:
        """The entries that did not pass."""
        return [entry for entry in self.entries if not entry.passed]

    @property
    def root(self) -> Entry | None:
        """The failure to begin with.

        That of a layer inside which fails on its own, or else the one that backward meets first:
        those of the layers before it may follow from it.
        """
        if self.parts:
            return self.parts[-1].root
        return self.failures[-1] if self.failures else None

    @property
    def causes(self) -> list[str]:
        """The causes of the failures, each once, in order."""
        return list(dict.fromkeys(entry.cause or "" for entry in self.failures))

    def __str__(self) -> str:
        """Return the table, the sentences and the notes."""
        rows = [_row(entry) for entry in self.entries]
        lines = [f"{self.title}: {self._verdict}", *(f"  {line}" for line in table(HEAD, rows))]
        return "\n".join(lines + [f"  {line}" for line in self._sentences()])

    def __repr__(self) -> str:
        """Return one line: what was checked, and whether it passed."""
        return f"<Report on {self.title}: {self._verdict}; print it for all>"

    def _repr_html_(self) -> str:
        shown = views.table(f"{self.title}: {self._verdict}", HEAD, map(_row, self.entries))
        return shown + "".join(views.paragraph(line) for line in self._sentences())

    @property
    def _verdict(self) -> str:
        return "passed" if self.passed else f"FAILED ({len(self.failures)} of {len(self.entries)})"

    def _sentences(self) -> list[str]:
        """Return what stands below the table."""
        lines = [entry.sentence for entry in self.failures]
        if self.parts:
            lines += [f"{p.title} fails: {e.sentence}" for p in self.parts for e in p.failures]
        elif len(self.failures) > 1:
            lines.append(f"begin with {self.root.name}: backward meets it first")
        return lines + [f"note: {note}" for note in self.notes]

    def to_dict(self) -> dict[str, Any]:
        """Return the report in JSON's types: NaN and infinity become None."""
        return {
            "title": self.title,
            "passed": self.passed,
            "entries": [_plain(entry) for entry in self.entries],
            "notes": self.notes,
            "parts": [part.to_dict() for part in self.parts],
        }


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Return the rows under their heads as lines of aligned columns."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]


def _row(entry: Entry) -> tuple[str, ...]:
    size = math.prod(entry.shape)
    compared = "every entry" if entry.checked + entry.kinks == size else f"{entry.checked} entries"
    if entry.directions:
        compared += f", {entry.directions} directions"
    if entry.kinks:
        compared += f", {entry.kinks} on a corner"
    return (
        entry.name,
        _place(entry.shape),
        compared if entry.method else "nothing",
        entry.method or "-",
        "-" if math.isnan(entry.max_rel_error) else f"{entry.max_rel_error:.1e}",
        "-" if entry.index is None else _place(entry.index),
        "ok" if entry.passed else (entry.cause or "unknown").upper(),
    )


def _place(index: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, index)) + ")"


def _plain(entry: Entry) -> dict[str, Any]:
    values = dict(vars(entry))
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            values[name] = None
    return values
