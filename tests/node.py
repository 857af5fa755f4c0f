"""Our scripts run by Node.js, without a browser; a test without it is skipped and says why."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from minivae.looking.pages import asset

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="no Node.js on this machine")
TWIN = ("formulas", "random", "vae")


def run(code, *more, package="minivae.looking.explore", names=TWIN, **values):
    """Return what `code` returns after those scripts, with `values` as its constants."""
    scripts = [asset(package, f"{name}.js") for name in names]
    scripts += [asset(*each) for each in more]
    given = "\n".join(f"const {name} = {json.dumps(value)};" for name, value in values.items())
    whole = "\n".join(scripts)
    answer = f"process.stdout.write(JSON.stringify((() => {{ {code} }})()));"
    program = f'"use strict";\n{whole}\n{given}\n{answer}'
    done = subprocess.run([NODE, "-"], input=program, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)
