"""The training steps of a model that is told labels: each batch's codes are written beside it.

All else is `Steps`' own; a model without labels never comes here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae import networks
from minivae.training.sharing import Batch
from minivae.training.steps import Steps


class LabelledSteps(Steps):
    """As `Steps`, with one array of codes that the layers of model and windows have views of."""

    def __init__(self, vae: Any, *settings: Any) -> None:
        super().__init__(vae, *settings)
        self._codes = vae.backend.empty((self.piece,), np.int64)  # all processes see it
        self._codes[...] = 0
        networks.tell(self.model, self._codes)

    def _batch(self, n: int) -> Batch:
        new = n not in self._batches
        batch = super()._batch(n)
        if new:
            if self.members > 1:
                networks.tell(batch.whole, self._codes[:n])
            networks.tell(batch.mine, self._codes[batch.rows])
        return batch

    def _fill(self, batch: Batch, first: int) -> None:
        super()._fill(batch, first)
        first += batch.rows.start
        indices = self._order[first : first + len(batch.x)]
        np.take(self.source.codes, indices, out=self._codes[batch.rows], mode="clip")
