"""Several numbers for each pixel, side by side or one plane after another.

Convolutions give the first, likelihoods take the second.
"""

from __future__ import annotations

from typing import Any

from minivae.layers import Layer


class Planes(Layer):
    """y (B, planes, D) from x (B, D, planes), both flattened.

    Parameters
    ----------
    planes : int
        Numbers for each pixel.
    """

    def __init__(self, planes: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.planes = planes

    def forward(self, x: Any) -> Any:
        """Return y, of x's shape."""
        y = self.like("y", x)
        y.reshape(len(x), self.planes, -1)[...] = x.reshape(len(x), -1, self.planes).swapaxes(1, 2)
        return y

    def backward_input(self, dy: Any) -> Any:
        """Return dx: the numbers put back."""
        dx = self.like("dx", dy)
        dx.reshape(len(dy), -1, self.planes)[...] = dy.reshape(len(dy), self.planes, -1).swapaxes(
            1, 2
        )
        return dx
