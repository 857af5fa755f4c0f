"""How objects show themselves in a notebook: a caption and a table of facts, as HTML.

Which facts an object has is its own matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def _escape(text: str) -> str:
    from html import escape  # its table of 2,000 names is slow to load

    return escape(text)


def facts(caption: str, values: Mapping[str, object]) -> str:
    """Return facts as a table of names and values; whatever is in them is shown as text."""
    return _table(
        caption, [(f"<th>{_escape(name)}</th>", [value]) for name, value in values.items()]
    )


def table(caption: str, names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows of values under a row of names."""
    head = "".join(f"<th>{_escape(name)}</th>" for name in names)
    return _table(caption, [(head, []), *(("", row) for row in rows)])


def paragraph(line: str) -> str:
    """Return a line of text under a table."""
    return f"<p>{_escape(line)}</p>"


def _table(caption: str, rows: Iterable[tuple[str, Sequence[object]]]) -> str:
    cells = [
        (head, "".join(f"<td>{_escape(str(value))}</td>" for value in row)) for head, row in rows
    ]
    lines = "".join(f"<tr>{head}{row}</tr>" for head, row in cells)
    return f"<table><caption>{_escape(caption)}</caption>{lines}</table>"
