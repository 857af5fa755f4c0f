"""A model as a tree of operations with their settings, which each form of export writes its way.

What a layer is called elsewhere, and how its numbers are kept, is for the forms.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from minivae.errors import ArgumentError
from minivae.layers import Linear, ReLU, Sequential, Sigmoid, Tanh
from minivae.networks.activations import ELU, GELU, LeakyReLU, PReLU, SiLU, Softplus
from minivae.networks.convolution import Conv2d, ConvTranspose2d
from minivae.networks.normalisation import BatchNorm, GroupNorm, LayerNorm
from minivae.networks.planes import Planes
from minivae.networks.residual import Residual


class Node(NamedTuple):
    """An operation: its name, its parameters' ("encoder.0"), its settings, what it is made of."""

    op: str
    name: str = ""
    how: Any = {}  # noqa: RUF012 (never changed)
    inner: tuple[Node, ...] = ()

    def all(self) -> Iterator[Node]:
        """Yield this and all that it is made of."""
        yield self
        for node in self.inner:
            yield from node.all()


class Program(NamedTuple):
    """From x to mu and log variance, from z to eta, and from eta to the mean of p(x|z)."""

    encoder: Node
    decoder: Node
    mean: Node

    def ops(self) -> set[str]:
        """Return the names of all operations."""
        return {node.op for whole in self for node in whole.all()}


def _convolution(layer: Any) -> dict[str, Any]:
    return {"kernel": layer.kernel, "stride": layer.stride, "padding": layer.padding}


def _down(layer: Any) -> dict[str, Any]:
    outputs, inputs = layer.channels
    return {"inputs": inputs, "outputs": outputs, "size": layer.large} | _convolution(layer)


def _up(layer: Any) -> dict[str, Any]:
    inputs, outputs = layer.channels
    sizes = zip(layer.small, layer.stride, layer.padding, layer.kernel, layer.large, strict=True)
    extra = tuple(large - ((n - 1) * s - 2 * p + k) for n, s, p, k, large in sizes)
    how = {"inputs": inputs, "outputs": outputs, "size": layer.small, "out": layer.large}
    return how | _convolution(layer) | {"extra": extra}


def _norm(layer: Any) -> dict[str, Any]:
    return {"groups": layer.groups, "channels": layer.channels, "eps": layer.eps}


def _slope(layer: Any) -> dict[str, Any]:
    return {"constant": layer.given[0]} if layer.given else {}


_LAYERS: dict[type, Callable[[Any], tuple[str, dict[str, Any]]]] = {
    Linear: lambda one: ("linear", {"inputs": one.inputs, "outputs": one.outputs}),
    Conv2d: lambda one: ("conv2d", _down(one)),
    ConvTranspose2d: lambda one: ("conv_transpose2d", _up(one)),
    GroupNorm: lambda one: ("group_norm", _norm(one)),
    LayerNorm: lambda one: ("layer_norm", _norm(one)),
    BatchNorm: lambda one: ("batch_norm", _norm(one) | {"momentum": one.momentum}),
    PReLU: lambda one: ("prelu", {"channels": one.channels}),
    Planes: lambda one: ("planes", {"planes": one.planes}),
    **dict.fromkeys((ReLU, Sigmoid, Tanh), lambda one: (one.formula, {})),
    **dict.fromkeys(
        (LeakyReLU, SiLU, GELU, Softplus, ELU), lambda one: (one.names[0], _slope(one))
    ),
}
_MEANS = {
    "bernoulli": "sigmoid",
    "poisson": "exp",
    "negative-binomial": "exp",
    "categorical": "softmax",
    "gaussian-decoded": "first",
    **dict.fromkeys(
        ("gaussian", "gaussian-fixed", "gaussian-features", "gaussian-optimal", "student"), "same"
    ),
}


def program(vae: Any) -> Program:
    """Return what a model computes: encode, and decode.

    Raises
    ------
    ArgumentError
        If a layer or part has no form elsewhere, naming it.
    """
    if vae.posterior.kind != "gaussian":
        raise ArgumentError(
            f"the posterior {vae.posterior.kind} has no exported form: --to safetensors keeps its "
            "numbers"
        )
    p = vae.likelihood
    if p.kind not in _MEANS:
        raise ArgumentError(
            f"the likelihood {p.kind} has no exported form: --to safetensors keeps its numbers"
        )
    how = {"columns": p.pixels, "groups": tuple(getattr(p, "groups", ()))}
    mean = Node(_MEANS[p.kind], "likelihood", how)
    return Program(_node(vae.encoder, "encoder"), _node(vae.decoder, "decoder"), mean)


def _node(layer: Any, name: str) -> Node:
    if type(layer) in (Sequential, Residual):
        inner = tuple(_node(one, f"{name}.{key}") for key, one in layer.inner.items())
        return Node(type(layer).__name__.lower(), name, {}, inner)
    if type(layer) not in _LAYERS:
        raise ArgumentError(
            f"{name} is a {type(layer).__name__}, which has no exported form: --to safetensors "
            "keeps its numbers"
        )
    op, how = _LAYERS[type(layer)](layer)
    return Node(op, name, how)


def pieces(source: str, wanted: set[str]) -> str:
    """Return those functions and classes of a module, and those that they name, as its text."""
    tree = ast.parse(source)
    found = {node.name: node for node in tree.body if hasattr(node, "name")}
    queue, needed = list(wanted), set()
    while queue:
        name = queue.pop()
        if name in found and name not in needed:
            needed.add(name)
            queue += [node.id for node in ast.walk(found[name]) if isinstance(node, ast.Name)]
    texts = [ast.get_source_segment(source, found[name]) or "" for name in found if name in needed]
    return "".join(f"{text}\n\n\n" for text in texts)
