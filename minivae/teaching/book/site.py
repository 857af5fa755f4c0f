"""The site: which pages there are, what surrounds each, and which live figures stand on it.

Markdown becomes HTML in markdown.py; a live figure is a script in figures/; files are written by
the command line.
"""

from __future__ import annotations

import re
import runpy
from html import escape
from importlib.resources import files
from typing import Any

from minivae.looking.pages import asset, data_uri, page
from minivae.teaching.book.markdown import Markdown
from minivae.teaching.book.notebook import notebook
from minivae.teaching.playground import play_page, step_page

HERE = "minivae.teaching.book"
TWIN = ("formulas", "random", "vae", "screen")
LESSONS = files("minivae.teaching") / "lessons"
NAMES = sorted(
    entry.name[:-3] for entry in LESSONS.iterdir() if re.fullmatch(r"\d\d-.*\.md", entry.name)
)
PLAY = {"step": "A step to play", "train": "Train in this browser"}
FIGURE = '<figure class="live" id="live-{0}" data-figure="{0}"></figure>'


def book() -> dict[str, bytes]:
    """Return the site, {file name: content}; `index.html` is where to begin."""
    site = {"index.html": lesson_page("README").encode()}
    back = '<a class="back" href="index.html">\u2190 Lessons</a>'
    site |= {"step.html": step_page(back).encode(), "train.html": play_page(back).encode()}
    for name in NAMES:
        site[f"{name}.html"] = lesson_page(name).encode()
        site[f"{name}.py"] = (LESSONS / f"{name}.py").read_bytes()
    return site


def notebooks() -> dict[str, bytes]:
    """Return each lesson as a notebook, {file name: content}."""
    made = {}
    for name in NAMES:
        text, script = ((LESSONS / f"{name}.{kind}").read_text("utf-8") for kind in ("md", "py"))
        shown = re.findall(r"\]\(([\w-]+\.(?:png|svg))\)", text)
        pictures = {file: (LESSONS / file).read_bytes() for file in shown}
        made[f"{name}.ipynb"] = notebook(text, script, pictures).encode()
    return made


def lesson_page(name: str) -> str:
    """Return the page of one lesson, or of the list of lessons, README."""
    text = (LESSONS / f"{name}.md").read_text("utf-8")
    figures: list[str] = []

    def live(figure: str) -> str:
        figures.append(figure)
        return FIGURE.format(figure)

    content = Markdown(_link, _image, live).html(text)
    title = re.match(r"# (.*)", text)[1]
    scripts = [asset(HERE, "keys.js")]
    if figures:
        scripts += [asset("minivae.looking.explore", f"{part}.js") for part in TWIN]
        scripts += [asset(HERE, f"figures/{part}.js") for part in ("figure", *figures)]
    facts: dict[str, Any] = {"pages": ["index.html", *(f"{each}.html" for each in (*NAMES, *PLAY))]}
    if figures:
        facts["lesson"] = runpy.run_path(str(LESSONS / f"{name}.py")).get("live", dict)()
    body = f"{_navigation(name)}\n<main>\n<article>\n{content}\n</article>\n</main>"
    return page(title, body, styles(), scripts, facts, "book")


def styles() -> list[str]:
    """Return the style sheets of the book's pages."""
    return [
        asset("minivae.looking.explore", "style.css"),
        asset(HERE, "book.css"),
    ]


def title_of(name: str) -> str:
    """Return a lesson's title, with its number."""
    with (LESSONS / f"{name}.md").open(encoding="utf-8") as file:
        return file.readline().lstrip("# ").strip()


def _navigation(here: str) -> str:
    def item(file: str, title: str, name: str) -> str:
        current = ' aria-current="page"' if name == here else ""
        return f'<li><a href="{file}"{current}>{escape(title)}</a></li>'

    items = [item("index.html", "All lessons", "README")]
    items += [item(f"{name}.html", title_of(name), name) for name in NAMES]
    items += [item(f"{name}.html", title, name) for name, title in PLAY.items()]
    return (
        '<nav class="contents" aria-label="Lessons"><details open><summary>Lessons</summary>'
        f"<ol>{''.join(items)}</ol></details></nav>"
    )


def _link(target: str) -> str:
    return {"README.md": "index.html"}.get(target, re.sub(r"\.md$", ".html", target))


def _image(file: str) -> str:
    kind = "image/svg+xml" if file.endswith(".svg") else "image/png"
    return data_uri((LESSONS / file).read_bytes(), kind)
