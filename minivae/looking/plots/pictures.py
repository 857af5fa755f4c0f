"""The pictures of a run: grids of images, the loss over the epochs, mu as a cloud of dots.

Walks through the latent space are in walks.py, animations in animation.py.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps, image
from matplotlib.figure import Figure

from minivae.errors import ArgumentError
from minivae.looking.latent import main_plane
from minivae.storage.files import replacing

Path = str | os.PathLike[str]
GAP = 2  # pixels between images of a grid, before scaling
TALLEST = 120  # an image is scaled up by a whole factor until it would pass this many dots


def sheet(
    images: np.ndarray, shape: tuple[int, ...], columns: int, gap: int = GAP, ground: float = 1
) -> np.ndarray:
    """Return images (N, D) side by side, row after row, on white or another ground: one picture.

    Of a shape (height, width, 3) it is in colour, (rows, columns, 3), cut to [0, 1].

    Raises
    ------
    ArgumentError
        If the images have other channels than 1 or 3.
    """
    height, width, *channels = shape
    if channels not in ([], [1], [3]):
        raise ArgumentError(f"pictures have 1 channel or 3, not {channels[0]}: they are not drawn")
    depth = channels if channels == [3] else []
    rows = -(-len(images) // columns)
    size = rows * (height + gap) + gap, columns * (width + gap) + gap
    out = np.full((*size, *depth), ground, np.float32)
    for i, picture in enumerate(images):
        top = gap + i // columns * (height + gap)
        left = gap + i % columns * (width + gap)
        out[top : top + height, left : left + width] = picture.reshape(height, width, *depth)
    return np.clip(out, 0, 1) if depth else out


def save_grid(path: Path, images: np.ndarray, shape: tuple[int, ...], columns: int) -> None:
    """Write images (N, D) with pixels in [0, 1] as a grid of that many columns, dot for dot."""
    picture = sheet(images, shape, columns)
    scale = max(1, TALLEST // max(shape[:2]) // 2)
    picture = picture.repeat(scale, 0).repeat(scale, 1)
    with replacing(path) as file:
        image.imsave(file, picture, vmin=0, vmax=1, cmap="gray", format="png")


def save_pairs(
    path: Path, images: np.ndarray, others: np.ndarray, shape: tuple[int, ...], columns: int
) -> None:
    """Write rows of images (N, D), each row with the row of its counterparts below it."""
    save_grid(path, paired(images, others, columns), shape, columns)


def paired(images: np.ndarray, others: np.ndarray, columns: int) -> np.ndarray:
    """Return rows of images (N, D), each row with the row of its counterparts after it."""
    rows = []
    for start in range(0, len(images), columns):
        for part in (images[start : start + columns], others[start : start + columns]):
            blank = np.ones((columns - len(part), part.shape[1]), part.dtype)
            rows += [part, blank]
    return np.concatenate(rows)


class Plot(Figure):
    """A figure that a notebook shows whether or not pyplot was imported."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, dpi=110, format="png")
        return file.getvalue()


def loss(history: Sequence[Any]) -> Figure:
    """Return a figure: training and test loss, and the test loss's two parts, over the epochs."""
    epochs, unit = [record.epoch for record in history], f"nats per {_noun(history)}"
    figure = Plot(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [r.train_loss for r in history], label="training", marker=".")
    left.plot(epochs, [r.test_loss for r in history], label="test", marker=".")
    left.set(xlabel="epoch", ylabel=f"loss ({unit})")
    left.legend(frameon=False)
    right.plot(epochs, [r.test_nll for r in history], label="test reconstruction", marker=".")
    right.plot(epochs, [r.test_kl for r in history], label="test KL", marker=".")
    right.set(xlabel="epoch", ylabel=unit, ylim=(0, None))
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _noun(history: Sequence[Any]) -> str:
    return getattr(history, "noun", "image")


def save_loss(path: Path, history: Sequence[Any]) -> None:
    """Write the figure `loss`."""
    save_figure(loss(history), path)


def curves(histories: Mapping[str, Sequence[Any]]) -> Figure:
    """Return a figure: the test loss of several runs over the epochs, each under its name."""
    figure = Plot(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, history in histories.items():
        axes.plot([r.epoch for r in history], [r.test_loss for r in history], label=name)
    nouns = {_noun(history) for history in histories.values()}
    axes.set(xlabel="epoch", ylabel=f"test loss (nats per {' or '.join(sorted(nouns))})")
    if len(histories) <= 20:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def grid(images: np.ndarray, shape: tuple[int, ...], columns: int) -> Figure:
    """Return a figure: images (N, D) with pixels in [0, 1] as a grid of that many columns."""
    picture = sheet(images, shape, columns)
    height, width = picture.shape[:2]
    figure = Plot(figsize=(6, 6 * height / width))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(picture, vmin=0, vmax=1, cmap="gray")
    axes.set_axis_off()
    return figure


def samples(vae: Any, n: int = 64, seed: int = 0, shape: tuple[int, ...] | None = None) -> Figure:
    """Return a figure of n images that a model draws; their shape is the model's if not said."""
    return grid(vae.sample(n, seed), shape or _shape(vae), max(1, round(n**0.5)))


def reconstructions(vae: Any, data: Any, n: int = 32, columns: int = 8) -> Figure:
    """Return a figure of test images of a data set, each row above that of its reconstructions."""
    x = data.pixels(rows=slice(n), dtype=vae.dtype)
    return grid(paired(x, vae.reconstruct(x), columns), data.image_shape, columns)


def latent(vae: Any, data: Any, n: int = 10_000) -> Figure:
    """Return the figure `dots` of a model's mu for test images of a data set."""
    mu, _ = vae.encode(data.pixels(rows=slice(n), dtype=vae.dtype))
    labels = data.test_labels
    return dots(mu, None if labels is None else labels[:n])


def _shape(vae: Any) -> tuple[int, ...]:
    """Return the shape of a model's images; a single row if they are no square."""
    if vae.image_shape is not None:
        return tuple(vae.image_shape)
    side = round(vae.pixels**0.5)
    return (side, side) if side * side == vae.pixels else (1, vae.pixels)


def save_latent(path: Path, mu: np.ndarray, labels: np.ndarray | None) -> None:
    """Write the figure `dots`."""
    save_figure(dots(mu, labels), path)


def dots(mu: np.ndarray, labels: np.ndarray | None) -> Figure:
    """Return a figure: mu (N, Z) in the plane of its main directions, coloured by label (N,)."""
    plane = main_plane(mu)
    points = plane.of(mu)
    figure = Plot(figsize=(6.4, 5.6), layout="constrained")
    axes = figure.subplots()
    if labels is None:
        axes.scatter(*points.T, s=3, linewidths=0)
    else:
        names = np.unique(labels)
        colours = colormaps["tab10" if len(names) <= 10 else "turbo"]
        for i, name in enumerate(names):
            colour = colours(i if len(names) <= 10 else i / (len(names) - 1))
            chosen = labels == name
            axes.scatter(*points[chosen].T, s=3, linewidths=0, color=colour, label=str(name))
        if len(names) <= 20:
            axes.legend(frameon=False, markerscale=4, loc="center left", bbox_to_anchor=(1, 0.5))
    shares = " and ".join(f"{share:.0%}" for share in plane.shares)
    axes.set(
        xlabel="first main direction of mu",
        ylabel="second",
        title=f"mu of the test images: {shares} of its variance",
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG."""
    with replacing(path) as file:
        figure.savefig(file, dpi=110, format="png")
