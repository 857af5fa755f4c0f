"""From what a user writes down, "c32,c64,256", to the layers of encoder and decoder.

The model says how many numbers go in and come out; it also places the parameters. What a layer
computes is for layers.py and its kin.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minivae.errors import ArgumentError
from minivae.inputs import said
from minivae.layers import Layer, Linear, ReLU, Sequential, Sigmoid, Tanh
from minivae.networks.activations import ELU, GELU, LeakyReLU, PReLU, SiLU, Softplus
from minivae.networks.convolution import Conv2d, ConvTranspose2d
from minivae.networks.dropout import Dropout
from minivae.networks.labels import Label, tell
from minivae.networks.normalisation import BatchNorm, GroupNorm, LayerNorm
from minivae.networks.planes import Planes
from minivae.networks.residual import Residual

Token = Any  # a width, 256; or text, "c32"; or, two of them, layers of one's own
TOKEN = re.compile(r"(c|r|)(\d{1,9})(?:k(\d{1,9}))?(?:s(\d{1,9}))?(n?)", re.ASCII)
Picture = tuple[int, int, int]  # height, width, channels

ACTIVATIONS: dict[str, Any] = {
    "relu": ReLU,
    "leaky-relu": LeakyReLU,
    "silu": SiLU,
    "gelu": GELU,
    "gelu-tanh": functools.partial(GELU, "tanh"),
    "elu": ELU,
    "softplus": Softplus,
    "prelu": PReLU,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
}
NORMS = ("none", "layer", "group", "batch")


class Written(NamedTuple):
    """What a token says: "c" a convolution, "r" a residual block, "" a width; and its numbers."""

    kind: str
    size: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    norm: bool = False


def parse(hidden: str | Sequence[Token]) -> tuple[Token, ...]:
    """Return the layers that are written down, widths as numbers.

    256 is a width; c32 a convolution to 32 channels by kernels of 4x4 with stride 2, c32k3s1 with
    3x3 and stride 1; r32 a residual block; an n at the end of any normalises what it gives.

    Raises
    ------
    ArgumentError
        If one of them is none, naming it.
    """
    tokens = tuple(hidden.split(",")) if isinstance(hidden, str) else tuple(hidden)
    if tokens and all(isinstance(token, Layer) for token in tokens):
        if len(tokens) != 2:
            raise ArgumentError(f"{len(tokens)} layers of your own: give encoder and decoder")
        return tokens
    return tuple(_token(token, isinstance(hidden, str)) for token in tokens)


def _token(token: Any, text: bool) -> Token:
    if isinstance(token, str):
        token = token.strip()
        if not (text and token.isascii() and token.isdigit() and len(token) < 10):
            _read(token)
            return token
    try:
        width = int(token) if isinstance(token, str) else operator.index(token)
    except TypeError:
        raise ArgumentError(f"hidden {token!r:.50} is no whole number") from None
    if width < 1:
        raise ArgumentError(f"hidden must be at least 1, not {token}")
    return width


def _read(token: Token) -> Written:
    """Return what a token says."""
    if not isinstance(token, str):
        return Written("", token)
    found = TOKEN.fullmatch(token)
    if found:
        kind, size, k, s, norm = found.groups()
        numbers = [int(number) for number in (size, k, s) if number]
        plain = kind == "c" or (k is None and s is None and (kind or norm))
        if plain and min(numbers) > 0:
            if kind != "c":
                return Written(kind, int(size), norm=bool(norm))
            kernel, stride = int(k or 4), int(s or 2)
            padding = max(0, kernel - stride + 1) // 2
            return Written(kind, int(size), kernel, stride, padding, bool(norm))
    raise ArgumentError(
        f"hidden {token!r:.50}: give a width such as 256, a convolution such as c32 or c32k3s1 "
        "(32 channels, kernels 3x3, stride 1), or a residual block such as r32; an n after it "
        "normalises"
    )


def picture(image_shape: Sequence[int] | None, pixels: int) -> Picture:
    """Return height, width and channels of images of so many pixels; square if not said.

    Raises
    ------
    ArgumentError
        If the shape has another number of pixels, or none is given and none can be guessed.
    """
    if image_shape is None:
        side = math.isqrt(pixels)
        if side * side != pixels:
            raise ArgumentError(
                f"convolutions need the shape of the images: {pixels} pixels are no square, so "
                "give image_shape=(height, width) or (height, width, channels)"
            )
        return side, side, 1
    sides = tuple(image_shape)
    whole = all(isinstance(side, int | np.integer) and side > 0 for side in sides)
    if len(sides) not in (2, 3) or not whole or math.prod(map(int, sides)) != pixels:
        raise ArgumentError(
            f"image_shape {said(sides)} is none of {pixels} pixels: give (height, width) or "
            "(height, width, channels)"
        )
    height, width, channels = (*map(int, sides), 1)[:3]
    return height, width, channels


def build(
    hidden: Sequence[Token],
    pixels: int,
    stats: int,
    latent: int,
    width: int = 1,
    image_shape: Sequence[int] | None = None,
    activation: str = "relu",
    norm: str = "none",
    classes: int = 0,
    dropout: float = 0.0,
    backend: Any = "numpy",
) -> tuple[Layer, Layer]:
    """Return the encoder, pixels to stats, and the decoder, latent to width * pixels.

    Parameters
    ----------
    hidden : sequence of int or str
        The encoder's hidden layers, from `parse`; the decoder mirrors them.
    pixels, stats, latent, width : int
        Numbers that the encoder takes and gives, that the decoder takes, and that it gives for
        each pixel.
    image_shape : sequence of int, optional
        Height and width of the images, and their channels if they have several.
    activation, norm : str
        What follows each hidden layer: see ACTIVATIONS, NORMS.
    classes : int
        Labels whose rows of weights are added to what the first layers give; 0: none.
    dropout : float
        The chance of what a hidden layer gives to be left out in training.

    Raises
    ------
    ArgumentError
        If a name is unknown, or a layer does not fit what comes before it.
    """
    if activation not in ACTIVATIONS:
        raise ArgumentError(f"activation {activation!r:.50} is unknown: {', '.join(ACTIVATIONS)}")
    if norm not in NORMS:
        raise ArgumentError(f"norm {norm!r:.50} is unknown: {', '.join(NORMS)}")

    if hidden and isinstance(hidden[0], Layer):
        return _own(hidden[0], pixels, stats), _own(hidden[1], latent, width * pixels)

    def after(shape: tuple[int, ...], normed: bool) -> Iterator[Layer]:
        """Yield what follows a hidden layer that gives numbers of that shape."""
        if norm == "batch":
            yield BatchNorm(shape[-1], backend=backend)
        elif (normed or norm != "none") and norm != "layer" and len(shape) == 3:
            yield GroupNorm(math.gcd(8, shape[2]), shape[2], backend=backend)
        elif normed or norm != "none":
            yield LayerNorm(math.prod(shape), backend=backend)
        yield ACTIVATIONS[activation](backend=backend)
        if dropout:
            yield Dropout(dropout, math.prod(shape), backend=backend)

    stages = list(_stages(hidden, pixels, image_shape))
    encoder: list[Layer] = []
    for written, small, shape in stages:
        encoder += [_layer(written, small, backend), *after(shape, written.norm)]
    shape = stages[-1][2] if stages else (pixels,)
    times = [width, *[1] * len(stages)]  # only what gives the pixels gives several numbers each
    encoder.append(Linear(math.prod(shape), stats, backend=backend))
    decoder: list[Layer] = [Linear(latent, times[-1] * math.prod(shape), backend=backend)]
    if classes:
        first = stages[0][2][-1] if stages else stats
        encoder.insert(1, Label(classes, first, backend=backend))
        decoder.append(Label(classes, times[-1] * math.prod(shape), backend=backend))
    for i, (written, large, small) in reversed(list(enumerate(stages))):
        decoder += [*after(small, written.norm), _mirror(written, large, small, times[i], backend)]
        if times[i] > 1 and written.kind:
            decoder.append(Planes(times[i], backend=backend))
    return Sequential(encoder), Sequential(decoder)


def _own(layer: Layer, inputs: int, outputs: int) -> Layer:
    """Return a twin of a user's layer, which a model may place its parameters anew of."""
    twin: Any = layer.twin()
    tell(twin, np.zeros(1, np.int64))
    y = twin.forward(np.zeros((1, inputs), twin.parameters.theta.dtype))
    if y.shape != (1, outputs):
        raise ArgumentError(
            f"{type(layer).__name__} makes {y.shape} of (1, {inputs}): (1, {outputs}) is needed"
        )
    tell(twin, None)
    return twin


def _stages(
    hidden: Sequence[Token], pixels: int, image_shape: Sequence[int] | None
) -> Iterator[tuple[Written, tuple[int, ...], tuple[int, ...]]]:
    """Yield what each token says, with the shape that comes into its layer and that goes out."""
    shape: tuple[int, ...] = (pixels,)
    for i, token in enumerate(hidden):
        written, before = _read(token), shape
        if not written.kind:
            shape = (written.size,)
        else:
            if i == 0:
                before = picture(image_shape, pixels)
            elif len(before) == 1:
                raise ArgumentError(
                    f"hidden {token} comes after {hidden[i - 1]}: convolutions stand before the "
                    "widths, where there are still pictures"
                )
            kernel, reach = written.kernel, 2 * written.padding
            size = tuple((n + reach - kernel) // written.stride + 1 for n in before[:2])
            if min(size) < 1:
                raise ArgumentError(
                    f"hidden {token}: its kernel of {kernel}x{kernel} does not fit into pictures "
                    f"of {before[0]}x{before[1]}"
                )
            shape = (*size, written.size)
        yield written, before, shape


def _layer(written: Written, large: tuple[int, ...], backend: Any) -> Layer:
    if not written.kind:
        return Linear(math.prod(large), written.size, backend=backend)
    pair, size = (large[2], written.size), large[:2]
    if written.kind == "r":
        return Residual(*pair, size=size, backend=backend)
    return Conv2d(
        *(*pair, written.kernel, written.stride, written.padding), size=size, backend=backend
    )


def _mirror(
    written: Written, large: tuple[int, ...], small: tuple[int, ...], times: int, backend: Any
) -> Layer:
    """Return the layer from `small` back to `large`, with so many times the numbers."""
    if not written.kind:
        return Linear(written.size, times * math.prod(large), backend=backend)
    pair, size = (written.size, times * large[2]), small[:2]
    if written.kind == "r":
        return Residual(*pair, size=size, backend=backend)
    kernel, stride, padding = written.kernel, written.stride, written.padding
    lost = tuple((n + 2 * padding - kernel) % stride for n in large[:2])
    return ConvTranspose2d(*(*pair, kernel, stride, padding, lost), size=size, backend=backend)
