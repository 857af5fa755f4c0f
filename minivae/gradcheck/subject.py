"""A layer with its inputs, seen as one function of named arrays that can be perturbed in place.

It calls forward and backward and turns their failures into one clear line; where a layer keeps its
parameters is found in intake.py, what the values mean is judged in numeric.py and causes.py.
"""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from minivae.gradcheck.clone import clone
from minivae.gradcheck.intake import Pair, Place, Shapes, places, put_arrays, takes, undeclared
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
        bound = getattr(vae, "bound", None)
        if getattr(bound, "held", False):
            raise GradcheckError(
                f"the encoder's gradient of {bound.kind} is the bound's in the mean alone, not "
                "with the noise held: differences cannot check it (those of iwae they can)"
            )
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

    Parameters
    ----------
    layer, inputs, seed
        As `check` takes them.
    constants : names or places of inputs, optional
        That have no gradient. Left out, the layer's own tuple `constants`, if it has one; or else
        a float input for which backward returns None is one, unless it is the only one.
    reseed : callable, optional
        Called before each forward, with the layer if it takes one.

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
    widened : bool
        Whether the layer is a float32 one turned to float64.
    """

    def __init__(
        self,
        layer: Any,
        inputs: tuple[Any, ...],
        seed: int,
        constants: int | str | Iterable[int | str] | None = None,
        reseed: Callable[..., Any] | None = None,
    ) -> None:
        if not hasattr(layer, "forward") and hasattr(layer, "step"):
            layer = StepLayer(layer)
        title = getattr(layer, "title", None)
        if not (isinstance(title, str) and title):
            title = type(getattr(layer, "vae", layer)).__name__
        self.title = title
        for method in ("forward", "backward"):
            instead = "__call__" if method == "forward" else method
            if not callable(getattr(layer, method, getattr(layer, instead, None))):
                raise GradcheckError(f"{self.title} has no method {method}: nothing to check")
        self.original, self.seed, self.reseed = layer, seed, reseed
        try:
            self.inputs = [np.array(one) for one in inputs]
        except ValueError as error:
            raise GradcheckError(f"inputs that are no arrays: {error}") from None
        self.input_names = _names(_forward_of(layer), len(inputs))
        for name, one in zip(self.input_names, self.inputs, strict=False):
            if one.size == 0:
                raise GradcheckError(
                    f"{self.title}: of its inputs {name} is empty: nothing to check"
                )
        if constants is None and isinstance(getattr(layer, "constants", None), tuple):
            constants = layer.constants
        self.declared = constants is not None
        self.constants = self._named(() if constants is None else constants)
        self.widened = False
        self.caches: dict[int, Any] = {}
        self.given: list[Any] = []
        self.shapes: Shapes | None = None  # of the outputs, as forward gave them
        self.places: list[Place] = []
        self.kept: dict[str, Array] = {}
        try:
            self.layer = clone(layer)
            self.copyable = True
        except Exception:  # whatever deepcopy meets in a stranger's class
            self.layer, self.copyable = layer, False
        self.unit = getattr(layer, "unit_weight", False) or takes(layer.backward) == 0
        self.outputs = self.forward(self.layer, _copies(self.inputs))
        self._refuse_useless()
        rng = np.random.default_rng(seed)
        self.weights = [self._weight(output, rng) for output in self.outputs]
        self._find_parameters()

    def _find_parameters(self) -> None:
        """Learn where parameters and gradients are: some are made by forward or by backward."""
        before = places(self.original, after=None)
        if self.copyable and (not before or undeclared(self.original, before)):
            probe = self._used()
            if self._lazy(probe, {one.name for one in before}):
                self.original = self.layer  # which has run forward
                probe = self._used()
        else:
            probe = self.original
        self.places = places(self.original, after=probe)
        self.kept = {name: one.copy() for name, one in self.parameters(self.original).items()}

    def _used(self) -> Any:
        """Return a copy that has run forward and, if it can, backward."""
        probe = self.fresh()
        self.forward(probe, _copies(self.inputs))
        with contextlib.suppress(GradcheckError):  # said in full where the gradients are wanted
            self.call_backward(probe, _copies(self.weights))
        return probe

    def _lazy(self, probe: Any, known: set[str]) -> bool:
        """Return whether forward made parameters: arrays with gradients that it then keeps."""
        made = [one for one in places(probe, after=probe) if one.name not in known]
        if not made:
            return False
        kept = [np.array(one.value(probe)) for one in made]
        rng = np.random.default_rng(0)
        others = [rng.permutation(one.ravel()).reshape(one.shape) for one in self.inputs]
        try:
            self.forward(probe, others)
        except GradcheckError:
            return False
        return any(np.array_equal(k, one.value(probe)) for k, one in zip(kept, made, strict=True))

    def _named(self, constants: Iterable[int | str]) -> set[str]:
        found = set()
        for one in [constants] if isinstance(constants, int | str) else constants:
            if one is ...:
                found.update(self.input_names)
            elif one in self.input_names:
                found.add(one)
            elif isinstance(one, int) and 0 <= one < len(self.inputs):
                found.add(self.input_names[one])
            else:
                raise GradcheckError(
                    f"constants names {one!r}: the inputs are {', '.join(self.input_names)}"
                )
        return found

    def _refuse_useless(self) -> None:
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

    def _weight(self, output: Array, rng: np.random.Generator) -> Array:
        if self.unit:
            return np.ones(output.shape, output.dtype)
        size = rng.uniform(0.5, 1.5, output.shape) * rng.choice([-1.0, 1.0], output.shape)
        if output.dtype.kind == "c":
            size = size + 1j * rng.uniform(0.5, 1.5, output.shape)
        dtype = output.dtype if output.dtype.kind in "fc" else float
        return np.asarray(size, dtype)

    def fresh(self, dtype: Any = None) -> Any:
        """Return the layer in its first state, as a copy if it can be copied."""
        if self.copyable:
            layer = clone(self.original, dtype)
            put_arrays(layer, self.places, dtype)
            return layer
        if dtype is not None:
            raise GradcheckError(f"{self.title} cannot be copied")
        for name, one in self.parameters(self.original).items():
            if one.dtype == self.kept[name].dtype and one.shape == self.kept[name].shape:
                one[...] = self.kept[name]
        return self.original

    def at(self, inputs: list[Array], layer: Any = None, dtype: Any = None) -> Subject:
        """Return the same layer at other inputs, perhaps changed or in another dtype."""
        layer = clone(self.original if layer is None else layer, dtype)
        constants = self.constants if self.declared else None
        other = Subject(layer, tuple(inputs), self.seed, constants, self.reseed)
        other.widened = self.widened or dtype is not None
        return other

    def variables(self) -> dict[str, Array]:
        """Return inputs and parameters at their first values, by their names in the report."""
        named = dict(zip(self.input_names, self.inputs, strict=True))
        return {**named, **{self.parameter_name(k): v for k, v in self.kept.items()}}

    def parameters(self, layer: Any) -> dict[str, Array]:
        """Return the layer's parameters by name; the very arrays, not copies."""
        found = {one.name: one.value(layer) for one in self.places}
        for name, one in found.items():
            if isinstance(one, float | np.floating):  # `fresh` has put an array there
                found[name] = np.array(one)
            elif not isinstance(one, np.ndarray):
                raise GradcheckError(
                    f"{self.title}.params[{name!r}] is a {type(one).__name__}, not a NumPy array:"
                    " it cannot be changed in place"
                )
        return found

    def forward(self, layer: Any, inputs: list[Array]) -> list[Array]:
        """Return copies of forward's outputs for those very inputs."""
        if self.reseed is not None:
            self.reseed(layer) if takes(self.reseed) else self.reseed()
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                _quiet()
                result = _forward_of(layer)(*inputs)
        except Exception as error:
            raise self._failed("forward", error) from error
        if result is None:
            raise GradcheckError(f"{self.title}.forward returned None: return the output")
        self.shapes = Shapes(result)
        self.caches[id(layer)] = self.shapes.cache
        self.given = self.shapes.outputs  # the very arrays
        return [np.array(one) for one in self.shapes.outputs]

    def call_backward(self, layer: Any, weights: list[Array]) -> Any:
        """Return what backward returns."""
        arguments = self.shapes.arguments(weights, takes(layer.backward))
        if self.caches.get(id(layer)) is not None:
            arguments = [*arguments, *self.caches[id(layer)]]
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                _quiet()
                return layer.backward(*arguments)
        except Exception as error:
            raise self._failed("backward", error) from error

    def backward(self, layer: Any, weights: list[Array]) -> dict[str, Any]:
        """Return copies of all gradients by name: inputs first (None if constant), then params."""
        result = self.call_backward(layer, weights)
        returned = dict(result) if isinstance(result, Mapping) else {}
        if returned:
            result = [returned.get(name) for name in self.input_names]
        floating = [_floating(one) for one in self.inputs]
        if result is None:
            if not self.places and any(floating):
                raise GradcheckError(
                    f"{self.title}.backward returned None: return the gradient of"
                    f" {', '.join(self.input_names)}"
                )
            result = [None] * len(self.inputs)
        result = list(result) if isinstance(result, tuple | list) else [result]
        if len(result) == sum(floating) < len(self.inputs):  # whole numbers left out
            given = iter(result)
            result = [next(given) if one else None for one in floating]
        wanted, extra = len(self.inputs), result[len(self.inputs) :]
        if len(result) != wanted and not (extra and len(extra) == len(self.places)):
            raise GradcheckError(
                f"{self.title}.backward returned {len(result)} gradients for {wanted} inputs"
                f" ({', '.join(self.input_names)}): one for each, None for one that needs none"
            )
        found = {
            name: None if one is None or not is_float else np.array(one)
            for name, one, is_float in zip(self.input_names, result[:wanted], floating, strict=True)
        }
        for position, place in enumerate(self.places):
            one = extra[position] if extra else returned.get(place.name, place.gradient(layer))
            found[self.parameter_name(place.name)] = None if one is None else np.array(one)
        return found

    def run(self, layer: Any, inputs: list[Array], weights: list[Array]) -> dict[str, Any]:
        """Return the gradients after a forward on those inputs."""
        self.forward(layer, _copies(inputs))
        return self.backward(layer, _copies(weights))

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


def _quiet() -> None:
    """Let a layer's own warnings pass, but not a complex number that loses its imaginary part."""
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", np.exceptions.ComplexWarning)


def _forward_of(layer: Any) -> Any:
    return layer.forward if hasattr(layer, "forward") else layer


def _floating(array: Array) -> bool:
    return np.issubdtype(array.dtype, np.floating)


def _copies(arrays: list[Array]) -> list[Array]:
    return [one.copy() for one in arrays]


def _names(forward: Any, count: int) -> list[str]:
    """Return the names of forward's first arguments, or numbers where it has none."""
    owner = getattr(forward, "__self__", None)
    names = owner.names if isinstance(owner, Pair) else None
    if names is None:
        try:
            signature = inspect.signature(forward).parameters.values()
            names = [one.name for one in signature if one.kind is not one.VAR_POSITIONAL]
        except (TypeError, ValueError):
            names = []
    return [*names[:count], *(f"input {i}" for i in range(len(names[:count]), count))]
