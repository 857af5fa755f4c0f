"""One HTML file with everything in it, styles and scripts named by their hashes, no network.

What a page shows and computes is for explore/, and for the book and the playground in teaching/.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from typing import Any

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{{policy}}">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{{title}}</title>
<style>{{style}}</style>
</head>
<body{{body_class}}>
{{body}}
<noscript><p class="card">This page computes in your browser: allow its JavaScript to see anything move.</p></noscript>
<script type="application/json" id="facts">{{facts}}</script>
<script>{{watch}}</script>
<script>{{script}}</script>
</body>
</html>
"""  # noqa: E501
# In words that every browser knows: it must run where the page's own script cannot even be read.
WATCH = """
window.addEventListener("error", function (event) {
  var said = document.getElementById("failed");
  if (said) return;
  said = document.createElement("p");
  said.id = "failed";
  said.className = "card";
  said.textContent = "This page does not work in this browser (" + event.message +
    "): open it in a current Firefox, Chrome, Edge or Safari.";
  document.body.insertBefore(said, document.body.firstChild);
});
"""


def page(
    title: str,
    body: str,
    styles: Iterable[str],
    scripts: Iterable[str],
    facts: Mapping[str, Any],
    kind: str = "",
) -> str:
    """Return a page as HTML; a browser runs no script in it but the given ones.

    Parameters
    ----------
    title : str
        Shown as text, whatever is in it.
    body : str
        HTML: names that others chose must be escaped in it already.
    styles, scripts : iterable of str
        The texts of style sheets and scripts, in order; the scripts share one scope.
    facts : mapping
        What the scripts read by `JSON.parse` of the element "facts".
    kind : str
        A class of the body, for the style sheet.
    """
    style = "\n" + "\n".join(styles) + "\n"
    script = '\n"use strict";\n(() => {\n' + "\n".join(scripts) + "\n})();\n"
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(WATCH)} {_hash(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return fill(
        PAGE,
        {
            "title": escape(title),
            "policy": policy,
            "style": style,
            "body_class": f' class="{escape(kind)}"' if kind else "",
            "body": body,
            "facts": as_json(facts),
            "watch": WATCH,
            "script": script,
        },
    )


def asset(package: str, name: str) -> str:
    """Return the text of a file of ours that pages are made of."""
    return files(package).joinpath(name).read_text("utf-8").strip()


def fill(template: str, words: Mapping[str, str]) -> str:
    """Put the words into their places, in one pass: what is put in is never searched again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: words[match[1]], template)


def as_json(value: Any) -> str:
    """Return JSON that may stand in a page: nothing in it can end the element around it."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def data_uri(content: bytes, kind: str) -> str:
    """Return bytes as the address of a picture that lies in the page itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
