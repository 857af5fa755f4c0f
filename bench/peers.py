"""Train the same model on the same batches with minivae, PyTorch and JAX, in turn, and compare.

Each contestant runs in a process of its own (`contestants.py`), which is idle, and its threads
asleep, while another is measured. Here is who runs when, the check that all compute the same
losses, and the table.

    python bench/peers.py [--rounds 20] [--batches 128,512,1000] [--threads 2] [--only minivae,jax]
                          [--model continuous-bernoulli|student:5|iwae:5|c32,c64,256]
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import likelihoods
from machine import cores, describe, unpin

from minivae import onednn

HERE = Path(__file__).resolve().parent
NAMES = (
    "minivae", "minivae, oneDNN", "minivae, 1 thread", "torch eager", "torch fused Adam",
    "torch channels last", "torch.compile", "jax jit", "jax scan", "products alone",
)  # fmt: skip


class Contestant:
    """One process that does a job in one way: ``script name threads`` with `serve` in it."""

    def __init__(
        self, name: str, threads: int, script: str = "contestants.py", model: str = "bernoulli"
    ) -> None:
        self.name, self.errors = name, tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [sys.executable, str(HERE / script), name, str(threads), model]
        if shutil.which("taskset"):  # JAX takes all cores it can see
            command = ["taskset", "-c", ",".join(map(str, cores()[:threads])), *command]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def ask(self, line: str) -> dict:
        """Send one line and wait for the answer."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.errors.seek(0)
            raise SystemExit(f"{self.name} failed:\n{self.errors.read()[-2000:]}")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait(10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--batches", default="128,512,1000")
    parser.add_argument("--threads", type=int, default=min(2, len(cores())))
    parser.add_argument("--images", type=int, default=25600, help="images in one turn")
    parser.add_argument("--only", default="", help="parts of names, separated by commas")
    parser.add_argument(
        "--model", default="bernoulli", help=f"iwae:K, convolutions, {', '.join(likelihoods.NAMES)}"
    )
    parser.add_argument(
        "--compared", type=int, default=100, help="steps whose losses are compared, at most"
    )
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile")
    options = parser.parse_args()
    wanted = [part for part in options.only.split(",") if part]
    names = [name for name in NAMES if not wanted or any(part in name for part in wanted)]
    names = [name for name in names if _can_run(name, options)]
    if "," not in options.model:
        names = [name for name in names if "channels" not in name]
    if options.model != "bernoulli" and "products alone" in names:
        names.remove("products alone")  # those of the plain step

    print(describe("numpy", "torch", "jax", "onednn-cpu-gomp"))
    print(
        f"{options.model}, {options.threads} threads, {options.rounds} rounds in turn, "
        "microseconds per step\n"
    )
    model = options.model
    contestants = [Contestant(name, options.threads, model=model) for name in names]
    try:
        for batch in (int(part) for part in options.batches.split(",")):
            steps = max(1, options.images // batch)
            compare(contestants, batch, steps, options.rounds, options.compared)
    finally:
        for contestant in contestants:
            contestant.close()


def compare(
    contestants: list[Contestant], batch: int, steps: int, rounds: int, compared: int = 100
) -> None:
    """Check the losses of one turn of each, then time the rounds and print a table."""
    losses = {c.name: c.ask(f"prepare {batch} {steps}")["losses"] for c in contestants}
    _check({name: turn[:compared] for name, turn in losses.items()}, batch)
    times: dict[str, list[float]] = {c.name: [] for c in contestants}
    peaks: dict[str, float] = {}
    for _ in range(rounds):
        for contestant in contestants:
            time.sleep(0.2)  # the threads of the one before fall asleep: OpenBLAS's take a while
            answer = contestant.ask("run")
            times[contestant.name].append(answer["seconds"] / steps * 1e6)
            peaks[contestant.name] = answer["peak"]
    ours = median(times[contestants[0].name])
    first = contestants[0].name
    print(f"| batch {batch} | median | lowest | highest | its median / {first}'s | peak MB |")
    print("|---|---|---|---|---|---|")
    for name, turns in times.items():
        middle = median(turns)
        print(
            f"| {name} | {middle:.0f} | {min(turns):.0f} | {max(turns):.0f} | {middle / ours:.2f} "
            f"| {peaks[name]:.0f} |"
        )
    print(flush=True)


def _check(losses: dict[str, list[float]], batch: int) -> None:
    """Stop unless all contestants went through the same losses.

    The first loss is one forward pass: float32 rounding, 1e-5. That of a hundred steps follows
    Adam, which carries rounding on: 1e-3. (After an epoch two modes of PyTorch differ by as much.)
    Both of the losses' size, for those of densities cross 0.
    """
    losses = {name: turn for name, turn in losses.items() if turn}
    first = {name: turn[0] for name, turn in losses.items()}
    mean = {name: sum(turn) / len(turn) for name, turn in losses.items()}
    sizes = [sum(map(abs, turn)) / len(turn) for turn in losses.values()]
    for what, values, most in (
        ("first loss", first, 1e-5 * max(map(abs, first.values()), default=0.0)),
        ("mean loss", mean, 1e-3 * max(sizes, default=0.0)),
    ):
        if losses and max(values.values()) - min(values.values()) > most:
            raise SystemExit(f"batch {batch}: the {what} differs: {values}")
    if losses:
        one, other = (min(mean.values()), max(mean.values()))
        start, steps = min(first.values()), min(map(len, losses.values()))
        print(
            f"batch {batch}: all start at {start:.3f} nats, mean of {steps} steps "
            f"{one:.3f}-{other:.3f}"
        )


def _can_run(name: str, options: argparse.Namespace) -> bool:
    library = "onednn" if "oneDNN" in name else name.split()[0].split(".")[0]
    if library == "onednn" and onednn.file() is None:
        print(f"{name}: left out, minivae[fast] is not installed", file=sys.stderr)
        return False
    if library in ("torch", "jax") and find_spec(library) is None:
        print(f"{name}: left out, {library} is not installed", file=sys.stderr)
        return False
    if name == "torch.compile" and (options.no_compile or not shutil.which("g++")):
        print(f"{name}: left out, no g++ or not wanted", file=sys.stderr)
        return False
    return not (name == "minivae, 1 thread" and options.threads == 1)


if __name__ == "__main__":
    unpin()
    main()
