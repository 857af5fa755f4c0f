"""The parts of gpu.py, one a process: each prints one JSON object as its last line.

A check answers {"ok": bool, "text": str}, a timing {"step", "lowest", "highest": microseconds,
"epoch": seconds, "first": nats, "captured": bool, "notices": why it is not}, `kernels` {"kernels":
[[name, microseconds], ...]} in the order of a step. In which order and how long is gpu.py's.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from minivae import VAE, load_data
from minivae.backend import CupyBackend, NumpyBackend
from minivae.data import Dataset
from minivae.data.pixels import Source
from minivae.noise import RowNoise, permutation
from minivae.optim import Adam
from minivae.training import Training
from minivae.training.steps import open_steps

ROOT = Path(__file__).resolve().parents[1]
Answer = dict[str, Any]


class Bench:
    """What the parts share: the device, the data, and how large things are."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.host = options, options.host
        self.notices: list[str] = []
        data = load_data("mnist")
        if self.host:  # the kernels run one thread after another: little data, a little model
            parts = data.train[:330], data.test[:100], data.train_labels[:330]
            data = Dataset("mnist", *parts, data.test_labels[:100], data.image_shape)
        self.data = data
        self.hidden = (12, 8) if self.host else (256, 128)

    def backend(self, precision: str = "float32", capture: bool = True) -> CupyBackend:
        """Return the backend under test; the host knows no TF32."""
        if self.host:
            sys.path.insert(0, str(ROOT / "tests"))
            from host_device import HostDevice

            return CupyBackend(HostDevice(), "float32", capture, self.notices.append)
        from minivae.cuda.device import open_device

        device = open_device(self.options.device)
        return CupyBackend(device, precision, capture, self.notices.append)

    def model(self, backend: Any) -> VAE:
        """Return the model with its first weights."""
        return VAE(784, self.hidden, 20, seed=0, backend=backend)

    def steps(self, backend: Any, batch: int) -> tuple[VAE, Adam, Any]:
        """Return a model, its optimizer and its steps."""
        vae = self.model(backend)
        adam = Adam(vae.parameters, backend, 1e-3)
        return vae, adam, open_steps(vae, adam, Source(self.data.train), batch)

    def begin(self, steps: Any, order: np.ndarray, epoch: int = 0) -> None:
        """Start an epoch with the noise of that number."""
        steps.begin(order, RowNoise(0, "eps", epoch), RowNoise(0, "binarize", epoch))


def machine(bench: Bench) -> Answer:
    """Say what is here."""
    from importlib.metadata import PackageNotFoundError, version

    from minivae.backend import describe_cupy

    facts = describe_cupy()
    lines = ["host memory, no GPU"] if bench.host else [json.dumps(facts)]
    for package in ("minivae", "numpy", "torch", "jax"):
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"no {package} package")
    command = [
        "nvidia-smi",
        "--query-gpu=name,driver_version,clocks.max.sm",
        "--format=csv,noheader",
    ]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=20)
        lines.append(asked.stdout.strip().replace("\n", "; "))
    except (OSError, subprocess.TimeoutExpired):
        lines.append("no nvidia-smi")
    return {"ok": bench.host or facts["available"], "text": "\n".join(lines)}


def parity(bench: Bench) -> Answer:
    """Run the tests marked gpu: every kernel against formulas.py, small epochs against NumPy."""
    marker = "not gpu and not slow" if bench.host else "gpu"
    files = [f"tests/test_cuda_{name}.py" for name in ("kernels", "epoch", "bounds")]
    command = [sys.executable, "-m", "pytest", "-q", "-m", marker, "-p", "no:cacheprovider", *files]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = (found.stdout + found.stderr).strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR", "E  "))][:8]
    last = lines[-1] if lines else "no output"
    ok = found.returncode == 0 and "passed" in last and "skipped" not in last
    return {"ok": ok or (bench.host and found.returncode == 0), "text": " | ".join([last, *failed])}


def bits(bench: Bench) -> Answer:
    """Take an epoch captured, again captured, and launched: all three to the bit."""
    results, captured = [], []
    for capture in (True, True, False):
        vae, adam, steps = bench.steps(bench.backend(capture=capture), 128)
        n = len(bench.data.train)
        bench.begin(steps, permutation(0, "order", 0, n))
        for i in range(-(-n // 128)):
            steps.step(i)
        sums = np.array(steps.totals())
        captured.append(steps.captured)
        to_host = vae.backend.to_host
        results.append([sums, *map(to_host, (vae.theta, adam.m, adam.v))])
        steps.close()
    same = [
        all(a.tobytes() == b.tobytes() for a, b in zip(results[0], other, strict=True))
        for other in results[1:]
    ]
    ok = all(same) and captured == [True, True, False]
    text = f"two captured runs {_same(same[0])}, captured against launched {_same(same[1])}"
    return {"ok": ok, "text": "; ".join([text, f"captured: {captured}", *bench.notices])}


def _same(same: bool) -> str:
    return "the same bits" if same else "DIFFER"


def numpy(bench: Bench) -> Answer:
    """Take three epochs with NumPy and with CuPy: losses within 0.05 nats."""
    histories = []
    for make in (NumpyBackend, bench.backend):  # NumPy first: it forks, which CUDA does not like
        training = Training(bench.model(make()), bench.data, batch_size=128)
        histories.append([(r.train_loss, r.test_loss) for r in training.run(3)])
    gap = float(np.abs(np.subtract(*histories)).max())
    shown = ["/".join(f"{test:.3f}" for _, test in history) for history in histories]
    text = f"test losses {shown[0]} (NumPy), {shown[1]} (CuPy); largest gap {gap:.5f} nats"
    return {"ok": gap < 0.05, "text": text}


def memory(bench: Bench) -> Answer:
    """Train five epochs: the memory in use after each is that after the first."""
    backend = bench.backend()
    used = []
    training = Training(bench.model(backend), bench.data, batch_size=128)
    for _ in training.run(5):
        if bench.host:
            used.append(0)
            continue
        pool = backend.device.cupy.get_default_memory_pool()
        free, total = backend.device.cupy.cuda.runtime.memGetInfo()
        used.append((pool.total_bytes() >> 10, (total - free) >> 20))
    steady = all(u == used[1] for u in used[2:])
    return {"ok": steady, "text": f"pool KiB and device MiB after each epoch: {used}"}


def learning(bench: Bench) -> Answer:
    """Run `minivae train --backend cupy`: after 50 epochs within 0.9 nats of 101.1."""
    if bench.host:
        history = list(Training(bench.model(bench.backend()), bench.data).run(2))
        return {"ok": True, "text": f"test loss {history[-1].test_loss:.3f} after 2 epochs"}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "minivae", "train", "--backend", "cupy", "--epochs", "50"]
        command += ["--device", str(bench.options.device), "--out", folder + "/run"]
        start = time.perf_counter()
        ran = subprocess.run(command, capture_output=True, text=True)
        seconds = time.perf_counter() - start
        if ran.returncode:
            return {"ok": False, "text": " | ".join(ran.stderr.strip().splitlines()[-5:])}
        with open(folder + "/run/history.csv", newline="") as file:
            rows = list(csv.DictReader(file))
    loss, epoch = float(rows[-1]["test_loss"]), median(float(row["seconds"]) for row in rows)
    said = [line for line in ran.stderr.splitlines() if "captured" in line]
    text = f"test loss {loss:.3f} after {len(rows)} epochs; {epoch:.4f} s an epoch, {seconds:.1f} s"
    return {"ok": len(rows) == 50 and abs(loss - 101.1) < 0.9, "text": "; ".join([text, *said])}


def sanitizer(bench: Bench) -> Answer:
    """Run small epochs under NVIDIA's compute-sanitizer: no wrong address, no race."""
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if bench.host or not Path(tool).exists():
        return {"ok": True, "text": "left out, compute-sanitizer is not installed"}
    small = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "gpu", "-p", "no:cacheprovider"]
    small += ["tests/test_cuda_epoch.py", "-k", "seven or captured_and_launched"]
    said, ok = [], True
    for check in ("memcheck", "racecheck"):
        command = [tool, "--tool", check, "--error-exitcode", "9", *small]
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        lines = (found.stdout + found.stderr).strip().splitlines()
        ok &= found.returncode == 0
        said.append(f"{check}: {lines[-1] if lines else 'no output'}")
        said += [line for line in lines if "Error:" in line or "Race" in line][:4]
    return {"ok": ok, "text": " | ".join(said)}


def times(bench: Bench) -> Answer:
    """Time steps whose images and noise lie on the device, and whole epochs with all they need."""
    batch, mode = bench.options.batch, bench.options.mode
    backend = bench.backend("tf32" if "tf32" in mode else "float32", "captured" in mode)
    _, _, steps = bench.steps(backend, batch)
    device, n = backend.device, len(bench.data.train)
    order = np.resize(permutation(0, "order", 1, n), 200 * batch)  # as the peers' batches
    first = first_loss(bench, backend, batch, order)
    inside = min(40, steps._block // batch) - 1
    if inside < 1:
        return {"error": "a block holds but one step"}

    def turn() -> float:
        bench.begin(steps, order)
        steps.step(0)  # loads a block: the steps below find their noise there
        device.synchronize()
        start = time.perf_counter()
        for i in range(1, 1 + inside):
            steps.step(i)
        device.synchronize()
        return (time.perf_counter() - start) / inside * 1e6

    turn()  # compiles and captures
    end = time.perf_counter() + (0 if bench.host else 1)
    while time.perf_counter() < end:  # the clocks rise
        turn()
    turns = [turn() for _ in range(2 if bench.host else 30)]
    epochs = []
    for epoch in range(1 if bench.host else 4):
        start = time.perf_counter()
        bench.begin(steps, permutation(0, "order", epoch, n), epoch)
        for i in range(-(-n // batch)):
            steps.step(i)
        steps.totals()
        epochs.append(time.perf_counter() - start)
    answer = {"step": median(turns), "lowest": min(turns), "highest": max(turns)}
    answer |= {"epoch": median(epochs), "captured": steps.captured, "first": first}
    steps.close()
    if "captured" in mode and not steps.captured:
        answer["notices"] = bench.notices
    return answer


def kernels(bench: Bench) -> Answer:
    """Time each launch of a captured step alone: a graph of it, many times in a row.

    What it reads lies in the caches then, and nothing waits for another kernel: a floor.
    """
    _, _, steps = bench.steps(bench.backend(), bench.options.batch)
    bench.begin(steps, permutation(0, "order", 1, len(bench.data.train)))
    if not steps.captured:
        return {"error": f"the step is not captured: {bench.notices}"}
    device, state = steps.device, steps._snapshot()
    launches: list[Any] = []
    start = device._start
    device._start = lambda launch: launches.append(launch) or start(launch)
    device.capture(lambda: steps._launch(steps.batch_size, spread=True))
    device._start = start
    times, repeats = [], 2 if bench.host else 200
    for launch in launches:
        steps._restore(state)

        def many(launch: Any = launch) -> None:
            for _ in range(repeats):
                device._start(launch)

        graph, rounds = device.capture(many), []
        for _ in range(1 if bench.host else 4):
            steps._restore(state)
            device.synchronize()
            begun = time.perf_counter()
            graph.launch()
            device.synchronize()
            rounds.append((time.perf_counter() - begun) / repeats * 1e6)
        times.append([launch.kernel, round(min(rounds), 2)])
    return {"kernels": times}


def first_loss(bench: Bench, backend: Any, batch: int, order: np.ndarray) -> float:
    """Return the loss of the first batch with the first weights, to compare with the peers'."""
    rows = bench.data.train[order[:batch]].astype(np.float32) / 255
    eps = RowNoise(0, "eps", 1).normal(0, np.empty((batch, 20), np.float32))
    terms = bench.model(backend).step(rows, eps)
    return float(backend.to_host(terms.nll)) + float(backend.to_host(terms.kl))


PARTS: dict[str, Callable[[Bench], Answer]] = {
    part.__name__: part
    for part in (machine, parity, bits, numpy, memory, learning, sanitizer, times, kernels)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--host", action="store_true")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--mode", default="captured")
    options = parser.parse_args()
    try:
        answer = PARTS[options.part](Bench(options))
    except Exception as error:  # gpu.py goes on with the other parts
        traceback.print_exc()
        answer = {"error": f"{type(error).__name__}: {error}"}
    print("\n" + json.dumps(answer))


if __name__ == "__main__":
    main()
