"""Matrix products and Adam by oneDNN: used where they can be, right, repeated on resuming."""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import runs
from click.testing import CliRunner

from minivae import VAE, formulas, onednn, products
from minivae.cli import main
from minivae.data import load_data
from minivae.errors import BackendError
from minivae.onednn import OneDNN, check
from minivae.optim import Adam
from minivae.products import choose, using
from minivae.runs import checkpoint
from minivae.training import Training

installed = pytest.mark.skipif(onednn.file() is None, reason="minivae[fast] is not installed")


class StandIn:
    """What oneDNN promises, by NumPy in float64; it counts what it is asked for."""

    FEW_ROWS = 0

    def __init__(self, threads=1):
        self.products = self.updates = 0

    def hold(self):
        pass

    def matmul(self, a, b, out):
        self.products += 1
        return self.multiply(a, b, out)

    def multiply(self, a, b, out):
        out[...] = a.astype("f8") @ b.astype("f8")
        return True

    def adam(self, theta, grad, m, v, beta1, beta2, rate, floor):
        self.updates += 1
        m[...] = beta1 * m.astype("f8") + grad
        v[...] = beta2 * v.astype("f8") + grad.astype("f8") ** 2
        theta -= rate * m / (np.sqrt(v) + floor)


@pytest.fixture
def pretended(monkeypatch):
    """Let a stand-in for oneDNN be found, and return it."""
    stand_in = StandIn()
    monkeypatch.setattr(products, "_wide", lambda: True)
    monkeypatch.setattr(onednn, "library", lambda threads: stand_in)
    monkeypatch.setattr(onednn, "file", lambda: "libdnnl.so.3")
    return stand_in


@pytest.mark.parametrize("fault", ["one number off", "writes too far", "moments", "update"])
def test_a_library_that_computes_wrong_numbers_is_not_used(fault):
    class Wrong(StandIn):
        def multiply(self, a, b, out):
            super().multiply(a, b, out)
            if fault == "one number off" and out.shape[1] == 257:
                out[-1, -1] += 1e-3
            if fault == "writes too far":
                out.base[0, -1] = 0

        def adam(self, theta, grad, m, v, *constants):
            super().adam(theta, grad, m, v, *constants)
            if fault == "moments" and len(v) == 5000:
                v[-1] += 1e-4
            if fault == "update":
                theta[0] += 1e-5

    check(StandIn())
    about = "update" if fault in ("moments", "update") else "product"
    with pytest.raises(BackendError, match=rf"wrong {about}.*--products numpy"):
        check(Wrong())


# --- which one a run takes ------------------------------------------------------------------------


def test_without_onednn_a_run_takes_numpys_and_says_what_to_install(monkeypatch):
    monkeypatch.setattr(onednn, "file", lambda: None)
    onednn.library.cache_clear()
    assert choose(None, 1, pytest.fail) == "numpy"
    with pytest.raises(BackendError, match=r"not installed.*minivae\[fast\].*--products numpy"):
        choose("onednn", 1, pytest.fail)
    with pytest.raises(BackendError, match="'mkl' are unknown: numpy, onednn"):
        choose("mkl", 1, pytest.fail)


def test_outside_the_block_products_are_numpys(pretended):
    a, out = np.ones((5, 5), "f4"), np.empty((5, 5), "f4")
    with pytest.raises(RuntimeError), using("onednn"), using("numpy"):
        formulas.matmul(a, a, out)
        raise RuntimeError
    formulas.matmul(a, a, out)
    assert not pretended.products


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
    (tmp_path / onednn.FILE).write_text("not a library")
    monkeypatch.setattr(onednn, "file", lambda: str(tmp_path / onednn.FILE))
    onednn.library.cache_clear()
    lines = []
    assert choose(None, 2, lines.append) == "numpy"
    assert len(lines) == 1
    assert lines[0].endswith("this run takes NumPy's products")
    with pytest.raises(BackendError, match="cannot be loaded"):
        choose("onednn", 1, pytest.fail)


def test_a_run_remembers_its_library_and_repeats_it(tmp_path, pretended):
    data, files = runs.dataset(), {}
    for library in (None, "numpy"):
        before = pretended.products, pretended.updates
        training = Training(runs.training(data).vae, data, batch_size=16, products=library)
        list(training.run(1, threads=1))
        after = pretended.products, pretended.updates
        assert [a > b for a, b in zip(after, before, strict=True)] == [library is None] * 2
        assert training.products == (library or "onednn")
        files[library] = tmp_path / f"{library}.npz"
        checkpoint.save(files[library], training.vae, training)
        before = pretended.products
        again = checkpoint.resume(files[library], data)
        assert again.products == training.products
        list(again.run(2, threads=1))
        assert (pretended.products > before) == (library is None)


def test_a_run_that_goes_on_with_another_version_is_told(tmp_path, pretended, monkeypatch):
    data, lines = runs.dataset(), []
    monkeypatch.setattr(onednn, "version", lambda: "onednn-cpu-gomp 2023.2.0")
    training = Training(runs.training(data).vae, data, batch_size=16)
    list(training.run(1, threads=1))
    checkpoint.save(tmp_path / "run.npz", training.vae, training)
    for version, said in (("2023.2.0", 0), ("2024.0.0", 1)):
        monkeypatch.setattr(onednn, "version", lambda version=version: f"onednn-cpu-gomp {version}")
        again = checkpoint.resume(tmp_path / "run.npz", data)
        again.notice = lines.append
        list(again.run(2, threads=1))
        assert len(lines) == said
    assert "2023.2.0, and goes on with" in lines[0]
    assert lines[0].endswith("2024.0.0: equal up to rounding, not to the bit")


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
    monkeypatch.setattr(onednn, "file", lambda: None)
    onednn.library.cache_clear()
    refused = do(main, ["train", "--resume", "--out", "r", "--epochs", "2"])
    assert refused.exit_code == 1
    assert "oneDNN is not installed" in refused.output
    assert checkpoint.read("r").config["training"]["epoch"] == 1
    goes_on = do(main, ["train", "--resume", "--out", "r", "--epochs", "2", "--products", "numpy"])
    assert goes_on.exit_code == 0
    assert " with onednn, and goes on with " in goes_on.output
    assert checkpoint.read("r").config["training"]["products"] == "numpy"


# --- oneDNN itself --------------------------------------------------------------------------------


def whole(shape, dtype="f4"):
    return np.random.default_rng(1).standard_normal(shape).astype(dtype)


def assert_product(out, a, b):
    """Hold a product to what the roundings of its sums can come to; short ones to 1e-5 too."""
    a, b = a.astype("f8"), b.astype("f8")
    most = (len(b) + 1) * 2.0**-24 * (np.abs(a) @ np.abs(b))
    if len(b) <= 7:
        most = np.minimum(most, 1e-5 + 1e-5 * np.abs(a @ b))
    assert (np.abs(out - a @ b) <= most).all()


FORMS = {
    "as they lie": (whole((5, 7)), whole((7, 4)), (5, 4)),
    "x W^T": (whole((5, 7)), whole((4, 7)).T, (5, 4)),
    "dy^T x": (whole((7, 5)).T, whole((7, 4)), (5, 4)),
    "one row": (whole((1, 7)), whole((7, 4)), (1, 4)),
    "one column": (whole((5, 1)), whole((1, 4)), (5, 4)),
    "columns of more": (whole((5, 20))[:, 3:10], whole((7, 9))[:, 2:6], (5, 4)),
    "columns of more, turned": (whole((7, 20))[:, 3:8].T, whole((4, 9))[:, :7].T, (5, 4)),
    "large": (whole((33, 784)), whole((256, 784)).T, (33, 256)),
}


@installed
@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_step_pass_without_a_copy(form):
    a, b, shape = FORMS[form]
    for _ in range(2):  # made, and used again
        out = np.full((shape[0], shape[1] + 2), 7, "f4")
        assert onednn.library().multiply(a, b, out[:, 1:-1])
        assert_product(out[:, 1:-1], a, b)
        assert (out[:, [0, -1]] == 7).all()


@installed
@pytest.mark.parametrize(
    "a, b, out",
    [
        (whole((500, 70), "f8"), whole((70, 40), "f8"), np.empty((500, 40))),
        (whole((500, 70)).astype("i4"), whole((70, 40)).astype("i4"), np.empty((500, 40), "i4")),
        (whole(7), whole((7, 400000)), np.empty(400000, "f4")),
        (whole((500, 140))[:, ::2], whole((70, 40)), np.empty((500, 40), "f4")),
        (whole((500, 70))[::-1], whole((70, 40)), np.empty((500, 40), "f4")),
        (np.broadcast_to(whole(70), (500, 70)), whole((70, 40)), np.empty((500, 40), "f4")),
        (whole((500, 70)), whole((70, 40)), np.empty((40, 500), "f4").T),
        (whole((5, 0)), whole((0, 4)), np.empty((5, 4), "f4")),
        (whole((5, 7)), whole((7, 4)), np.empty((5, 4), "f4")),
    ],
    ids=[
        "float64",
        "whole numbers",
        "vector",
        "gaps",
        "reversed",
        "repeated",
        "turned result",
        "nothing",
        "small",
    ],
)
def test_what_onednn_does_not_take_is_numpys(a, b, out):
    assert not onednn.library().matmul(a, b, out)
    with using("onednn"):
        formulas.matmul(a, b, out)
    np.testing.assert_allclose(out, a.astype("f8") @ b, rtol=1e-5, atol=1e-5)


@installed
def test_small_products_are_numpys(monkeypatch):
    a, b, shape = FORMS["as they lie"]
    for least, taken in ((5 * 7 * 4, True), (5 * 7 * 4 + 1, False)):
        monkeypatch.setattr(OneDNN, "LEAST", least)
        assert onednn.library().matmul(a, b, np.empty(shape, "f4")) == taken


@installed
@pytest.mark.parametrize("rows", [1, 2, OneDNN.FEW_ROWS, OneDNN.FEW_ROWS + 1])
def test_few_rows_are_turned_around(monkeypatch, rows):
    x, w = whole((rows, 300)), whole((256, 300))
    room, asked = np.full((rows, 260), 7, "f4"), []
    original = OneDNN.matmul
    monkeypatch.setattr(OneDNN, "LEAST", 0)
    monkeypatch.setattr(
        OneDNN, "matmul", lambda self, a, b, out: asked.append(len(a)) or original(self, a, b, out)
    )
    with using("onednn"):
        formulas.matmul(x, w.T, room[:, 2:-2])
    assert_product(room[:, 2:-2], x, w.T)
    assert (room[:, [0, 1, -2, -1]] == 7).all()
    assert asked == [256 if 1 < rows <= OneDNN.FEW_ROWS else rows]


@installed
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_is_the_papers(decay):
    """Five steps beside algorithm 1 of the paper (AdamW's with decay), in float64."""
    vae = VAE(30, (8,), 3, seed=1)
    adam = Adam(vae.parameters, vae.backend, 0.01, 0.8, 0.95, 1e-3, decay)
    rng = np.random.default_rng(0)
    theta, m, v = vae.theta.astype("f8"), 0.0, 0.0
    part = slice(5, vae.theta.size - 3)
    rest = np.r_[0 : part.start, part.stop : vae.theta.size]
    begun = vae.theta[rest].copy()
    for t in range(1, 6):
        g = rng.standard_normal(theta.size).astype("f4")
        vae.grad[...] = g
        with using("onednn"):
            adam.advance()
            adam.update(part)
        m, v = 0.8 * m + 0.2 * g.astype("f8"), 0.95 * v + 0.05 * g.astype("f8") ** 2
        theta *= 1 - 0.01 * decay
        theta -= 0.01 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-3)
    np.testing.assert_allclose(vae.theta[part], theta[part], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(vae.theta[rest], begun)
    assert not adam.m[rest].any()


@installed
def test_adam_of_float64_is_numpys():
    vae = VAE(30, (8,), 3, dtype="float64")
    adam = Adam(vae.parameters, vae.backend, decay=0.5)
    vae.theta[...], vae.grad[...] = 1, 2
    with using("onednn"):
        adam.step()
    np.testing.assert_allclose(vae.theta, 1 - 0.5e-3 - 1e-3, rtol=1e-8)


def test_arrays_of_another_library_are_left_to_their_own(pretended):
    """A model on a GPU, while a library for the CPU is in use."""

    class Device:
        dtype = np.dtype("f4")

    vae = VAE(4, (3,), 2)
    adam = Adam(vae.parameters, vae.backend)
    with using("onednn"):
        assert adam._library is pretended
        adam.theta = Device()
        assert adam._library is None


@installed
def test_a_process_without_a_part_updates_nothing():
    vae = VAE(4, (3,), 2)
    adam = Adam(vae.parameters, vae.backend)
    vae.grad[...] = 1
    before = vae.theta.copy()
    with using("onednn"):
        adam.advance()
        adam.update(slice(5, 5))
    np.testing.assert_array_equal(vae.theta, before)


@installed
def test_what_is_prepared_for_an_address_is_right_for_whoever_lies_there_next():
    """Thousands of arrays in turn, more than are remembered, some where others were freed."""
    library, rng = onednn.library(), np.random.default_rng(2)
    kept = []
    for n in range(1500):
        a, b = rng.integers(-9, 10, (6 + n % 7, 20)), rng.integers(-9, 10, (20, 5))
        out = np.full((len(a), 5), np.nan, "f4")
        assert library.multiply(a.astype("f4"), b.astype("f4"), out)
        np.testing.assert_array_equal(out, np.einsum("ij,jk->ik", a, b))
        kept.append(out)


@installed
def test_threads_of_python_do_not_share_what_they_compute_in():
    a, b = whole((7, 400, 64)), whole((64, 300))
    right, wrong = [each.astype("f8") @ b for each in a], []

    def multiply(k):
        out = np.empty((400, 300), "f4")
        for _ in range(200):
            out[...] = 0
            onednn.library().multiply(a[k], b, out)
            if not np.allclose(out, right[k], atol=1e-3):
                wrong.append(k)

    workers = [threading.Thread(target=multiply, args=(k,)) for k in range(7)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@installed
@pytest.mark.parametrize("threads", [1, 2])
def test_onednn_in_a_fresh_process(threads):
    """It passes its check, leaves the environment as it was, and starts no thread for one."""
    code = f"""
import os
import numpy
cores, before = os.sched_getaffinity(0), len(os.listdir("/proc/self/task"))
variables = dict(os.environ)
from minivae import products
with products.using("onednn", {threads}):
    x = numpy.ones((1000, 1000), "f4")
    assert products.in_use.matmul(x, x, numpy.empty_like(x))
    assert os.sched_getaffinity(0) == cores
assert dict(os.environ) == variables
print(len(os.listdir("/proc/self/task")) - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == threads - 1


@installed
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_copy_of_a_process_that_had_threads_computes_with_one():
    """Two threads, as in a notebook; then processes that share a step have none of them."""
    code = """
import os
import numpy
from minivae import products
x, y = numpy.ones((1000, 1000), "f4"), numpy.empty((1000, 1000), "f4")
for threads in (2, 1):
    with products.using("onednn", threads):
        assert products.in_use.matmul(x, x, y)
        if threads == 1 and os.fork() == 0:
            y[...] = 0
            assert products.in_use.matmul(x, x, y)
            os._exit(int(not (y == 1000).all()))
print(os.wait()[1])
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
