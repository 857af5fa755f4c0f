"""Where the time of one training step goes, part by part, against its matrix products alone.

The parts are the functions of formulas.py, with drawing, gathering and waiting for one another;
each is timed without what it calls. How minivae compares with others is in `peers.py`.

    python bench/step.py [--batches 128,512,1000] [--threads 1,2] [--rounds 7]
"""

from __future__ import annotations

import argparse
import inspect
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from statistics import median
from typing import Any

from machine import cores, describe, unpin

unpin()

from contestants import minivae_steps, products, products_of_a_step  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

from minivae import formulas, parallel  # noqa: E402
from minivae.formulas import matmul  # noqa: E402
from minivae.parallel import Team  # noqa: E402


class Stopwatch:
    """Seconds spent in functions, each without the timed functions that it calls.

    Only the thread that made the watch is timed: member 0 of a team.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._thread, self._inner = threading.get_ident(), [0.0]
        self._parts = [
            (formulas, name, self.timed(name, function))
            for name, function in inspect.getmembers(formulas, inspect.isfunction)
            if function.__module__ == formulas.__name__
        ]
        for owner, attribute, name in (
            (parallel, "gather", "gather the images"),
            (parallel.Steps, "_draw", "draw the noise"),
            (parallel.Team, "_meet", "wait for one another"),
        ):
            self._parts.append((owner, attribute, self.timed(name, getattr(owner, attribute))))

    @contextmanager
    def on(self) -> Iterator[None]:
        """Time the parts within this block; a model to be timed must be made in one too."""
        originals = [(owner, name, getattr(owner, name)) for owner, name, _ in self._parts]
        for owner, name, function in self._parts:
            setattr(owner, name, function)
        try:
            yield
        finally:
            for owner, name, function in originals:
                setattr(owner, name, function)

    def timed(self, name: str, function: Callable) -> Callable:
        """Return the function with its time written down under that name."""

        def call(*args: object, **named: object) -> object:
            if threading.get_ident() != self._thread:
                return function(*args, **named)
            self._inner.append(0.0)
            start = time.perf_counter()
            try:
                return function(*args, **named)
            finally:
                took = time.perf_counter() - start
                self.seconds[name] += took - self._inner.pop()
                self._inner[-1] += took
                self.calls[name] += 1

        return call


def products_of_a_team(batch: int, threads: int, steps: int) -> tuple[Any, Callable[[], None]]:
    """Return a team, and a turn of the products alone in the shares that a training step gives."""
    team = Team(threads)
    by_rows, by_units = products_of_a_step(batch)

    def rows(k: int) -> None:
        for a, b, out in by_rows:
            share = team.rows(k, batch)
            matmul(a[share], b, out[share])

    def units(k: int) -> None:
        for a, b, out in by_units:
            share = team.rows(k, len(out))
            matmul(a[share], b, out[share])

    def run() -> None:
        for _ in range(steps):
            team.run(rows, units)

    return team, run


def measure(batch: int, threads: int, rounds: int, steps: int) -> None:
    """Print the table of one batch size and number of threads."""

    def turn(run: Callable[[], object], one_thread: bool = True) -> float:
        time.sleep(0.05)  # OpenBLAS's own threads spin for a while after their last product
        with threadpool_limits(1 if one_thread else threads, user_api="blas"):
            start = time.perf_counter()
            run()
            return (time.perf_counter() - start) / steps * 1e6

    plain, floor, shared, total = [], [], [], []
    epoch, step = minivae_steps(batch, steps, threads)
    team, team_products = products_of_a_team(batch, threads, steps)
    products_alone = products(threads)(batch, steps)
    watch = Stopwatch()
    with watch.on():
        watched_epoch, watched_step = minivae_steps(batch, steps, threads)
    with closing(epoch), closing(team), closing(watched_epoch):
        for run in (step, team_products, products_alone, watched_step):
            run()
        for _ in range(rounds):
            plain.append(turn(step))
            shared.append(turn(team_products))
            floor.append(turn(products_alone, one_thread=False))
            with watch.on():
                total.append(turn(watched_step))
    parts_total = median(total)
    whole, base = median(plain), median(floor)
    whole, base = median(plain), median(floor)
    print(f"| batch {batch}, threads {threads} | calls | us per step | part |")
    print("|---|---|---|---|")
    rest = parts_total
    for name, seconds in sorted(watch.seconds.items(), key=lambda item: -item[1]):
        each = seconds / steps / rounds * 1e6
        rest -= each
        calls = watch.calls[name] / steps / rounds
        print(f"| {name} | {calls:.0f} | {each:.0f} | {each / parts_total:.0%} |")
    print(f"| layers, loops, stopwatch | | {rest:.0f} | {rest / parts_total:.0%} |")
    print(f"| **a step, watched** | | {parts_total:.0f} | 100% |")
    print(f"| **a step** | | {whole:.0f} | {whole / base:.2f} times the products alone |")
    print(f"| products alone, BLAS on {threads} threads | | {base:.0f} | |")
    print(f"| products alone, as the team shares them | | {median(shared):.0f} | |\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", default="128,512,1000")
    parser.add_argument("--threads", default="1,2" if len(cores()) > 1 else "1")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=12800, help="images in one turn")
    options = parser.parse_args()
    print(describe("numpy"), "\n")
    for batch in map(int, options.batches.split(",")):
        for threads in map(int, options.threads.split(",")):
            measure(batch, threads, options.rounds, max(1, options.images // batch))


if __name__ == "__main__":
    main()
