"""Draws the error of numeric derivatives against their step.

The errors come from gradcheck/valley.py; other pictures are in pictures.py and walks.py.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from minivae.looking.plots.pictures import Path, save_figure


def save_valley(path: Path, steps: np.ndarray, errors: dict[str, np.ndarray]) -> None:
    """Write the relative error of central differences over their steps, a line for each dtype."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    for name, error in errors.items():
        best = int(np.argmin(error))
        label = f"{name}: least at h = {steps[best]:.0e}"
        axes.loglog(steps, np.maximum(error, 1e-16), label=label, marker=".")
    axes.set(
        xlabel="step h",
        ylabel="relative error of (f(x + hv) - f(x - hv)) / 2h",
        title="rounding grows to the left, truncation to the right",
    )
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)
