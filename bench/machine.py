"""The machine a benchmark runs on: its description, and the environment a measurement needs.

What is measured is left to the scripts beside it, which all import this before NumPy.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version

# Some environments pin OpenBLAS to older kernels or another cache size; users' machines do not.
# Nor do they read all of Python's files anew in every process.
PINS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONDONTWRITEBYTECODE")


def unpin() -> None:
    """Start this script again without the variables that a user's machine lacks, if any is set."""
    if any(name in os.environ for name in PINS):
        env = {name: value for name, value in os.environ.items() if name not in PINS}
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.argv], env)


def cores() -> list[int]:
    """Return the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def describe(*packages: str) -> str:
    """Return one line: processor, cores, Python, and the versions of the packages installed."""
    parts = [f"{_processor()}, {len(cores())} cores", f"Python {sys.version.split()[0]}"]
    for package in packages:
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            parts.append(f"no {package}")
    return "; ".join(parts)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            fields = dict(
                (part.strip() for part in line.split(":", 1)) for line in file if ":" in line
            )
        wide = "AVX-512" if "avx512f" in fields.get("flags", "") else "no AVX-512"
        return f"{fields['model name']} family {fields['cpu family']} ({wide})"
    except (OSError, KeyError):
        return "unknown processor"
