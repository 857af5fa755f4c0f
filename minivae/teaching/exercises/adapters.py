"""The students' plain functions as layers, with forward and backward, for the gradient checker.

What a function is to overwrite holds numbers of another kind before: who adds, or leaves some out,
is seen.

Which function goes into which layer, and with what inputs, is for trials.py.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from minivae.gradcheck import GradcheckError

Array = np.ndarray
# The rows of a batch and all widths (3, 7, 11) are different primes, and beta no ratio of them:
# a factor too many or a product of the wrong matrices shows which it is.
B = 5
BETA = 3.7


def normal(seed: int, *shape: int) -> Array:
    """Return standard normal numbers, the same for the same seed and shape."""
    return np.random.default_rng(seed).normal(size=shape)


def stale(*shape: int, dtype: Any = float) -> Array:
    """Return numbers that no formula gives, for an array that is to be overwritten."""
    return (100 + normal(98, *shape)).astype(dtype)


def results(found: Any, function: str, names: str) -> tuple:
    """Return what a student's function gave, if it is a pair or a triple as asked.

    Raises
    ------
    GradcheckError
        Otherwise; its message is for the student.
    """
    count = names.count(",") + 1
    if not isinstance(found, (tuple, list)) or len(found) != count:
        several = isinstance(found, (tuple, list))
        what = f"{len(found)} results" if several else "nothing" if found is None else "one result"
        raise GradcheckError(
            f"{function} returns {what}: it is to return {'two' if count == 2 else 'three'}, "
            f"the tuple ({names})"
        )
    return tuple(found)


class Activation:
    """forward(x, y) and backward(y, dy, dx) as a layer."""

    def __init__(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        self._forward, self._backward = forward, backward

    def forward(self, x: Array) -> Array:
        """Return the output."""
        self.y = np.full_like(x, np.nan)
        self._forward(x, self.y)
        return self.y

    def backward(self, dy: Array) -> Array:
        """Return the gradients of the inputs, None for constants."""
        dx = stale(*dy.shape)
        self._backward(self.y, dy, dx)
        return dx


class LinearInput:
    """Linear whose backward gives dx alone."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.weight, self.bias = normal(2, 7, 3), normal(3, 7)

    def forward(self, x: Array) -> Array:
        """Return the output."""
        y = np.full((len(x), 7), np.nan, x.dtype)
        self.module.linear(x, self.weight, self.bias, y)
        return y

    def backward(self, dy: Array) -> Array:
        """Return the gradients of the inputs, None for constants."""
        dx = stale(len(dy), 3)
        self.module.linear_backward_input(dy, self.weight, dx)
        return dx


class LinearParams(LinearInput):
    """Linear whose backward gives the parameters' gradients alone."""

    constants = ("x",)  # for the gradient checker

    def __init__(self, module: ModuleType) -> None:
        super().__init__(module)
        self.params = {"weight": self.weight, "bias": self.bias}
        self.grads = {name: np.zeros_like(value) for name, value in self.params.items()}

    def forward(self, x: Array) -> Array:
        """Return the output."""
        self.x = x
        y = np.full((len(x), 7), np.nan, np.result_type(x, *self.params.values()))
        self.module.linear(x, self.params["weight"], self.params["bias"], y)
        return y

    def backward(self, dy: Array) -> tuple[None]:
        """Return the gradients of the inputs, None for constants."""
        for one in self.grads.values():
            one[...] = stale(*one.shape)
        self.module.linear_backward_weight(self.x, dy, self.grads["weight"])
        self.module.linear_backward_bias(dy, self.grads["bias"])
        return (None,)


class Convolution:
    """convolution as a layer whose weight is a parameter."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.params, self.grads = {"weight": normal(31, 3)}, {"weight": np.zeros(3)}

    def forward(self, x: Array) -> Array:
        """Return the output."""
        self.x, weight = x, self.params["weight"]
        y = np.full((len(x), x.shape[1] - 2), np.nan, np.result_type(x, weight))
        self.module.convolution(x, weight, y)
        return y

    def backward(self, dy: Array) -> Array:
        """Return the gradients of the inputs, None for constants."""
        dx = stale(*self.x.shape)
        weight, dweight = self.params["weight"], self.grads["weight"]
        dweight[...] = stale(3)
        self.module.convolution_backward(self.x, weight, dy, dx, dweight)
        return dx


class Conditional:
    """conditional as a layer of z; the label is one of four."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.label = module, np.eye(4)[[0, 3, 1, 1, 2]]
        self.params = {"weight": normal(32, 11, 7), "bias": normal(33, 11)}
        self.grads = {"weight": np.zeros((11, 7)), "bias": np.zeros(11)}

    def forward(self, z: Array) -> Array:
        """Return the output."""
        self.z = z
        weight, bias = self.params["weight"], self.params["bias"]
        y = np.full((len(z), 11), np.nan, np.result_type(z, weight, bias))
        self.module.conditional(z, np.resize(self.label, (len(z), 4)), weight, bias, y)
        return y

    def backward(self, dy: Array) -> Array:
        """Return the gradients of the inputs, None for constants."""
        dz, dweight = stale(*self.z.shape), self.grads["weight"]
        dweight[...] = stale(*dweight.shape)
        label, weight = np.resize(self.label, (len(dy), 4)), self.params["weight"]
        self.module.conditional_backward(self.z, label, weight, dy, dz, dweight)
        self.grads["bias"][...] = dy.sum(axis=0)
        return dz


class Chain:
    """Linear, ReLU, Linear of a student's classes, with the same weights for everybody."""

    def __init__(self, module: ModuleType) -> None:
        rng = np.random.default_rng(34)
        self.layers = [module.Linear(3, 7, rng), module.ReLU(), module.Linear(7, 11, rng)]
        for seed, layer in ((35, self.layers[0]), (37, self.layers[2])):
            for i, name in enumerate(("weight", "bias")):
                layer.params[name][...] = normal(seed + i, *layer.params[name].shape)

    def _named(self, kind: str) -> dict[str, Array]:
        return {
            f"{i}.{name}": value
            for i in (0, 2)
            for name, value in getattr(self.layers[i], kind).items()
        }

    @property
    def params(self) -> dict[str, Array]:
        """The parameters of both Linears."""
        return self._named("params")

    @property
    def grads(self) -> dict[str, Array]:
        """Their gradients."""
        return self._named("grads")

    def forward(self, x: Array) -> Array:
        """Return the output."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy: Array) -> Array:
        """Return the gradients of the inputs, None for constants."""
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy


class Draw:
    """A student's Sampler, whose noise is a constant."""

    def __init__(self, module: ModuleType) -> None:
        self.sampler = module.Sampler()

    def forward(self, mu: Array, logvar: Array, eps: Array) -> Array:
        """Return the output."""
        return self.sampler.forward(mu, logvar, eps)

    def backward(self, dz: Array) -> tuple[Array, Array, None]:
        """Return the gradients of the inputs, None for constants."""
        return (*results(self.sampler.backward(dz), "Sampler.backward", "dmu, dlogvar"), None)


class Loss:
    """The sum of a student's two terms as a layer."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.x = module, np.random.default_rng(4).uniform(size=(B, 7))

    def forward(self, logits: Array, mu: Array, logvar: Array) -> Any:
        """Return the output."""
        x = np.resize(self.x, logits.shape)
        nll, dlogits = results(
            self.module.bernoulli_nll(logits, x), "bernoulli_nll", "nll, dlogits"
        )
        kl, dmu, dlogvar = results(
            self.module.gaussian_kl(mu, logvar), "gaussian_kl", "kl, dmu, dlogvar"
        )
        self.found = dlogits, dmu, dlogvar
        return nll + kl

    def backward(self, dloss: Any) -> tuple[Array, ...]:
        """Return the gradients of the inputs, None for constants."""
        return tuple(dloss * one for one in self.found)


class GaussianLikelihood:
    """gaussian_nll as a layer of mean and logvar."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.x = module, normal(40, B, 7)

    def forward(self, mean: Array, logvar: Array) -> Any:
        """Return the output."""
        self.d = [stale(*mean.shape, dtype=one.dtype) for one in (mean, logvar)]
        return self.module.gaussian_nll(
            mean, logvar, np.resize(self.x, mean.shape), 1 / len(mean), *self.d
        )

    def backward(self, dloss: Any) -> tuple[Array, Array]:
        """Return the gradients of the inputs, None for constants."""
        return dloss * self.d[0], dloss * self.d[1]


class Importance:
    """importance_loss as a layer of log_w (K, N)."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def forward(self, log_w: Array) -> Any:
        """Return the output."""
        self.d = stale(*log_w.shape, dtype=log_w.dtype)
        return self.module.importance_loss(log_w, 1 / log_w.shape[1], self.d)

    def backward(self, dloss: Any) -> Array:
        """Return the gradients of the inputs, None for constants."""
        return dloss * self.d


class Likelihood:
    """bernoulli_nll as a layer with the logits as its input."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.x = module, np.random.default_rng(4).uniform(size=(B, 7))

    def forward(self, logits: Array) -> Any:
        """Return the output."""
        self.dlogits = stale(*logits.shape, dtype=logits.dtype)
        x = np.resize(self.x, logits.shape)
        return self.module.bernoulli_nll(logits, x, 1 / len(logits), self.dlogits)

    def backward(self, dloss: Any) -> Array:
        """Return the gradients of the inputs, None for constants."""
        return dloss * self.dlogits


class KL:
    """beta times gaussian_kl as a layer of mu and logvar."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def forward(self, mu: Array, logvar: Array) -> Any:
        """Return the output."""
        self.d = [stale(*mu.shape, dtype=one.dtype) for one in (mu, logvar)]
        return BETA * self.module.gaussian_kl(mu, logvar, BETA, 1 / len(mu), *self.d)

    def backward(self, dloss: Any) -> tuple[Array, Array]:
        """Return the gradients of the inputs, None for constants."""
        return dloss * self.d[0], dloss * self.d[1]


class Sampler:
    """reparameterize as a layer; what backward finds in dmu and dlogvar is taken off again."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def forward(self, mu: Array, logvar: Array, eps: Array) -> Array:
        """Return the output."""
        self.noise, z = np.full_like(logvar, np.nan), np.full_like(mu, np.nan)
        self.module.reparameterize(mu, logvar, eps, self.noise, z)
        return z

    def backward(self, dz: Array) -> tuple[Array, Array, None]:
        """Return the gradients of the inputs, None for constants."""
        there = [normal(seed, *dz.shape) for seed in (9, 10)]
        dmu, dlogvar = (one.copy() for one in there)
        self.module.reparameterize_backward(dz, self.noise, dmu, dlogvar)
        return dmu - there[0], dlogvar - there[1], None
