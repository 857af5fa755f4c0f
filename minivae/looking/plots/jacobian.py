"""A Jacobian as a picture: analytic, numeric, and their difference.

The arrays come from gradcheck/derivatives.py.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from minivae.looking.plots.pictures import Path, save_figure


def save_jacobian(path: Path, analytic: np.ndarray, numeric: np.ndarray, name: str = "") -> None:
    """Write three panels (outputs, entries) on one scale of colour; the difference has its own."""
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    size = float(np.abs([analytic, numeric]).max(initial=0.0)) or 1.0
    difference = analytic - numeric
    own = float(np.abs(difference).max(initial=0.0)) or size
    panels = [("analytic", analytic, size), ("numeric", numeric, size)]
    panels.append(("difference", difference, own))
    for axes, (title, values, limit) in zip(figure.subplots(1, 3), panels, strict=True):
        image = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        axes.set(title=title, xlabel=f"entry of {name}" if name else "entry", ylabel="output")
        figure.colorbar(image, ax=axes, format="%.1e" if title == "difference" else "%.2g")
    save_figure(figure, path)
