"""A model and the state of its training to one file and back.

Here is decided what a checkpoint holds. How arrays and text become a file that cannot change
unnoticed is for sealed.py, and whether what a file says is possible for claims.py.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minivae import __version__
from minivae.data import Dataset
from minivae.data.pictures import MAX_SIDE
from minivae.data.tables import Scale, Table
from minivae.errors import ArgumentError, CheckpointError, NotFiniteError, shown
from minivae.inputs import typed
from minivae.runs import claims
from minivae.storage import sealed
from minivae.training import Record, Training
from minivae.vae import VAE

FORMAT = 1
FILE = "checkpoint.npz"


class Checkpoint(NamedTuple):
    """What a checkpoint file holds, besides the numbers already put into the model.

    `config` has the keys "format", "minivae", "model"; of a training also "data", "training" and
    "history" (a list of `Record`). All values are of the right type and fit one another. `units`
    are those of the data, where they were a table or scaled.
    """

    vae: VAE
    config: dict[str, Any]
    moments: tuple[np.ndarray, ...] | None
    units: Table | Scale | None = None

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(rows, columns) of the model's images, in colour (rows, columns, 3), as it was trained.

        Of a model that was saved alone what it says itself; else square, else one row.
        """
        known = self.config.get("data", {}).get("image_shape") or self.vae.image_shape
        if known:
            return tuple(known)
        side = math.isqrt(self.vae.pixels)
        return (side, side) if side * side == self.vae.pixels else (1, self.vae.pixels)

    @property
    def reading(self) -> dict[str, Any]:
        """How `load_data` comes to the run's own images: at which size, and whether in colour."""
        shape = self.config.get("data", {}).get("image_shape", ())
        size = tuple(shape[:2]) if shape and max(shape) <= MAX_SIDE else None
        return {"image_size": size, "colour": len(shape) == 3}


@typed
def save(path: str | os.PathLike[str], vae: VAE, training: Training | None = None) -> None:
    """Write a model, and the state of its training if given, to a file.

    The file appears whole or not at all, and only after it has reached the disk.

    Raises
    ------
    ArgumentError
        If the model has layers that no text can name.
    NotFiniteError
        If a number in it is not finite: a file that is there stays as it is.
    WriteError
        If the file cannot be written; a file that is there stays as it is.
    """
    if not all(isinstance(one, int | str) for one in vae.hidden):
        raise ArgumentError(
            "a model with layers of your own is not saved: keep vae.theta, and make it again"
        )
    to_host = vae.backend.to_host
    config: dict[str, Any] = {
        "format": FORMAT,
        "minivae": __version__,
        "model": vae.spec() | {"dtype": vae.dtype.name},
    }
    arrays = {}
    if training is not None:
        training.sync()
        moments = training.adam.state | ({} if training.best is None else {"best": training.best})
        arrays = {f"adam.{name}": to_host(array) for name, array in moments.items()}
        rows = np.array(training.history, np.float64)
        arrays[claims.HISTORY] = rows.reshape(-1, len(Record._fields))
        data, source = training.data, training.source
        if data.units is not None:
            arrays[claims.UNITS] = np.frombuffer(data.units.text().encode(), np.uint8)
        config["data"] = {
            "name": shown(data.name),
            "source": source if source.isprintable() else "",
            "image_shape": data.image_shape,
            "fingerprint": data.fingerprint,
            "binarize": training.binarize,
        }
        if vae.condition:
            config["data"]["labels"] = data.label_fingerprint
        config["training"] = {
            "epochs": training.epochs,
            "threads": training.threads,
            "products": training.products,
            "computed": training.computed,
            "accumulate": training.accumulate,
            "batch_size": training.batch_size,
            "lr": training.adam.lr,
            "seed": training.seed,
            "epoch": training.epoch,
            "step": training.step,
            "adam_steps": training.adam.steps,
            "nll_sum": training.nll_sum,
            "kl_sum": training.kl_sum,
            "seconds": training.seconds,
            "optimizer": training.optimizer,
            "clip": training.clip,
            "lr_schedule": training.lr_schedule,
            "beta_schedule": training.beta_schedule,
            "validation": training.validation,
            "early_stop": training.early_stop,
            "average_every": training.average_every,
            "best_epoch": training.best_epoch,
            "best_loss": training.best_loss if training.best_epoch else 0.0,
        }
    arrays |= {name: to_host(view) for name, view in vae.params.items()}
    claims.finite(arrays, "the model is not saved")
    sealed.write(path, config, arrays)


def judge(vae: VAE) -> None:
    """Raise ArgumentError if a model has more arrays than a checkpoint can hold."""
    sealed.judge(len(vae.params) + 5)  # two moments, the best parameters, history, units


def file_of(path: str | os.PathLike[str]) -> Path:
    """Return the checkpoint's file, which may be named by its run directory."""
    return Path(path) / FILE if os.path.isdir(path) else Path(path)


@typed
def read(path: str | os.PathLike[str], backend: Any = "numpy") -> Checkpoint:
    """Read a checkpoint file, or the one in a run directory.

    Raises
    ------
    CheckpointError
        If there is none, or it is damaged, of a newer format, or contradicts itself.
    """
    file = file_of(path)
    try:
        os.stat(file)
    except FileNotFoundError:
        raise CheckpointError(
            f"{shown(file)} does not exist: train a model first (minivae train)"
        ) from None
    except (OSError, ValueError):
        pass  # the next line says what
    config, arrays = sealed.read(file)
    form = config.get("format")
    if type(form) is int and form > FORMAT:
        raise CheckpointError(
            f"{shown(file)} has format {form}, newer than this minivae reads ({FORMAT}): "
            "upgrade minivae"
        )
    try:
        if type(form) is not int or form != FORMAT:
            raise ValueError(f"its format is {form!r}")
        # Keys not known are passed over; arrays not known would be a state that is lost.
        vae = claims.model(config, arrays, backend)
        moments = claims.training(config, arrays, vae) if "training" in config else None
        units = claims.units(arrays, vae)
        if arrays:
            raise ValueError(f"the array {min(arrays)} does not belong to it")
    except (KeyError, TypeError, ValueError, OverflowError, NotFiniteError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise CheckpointError(f"{shown(file)} is not a minivae checkpoint: {reason}") from None
    return Checkpoint(vae, config, moments, units)


@typed
def load(path: str | os.PathLike[str], backend: Any = "numpy") -> VAE:
    """Return the model of a checkpoint file or a run directory."""
    return read(path, backend).vae


def resume(path: str | os.PathLike[str], data: Dataset, backend: Any = "numpy") -> Training:
    """Return the training that a checkpoint was part of, ready to go on.

    To the bit, with as many processes and the same library for products (`Training.computed`);
    otherwise up to rounding, which `Training.notice` is told when it runs.

    Raises
    ------
    CheckpointError
        If it holds no training, or was trained on other data.
    """
    vae, config, moments, _ = read(path, backend)
    if moments is None:
        raise CheckpointError(f"{shown(path)} holds a model alone: it cannot be resumed")
    known, state = config["data"], config["training"]
    if known["fingerprint"] != data.fingerprint:
        raise CheckpointError(
            f"{shown(path)} was trained on {known['name']} ({known['fingerprint'][:12]}), not on "
            f"{shown(data.name)} ({data.fingerprint[:12]}): resume with the same data (--data), or "
            "start another run (--out)"
        )
    if vae.condition and known.get("labels") != data.label_fingerprint:
        raise CheckpointError(
            f"{shown(path)} was trained with other labels of {known['name']}: resume with the same "
            "data (--data), or start another run (--out)"
        )
    names = ("batch_size", "lr", "seed", "products", "accumulate", *claims.OPTIONS)
    try:
        training = Training(
            vae, data, binarize=known["binarize"], **{name: state[name] for name in names}
        )
    except ArgumentError as error:
        raise CheckpointError(f"{shown(path)} holds a training that cannot be: {error}") from None
    if (
        training.batch_size != state["batch_size"]
        or state["step"] > training.steps_per_epoch
        or state["adam_steps"] != state["epoch"] * training.steps_per_epoch + state["step"]
    ):
        raise CheckpointError(f"{shown(path)} counts steps that its data do not have")
    for array, values in zip(training.adam.state.values(), moments, strict=False):
        array[...] = vae.backend.asarray(values)
    if state["best_epoch"]:
        training.best = vae.backend.asarray(moments[-1])
        training.best_epoch, training.best_loss = state["best_epoch"], state["best_loss"]
    training.adam.steps = state["adam_steps"]
    if training.adam.steps:  # as the last step left it
        training.schedule(training.adam.steps - 1)
    for name in ("epoch", "step", "nll_sum", "kl_sum", "seconds", "epochs", "threads", "computed"):
        setattr(training, name, state[name])
    training.source = known["source"]
    training.history[:] = config["history"]
    return training
