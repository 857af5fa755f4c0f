"""The benchmarks run: with as little work as they can do, nothing about their times."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
