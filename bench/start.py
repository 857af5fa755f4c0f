"""How long things take before they begin: imports, `minivae --help`, the first training step.

Over fresh processes, the kinds in turn: the median, and the least, which says more on a machine
that does something else as well. What a step takes once it runs is in `step.py`.

    python bench/start.py [--rounds 9]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from statistics import median

from machine import describe, unpin

FIRST_STEP = """
import os, sys, time
from minivae.training.steps import Steps
take = Steps.step
def step(self, i):
    take(self, i)
    print(time.perf_counter(), flush=True)
    self.close()
    os._exit(0)
Steps.step = step
from minivae.cli import main
main(["train", "--out", sys.argv[1]])
"""
KINDS = {
    "python alone": "pass",
    "import numpy": "import numpy",
    "import minivae": "import minivae",
    "import numpy, then all that minivae.VAE needs": "import numpy, minivae; minivae.VAE",
    "... and minivae.train": "import numpy, minivae; minivae.VAE, minivae.train",
    "minivae --help": "from minivae.cli import main; main(['--help'])",
    "minivae train, to the end of its first step": FIRST_STEP,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print(describe("numpy", "click"), "\n")
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(options.rounds + 1):
        for kind, code in KINDS.items():
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                command = [sys.executable, "-c", code, f"{folder}/run"]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                end = time.perf_counter()  # of the same clock in both processes
            if code is FIRST_STEP:
                end = float(done.stdout.split()[-1])
            times[kind].append(end - start)
    print("| from the start of the process | median, ms | least, ms |")
    print("|---|---|---|")
    for kind, turns in times.items():  # the first finds the files' pages cold
        print(f"| {kind} | {median(turns[1:]) * 1e3:.0f} | {min(turns[1:]) * 1e3:.0f} |")


if __name__ == "__main__":
    unpin()
    main()
