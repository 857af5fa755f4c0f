"""A model as two graphs of ONNX, encoder and decoder; the only module that knows the package.

Which operations there are is program.py's matter; here each becomes nodes of opset 17.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from minivae import __version__
from minivae.errors import BackendError
from minivae.exporting.program import Node, program

OPSET, IR = 17, 8
SAME = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softplus": "Softplus", "exp": "Exp"}


def files(vae: Any, arrays: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """Return the contents of encoder.onnx (x: mu, logvar) and decoder.onnx (z: mean) by name.

    Raises
    ------
    BackendError
        If the package onnx is missing.
    """
    made = program(vae)
    encoder, decoder = _Graph(arrays, vae.dtype), _Graph(arrays, vae.dtype)
    stats = encoder.walk(made.encoder, "x")
    halves = np.full(2, vae.latent, np.int64)
    encoder.add("Split", stats, encoder.constant(halves), out=("mu", "logvar"), axis=1)
    mean = decoder.walk(made.mean, decoder.walk(made.decoder, "z"))
    decoder.add("Identity", mean, out=("mean",))
    x, z = ("x", vae.pixels), ("z", vae.latent)
    return {
        "encoder.onnx": encoder.model("encoder", x, [("mu", vae.latent), ("logvar", vae.latent)]),
        "decoder.onnx": decoder.model("decoder", z, [("mean", vae.pixels)]),
    }


class _Graph:
    """A graph as it grows: a method for each operation that is more than a node, `x` a name."""

    def __init__(self, arrays: Mapping[str, np.ndarray], dtype: np.dtype) -> None:
        try:
            import onnx
        except ImportError:
            raise BackendError("ONNX needs its package: pip install onnx") from None
        self.onnx, self.arrays, self.dtype = onnx, arrays, dtype
        self.nodes: list[Any] = []
        self.kept: dict[str, Any] = {}
        self.count = 0

    def model(self, name: str, given: tuple[str, int], made: list[tuple[str, int]]) -> bytes:
        """Return the file."""
        helper = self.onnx.helper
        kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            name,
            [info(given[0], kind, ["N", given[1]])],
            [info(name, kind, ["N", columns]) for name, columns in made],
            list(self.kept.values()),
        )
        model = helper.make_model(
            graph,
            producer_name="minivae",
            producer_version=__version__,
            ir_version=IR,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        self.onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()

    def add(self, op: str, *inputs: str, out: tuple[str, ...] = (), **how: Any) -> str:
        """Add a node; return the name of what it gives."""
        self.count += 1
        out = out or (f"{op.lower()}_{self.count}",)
        self.nodes.append(self.onnx.helper.make_node(op, inputs, out, **how))
        return out[0]

    def constant(self, value: Any) -> str:
        """Return the name of numbers; a float is one of the model's type."""
        array = np.array(value, self.dtype) if isinstance(value, float) else np.asarray(value)
        name = f"constant_{len(self.kept)}"
        self.kept[name] = self.onnx.numpy_helper.from_array(array, name)
        return name

    def parameter(self, name: str) -> str:
        """Return the name of a parameter, which becomes part of the graph."""
        if name not in self.kept:
            self.kept[name] = self.onnx.numpy_helper.from_array(self.arrays[name], name)
        return name

    def walk(self, node: Node, x: str) -> str:
        """Add what a node computes of x; return the name of the result."""
        if node.op == "sequential":
            for one in node.inner:
                x = self.walk(one, x)
            return x
        if node.op == "residual":
            path, *skip = node.inner
            return self.add("Add", self.walk(path, x), self.walk(skip[0], x) if skip else x)
        if node.op in SAME:
            return self.add(SAME[node.op], x)
        return getattr(self, node.op)(x, node)

    # --- operations ----------------------------------------------------------------------------

    def shape(self, x: str, *shape: int) -> str:
        """Return x in another shape: 0 keeps the batch, -1 is what is left."""
        return self.add("Reshape", x, self.constant(np.array(shape, np.int64)))

    def weights(self, node: Node) -> tuple[str, str]:
        """Return the names of weight and bias."""
        return self.parameter(f"{node.name}.weight"), self.parameter(f"{node.name}.bias")

    def same(self, x: str, node: Node) -> str:
        return x

    def linear(self, x: str, node: Node) -> str:
        return self.add("Gemm", x, *self.weights(node), transB=1)

    def conv2d(self, x: str, node: Node, op: str = "Conv", **more: Any) -> str:
        """Convolve rows that are pictures, with the channels first meanwhile."""
        how = node.how
        x = self.shape(x, 0, *how["size"], how["inputs"])
        x = self.add("Transpose", x, perm=(0, 3, 1, 2))
        settings = {"strides": how["stride"], "pads": (*how["padding"], *how["padding"])}
        x = self.add(op, x, *self.weights(node), kernel_shape=how["kernel"], **settings, **more)
        return self.shape(self.add("Transpose", x, perm=(0, 2, 3, 1)), 0, -1)

    def conv_transpose2d(self, x: str, node: Node) -> str:
        return self.conv2d(x, node, "ConvTranspose", output_padding=node.how["extra"])

    def group_norm(self, x: str, node: Node) -> str:
        groups, channels = node.how["groups"], node.how["channels"]
        weight, bias = self.weights(node)
        x = self.shape(x, 0, -1, groups, channels // groups)
        x = self.add("Sub", x, self.add("ReduceMean", x, axes=(1, 3)))
        variance = self.add("ReduceMean", self.add("Mul", x, x), axes=(1, 3))
        deviation = self.add("Sqrt", self.add("Add", variance, self.constant(node.how["eps"])))
        x = self.shape(self.add("Div", x, deviation), 0, -1, channels)
        return self.shape(self.add("Add", self.add("Mul", x, weight), bias), 0, -1)

    layer_norm = group_norm

    def batch_norm(self, x: str, node: Node) -> str:
        names = "weight", "bias", "running_mean", "running_var"
        parameters = [self.parameter(f"{node.name}.{name}") for name in names]
        x = self.add("Transpose", self.shape(x, 0, -1, node.how["channels"]), perm=(0, 2, 1))
        x = self.add("BatchNormalization", x, *parameters, epsilon=node.how["eps"])
        return self.shape(self.add("Transpose", x, perm=(0, 2, 1)), 0, -1)

    def planes(self, x: str, node: Node) -> str:
        """Return (planes, pixels) from (pixels, planes)."""
        x = self.shape(x, 0, -1, node.how["planes"])
        return self.shape(self.add("Transpose", x, perm=(0, 2, 1)), 0, -1)

    def prelu(self, x: str, node: Node) -> str:
        x = self.shape(x, 0, -1, node.how["channels"])
        return self.shape(self.add("PRelu", x, self.parameter(f"{node.name}.weight")), 0, -1)

    def leaky_relu(self, x: str, node: Node) -> str:
        return self.add("LeakyRelu", x, alpha=node.how["constant"])

    def elu(self, x: str, node: Node) -> str:
        return self.add("Elu", x, alpha=node.how["constant"])

    def silu(self, x: str, node: Node) -> str:
        return self.add("Mul", x, self.add("Sigmoid", x))

    def half(self, x: str, bent: str) -> str:
        """Return x (1 + bent) / 2."""
        share = self.add("Add", bent, self.constant(1.0))
        return self.add("Mul", self.add("Mul", x, self.constant(0.5)), share)

    def gelu(self, x: str, node: Node) -> str:
        """Return x times the share of N(0, 1) below it."""
        return self.half(x, self.add("Erf", self.add("Mul", x, self.constant(2**-0.5))))

    def gelu_tanh(self, x: str, node: Node) -> str:
        """Return its approximation by a tanh."""
        cube = self.add("Mul", x, self.add("Mul", x, x))
        inner = self.add("Add", x, self.add("Mul", cube, self.constant(0.044715)))
        root = self.constant((2 / math.pi) ** 0.5)
        return self.half(x, self.add("Tanh", self.add("Mul", inner, root)))

    def first(self, x: str, node: Node) -> str:
        start, end, axis = (self.constant(np.array([k])) for k in (0, node.how["columns"], 1))
        return self.add("Slice", x, start, end, axis)

    def softmax(self, x: str, node: Node) -> str:
        """Return shares that sum to 1 in each group of columns."""
        groups = node.how["groups"]
        if len(groups) == 1:
            return self.add("Softmax", x, axis=1)
        parts = tuple(f"group_{k}" for k in range(len(groups)))
        self.add("Split", x, self.constant(np.array(groups, np.int64)), out=parts, axis=1)
        shares = [self.add("Softmax", part, axis=1) for part in parts]
        return self.add("Concat", *shares, axis=1)
