"""Write API.md, the reference of all public names, from their docstrings.

python examples/make_api.py
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import minivae

PAGE = Path(__file__).with_name("API.md")
HEAD = """# Reference

Every public name of minivae, from its docstring (`python examples/make_api.py` writes this page).
Losses are in nats per image; B is the batch, D the pixels of an image, Z the latent dimensions.

"""
MODULES = {
    "minivae": "the core, data, training, runs: what `import minivae` gives",
    "minivae.data": "data sets",
    "minivae.training": "the loop, and what it gives",
    "minivae.jobs": "what a trained model is asked for",
    "minivae.looking.plots": "figures, and the same written to files",
    "minivae.gradcheck": "derivatives checked",
    "minivae.gradcheck.adaptors": "functions of other libraries, for the checker",
    "minivae.estimator": "for scikit-learn, as the extra `sklearn` installs it",
}
ENTRY = re.compile(r"^(\S.*?)( : .*)?$")


def names(module):
    """Return the public names of a module: those it lists, or what it defines."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return sorted(listed, key=str.lower)
    own = [
        name
        for name, thing in vars(module).items()
        if getattr(thing, "__module__", None) == module.__name__ and not name.startswith("_")
    ]
    return sorted(own, key=str.lower)


def prose(text):
    """Return a docstring as Markdown: its sections as lists."""
    lines, out, inside = inspect.cleandoc(text).splitlines(), [], False
    for i, line in enumerate(lines):
        if set(line) == {"-"} and i and len(line) == len(lines[i - 1]):
            continue
        if i + 1 < len(lines) and lines[i + 1] and set(lines[i + 1]) == {"-"}:
            inside = True
            out += [f"**{line}**", ""]
        elif inside and line and not line.startswith(" "):
            name, kind = ENTRY.match(line).groups()
            out.append(f"- `{name}`{kind or ''}")
        elif inside:
            out.append(f"  {line.strip()}" if line else "")
        else:
            out.append(line)
    return "\n".join(out).strip()


def call(thing):
    """Return what is written behind a name to call it."""
    try:
        return re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(thing)))
    except (TypeError, ValueError):
        return "(...)"


def entry(name, thing, depth):
    """Yield the lines of a name, and of the methods of a class."""
    yield f"{'#' * depth} `{name}`\n"
    if inspect.isclass(thing) and issubclass(thing, Exception):
        yield prose(inspect.getdoc(thing) or "") + "\n"
        return
    if callable(thing):
        short = name.rsplit(".", 1)[-1]
        yield f"```python\n{short}{call(thing)}\n```\n"
    yield prose(inspect.getdoc(thing) or "") + "\n"
    if inspect.isclass(thing):
        for key, member in vars(thing).items():
            text = inspect.getdoc(member)
            if key.startswith("_") or not text:
                continue
            if isinstance(member, property):
                yield f"- `{key}`: {text.splitlines()[0]}\n"
            elif inspect.isfunction(member):
                signature = call(member).replace("(self, ", "(").replace("(self)", "()")
                yield f"- `{key}{signature}`\n\n{_indented(prose(text))}\n"


def _indented(text):
    return "\n".join(f"  {line}" if line else "" for line in text.splitlines())


def page():
    """Return the page."""
    parts, told = [HEAD], []
    for path, what in MODULES.items():
        module = importlib.import_module(path)
        parts.append(f"## {path}: {what}\n")
        for name in names(module):
            thing = getattr(module, name)
            if callable(thing) and thing not in told:
                told.append(thing)
                parts += entry(f"{path}.{name}", thing, 3)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(f"{PAGE.name}: {len(minivae.__all__)} names of minivae, and those of its wings")
