"""How much slower training steps are while another program takes a core, by configuration.

A process that spins stands for the other program, held on the first core. The measure of all is
one process on the core that is left free. A notebook is a process with another Python thread.
What a quiet machine gives is in `peers.py`.

    python bench/busy.py [--batches 128,1000] [--rounds 5] [--seconds 0.5]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from machine import cores, describe, unpin

from minivae import onednn

SPIN = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
while os.getppid() == int(sys.argv[2]):
    for _ in range(100_000): pass
"""
# name: threads asked for, whether another Python thread is there, cores to be on, products
KINDS = {
    "one process on the free core": (1, False, "free", "numpy"),
    "one process": (1, False, "all", "numpy"),
    "a process for each core": (None, False, "all", "numpy"),
    "a process for each core, oneDNN": (None, False, "all", "onednn"),
    "notebook": (None, True, "all", "numpy"),
    "notebook, oneDNN": (None, True, "all", "onednn"),
}


@contextmanager
def other_program(core: int) -> Iterator[None]:
    """Keep that core busy within this block."""
    spinning = subprocess.Popen([sys.executable, "-c", SPIN, str(core), str(os.getpid())])
    try:
        time.sleep(0.2)
        yield
    finally:
        spinning.kill()
        spinning.wait()


def microseconds(kind: str, batch: int, seconds: float) -> float:
    """Return the mean time of the steps of at least so many seconds, in a process of its own."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import busy; busy.serve(*sys.argv[2:])"
    here = os.path.dirname(os.path.abspath(__file__))
    command = [sys.executable, "-c", code, here, kind, str(batch), str(seconds)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def serve(kind: str, batch: str, seconds: str) -> None:
    """Print the time of a step of this kind."""
    from contestants import minivae_steps

    threads, notebook, where, library = KINDS[kind]
    if where == "free":
        os.sched_setaffinity(0, set(cores()[1:]))
    if notebook:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    steps = max(2, 2560 // int(batch))
    epoch, run = minivae_steps(int(batch), steps, threads, library)
    run()
    start, turns = time.perf_counter(), 0
    while turns < 2 or time.perf_counter() < start + float(seconds):
        run()
        turns += 1
    print((time.perf_counter() - start) / turns / steps * 1e6)
    epoch.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", default="128,1000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    options = parser.parse_args()
    if not hasattr(os, "sched_setaffinity") or len(cores()) < 2:
        sys.exit("busy.py: at least two cores and a system that gives them out are needed")
    print(describe("numpy", "onednn-cpu-gomp"), "\n")
    kinds = [kind for kind in KINDS if KINDS[kind][3] == "numpy" or onednn.file()]
    for batch in map(int, options.batches.split(",")):
        times: dict[tuple[str, bool], list[float]] = {}
        for _ in range(options.rounds):
            for kind in kinds:
                times.setdefault((kind, False), []).append(
                    microseconds(kind, batch, options.seconds)
                )
            with other_program(cores()[0]):
                for kind in kinds:
                    times.setdefault((kind, True), []).append(
                        microseconds(kind, batch, options.seconds)
                    )
        least = median(times[next(iter(KINDS)), True])
        print(f"| batch {batch}, microseconds a step | quiet | one core taken | / the first line |")
        print("|---|---|---|---|")
        for kind in kinds:
            quiet, busy = median(times[kind, False]), median(times[kind, True])
            print(f"| {kind} | {quiet:.0f} | {busy:.0f} | {busy / least:.2f} |")
        print(flush=True)


if __name__ == "__main__":
    unpin()
    main()
