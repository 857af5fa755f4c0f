"""Everything that only a GPU can show, by one command: what matters most first, then a table.

Each part runs in a process of its own with a time limit, so that none can stop the others; the
parts themselves are in gpu_parts.py, PyTorch and JAX in gpu_peers.py. Under 8 minutes in all, 3
with --quick. What a part answers is at once a line of JSON in a file, so that a run that is killed
still tells. It ends with status 1 if a check failed.

    python bench/gpu.py [--quick] [--device 0] [--budget 470] [--only bits,times] [--host]

`--host` runs the same parts, shrunk, without a GPU: kernels compiled by g++, and no figure that
means anything. It shows that this script works, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BATCHES = (128, 1024, 8192)
MODES = ("captured", "eager", "captured tf32")
PEERS = {
    "torch, whole step a CUDA graph": "torch",
    "jax scan": "jax",
    "torch.compile, max-autotune": "torch",
    "torch.compile, reduce-overhead": "torch",
    "jax jit": "jax",
    "torch eager": "torch",
}
BEST = ("torch, whole step a CUDA graph", "jax scan")  # the modes tried with TF32 too
WANTED = 60  # microseconds that a captured step in float32 may take at batch 128
MINIMUM = 5  # seconds; with less left nothing is begun
CHECKS = ("bits", "parity", "numpy", "memory", "learning", "sanitizer")
# Seconds; others 60.
LIMITS = {"parity": 150, "sanitizer": 150, "numpy": 90, "learning": 90, "times": 90}
COMPILING = 120  # for a mode that compiles long


def plan(quick: bool) -> list[tuple[str, ...]]:
    """Return what to run, the most important first: (check,), (times, batch, mode), (peers, ...).

    `quick`: what says whether the captured step is right, and faster than the peers' best.
    """
    first: list[tuple[str, ...]] = [("bits",), ("times", "128", "captured")]
    first += [("peers", "128", name) for name in BEST]
    first += [("kernels",), ("parity",), ("times", "128", "captured tf32")]
    first += [("peers", "128", name + " tf32") for name in BEST]
    if quick:
        return first
    rest: list[tuple[str, ...]] = [("learning",), ("numpy",)]
    for batch in map(str, BATCHES[1:]):
        rest += [("times", batch, mode) for mode in ("captured", "captured tf32")]
        rest += [("peers", batch, name + tf32) for tf32 in ("", " tf32") for name in BEST]
    rest += [("sanitizer",), ("memory",), ("times", "128", "eager")]
    rest += [("peers", "128", name) for name in PEERS if name not in BEST]
    return first + rest


class Budget:
    """Runs parts one after another until the time is used up, and keeps what they answered."""

    def __init__(self, seconds: float, options: argparse.Namespace) -> None:
        self.start = time.monotonic()
        self.end, self.options = self.start + seconds, options
        self.env = dict(os.environ, PYTHONUNBUFFERED="1")
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.env["PYTHONPATH"] = os.pathsep.join(paths)
        # JAX takes three quarters of the memory at once unless told otherwise.
        self.env["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"

    def note(self, row: dict[str, Any]) -> None:
        """Append an answer to the file of results, and see that it is there."""
        with open(self.options.out, "a") as file:
            seconds = round(time.monotonic() - self.start, 1)
            file.write(json.dumps({"after": seconds, **row}) + "\n")

    def part(self, name: str, *arguments: str, limit: float = 60) -> dict[str, Any]:
        """Run one part of gpu_parts.py; its answer is the last line it prints."""
        arguments = (*arguments, "--device", str(self.options.device))
        if self.options.host:
            arguments = (*arguments, "--host")
        return self.run([str(HERE / "gpu_parts.py"), name, *arguments], limit)

    def run(self, command: list[str], limit: float) -> dict[str, Any]:
        """Run a script; return the JSON object it ends with, or {"error": ...}."""
        limit = min(limit, self.end - time.monotonic())
        if limit < MINIMUM:
            return {"error": "no time left"}
        process = subprocess.Popen(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.env,
            cwd=ROOT,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # and what it started
            output, _ = process.communicate()
            return {"error": f"stopped after {limit:.0f} s; it ended with: {_tail(output)}"}
        lines = output.strip().splitlines()
        try:
            answer = json.loads(lines[-1])
            if isinstance(answer, dict):
                return answer
        except (IndexError, json.JSONDecodeError):
            pass
        return {"error": f"status {process.returncode}: {_tail(output)}"}


def _tail(output: str) -> str:
    return " | ".join(line.strip() for line in output.strip().splitlines()[-6:])[-900:]


def check(budget: Budget, name: str) -> bool:
    """Run a check; print a line, and return whether it held."""
    answer = budget.part(name, limit=LIMITS.get(name, 60))
    good = "error" not in answer and bool(answer.get("ok", False))
    budget.note({"check": name, **answer})
    text = answer.get("error") or answer.get("text", "")
    print(f"{'ok    ' if good else 'FAILED'}  {name}: {text}", flush=True)
    return good


def kernels(budget: Budget) -> bool:
    """Print what each launch of a captured step takes alone; return whether that could be seen."""
    answer = budget.part("kernels")
    budget.note({"kernels at batch": 128, **answer})
    timed = answer.get("kernels", [])
    text = ", ".join(f"{name} {time:.1f}" for name, time in timed)
    total = f"; {sum(time for _, time in timed):.1f} us in all"
    print(f"        kernels: {answer.get('error') or text + total}", flush=True)
    return "error" not in answer


def clock(budget: Budget, what: str, batch: int, who: str) -> list[dict[str, Any]]:
    """Time a mode of ours ("times") or of a peer ("peers"); return its row, if there is one."""
    host = budget.options.host
    if what == "times":
        answer = budget.part("times", "--batch", str(batch), "--mode", who, limit=LIMITS["times"])
        row = {"who": f"minivae {who}", "batch": batch, **answer}
    else:
        name = who.removesuffix(" tf32")
        if find_spec(PEERS[name]) is None:
            print(f"        {name}: left out, {PEERS[name]} is not installed", flush=True)
            return []
        steps = 5 if host else max(20, min(468, 120_000 // batch))
        rounds = "3" if host else "30"
        command = [str(HERE / "gpu_peers.py"), name, str(batch), str(steps), rounds]
        command += ["--device", "cpu" if host else "cuda"] + ["--tf32"] * (name != who)
        command += ["--warm", "0" if host else "1"]
        limit = COMPILING if "compile" in name else 60
        row = {"who": who, "batch": batch, **budget.run(command, limit)}
        if "step" in row:
            row["epoch"] = row["step"] * -(-60_000 // batch) / 1e6
    budget.note(row)
    text = row.get("error") or f"{row['step']:.1f} us a step"
    reasons = "; ".join(["", *row.get("notices", [])])
    print(f"        batch {batch}, {row['who']}: {text}{reasons}", flush=True)
    return [row]


def table(rows: list[dict[str, Any]], host: bool) -> bool:
    """Print a table for each batch, fastest first; return whether the first losses agree."""
    agree = True
    for batch in sorted({row["batch"] for row in rows}):
        timed = [row for row in rows if row["batch"] == batch and "step" in row]
        print(f"\n| batch {batch} | us a step | lowest | highest | s an epoch | first loss |")
        print("|---|---|---|---|---|---|")
        for row in sorted(timed, key=lambda row: row["step"]):
            epoch = f"{row['epoch']:.3f}" if "epoch" in row else ""
            print(
                f"| {row['who']} | {row['step']:.1f} | {row['lowest']:.1f} | "
                f"{row['highest']:.1f} | {epoch} | {row['first']:.3f} |"
            )
        plain = [row["first"] for row in timed if "tf32" not in row["who"]]
        if not host and plain and max(plain) - min(plain) > 1e-4 * max(plain):
            print(f"\nFAILED  the first losses differ at batch {batch}: these are other steps")
            agree = False
    print("\nAn epoch of minivae draws and uploads order and noise; the others' is steps alone.")
    if host:
        print("\nHost memory, g++, a smaller model of ours: these times mean nothing.")
    return agree


def verdict(rows: list[dict[str, Any]]) -> bool:
    """Say whether the captured step at batch 128 is fast enough, and faster than both peers' best.

    Float32 is compared with float32, TF32 with TF32.
    """
    at = [row for row in rows if row["batch"] == BATCHES[0] and "step" in row]
    good = True
    for precision in ("float32", "tf32"):
        alike = [row for row in at if ("tf32" in row["who"]) == (precision == "tf32")]
        mine = [row["step"] for row in alike if row.get("captured")]
        if not mine:
            if precision == "float32":
                print("\nFAILED  no captured step at batch 128 was timed")
                good = False
            continue
        if precision == "float32":
            good &= _say(mine[0] < WANTED, f"captured step: {mine[0]:.1f} us (<{WANTED})")
        for library in ("torch", "jax"):
            theirs = [row for row in alike if row["who"].startswith(library)]
            if not theirs:
                print(f"        {library}, {precision}: not measured")
                continue
            best = min(theirs, key=lambda row: row["step"])
            text = f"{best['who']}: {best['step']:.1f} us, ours {mine[0]:.1f}"
            good &= _say(mine[0] < best["step"], f"against the best of {library}, {text}")
    return good


def _say(held: bool, text: str) -> bool:
    print(f"{'ok    ' if held else 'FAILED'}  batch 128, {text}")
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="the most important, in 3 minutes")
    parser.add_argument("--budget", type=float, help="seconds in all: 470, or 170 with --quick")
    parser.add_argument(
        "--only", default="", help="parts, by comma: " + ",".join(CHECKS) + ",times,peers,kernels"
    )
    parser.add_argument("--host", action="store_true", help="without a GPU, to try this script")
    parser.add_argument(
        "--out", default=time.strftime("gpu-%Y%m%d-%H%M%S.jsonl"), help="where results go, as JSON"
    )
    options = parser.parse_args()
    budget = Budget(options.budget or (170 if options.quick else 470), options)
    facts = budget.part("machine")
    budget.note({"machine": facts})
    print(facts.get("error") or facts["text"], flush=True)
    if "error" in facts or not facts["ok"]:
        raise SystemExit(1)
    good, rows = True, []
    for what, *how in plan(options.quick):
        if options.only and what not in options.only.split(","):
            continue
        if what in CHECKS:
            good &= check(budget, what)
        elif what == "kernels":
            good &= kernels(budget)
        elif not options.host or how[0] == str(BATCHES[0]):
            rows += clock(budget, what, int(how[0]), how[1])
    if rows:
        good &= table(rows, options.host)
    if rows and not options.host:
        good &= verdict(rows)
    seconds = time.monotonic() - budget.start
    print(f"\n{seconds:.0f} s in all; {'all held' if good else 'NOT all held'}; {options.out}")
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
