"""The same training steps in PyTorch and JAX on a GPU, in the modes that people use there.

`gpu.py` starts this script once for each mode and prints the table; batches, weights and noise are
those of contestants.py. Images, order and noise lie on the device before the clock starts.

    python bench/gpu_peers.py MODE BATCH STEPS ROUNDS [--device cpu] [--tf32]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
from contestants import BETA1, BETA2, EPS, HIDDEN, LATENT, LR, PIXELS, batches

from minivae import VAE

Turn = Callable[[], np.ndarray]  # takes all steps, returns their losses when they are done


def torch_turn(mode: str, device: str, batch: int, steps: int, tf32: bool) -> Turn:
    """Take the steps in PyTorch: "eager", compiled in a mode of its own, or a "graph" by hand."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.backends.cuda.matmul.allow_tf32 = tf32
    images, order, eps = (torch.from_numpy(a).to(device) for a in batches(batch, steps))

    def network(*widths: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.ReLU()] * bool(layers) + [nn.Linear(inputs, outputs)]
        return nn.Sequential(*layers)

    encoder = network(PIXELS, *HIDDEN, 2 * LATENT)
    decoder = network(LATENT, *reversed(HIDDEN), PIXELS)
    model = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    start = VAE(PIXELS, HIDDEN, LATENT).params
    model.load_state_dict({name: torch.from_numpy(view.copy()) for name, view in start.items()})
    model.to(device)
    capturable = mode == "graph"
    adam = torch.optim.Adam(
        model.parameters(), LR, (BETA1, BETA2), EPS, fused=True, capturable=capturable
    )

    def loss_of(rows: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        x = rows.to(torch.float32) / 255
        mu, logvar = encoder(x).chunk(2, dim=1)
        z = mu + (0.5 * logvar).exp() * noise
        nll = F.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
        kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum()
        return (nll + kl) / len(x)

    losses = torch.zeros(steps, device=device)
    compiled = mode in ("reduce-overhead", "max-autotune")  # both with CUDA graphs
    if compiled:
        loss_of = torch.compile(loss_of, mode=mode, dynamic=False)

    def step(i: int) -> None:
        adam.zero_grad(set_to_none=True)
        if compiled:
            torch.compiler.cudagraph_mark_step_begin()
        loss = loss_of(images.index_select(0, order[i]), eps[i])
        loss.backward()
        adam.step()
        losses[i] = loss.detach()

    def turn() -> np.ndarray:
        for i in range(steps):
            step(i)
        return losses.cpu().numpy().copy()

    if mode != "graph":
        return turn

    # The whole step, gather and Adam included, in one graph; the batch's number lies on the device.
    at = torch.zeros((1,), dtype=torch.int64, device=device)

    def static() -> None:
        adam.zero_grad(set_to_none=True)  # nothing to set to zero, nothing to add to
        rows = images.index_select(0, order.index_select(0, at)[0])
        loss = loss_of(rows, eps.index_select(0, at)[0])
        loss.backward()
        adam.step()
        losses.index_copy_(0, at, loss.detach().reshape(1))
        at.add_(1)

    before = {name: value.clone() for name, value in model.state_dict().items()}
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            at.zero_()
            static()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        static()
    with torch.no_grad():  # as if the warm-up had not been
        for name, value in model.state_dict().items():
            value.copy_(before[name])
        for state in adam.state.values():
            for value in state.values():
                value.zero_()

    def replay() -> np.ndarray:
        at.zero_()
        for _ in range(steps):
            graph.replay()
        return losses.cpu().numpy().copy()

    return replay


def jax_turn(mode: str, device: str, batch: int, steps: int, tf32: bool) -> Turn:
    """Take the steps in JAX: one jitted call each with donated state, or all in one lax.scan."""
    import jax
    from jax import lax
    from jax import numpy as jnp

    jax.config.update("jax_platforms", "cpu" if device == "cpu" else "cuda")
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if tf32 else "highest")

    def layers(params: dict, name: str, x: Any) -> Any:
        for i in range(0, 2 * len(HIDDEN) + 1, 2):
            x = x @ params[f"{name}.{i}.weight"].T + params[f"{name}.{i}.bias"]
            x = jnp.maximum(x, 0) if i < 2 * len(HIDDEN) else x
        return x

    def loss_of(params: dict, x: Any, noise: Any) -> Any:
        mu, logvar = jnp.split(layers(params, "encoder", x), 2, axis=1)
        l = layers(params, "decoder", mu + jnp.exp(logvar / 2) * noise)
        nll = jnp.sum(jnp.maximum(l, 0) + jnp.log1p(jnp.exp(-jnp.abs(l))) - x * l)
        return (nll + 0.5 * jnp.sum(mu**2 + jnp.exp(logvar) - 1 - logvar)) / len(x)

    def step(state: tuple, rows: Any, noise: Any) -> tuple[tuple, Any]:
        params, m, v, t = state
        t = t + 1
        loss, grad = jax.value_and_grad(loss_of)(params, rows.astype(jnp.float32) / 255, noise)
        m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, grad)
        v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, grad)
        a, c = LR / (1 - BETA1**t), 1 / (1 - BETA2**t)
        params = jax.tree.map(lambda p, m, v: p - a * m / (jnp.sqrt(v * c) + EPS), params, m, v)
        return (params, m, v, t), loss

    images, order, eps = (jnp.asarray(a) for a in batches(batch, steps))
    params = {name: jnp.array(view) for name, view in VAE(PIXELS, HIDDEN, LATENT).params.items()}
    state = (params, *(jax.tree.map(jnp.zeros_like, params) for _ in range(2)), jnp.float32(0))

    def one(state: tuple, images: Any, order: Any, eps: Any) -> tuple:
        state, losses, i = state  # the losses stay on the device too
        state, loss = step(state, images[order[i]], eps[i])
        return state, losses.at[i].set(loss), i + 1

    def all_steps(state: tuple, images: Any, order: Any, eps: Any) -> tuple:
        return lax.scan(lambda state, at: step(state, images[at[0]], at[1]), state, (order, eps))

    one, all_steps = jax.jit(one, donate_argnums=0), jax.jit(all_steps, donate_argnums=0)

    def turn() -> np.ndarray:
        nonlocal state
        if mode == "scan":
            state, losses = all_steps(state, images, order, eps)
        else:
            whole = state, jnp.zeros(steps), jnp.int32(0)
            for _ in range(steps):
                whole = one(whole, images, order, eps)
            state, losses, _ = whole
        jax.block_until_ready(state)
        return np.asarray(losses)

    return turn


MODES: dict[str, tuple[Callable[..., Turn], str]] = {
    "torch eager": (torch_turn, "eager"),
    "torch.compile, reduce-overhead": (torch_turn, "reduce-overhead"),
    "torch.compile, max-autotune": (torch_turn, "max-autotune"),
    "torch, whole step a CUDA graph": (torch_turn, "graph"),
    "jax jit": (jax_turn, "jit"),
    "jax scan": (jax_turn, "scan"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("batch", type=int)
    parser.add_argument("steps", type=int)
    parser.add_argument("rounds", type=int)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tf32", action="store_true")
    parser.add_argument("--warm", type=float, default=1.0, help="seconds before the first time")
    options = parser.parse_args()
    make, mode = MODES[options.mode]
    turn = make(mode, options.device, options.batch, options.steps, options.tf32)
    first = turn()  # compiles, and gives the losses to compare
    end = time.perf_counter() + options.warm
    while time.perf_counter() < end:  # the clocks rise
        turn()
    times = []
    for _ in range(options.rounds):
        start = time.perf_counter()
        turn()
        times.append((time.perf_counter() - start) / options.steps * 1e6)
    answer = {"step": median(times), "lowest": min(times), "highest": max(times)}
    answer |= {"first": float(first[0]), "mean": float(np.mean(first))}
    print("\n" + json.dumps(answer))


if __name__ == "__main__":
    main()
