"""A run's directory, or a checkpoint file, as Python's user looks at it; nothing is written here.

What is in a checkpoint is for checkpoint.py, who writes into the directory for directory.py.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from minivae import views
from minivae.errors import shown
from minivae.inputs import typed
from minivae.runs import checkpoint
from minivae.training import History
from minivae.vae import VAE

KINDS = {".png": "image/png", ".gif": "image/gif"}
MODEL = (
    *("hidden", "activation", "norm", "dropout", "condition", "latent", "beta"),
    *("likelihood", "posterior", "prior", "bound"),
)
TRAINING = ("batch_size", "lr", "optimizer", "clip", "lr_schedule", "beta_schedule", "seed")


class Picture:
    """A picture of a run, which a notebook shows; `path` is its file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        """Return the file's name."""
        return f"<Picture {shown(self.path)}>"

    def _repr_mimebundle_(self, **asked: Any) -> dict[str, Any]:
        return {KINDS[self.path.suffix]: self.path.read_bytes(), "text/plain": repr(self)}


class Run:
    """A run as it was last saved.

    Parameters
    ----------
    path : path
        A run's directory, such as runs/mnist, or a checkpoint file.

    Raises
    ------
    CheckpointError
        If there is no checkpoint, or it is damaged.
    """

    @typed
    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._saved = checkpoint.read(path)

    @property
    def model(self) -> VAE:
        """The trained model."""
        return self._saved.vae

    @cached_property
    def history(self) -> History:
        """The records of its epochs; none where a model was saved alone."""
        history = History(self._saved.config.get("history", []))
        history.noun = "row" if self._saved.image_shape[0] == 1 else "image"
        return history

    @property
    def figures(self) -> dict[str, Picture]:
        """The pictures in its directory, by name: "loss", "samples", ..."""
        files = sorted(self.path.iterdir()) if self.path.is_dir() else []
        return {file.stem: Picture(file) for file in files if file.suffix in KINDS}

    @property
    def settings(self) -> dict[str, Any]:
        """What the run was begun with: model, data, training."""
        return settings(self._saved.config)

    @property
    def result(self) -> dict[str, Any]:
        """The losses of its last epoch, and how far it has come.

        `elbo` is the evidence lower bound, at beta 1 whatever beta was: so that runs compare. Of a
        bound of several draws it is None.
        """
        state = self._saved.config.get("training", {})
        result: dict[str, Any] = {"epochs": state.get("epoch", 0), "asked": state.get("epochs")}
        if self.history:
            last = self.history[-1]
            result |= {
                "elbo": elbo(self.model, last.test_nll, last.test_kl),
                "test_loss": last.test_loss,
                "test_nll": last.test_nll,
                "test_kl": last.test_kl,
                "least_test_loss": min(record.test_loss for record in self.history),
                "seconds": math.fsum(record.seconds for record in self.history),
            }
        return result

    def __repr__(self) -> str:
        """Return one line: where it is, and what its last epoch gave."""
        return f"<Run {shown(self.path)}: {self.model!r}, {self.history!r}>"

    def _repr_html_(self) -> str:
        facts = self.settings | self.result | {"pictures": ", ".join(self.figures)}
        return views.facts(shown(self.path), facts)


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint's `config` says of data, model and training."""
    known, data = {**config["model"], **config.get("training", {})}, config.get("data", {})
    chosen = {"data": data["name"], "binarize": data["binarize"]} if data else {}
    return chosen | {name: known[name] for name in (*MODEL, *TRAINING) if name in known}


def elbo(vae: VAE, nll: float, kl: float) -> float | None:
    """Return the evidence lower bound, in nats per image, whatever beta a model was trained with.

    None of a bound of several draws, which is another quantity.
    """
    return -(nll + kl) if vae.bound.samples == 1 else None


def compare(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return a row for each run: its path, the settings in which they differ, and its results."""
    begun = [run.settings for run in runs]
    names = dict.fromkeys(name for one in begun for name in one)
    differ = [name for name in names if len({str(one.get(name)) for one in begun}) > 1]
    return [
        {"run": shown(run.path), **{name: one.get(name) for name in differ}, **run.result}
        for run, one in zip(runs, begun, strict=True)
    ]


def as_text(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return rows under their names, as lines of columns."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


def _cell(value: Any) -> str:
    if value in (None, ""):
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) >= 10 else f"{value:.4g}"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
