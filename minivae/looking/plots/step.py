"""A picture of one traced training step: operations as boxes, arrays with values on the arrows.

The encoder runs along the top to the right, the decoder along the bottom back to the left, so that
the logits come to stand under the image. What the numbers are is decided in trace/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from minivae.looking.plots.pictures import Path, save_figure

INK, SOFT, FORWARD, BACKWARD = "#1e2430", "#5a6270", "#22667f", "#b3541e"
STEP, ROWS = 3.2, 4.4  # inches from box to box, and from the encoder's row to the decoder's
WIDE, HIGH = 1.3, 0.6  # a box
ABOVE, BELOW = 2.6, 2.4  # the rows: room for the parameters
LINE, GAP = 0.122, 0.05  # height of a line of numbers, and between arrays
SHOWN = 8  # an array of up to that many numbers is written out

Point = tuple[float, float]


def save_step(path: Path, trace: Any, title: str) -> None:
    """Write the graph of a trace (minivae.looking.trace.Trace) under a title."""
    depth = 2 * len(trace.sizes[1:-1]) + 1  # layers of each network
    width, height = (depth + 1.65) * STEP, BELOW + ROWS + ABOVE
    figure = Figure(figsize=(width, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    axes.text(0.3, height - 0.35, title, fontsize=13, color=INK, weight="bold", parse_math=False)
    axes.text(0.3, height - 0.65, "forward: values in blue, arrows in the direction of computing; "
              "back: the loss's derivative with respect to the same array in orange",
              fontsize=9, color=SOFT)  # fmt: skip

    pen = _Pen(axes, trace)
    xs = [0.32 * STEP + i * STEP for i in range(depth + 2)]
    top, middle, bottom = BELOW + ROWS, BELOW + ROWS / 2, BELOW
    pen.box((xs[0], top), "x")
    for i in range(depth):
        pen.layer("encoder", i, (xs[i + 1], top), above=True)
        output = "x" if i == 0 else f"encoder.{i - 1}.y"
        pen.arrow([(xs[i], top), (xs[i + 1], top)], output)
        # The decoder's first layer stands under the encoder's last.
        pen.layer("decoder", i, (xs[depth - i], bottom), above=False)
        output = "logits" if i == depth - 1 else f"decoder.{i}.y"
        pen.arrow([(xs[depth - i], bottom), (xs[depth - i - 1], bottom)], output)
    end = xs[depth + 1] - 0.35 * STEP
    pen.box((end, middle), "z = mu +\nexp(logvar/2) eps")
    pen.arrow([(xs[depth], top), (end, top), (end, middle)], "")
    pen.numbers((end + 0.12, (top + middle) / 2 + 0.3), ["mu", "logvar"], ["dmu", "dlogvar"])
    pen.numbers((end + WIDE / 2 + 0.1, middle), ["eps"], [])
    pen.arrow([(end, middle), (end, bottom), (xs[depth], bottom)], "")
    pen.numbers((end + 0.12, (middle + bottom) / 2), ["z"], ["dz"])

    kl, loss = (end - STEP, middle), (xs[0] + 1.25 * STEP, middle)
    pen.box(kl, "KL to N(0, 1)")
    pen.arrow([(end, (top + middle) / 2 + 0.3), (kl[0], (top + middle) / 2 + 0.3), kl], "")
    pen.numbers((kl[0] - 0.1, (top + middle) / 2 - 0.05), [], ["dmu_kl", "dlogvar_kl"], "right")
    pen.box((xs[0], bottom), "softplus(l) - x l")
    pen.arrow([(xs[0], top), (xs[0], bottom)], "")
    pen.box(loss, f"nll + {trace.beta:g} kl")
    pen.arrow([kl, loss], "kl")
    pen.arrow([(xs[0] + 0.4, bottom), (xs[0] + 0.4, middle), loss], "")
    pen.numbers((xs[0] + 0.5, middle + 0.15), ["nll"], [])
    pen.numbers((loss[0], middle + HIGH / 2 + 0.15), ["loss"], [], "center")
    save_figure(figure, path)


class _Pen:
    """Draws boxes, arrows between their edges, and numbers beside them."""

    def __init__(self, axes: Any, trace: Any) -> None:
        self.axes, self.values = axes, {entry.name: entry.value for entry in trace.entries}

    def box(self, at: Point, text: str) -> None:
        x, y = at
        self.axes.text(
            x, y, text, ha="center", va="center", fontsize=8.5, color=INK, zorder=3,
        )  # fmt: skip
        self.axes.add_patch(_rectangle(x, y))

    def layer(self, network: str, place: int, at: Point, above: bool) -> None:
        """Draw a layer with its parameters and their gradients on the outer side."""
        name = f"{network}.{place}"
        if f"{name}.weight" not in self.values:
            self.box(at, f"{name}\nmax(x, 0)")
            return
        self.box(at, f"{name}\nx W.T + b")
        parameters = [f"{name}.weight", f"{name}.bias"]
        offset = HIGH / 2 + 0.1
        self.numbers(
            (at[0], at[1] + (offset if above else -offset)),
            parameters,
            [f"d({parameter})" for parameter in parameters],
            "center",
            "bottom" if above else "top",
        )

    def arrow(self, corners: Sequence[Point], name: str) -> None:
        """Draw an arrow from box to box by way of corners; a straight one bears an array."""
        *way, last = corners
        for start, end in zip(way, [*way[1:], last], strict=True):
            head = "-|>" if end == last else "-"
            self.axes.annotate(
                "", _edge(last, start) if end == last else end, start, zorder=1,
                arrowprops={"arrowstyle": head, "color": SOFT, "lw": 1, "shrinkA": 0, "shrinkB": 0},
            )  # fmt: skip
        if name:
            at = (corners[0][0] + last[0]) / 2
            self.numbers((at, last[1] + 0.06), [name], [], "center", "bottom")
            gradient = f"d{name}" if name.isidentifier() else f"d({name})"
            if gradient in self.values:
                self.numbers((at, last[1] - 0.06), [], [gradient], "center", "top")

    def numbers(
        self,
        at: Point,
        forward: Sequence[str],
        backward: Sequence[str],
        side: str = "left",
        height: str = "center",
    ) -> None:
        """Write arrays: forward ones in blue over backward ones in orange."""
        blocks = [(self._written(name), FORWARD) for name in forward]
        blocks += [(self._written(name), BACKWARD) for name in backward]
        heights = [LINE * (block.count("\n") + 1) + GAP for block, _ in blocks]
        y = at[1] + {"center": sum(heights) / 2, "bottom": sum(heights), "top": 0.0}[height]
        for (block, colour), high in zip(blocks, heights, strict=True):
            self.axes.text(
                at[0], y, block, ha=side, va="top", color=colour, fontsize=7.3, family="monospace",
                linespacing=1.15, zorder=3, parse_math=False,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
            )  # fmt: skip
            y -= high

    def _written(self, name: str) -> str:
        value = self.values[name]
        if not value.ndim:
            return f"{name} = {float(value):.4g}"
        if value.size > SHOWN:
            return f"{name} {value.shape}\nmean {value.mean():.2g}, dev. {value.std():.2g}"
        rows = np.atleast_2d(value)
        return f"{name}\n" + "\n".join(" ".join(f"{v + 0.0:6.3f}" for v in row) for row in rows)


def _rectangle(x: float, y: float) -> Any:
    return FancyBboxPatch(
        (x - WIDE / 2, y - HIGH / 2), WIDE, HIGH, boxstyle="round,pad=0,rounding_size=0.1",
        facecolor="#f0eee8", edgecolor=SOFT, linewidth=0.8, zorder=2,
    )  # fmt: skip


def _edge(box: Point, start: Point) -> Point:
    """Return where an arrow from `start`, straight across or straight up, meets the box."""
    (x, y), (from_x, from_y) = box, start
    if abs(from_y - y) < 1e-9:
        return x + np.sign(from_x - x) * WIDE / 2, y
    return x, y + np.sign(from_y - y) * HIGH / 2
