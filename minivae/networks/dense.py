"""Encoder and decoder of fully connected layers with ReLU between them.

The model says how many numbers go in and come out; it also places the parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from minivae.layers import Layer, Linear, ReLU, Sequential


def build(
    hidden: Sequence[int], pixels: int, stats: int, latent: int, eta: int, backend: Any = "numpy"
) -> tuple[Sequential, Sequential]:
    """Return the encoder, pixels to stats, and the decoder, latent to eta.

    Parameters
    ----------
    hidden : sequence of int
        Widths of the encoder's hidden layers; the decoder mirrors them.
    pixels, stats, latent, eta : int
        Numbers that the encoder takes and gives, and that the decoder takes and gives.
    """
    return (
        _chain((pixels, *hidden, stats), backend),
        _chain((latent, *reversed(hidden), eta), backend),
    )


def _chain(widths: Sequence[int], backend: Any) -> Sequential:
    layers: list[Layer] = []
    for inputs, outputs in pairwise(widths):
        if layers:
            layers.append(ReLU(backend))
        layers.append(Linear(inputs, outputs, backend=backend))
    return Sequential(layers)
