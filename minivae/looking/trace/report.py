"""A trace as text for the terminal: small arrays whole, large ones by their statistics.

What is in a trace is decided in steps.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minivae.looking.trace.steps import SHOWN, Trace
from minivae.looking.trace.writer import Check, Made

PARTS = {
    "given": "Given: images, noise, parameters",
    "forward": "Forward",
    "loss": "The loss, in nats per image (a mean over the batch)",
    "backward": "Back: each array is the loss's derivative with respect to its namesake",
    "update": "Adam's first update, of all parameters as one vector (its moments begin at 0)",
}


def trace_text(trace: Trace) -> str:
    """Return the whole trace as text."""
    lines = [headline(trace)]
    for part, entries in by_part(trace):
        lines += ["", PARTS[part], "-" * len(PARTS[part])]
        for entry in entries:
            lines += ["", *_entry(entry)]
    lines += ["", summary(trace)]
    return "\n".join(lines) + "\n"


def headline(trace: Trace) -> str:
    """Return what was traced, in one line."""
    pixels, *hidden, latent = trace.sizes
    return (
        f"One training step: {pixels} pixels, {','.join(map(str, hidden))} hidden, {latent} latent;"
        f" a batch of {trace.images}; beta = {trace.beta:g}; 64-bit floats"
    )


def summary(trace: Trace) -> str:
    """Return how well the derivatives agree, in one line."""
    count = sum(len(entry.checks) for entry in trace.entries)
    return (
        f"{count} derivatives by hand differ from their numeric ones by at most "
        f"{trace.worst:.1e} (central differences, a rounding error of about 1e-16 loss / step)."
    )


def by_part(trace: Trace) -> Iterator[tuple[str, list[Made]]]:
    """Yield the parts of the step, each with its entries in the order of making."""
    for part in PARTS:
        yield part, [entry for entry in trace.entries if entry.part == part]


def numbers(value: np.ndarray) -> list[str]:
    """Return a small array as rows of numbers, a large one as its statistics."""
    if value.size > SHOWN:
        return [
            f"mean {value.mean():.4g}, deviation {value.std():.4g}, "
            f"smallest {value.min():.4g}, largest {value.max():.4g}"
        ]
    width = value.shape[-1] if value.ndim else 1
    wide = width > 8
    rows = np.split(value.ravel(), range(8, value.size, 8)) if wide else value.reshape(-1, width)
    return ["  ".join(_number(v, value) for v in row) for row in rows]


def differences(checks: list[Check]) -> str:
    """Return the largest difference of an entry's checks."""
    return f"{max(abs(check.hand - check.numeric) for check in checks):.1e}"


def numeric_of(entry: Made) -> np.ndarray | None:
    """Return the numeric derivative as an array of the gradient's shape, if all of it was taken."""
    if len(entry.checks) != entry.value.size:
        return None
    out = np.empty(entry.value.shape)
    for check in entry.checks:
        out[check.index] = check.numeric
    return out


def _number(v: float, among: np.ndarray) -> str:
    v += 0.0  # no minus before a zero
    largest = abs(among).max()
    if largest and not 1e-2 <= largest < 1e4:
        return f"{v: .4e}"
    return f"{v: .6f}"


def _entry(entry: Made) -> list[str]:
    shape = f" {entry.value.shape}" if entry.value.ndim else ""
    lines = [f"{entry.name}{shape}{' = ' + entry.formula if entry.formula else ''}"]
    if entry.place:
        caller = f", called at {entry.caller}" if entry.caller else ""
        lines.append(f"    {entry.place}{caller}")
    whole = numeric_of(entry)
    rows = numbers(entry.value)
    if not entry.checks:
        return lines + [f"    {row}" for row in rows]
    if whole is not None:
        lines += [f"    by hand   {row}" if i == 0 else f"              {row}"
                  for i, row in enumerate(rows)]  # fmt: skip
        lines += [f"    numeric   {row}" if i == 0 else f"              {row}"
                  for i, row in enumerate(numbers(whole))]  # fmt: skip
    else:
        lines += [f"    {row}" for row in rows]
        lines += [
            f"    at {list(check.index)}: by hand {check.hand:.8g}, numeric {check.numeric:.8g}"
            for check in entry.checks
        ]
    return [*lines, f"    largest difference {differences(entry.checks)}"]
