"""Snapshots of a training: the same noise decoded after every epoch, kept in the run's directory.

The file outlives an interruption, so that a resumed run goes on with the frames it had. Making an
animation of them is for plots.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from minivae.errors import DataError, WriteError, shown
from minivae.storage.arrays import read_npz
from minivae.storage.files import replacing
from minivae.training import Training

FILE, PICTURE = "snapshots.npz", "snapshots.gif"
IMAGES = 64


class Snapshots:
    """The frames of one run, each of IMAGES images (N, D) in whole grey values from 0 to 255.

    Parameters
    ----------
    folder : path
        The run's directory.
    training : Training
        The run, before its first step or as resumed. Frames that the directory holds already are
        kept up to where it stands: epochs after that will be taken again.
    notice : callable
        Called with each message for the user.

    Attributes
    ----------
    epochs : list of int
        The epoch after which each frame was taken; 0 is the model before any training.
    frames : list of array (N, D) uint8
        The frames.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        training: Training,
        notice: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.path, self.notice = Path(folder) / FILE, notice
        self.epochs: list[int] = []
        self.frames: list[np.ndarray] = []
        self._warned = False
        if training.epoch or training.step:
            self._read(training)
        if training.step == 0 and training.epoch not in self.epochs:
            self.take(training)
        if missing := training.epoch + 1 - len(self.epochs):
            notice(f"snapshots: no frame of {missing} of the epochs before this one")

    def take(self, training: Training) -> None:
        """Decode the noise and keep the frame; a disk that fails is no reason to stop training."""
        images, units = training.vae.in_turn(IMAGES).sample(IMAGES), training.data.units
        if units is not None:
            images = units.drawn(units.cells(images)).astype(np.float32)
        self.frames.append(np.round(images * np.float32(255)).astype(np.uint8))
        self.epochs.append(training.epoch)
        try:
            with replacing(self.path) as file:
                np.savez(file, epochs=np.array(self.epochs), frames=np.stack(self.frames))
        except WriteError as error:
            if not self._warned:
                self.notice(f"warning: {error}; training goes on")
            self._warned = True

    def _read(self, training: Training) -> None:
        if not self.path.exists():
            return
        try:
            arrays = read_npz(self.path)
            epochs, frames = arrays["epochs"], arrays["frames"]
        except (DataError, KeyError) as error:
            self.notice(f"snapshots: the earlier frames cannot be read: {error}")
            return
        if (frames.dtype, frames.shape[1:], epochs.shape, epochs.dtype.kind) != (
            np.uint8, (IMAGES, training.vae.pixels), frames.shape[:1], "i",
        ):  # fmt: skip
            self.notice(f"snapshots: {shown(self.path)} holds no frames of this model")
            return
        kept = epochs <= training.epoch
        self.epochs, self.frames = epochs[kept].tolist(), list(frames[kept])


def discard(folder: str | os.PathLike[str]) -> None:
    """Remove the snapshots of an earlier run from its directory."""
    for name in (FILE, PICTURE):
        with suppress(OSError):
            Path(folder, name).unlink(missing_ok=True)
