"""A model as a module of PyTorch that needs no minivae, and a state dict that torch.load reads.

PyTorch is not needed to write them; what its own layers lack is in torch_layers.py.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from minivae.exporting.program import Node, pieces, program
from minivae.looking.pages import asset

NAME = "torch_vae"
LAYERS = {
    "linear": "nn.Linear({inputs}, {outputs})",
    "conv2d": "Conv2d({inputs}, {outputs}, {kernel}, {stride}, {padding}, size={size})",
    "conv_transpose2d": "ConvTranspose2d({inputs}, {outputs}, {kernel}, {stride}, {padding}, "
    "{extra}, size={size})",
    "group_norm": "GroupNorm({groups}, {channels}, {eps})",
    "layer_norm": "nn.LayerNorm({channels}, {eps})",
    "batch_norm": "BatchNorm({channels}, {eps}, {momentum})",
    "planes": "Planes({planes})",
    "prelu": "PReLU({channels})",
    "relu": "nn.ReLU()",
    "leaky_relu": "nn.LeakyReLU({constant})",
    "sigmoid": "nn.Sigmoid()",
    "tanh": "nn.Tanh()",
    "silu": "nn.SiLU()",
    "gelu": "nn.GELU()",
    "gelu_tanh": 'nn.GELU("tanh")',
    "elu": "nn.ELU({constant})",
    "softplus": "nn.Softplus(threshold=1e9)",
}
MEANS = {
    "sigmoid": "torch.sigmoid({x})",
    "exp": "torch.exp({x})",
    "first": "{x}[:, :{columns}]",
    "softmax": "softmax({x}, {groups})",
    "same": "{x}",
}
OWN = {
    "conv2d": "Conv2d",
    "conv_transpose2d": "ConvTranspose2d",
    "group_norm": "GroupNorm",
    "batch_norm": "BatchNorm",
    "prelu": "PReLU",
    "planes": "Planes",
    "residual": "Residual",
    "softmax": "softmax",
}
MODULE = '''"""A variational autoencoder in PyTorch, written by minivae.

    vae = load()                 # with the parameters in {NAME}.pt, beside this file
    mu, logvar = vae.encode(x)   # each (N, {latent}), for rows x (N, {pixels})
    x = vae.decode(z)            # the mean of p(x|z), (N, {pixels}), for points z (N, {latent})
"""

from pathlib import Path

import torch
from torch import nn


{classes}class VAE(nn.Module):
    """Encoder and decoder; load_state_dict takes what is in {NAME}.pt."""

    def __init__(self):
        super().__init__()
        self.encoder = {encoder}
        self.decoder = {decoder}
{others}
    def encode(self, x):
        """Return mu and log variance of q(z|x)."""
        return self.encoder(x).split({latent}, 1)

    def decode(self, z):
        """Return the mean of p(x|z)."""
        return {mean}

    def forward(self, x):
        """Return decode(mu) for the mu of each row."""
        return self.decode(self.encode(x)[0])


def load(file=Path(__file__).with_suffix(".pt")):
    """Return the model with its parameters."""
    vae = VAE()
    vae.load_state_dict(torch.load(file, weights_only=True))
    return vae.eval()
'''


def files(vae: Any, arrays: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """Return the contents of torch_vae.py and torch_vae.pt by name."""
    made = program(vae)
    own = {OWN[op] for op in made.ops() & OWN.keys()}
    others: dict[str, list[str]] = {}  # parameters of prior and likelihood, which only sit there
    for name, array in arrays.items():
        part, _, key = name.partition(".")
        if part not in ("encoder", "decoder"):
            others.setdefault(part, []).append(f'"{key}": nn.Parameter(torch.zeros{array.shape})')
    lines = [
        f"        self.{part} = nn.ParameterDict({{{', '.join(parameters)}}})\n"
        for part, parameters in others.items()
    ]
    if vae.dtype == np.float64:
        lines.append("        self.double()\n")
    text = MODULE.format(
        NAME=NAME,
        latent=vae.latent,
        pixels=vae.pixels,
        classes=pieces(asset("minivae.exporting", "torch_layers.py"), own),
        encoder=_layer(made.encoder, 8),
        decoder=_layer(made.decoder, 8),
        others="".join(lines),
        mean=MEANS[made.mean.op].format(x="self.decoder(z)", **made.mean.how),
    )
    return {f"{NAME}.py": text.encode(), f"{NAME}.pt": state_dict(arrays)}


def _layer(node: Node, indent: int) -> str:
    """Return the expression that makes a layer, its own layers a line each."""
    if not node.inner:
        return LAYERS[node.op].format(**node.how)
    inner = "".join(f"{' ' * (indent + 4)}{_layer(one, indent + 4)},\n" for one in node.inner)
    made = "nn.Sequential" if node.op == "sequential" else "Residual"
    return f"{made}(\n{inner}{' ' * indent})"


def state_dict(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return what torch.save writes for a dict of tensors; PyTorch is not asked.

    A zip archive: data.pkl rebuilds each tensor from a storage, whose bytes lie in data/NUMBER.
    """
    pickled = [b"\x80\x02", _global("collections", "OrderedDict"), b")R("]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for i, (name, array) in enumerate(arrays.items()):
            strides = (np.array(array.strides) // array.itemsize).tolist()
            kind = {"float32": "FloatStorage", "float64": "DoubleStorage"}[array.dtype.name]
            pickled += [
                *(_text(name), _global("torch._utils", "_rebuild_tensor_v2"), b"(("),
                *(_text("storage"), _global("torch", kind), _text(str(i)), _text("cpu")),
                *(_number(array.size), b"tQ"),  # the storage, a persistent id
                *(_number(0), _tuple(array.shape), _tuple(strides), b"\x89"),
                *(_global("collections", "OrderedDict"), b")RtR"),
            ]
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            archive.writestr(f"archive/data/{i}", little.tobytes())
        archive.writestr("archive/data.pkl", b"".join([*pickled, b"u."]))
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


# The opcodes of pickle that are needed: docs.python.org/3/library/pickletools.html


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _number(number: int) -> bytes:
    return b"J" + struct.pack("<i", number)


def _tuple(numbers: Any) -> bytes:
    return b"(" + b"".join(map(_number, numbers)) + b"t"
