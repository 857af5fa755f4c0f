"""A training as Python's user drives it: an iterator of records that can be stopped, and gone on.

What is trained, and how, is loop.py's matter.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from minivae import views
from minivae.data import Dataset, load_data
from minivae.errors import ArgumentError
from minivae.inputs import said, typed
from minivae.training.history import History, Record
from minivae.training.loop import Training
from minivae.training.remarks import collapsed, remarks
from minivae.vae import VAE

Callback = Callable[[Training], object]
# What a stopped training leaves behind, for a second `train` of the same model.
STATE = ("adam", "epoch", "step", "nll_sum", "kl_sum", "seconds", "history", "computed")
STATE += ("best", "best_epoch", "best_loss")
_stopped: weakref.WeakKeyDictionary[VAE, tuple[Any, dict[str, Any]]] = weakref.WeakKeyDictionary()


class Epochs(Iterator[Record]):
    """A training under way: iterate over it for the record of each epoch, or let it `run`.

    Attributes
    ----------
    training : Training
        Model, optimizer, data and position.
    """

    def __init__(
        self, training: Training, epochs: int, threads: int | None, callbacks: Sequence[Callback]
    ) -> None:
        self.training, self.epochs, self.callbacks = training, epochs, tuple(callbacks)
        if not all(map(callable, self.callbacks)):
            raise ArgumentError(f"callbacks must be functions, not {said(list(callbacks))}")
        self._records = _records(training, training.run(epochs, threads=threads), self.callbacks)

    def __next__(self) -> Record:
        """Train an epoch, and return its record."""
        return next(self._records)

    @property
    def history(self) -> History:
        """The records of all epochs so far."""
        return self.training.history

    def run(self, progress: bool = True) -> History:
        """Train to the end; show each epoch, by tqdm where it is installed; return the history.

        An interrupt (Ctrl-C, a notebook's stop button) ends it with what it has: the same `train`
        once more goes on.
        """
        bar = _Bar(self) if progress else None
        try:
            for record in self:
                if bar is not None:
                    bar.show(record)
        except KeyboardInterrupt:
            self._records.close()
            t = self.training
            print(f"stopped after epoch {t.epoch}, step {t.step}: the same train() goes on")
        finally:
            if bar is not None:
                bar.close()
        return self.history

    def __repr__(self) -> str:
        """Return one line: how far it has come."""
        return (
            f"<Epochs: {self.training.epoch} of {self.epochs} done; iterate over it, or call run()>"
        )

    def _repr_html_(self) -> str:
        return views.facts(
            "training",
            {
                "epochs": f"{self.training.epoch} of {self.epochs}",
                "next": "iterate over it, or call run()",
                "model": self.training.vae,
                "data": self.training.data,
            },
        )


class _Bar:
    """A line for each epoch, or tqdm's bar."""

    def __init__(self, epochs: Epochs) -> None:
        self.total, self.bar = epochs.epochs, None
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return
        self.bar = tqdm(total=epochs.epochs, initial=epochs.training.epoch, unit="epoch")

    def show(self, record: Record) -> None:
        """Show what an epoch gave."""
        if self.bar is None:
            print(
                f"epoch {record.epoch}/{self.total}  train {record.train_loss:.2f}  "
                f"test {record.test_loss:.2f}  {record.seconds:.2f} s",
                flush=True,
            )
        else:
            self.bar.set_postfix(train=record.train_loss, test=record.test_loss)
            self.bar.update()

    def close(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.close()


def _records(
    training: Training, records: Iterator[Record], callbacks: Sequence[Callback]
) -> Iterator[Any]:
    vae = training.vae
    try:
        for record in records:
            if record.epoch in (2, training.epochs) and (
                line := collapsed(record, training.vae.bound)
            ):
                warnings.warn(line, stacklevel=2)
            stop = [callback(training) for callback in callbacks]
            yield record
            if any(stop):
                return
    finally:
        records.close()  # type: ignore[attr-defined]
        if training.epoch or training.step:
            _stopped[vae] = _settings(training), {name: getattr(training, name) for name in STATE}


def _settings(training: Training) -> tuple[Any, ...]:
    """Return what must be the same for a training to go on."""
    names = ("batch_size", "seed", "binarize", "validation", "early_stop")
    return (
        training.data.fingerprint,
        training.adam.lr,
        *(getattr(training, name) for name in names),
    )


@typed
def train(
    vae: VAE,
    data: Dataset | Any,
    epochs: int = 50,
    batch_size: int = 128,
    lr: float = 1e-3,
    seed: int = 0,
    binarize: str = "none",
    threads: int | None = None,
    products: str | None = None,
    validation: float = 0.0,
    early_stop: int | None = None,
    callbacks: Sequence[Callback] = (),
) -> Epochs:
    """Train a model: iterate over what this returns for a `Record` an epoch, or call its `run()`.

    Called again for a model that has had fewer epochs, with the same data and settings, it goes on
    to that many in all, to the bits of a training without a stop. Any other second call begins
    anew, from the parameters that the model has. A warning says which.

    Parameters
    ----------
    vae : VAE
        Trained in place.
    data : Dataset, or what `load_data` takes
        The images.
    epochs, batch_size, lr, seed
        As of Adam; a batch larger than the data set is the whole data set.
    binarize : str
        "none", "threshold", or "sampled" (pixels drawn anew each epoch).
    threads : int, optional
        Threads on the CPU; None: the cores available to this process, or one where processes
        cannot share the work (in a notebook a short training; its processes start in a second).
    products : str, optional
        What computes matrix products on the CPU: "numpy" or "onednn"; None: the quicker
        one, as `products.choose` says.
    validation : float
        The share of the training images that is held out of training: the model ends with the
        parameters of the epoch that explained them best. The test part has no say in it.
    early_stop : int, optional
        End after so many epochs without gain on the validation images, a tenth if not said.
    callbacks : sequence of callable
        Each is called with the `Training` after every epoch; a true value ends the training.
    """
    data = data if isinstance(data, Dataset) else load_data(data)
    training = Training(
        vae,
        data,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        binarize=binarize,
        products=products,
        validation=validation,
        early_stop=early_stop,
    )
    settings, state = _stopped.pop(vae, (None, None))
    if state is not None:
        if state["epoch"] < epochs and settings == _settings(training):
            vars(training).update(state)
            said = f"goes on after epoch {state['epoch']}, step {state['step']}"
        else:
            said = "begins anew, from the parameters that the model has"
        warnings.warn(f"this model was trained before: the training {said}", stacklevel=3)
    else:
        for line in remarks(training):
            warnings.warn(line, stacklevel=3)
    return Epochs(training, epochs, threads, callbacks)
