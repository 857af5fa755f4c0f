"""What the epochs of a run gave, as a list that can show itself.

How pictures are drawn is for looking/plots.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from minivae import views


class Record(NamedTuple):
    """What an epoch gave: losses in nats per image or row, wall-clock seconds, those per second."""

    epoch: int
    train_loss: float
    train_nll: float
    train_kl: float
    test_loss: float
    test_nll: float
    test_kl: float
    seconds: float
    images_per_second: float


class History(list[Record]):
    """A list of records, one for each epoch; `noun` says of what each loss is a mean."""

    noun = "image"

    def plot(self) -> Any:
        """Return a matplotlib figure: the losses over the epochs."""
        from minivae.looking.plots import loss

        return loss(self)

    def __repr__(self) -> str:
        """Return one line: how many epochs, and the last one's test loss."""
        last = f", test loss {self[-1].test_loss:.2f} nats per {self.noun}" if self else ""
        return f"<History: {len(self)} epochs{last}>"

    def _repr_html_(self) -> str:
        names = ("epoch", "train_loss", "test_loss", "test_nll", "test_kl", "seconds")
        rows = [[f"{getattr(r, name):.6g}" for name in names] for r in self]
        return views.table(
            f"nats per {self.noun}", [name.replace("_", " ") for name in names], rows
        )
