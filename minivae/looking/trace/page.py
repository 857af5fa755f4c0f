"""A trace as one HTML page without scripts: names link to where they were made, sources unfold.

What is in a trace is decided in steps.py, how numbers are written in report.py.
"""

from __future__ import annotations

import inspect
import io
import math
import re
from html import escape
from importlib.resources import files

import numpy as np
from matplotlib import colormaps, image

from minivae import formulas
from minivae.errors import shown
from minivae.looking.pages import data_uri
from minivae.looking.plots.pictures import sheet
from minivae.looking.trace.report import (
    PARTS,
    by_part,
    differences,
    headline,
    numbers,
    numeric_of,
    summary,
)
from minivae.looking.trace.steps import SHOWN, Trace
from minivae.looking.trace.writer import Made

PICTURES = 16  # of an array whose rows, or columns, are images
NAME = re.compile(r"d\([\w.]+\)|[A-Za-z_][\w.]*")


def trace_page(trace: Trace, title: str, images: tuple[int, ...] | None = None) -> str:
    """Return the trace as an HTML page; the title is shown as text, whatever is in it.

    With the shape of the images, (rows, columns) or (rows, columns, 3), arrays of as many numbers
    in each row or column are shown as pictures too: images, what the decoder gives, weights, and
    all their gradients.
    """
    places = {entry.name: f"e{i}" for i, entry in enumerate(trace.entries)}
    body = []
    for part, entries in by_part(trace):
        body.append(f'<section aria-labelledby="{part}"><h2 id="{part}">{escape(PARTS[part])}</h2>')
        body += [_article(entry, places, images) for entry in entries]
        body.append("</section>")
    contents = " \u00b7 ".join(
        f'<a href="#{part}">{escape(PARTS[part].split(":")[0].split(",")[0])}</a>' for part in PARTS
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'">
<title>{escape(shown(title))}: one training step</title>
<style>
{files("minivae.looking.trace").joinpath("page.css").read_text("utf-8")}</style>
</head>
<body>
<h1>{escape(shown(title))}</h1>
<p>{escape(headline(trace))}.</p>
<p>{escape(summary(trace))} Follow a name in a formula to where it was made; unfold a source to
read what ran. To play with such a step: <code>minivae play --step</code>; to write it yourself:
<code>minivae exercise list</code>.</p>
<nav aria-label="Parts of the step">{contents}</nav>
{chr(10).join(body)}
</body>
</html>
"""


def _article(entry: Made, places: dict[str, str], images: tuple[int, ...] | None) -> str:
    shape = f' <span class="shape">{entry.value.shape}</span>' if entry.value.ndim else ""
    made = f" = {_linked(entry, places)}" if entry.formula else ""
    lines = [f'<article id="{places[entry.name]}">']
    lines.append(f'<p class="made"><b>{escape(entry.name)}</b>{shape}{made}</p>')
    whole = numeric_of(entry)
    lines.append('<div class="both">')
    lines.append(_table(entry.value, "by hand" if whole is not None else ""))
    if whole is not None:
        lines.append(_table(whole, "numeric"))
    elif entry.checks:
        rows = "".join(
            f"<tr><td>{list(check.index)}</td><td>{check.hand:.8g}</td>"
            f"<td>{check.numeric:.8g}</td></tr>"
            for check in entry.checks
        )
        lines.append(
            '<table><tr><th scope="col">at</th><th scope="col">by hand</th>'
            f'<th scope="col">numeric</th></tr>{rows}</table>'
        )
    lines.append("</div>")
    if images is not None and entry.value.ndim == 2:
        lines.append(_pictures(entry.value, images))
    if entry.checks:
        lines.append(f'<div class="where">largest difference {differences(entry.checks)}</div>')
    if entry.place:
        lines.append(_source(entry))
    lines.append("</article>")
    return "\n".join(lines)


def _pictures(value: np.ndarray, shape: tuple[int, ...]) -> str:
    """Return the first rows, or columns, of an array as pictures, if they are images.

    Of numbers of either sign the scale is that of the largest; in colour 0 becomes a middle grey.
    """
    pixels = math.prod(shape)
    rows = value if value.shape[1] == pixels else value.T
    if rows.shape[1] != pixels:
        return ""
    axis, rows = "rows" if rows is value else "columns", rows[:PICTURES]
    most = float(np.abs(rows).max()) or 1.0
    light = rows.min() >= 0 and most <= 1
    given, coloured = rows if light else rows / most, len(shape) == 3
    if coloured and not light:
        given = (1 + given) / 2
    picture = sheet(given, shape, min(8, len(rows)), ground=1 if coloured else light)
    colours = colormaps["gray" if light else "RdBu_r"]
    file = io.BytesIO()
    image.imsave(file, picture, vmin=0 if light else -1, vmax=1, cmap=colours, format="png")
    scale = "black 0, white 1" if light else f"blue {-most:.3g}, white 0, red {most:.3g}"
    if coloured:
        low, high = ("0", "1") if light else (f"{-most:.3g}", f"{most:.3g}")
        scale = f"each colour from {low} to {high}" + ("" if light else ", all at 0 grey")
    said = f"the first {len(rows)} {axis} as pictures: {scale}"
    address = data_uri(file.getvalue(), "image/png")
    return (
        f'<figure class="pictures"><img alt="{said}" src="{address}" width="{2 * len(picture[0])}">'
        f"<figcaption>{said}</figcaption></figure>"
    )


def _linked(entry: Made, places: dict[str, str]) -> str:
    """Return the formula with each name that the step made as a link to it."""
    out, end = [], 0
    for match in NAME.finditer(entry.formula):
        name = match[0].removesuffix(".T")
        out.append(escape(entry.formula[end : match.start()]))
        if name in places and name != entry.name:
            rest = escape(match[0][len(name) :])
            out.append(f'<a href="#{places[name]}">{escape(name)}</a>{rest}')
        else:
            out.append(escape(match[0]))
        end = match.end()
    return "".join([*out, escape(entry.formula[end:])])


def _table(value: np.ndarray, caption: str) -> str:
    lines = numbers(value)
    if value.size > SHOWN:
        cells = f"<tr><td>{lines[0]}</td></tr>"
    else:
        cells = "".join(
            "<tr>" + "".join(f"<td>{number}</td>" for number in line.split()) + "</tr>"
            for line in lines
        )
    return f"<figure><figcaption>{caption}</figcaption><table>{cells}</table></figure>"


def _source(entry: Made) -> str:
    caller = f", called at {escape(str(entry.caller))}" if entry.caller else ""
    where = f"{escape(str(entry.place))}{caller}"
    function = getattr(formulas, entry.place.function, None)
    if function is None:
        return f'<div class="where">{where}</div>'
    source = escape(inspect.getsource(function).rstrip())
    return f"<details><summary>{where}</summary><pre>{source}</pre></details>"
