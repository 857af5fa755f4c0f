"""The model, stages and first values of `iwae.py`, trained by PyTorch with noise of its own.

    python bench/papers/iwae_torch.py --samples 1 --out torch1 --stages 5 [--minutes 5]

goes on where the folder's file says; `iwae.py --evaluate torch1/stage-5.npz` evaluates its files.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from iwae import BATCH, BETA1, BETA2, EPS, TRAIN, model

from minivae import load_data
from minivae.storage.files import replacing


def bound(w: dict[str, torch.Tensor], x: torch.Tensor, samples: int) -> torch.Tensor:
    """Return -log mean of p(x, z) / q(z | x) over the samples, in nats summed over the batch."""

    def dense(h: torch.Tensor, name: str) -> torch.Tensor:
        return torch.nn.functional.linear(h, w[f"{name}.weight"], w[f"{name}.bias"])

    h = dense(dense(x, "encoder.0").tanh(), "encoder.2").tanh()
    mu, logvar = dense(h, "encoder.4").chunk(2, dim=1)
    eps = torch.randn(samples, *mu.shape)
    z = mu + (logvar / 2).exp() * eps
    h = dense(dense(z, "decoder.0").tanh(), "decoder.2").tanh()
    logits = dense(h, "decoder.4")
    log_p = (x * logits - torch.nn.functional.softplus(logits)).sum(-1)
    log_w = log_p + ((eps**2 + logvar - z**2) / 2).sum(-1)
    return (math.log(samples) - torch.logsumexp(log_w, 0)).sum()


def main() -> None:
    """Go on with the stages, as far as the minutes allow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("torch1"))
    parser.add_argument("--stages", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=1e9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = load_data("mnist").train[:TRAIN]
    vae = model(f"iwae:{options.samples}", images)
    start, history = vae.theta.copy(), []
    m, v = np.zeros_like(start), np.ones_like(start)
    file = options.out / "state.npz"
    options.out.mkdir(parents=True, exist_ok=True)
    if file.exists():
        with np.load(file) as saved:
            start, m, v = saved["theta"], saved["m"], saved["v"]
            history = saved["history"].tolist()
    theta, m, v = (torch.from_numpy(one) for one in (start, m, v))
    grad, weights = torch.zeros_like(theta), {}
    for name, place in vae.parameters.slices.items():
        shape = vae.parameters.views[name].shape
        weights[name] = theta[place].view(shape).requires_grad_()
        weights[name].grad = grad[place].view(shape)
    pixels = torch.from_numpy(images.reshape(TRAIN, -1))
    torch.manual_seed(len(history))
    ends, steps = np.cumsum([3**i for i in range(options.stages)]), len(history) * TRAIN // BATCH
    began = time.perf_counter()

    def save(name: str) -> None:
        with replacing(options.out / name) as out:
            np.savez(
                out,
                **{"bound": f"iwae:{options.samples}", "theta": theta.numpy(), "m": m, "v": v},
                **{"history": history},
            )

    while len(history) < ends[-1] and time.perf_counter() - began < 60 * options.minutes:
        stage, total, now = int(np.searchsorted(ends, len(history), "right")), 0.0, time.time()
        rate = 1e-4 * round(10 ** (1 - stage / 7), 1)
        for i in range(0, TRAIN, BATCH):
            x = pixels[i : i + BATCH].float() / 255
            loss = bound(weights, torch.bernoulli(x), options.samples)
            grad.zero_()
            loss.backward()
            total += loss.item()
            steps += 1
            with torch.no_grad():
                m.mul_(BETA1).add_(grad, alpha=1 - BETA1)
                v.mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
                scale = rate * math.sqrt(1 - BETA2**steps) / (1 - BETA1**steps)
                theta.sub_(scale * m / (v.sqrt() + EPS))
        history.append(total / TRAIN)
        save("state.npz")
        if len(history) in ends:
            save(f"stage-{stage + 1}.npz")
        print(
            f"{time.strftime('%H:%M')} stage {stage + 1} epoch {len(history)} "
            f"bound {history[-1]:.3f}, {time.time() - now:.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
