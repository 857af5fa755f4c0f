"""A model and the state of its training to one file and back; nothing in the file is believed.

Here is decided what a checkpoint holds and which of it must fit together. How arrays and text
become a file that cannot change unnoticed is for sealed.py.
"""

from __future__ import annotations

import math
import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minivae import __version__, sealed
from minivae.arrayfile import shown
from minivae.data import BINARIZE, Dataset
from minivae.errors import CheckpointError, NotFiniteError
from minivae.training import Record, Training
from minivae.vae import VAE

FORMAT = 1
FILE = "checkpoint.npz"
MODEL = ("pixels", "hidden", "latent", "beta", "seed")
MOMENTS, HISTORY = ("adam.m", "adam.v"), "history"


class Checkpoint(NamedTuple):
    """What a checkpoint file holds, besides the numbers already put into the model.

    `config` has the keys "format", "minivae", "model"; of a training also "data", "training" and
    "history" (a list of `Record`). All values are of the right type and fit one another.
    """

    vae: VAE
    config: dict[str, Any]
    moments: tuple[np.ndarray, np.ndarray] | None


def save(path: str | os.PathLike[str], vae: VAE, training: Training | None = None) -> None:
    """Write a model, and the state of its training if given, to a file.

    The file appears whole or not at all, and only after it has reached the disk.

    Raises
    ------
    NotFiniteError
        If a number in it is not finite: a file that is there stays as it is.
    WriteError
        If the file cannot be written; a file that is there stays as it is.
    """
    to_host = vae.backend.to_host
    config: dict[str, Any] = {
        "format": FORMAT,
        "minivae": __version__,
        "model": {name: getattr(vae, name) for name in MODEL} | {"dtype": vae.dtype.name},
    }
    arrays = {}
    if training is not None:
        training.sync()
        arrays = {"adam.m": to_host(training.adam.m), "adam.v": to_host(training.adam.v)}
        arrays[HISTORY] = np.array(training.history, np.float64).reshape(-1, len(Record._fields))
        data, source = training.data, training.source
        config["data"] = {
            "name": shown(data.name),
            "source": source if source.isprintable() else "",
            "image_shape": data.image_shape,
            "fingerprint": data.fingerprint,
            "binarize": training.binarize,
        }
        config["training"] = {
            "epochs": training.epochs,
            "threads": training.threads,
            "batch_size": training.batch_size,
            "lr": training.adam.lr,
            "seed": training.seed,
            "epoch": training.epoch,
            "step": training.step,
            "adam_steps": training.adam.steps,
            "nll_sum": training.nll_sum,
            "kl_sum": training.kl_sum,
            "seconds": training.seconds,
        }
    arrays |= {name: to_host(view) for name, view in vae.params.items()}
    _finite(arrays, "the model is not saved")
    sealed.write(path, config, arrays)


def read(path: str | os.PathLike[str], backend: Any = "numpy") -> Checkpoint:
    """Read a checkpoint file, or the one in a run directory.

    Raises
    ------
    CheckpointError
        If there is none, or it is damaged, of a newer format, or contradicts itself.
    """
    file = Path(path) / FILE if os.path.isdir(path) else Path(path)
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
        vae = _vae(config, arrays, backend)
        moments = _training(config, arrays, vae) if "training" in config else None
        if arrays:
            raise ValueError(f"the array {min(arrays)} does not belong to it")
    except (KeyError, TypeError, ValueError, OverflowError, NotFiniteError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise CheckpointError(f"{shown(file)} is not a minivae checkpoint: {reason}") from None
    return Checkpoint(vae, config, moments)


def load(path: str | os.PathLike[str], backend: Any = "numpy") -> VAE:
    """Return the model of a checkpoint file or a run directory."""
    return read(path, backend).vae


def resume(path: str | os.PathLike[str], data: Dataset, backend: Any = "numpy") -> Training:
    """Return the training that a checkpoint was part of, ready to go on to the bit.

    Raises
    ------
    CheckpointError
        If it holds no training, or was trained on other data.
    """
    vae, config, moments = read(path, backend)
    if moments is None:
        raise CheckpointError(f"{shown(path)} holds a model alone: it cannot be resumed")
    known, state = config["data"], config["training"]
    if known["fingerprint"] != data.fingerprint:
        raise CheckpointError(
            f"{shown(path)} was trained on {known['name']} ({known['fingerprint'][:12]}), not on "
            f"{shown(data.name)} ({data.fingerprint[:12]}): resume with the same data (--data), or "
            "start another run (--out)"
        )
    training = Training(
        vae,
        data,
        batch_size=state["batch_size"],
        lr=state["lr"],
        seed=state["seed"],
        binarize=known["binarize"],
    )
    if (
        training.batch_size != state["batch_size"]
        or state["step"] > training.steps_per_epoch
        or state["adam_steps"] != state["epoch"] * training.steps_per_epoch + state["step"]
    ):
        raise CheckpointError(f"{shown(path)} counts steps that its data do not have")
    training.adam.m[...], training.adam.v[...] = map(vae.backend.asarray, moments)
    training.adam.steps = state["adam_steps"]
    for name in ("epoch", "step", "nll_sum", "kl_sum", "seconds", "epochs", "threads"):
        setattr(training, name, state[name])
    training.source = known["source"]
    training.history = list(config["history"])
    return training


def _vae(config: dict[str, Any], arrays: dict[str, np.ndarray], backend: Any) -> VAE:
    """Make the model; its arrays are taken out of `arrays`."""
    _text(config, "minivae")
    model = config["model"]
    if not isinstance(model["hidden"], list):
        raise TypeError(f"hidden is {model['hidden']!r:.50}")
    layers = dict(enumerate(model["hidden"]))
    hidden = [_whole(layers, i, 1) for i in layers]
    pixels, latent = _whole(model, "pixels", 1), _whole(model, "latent", 1)
    _whole(model, "seed"), _number(model, "beta")
    if model.get("dtype") not in ("float32", "float64") or set(model) != {*MODEL, "dtype"}:
        raise ValueError("its model is of an unknown kind")
    # Sizes are compared with what the file holds before memory is taken for them.
    widths = (pixels, *hidden, 2 * latent), (latent, *reversed(hidden), pixels)
    size = sum((inputs + 1) * outputs for w in widths for inputs, outputs in pairwise(w))
    mine = [name for name in arrays if name.startswith(("encoder.", "decoder."))]
    if len(mine) != 4 * len(hidden) + 4 or sum(arrays[name].size for name in mine) != size:
        raise ValueError(f"its arrays are not those of {pixels} pixels, hidden layers "
                         f"{hidden!r:.50} and latent size {latent}")  # fmt: skip
    vae = VAE(**model, backend=backend)
    for name, view in vae.params.items():
        view[...] = vae.backend.asarray(_take(arrays, name, view.shape, vae.dtype))
    return vae


def _training(
    config: dict[str, Any], arrays: dict[str, np.ndarray], vae: VAE
) -> tuple[np.ndarray, np.ndarray]:
    """Check what is said of the training; its arrays are taken out of `arrays`."""
    data, state = config["data"], config["training"]
    _text(data, "name"), _text(data, "source")
    if not re.fullmatch("[0-9a-f]{64}", _text(data, "fingerprint")):
        raise ValueError("the fingerprint of its data is none")
    if data["binarize"] not in BINARIZE:
        raise ValueError(f"binarize is {data['binarize']!r:.50}")
    shape = data["image_shape"]
    if not isinstance(shape, list) or len(shape) != 2:
        raise TypeError(f"image_shape is {shape!r:.50}")
    sides = dict(enumerate(shape))
    if _whole(sides, 0, 1) * _whole(sides, 1, 1) != vae.pixels:
        raise ValueError(f"image_shape is {shape} for {vae.pixels} pixels")
    for name in ("epochs", "threads"):
        if state[name] is not None:
            _whole(state, name, 1)
    _whole(state, "batch_size", 1), _whole(state, "seed"), _whole(state, "step")
    _whole(state, "adam_steps"), _whole(state, "epoch")
    for name in ("nll_sum", "kl_sum", "seconds", "lr"):
        _number(state, name, least=-math.inf if name.endswith("sum") else 0)
    if state["lr"] == 0:
        raise ValueError("lr is 0")
    rows = _take(arrays, HISTORY, (state["epoch"], len(Record._fields)), np.dtype(np.float64))
    if not (rows[:, 0] == np.arange(1, len(rows) + 1)).all():
        raise ValueError("its history skips an epoch")
    config["history"] = [Record(int(row[0]), *row[1:]) for row in rows.tolist()]
    m, v = (_take(arrays, name, vae.theta.shape, vae.dtype) for name in MOMENTS)
    return m, v


def _take(
    arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    array = arrays.pop(name)
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"{name} has shape {array.shape} and type {array.dtype}, not {shape} and {dtype}"
        )
    _finite({name: array}, "it is damaged")
    return array


def _finite(arrays: dict[str, np.ndarray], verdict: str) -> None:
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise NotFiniteError(f"{name} holds numbers that are not finite: {verdict}")


def _whole(table: Any, name: Any, least: int = 0) -> int:
    value = table[name]
    if type(value) is not int or value < least:
        raise ValueError(f"{name} is {value!r:.50}")
    return value


def _number(table: Any, name: str, least: float = 0) -> float:
    value = table[name]
    if type(value) not in (int, float) or not math.isfinite(value) or value < least:
        raise ValueError(f"{name} is {value!r:.50}")
    return value


def _text(table: Any, name: str) -> str:
    value = table[name]
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{name} is {value!r:.50}")
    return value
