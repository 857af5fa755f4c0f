"""Which files each form of export has, and their writing: all of them are made before one is.

What is in them is for the forms' own modules.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minivae.data import Dataset
from minivae.data.pixels import BINARIZE
from minivae.errors import ArgumentError, BackendError
from minivae.exporting import as_numpy, as_onnx, as_torch
from minivae.inputs import one_of, typed
from minivae.storage.files import replacing
from minivae.vae import VAE

FORMS = ("torch", "onnx", "safetensors", "numpy", "html")


@typed
def export(
    vae: VAE,
    to: str,
    folder: str | os.PathLike[str] = "export",
    *,
    data: Dataset | None = None,
    title: str = "minivae",
    binarize: str = "none",
) -> list[Path]:
    """Write a model for those who have no minivae; return the files.

    Encoder and decoder take and give rows as the model does, pixels in [0, 1] of a picture
    (height, width, channels), flattened; numbers agree up to the rounding of sums.

    Parameters
    ----------
    vae : VAE
        The model.
    to : str
        "torch": torch_vae.py, a module that needs PyTorch alone, and torch_vae.pt, its state dict.
        "onnx": encoder.onnx, decoder.onnx (needs the package onnx). "safetensors":
        model.safetensors (needs the package safetensors). "numpy": numpy_vae.py, a module that
        needs NumPy alone, and numpy_vae.npz. "html": explorer.html, see `minivae explore`.
    folder : path
        Where the files go; made if it is missing.
    data : Dataset, optional
        For "html", which shows test images.
    title, binarize : str
        For "html": see `looking.explore.explore_page`.

    Raises
    ------
    ArgumentError
        If the form is unknown, or a layer or part has none, which is named.
    BackendError
        If the package of that form is missing.
    WriteError
        If a file cannot be written.
    """
    one_of(to, FORMS, "export to")
    one_of(binarize, BINARIZE, "binarize")
    arrays = {name: np.array(vae.backend.to_host(view)) for name, view in vae.params.items()}
    if to == "html":
        if data is None:
            raise ArgumentError("the explorer shows test images: give data=")
        from minivae.looking.explore import explore_page

        made = {"explorer.html": explore_page(vae, data, title, binarize).encode()}
    elif to == "safetensors":
        made = {"model.safetensors": _safetensors(vae, arrays)}
    else:
        form: Any = {"torch": as_torch, "onnx": as_onnx, "numpy": as_numpy}[to]
        made = form.files(vae, arrays)
    for name, content in made.items():
        with replacing(Path(folder) / name) as file:
            file.write(content)
    return [Path(folder) / name for name in made]


def _safetensors(vae: VAE, arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the parameters under their names; in the metadata, what makes the model again."""
    try:
        from safetensors.numpy import save
    except ImportError:
        raise BackendError("safetensors needs its package: pip install safetensors") from None
    own = not all(isinstance(one, int | str) for one in vae.hidden)
    model = {} if own else {"model": json.dumps(vae.spec() | {"dtype": vae.dtype.name})}
    return save(dict(arrays), {"minivae": "1", **model})
