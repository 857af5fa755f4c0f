"""Time and memory of training as data, width, latent size, batch and threads grow.

Each point is a process of its own, so that its peak memory is its own; the images are made up. What
one step consists of is in `step.py`, whether memory stays level in `memory.py`.

    python bench/scale.py [--only data,width,latent,batch,threads]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from statistics import median

from machine import cores, describe, unpin

BASE = {"images": 60_000, "hidden": (256, 128), "latent": 20, "batch": 128, "threads": 2}
AXES = {
    "data": ("images", [1_000, 10_000, 100_000, 1_000_000]),
    "width": ("hidden", [(64, 32), (256, 128), (512, 256), (1024, 512), (2048, 1024)]),
    "latent": ("latent", [2, 20, 100, 400]),
    "batch": ("batch", [8, 32, 128, 512, 2048]),
    "threads": ("threads", [1, 2, 4]),
}


def point(images: int, hidden: list[int], latent: int, batch: int, threads: int) -> dict:
    """Train for about a second; return microseconds per step and peak memory in MB."""
    import resource

    import numpy as np

    from minivae import VAE, Adam
    from minivae.data.pixels import Source
    from minivae.noise import RowNoise, permutation
    from minivae.training.steps import open_steps

    rows = np.random.default_rng(0).integers(0, 256, (1000, 784), np.uint8)
    rows = np.tile(rows, (images // 1000, 1))
    vae = VAE(784, hidden, latent)
    adam = Adam(vae.parameters, vae.backend)
    steps = open_steps(vae, adam, Source(rows), batch, threads)
    times: list[float] = []
    end, epoch = time.perf_counter() + 1.0, 0
    while len(times) < 5 or time.perf_counter() < end:
        order = permutation(0, "order", epoch, images)
        steps.begin(order, RowNoise(0, "eps", epoch), RowNoise(0, "binarize", epoch))
        for i in range(-(-images // batch)):
            start = time.perf_counter()
            steps.step(i)
            times.append(time.perf_counter() - start)
            if len(times) >= 5 and start > end:
                break
        epoch += 1
    steps.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"us": median(times[2:]) * 1e6, "peak": peak, "data": rows.nbytes / 2**20,
            "model": vae.theta.nbytes / 2**20}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(AXES))
    options = parser.parse_args()
    print(describe("numpy"))
    print("784-256-128-20, batch 128, 60,000 images, 2 threads where not said otherwise\n")
    print("| | | us per step | us per image | peak MB, first process | data MB | parameters MB |")
    print("|---|---|---|---|---|---|---|")
    for axis in options.only.split(","):
        name, values = AXES[axis]
        for value in values:
            if axis == "threads" and value > 2 * len(cores()):
                continue
            setting = BASE | {name: value}
            command = [sys.executable, __file__, "--point", json.dumps(setting)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            got = json.loads(done.stdout)
            print(
                f"| {axis} | {value:,} |" if isinstance(value, int) else f"| {axis} | {value} |",
                f"{got['us']:.0f} | {got['us'] / setting['batch']:.1f} | {got['peak']:.0f} | "
                f"{got['data']:.0f} | {got['model']:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    unpin()
    if sys.argv[1:2] == ["--point"]:
        print(json.dumps(point(**json.loads(sys.argv[2]))))
    else:
        main()
