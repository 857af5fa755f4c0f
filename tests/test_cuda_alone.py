"""Only backend.py and cuda/ import CuPy, and whoever does not ask for it never loads it."""

import ast
import subprocess
import sys
from pathlib import Path

import minivae

PACKAGE = Path(minivae.__file__).parent
ALLOWED = {PACKAGE / "backend.py", *(PACKAGE / "cuda").glob("*.py")}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_nobody_else_imports_cupy_or_the_cuda_code():
    files = set(PACKAGE.rglob("*.py"))
    assert len(files) > 20 and ALLOWED < files
    for path in files - ALLOWED:
        for name in imported(path):
            assert name.split(".")[0] not in ("cupy", "cupyx", "cupy_backends"), path
            assert not name.startswith("minivae.cuda"), path
        names = {n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name)}
        assert "cupy" not in names or path.name == "use.py", path  # use.py: a name for facts


def test_the_cuda_code_stands_above_the_rest():
    for path in (PACKAGE / "cuda").glob("*.py"):
        ours = {n for n in imported(path) if n.startswith("minivae")}
        assert all(
            n.startswith("minivae.cuda") or n in ("minivae", "minivae.errors") for n in ours
        ), path


def test_training_with_numpy_loads_no_cupy():
    code = (
        "import sys, numpy as np; from minivae import VAE; from minivae.backend import get_backend;"
        "vae = VAE(8, (4,), 2, backend='numpy'); vae.step(np.zeros((3, 8)), np.zeros((3, 2)));"
        "import minivae.training, minivae.cli;"
        "print([n for n in sys.modules if 'cupy' in n or n.startswith('minivae.cuda')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
