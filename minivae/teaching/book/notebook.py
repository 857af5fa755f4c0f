"""A lesson as a notebook: its text, its script, and a cell to run wherever it quotes the script.

A block of a page marked ```text CODE quotes what CODE prints, after the script's definitions.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

BLOCK = re.compile(r"^```(?P<info>.*)\n(?P<code>(?:.*\n)*?)```$", re.MULTILINE)
INLINE_MATH = re.compile(r"\$`([^`\n]+)`\$")


def notebook(text: str, script: str, pictures: dict[str, bytes]) -> str:
    """Return a notebook (nbformat 4.5) as JSON.

    Parameters
    ----------
    text : str
        The lesson, Markdown.
    script : str
        The script beside it, Python.
    pictures : dict
        Contents of the .png and .svg files that the lesson shows, by name: they travel with it.
    """
    definitions = script.partition('\nif __name__ == "__main__":')[0].rstrip()
    cells = [_text("Run this cell first: the script of this lesson."), _code(definitions)]
    end, seen = 0, ""
    for match in BLOCK.finditer(text):
        language, _, code = match["info"].partition(" ")
        if language == "text" and code and code != "long":
            seen += text[end : match.end()]
            cells += [_text(seen, pictures), _code(code.replace("; ", "\n"))]
            seen, end = "", match.end()
    cells.append(_text(text[end:], pictures))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return json.dumps(
        {
            "cells": cells,
            "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        },
        indent=1,
    )


def _code(source: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": source,
    }


def _text(source: str, pictures: dict[str, bytes] | None = None) -> dict[str, Any]:
    """Return a cell of Markdown, formulas as notebooks want them, pictures attached."""
    source = BLOCK.sub(_block, source)
    source = INLINE_MATH.sub(r"$\1$", source)
    source = re.sub(r"<!--.*?-->\n*", "", source)
    cell = {"cell_type": "markdown", "metadata": {}, "source": source.strip()}
    used = [name for name in pictures or {} if f"({name})" in source]
    for name in used:
        cell["source"] = cell["source"].replace(f"({name})", f"(attachment:{name})")
    if used:
        encoded = {name: base64.b64encode(pictures[name]).decode("ascii") for name in used}
        kinds = {".png": "image/png", ".svg": "image/svg+xml"}
        cell["attachments"] = {name: {kinds[name[-4:]]: text} for name, text in encoded.items()}
    return cell


def _block(match: re.Match) -> str:
    if match["info"] == "math":
        return f"$$\n{match['code']}$$"
    return match[0]
