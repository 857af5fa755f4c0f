"""One flat vector of parameters and one of gradients, with named views into both.

It knows names, shapes and offsets; what the numbers mean is for layers.py, how they change for
optim.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

Array = Any  # an array of NumPy or of CuPy
ALL = slice(None)


class Parameters:
    """Named arrays that lie one after another in a flat vector, and their gradients likewise.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Name and shape of every parameter, in the order in which they lie in the vector.
    empty : callable
        ``empty(shape)`` makes an array of the wanted dtype on the wanted device.

    Attributes
    ----------
    theta, grad : array (size,)
        The flat vectors.
    views, grad_views : mapping of str to array
        Views into theta and grad. Write through them (``view[...] = x``); they are never rebound.
    slices : mapping of str to slice
        Where each parameter lies in the flat vectors.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], empty: Callable[[tuple[int, ...]], Any]
    ) -> None:
        slices, start = {}, 0
        for name, shape in shapes.items():
            size = 1
            for length in shape:
                size *= length
            slices[name] = slice(start, start + size)
            start += size
        self.size = start
        self.theta = empty((start,))
        self.grad = empty((start,))
        self.grad[...] = 0
        self.slices = MappingProxyType(slices)
        self.views = self._views(self.theta, shapes)
        self.grad_views = self._views(self.grad, shapes)

    def within(self, name: str, part: slice) -> slice | None:
        """Return which rows of a parameter lie in a part of the flat vector: ALL, some, or None."""
        if part == ALL:
            return ALL
        place, rows = self.slices[name], self.views[name].shape[0]
        width = max(1, (place.stop - place.start) // rows)
        first = max(0, (part.start - place.start) // width)
        last = min(rows, (part.stop - place.start) // width)
        if first >= last:
            return None
        return ALL if last - first == rows else slice(first, last)

    def _views(self, flat: Any, shapes: Mapping[str, tuple[int, ...]]) -> Mapping[str, Any]:
        return MappingProxyType(
            {name: flat[self.slices[name]].reshape(shape) for name, shape in shapes.items()}
        )
