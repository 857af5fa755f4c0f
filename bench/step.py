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

from machine import cores, describe, unpin

unpin()

from contestants import minivae_steps, products, products_of_a_step  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

from minivae import formulas  # noqa: E402
from minivae.formulas import matmul  # noqa: E402
from minivae.noise import RowNoise  # noqa: E402
from minivae.training import steps  # noqa: E402
from minivae.training.crew import Crew  # noqa: E402


class Stopwatch:
    """Seconds spent in functions, each without the timed functions that it calls.

    Only the thread and the process that made the watch are read: member 0 of a crew.
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
            (steps, "gather", "gather the images"),
            (RowNoise, "normal", "draw the noise"),
            (Crew, "meet", "wait for one another"),
            (steps.Steps, "begin", "begin the epoch"),
            (steps.Steps, "close", "end the epoch"),
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


def products_of_a_crew(batch: int, threads: int, count: int) -> Callable[[], None]:
    """Return a turn of the products alone, in the shares that the steps give to each process."""
    by_rows, by_units = products_of_a_step(batch)

    def share(crew: Crew) -> None:
        for _ in range(count):
            for jobs in (by_rows, by_units):
                for a, b, out in jobs:
                    rows = crew.rows(len(out))
                    matmul(a[rows], b, out[rows])
                crew.meet()

    def run() -> None:
        crew = Crew(threads)
        crew.start(lambda: share(crew))
        share(crew)
        crew.wait()

    return run


def measure(batch: int, threads: int, rounds: int, count: int) -> None:
    """Print the table of one batch size and number of threads."""

    def turn(run: Callable[[], object], one_thread: bool = True) -> float:
        time.sleep(0.05)  # OpenBLAS's own threads spin for a while after their last product
        with threadpool_limits(1 if one_thread else threads, user_api="blas"):
            start = time.perf_counter()
            run()
            return (time.perf_counter() - start) / count * 1e6

    plain, floor, shared, total = [], [], [], []
    epoch, step = minivae_steps(batch, count, threads)
    crew_products = products_of_a_crew(batch, threads, count)
    products_alone = products(threads)(batch, count)
    watch = Stopwatch()
    with watch.on():
        watched_epoch, watched_step = minivae_steps(batch, count, threads)
    with closing(epoch), closing(watched_epoch):
        for run in (step, crew_products, products_alone, watched_step):
            turn(run)
        watch.seconds.clear()
        watch.calls.clear()
        for _ in range(rounds):
            plain.append(turn(step))
            shared.append(turn(crew_products))
            floor.append(turn(products_alone, one_thread=False))
            with watch.on():
                total.append(turn(watched_step))
    parts_total = sum(total) / rounds  # as the parts: means
    whole, base = median(plain), median(floor)
    print(f"| batch {batch}, threads {threads} | calls | us per step | part |")
    print("|---|---|---|---|")
    rest = parts_total
    for name, seconds in sorted(watch.seconds.items(), key=lambda item: -item[1]):
        each = seconds / count / rounds * 1e6
        rest -= each
        calls = watch.calls[name] / count / rounds
        print(f"| {name} | {calls:.3g} | {each:.0f} | {each / parts_total:.0%} |")
    print(f"| layers, loops, stopwatch | | {rest:.0f} | {rest / parts_total:.0%} |")
    print(f"| **a step, watched** | | {parts_total:.0f} | 100% |")
    print(f"| **a step** | | {whole:.0f} | {whole / base:.2f} times the products alone |")
    print(f"| products alone, BLAS on {threads} threads | | {base:.0f} | |")
    print(
        f"| products alone, as the processes share them | | {median(shared):.0f} | |\n", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", default="128,512,1000")
    parser.add_argument("--threads", default="1,2" if len(cores()) > 1 else "1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=25600, help="images in one turn")
    options = parser.parse_args()
    print(describe("numpy"), "\n")
    for batch in map(int, options.batches.split(",")):
        for threads in map(int, options.threads.split(",")):
            measure(batch, threads, options.rounds, max(1, options.images // batch))


if __name__ == "__main__":
    main()
