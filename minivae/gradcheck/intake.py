"""Where a stranger's layer keeps parameters and gradients, and what shape its answers have.

Nothing is run here; the calls are made in subject.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray
VALUES = ("data", "value", "values")  # of an object that is a parameter
GRADS = ("grad", "gradient", "g")
# How gradients of an attribute W are called.
SPELLINGS = ("d{}", "d_{}", "grad_{}", "{}_grad", "grad{}", "g{}", "g_{}", "{}grad", "d{}_")
STATE = "running_mean", "running_var"  # by PyTorch's names: forward changes them, no gradient does


@dataclass
class Place:
    """Where a layer keeps one parameter and its gradient.

    Attributes
    ----------
    name : str
    value, gradient : callable
        Give the very array of a layer; the gradient may be None.
    put : callable
        Puts another value there.
    """

    name: str
    value: Callable[[Any], Any]
    gradient: Callable[[Any], Any]
    put: Callable[[Any, Any], None]


class Pair:
    """Two plain functions as a layer: ``forward(*inputs)`` and ``backward(dy, *inputs)``.

    Where forward returns (output, cache), backward is called as ``backward(dy, cache)``.
    """

    def __init__(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        self.function, self.gradient = forward, backward
        self.title = getattr(forward, "__name__", "function")
        self.inputs: tuple[Any, ...] = ()
        self.names = _arguments(forward) or []

    def forward(self, *inputs: Any) -> Any:
        """Return the function's value; its inputs are kept."""
        result = self.function(*inputs)
        self.inputs = () if Shapes(result).cache is not None else inputs
        return result

    def backward(self, *arguments: Any) -> Any:
        """Return the gradients of all inputs."""
        return self.gradient(*arguments, *self.inputs)


class Shapes:
    """The outputs of one forward as a list of arrays, and how backward wants their gradients.

    Attributes
    ----------
    outputs : list
    cache : list or None
        What forward returned besides arrays: backward takes it back.
    """

    def __init__(self, result: Any) -> None:
        self.keys = list(result) if isinstance(result, Mapping) else None
        self.many = isinstance(result, tuple | list | Mapping)
        if isinstance(result, Mapping):
            values = list(result.values())
        else:
            values = list(result) if self.many else [result]
        numeric = [_is_numeric(one) for one in values]
        self.cache = None
        if isinstance(result, tuple) and any(numeric) and not all(numeric):
            self.cache = [one for one, good in zip(values, numeric, strict=True) if not good]
            values = [one for one, good in zip(values, numeric, strict=True) if good]
        self.outputs = values

    def arguments(self, weights: list[Array], count: int) -> list[Any]:
        """Return the arguments of a backward that takes `count` of them."""
        given = [one if one.ndim else one[()] for one in weights]
        if self.keys is not None:
            return [dict(zip(self.keys, given, strict=True))]
        if count == 0:
            return []
        return [tuple(given)] if len(given) > 1 and count == 1 else given


def takes(function: Any) -> int:
    """Return how many positional arguments a function takes; many where that is not known."""
    arguments = _arguments(function)
    return len(arguments) if arguments is not None else 99


def places(layer: Any, after: Any) -> list[Place]:
    """Return where the layer keeps its parameters; running means of batches are none.

    Parameters
    ----------
    layer : object
        In its first state.
    after : object or None
        A copy that has run backward: it shows which attributes have gradients.
    """
    params = _holder(layer, "params", "parameters")
    found = [_of_path(path, holder) for path, holder in _leaves(params)] if params else []
    found = [one for one in found if one.name.rpartition(".")[2] not in STATE]
    beside = _attributes(layer, after if after is not None else layer)
    if found:
        return found + [one for one in beside if not _shares(layer, one, found)]
    for key, inner in _inner(layer):
        other = _reached(after, key) if after is not None else None
        for one in places(inner, other):
            beside.append(_inside(key, one))
    return beside


def undeclared(layer: Any, where: list[Place]) -> bool:
    """Return whether the layer has numbers of its own that are none of its known parameters."""
    values = (getattr(layer, "__dict__", None) or {}).items()
    numbers = [n for n, v in values if isinstance(v, float | np.floating) or _is_float_array(v)]
    return any(not _shares(layer, _attribute(name, None), where) for name in numbers)


def put_arrays(layer: Any, where: list[Place], dtype: Any = None) -> None:
    """Replace parameters that are plain numbers by arrays, which can be changed in place."""
    for one in where:
        value = one.value(layer)
        if isinstance(value, float | np.floating):
            one.put(layer, np.array(value, dtype))


def _arguments(function: Any) -> list[str] | None:
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(one.kind is one.VAR_POSITIONAL for one in found):
        return None
    return [
        one.name for one in found if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]


def _is_numeric(one: Any) -> bool:
    if one is None or isinstance(one, str | Mapping | tuple | list):
        return False
    return np.asarray(one).dtype.kind in "biufc"


def _holder(layer: Any, *names: str) -> Any:
    for name in names:
        found = getattr(layer, name, None)
        if callable(found) and not isinstance(found, Mapping):
            try:
                found = found()
            except TypeError:
                continue
        if hasattr(found, "__next__"):
            found = list(found)
        if isinstance(found, Mapping | list | tuple):
            return found
    return None


def _leaves(holder: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """Return path and value of everything in nested mappings and lists."""
    if isinstance(holder, Mapping | list | tuple):
        items = holder.items() if isinstance(holder, Mapping) else enumerate(holder)
        return [leaf for key, one in items for leaf in _leaves(one, (*path, key))]
    return [(path, holder)]


def _follow(holder: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        try:
            holder = holder[key]
        except (KeyError, IndexError, TypeError):
            return None
    return holder


def _of_path(path: tuple[Any, ...], value: Any) -> Place:
    """Return the place of a leaf of `params`: an array, or an object with value and gradient."""
    inside = None if isinstance(value, np.ndarray) else _first(value, VALUES)

    def held(layer: Any) -> Any:
        one = _follow(_holder(layer, "params", "parameters"), path)
        return getattr(one, inside) if inside else one

    def gradient(layer: Any) -> Any:
        if inside:
            one = _follow(_holder(layer, "params", "parameters"), path)
            return next((getattr(one, name) for name in GRADS if hasattr(one, name)), None)
        return _follow(_holder(layer, "grads", "gradients", "grad") or {}, path)

    def put(layer: Any, new: Any) -> None:
        if inside:
            setattr(_follow(_holder(layer, "params", "parameters"), path), inside, new)
        else:
            _follow(_holder(layer, "params", "parameters"), path[:-1])[path[-1]] = new

    return Place(".".join(map(str, path)), held, gradient, put)


def _first(value: Any, names: tuple[str, ...]) -> str | None:
    return next((n for n in names if isinstance(getattr(value, n, None), np.ndarray)), None)


def _attributes(layer: Any, after: Any) -> list[Place]:
    """Return attributes that have a gradient: W beside dW, or beside grads["W"]."""
    found, grads = [], getattr(after, "grads", None)
    for name, value in (getattr(layer, "__dict__", None) or {}).items():
        if not (isinstance(value, float | np.floating) or _is_float_array(value)):
            continue
        if isinstance(grads, Mapping) and name in grads:
            spelling = None
        else:
            written = [s.format(name) for s in SPELLINGS]
            written = [one for one in written if _is_numeric(getattr(after, one, None))]
            if not written or name in {s.format(n) for s in SPELLINGS for n in vars(layer)}:
                continue
            spelling = written[0]
        found.append(_attribute(name, spelling))
    return found


def _shares(layer: Any, one: Place, others: list[Place]) -> bool:
    """Return whether an attribute is one of `params` under another name, or a view of them."""
    value = np.asarray(one.value(layer))
    known = [np.asarray(other.value(layer)) for other in others]
    return any(
        one.name == other.name or np.may_share_memory(value, array)
        for other, array in zip(others, known, strict=True)
    )


def _attribute(name: str, spelling: str | None) -> Place:
    def gradient(layer: Any) -> Any:
        return layer.grads.get(name) if spelling is None else getattr(layer, spelling, None)

    return Place(
        name,
        lambda layer: getattr(layer, name),
        gradient,
        lambda layer, new: setattr(layer, name, new),
    )


def _is_float_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _inner(layer: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """Return the layers inside a layer by attribute, and by place in one that is a list."""
    found = []
    for name, value in (getattr(layer, "__dict__", None) or {}).items():
        for path, one in _leaves(value):
            if hasattr(one, "__dict__") and callable(getattr(one, "backward", None)):
                found.append(((name, *path), one))
    return found


def _reached(layer: Any, path: tuple[Any, ...]) -> Any:
    return _follow(getattr(layer, path[0], None), path[1:])


def _inside(path: tuple[Any, ...], place: Place) -> Place:
    return Place(
        ".".join(map(str, (*path, place.name))),
        lambda layer: place.value(_reached(layer, path)),
        lambda layer: place.gradient(_reached(layer, path)),
        lambda layer, new: place.put(_reached(layer, path), new),
    )
