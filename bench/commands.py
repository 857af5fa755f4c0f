"""Whole commands, from the start of the process to the result: `minivae train` and other scripts.

The others are short scripts as users of PyTorch and JAX write them: the same model, data, batches
and epochs, a test loss after each epoch. They write no checkpoint and no pictures; it does.
A single step is compared in `peers.py`.

    python bench/commands.py [--epochs 5] [--rounds 3] [--only minivae,jax]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from statistics import median

import numpy as np
from machine import describe, unpin

MODEL = """
import sys
import numpy as np
file = np.load(sys.argv[1])
epochs, batch = int(sys.argv[2]), 128
"""
TORCH = """
import torch
from torch import nn
from torch.nn import functional as F
encoder = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(),
                        nn.Linear(128, 40))
decoder = nn.Sequential(nn.Linear(20, 128), nn.ReLU(), nn.Linear(128, 256), nn.ReLU(),
                        nn.Linear(256, 784))
adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3, FUSED)
train, test = (torch.from_numpy(file[name]).float().div_(255) for name in ("train", "test"))
def loss_of(x):
    mu, logvar = encoder(x).chunk(2, dim=1)
    z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
    nll = F.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
    return (nll + 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum()) / len(x)
for epoch in range(epochs):
    for x in BATCHES:
        adam.zero_grad()
        loss_of(x).backward()
        adam.step()
    with torch.no_grad():
        print(epoch + 1, sum(loss_of(x).item() * len(x) for x in test.split(1000)) / len(test))
"""
LOADER = (
    "(x for x, in torch.utils.data.DataLoader(torch.utils.data.TensorDataset(train), batch, True))"
)
JAX = """
import jax
from jax import lax, numpy as jnp
train, test = (jnp.asarray(file[name], "float32") / 255 for name in ("train", "test"))
def linear(key, n, m):
    return {"w": jax.random.uniform(key, (n, m), minval=-(n**-0.5), maxval=n**-0.5),
            "b": jnp.zeros(m)}
key = jax.random.key(0)
sizes = (784, 256), (256, 128), (128, 40), (20, 128), (128, 256), (256, 784)
params = [linear(k, *size) for k, size in zip(jax.random.split(key, 6), sizes)]
def network(layers, x):
    for i, layer in enumerate(layers):
        x = x @ layer["w"] + layer["b"]
        x = jax.nn.relu(x) if i < 2 else x
    return x
def loss_of(params, x, key):
    mu, logvar = jnp.split(network(params[:3], x), 2, axis=1)
    l = network(params[3:], mu + jnp.exp(logvar / 2) * jax.random.normal(key, mu.shape))
    nll = jnp.sum(jax.nn.softplus(l) - x * l)
    return (nll + 0.5 * jnp.sum(mu**2 + jnp.exp(logvar) - 1 - logvar)) / len(x)
def step(state, xs):
    params, m, v, t = state
    x, key = xs
    grad = jax.grad(loss_of)(params, x, key)
    t = t + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grad)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grad)
    a, c = 1e-3 / (1 - 0.9**t), 1 / (1 - 0.999**t)
    params = jax.tree.map(lambda p, m, v: p - a * m / (jnp.sqrt(v * c) + 1e-8), params, m, v)
    return (params, m, v, t), None
m, v = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
state = params, m, v, jnp.float32(0)
one = jax.jit(lambda state, rows, key: step(state, (train[rows], key))[0], donate_argnums=0)
whole = jax.jit(lambda state, order, keys: lax.scan(
    lambda state, at: step(state, (train[at[0]], at[1])), state, (order, keys))[0],
    donate_argnums=0)
test_loss = jax.jit(loss_of)
count, rng = len(train) // batch, np.random.default_rng(0)
for epoch in range(epochs):
    order = jnp.asarray(rng.permutation(len(train))[:count * batch].reshape(count, batch))
    keys = jax.random.split(jax.random.fold_in(key, epoch), count)
    EPOCH
    print(epoch + 1, float(test_loss(state[0], test, key)))
"""
STEPS = """for rows, k in zip(order, keys):
        state = one(state, rows, k)"""
TRAIN = "import sys; from minivae.cli import main; main(sys.argv[1:])"
SCRIPTS = {
    "torch, DataLoader": MODEL + TORCH.replace("BATCHES", LOADER).replace("FUSED", "fused=False"),
    "torch, batches by index, fused Adam": MODEL
    + TORCH.replace(
        "BATCHES", "(train[i] for i in torch.randperm(len(train)).split(batch))"
    ).replace("FUSED", "fused=True"),
    "jax, a jitted step": MODEL + JAX.replace("EPOCH", STEPS),
    "jax, an epoch in lax.scan": MODEL + JAX.replace("EPOCH", "state = whole(state, order, keys)"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="parts of names, separated by commas")
    options = parser.parse_args()
    print(describe("numpy", "torch", "jax", "onednn-cpu-gomp"))
    print(f"{options.epochs} epochs of MNIST in batches of 128, {options.rounds} rounds in turn\n")
    wanted = [part for part in options.only.split(",") if part]
    names = [name for name in ("minivae train", *SCRIPTS) if _can_run(name, wanted)]
    results: dict[str, list[tuple[float, float, str]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        from minivae import load_data

        data = load_data("mnist")
        np.savez(f"{folder}/mnist.npz", train=data.train, test=data.test)
        for turn in range(options.rounds):
            for name in names:
                results[name].append(run(name, folder, options.epochs, turn))
    least = median(seconds for seconds, *_ in results[names[0]])
    print(f"| command | seconds | / {names[0]} | peak MB | test loss |")
    print("|---|---|---|---|---|")
    for name, turns in results.items():
        seconds, memory = (median(turn[i] for turn in turns) for i in (0, 1))
        print(f"| {name} | {seconds:.2f} | {seconds / least:.2f} | {memory:.0f} | {turns[0][2]} |")


def run(name: str, folder: str, epochs: int, turn: int) -> tuple[float, float, str]:
    """Return seconds, peak megabytes of the first process, and the last test loss it printed."""
    command = [sys.executable, "-c", SCRIPTS.get(name, TRAIN)]
    if name in SCRIPTS:
        command += [f"{folder}/mnist.npz", str(epochs)]
    else:
        command += ["train", "--epochs", str(epochs), "--out", f"{folder}/run{turn}"]
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{name} failed: run it alone to see why")
    lines = text.splitlines()
    words = next(line for line in reversed(lines) if line.split()).split()
    loss = next(word for word in words[1:] if word.replace(".", "").isdigit())
    return time.perf_counter() - start, usage.ru_maxrss / 1024, f"{float(loss):.1f}"


def _can_run(name: str, wanted: list[str]) -> bool:
    if wanted and not any(part in name for part in wanted):
        return False
    library = name.split()[0].strip(",")
    if library in ("torch", "jax") and find_spec(library) is None:
        print(f"{name}: left out, {library} is not installed", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    unpin()
    main()
