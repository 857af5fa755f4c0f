"""Training in a notebook, where other Python threads live: on one core, to that core's bits.

The example is executed in a real kernel where Jupyter's packages are installed. They are some
thirty, so CI does without them, and runs the same cells beside a thread that only waits.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "notebook.ipynb"
THREAD = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
# Says whether there are other threads, how many the products have while it trains, and the result.
LOOK = """
import hashlib, threading
from threadpoolctl import threadpool_info

blas = []
look = lambda training: blas.append(
    max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"))
fresh = minivae.VAE(784, hidden=(256, 128), latent=10)
minivae.train(fresh, data, 1, threads=THREADS, callbacks=[look], products="numpy").run()
print("LOOK", threading.active_count() > 1, blas, hashlib.sha256(fresh.theta).hexdigest())
"""


def cells():
    """Return the code of the example's cells."""
    found = json.loads(EXAMPLE.read_text())["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == "code"]


def run(code, folder):
    """Return what is said at the end of a program."""
    call = [sys.executable, "-c", code]
    done = subprocess.run(call, capture_output=True, text=True, timeout=120, cwd=folder)
    assert done.returncode == 0, done.stderr
    return looked(done.stdout)


def looked(text):
    line = next(line for line in text.splitlines() if line.startswith("LOOK"))
    return line.split()


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """The same training where there are no other threads, on one core."""
    return run(cells()[0] + LOOK.replace("THREADS", "1"), tmp_path_factory.mktemp("outside"))


def test_its_cells_run_beside_other_threads_to_the_same_bits(outside, tmp_path):
    assert outside[1:3] == ["False", "[1]"]
    beside = run("\n".join([THREAD, *cells(), LOOK.replace("THREADS", "None")]), tmp_path)
    assert beside[1:3] == ["True", "[1]"]
    assert beside[3] == outside[3]
    assert (tmp_path / "export" / "numpy_vae.py").exists()


def test_it_runs_in_a_kernel(outside, tmp_path):
    reason = "is not installed: pip install nbclient ipykernel"
    nbclient = pytest.importorskip("nbclient", reason=f"nbclient {reason}")
    pytest.importorskip("ipykernel", reason=f"ipykernel {reason}")
    import nbformat

    book = nbformat.read(EXAMPLE, as_version=4)
    nbformat.validate(book)
    assert not any(cell.get("outputs") for cell in book.cells)  # kept without
    book.cells.append(nbformat.v4.new_code_cell(LOOK.replace("THREADS", "2")))
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=120, resources=resources).execute()
    shown = [out for cell in book.cells for out in cell.get("outputs", [])]
    kinds = [kind for out in shown for kind in out.get("data", {})]
    assert kinds.count("image/png") == 3 and kinds.count("text/html") == 3
    said = "".join(out["text"] for out in shown if out["output_type"] == "stream")
    for line in ("goes on after epoch 2", "one of 2 cores is used"):
        assert said.count(line) == 1, line
    inside = looked(said)
    assert inside[1:] == ["True", *outside[2:]]
