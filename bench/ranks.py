"""Ranks of MPI: what a reduction and a step cost here, and from how many machines on they pay.

Measured on this machine: a step of forked processes and of 1, 2 and 4 ranks, the reduction of a
vector by two ranks, and a rank's own work for so many images while the other core works too. From
these a model predicts a step on M machines of two such cores each:

    T(M) = work(n / 2M) + reduce(P) + reduce(sums)
           + 4 log2(M) latency + 2 (M - 1) / M P / width

with n images a batch and P bytes of gradient: the ranks of a machine reduce as measured here, then
the machines in pairs (latency, twice: gradient and sums) with each byte sent and received once.

    python bench/ranks.py
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from machine import describe, unpin

unpin()

import numpy as np  # noqa: E402

from minivae import VAE, Adam  # noqa: E402
from minivae.data.pixels import Source  # noqa: E402
from minivae.noise import RowNoise  # noqa: E402
from minivae.training.averaging import Apart  # noqa: E402
from minivae.training.ranks import Ranks  # noqa: E402
from minivae.training.steps import Steps  # noqa: E402

MODELS = {"256,128": (256, 128), "1024,512": (1024, 512), "2048,1024": (2048, 1024)}
BATCHES, ROWS = (128, 1024, 8192), (1, 4, 16, 64, 256, 1024)
NETWORKS = {"10 Gbit/s": (50e-6, 1.1e9), "100 Gbit/s": (10e-6, 11e9)}  # assumed: seconds, bytes/s
MACHINES = (2, 4, 16, 64, 256)


class Silent(Apart):
    """Ranks of which each does its work, and none sends anything."""

    def add(self, array: np.ndarray) -> None:
        """Leave the array as it is."""


def step(model: str, batch: int, *kinds: Ranks | None, threads: int | None = None) -> list[float]:
    """Return the seconds of a step for each kind of ranks, in turns: the least of five turns."""
    images = np.random.default_rng(0).integers(0, 256, (1024, 784), np.uint8)

    def opened(ranks: Ranks | None) -> Steps:
        vae = VAE(hidden=MODELS[model])
        adam = Adam(vae.parameters, vae.backend)
        return Steps(vae, adam, Source(images), batch, threads, ranks)

    def turn(steps: Steps, count: int) -> float:
        order = np.arange(count * batch) % len(images)
        steps.begin(order, RowNoise(0, "eps"), RowNoise(0, "binarize"))
        start = time.perf_counter()
        for i in range(count):
            steps.step(i)
        return (time.perf_counter() - start) / count

    every = [opened(ranks) for ranks in kinds]
    first = [turn(steps, 1) for _ in range(2) for steps in every][-1]
    first = first if kinds[0] is None else kinds[0].least(first)  # all take as many steps
    count = max(1, min(200, round(0.1 / first)))
    took = [[turn(steps, count) for steps in every] for _ in range(3 if first > 0.5 else 5)]
    for steps in every:
        steps.close()
    return np.min(took, axis=0).tolist()


def reductions(ranks: Ranks, sizes: list[int]) -> dict[int, float]:
    """Return the seconds of a sum over the ranks, by bytes."""
    found = {}
    for size in sizes:
        array, took = np.ones(size // 4, np.float32), []
        for _ in range(max(10, min(200, (1 << 26) // size))):
            start = time.perf_counter()
            ranks.add(array)
            took.append(time.perf_counter() - start)
        found[size] = float(np.median(took[2:]))
    return found


def measure(what: str) -> Any:
    """Return one part of the measurements, on the ranks that run this."""
    if what == "forked":
        return {f"{m} {n}": step(m, n, None, threads=2) for m in MODELS for n in BATCHES}
    ranks = Ranks()
    if what == "work":
        found = {m: [step(m, 2 * rows, Silent(ranks))[0] for rows in ROWS] for m in MODELS}
    elif what == "reductions":
        found = reductions(ranks, [16, *sizes().values(), 1 << 10, 1 << 16])
    else:
        found = {f"{m} {n}": step(m, n, ranks, Silent(ranks)) for m in MODELS for n in BATCHES[:2]}
    return found if ranks.rank == 0 else None


def sizes() -> dict[str, int]:
    """Return the bytes of each model's gradient."""
    return {model: 4 * VAE(hidden=hidden).theta.size for model, hidden in MODELS.items()}


def start(what: str, ranks: int = 0) -> Any:
    """Measure in processes of their own."""
    few = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPIR_CVAR_POLLS_BEFORE_YIELD": "1"}
    mpiexec = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
    before = [mpiexec, "-n", str(ranks)] if ranks else []
    command = [*before, sys.executable, __file__, what]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | few)
    if done.returncode:
        sys.exit(f"{what} on {ranks} ranks: status {done.returncode}")
    return json.loads(done.stdout)


def main() -> None:
    if len(sys.argv) > 1:
        found = measure(sys.argv[1])
        if found is not None:
            print(json.dumps(found))
        return
    print(describe("numpy", "mpi4py", "mpich"), flush=True)
    shared, bytes_of = {2: start("steps", 2)}, sizes()
    sums = {int(size): took for size, took in start("reductions", 2).items()}
    work, forked = start("work", 2), start("forked")
    shared |= {n: start("steps", n) for n in (1, 4)}

    print("\n| a step, ms | two forked processes | 1 rank | 2 ranks | 4 ranks on 2 cores |")
    print("|---|---|---|---|---|")
    for name in shared[1]:
        took = [forked[name][0], *(shared[n][name][0] for n in (1, 2, 4))]
        print(f"| {name} | " + " | ".join(f"{1e3 * t:.2f}" for t in took) + " |")
    print(
        "\n| bytes summed by two ranks | " + " | ".join(f"{size:,}" for size in sorted(sums)), "|"
    )
    print("|---" * (1 + len(sums)) + "|")
    print("| us | " + " | ".join(f"{1e6 * sums[size]:.0f}" for size in sorted(sums)) + " |")

    def predicted(model: str, n: int, machines: int, latency: float, width: float) -> float:
        size, rows = bytes_of[model], n / 2 / machines
        mine = float(np.interp(rows, ROWS, work[model]))
        if rows > ROWS[-1]:
            mine *= rows / ROWS[-1]
        there = 4 * math.log2(machines) * latency + 2 * (machines - 1) / machines * size / width
        return mine + sums[size] + sums[16] + there

    print("\n| two ranks, ms | predicted | measured | ratio |\n|---|---|---|---|")
    for name, (took, mine) in shared[2].items():
        guess = mine + sums[bytes_of[name.split()[0]]] + sums[16]
        print(f"| {name} | {1e3 * guess:.2f} | {1e3 * took:.2f} | {guess / took:.2f} |")

    for network, (latency, width) in NETWORKS.items():
        print(f"\n| {network}; ms a step | gradient, MB | 1 machine, forked | ", end="")
        print(" | ".join(f"{m} machines" for m in MACHINES) + " |\n" + "|---" * 8 + "|")
        for name, (alone,) in forked.items():
            model, n = name.split()
            row = [predicted(model, int(n), m, latency, width) for m in MACHINES]
            cells = [f"**{1e3 * t:.1f}**" if t < alone else f"{1e3 * t:.1f}" for t in row]
            print(f"| {name} | {bytes_of[model] / 1e6:.1f} | {1e3 * alone:.1f} | ", end="")
            print(" | ".join(cells) + " |")


if __name__ == "__main__":
    main()
