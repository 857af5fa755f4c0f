"""The table of `minivae info --parts`: what a model can be composed of.

What each part is, it says itself; whether its formulas run on a GPU is asked of the CUDA code.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def table() -> list[dict[str, str]]:
    """Return a row for each part: what it is, how it is written, and what is to be known of it."""
    from minivae import parts
    from minivae.parts import spec

    rows = []
    for what, some in (("likelihood", parts.LIKELIHOODS), ("posterior", parts.POSTERIORS),
                       ("prior", parts.PRIORS), ("bound", parts.BOUNDS)):  # fmt: skip
        for part in some:
            name = getattr(part, "example", "") or part.kind
            made, settings = spec.find(some, name, what)
            row = {"part": what, "name": name}
            if what == "bound":
                row["CUDA"] = "yes" if part.cuda else "no"
                rows.append(row | {"source": (part.__doc__ or "").partition("\n")[0]})
                continue
            asked = _Asked()
            width = made.width_of(**settings) if hasattr(made, "width_of") else 3
            layer: Any = made(width, backend=asked, **settings)
            own = ", ".join(layer.own_shapes)
            row |= {"own parameters": own, "CUDA": asked.answer(), "source": part.source}
            if what == "likelihood":
                density = "" if part.discrete else " (a density's: may be negative)"
                row |= {"for": part.support, "unit": part.unit + density}
            rows.append(row)
    return rows


def lines() -> list[str]:
    """Return the table as lines to print."""
    columns = ("part", "name", "for", "unit", "own parameters", "CUDA", "source")
    rows = [dict(zip(columns, columns, strict=True)), *table()]
    widths = {c: max(len(row.get(c, "")) for row in rows) for c in columns}
    return ["  ".join(row.get(c, "").ljust(widths[c]) for c in columns).rstrip() for row in rows]


class _Asked:
    """A backend of which only formulas are asked; it writes down those without a CUDA twin."""

    name = "numpy"

    def __init__(self) -> None:
        from minivae.backend import NumpyBackend

        self.real, self.missing = NumpyBackend(), []
        self.formulas = self.real.formulas

    def twins(self, *functions: Any) -> Any:
        """Return the formulas, and note which of them have no twin."""
        from minivae.cuda.formulas import CudaFormulas

        self.missing += [f.__name__ for f in functions if not hasattr(CudaFormulas, f.__name__)]
        return self.real.twins(*functions)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an array."""
        return np.empty(shape, dtype)

    def answer(self) -> str:
        """Return yes, or no."""
        return "no" if self.missing else "yes"
