"""The text that names a part, "iwae:5" or "categorical:3,4,2": read, and written again.

Which settings there are is the part's own to say, in `settings`: their names, and what reads one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minivae.errors import ArgumentError


def find(parts: Sequence[Any], text: str, what: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the part of that text, and the settings to make it with, by name.

    After a colon stand the values, in the order of the part's `settings` or as name=value, with
    commas between; a part of one setting takes all that follows. What is left out is its default.

    Raises
    ------
    ArgumentError
        If the name is unknown, or what follows is not understood.
    """
    kind, colon, rest = text.partition(":")
    part = next((part for part in parts if part.kind == kind), None)
    if part is None:
        kinds = ", ".join(part.kind for part in parts)
        raise ArgumentError(f"{what} {kind!r:.50} is unknown: {kinds}")
    known = getattr(part, "settings", {})
    values: dict[str, Any] = {}
    items = [] if not colon else [rest] if len(known) == 1 else rest.split(",")
    for name, item in zip([*known, *[""] * len(items)], items, strict=False):
        before, equals, value = item.partition("=")
        name = before if equals else name
        try:
            if name not in known or name in values:
                raise ValueError
            values[name] = known[name](value if equals else item)
        except (ValueError, OverflowError):
            raise ArgumentError(
                f"{what} {text!r:.50} is not understood: write {part.example if known else kind!r}"
            ) from None
    return part, values


def text(part: Any) -> str:
    """Return the text from which `find` makes this part again."""
    values = [getattr(part, name) for name in getattr(part, "settings", {})]
    shown = [
        ",".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in values
    ]
    return part.kind + ":" * bool(shown) + ",".join(shown)


def wholes(text: str) -> tuple[int, ...]:
    """Read whole numbers with commas between: "3,4,2"."""
    return tuple(int(number) for number in text.split(","))
