"""From what a user writes down, "c32,c64,256", to the layers of encoder and decoder.

The model says how many numbers go in and come out; it also places the parameters. What a layer
computes is for layers.py and its kin.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterator, Sequence
from typing import Any

from minivae.errors import ArgumentError
from minivae.layers import Layer, Linear, ReLU, Sequential
from minivae.networks.convolution import Conv2d, ConvTranspose2d
from minivae.networks.planes import Planes

Token = int | str  # a width, or a layer of pictures
TOKEN = re.compile(r"(?P<kind>c)(?P<size>\d{1,9})(k(?P<k>\d{1,9}))?(s(?P<s>\d{1,9}))?", re.ASCII)
Picture = tuple[int, int, int]  # height, width, channels


def parse(hidden: str | Sequence[Token]) -> tuple[Token, ...]:
    """Return the layers that are written down: 256 (a width), c32 (a convolution), c32k3s1.

    Raises
    ------
    ArgumentError
        If one of them is none, naming it.
    """
    tokens = hidden.split(",") if isinstance(hidden, str) else hidden
    return tuple(_token(token, isinstance(hidden, str)) for token in tokens)


def _token(token: Any, text: bool) -> Token:
    if isinstance(token, str):
        token = token.strip()
        if text and token.isascii() and token.isdigit() and len(token) < 10:
            token = int(token)
        else:
            found = TOKEN.fullmatch(token)
            if found and "0" not in (found["size"], found["k"], found["s"]):
                return token
            raise ArgumentError(
                f"hidden {token!r:.50}: give a width such as 256, or a convolution such as c32 or "
                "c32k3s1 (32 channels, kernels 3x3, stride 1)"
            )
    try:
        width = operator.index(token)
    except TypeError:
        raise ArgumentError(f"hidden {token!r:.50} is no whole number") from None
    if width < 1:
        raise ArgumentError(f"hidden must be at least 1, not {token}")
    return width


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
    height, width, channels = (*image_shape, 1)[:3]
    if height * width * channels != pixels:
        raise ArgumentError(f"image_shape {tuple(image_shape)} has not {pixels} pixels")
    return height, width, channels


def build(
    hidden: Sequence[Token],
    pixels: int,
    stats: int,
    latent: int,
    width: int = 1,
    image_shape: Sequence[int] | None = None,
    backend: Any = "numpy",
) -> tuple[Sequential, Sequential]:
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
    """
    stages = list(_stages(hidden, pixels, image_shape))
    encoder: list[Layer] = []
    for token, before, after in stages:
        encoder += [_layer(token, before, after, backend), ReLU(backend)]
    decoder: list[Layer] = []
    entry = stages[-1][2] if stages else (pixels,)
    numbers = math.prod(entry)
    encoder.append(Linear(numbers, stats, backend=backend))
    decoder.append(Linear(latent, numbers if stages else numbers * width, backend=backend))
    for i, (token, before, after) in reversed(list(enumerate(stages))):
        times = width if i == 0 else 1
        decoder += [ReLU(backend), _mirror(token, before, after, times, backend)]
        if times > 1 and isinstance(token, str):
            decoder.append(Planes(times, backend=backend))
    return Sequential(encoder), Sequential(decoder)


def _stages(
    hidden: Sequence[Token], pixels: int, image_shape: Sequence[int] | None
) -> Iterator[tuple[Token, tuple[int, ...], tuple[int, ...]]]:
    """Yield each token with the shape that comes into its layer and the one that goes out."""
    shape: tuple[int, ...] = (pixels,)
    for i, token in enumerate(hidden):
        before = shape
        if isinstance(token, int):
            shape = (token,)
        else:
            if i == 0:
                before = picture(image_shape, pixels)
            elif len(before) == 1:
                raise ArgumentError(
                    f"hidden {token} comes after {hidden[i - 1]}: convolutions stand before the "
                    "widths, where there are still pictures"
                )
            channels, kernel, stride, padding = _numbers(token)
            size = tuple((n + 2 * padding - kernel) // stride + 1 for n in before[:2])
            if min(size) < 1:
                raise ArgumentError(
                    f"hidden {token}: its kernel of {kernel}x{kernel} does not fit into pictures "
                    f"of {before[0]}x{before[1]}"
                )
            shape = (*size, channels)
        yield token, before, shape


def _numbers(token: str) -> tuple[int, int, int, int]:
    """Return channels, kernel, stride and padding: 4x4 and stride 2 if not said."""
    found = TOKEN.fullmatch(token)
    assert found
    kernel, stride = int(found["k"] or 4), int(found["s"] or 2)
    return int(found["size"]), kernel, stride, max(0, kernel - stride + 1) // 2


def _layer(token: Token, before: tuple[int, ...], after: tuple[int, ...], backend: Any) -> Layer:
    if isinstance(token, int):
        return Linear(math.prod(before), token, backend=backend)
    channels, kernel, stride, padding = _numbers(token)
    return Conv2d(*(before[2], channels, kernel, stride, padding), size=before[:2], backend=backend)


def _mirror(
    token: Token, before: tuple[int, ...], after: tuple[int, ...], times: int, backend: Any
) -> Layer:
    """Return the layer from `after` back to `before`, with so many times the numbers."""
    if isinstance(token, int):
        return Linear(token, times * math.prod(before), backend=backend)
    channels, kernel, stride, padding = _numbers(token)
    lost = tuple((n + 2 * padding - kernel) % stride for n in before[:2])
    return ConvTranspose2d(
        *(channels, times * before[2], kernel, stride, padding, lost),
        size=after[:2],
        backend=backend,
    )
