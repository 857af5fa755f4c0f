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


Rule = Callable[[list[Array]], Array]


def momentum(rate: float, mu: float = 0.9, nesterov: bool = False) -> Rule:
    """Return the change that descent with momentum makes, given all gradients up to the step's."""

    def change(gradients: list[Array]) -> Array:
        speed = sum(mu**age * one for age, one in enumerate(reversed(gradients)))
        return -rate * (gradients[-1] + mu * speed if nesterov else speed)

    return change


def adam(rate: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> Rule:
    """Return the change that Adam makes, given all gradients up to the step's."""

    def mean(values: list[Array], beta: float) -> Array:
        total = sum(beta**age * one for age, one in enumerate(reversed(values)))
        return (1 - beta) * total / (1 - beta ** len(values))

    def change(gradients: list[Array]) -> Array:
        scale = np.sqrt(mean([one**2 for one in gradients], beta2)) + epsilon
        return -rate * mean(gradients, beta1) / scale

    return change


class TrainingStep:
    """A whole training step: what it does to the parameters, against the loss's own slopes.

    Parameters
    ----------
    params : mapping of names to float64 arrays, changed in place by `step`
    loss : callable
        The loss of a batch at the present parameters.
    step : callable
        Makes one step on a batch.
    rule : float or callable
        The learning rate of plain descent. Or what the optimiser makes of the gradients of all
        steps so far, such as ``adam(1e-3)``; it must not have made a step yet.
    """

    unit_weight = True
    constants = (...,)  # the batch is data

    def __init__(
        self,
        params: Mapping[str, Array],
        loss: Callable[..., Any],
        step: Callable[..., Any],
        rule: float | Rule,
    ) -> None:
        self.params, self.loss, self.step, self.rule = params, loss, step, rule
        self.grads: dict[str, Array] = {}
        self.history: dict[str, list[Array]] = {name: [] for name in params}
        self.known: dict[bytes, dict[str, Array]] = {}

    def forward(self, *batch: Array) -> Any:
        """Return the loss."""
        self.batch = batch
        return self.loss(*batch)

    def backward(self, dloss: Any) -> tuple[None, ...]:
        """Make the step and undo it; where the rule remembers, one on half the batch, and again."""
        if not callable(self.rule):
            changes = self._changes(self.batch)
            self.grads = {name: -one / self.rule * dloss for name, one in changes.items()}
            return tuple(None for _ in self.batch)
        half = tuple(one[: (len(one) + 1) // 2] for one in self.batch)
        slopes = self._slopes(self.batch)
        self.grads = {name: one.copy() for name, one in slopes.items()}
        for batch in (self.batch, half, self.batch):
            changes, here = self._changes(batch), self._slopes(batch)
            for name, past in self.history.items():
                past.append(here[name])
                due = self.rule(past)
                unit = np.abs(slopes[name]).max() / (np.abs(due).max() + 1e-300)
                self.grads[name] += unit * (due - changes[name])  # 0 if the step is right
        self.grads = {name: one * dloss for name, one in self.grads.items()}
        return tuple(None for _ in self.batch)

    def _changes(self, batch: tuple[Array, ...]) -> dict[str, Array]:
        before = {name: one.copy() for name, one in self.params.items()}
        self.step(*batch)
        changes = {name: one - before[name] for name, one in self.params.items()}
        for name, one in self.params.items():
            one[...] = before[name]
        return changes

    def _slopes(self, batch: tuple[Array, ...]) -> dict[str, Array]:
        """Return the loss's numeric gradients, from differences over two steps."""
        key = b"".join(np.asarray(one).tobytes() for one in (*batch, *self.params.values()))
        if key not in self.known:
            self.known[key] = {name: np.zeros(one.shape) for name, one in self.params.items()}
            for name, found in self.known[key].items():
                for place in np.ndindex(found.shape):
                    fine, wide = (self._slope(name, place, h, batch) for h in (1e-3, 4e-3))
                    found[place] = (16 * fine - wide) / 15
        return self.known[key]

    def _slope(self, name: str, place: tuple[int, ...], h: float, batch: tuple[Array, ...]) -> Any:
        one, kept = self.params[name], self.params[name][place]
        values = []
        for move in (h, -h):
            one[place] = kept + move
            values.append(self.loss(*batch))
        one[place] = kept
        return (values[0] - values[1]) / (2 * h)

    def __deepcopy__(self, memo: Any) -> TrainingStep:
        """Refuse: loss and step may hold the very parameters, so they are put back instead."""
        raise copy.Error("a training step is run in place")
