"""A model and the state of its training to one file and back.

The file is an .npz: every parameter under its name, the optimizer's two vectors, and one JSON text
with configuration, position and history. Reading arrays safely is for arrayfile.py.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minivae import __version__
from minivae.arrayfile import read_npz, shown
from minivae.data import Dataset
from minivae.errors import CheckpointError, DataError
from minivae.files import replacing
from minivae.training import Record, Training
from minivae.vae import VAE

FORMAT = 1
FILE = "checkpoint.npz"
MODEL = ("pixels", "hidden", "latent", "beta", "seed")


class Checkpoint(NamedTuple):
    """What a checkpoint file holds, besides the numbers already put into the model."""

    vae: VAE
    config: dict[str, Any]
    moments: tuple[np.ndarray, np.ndarray] | None


def save(path: str | os.PathLike[str], vae: VAE, training: Training | None = None) -> None:
    """Write a model, and the state of its training if given, to a file.

    The file appears whole or not at all: see `minivae.files`.
    """
    to_host = vae.backend.to_host
    arrays = {name: to_host(view) for name, view in vae.params.items()}
    config: dict[str, Any] = {
        "format": FORMAT,
        "minivae": __version__,
        "model": {name: getattr(vae, name) for name in MODEL} | {"dtype": vae.dtype.name},
    }
    if training is not None:
        arrays["adam.m"], arrays["adam.v"] = to_host(training.adam.m), to_host(training.adam.v)
        data = training.data
        config["data"] = {
            "name": data.name,
            "image_shape": data.image_shape,
            "fingerprint": data.fingerprint,
            "binarize": training.binarize,
        }
        config["training"] = {
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
        config["history"] = [list(record) for record in training.history]
    arrays["config"] = np.frombuffer(json.dumps(config).encode(), np.uint8)
    with replacing(path) as file:
        np.savez(file, **arrays)


def read(path: str | os.PathLike[str], backend: Any = "numpy") -> Checkpoint:
    """Read a checkpoint file, or the one in a run directory.

    Raises
    ------
    CheckpointError
        If there is none, or it is damaged or of a newer format.
    """
    path = Path(path)
    file = path / FILE if path.is_dir() else path
    if not file.exists():
        raise CheckpointError(f"{shown(file)} does not exist: train a model first (minivae train)")
    try:
        arrays = read_npz(file)
        config = json.loads(arrays.pop("config").tobytes())
        if config["format"] > FORMAT:
            raise CheckpointError(
                f"{shown(file)} has format {config['format']}, newer than this minivae reads "
                f"({FORMAT}): upgrade minivae"
            )
        vae = VAE(**config["model"], backend=backend)
        for name, view in vae.params.items():
            view[...] = vae.backend.asarray(arrays[name].reshape(view.shape))
    except (DataError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{shown(file)} is not a minivae checkpoint: {error}") from None
    moments = (arrays["adam.m"], arrays["adam.v"]) if "adam.m" in arrays else None
    return Checkpoint(vae, config, moments)


def load(path: str | os.PathLike[str], backend: Any = "numpy") -> VAE:
    """Return the model of a checkpoint file or a run directory."""
    return read(path, backend).vae


def resume(path: str | os.PathLike[str], data: Dataset, backend: Any = "numpy") -> Training:
    """Return the training that a checkpoint was part of, ready to go on.

    Raises
    ------
    CheckpointError
        If it holds no training, or was trained on other data.
    """
    vae, config, moments = read(path, backend)
    if "training" not in config or moments is None:
        raise CheckpointError(f"{shown(path)} holds a model alone: it cannot be resumed")
    if config["data"]["fingerprint"] != data.fingerprint:
        raise CheckpointError(
            f"{shown(path)} was trained on {config['data']['name']}, whose images differ from "
            f"those of {data.name}: resume with the same data"
        )
    state = config["training"]
    training = Training(
        vae,
        data,
        batch_size=state["batch_size"],
        lr=state["lr"],
        seed=state["seed"],
        binarize=config["data"]["binarize"],
    )
    training.adam.m[...], training.adam.v[...] = map(vae.backend.asarray, moments)
    training.adam.steps = state["adam_steps"]
    for name in ("epoch", "step", "nll_sum", "kl_sum", "seconds"):
        setattr(training, name, state[name])
    training.history = [Record(*row) for row in config["history"]]
    return training
