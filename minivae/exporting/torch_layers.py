"""What PyTorch's own layers lack: text that an exported module takes what it needs of.

A row of x is a picture (height, width, channels), flattened, as minivae has them.
"""

from __future__ import annotations

import torch
from torch import nn


def picture(x, size):
    """Return rows as pictures, channels first."""
    return x.reshape(len(x), *size, -1).permute(0, 3, 1, 2)


def rows(x):
    """Return pictures as rows, channels last."""
    return x.permute(0, 2, 3, 1).reshape(len(x), -1)


class Conv2d(nn.Conv2d):
    """A convolution of rows that are pictures of that size."""

    def __init__(self, *args, size):
        super().__init__(*args)
        self.size = size

    def forward(self, x):
        """Return y as rows."""
        return rows(super().forward(picture(x, self.size)))


class ConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution of rows that are pictures of that size."""

    def __init__(self, *args, size):
        super().__init__(*args)
        self.size = size

    def forward(self, x):
        """Return y as rows."""
        return rows(super().forward(picture(x, self.size)))


class GroupNorm(nn.GroupNorm):
    """Normalises groups of channels of rows that are pictures."""

    def forward(self, x):
        """Return y as rows."""
        y = super().forward(x.reshape(len(x), -1, self.num_channels).transpose(1, 2))
        return y.transpose(1, 2).reshape(len(x), -1)


class BatchNorm(nn.Module):
    """Normalises each channel of rows: in training by the batch, else by the running means."""

    def __init__(self, channels, eps, momentum):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = (nn.Parameter(torch.zeros(channels)) for _ in range(2))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x):
        """Return y as rows."""
        kept = self.running_mean, self.running_var, self.weight, self.bias
        how = self.training, self.momentum, self.eps
        rows = x.reshape(-1, len(self.bias))
        return nn.functional.batch_norm(rows, *kept, *how).reshape(x.shape)


class PReLU(nn.PReLU):
    """A learned slope below 0, one for all or one for each channel."""

    def forward(self, x):
        """Return y, of x's shape."""
        return super().forward(x.reshape(-1, self.num_parameters)).reshape(x.shape)


class Residual(nn.Module):
    """What a path makes of x, added to x or to what `skip` makes of it."""

    def __init__(self, path, skip=None):
        super().__init__()
        self.path, self.skip = path, skip

    def forward(self, x):
        """Return the sum."""
        return self.path(x) + (x if self.skip is None else self.skip(x))


class Planes(nn.Module):
    """(planes, pixels) from (pixels, planes), both flattened."""

    def __init__(self, planes):
        super().__init__()
        self.planes = planes

    def forward(self, x):
        """Return y, of x's shape."""
        return x.reshape(len(x), -1, self.planes).transpose(1, 2).reshape(len(x), -1)


def softmax(x, groups):
    """Return shares that sum to 1 in each group of columns."""
    return torch.cat([part.softmax(1) for part in x.split(groups, 1)], 1)
