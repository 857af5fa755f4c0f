"""What other libraries call a derivative by hand, as layers that the checker takes.

Each library is imported only where its adaptor is used; checking is for check.py.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Array = np.ndarray


class Torch:
    """A ``torch.autograd.Function``, or any function of tensors, as a layer of NumPy arrays."""

    def __init__(self, function: Any) -> None:
        self.function = getattr(function, "apply", function)

    def __deepcopy__(self, memo: Any) -> Torch:
        """Leave the graph of the last call behind."""
        return Torch(self.function)

    def forward(self, *inputs: Array) -> Any:
        """Return the outputs as arrays."""
        import torch

        self.inputs = [
            torch.tensor(one, requires_grad=np.asarray(one).dtype.kind == "f") for one in inputs
        ]
        found = self.function(*self.inputs)
        self.outputs = found if isinstance(found, tuple) else (found,)
        return tuple(one.detach().numpy() for one in self.outputs)

    def backward(self, *dys: Array) -> tuple[Any, ...]:
        """Return the gradients that the function's backward gives; None for whole numbers."""
        import torch

        free = [one for one in self.inputs if one.requires_grad]
        dys = tuple(torch.tensor(np.asarray(dy)) for dy in dys)
        found = iter(torch.autograd.grad(self.outputs, free, dys, allow_unused=True))
        grads = [next(found) if one.requires_grad else None for one in self.inputs]
        return tuple(None if one is None else one.numpy() for one in grads)


class Jax:
    """A function with a ``jax.custom_vjp``, or any that JAX differentiates, as a layer.

    JAX computes in float64 only where ``jax_enable_x64`` is set.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def forward(self, *inputs: Array) -> Any:
        """Return the outputs as arrays."""
        import jax

        found, self.pull = jax.vjp(self.function, *inputs)
        self.many = isinstance(found, tuple)
        return tuple(map(np.asarray, found)) if self.many else np.asarray(found)

    def backward(self, *dys: Array) -> tuple[Array, ...]:
        """Return the gradients that the vjp gives."""
        return tuple(np.asarray(one) for one in self.pull(dys if self.many else dys[0]))

    def __deepcopy__(self, memo: Any) -> Jax:
        """Leave the last call's vjp behind."""
        return Jax(self.function)


class Autograd:
    """A primitive of HIPS autograd with its vjps, as a layer."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def forward(self, *inputs: Array) -> Array:
        """Return the output."""
        self.inputs = inputs
        return np.asarray(self.function(*inputs))

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Return the gradient of each input."""
        from autograd import make_vjp

        inputs = range(len(self.inputs))
        return tuple(make_vjp(self.function, place)(*self.inputs)[0](dy) for place in inputs)


class TrainingStep:
    """A whole step of plain gradient descent: what it does to the parameters is their gradient.

    Parameters
    ----------
    params : mapping of names to arrays, changed in place by `step`
    loss : callable
        The loss of a batch at the present parameters.
    step : callable
        Makes one step on a batch.
    rate : float
        The learning rate: the step's change is -rate times the gradient.
    """

    unit_weight = True
    constants = (...,)  # the batch is data

    def __init__(
        self,
        params: Mapping[str, Array],
        loss: Callable[..., Any],
        step: Callable[..., Any],
        rate: float,
    ) -> None:
        self.params, self.loss, self.step, self.rate = params, loss, step, rate
        self.grads: dict[str, Array] = {}

    def forward(self, *batch: Array) -> Any:
        """Return the loss."""
        self.batch = batch
        return self.loss(*batch)

    def backward(self, dloss: Any) -> tuple[None, ...]:
        """Make the step and undo it."""
        before = {name: one.copy() for name, one in self.params.items()}
        self.step(*self.batch)
        for name, one in self.params.items():
            self.grads[name] = (before[name] - one) / self.rate * dloss
            one[...] = before[name]
        return tuple(None for _ in self.batch)

    def __deepcopy__(self, memo: Any) -> TrainingStep:
        """Refuse: loss and step may hold the very parameters, so they are put back instead."""
        raise copy.Error("a training step is run in place")
