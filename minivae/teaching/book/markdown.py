"""Markdown into HTML, for that part of Markdown in which the lessons are written.

Everything that is not one of its marks is shown as text. Formulas are mathml.py's; which pages
there are, and what surrounds them, is site.py's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape

from minivae.teaching.book.mathml import mathml

INLINE = re.compile(
    r"\$`(?P<math>[^`]+)`\$"
    r"|`(?P<code>[^`]+)`"
    r"|!\[(?P<alt>[^\]]*)\]\((?P<image>[^)\s]+)\)"
    r"|\[(?P<text>(?:`[^`]*`|[^\]`])+)\]\((?P<link>[^)\s]+)\)"
    r"|\*\*(?P<strong>.+?)\*\*"
    r"|(?<![\w*])\*(?P<em>[^*\s][^*]*?)\*(?![\w*])",
    re.DOTALL,
)
LIVE = re.compile(r"<!-- live: ([\w-]+) -->")
ITEM = re.compile(r"(-|\d+\.) ")
START = re.compile(r"```|#|\||<|    |- |\d+\. ")  # of a block that ends a paragraph
SAFE = re.compile(r"[\w./-]+(#[\w-]+)?|#[\w-]+")  # a file of the lessons, or a place on a page


class Markdown:
    """A converter.

    Parameters
    ----------
    link : callable
        Turns the target of a link into the target on the page.
    image : callable
        Turns an image's file into the source on the page.
    live : callable
        Returns the HTML of a live figure by its name.
    """

    def __init__(
        self,
        link: Callable[[str], str],
        image: Callable[[str], str],
        live: Callable[[str], str],
    ) -> None:
        self.link, self.image, self.live = link, image, live

    def html(self, text: str) -> str:
        """Return a document as HTML."""
        lines, out = text.splitlines(), []
        while lines:
            if lines[0].strip():
                out.append(self._block(lines))
            else:
                lines.pop(0)
        return "\n".join(out)

    def _block(self, lines: list[str]) -> str:
        line = lines[0]
        if line.startswith("```"):
            return self._fence(lines)
        if line.startswith("#"):
            marks, _, title = lines.pop(0).partition(" ")
            place = re.sub(r"\W+", "-", title.lower()).strip("-")
            level = len(marks)
            return f'<h{level} id="{place}">{self.inline(title)}</h{level}>'
        if line.startswith("|"):
            return self._table(_while(lines, lambda line: line.startswith("|")))
        if line.startswith("    "):
            code = _while(lines, lambda line: line.startswith("    "))
            return f"<pre><code>{escape(chr(10).join(row[4:] for row in code))}</code></pre>"
        if ITEM.match(line):
            return self._list(lines)
        if match := LIVE.fullmatch(line.strip()):
            lines.pop(0)
            return self.live(match[1])
        if line == "<details>":
            return self._details(lines)
        first = lines.pop(0)
        rest = _while(lines, lambda line: line.strip() and not START.match(line))
        return f"<p>{self.inline(chr(10).join([first, *rest]))}</p>"

    def _fence(self, lines: list[str]) -> str:
        info = lines.pop(0)[3:].strip()
        code = _while(lines, lambda line: line.rstrip() != "```")
        lines[:1] = []
        if info == "math":
            # Spaces and signs of equality are where a line may break on a phone.
            parts = [_sides(part) for part in re.split(r"(?:\\q?quad\s*)+", "\n".join(code))]
            formulas = "".join(
                f"<span>{''.join(mathml(side, display=True) for side in sides)}</span>"
                for sides in parts
            )
            return f'<div class="formula">{formulas}</div>'
        kind = info.partition(" ")[0] or "diagram"
        return f'<pre class="{escape(kind)}"><code>{escape(chr(10).join(code))}</code></pre>'

    def _table(self, rows: list[str]) -> str:
        cells = [[cell.strip() for cell in row.strip()[1:-1].split("|")] for row in rows]
        head, _, *body = cells
        out = ["".join(f'<th scope="col">{self.inline(cell)}</th>' for cell in head)]
        out += ["".join(f"<td>{self.inline(cell)}</td>" for cell in row) for row in body]
        table = "".join(f"<tr>{row}</tr>" for row in out)
        return f'<div class="wide-table"><table>{table}</table></div>'

    def _list(self, lines: list[str]) -> str:
        ordered = lines[0][0].isdigit()
        items: list[str] = []
        while lines and (ITEM.match(lines[0]) or lines[0].startswith("  ")):
            line = lines.pop(0)
            if ITEM.match(line):
                items.append(ITEM.sub("", line, count=1))
            else:
                items[-1] += "\n" + line.strip()
        tag = "ol" if ordered else "ul"
        return f"<{tag}>{''.join(f'<li>{self.inline(item)}</li>' for item in items)}</{tag}>"

    def _details(self, lines: list[str]) -> str:
        lines.pop(0)
        content = _while(lines, lambda line: line != "</details>")
        lines[:1] = []
        match = re.fullmatch(r"<summary>(.*)</summary>", content[0])
        if match is None:
            raise ValueError(f"a summary of one line belongs under <details>, not {content[0]!r}")
        rest = self.html("\n".join(content[1:]))
        return (
            f"<details class='predict'><summary>{self.inline(match[1])}</summary>{rest}</details>"
        )

    def inline(self, text: str) -> str:
        """Return a piece of running text as HTML."""
        out, end = [], 0
        for match in INLINE.finditer(text):
            out += [escape(text[end : match.start()]), self._mark(match)]
            end = match.end()
        return "".join([*out, escape(text[end:])])

    def _mark(self, match: re.Match) -> str:
        kind, content = match.lastgroup, match[match.lastgroup]
        if kind == "math":
            return mathml(content)
        if kind == "code":
            return f"<code>{escape(content)}</code>"
        if kind in ("strong", "em"):
            return f"<{kind}>{self.inline(content)}</{kind}>"
        if not SAFE.fullmatch(content):
            raise ValueError(f"{content!r}: lessons lead to files beside them only")
        if kind == "image":
            return f'<img src="{escape(self.image(content))}" alt="{escape(match["alt"])}">'
        return f'<a href="{escape(self.link(content))}">{self.inline(match["text"])}</a>'


def _sides(formula: str) -> list[str]:
    """Cut a formula before each of its signs of equality that stands in no bracket."""
    sides, depth = [""], 0
    for token in re.findall(r"\\mathrel\{.*?\}=|\\(?:left|right)?.|.", formula, re.DOTALL):
        depth += (token[-1] in "([{") - (token[-1] in ")]}")
        if token == "=" and depth == 0 and sides[-1].strip():
            sides.append("")
        sides[-1] += token
    return sides


def _while(lines: list[str], test: Callable[[str], object]) -> list[str]:
    """Take lines off the front as long as the test holds."""
    taken = []
    while lines and test(lines[0]):
        taken.append(lines.pop(0))
    return taken
