"""Pictures of walks through the latent space: one unit at a time, or a whole plane of two.

The images come decoded; here they are laid out and labelled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from minivae.looking.plots.pictures import GAP, Path, save_figure, sheet

INCH = 0.42  # of the picture, for one image's longer side


def save_traverse(
    path: Path,
    images: np.ndarray,
    shape: tuple[int, ...],
    values: Sequence[float],
    names: Sequence[str],
) -> None:
    """Write images (U, S, D), a row for each of U names and a column for each of S values."""
    rows, columns, pixels = images.shape
    figure, axes, places = _laid_out(images.reshape(-1, pixels), shape, rows, columns, GAP)
    axes.set_xticks(places[1], [f"{value:g}" for value in values], fontsize=8)
    axes.set_yticks(places[0], names, fontsize=8)
    axes.xaxis.tick_top()
    save_figure(figure, path)


def save_manifold(
    path: Path, images: np.ndarray, shape: tuple[int, ...], values: Sequence[float]
) -> None:
    """Write images (N, N, D): z[0] grows along the second axis, z[1] along the first; z[1] upwards.

    N values label both sides.
    """
    rows, columns, pixels = images.shape
    figure, axes, places = _laid_out(images[::-1].reshape(-1, pixels), shape, rows, columns, 0)
    some = np.unique(np.linspace(0, len(values) - 1, min(len(values), 9)).astype(int))
    labels = [f"{values[i]:.2f}" for i in some]
    axes.set_xticks(places[1][some], labels, fontsize=8)
    axes.set_yticks(places[0][::-1][some], labels, fontsize=8)
    axes.set(xlabel="z[0]", ylabel="z[1]")
    save_figure(figure, path)


def _laid_out(
    images: np.ndarray, shape: tuple[int, ...], rows: int, columns: int, gap: int
) -> tuple:
    """Return a figure with the images, its axes, and the middles of rows and columns."""
    height, width = shape[:2]
    picture = sheet(images, shape, columns, gap)
    inch = INCH / max(height, width)
    size = (columns * width * inch + 1.3, rows * height * inch + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    middles = tuple(
        gap + np.arange(count) * (side + gap) + (side - 1) / 2
        for count, side in ((rows, height), (columns, width))
    )
    return figure, axes, middles
