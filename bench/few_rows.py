"""x W^T for few rows: as it stands, and as the transpose of W x^T, which `formulas.matmul` takes.

One thread, all six layers of the model, the two ways in turn.

    python bench/few_rows.py [--rows 4,8,16,32,64,128,256] [--rounds 200] [--kernels Haswell]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from itertools import pairwise
from statistics import median

import numpy as np
from machine import PINS, describe
from threadpoolctl import threadpool_info, threadpool_limits

WIDTHS = (784, 256, 128, 40), (20, 128, 256, 784)  # encoder, decoder


def layers(rows: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return x, W and y of every layer of the model."""
    rng = np.random.default_rng(0)
    return [
        (
            rng.standard_normal((rows, inputs), "float32"),
            rng.standard_normal((outputs, inputs), "float32"),
            np.empty((rows, outputs), "float32"),
        )
        for widths in WIDTHS
        for inputs, outputs in pairwise(widths)
    ]


def straight(x: np.ndarray, weight: np.ndarray, y: np.ndarray) -> None:
    """Overwrite y with x W^T."""
    np.matmul(x, weight.T, out=y)


def turned(x: np.ndarray, weight: np.ndarray, y: np.ndarray) -> None:
    """Overwrite y with (W x^T)^T."""
    np.copyto(y, np.matmul(weight, x.T).T)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="4,8,16,32,64,128,256")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--kernels", help="those of another processor: OPENBLAS_CORETYPE")
    options = parser.parse_args()
    if os.environ.get(PINS[0]) != options.kernels:  # OpenBLAS reads it when NumPy is imported
        env = {name: value for name, value in os.environ.items() if name not in PINS}
        env |= {PINS[0]: options.kernels} if options.kernels else {}
        os.execve(sys.executable, [sys.executable, *sys.argv], env)
    kernels = {pool.get("architecture", pool["internal_api"]) for pool in threadpool_info()}
    print(f"{describe('numpy')}; kernels: {', '.join(sorted(kernels))}; one thread")
    print("\n| rows | x W^T, us | (W x^T)^T, us | ratio |\n|---|---|---|---|")
    with threadpool_limits(1, user_api="blas"):
        for rows in map(int, options.rows.split(",")):
            model, times = layers(rows), {straight: [], turned: []}
            for _ in range(options.rounds):
                for way, seconds in times.items():
                    start = time.perf_counter()
                    for arrays in model:
                        way(*arrays)
                    seconds.append(time.perf_counter() - start)
            one, other = (median(seconds) * 1e6 for seconds in times.values())
            print(f"| {rows} | {one:.0f} | {other:.0f} | {other / one:.2f} |", flush=True)


if __name__ == "__main__":
    main()
