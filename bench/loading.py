"""What loading data and gathering a batch cost in time and memory.

python bench/loading.py            # MNIST
python bench/loading.py FILE.npy   # another data set; --make 1000000 writes one of that many images
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from minivae.data import gather, load_data

BATCH = 128


def peak():
    """Give the most memory so far; pages of a mapped file count, though they can be dropped."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"


def make(path, count):
    """Write random images, 10,000 at a time."""
    rng = np.random.default_rng(0)
    with open(path, "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, 28, 28)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, count, 10_000):
            file.write(rng.bytes(784 * min(10_000, count - start)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default="mnist")
    parser.add_argument("--make", type=int, help="write DATA first: so many images of 28x28")
    options = parser.parse_args()
    if options.make:
        make(Path(options.data), options.make)
    print(f"imports: peak memory {peak()}")
    began = time.perf_counter()
    data = load_data(options.data, notice=print)
    print(f"load_data({options.data!r}): {time.perf_counter() - began:.2f} s, peak {peak()}")
    began = time.perf_counter()
    print(f"fingerprint {data.fingerprint[:8]}: {time.perf_counter() - began:.2f} s, peak {peak()}")
    pixels = data.train.shape[1]
    order = np.random.default_rng(0).permutation(len(data.train))
    out = np.empty((BATCH, pixels), np.float32)
    scratch = np.empty((BATCH, pixels), data.train.dtype)
    uniform = np.random.default_rng(0).random(out.shape, dtype=np.float32)
    for binarize in ("none", "threshold", "sampled"):
        times = []
        for start in range(0, min(len(order), 2000 * BATCH) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            began = time.perf_counter()
            gather(data.train, chosen, out, scratch, binarize=binarize, uniform=uniform)
            times.append(time.perf_counter() - began)
        print(f"gather, binarize {binarize:9}: median {np.median(times) * 1e6:.1f} us for "
              f"{BATCH} x {pixels}; peak {peak()}")  # fmt: skip


if __name__ == "__main__":
    main()
