"""A layer with its inputs, seen as one function of named arrays that can be perturbed in place.

It calls forward and backward and turns their failures into one clear line; what the values mean is
judged in numeric.py and causes.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from minivae.gradcheck.clone import clone
from minivae.gradcheck.report import GradcheckError

Array = np.ndarray


class StepLayer:
    """A VAE's training step as a layer: its output is the loss; images and noise are constants.

    Parameters
    ----------
    vae : object with ``step(x, eps)`` and the mappings ``params`` and ``grads``
    """

    unit_weight = True

    def __init__(self, vae: Any) -> None:
        self.vae = vae
        self.dloss = 1.0

    @property
    def params(self) -> Mapping[str, Array]:
        """The model's parameters."""
        return self.vae.params

    @property
    def grads(self) -> Mapping[str, Array]:
        """The model's gradients, times the gradient of the loss."""
        return {name: grad * grad.dtype.type(self.dloss) for name, grad in self.vae.grads.items()}

    def forward(self, x: Array, eps: Array) -> Any:
        """Return the loss of one step."""
        return self.vae.step(x, eps).loss

    def backward(self, dloss: Any) -> tuple[None, None]:
        """Keep the gradient of the loss: the step has computed the rest."""
        self.dloss = dloss
        return None, None


class Subject:
    """What is checked: a copy of the layer, its inputs, and the weights of its outputs.

    Attributes
    ----------
    layer : object
        The layer in its own dtype, safe to run; use `fresh` for one in its first state.
    inputs, input_names : list
    weights : list of array
        What backward is given: one array for each output, of sizes between 1/2 and 3/2.
    outputs : list of array
        What forward gave.
    copyable : bool
        Whether the layer could be copied; if not, the very object is run and put back.
    """

    def __init__(self, layer: Any, inputs: tuple[Any, ...], seed: int) -> None:
        if not hasattr(layer, "forward") and hasattr(layer, "step"):
            layer = StepLayer(layer)
        self.title = type(getattr(layer, "vae", layer)).__name__
        for method in ("forward", "backward"):
            if not callable(getattr(layer, method, None)):
                raise GradcheckError(f"{self.title} has no method {method}: nothing to check")
        self.original = layer
        self.inputs = [np.array(one) for one in inputs]
        self.input_names = _names(layer.forward, len(inputs))
        try:
            clone(layer)
            self.copyable = True
        except Exception:  # whatever deepcopy meets in a stranger's class
            self.copyable = False
        self.kept = {name: one.copy() for name, one in self.parameters(layer).items()}
        self.layer = self.fresh()
        self.outputs = self.forward(self.layer, [one.copy() for one in self.inputs])
        for position, output in enumerate(self.outputs):
            if not np.issubdtype(output.dtype, np.number):
                raise GradcheckError(f"{self.title}.forward returned {output.dtype}, not numbers")
            if not np.isfinite(output).all():
                bad = int((~np.isfinite(output)).sum())
                which = f" in output {position}" if len(self.outputs) > 1 else ""
                raise GradcheckError(
                    f"{self.title}.forward returned NaN or infinity{which}"
                    f" ({bad} of {output.size} entries): no derivative to compare"
                )
        rng = np.random.default_rng(seed)
        self.weights = [self._weight(output, rng) for output in self.outputs]

    def _weight(self, output: Array, rng: np.random.Generator) -> Array:
        if getattr(self.original, "unit_weight", False):
            return np.ones(output.shape, output.dtype)
        size = rng.uniform(0.5, 1.5, output.shape) * rng.choice([-1.0, 1.0], output.shape)
        dtype = output.dtype if np.issubdtype(output.dtype, np.floating) else float
        return np.asarray(size, dtype)

    def fresh(self, dtype: Any = None) -> Any:
        """Return the layer in its first state, as a copy if it can be copied."""
        if self.copyable:
            return clone(self.original, dtype)
        if dtype is not None:
            raise GradcheckError(f"{self.title} cannot be copied")
        for name, one in self.parameters(self.original).items():
            if one.dtype == self.kept[name].dtype and one.shape == self.kept[name].shape:
                one[...] = self.kept[name]
        return self.original

    def variables(self) -> dict[str, Array]:
        """Return inputs and parameters at their first values, by their names in the report."""
        named = dict(zip(self.input_names, self.inputs, strict=True))
        return {**named, **{self.parameter_name(k): v for k, v in self.kept.items()}}

    def parameters(self, layer: Any) -> dict[str, Array]:
        """Return the layer's parameters by name; the very arrays, not copies."""
        params = getattr(layer, "params", None)
        if params is None:
            return {}
        if not isinstance(params, Mapping):
            raise GradcheckError(f"{self.title}.params is no mapping of names to arrays")
        for name, one in params.items():
            if not isinstance(one, np.ndarray):
                raise GradcheckError(
                    f"{self.title}.params[{name!r}] is a {type(one).__name__}, not a NumPy array:"
                    " it cannot be changed in place"
                )
        return dict(params)

    def forward(self, layer: Any, inputs: list[Array]) -> list[Array]:
        """Return copies of forward's outputs for those very inputs."""
        try:
            result = layer.forward(*inputs)
        except Exception as error:
            raise self._failed("forward", error) from error
        if result is None:
            raise GradcheckError(f"{self.title}.forward returned None: return the output")
        result = result if isinstance(result, tuple | list) else (result,)
        return [np.array(one) for one in result]

    def backward(self, layer: Any, weights: list[Array]) -> dict[str, Any]:
        """Return copies of all gradients by name: inputs first (None if constant), then params."""
        try:
            result = layer.backward(*[one if one.ndim else one[()] for one in weights])
        except Exception as error:
            raise self._failed("backward", error) from error
        wanted = len(self.inputs)
        if result is None:
            raise GradcheckError(
                f"{self.title}.backward returned None: return the gradient of"
                f" {', '.join(self.input_names)}"
            )
        result = result if isinstance(result, tuple | list) else (result,)
        if len(result) != wanted:
            raise GradcheckError(
                f"{self.title}.backward returned {len(result)} gradients for {wanted} inputs"
                f" ({', '.join(self.input_names)}): one for each, None for one that needs none"
            )
        found = {
            name: None if one is None or not _floating(given) else np.array(one)
            for name, one, given in zip(self.input_names, result, self.inputs, strict=True)
        }
        grads = getattr(layer, "grads", None) or {}
        for name in self.parameters(layer):
            key = self.parameter_name(name)
            found[key] = np.array(grads[name]) if grads.get(name) is not None else None
        return found

    def parameter_name(self, name: str) -> str:
        """Return the parameter's name in the report: another if an input is called the same."""
        return f"params[{name}]" if name in self.input_names else name

    def _failed(self, method: str, error: Exception) -> GradcheckError:
        text = str(error).splitlines()[0] if str(error) else ""
        shapes = ", ".join(str(one.shape) for one in self.inputs)
        return GradcheckError(
            f"{self.title}.{method} raised {type(error).__name__}: {text}"
            f" (inputs of shape {shapes})"
        )


def _floating(array: Array) -> bool:
    return np.issubdtype(array.dtype, np.floating)


def _names(forward: Any, count: int) -> list[str]:
    """Return the names of forward's first arguments, or numbers where it has none."""
    try:
        signature = inspect.signature(forward).parameters.values()
        names = [one.name for one in signature if one.kind is not one.VAR_POSITIONAL]
    except (TypeError, ValueError):
        names = []
    return [*names[:count], *(f"input {i}" for i in range(len(names[:count]), count))]
