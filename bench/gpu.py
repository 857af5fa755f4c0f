"""Everything that only a GPU can show, by one command: checks first, then times, then a table.

Each part runs in a process of its own with a time limit, so that none can stop the others; the
parts themselves are in gpu_parts.py, PyTorch and JAX in gpu_peers.py. Under 8 minutes in all. It
ends with status 1 if a check failed.

    python bench/gpu.py [--device 0] [--budget 470] [--only bits,times] [--host]

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
PEERS = {
    "torch eager": "torch",
    "torch.compile, CUDA graphs": "torch",
    "torch, whole step a CUDA graph": "torch",
    "jax jit": "jax",
    "jax scan": "jax",
}
BEST = ("torch, whole step a CUDA graph", "jax scan")  # the modes tried with TF32 too
MODES = ("captured", "eager", "captured tf32")
MINIMUM = 5  # seconds; with less left nothing is begun
CHECKS = ("parity", "bits", "numpy", "memory", "learning")
LIMITS = {"parity": 150, "numpy": 90, "learning": 90, "times": 90}  # seconds; others 60


class Budget:
    """Runs parts one after another until the time is used up, and keeps what they answered."""

    def __init__(self, seconds: float, options: argparse.Namespace) -> None:
        self.end, self.options = time.monotonic() + seconds, options
        self.env = dict(os.environ, PYTHONUNBUFFERED="1")
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.env["PYTHONPATH"] = os.pathsep.join(paths)
        # JAX takes three quarters of the memory at once unless told otherwise.
        self.env["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"

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


def check(budget: Budget, names: list[str]) -> bool:
    """Run the checks; print a line for each, and whether all held."""
    held = True
    for name in names:
        answer = budget.part(name, limit=LIMITS.get(name, 60))
        good = "error" not in answer and answer.get("ok", False)
        held &= good
        text = answer.get("error") or answer.get("text", "")
        print(f"{'ok    ' if good else 'FAILED'}  {name}: {text}", flush=True)
    return held


def time_all(budget: Budget, wanted: list[str]) -> list[dict[str, Any]]:
    """Time everybody's modes, batch by batch: what matters most comes before the time is up."""
    host, rows = budget.options.host, []
    peers = PEERS if "peers" in wanted else {}
    for name, library in peers.items():
        if find_spec(library) is None:
            print(f"        {name}: left out, {library} is not installed", flush=True)
    for batch in BATCHES[:1] if host else BATCHES:
        for mode in MODES if "times" in wanted else ():
            arguments = ("--batch", str(batch), "--mode", mode)
            answer = budget.part("times", *arguments, limit=LIMITS["times"])
            rows.append({"who": f"minivae {mode}", "batch": batch, **answer})
            _show(rows[-1])
        steps = 5 if host else max(20, min(468, 120_000 // batch))
        for name, library in peers.items():
            for tf32 in (False, True) if name in BEST else (False,):
                if find_spec(library) is None:
                    continue
                command = [str(HERE / "gpu_peers.py"), name, str(batch), str(steps), "5"]
                command += ["--device", "cpu" if host else "cuda"] + ["--tf32"] * tf32
                row = {"who": name + " tf32" * tf32, "batch": batch, **budget.run(command, 60)}
                if "step" in row:
                    row["epoch"] = row["step"] * -(-60_000 // batch) / 1e6
                rows.append(row)
                _show(row)
    return rows


def _show(row: dict[str, Any]) -> None:
    text = row.get("error") or f"{row['step']:.1f} us a step"
    print(f"        batch {row['batch']}, {row['who']}: {text}", flush=True)


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
    """Say whether a captured step at batch 128 is under 100 us and below both peers' best."""
    at = [row for row in rows if row["batch"] == BATCHES[0] and "step" in row]
    mine = [row["step"] for row in at if row["who"] == "minivae captured" and row["captured"]]
    if not mine:
        print("\nFAILED  no captured step at batch 128 was timed")
        return False
    good = mine[0] < 100
    print(
        f"\n{'ok    ' if good else 'FAILED'}  captured step at batch 128: {mine[0]:.1f} us (<100)"
    )
    for library in ("torch", "jax"):
        theirs = [row for row in at if row["who"].startswith(library)]
        if not theirs:
            print(f"        {library}: not measured")
            continue
        best = min(theirs, key=lambda row: row["step"])
        faster = mine[0] < best["step"]
        good &= faster
        print(
            f"{'ok    ' if faster else 'FAILED'}  against {library}'s best, {best['who']}: "
            f"{best['step']:.1f} us"
        )
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--budget", type=float, default=470, help="seconds in all")
    parser.add_argument(
        "--only", default="", help="parts, by comma: " + ",".join(CHECKS) + ",times,peers"
    )
    parser.add_argument("--host", action="store_true", help="without a GPU, to try this script")
    options = parser.parse_args()
    start = time.monotonic()
    budget = Budget(options.budget, options)
    facts = budget.part("machine")
    print(facts.get("error") or facts["text"], flush=True)
    if "error" in facts or not facts["ok"]:
        raise SystemExit(1)
    wanted = options.only.split(",") if options.only else [*CHECKS, "times", "peers"]
    good = check(budget, [name for name in CHECKS if name in wanted])
    rows = time_all(budget, wanted)
    if rows:
        good &= table(rows, options.host)
    if rows and not options.host:
        good &= verdict(rows)
    print(f"\n{time.monotonic() - start:.0f} s in all; {'all held' if good else 'NOT all held'}")
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
