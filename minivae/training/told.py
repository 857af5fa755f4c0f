"""The training steps of a model that is told more than images: labels, what dropout leaves out.

Both are written beside each batch, in arrays of which the layers have views; batch norm is told
that it learns. All else is `Steps`' own; a model without any of them never comes here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae import networks
from minivae.errors import ArgumentError
from minivae.networks import Dropout
from minivae.noise import RowNoise
from minivae.training.sharing import Batch
from minivae.training.steps import Steps


class ToldSteps(Steps):
    """As `Steps`, with codes (n,) of labels, and a mask (n, features) for each `Dropout`."""

    def __init__(self, vae: Any, adam: Any, source: Any, batch_size: int, *settings: Any) -> None:
        super().__init__(vae, adam, source, batch_size, *settings)
        if networks.learning(self.model) and 1 in (batch_size, len(source.rows) % batch_size):
            raise ArgumentError(
                f"a batch of one, as batches of {batch_size} leave of {len(source.rows):,} images, "
                "has no variance for batch norm: give another --batch-size"
            )
        empty, n = vae.backend.empty, self.piece  # all processes see what is empty at first
        self._codes = empty((n,), np.int64)
        self._codes[...] = 0
        draws = [(vae.encoder, 1), (vae.decoder, vae.bound.samples)]  # rows for each image
        self._drops = [
            (layer, empty((n, k * layer.features), vae.dtype))
            for network, k in draws
            for layer in _drops(network)
        ]
        self._tell(self.model, slice(0, n))

    def _tell(self, model: Any, rows: slice) -> None:
        """Give a model the codes and masks of those images."""
        if self.source.codes is not None:
            networks.tell(model, self._codes[rows])
        networks.learning(model)
        for layer, (_, masks) in zip(_drops(model), self._drops, strict=True):
            layer.mask = masks[rows].reshape(-1, layer.features)

    def _prepare(self, order: np.ndarray, eps: RowNoise, uniform: RowNoise) -> None:
        super()._prepare(order, eps, uniform)
        self._noises = [eps.of(f"dropout {layer.name}") for layer, _ in self._drops]

    def _batch(self, n: int) -> Batch:
        new = n not in self._batches
        batch = super()._batch(n)
        if new:
            if self.members > 1:
                self._tell(batch.whole, slice(0, n))
            self._tell(batch.mine, batch.rows)
        return batch

    def _fill(self, batch: Batch, first: int) -> None:
        super()._fill(batch, first)
        first, rows = first + batch.place, batch.rows
        if self.source.codes is not None:
            indices = self._order[first : first + len(batch.x)]
            np.take(self.source.codes, indices, out=self._codes[rows], mode="clip")
        for (layer, masks), noise in zip(self._drops, self._noises, strict=True):
            networks.dropout_mask(noise.uniform(first, masks[rows]), layer.p)


def _drops(network: Any) -> list[Dropout]:
    """Return the layers of dropout within a network."""
    return [layer for layer in network.leaves() if isinstance(layer, Dropout)]
