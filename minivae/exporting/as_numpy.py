"""A model as a module of Python that needs NumPy alone, and an .npz of its parameters beside it.

What each layer computes there is in numpy_layers.py.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from minivae.exporting.program import Node, pieces, program
from minivae.looking.pages import asset

NAME = "numpy_vae"
CALLS = {
    "linear": "linear({x}, {name!r})",
    "conv2d": "conv2d({x}, {name!r}, {size}, {stride}, {padding})",
    "conv_transpose2d": "conv_transpose2d({x}, {name!r}, {size}, {out}, {stride}, {padding})",
    "group_norm": "group_norm({x}, {name!r}, {groups}, {channels}, {eps})",
    "layer_norm": "group_norm({x}, {name!r}, {groups}, {channels}, {eps})",
    "batch_norm": "batch_norm({x}, {name!r}, {channels}, {eps})",
    "planes": "planes({x}, {planes})",
    "prelu": "prelu({x}, {name!r}, {channels})",
    "leaky_relu": "leaky_relu({x}, {constant})",
    "elu": "elu({x}, {constant})",
    "first": "first({x}, {columns})",
    "softmax": "softmax({x}, {groups})",
    "same": "{x}",
}
MODULE = '''"""A variational autoencoder in NumPy alone, written by minivae.

encode(x): mu and log variance, each (N, {latent}), for rows x (N, {pixels})
decode(z): the mean of p(x|z), (N, {pixels}), for points z (N, {latent})

The parameters are in {NAME}.npz, beside this file.
"""

{imports}

with np.load(Path(__file__).with_suffix(".npz"), allow_pickle=False) as file:
    P = dict(file)


{functions}def encode(x):
    """Return mu and log variance of q(z|x)."""
    x = np.asarray(x, "{dtype}")
{encoder}
    return x[:, :{latent}], x[:, {latent}:]


def decode(z):
    """Return the mean of p(x|z)."""
    x = np.asarray(z, "{dtype}")
{decoder}
    return {mean}


def reconstruct(x):
    """Return decode(mu) for the mu of each row."""
    return decode(encode(x)[0])
'''


def files(vae: Any, arrays: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """Return the contents of numpy_vae.py and numpy_vae.npz by name."""
    made = program(vae)
    calls = made.ops() | ({"group_norm"} if "layer_norm" in made.ops() else set())
    functions = pieces(asset("minivae.exporting", "numpy_layers.py"), calls)
    imports = ["from pathlib import Path", "", "import numpy as np"]
    if "math." in functions:
        imports.insert(0, "import math")
    if "sliding_window_view" in functions:
        imports.append("from numpy.lib.stride_tricks import sliding_window_view")
    text = MODULE.format(
        NAME=NAME,
        latent=vae.latent,
        pixels=vae.pixels,
        dtype=vae.dtype.name,
        imports="\n".join(imports),
        functions=functions,
        encoder="\n".join(_lines(made.encoder)),
        decoder="\n".join(_lines(made.decoder)),
        mean=_call(made.mean),
    )
    numbers = io.BytesIO()
    np.savez(numbers, **arrays)  # type: ignore[arg-type]
    return {f"{NAME}.py": text.encode(), f"{NAME}.npz": numbers.getvalue()}


def _call(node: Node, x: str = "x") -> str:
    return CALLS.get(node.op, node.op + "({x})").format(x=x, name=node.name, **node.how)


def _lines(node: Node) -> Iterator[str]:
    """Yield the lines that take x on through a node."""
    if node.op == "sequential":
        for one in node.inner:
            yield from _lines(one)
    elif node.op == "residual":
        path, *skip = node.inner
        yield "    straight = x"
        yield from _lines(path)
        yield f"    x = x + {_call(skip[0], 'straight') if skip else 'straight'}"
    else:
        yield f"    x = {_call(node)}"
