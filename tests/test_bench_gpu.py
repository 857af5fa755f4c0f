"""The GPU benchmark's own logic, on the host: its parts run, and a failure is told as one."""

import argparse
import json
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


@pytest.mark.slow
@needs_compiler
def test_it_runs_its_parts_on_the_host(tmp_path):
    out = tmp_path / "results.jsonl"
    command = [sys.executable, str(BENCH / "gpu.py"), "--host", "--only", "bits,kernels"]
    command += ["--out", str(out)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "ok      bits: two captured runs the same bits" in found.stdout
    _, bits, kernels = map(json.loads, out.read_text().splitlines())
    assert bits["check"] == "bits" and bits["ok"] and bits["after"] > 0
    assert kernels["kernels"][0][0] == "gather" and kernels["kernels"][-1][1] > 0


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

    assert gpu.verdict(rows(50, 300, 120))
    assert not gpu.verdict(rows(61, 300, 120))
    assert not gpu.verdict(rows(50, 300, 49))
    assert not gpu.verdict(rows(50, 49, 120))
    assert not gpu.verdict(rows(50, 300, 120, captured=False))
    assert not gpu.verdict([])
    assert gpu.verdict(rows(50, 300, 120)[:2])
    assert "jax, float32: not measured" in capsys.readouterr().out
    rounded = [
        {"who": "minivae captured tf32", "batch": 128, "step": 45, "captured": True},
        {"who": "jax scan tf32", "batch": 128, "step": 40},
    ]
    assert not gpu.verdict([*rows(50, 300, 120), *rounded])  # TF32 with TF32 ...
    rounded[0]["step"] = 39
    assert gpu.verdict([*rows(50, 300, 120), *rounded])  # ... and float32 with float32


def test_what_matters_most_comes_first(gpu):
    quick, whole = gpu.plan(True), gpu.plan(False)
    assert whole[: len(quick)] == quick and quick[:2] == [("bits",), ("times", "128", "captured")]
    assert {name for (name,) in (part for part in whole if len(part) == 1)} == {
        *gpu.CHECKS,
        "kernels",
    }
    assert len(set(whole)) == len(whole)
    timed = {how[1] for what, *how in whole if what == "peers"}
    assert {who.removesuffix(" tf32") for who in timed} == set(gpu.PEERS)
    assert {how[1] for what, *how in whole if what == "times"} == set(gpu.MODES)


def test_the_peers_are_timed_in_every_mode(gpu):
    import gpu_peers

    assert set(gpu_peers.MODES) == set(gpu.PEERS)
