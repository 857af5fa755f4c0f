"""Matrix products by oneDNN: used where they can be, exact to rounding, the same on resuming."""

import ctypes
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import runs
from click.testing import CliRunner

from minivae import formulas, products
from minivae.cli import main
from minivae.data import load_data
from minivae.errors import BackendError
from minivae.products import check, choose, using
from minivae.runs import checkpoint
from minivae.training import Training


def pretend(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    """Do what dnnl_sgemm promises, on the addresses it gets: rows of a first, no copies."""

    def matrix(address, lines, length):
        flat = np.frombuffer((ctypes.c_float * (lines * length)).from_address(address), "f4")
        return flat.reshape(lines, length)

    def operand(trans, address, rows, columns, leading):
        if trans == b"N":
            return matrix(address, rows, leading)[:, :columns]
        return matrix(address, columns, leading)[:, :rows].T

    out = matrix(c, m, ldc)[:, :n]
    out[...] = operand(transa, a, m, k, lda) @ operand(transb, b, k, n, ldb)


@pytest.fixture
def pretended(monkeypatch):
    """Count the products that a stand-in for oneDNN gets; what it may read lies in whole rows."""
    calls = []

    def sgemm(*arguments):
        calls.append(arguments)
        pretend(*arguments)

    monkeypatch.setattr(products, "LEAST", 0)
    monkeypatch.setattr(products, "_wide", lambda: True)
    monkeypatch.setattr(products, "onednn", lambda threads: sgemm)
    monkeypatch.setattr(products, "onednn_file", lambda: "libdnnl.so.3")
    return calls


def whole(shape, dtype="f4"):
    return np.random.default_rng(1).standard_normal(shape).astype(dtype)


FORMS = {
    "as they lie": (whole((5, 7)), whole((7, 4)), (5, 4)),
    "x W^T": (whole((5, 7)), whole((4, 7)).T, (5, 4)),
    "dy^T x": (whole((7, 5)).T, whole((7, 4)), (5, 4)),
    "one row": (whole((1, 7)), whole((7, 4)), (1, 4)),
    "one column": (whole((5, 1)), whole((1, 4)), (5, 4)),
    "columns of more": (whole((5, 20))[:, 3:10], whole((7, 9))[:, 2:6], (5, 4)),
    "columns of more, turned": (whole((7, 20))[:, 3:8].T, whole((4, 9))[:, :7].T, (5, 4)),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_step_pass_without_a_copy(pretended, form):
    a, b, shape = FORMS[form]
    out = np.full((shape[0], shape[1] + 2), 7, "f4")
    with using("onednn"):
        formulas.matmul(a, b, out[:, 1:-1])
    assert len(pretended) == 1
    np.testing.assert_allclose(out[:, 1:-1], a.astype("f8") @ b, rtol=1e-5, atol=1e-5)
    assert (out[:, [0, -1]] == 7).all()


@pytest.mark.parametrize(
    "a, b, out",
    [
        (whole((5, 7), "f8"), whole((7, 4), "f8"), np.empty((5, 4))),
        (whole(7), whole((7, 4)), np.empty(4, "f4")),
        (whole((5, 14))[:, ::2], whole((7, 4)), np.empty((5, 4), "f4")),
        (whole((5, 7))[::-1], whole((7, 4)), np.empty((5, 4), "f4")),
        (np.broadcast_to(whole(7), (5, 7)), whole((7, 4)), np.empty((5, 4), "f4")),
        (whole((5, 7)), whole((7, 4)), np.empty((4, 5), "f4").T),
        (whole((5, 0)), whole((0, 4)), np.empty((5, 4), "f4")),
    ],
    ids=["float64", "vector", "gaps", "reversed", "repeated", "turned result", "nothing"],
)
def test_what_onednn_cannot_take_is_numpys(pretended, a, b, out):
    with using("onednn"):
        formulas.matmul(a, b, out)
    assert not pretended
    np.testing.assert_allclose(out, a.astype("f8") @ b, rtol=1e-5, atol=1e-5)


def test_outside_the_block_products_are_numpys(pretended):
    a, b, shape = FORMS["as they lie"]
    with pytest.raises(RuntimeError), using("onednn"), using("numpy"):
        formulas.matmul(a, b, np.empty(shape, "f4"))
        raise RuntimeError
    formulas.matmul(a, b, np.empty(shape, "f4"))
    assert not pretended


@pytest.mark.parametrize("fault", ["one number off", "writes too far"])
def test_a_library_that_computes_wrong_products_is_not_used(fault):
    def sgemm(*arguments):
        pretend(*arguments)
        end = arguments[11] + 4 * arguments[3]  # of the first row of the result
        if fault == "one number off" and arguments[3] == 257:
            ctypes.c_float.from_address(end - 4).value += 1e-3
        if fault == "writes too far":
            ctypes.c_float.from_address(end).value = 0

    check(pretend)
    with pytest.raises(BackendError, match=r"wrong product.*--products numpy"):
        check(sgemm)


# --- which one a run takes ------------------------------------------------------------------------


def test_without_onednn_a_run_takes_numpys_and_says_what_to_install(monkeypatch):
    monkeypatch.setattr(products, "onednn_file", lambda: None)
    products.onednn.cache_clear()
    assert choose(None, 1, pytest.fail) == "numpy"
    with pytest.raises(BackendError, match=r"not installed.*minivae\[fast\].*--products numpy"):
        choose("onednn", 1, pytest.fail)
    with pytest.raises(BackendError, match="'mkl' are unknown: numpy, onednn"):
        choose("mkl", 1, pytest.fail)


def test_small_products_are_numpys(pretended, monkeypatch):
    a, b, shape = FORMS["as they lie"]
    for least, count in ((5 * 7 * 4, 1), (5 * 7 * 4 + 1, 0)):
        monkeypatch.setattr(products, "LEAST", least)
        pretended.clear()
        with using("onednn"):
            formulas.matmul(a, b, np.empty(shape, "f4"))
        assert len(pretended) == count


@pytest.mark.parametrize(
    "wide, threads, library",
    [(True, 1, "onednn"), (False, 1, "numpy"), (False, 2, "onednn")],
)
def test_the_default_is_the_quicker_one(pretended, monkeypatch, wide, threads, library):
    monkeypatch.setattr(products, "_wide", lambda: wide)
    assert choose(None, threads, pytest.fail) == library
    assert choose("numpy", threads, pytest.fail) == "numpy"
    assert choose("onednn", threads, pytest.fail) == "onednn"


def test_a_broken_library_is_one_line_and_numpys_products(tmp_path, monkeypatch):
    (tmp_path / products.FILE).write_text("not a library")
    monkeypatch.setattr(products, "onednn_file", lambda: str(tmp_path / products.FILE))
    products.onednn.cache_clear()
    lines = []
    assert choose(None, 2, lines.append) == "numpy"
    assert len(lines) == 1
    assert lines[0].endswith("this run takes NumPy's products")
    with pytest.raises(BackendError, match="cannot be loaded"):
        choose("onednn", 1, pytest.fail)


def test_a_run_remembers_its_library_and_repeats_it(tmp_path, pretended):
    data, files = runs.dataset(), {}
    for library in (None, "numpy"):
        before = len(pretended)
        training = Training(runs.training(data).vae, data, batch_size=16, products=library)
        list(training.run(1, threads=1))
        assert (len(pretended) > before) == (library is None)
        assert training.products == (library or "onednn")
        files[library] = tmp_path / f"{library}.npz"
        checkpoint.save(files[library], training.vae, training)
        before = len(pretended)
        again = checkpoint.resume(files[library], data)
        assert again.products == training.products
        list(again.run(2, threads=1))
        assert (len(pretended) > before) == (library is None)


def test_a_run_begun_with_onednn_does_not_go_on_without_a_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("d.npy", runs.images(64))
    do = CliRunner().invoke
    train = ["train", "--data", "d.npy", "--hidden", "8", "--latent", "2", "--out", "r"]
    assert do(main, [*train, "--epochs", "1", "--products", "numpy"]).exit_code == 0
    assert json.loads(do(main, ["info", "r", "--json"]).stdout)["products"] == "numpy"
    training = checkpoint.resume("r", load_data("d.npy"))
    training.products, training.computed = "onednn", f"{training.computed} with onednn"
    checkpoint.save("r/checkpoint.npz", training.vae, training)
    monkeypatch.setattr(products, "onednn_file", lambda: None)
    products.onednn.cache_clear()
    refused = do(main, ["train", "--resume", "--out", "r", "--epochs", "2"])
    assert refused.exit_code == 1
    assert "oneDNN is not installed" in refused.output
    assert checkpoint.read("r").config["training"]["epoch"] == 1
    goes_on = do(main, ["train", "--resume", "--out", "r", "--epochs", "2", "--products", "numpy"])
    assert goes_on.exit_code == 0
    assert " with onednn, and goes on with " in goes_on.output
    assert checkpoint.read("r").config["training"]["products"] == "numpy"


# --- oneDNN itself --------------------------------------------------------------------------------


@pytest.mark.skipif(products.onednn_file() is None, reason="minivae[fast] is not installed")
@pytest.mark.parametrize("threads", [1, 2])
def test_onednn_in_a_fresh_process(threads):
    """It passes its check, leaves the process its cores, and starts no thread for one thread."""
    code = f"""
import os
import numpy
cores, before = os.sched_getaffinity(0), len(os.listdir("/proc/self/task"))
from minivae import products
with products.using("onednn", {threads}):
    assert os.sched_getaffinity(0) == cores
    x = numpy.ones((1000, 1000), "f4")
    assert products.matmul(x, x, numpy.empty_like(x))
print(len(os.listdir("/proc/self/task")) - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == min(threads, len(os.sched_getaffinity(0))) - 1
