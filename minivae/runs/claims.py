"""What a checkpoint says of itself, held against its arrays: nothing in the file is believed.

Every value is checked for type, range and agreement with the others before it is used, and sizes
before memory is taken for them. What the values are for is checkpoint.py's matter.

All functions raise KeyError, TypeError, ValueError, OverflowError or NotFiniteError.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from minivae import optim
from minivae.data import BINARIZE
from minivae.data.tables import Scale, Table, parse
from minivae.errors import NotFiniteError
from minivae.parts import spec
from minivae.products import LIBRARIES
from minivae.training import Record
from minivae.vae import VAE, shapes

MODEL = ("pixels", "hidden", "latent", "beta", "seed", "dtype")
PARTS = ("likelihood", "posterior", "prior", "bound", "activation", "norm")  # absent: default
SHAPE = "image_shape"  # absent: not said
LABELS, DROPOUT = "condition", "dropout"  # absent: none
HISTORY, UNITS = "history", "units"
OPTIONS: dict[str, Any] = {  # of a training, and what they were before there were others
    "optimizer": "adam",
    "clip": None,
    "lr_schedule": "",
    "beta_schedule": "",
    "validation": 0.0,
    "early_stop": None,
    "average_every": 1,
}


def model(config: dict[str, Any], arrays: dict[str, np.ndarray], backend: Any) -> VAE:
    """Make the model; its arrays are taken out of `arrays`."""
    _text(config, "minivae")
    model = config["model"]
    if not isinstance(model["hidden"], list):
        raise TypeError(f"hidden is {model['hidden']!r:.50}")
    layers = dict(enumerate(model["hidden"]))
    hidden = [one if isinstance(one, str) else _whole(layers, i, 1) for i, one in layers.items()]
    pixels, latent = _whole(model, "pixels", 1), _whole(model, "latent", 1)
    _whole(model, "seed"), _number(model, "beta")
    parts = {name: _text(model, name) for name in model.keys() & set(PARTS)}
    image_shape = model.setdefault(SHAPE, None)
    if image_shape is not None:
        _sides(image_shape, pixels)
    labels = model.setdefault(LABELS, [])
    if not isinstance(labels, list) or not all(type(one) is int for one in labels):
        raise TypeError(f"condition is {labels!r:.50}")
    model.setdefault(DROPOUT, 0.0)
    if _number(model, DROPOUT) >= 1:
        raise ValueError(f"dropout is {model[DROPOUT]}")
    keys = set(model) - parts.keys()
    if model.get("dtype") not in ("float32", "float64") or keys != {*MODEL, SHAPE, LABELS, DROPOUT}:
        raise ValueError("its model is of an unknown kind")
    # Sizes are compared with what the file holds before memory is taken for them.
    known = {name: array.shape for name, array in arrays.items()}
    few = len(hidden) < len(known)
    how = {SHAPE: image_shape, LABELS: labels, DROPOUT: model[DROPOUT]}
    wanted = shapes(pixels, hidden, latent, **parts, **how) if few else {}
    if not wanted or not wanted.items() <= known.items():
        raise ValueError(f"its arrays are not those of {pixels} pixels, hidden layers "
                         f"{hidden!r:.50} and latent size {latent}")  # fmt: skip
    vae = VAE(**model, backend=backend)
    for name, view in vae.params.items():
        view[...] = vae.backend.asarray(_take(arrays, name, view.shape, vae.dtype))
    return vae


def training(
    config: dict[str, Any], arrays: dict[str, np.ndarray], vae: VAE
) -> tuple[np.ndarray, ...]:
    """Check what is said of the training; its arrays are taken out of `arrays`."""
    data, state = config["data"], config["training"]
    _text(data, "name"), _text(data, "source")
    if not re.fullmatch("[0-9a-f]{64}", _text(data, "fingerprint")):
        raise ValueError("the fingerprint of its data is none")
    if data["binarize"] not in BINARIZE:
        raise ValueError(f"binarize is {data['binarize']!r:.50}")
    _sides(data["image_shape"], vae.pixels)
    for name in ("epochs", "threads"):
        if state[name] is not None:
            _whole(state, name, 1)
    state.setdefault("products", "numpy")  # older files do not say
    state.setdefault("computed", "")
    state.setdefault("accumulate", 1)
    _whole(state, "accumulate", 1)
    _text(state, "computed")
    if state["products"] not in (None, *LIBRARIES):
        raise ValueError(f"products is {state['products']!r:.50}")
    _whole(state, "batch_size", 1), _whole(state, "seed"), _whole(state, "step")
    _whole(state, "adam_steps"), _whole(state, "epoch")
    for name in ("nll_sum", "kl_sum", "seconds", "lr"):
        _number(state, name, least=-math.inf if name.endswith("sum") else 0)
    for name, before in {**OPTIONS, "best_epoch": 0, "best_loss": 0.0}.items():
        state.setdefault(name, before)
    for name in ("optimizer", "lr_schedule", "beta_schedule"):
        _text(state, name)
    if state["clip"] is not None:
        _number(state, "clip")
    if _number(state, "validation") >= 1:
        raise ValueError(f"validation is {state['validation']}")
    if state["early_stop"] is not None:
        _whole(state, "early_stop", 1)
    _whole(state, "average_every", 1)
    _number(state, "best_loss", least=-math.inf)
    if _whole(state, "best_epoch") > state["epoch"]:
        raise ValueError("its best epoch is yet to come")
    if state["lr"] == 0:
        raise ValueError("lr is 0")
    rows = _take(arrays, HISTORY, (state["epoch"], len(Record._fields)), np.dtype(np.float64))
    if not (rows[:, 0] == np.arange(1, len(rows) + 1)).all():
        raise ValueError("its history skips an epoch")
    config["history"] = [Record(int(row[0]), *row[1:]) for row in rows.tolist()]
    moments = list(optim.parse(state["optimizer"])[0].moments)
    if state["best_epoch"]:
        moments.append("best")
    return tuple(_take(arrays, f"adam.{name}", vae.theta.shape, vae.dtype) for name in moments)


def units(arrays: dict[str, np.ndarray], vae: VAE) -> Table | Scale | None:
    """Return the units of the data, taken out of `arrays`, if it has any; they must be its."""
    text = arrays.pop(UNITS, None)
    if text is None:
        return None
    if text.dtype != np.uint8 or text.ndim != 1:
        raise ValueError("its units are no text")
    units = parse(text.tobytes().decode())
    kind = spec.text(vae.likelihood)
    if units.width != vae.pixels or (isinstance(units, Table) and units.likelihood != kind):
        raise ValueError("its units are not those of its model")
    return units


def _sides(shape: Any, pixels: int) -> None:
    """Check the sides of images: two, or three with their channels."""
    if not isinstance(shape, list) or len(shape) not in (2, 3):
        raise TypeError(f"image_shape is {shape!r:.50}")
    sides = dict(enumerate(shape))
    if math.prod(_whole(sides, i, 1) for i in sides) != pixels:
        raise ValueError(f"image_shape is {shape} for {pixels} pixels")


def _take(
    arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    array = arrays.pop(name)
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"{name} has shape {array.shape} and type {array.dtype}, not {shape} and {dtype}"
        )
    finite({name: array}, "it is damaged")
    return array


def finite(arrays: dict[str, np.ndarray], verdict: str) -> None:
    """Raise NotFiniteError if any number is not finite, with that verdict; nothing is copied."""
    for name, array in arrays.items():
        if array.size and not np.isfinite([array.min(), array.max()]).all():  # both keep NaN
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
