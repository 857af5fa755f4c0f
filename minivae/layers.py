"""Layers: objects that own their parameter views and their buffers, and call the formulas.

Each forward keeps what its backward needs; the arithmetic is in formulas.py, the wiring in vae.py.

Every method that works on a batch takes ``rows``, the rows of the batch that this call computes:
all of them, unless several processes share the batch. Arrays are always those of the whole batch.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from minivae.backend import Backend, get_backend
from minivae.errors import ArgumentError
from minivae.noise import generator
from minivae.params import Parameters

ALL = slice(None)


def cut(array: Any, rows: slice) -> Any:
    """Return those rows of the array; the array itself when all are meant."""
    return array if rows is ALL else array[rows]


def cut_columns(array: Any, columns: slice) -> Any:
    """Return those columns of the array; the array itself when all are meant."""
    return array if columns is ALL else array[:, columns]


def _overlap(part: slice, place: slice, width: int, count: int) -> slice | None:
    """Return which of the `count` rows, `width` wide, that lie at `place` fall into `part`."""
    if part is ALL:
        return ALL
    first = max(0, (part.start - place.start) // width)
    last = min(count, (part.stop - place.start) // width)
    if first >= last:
        return None
    return ALL if last - first == count else slice(first, last)


class Buffers:
    """Arrays kept from step to step, by name: asking again for the same sizes allocates nothing."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._arrays: dict[str, Any] = {}
        self.fixed = False  # while several processes use these very arrays

    def get(self, name: str, rows: int, columns: int, dtype: Any) -> Any:
        """Return an array (rows, columns), values left from its last use."""
        array = self._arrays.get(name)
        have = (0, 0) if array is None else array.shape
        if have == (rows, columns) and array.dtype == dtype:
            return array
        if have[0] < rows or have[1] != columns or array.dtype != dtype:
            if self.fixed:
                raise ArgumentError(
                    "the model is being trained by several processes: take no step of another "
                    "size meanwhile, or train with threads=1"
                )
            array = self._arrays[name] = self.backend.empty((rows, columns), dtype)
        return array[:rows]


class Layer:
    """What all layers have: a backend, buffers, and (maybe no) parameters with their gradients."""

    def __init__(self, backend: str | Backend = "numpy") -> None:
        self.backend = get_backend(backend)
        self.formulas = self.backend.formulas
        self.buffers = Buffers(self.backend)
        self.params: Mapping[str, Any] = {}
        self.grads: Mapping[str, Any] = {}

    def twin(self) -> Layer:
        """Return a layer with the same parameters, in the same memory, and buffers of its own."""
        twin = copy.copy(self)
        twin.buffers = Buffers(self.backend)
        return twin

    def like(self, name: str, array: Any) -> Any:
        """Return this layer's buffer of that name, of the array's shape and dtype."""
        return self.buffers.get(name, *array.shape, array.dtype)


class Linear(Layer):
    """y = x W^T + b, with W (out, in) and b (out,).

    Parameters
    ----------
    inputs, outputs : int
        Widths of x and y.
    params : Parameters, optional
        Where weight and bias live, as `prefix` + "weight" and "bias"; its own vector if left out.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        params: Parameters | None = None,
        prefix: str = "",
        seed: int = 0,
        dtype: str = "float32",
        backend: str | Backend = "numpy",
    ) -> None:
        super().__init__(backend)
        if params is None:
            shapes = {f"{prefix}weight": (outputs, inputs), f"{prefix}bias": (outputs,)}
            params = Parameters(shapes, lambda shape: self.backend.empty(shape, dtype))
        self.name = prefix.rstrip(".") or "linear"
        self.inputs, self.outputs = inputs, outputs
        self.slices = tuple(params.slices[prefix + part] for part in ("weight", "bias"))
        self.params = {part: params.views[prefix + part] for part in ("weight", "bias")}
        self.grads = {part: params.grad_views[prefix + part] for part in ("weight", "bias")}
        bound = inputs**-0.5  # as in PyTorch's Linear
        rng = generator(seed, f"initial {prefix}")
        for view in self.params.values():
            view[...] = self.backend.asarray(rng.uniform(-bound, bound, view.shape), view.dtype)

    def forward(self, x: Any, rows: slice = ALL) -> Any:
        """Return y (B, out) for x (B, in)."""
        self.x = x
        y = self.buffers.get("y", len(x), self.outputs, x.dtype)
        self.formulas.linear(cut(x, rows), self.params["weight"], self.params["bias"], cut(y, rows))
        return y

    def backward(self, dy: Any) -> Any:
        """Return dx (B, in) for dy (B, out), and overwrite both gradients."""
        self.keep(dy)
        self.backward_params()
        return self.backward_input(dy)

    def keep(self, dy: Any) -> None:
        """Remember dy for `backward_params`."""
        self.dy = dy

    def backward_input(self, dy: Any, rows: slice = ALL) -> Any:
        """Return dx alone; the gradients of the parameters are left for `backward_params`."""
        self.keep(dy)
        dx = self.like("dx", self.x)
        self.formulas.linear_backward_input(cut(dy, rows), self.params["weight"], cut(dx, rows))
        return dx

    def backward_params(self, part: slice = ALL) -> None:
        """Overwrite those gradients that lie in a part of the flat vector, from the whole batch.

        The part must not end inside a row of the weight: see `VAE.parts`.
        """
        weight, bias = self.slices
        rows = _overlap(part, weight, self.inputs, self.outputs)
        if rows is not None:
            self.formulas.linear_backward_weight(
                self.x, cut_columns(self.dy, rows), cut(self.grads["weight"], rows)
            )
        units = _overlap(part, bias, 1, self.outputs)
        if units is not None:
            self.formulas.linear_backward_bias(
                cut_columns(self.dy, units), cut(self.grads["bias"], units)
            )


class _Activation(Layer):
    """An elementwise function whose derivative needs only its output; children name formulas."""

    def forward(self, x: Any, rows: slice = ALL) -> Any:
        """Return y, of x's shape (B, H)."""
        self.y = self.like("y", x)
        self._forward(cut(x, rows), cut(self.y, rows))
        return self.y

    def backward(self, dy: Any, rows: slice = ALL) -> Any:
        """Return dx, of dy's shape (B, H)."""
        dx = self.like("dx", dy)
        self._backward(cut(self.y, rows), cut(dy, rows), cut(dx, rows))
        return dx

    backward_input = backward


class ReLU(_Activation):
    """max(x, 0)."""

    def __init__(self, backend: str | Backend = "numpy") -> None:
        super().__init__(backend)
        self._forward, self._backward = self.formulas.relu, self.formulas.relu_backward


class Sigmoid(_Activation):
    """1 / (1 + exp(-x))."""

    def __init__(self, backend: str | Backend = "numpy") -> None:
        super().__init__(backend)
        self._forward, self._backward = self.formulas.sigmoid, self.formulas.sigmoid_backward


class Tanh(_Activation):
    """tanh(x)."""

    def __init__(self, backend: str | Backend = "numpy") -> None:
        super().__init__(backend)
        self._forward, self._backward = self.formulas.tanh, self.formulas.tanh_backward


class Sequential(Layer):
    """Layers one after another; their parameters under "0.weight", "0.bias", "2.weight", ..."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__(layers[0].backend)
        self.layers = list(layers)
        for attribute in ("params", "grads"):
            named = {
                f"{i}.{name}": view
                for i, layer in enumerate(self.layers)
                for name, view in getattr(layer, attribute).items()
            }
            setattr(self, attribute, named)

    def twin(self) -> Sequential:
        """Return the same layers with buffers of their own."""
        return Sequential([layer.twin() for layer in self.layers])

    @property
    def linears(self) -> list[Linear]:
        """The layers that have parameters, in order."""
        return [layer for layer in self.layers if isinstance(layer, Linear)]

    def forward(self, x: Any, rows: slice = ALL) -> Any:
        """Return the last layer's output for x (B, in)."""
        for layer in self.layers:
            x = layer.forward(x, rows)
        return x

    def backward(self, dy: Any) -> Any:
        """Return dx (B, in), and overwrite the gradients of all parameters."""
        dx = self.backward_input(dy)
        for layer in self.linears:
            layer.backward_params()
        return dx

    def backward_input(self, dy: Any, rows: slice = ALL) -> Any:
        """Return dx alone; the gradients of the parameters are left for `backward_params`."""
        for layer in reversed(self.layers):
            dy = layer.backward_input(dy, rows)
        return dy

    def backward_to_first(self, dy: Any, rows: slice = ALL) -> None:
        """As `backward_input`, but stop at the first layer: nobody asks for the data's gradient."""
        for layer in reversed(self.layers[1:]):
            dy = layer.backward_input(dy, rows)
        self.layers[0].keep(dy)


class Reparameterize(Layer):
    """z = mu + exp(logvar/2) eps: a draw from N(mu, e^logvar) through which gradients pass."""

    def forward(self, mu: Any, logvar: Any, eps: Any, rows: slice = ALL) -> Any:
        """Return z (B, Z) for mu, logvar and the given noise eps, each (B, Z)."""
        self.noise = self.like("noise", eps)
        z = self.like("z", eps)
        self.formulas.reparameterize(
            cut(mu, rows), cut(logvar, rows), cut(eps, rows), cut(self.noise, rows), cut(z, rows)
        )
        return z

    def backward(self, dz: Any, dmu: Any, dlogvar: Any, rows: slice = ALL) -> None:
        """Add the gradients through z to dmu and dlogvar (B, Z), which hold those of the KL."""
        self.formulas.reparameterize_backward(
            cut(dz, rows),
            cut(self.noise, rows),
            cut(self.like("work", dz), rows),
            cut(dmu, rows),
            cut(dlogvar, rows),
        )
