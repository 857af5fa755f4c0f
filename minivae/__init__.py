"""minivae: variational autoencoders trained with derivatives written by hand.

The names below are loaded when they are first used, so that `minivae --help` imports no NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "VAE": "vae",
    "Adam": "optim",
    "Layer": "layers",
    "Linear": "layers",
    "ReLU": "layers",
    "Sigmoid": "layers",
    "Tanh": "layers",
    "Sequential": "layers",
    "Reparameterize": "layers",
    "load_data": "data",
    "train": "training",
    "evaluate": "training",
    "Run": "runs.run",
    "anomalies": "jobs",
    "impute": "jobs",
    "similar": "jobs",
    "combine": "jobs",
    "save": "runs.checkpoint",
    "load": "runs.checkpoint",
    "export": "exporting",
    "MinivaeError": "errors",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'minivae' has no attribute {name!r}")
    return getattr(import_module(f"minivae.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return ["__version__", *__all__]
