"""Make networks.npz: values and gradients of PyTorch's layers, by its autograd, in float64.

Needs PyTorch, which is no dependency of minivae; the file is committed and rarely made again.
tests/test_networks.py says which layers, and holds minivae against the file.

    PYTHONPATH=.:tests python tests/golden/make_networks.py
"""

from pathlib import Path

import numpy as np
import torch
from test_networks import CASES, THEIRS, draw, make


def first(x: np.ndarray, shape: tuple[int, ...]) -> torch.Tensor:
    """Return rows as PyTorch has them: channels first, if there are pixels."""
    return torch.tensor(np.moveaxis(x.reshape(len(x), *shape), -1, 1).copy())


def last(x: torch.Tensor) -> np.ndarray:
    """Return PyTorch's rows with the channels last, flattened."""
    return np.moveaxis(x.detach().numpy(), 1, -1).reshape(len(x), -1)


def main() -> None:
    """Pass a batch through each layer and back, and write the file."""
    out = {}
    for name in THEIRS:
        arguments, _, shape = CASES[name]
        layer, width = make(name, dtype="float64")
        if name == "Upsample":
            theirs = torch.nn.Upsample(scale_factor=arguments[0])
        else:
            kind = name.split()[0].replace("BatchNorm", "BatchNorm1d")
            theirs = getattr(torch.nn, kind)(*arguments).train("training" in name)
        values = {key: torch.tensor(np.array(view)) for key, view in layer.params.items()}
        theirs.double().load_state_dict(values)
        x = 3 * draw(0, 3, width)
        given = first(x, shape).requires_grad_()
        y = theirs(given)
        dy = draw(1, *y.shape)
        y.backward(torch.tensor(dy))
        arrays = {"x": x, "y": last(y), "dy": last(torch.tensor(dy)), "dx": last(given.grad)}
        arrays |= {key: value.clone().numpy() for key, value in values.items()}
        arrays |= {f"d{key}": value.grad.numpy() for key, value in theirs.named_parameters()}
        arrays |= {f"{key} after": value.numpy() for key, value in theirs.named_buffers()}
        out |= {f"{name}: {key}": array for key, array in arrays.items()}
    np.savez_compressed(Path(__file__).with_name("networks.npz"), **out)


if __name__ == "__main__":
    main()
