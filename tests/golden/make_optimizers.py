"""Make optimizers.npz: twenty updates of AdamW and SGD, clipped and not, by PyTorch in float64.

Needs PyTorch, which is no dependency of minivae; the file is committed and rarely made again.
tests/test_schedules.py holds minivae against it.

    python tests/golden/make_optimizers.py
"""

from pathlib import Path

import numpy as np
import torch

KINDS = {
    "adamw:0.1": lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
    "sgd:0.9": lambda p: torch.optim.SGD(p, 0.01, momentum=0.9),
    "sgd:0": lambda p: torch.optim.SGD(p, 0.01),
}


def main() -> None:
    """Take the steps and write the file."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    start, grads = torch.randn(30), torch.randn(20, 30)
    out = {"start": start, "grads": grads}
    for kind, make in KINDS.items():
        for clip in (None, 5.0):
            theta = start.clone().requires_grad_()
            optimizer, steps = make([theta]), []
            for grad in grads:
                theta.grad = grad.clone()
                if clip is not None:
                    torch.nn.utils.clip_grad_norm_([theta], clip)
                optimizer.step()
                steps.append(theta.detach().clone())
            out[f"{kind} {clip}"] = torch.stack(steps)
    np.savez_compressed(
        Path(__file__).with_name("optimizers.npz"), **{name: a.numpy() for name, a in out.items()}
    )


if __name__ == "__main__":
    main()
