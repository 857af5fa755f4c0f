"""The benchmarks run: with as little work as they can do, nothing about their times."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minivae import onednn, products
from minivae.training.crew import available_cores, can_fork

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "command, expected",
    [
        ("step.py --batches 16 --threads 2 --rounds 1 --images 32", "| matmul |"),
        pytest.param("start.py --rounds 1", "first step |", marks=pytest.mark.slow),
        pytest.param(
            "sharing.py --batches 16 --rounds 1 --images 32",
            "| 16 |",
            marks=pytest.mark.skipif(
                not (can_fork() and hasattr(os, "sched_setaffinity")) or available_cores() < 2,
                reason="two processes need a fork, and a core each",
            ),
        ),
        pytest.param(
            "peers.py --only minivae,products --threads 2 --batches 16 --rounds 1 --images 32",
            "| products alone |",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_benchmark_runs(command, expected):
    script, *arguments = command.split()
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / script, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


def test_the_contestant_of_onednn_multiplies_with_it(monkeypatch):
    """For some time it took NumPy's products, and its figures were those of NumPy."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    monkeypatch.setattr(sys, "argv", ["contestants.py"])
    import contestants

    asked, before = [], products.in_use

    class Counting:
        FEW_ROWS = 0

        def __init__(self, _):
            pass

        def hold(self):
            pass

        def matmul(self, a, b, out):
            asked.append("product")

        def adam(self, *vectors_and_constants):
            asked.append("update")

    monkeypatch.setattr(onednn, "library", lambda threads: Counting(asked.append(threads)))
    monkeypatch.setattr("minivae.training.steps.can_fork", lambda: False)  # as in a notebook
    for library, expected in (("numpy", (0, 0)), ("onednn", (2 * 23, 2))):
        steps, run = contestants.minivae_steps(128, 2, 2, library)
        run()
        assert (2 in asked) == (library == "onednn")
        steps.close()
        assert (asked.count("product"), asked.count("update")) == expected
    assert products.in_use is before
