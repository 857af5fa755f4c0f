"""The public names: what dir() lists, and the reference that is made of their docstrings."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import minivae

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_dir_lists_public_names_alone():
    code = "import minivae; minivae.VAE; print(*dir(minivae))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == sorted(["__version__", *minivae.__all__])
    for name in minivae.__all__:
        assert getattr(minivae, name).__doc__, name


def test_the_reference_is_up_to_date():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: its wing is in the page")
    spec = importlib.util.spec_from_file_location("make_api", EXAMPLES / "make_api.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    page = make.page()
    for name in minivae.__all__:
        assert f"### `minivae.{name}`" in page
    assert page == (EXAMPLES / "API.md").read_text("utf-8"), "run: python examples/make_api.py"
