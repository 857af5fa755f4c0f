"""The GPU benchmark's own logic, on the host: its parts run, and a failure is told as one."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest
from host_device import needs_compiler

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    import gpu

    return gpu


@needs_compiler
def test_it_runs_its_parts_on_the_host():
    command = [sys.executable, str(BENCH / "gpu.py"), "--host", "--only", "bits"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "ok      bits: two captured runs the same bits" in found.stdout


@pytest.mark.parametrize(
    "code, words",
    [
        ("import os; print('so far'); os.abort()", "so far"),
        ("raise SystemExit('no')", "status 1: no"),
        ("import time; print('begun', flush=True); time.sleep(60)", "stopped after 1 s"),
        ("print('{\"ok\": true}'); print('[1]')", "status 0"),
    ],
)
def test_a_part_that_fails_is_an_answer(gpu, monkeypatch, code, words):
    monkeypatch.setattr(gpu, "MINIMUM", 0.5)
    options = argparse.Namespace(host=True, device=0)
    assert words in gpu.Budget(100, options).run(["-c", code], 1)["error"]
    assert gpu.Budget(0.4, options).run(["-c", code], 60)["error"] == "no time left"


def test_the_verdict_needs_a_captured_step_faster_than_both(gpu, capsys):
    def rows(ours, torch, jax, captured=True):
        return [
            {"who": "minivae captured", "batch": 128, "step": ours, "captured": captured},
            {"who": "torch eager", "batch": 128, "step": torch},
            {"who": "jax scan", "batch": 128, "step": jax},
        ]

    assert gpu.verdict(rows(80, 300, 120))
    assert not gpu.verdict(rows(101, 300, 120))
    assert not gpu.verdict(rows(80, 300, 79))
    assert not gpu.verdict(rows(80, 79, 120))
    assert not gpu.verdict(rows(80, 300, 120, captured=False))
    assert not gpu.verdict([])
    assert gpu.verdict(rows(80, 300, 120)[:2]) and "jax: not measured" in capsys.readouterr().out
