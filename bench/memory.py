"""Memory that stays level: 10,000 steps, and a million images from a mapped file.

Each half can fail, with exit status 1. Peak memory as sizes grow is in `scale.py`.

    python bench/memory.py [--steps 10000] [--images 1000000] [--folder /tmp]
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
from contestants import minivae_steps, mnist
from machine import describe, unpin

from minivae import VAE, load_data
from minivae.training import Training

BATCH = 32


def memory() -> dict[str, float]:
    """Return this process's resident memory in MB, own and mapped files (Linux)."""
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return {name: int(fields[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile")}


def many_steps(steps: int) -> bool:
    """Print the growth of memory over that many steps; return whether it stays below 1 MB."""
    epoch, run = minivae_steps(BATCH, steps // 10, 2)
    run()
    tracemalloc.start()
    print(f"{steps:,} steps of {BATCH} images, 2 threads, after {steps // 10:,} to warm up")
    seen = []
    for tenth in range(11):
        if tenth:
            run()
        gc.collect()
        traced = tracemalloc.get_traced_memory()[0] / 2**20
        seen.append((traced, memory()["RssAnon"]))
        if tenth in (0, 5, 10):
            done, resident = tenth * steps // 10, seen[-1][1]
            print(f"  {done:6,} steps: {traced:.3f} MB traced, {resident:.1f} MB resident")
    epoch.close()
    tracemalloc.stop()
    grown = [last - first for first, last in zip(seen[1], seen[-1], strict=True)]
    print(f"  growth from {steps // 10:,} to {steps:,}: {grown[0]:.3f} and {grown[1]:.1f} MB")
    return max(grown) < 1.0


def mapped_file(images: int, folder: str) -> bool:
    """Train on a file of so many images; return whether it was never held in memory."""
    rows = mnist()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "many.npy"
        with open(path, "wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (images, rows.shape[1])}
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, images, len(rows)):
                file.write(rows[: images - start].tobytes())
        size = os.path.getsize(path) / 2**20
        before = memory()["RssAnon"]
        start = time.perf_counter()
        data = load_data(path)
        loaded = time.perf_counter() - start
        training = Training(VAE(), data, batch_size=128)
        peak, first = 0.0, 0.0

        def look(training: Training) -> bool:
            nonlocal peak, first
            if training.step == 1:
                first = time.perf_counter() - start
            if training.step % 50 == 0:
                peak = max(peak, memory()["RssAnon"])
            return training.step == 2000

        list(training.run(1, after_step=look))
        took = training.seconds / training.step * 1e6
        print(
            f"{images:,} images in a mapped file of {size:.0f} MB, {len(data.train):,} to train on"
        )
        print(f"  loaded in {loaded:.2f} s, first step after {first:.2f} s, {took:.0f} us per step")
        print(f"  own memory {before:.0f} MB before, {peak:.0f} MB at most")
        print(
            f"  pages of files that the system may drop at any time: {memory()['RssFile']:.0f} MB"
        )
        return peak - before < size / 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where the file may lie")
    options = parser.parse_args()
    print(describe("numpy"))
    level = many_steps(options.steps)
    small = mapped_file(options.images, options.folder)
    sys.exit(not (level and small))


if __name__ == "__main__":
    unpin()
    main()
