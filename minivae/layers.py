"""Layers: objects that own their parameter views and their buffers, and call the formulas.

Each forward keeps what its backward needs; the arithmetic is in formulas.py, the wiring in vae.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np

from minivae.backend import Backend, get_backend
from minivae.errors import ArgumentError
from minivae.inputs import precision, said, typed
from minivae.noise import generator
from minivae.params import ALL, Array, Parameters

Shape = tuple[int, ...]


class Buffers:
    """Arrays kept from step to step, by name: asking again for the same sizes allocates nothing.

    Those of the CPU are seen by every process that shares a step, unless they are `private`.
    """

    def __init__(self, backend: Backend, private: bool = False) -> None:
        self.backend = backend
        self._empty: Any = np.empty if private and backend.name == "numpy" else backend.empty
        self._arrays: dict[str, Array] = {}
        self._lenders: dict[str, Buffers] = {}

    def borrow(self, name: str, lender: Buffers) -> None:
        """Have no array of that name, but take the lender's: one that a cache holds already."""
        self._lenders[name] = lender

    def get(self, name: str, rows: int, columns: int, dtype: Any) -> Array:
        """Return an array (rows, columns), values left from its last use."""
        if name in self._lenders:
            return self._lenders[name].get(name, rows, columns, dtype)
        array: Array = self._arrays.get(name)
        have = (0, 0) if array is None else array.shape
        if have == (rows, columns) and array.dtype == dtype:
            return array
        if have[0] < rows or have[1] != columns or array.dtype != dtype:
            array = self._arrays[name] = self._empty((rows, columns), dtype)
        return array[:rows]

    def window(self, rows: slice) -> Buffers:
        """Return those rows of the same arrays, as buffers."""
        window = Buffers(self.backend)
        window._arrays = {name: array[rows] for name, array in self._arrays.items()}
        return window


class Layer:
    """What all layers have: buffers, and (maybe no) parameters with their gradients.

    A layer of one's own says which parameters it has, and writes its way forward and its ways
    back. The gradient of its input and those of its parameters are two methods, because several
    processes may share a batch: then each passes some rows through a `window` of the layer, they
    meet, and each computes the gradients of some parameters from all rows::

        class Gain(Layer):
            '''y = g x, with one gain g a column.'''

            kept = ("x", "dy")

            def __init__(self, width, **settings):
                super().__init__({"gain": (width,)}, **settings)

            def initial(self, name, shape, rng):
                return np.ones(shape)

            def forward(self, x):
                self.x = x
                return np.multiply(x, self.params["gain"], out=self.like("y", x))

            def backward_input(self, dy):
                self.dy = dy
                return np.multiply(dy, self.params["gain"], out=self.like("dx", dy))

            def gradients(self, part=ALL):
                if self.within("gain", part) is not None:
                    self.grads["gain"][...] = np.einsum("bi,bi->i", self.x, self.dy)

    `backward` is then both ways. Results go into buffers (`like`, `buffers.get`), whose first axis
    is the batch; a gradient is overwritten, never added to.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Names and shapes of the parameters.
    inner : mapping of str to Layer
        Layers that this one is made of; their parameters are this layer's too, as "inner.name".
    seed, dtype
        Of a layer that stands alone; in a model the model's are taken.
    backend : str or Backend
        "numpy" or "cupy".
    """

    kept: ClassVar[tuple[str, ...]] = ()  # attributes, arrays of the batch, that `gradients` reads
    crosses_rows: ClassVar[bool] = False  # whether a row's result depends on the batch's other rows
    meets: ClassVar[bool] = False  # and whether it knows of them what `everyone` says, no more
    splits: ClassVar[bool] = False  # whether `gradients` can compute some rows of a parameter alone
    uses: int = 1  # how often a row uses a parameter: so much work is its gradient

    @typed
    def __init__(
        self,
        shapes: Mapping[str, Shape] | None = None,
        inner: Mapping[str, Layer] | None = None,
        *,
        seed: int = 0,
        dtype: Any = "float32",
        backend: Any = "numpy",
    ) -> None:
        self.backend = get_backend(backend)
        self.formulas: Any = self.backend.formulas
        self.buffers = Buffers(self.backend)
        self.inner: dict[str, Any] = dict(inner or {})
        self.own_shapes = dict(shapes or {})
        self.name = type(self).__name__
        self._seed, self._dtype = seed, precision(dtype)
        self._parameters: Parameters | None = None
        self._params: dict[str, Array] = {}
        self._grads: dict[str, Array] = {}
        self._cuts: dict[tuple[str, Any, Any], slice | None] = {}

    # --- parameters ------------------------------------------------------------------------------

    @property
    def shapes(self) -> dict[str, Shape]:
        """Name and shape of every parameter, those of inner layers included."""
        shapes = dict(self.own_shapes)
        for name, layer in self.inner.items():
            shapes |= {f"{name}.{key}": shape for key, shape in layer.shapes.items()}
        return shapes

    def initial(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Return first values of an own parameter."""
        raise NotImplementedError(f"{type(self).__name__} gives {name} no first values")

    def bind(self, parameters: Parameters, prefix: str = "", seed: int = 0) -> None:
        """Let the parameters live in that vector, as `prefix` + name.

        Values that they have stay; otherwise they get their first ones, a function of the seed.
        """
        before = {} if self._parameters is None else self._params
        self._parameters, self._prefix = parameters, prefix
        self._cuts = {}
        self.name = prefix.rstrip(".") or self.name
        names = [(name, prefix + name) for name in self.shapes]
        self._params = {name: parameters.views[full] for name, full in names}
        self._grads = {name: parameters.grad_views[full] for name, full in names}
        rng = generator(seed, f"initial {prefix}")
        for name, shape in self.own_shapes.items():
            values = before[name] if before else self.initial(name, shape, rng)
            self._params[name][...] = self.backend.asarray(values, parameters.theta.dtype)
        for name, layer in self.inner.items():
            layer.bind(parameters, f"{prefix}{name}.", seed)

    @property
    def parameters(self) -> Parameters:
        """The flat vectors in which the parameters live; a vector of its own if in no model yet."""
        if self._parameters is None:
            alone = [layer for layer in self.leaves() if layer.own_shapes] or [self]
            dtype, empty = alone[0]._dtype, self.backend.empty
            for layer in alone:
                if layer is not self:
                    _ = layer.parameters  # each with the values of its own seed
            parameters = Parameters(self.shapes, lambda shape: empty(shape, dtype))
            self.bind(parameters, seed=self._seed)
            return parameters
        return self._parameters

    @property
    def params(self) -> Mapping[str, Any]:
        """Views of the parameters, by name."""
        return self._params if self._parameters is not None else self._views("params")

    @property
    def grads(self) -> Mapping[str, Any]:
        """Views of the parameters' gradients, by name."""
        return self._grads if self._parameters is not None else self._views("grads")

    def _views(self, which: str) -> Mapping[str, Any]:
        if self.inner and not self.own_shapes:  # in no model yet: where its layers live
            return {
                f"{name}.{key}": view
                for name, layer in self.inner.items()
                for key, view in getattr(layer, which).items()
            }
        _ = self.parameters
        return getattr(self, which)

    @property
    def places(self) -> list[slice]:
        """Where the parameters lie in the flat vectors, in order."""
        slices = self.parameters.slices
        return [slices[self._prefix + name] for name in self.shapes]

    def within(self, name: str, part: slice) -> slice | None:
        """Return which rows of a parameter lie in a part of the flat vector: ALL, some, or None."""
        key = name, part.start, part.stop
        if key not in self._cuts:  # asked in every step: always for the same few parts
            self._cuts[key] = self.parameters.within(self._prefix + name, part)
        return self._cuts[key]

    # --- ways back -------------------------------------------------------------------------------

    def backward(self, dy: Array) -> Array:
        """Return dx for dy, and overwrite the gradients of all parameters."""
        dx = self.backward_input(dy)
        self.gradients()
        return dx

    def backward_input(self, dy: Array) -> Array:
        """Return dx alone; the gradients of the parameters are left for `gradients`."""
        raise NotImplementedError(f"{type(self).__name__} has no way back")

    def keep(self, dy: Array) -> None:
        """As `backward_input`, where nobody asks for dx."""
        self.backward_input(dy)

    def gradients(self, part: slice = ALL) -> None:
        """Overwrite those gradients that lie in a part of the flat vector, from the whole batch."""
        for layer in reversed(self.inner.values()):
            layer.gradients(part)

    def everyone(self, each: Array) -> Array:
        """Return each row's number, (n,), of all rows of the batch; `each` (b,): of those here.

        Processes that share a batch meet in it; where there is one, its own rows are all.
        """
        return each

    # --- the same layer once more ----------------------------------------------------------------

    def twin(self) -> Self:
        """Return a layer with the same parameters, in the same memory, and buffers of its own."""
        return self._again(lambda layer: layer.twin(), Buffers(self.backend))

    def window(self, rows: slice) -> Self:
        """Return this layer for some rows of the batch that it has passed: in the same buffers."""
        window = self._again(lambda layer: layer.window(rows), self.buffers.window(rows))
        for name in self.kept:
            if hasattr(self, name):
                setattr(window, name, getattr(self, name)[rows])
        return window

    def _again(self, change: Callable[[Layer], Layer], buffers: Buffers) -> Self:
        _ = self.params  # there, so that both have the same
        again = object.__new__(type(self))
        vars(again).update(vars(self))  # not copy.copy: what is pickled anew shares no memory
        again.buffers = buffers
        again.inner = {name: change(layer) for name, layer in self.inner.items()}
        return again

    def leaves(self) -> Iterator[Layer]:
        """Yield the layers that are made of no others: this one, or those within, in order."""
        if not self.inner:
            yield self
        for layer in self.inner.values():
            yield from layer.leaves()

    def like(self, name: str, array: Array) -> Array:
        """Return this layer's buffer of that name, of the array's shape and dtype."""
        rows, columns = array.shape
        return self.buffers.get(name, rows, columns, array.dtype)


class Linear(Layer):
    """y = x W^T + b, with W (out, in) and b (out,).

    Parameters
    ----------
    inputs, outputs : int
        Widths of x and y.
    """

    kept = ("x", "dy")
    splits = True

    @typed
    def __init__(self, inputs: int, outputs: int, **settings: Any) -> None:
        if min(inputs, outputs) < 1:
            raise ArgumentError(f"inputs and outputs must be at least 1, not {inputs}, {outputs}")
        super().__init__({"weight": (outputs, inputs), "bias": (outputs,)}, **settings)
        self.inputs, self.outputs = inputs, outputs

    def initial(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Return numbers uniform in ±1/sqrt(inputs), as PyTorch's Linear has them."""
        bound = self.inputs**-0.5
        return rng.uniform(-bound, bound, shape)

    def forward(self, x: Array) -> Array:
        """Return y (B, out) for x (B, in)."""
        self.x = x
        y = self.buffers.get("y", len(x), self.outputs, x.dtype)
        return self.formulas.linear(x, self.params["weight"], self.params["bias"], y)

    def backward_input(self, dy: Array) -> Array:
        """Return dx (B, in) for dy (B, out)."""
        self.dy = dy
        dx = self.like("dx", self.x)
        return self.formulas.linear_backward_input(dy, self.params["weight"], dx)

    def keep(self, dy: Array) -> None:
        """Remember dy for `gradients`."""
        self.dy = dy

    def gradients(self, part: slice = ALL) -> None:
        """Overwrite dW and db, or the rows of them that lie in a part of the flat vector."""
        rows, units = self.within("weight", part), self.within("bias", part)
        if rows is not None:
            dweight = self.grads["weight"][rows]
            self.formulas.linear_backward_weight(self.x, self.dy[:, rows], dweight)
        if units is not None:
            self.formulas.linear_backward_bias(self.dy[:, units], self.grads["bias"][units])


class _Elementwise(Layer):
    """A function of each element whose derivative needs only its output; children name formulas."""

    formula: ClassVar[str]

    @typed
    def __init__(self, backend: Any = "numpy") -> None:
        super().__init__(backend=backend)

    def forward(self, x: Array) -> Array:
        """Return y, of x's shape (B, H)."""
        self.y = self.like("y", x)
        return getattr(self.formulas, self.formula)(x, self.y)

    def backward_input(self, dy: Array) -> Array:
        """Return dx, of dy's shape (B, H)."""
        return getattr(self.formulas, f"{self.formula}_backward")(self.y, dy, self.like("dx", dy))


class ReLU(_Elementwise):
    """max(x, 0)."""

    formula = "relu"


class Sigmoid(_Elementwise):
    """1 / (1 + exp(-x))."""

    formula = "sigmoid"


class Tanh(_Elementwise):
    """tanh(x)."""

    formula = "tanh"


ACTIVATIONS = ReLU, Sigmoid, Tanh


class Sequential(Layer):
    """Layers one after another; their parameters under "0.weight", "0.bias", "2.weight", ..."""

    @typed
    def __init__(self, layers: Sequence[Layer]) -> None:
        inner = {str(i): layer for i, layer in enumerate(layers)}
        if not inner or not all(isinstance(layer, Layer) for layer in inner.values()):
            raise ArgumentError(f"layers must be a list of one Layer at least, not {said(layers)}")
        super().__init__(inner=inner, backend=inner["0"].backend)
        self._join()

    def _again(self, change: Callable[[Layer], Layer], buffers: Buffers) -> Self:
        again = super()._again(change, buffers)
        again._join()
        return again

    def _join(self) -> None:
        """Let a function of each element write over what a Linear gives it and does not need."""
        if self.backend.name == "numpy":  # kernels on a device want arrays of their own
            for layer, following in pairwise(self.inner.values()):
                if type(layer) is Linear and type(following) in ACTIVATIONS:  # no child: it may
                    following.buffers.borrow("y", layer.buffers)  # read what it gave later
                if type(layer) in ACTIVATIONS and type(following) is Linear:
                    layer.buffers.borrow("dx", following.buffers)

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return list(self.inner.values())

    def forward(self, x: Array) -> Array:
        """Return the last layer's output for x (B, in)."""
        for layer in self.inner.values():
            x = layer.forward(x)
        return x

    def backward_input(self, dy: Array) -> Array:
        """Return dx (B, in) for dy (B, out)."""
        for layer in reversed(self.inner.values()):
            dy = layer.backward_input(dy)
        return dy

    def keep(self, dy: Array) -> None:
        """As `backward_input`, but the first layer computes no dx: nobody asks for the data's."""
        first, *others = self.inner.values()
        for layer in reversed(others):
            dy = layer.backward_input(dy)
        first.keep(dy)


class Reparameterize(Layer):
    """z = mu + exp(logvar/2) eps: a draw from N(mu, e^logvar) through which gradients pass."""

    def forward(self, mu: Array, logvar: Array, eps: Array) -> Array:
        """Return z (B, Z) for mu, logvar and the given noise eps, each (B, Z)."""
        self.noise = self.like("noise", eps)
        return self.formulas.reparameterize(mu, logvar, eps, self.noise, self.like("z", eps))

    def backward(self, dz: Array, dmu: Array, dlogvar: Array) -> None:
        """Add the gradients through z to dmu and dlogvar (B, Z), which hold those of the KL."""
        self.formulas.reparameterize_backward(dz, self.noise, dmu, dlogvar)
