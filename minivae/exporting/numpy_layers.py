"""What layers compute, in NumPy alone: text that an exported module takes what it needs of.

A row of x is a picture (height, width, channels), flattened; P holds the parameters by name.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

P: dict[str, np.ndarray] = {}


def linear(x, name):
    """Return x W^T + b."""
    return x @ P[f"{name}.weight"].T + P[f"{name}.bias"]


def conv2d(x, name, size, stride, padding):
    """Return the correlation of pictures of that size with W (out, in, rows, columns)."""
    weight, (top, left), (down, across) = P[f"{name}.weight"], padding, stride
    x = np.pad(x.reshape(len(x), *size, -1), ((0, 0), (top, top), (left, left), (0, 0)))
    patches = sliding_window_view(x, weight.shape[2:], axis=(1, 2))[:, ::down, ::across]
    y = np.tensordot(patches, weight, axes=((3, 4, 5), (1, 2, 3))) + P[f"{name}.bias"]
    return y.reshape(len(x), -1)


def conv_transpose2d(x, name, size, out, stride, padding):
    """Return the transpose of `conv2d`, W (in, out, rows, columns), from that size to `out`."""
    weight, (height, width), (down, across) = P[f"{name}.weight"], size, stride
    (top, left), (rows, columns) = padding, out
    _, channels, high, wide = weight.shape
    x = x.reshape(len(x), height, width, -1)
    room = max(top + rows, down * (height - 1) + high)
    room = room, max(left + columns, across * (width - 1) + wide)
    y = np.zeros((len(x), *room, channels), x.dtype)
    for u in range(high):
        for v in range(wide):
            place = y[:, u : u + down * height : down, v : v + across * width : across]
            place[:, :height, :width] += x @ weight[:, :, u, v]
    y = y[:, top : top + rows, left : left + columns] + P[f"{name}.bias"]
    return y.reshape(len(x), -1)


def group_norm(x, name, groups, channels, eps):
    """Return x with mean 0 and variance 1 in each row and group of channels, then w x + b."""
    grouped = x.reshape(len(x), -1, groups, channels // groups)
    centred = grouped - grouped.mean(axis=(1, 3), keepdims=True)
    y = centred / np.sqrt((centred**2).mean(axis=(1, 3), keepdims=True) + x.dtype.type(eps))
    y = y.reshape(len(x), -1, channels) * P[f"{name}.weight"] + P[f"{name}.bias"]
    return y.reshape(len(x), -1)


def batch_norm(x, name, channels, eps):
    """Return (x - mean) / sqrt(variance + eps) by the running means of training, then w x + b."""
    deviation = np.sqrt(P[f"{name}.running_var"] + x.dtype.type(eps))
    y = (x.reshape(-1, channels) - P[f"{name}.running_mean"]) / deviation
    return (y * P[f"{name}.weight"] + P[f"{name}.bias"]).reshape(x.shape)


def planes(x, count):
    """Return (planes, pixels) from (pixels, planes)."""
    return x.reshape(len(x), -1, count).swapaxes(1, 2).reshape(len(x), -1)


def prelu(x, name, channels):
    """Return x where it is positive, w x elsewhere."""
    rows = x.reshape(-1, channels)
    return np.where(rows > 0, rows, P[f"{name}.weight"] * rows).reshape(x.shape)


def relu(x):
    """Return max(x, 0)."""
    return np.maximum(x, 0)


def leaky_relu(x, slope):
    """Return x where it is positive, slope x elsewhere."""
    return np.where(x > 0, x, slope * x)


def sigmoid(x):
    """Return 1 / (1 + e^-x), without overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def tanh(x):
    """Return tanh(x)."""
    return np.tanh(x)


def silu(x):
    """Return x sigmoid(x)."""
    return x * sigmoid(x)


def gelu(x):
    """Return x times the share of N(0, 1) below x."""
    return 0.5 * x * (1 + np.vectorize(math.erf, [x.dtype])(x * 2**-0.5))


def gelu_tanh(x):
    """Return `gelu`'s approximation by a tanh."""
    return 0.5 * x * (1 + np.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3)))


def elu(x, alpha):
    """Return x where it is positive, alpha (e^x - 1) elsewhere."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def softplus(x):
    """Return log(1 + e^x), without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def exp(x):
    """Return e^x."""
    return np.exp(x)


def first(x, columns):
    """Return the first columns."""
    return x[:, :columns]


def softmax(x, groups):
    """Return shares that sum to 1 in each group of columns."""
    parts = []
    for part in np.split(x, np.cumsum(groups)[:-1], axis=1):
        e = np.exp(part - part.max(axis=1, keepdims=True))
        parts.append(e / e.sum(axis=1, keepdims=True))
    return np.concatenate(parts, axis=1)
