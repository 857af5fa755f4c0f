"""Animated pictures: one grid of images after another, as a GIF by matplotlib's Pillow writer.

Where the frames come from, and where they are kept, is for snapshots.py.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.animation import PillowWriter
from matplotlib.figure import Figure

from minivae.looking.plots.pictures import Path, sheet
from minivae.storage.files import replacing

DPI = 100
SECONDS = 8  # that an animation takes, where that is between 2 and 10 frames a second
LAST = 1.5  # seconds for which the last frame stays


def save_animation(
    path: Path,
    frames: Sequence[np.ndarray],
    titles: Sequence[str],
    shape: tuple[int, ...],
    columns: int,
) -> None:
    """Write frames, each of images (N, D) with pixels in [0, 1], as a GIF that repeats."""
    sheets = [sheet(frame, shape, columns) for frame in frames]
    height, width = sheets[0].shape[:2]
    scale = max(1, round(440 / max(height, width)))
    top = 24  # dots for the title
    figure = Figure(figsize=(width * scale / DPI, (height * scale + top) / DPI), facecolor="white")
    axes = figure.add_axes((0, 0, 1, height * scale / (height * scale + top)))
    axes.set_axis_off()
    picture = axes.imshow(sheets[0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    title = axes.set_title(titles[0], fontsize=9, pad=4)
    writer = PillowWriter(fps=min(10, max(2, len(frames) / SECONDS)))
    content = io.BytesIO()
    content.name = "frames.gif"  # the writer wants a path ending so, the library below only a name
    with writer.saving(figure, content.name, DPI):
        writer.outfile = content
        for i in [*range(len(sheets)), *[len(sheets) - 1] * round(LAST * writer.fps)]:
            picture.set_data(sheets[i])
            title.set_text(titles[i])
            writer.grab_frame()
    with replacing(path) as file:
        file.write(content.getbuffer())
