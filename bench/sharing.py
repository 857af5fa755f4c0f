"""What it costs that processes share a step: uneven cores, and memory that another core wrote.

Each process, kept on a core of its own, takes its share of a step: its rows forward and back, a
meeting, its part of the parameters, a meeting. In turn with it each takes the same share of a model
of its own, so that no core reads what the other wrote. The longest share is what a step takes; the
mean is what it would take if the work followed the speed of the cores.

    python bench/sharing.py [--batches 128,512,1000] [--threads 2] [--rounds 20]
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

from machine import cores, describe, unpin

unpin()

import numpy as np  # noqa: E402
from contestants import HIDDEN, LATENT, PIXELS  # noqa: E402

from minivae import VAE, Adam  # noqa: E402
from minivae.backend import shared_empty  # noqa: E402
from minivae.training.crew import BlasThreads, Crew, can_fork  # noqa: E402
from minivae.training.sharing import parts  # noqa: E402


def model(batch: int) -> tuple[Any, ...]:
    """Return a model, its optimizer, and a batch with its noise, all in shared memory."""
    rng = np.random.default_rng(0)
    vae = VAE(PIXELS, HIDDEN, LATENT)
    adam = Adam(vae.parameters, vae.backend)
    x, eps = (shared_empty((batch, width), np.float32) for width in (PIXELS, LATENT))
    x[...], eps[...] = rng.random(x.shape), rng.standard_normal(eps.shape)
    vae.step(x, eps)  # makes the buffers
    return vae, adam, x, eps


def measure(batch: int, threads: int, rounds: int, images: int) -> np.ndarray:
    """Return us a step (round, shared or own, process, rows or parameters)."""
    crew, steps = Crew(threads), max(1, images // batch)
    shared, own = model(batch), [model(batch) for _ in range(threads)]
    cut = parts(shared[0], threads)
    seconds = shared_empty((rounds, 2, threads, 2), np.float64)

    def work() -> None:
        k, rows = crew.k, crew.rows(batch)
        os.sched_setaffinity(0, {cores()[k]})
        for each in seconds:
            for took, (vae, adam, x, eps) in zip(each, (shared, own[k]), strict=True):
                mine = vae.window(rows)
                time.sleep(0.01)
                crew.meet()
                for _ in range(steps):
                    start = time.perf_counter()
                    mine.bound.step(mine, x[rows], eps[rows], 1 / batch, 1.0)
                    took[k, 0] += time.perf_counter() - start
                    crew.meet()
                    start = time.perf_counter()
                    adam.advance()
                    vae.gradients(cut[k])
                    adam.update(cut[k])
                    took[k, 1] += time.perf_counter() - start
                    crew.meet()

    before = os.sched_getaffinity(0)
    with BlasThreads(1):
        crew.start(work)
        work()
        crew.wait()
    os.sched_setaffinity(0, before)
    return seconds / steps * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", default="128,512,1000")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--images", type=int, default=4000, help="images in one turn")
    options = parser.parse_args()
    if options.threads > len(cores()):
        parser.error(f"{options.threads} processes need as many cores; here are {len(cores())}")
    if not (hasattr(os, "sched_setaffinity") and can_fork()):
        parser.error("this system cannot fork processes and keep each on a core: Linux can")
    print(f"{describe('numpy')}; {options.threads} processes, us per step")
    print("\n| batch | longest share | mean share | ratio | own models, longest | shared / own |")
    print("|---|---|---|---|---|---|")
    for batch in map(int, options.batches.split(",")):
        took = measure(batch, options.threads, options.rounds, options.images)
        # The longest rows and the longest parameters: the processes meet after each.
        longest, mean = took.max(axis=2).sum(axis=2), took.mean(axis=2).sum(axis=2)
        figures = [longest[:, 0], mean[:, 0], longest[:, 0] / mean[:, 0]]
        figures += [longest[:, 1], longest[:, 0] / longest[:, 1]]
        a, b, uneven, own, cost = (float(np.median(figure)) for figure in figures)
        print(
            f"| {batch} | {a:.0f} | {b:.0f} | {uneven:.2f} | {own:.0f} | {cost:.2f} |", flush=True
        )


if __name__ == "__main__":
    main()
