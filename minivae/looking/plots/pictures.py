"""The pictures of a run: grids of images, the loss over the epochs, mu as a cloud of dots.

Walks through the latent space are in walks.py, animations in animation.py.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps, image
from matplotlib.figure import Figure

from minivae.looking.latent import main_plane
from minivae.storage.files import replacing

Path = str | os.PathLike[str]
GAP = 2  # pixels between images of a grid, before scaling
TALLEST = 120  # an image is scaled up by a whole factor until it would pass this many dots


def sheet(
    images: np.ndarray, shape: tuple[int, int], columns: int, gap: int = GAP, ground: float = 1
) -> np.ndarray:
    """Return images (N, D) side by side, row after row, on white or another ground: one picture."""
    height, width = shape
    rows = -(-len(images) // columns)
    size = rows * (height + gap) + gap, columns * (width + gap) + gap
    out = np.full(size, ground, np.float32)
    for i, picture in enumerate(images):
        top = gap + i // columns * (height + gap)
        left = gap + i % columns * (width + gap)
        out[top : top + height, left : left + width] = picture.reshape(shape)
    return out


def save_grid(path: Path, images: np.ndarray, shape: tuple[int, int], columns: int) -> None:
    """Write images (N, D) with pixels in [0, 1] as a grid of that many columns, dot for dot."""
    picture = sheet(images, shape, columns)
    scale = max(1, TALLEST // max(shape) // 2)
    picture = np.kron(picture, np.ones((scale, scale), np.float32))
    with replacing(path) as file:
        image.imsave(file, picture, vmin=0, vmax=1, cmap="gray", format="png")


def save_pairs(
    path: Path, images: np.ndarray, others: np.ndarray, shape: tuple[int, int], columns: int
) -> None:
    """Write rows of images (N, D), each row with the row of its counterparts below it."""
    rows = []
    for start in range(0, len(images), columns):
        for part in (images[start : start + columns], others[start : start + columns]):
            blank = np.ones((columns - len(part), part.shape[1]), part.dtype)
            rows += [part, blank]
    save_grid(path, np.concatenate(rows), shape, columns)


def save_loss(path: Path, history: Sequence[Any]) -> None:
    """Write training and test loss, and the test loss's two parts, over the epochs."""
    epochs = [record.epoch for record in history]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [r.train_loss for r in history], label="training", marker=".")
    left.plot(epochs, [r.test_loss for r in history], label="test", marker=".")
    left.set(xlabel="epoch", ylabel="loss (nats per image)")
    left.legend(frameon=False)
    right.plot(epochs, [r.test_nll for r in history], label="test reconstruction", marker=".")
    right.plot(epochs, [r.test_kl for r in history], label="test KL", marker=".")
    right.set(xlabel="epoch", ylabel="nats per image", ylim=(0, None))
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def save_latent(path: Path, mu: np.ndarray, labels: np.ndarray | None) -> None:
    """Write mu (N, Z) as dots in the plane of its two main directions, coloured by label (N,)."""
    plane = main_plane(mu)
    dots = plane.of(mu)
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    axes = figure.subplots()
    if labels is None:
        axes.scatter(*dots.T, s=3, linewidths=0)
    else:
        names = np.unique(labels)
        colours = colormaps["tab10" if len(names) <= 10 else "turbo"]
        for i, name in enumerate(names):
            colour = colours(i if len(names) <= 10 else i / (len(names) - 1))
            chosen = labels == name
            axes.scatter(*dots[chosen].T, s=3, linewidths=0, color=colour, label=str(name))
        if len(names) <= 20:
            axes.legend(frameon=False, markerscale=4, loc="center left", bbox_to_anchor=(1, 0.5))
    shares = " and ".join(f"{share:.0%}" for share in plane.shares)
    axes.set(
        xlabel="first main direction of mu",
        ylabel="second",
        title=f"mu of the test images: {shares} of its variance",
    )
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG."""
    with replacing(path) as file:
        figure.savefig(file, dpi=110, format="png")
