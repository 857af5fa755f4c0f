"""Whole epochs through the CuPy backend in host memory, against the NumPy backend.

The arrays are CuPy's own where CuPy is installed, NumPy's otherwise; the kernels are those of
kernels.cu, compiled by g++; a captured graph is a list of launches.
"""

import numpy as np
import pytest
from host_device import KINDS, HostGraph, device_of, view
from hypothesis import given, settings
from hypothesis import strategies as st

import minivae.training.device_steps
from minivae.backend import CupyBackend, NumpyBackend
from minivae.data import Dataset, load_data
from minivae.data.pixels import RowSubset, Source
from minivae.errors import BackendError, NotFiniteError
from minivae.noise import RowNoise, permutation
from minivae.optim import Adam
from minivae.training import Training, fused_step
from minivae.training.evaluation import evaluate
from minivae.training.fused_step import FusedStep, images_a_block
from minivae.training.steps import open_steps
from minivae.vae import VAE

D, N, B = 35, 75, 16  # five batches, the last of 11


def images(dtype="uint8"):
    pixels = np.random.default_rng(5).integers(0, 256, (N, D), dtype=np.uint8)
    return pixels if dtype == "uint8" else (pixels / np.float32(255)).astype(dtype)


def cupy_backend(kind="numpy", capture=True):
    notices = []
    backend = CupyBackend(device_of(kind), capture=capture, notice=notices.append)
    backend.notices = notices
    return backend


def make(backend, rows, binarize="none", dtype="float32", beta=1.0):
    vae = VAE(D, (24, 9), 3, beta=beta, seed=3, dtype=dtype, backend=backend)
    adam = Adam(vae.parameters, backend, 1e-3)
    return vae, adam, open_steps(vae, adam, Source(rows, binarize), B, 1)


def take_the_general_way(monkeypatch):
    monkeypatch.setattr(fused_step, "LIKELIHOODS", ())


def streams(epoch, images=N):
    return (
        permutation(0, "order", epoch, images),
        RowNoise(0, "eps", epoch),
        RowNoise(0, "binarize", epoch),
    )


def run_epochs(steps, epochs=2, first=0, totals=(0.0, 0.0)):
    sums = []
    for epoch in range(epochs):
        steps.begin(*streams(epoch), first, totals)
        for i in range(first, -(-N // B)):
            steps.step(i)
        sums.append(steps.totals())
        first, totals = 0, (0.0, 0.0)
    return np.array(sums)


def state(vae, adam):
    return [np.array(view(a)) for a in (vae.theta, vae.grad, adam.m, adam.v)]


def same_bits(some, others):
    return all(a.tobytes() == b.tobytes() for a, b in zip(some, others, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "resident, rows, binarize",
    [
        *((True, rows, "none") for rows in ("uint8", "float16", "float32")),
        *(
            (resident, "uint8", how)
            for resident in (True, False)
            for how in ("threshold", "sampled")
        ),
        *((False, rows, "sampled") for rows in ("float16", "float32", "float64")),
    ],
)
def test_epochs_equal_those_of_numpy(monkeypatch, kind, binarize, rows, resident):
    if not resident:  # blocks of two steps
        monkeypatch.setattr(minivae.training.device_steps, "BLOCK_STEPS", 2)
    general = rows in ("float16", "float64")
    if general:
        take_the_general_way(monkeypatch)
    rows = images(rows)
    vae, adam, steps = make(NumpyBackend(), rows, binarize, "float64")
    want = run_epochs(steps)
    steps.close()
    backend = cupy_backend(kind)
    if not resident:
        monkeypatch.setattr(backend.device, "free_memory", lambda: 0)
    ours, our_adam, steps = make(backend, rows, binarize, "float64")
    got = run_epochs(steps)
    assert steps.resident == resident and steps.captured and not backend.notices
    assert (steps._fused is None) == general
    # float64 throughout: the orders of summation differ, and Adam divides small by small
    np.testing.assert_allclose(got, want, rtol=1e-12)
    for a, b in zip(state(ours, our_adam), state(vae, adam), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-11)
    assert our_adam.steps == adam.steps == 10
    steps.close()


@pytest.mark.parametrize("kind", KINDS)
def test_float32_stays_near_numpy(kind):
    vae, _, steps = make(NumpyBackend(), images())
    want = run_epochs(steps, 3)
    steps.close()
    ours, _, steps = make(cupy_backend(kind), images())
    np.testing.assert_allclose(run_epochs(steps, 3), want, rtol=2e-5)  # 15 steps of rounding
    assert np.abs(view(ours.theta) - vae.theta).max() < 1e-3 / 2  # half of one step of Adam


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("general", [False, True])
def test_captured_and_launched_steps_give_the_same_bits(monkeypatch, kind, general):
    if general:
        take_the_general_way(monkeypatch)
    results = []
    for capture in (True, False):
        vae, adam, steps = make(cupy_backend(kind, capture), images())
        sums = run_epochs(steps)
        assert steps.captured == capture
        results.append([sums, *state(vae, adam)])
    assert same_bits(*results)


def test_an_epoch_reads_nothing_back_and_allocates_nothing():
    backend = cupy_backend()
    _, _, steps = make(backend, images())
    device, counts = backend.device, []
    empty = device.empty
    device.empty = lambda *a: counts.append("allocation") or empty(*a)
    for epoch in range(3):
        steps.begin(*streams(epoch))
        device.downloads, before = 0, len(counts)
        for i in range(5):
            assert steps.step(i) is None
        assert device.downloads == 0
        assert len(counts) - before <= 2  # the last batch's two losses: it is not captured
        steps.totals()


SEVEN = ["gather", "product_2", "middle_forward_2", "bernoulli_product_2", "product_2"]
SEVEN += ["middle_backward_2", "gradients_2"]
NINE = ["gather", "cublaslt", "middle_forward_2", "cublaslt", "bernoulli_nll", "cublaslt"]
NINE += ["relu_backward", *SEVEN[-2:]]  # in TF32


def test_a_captured_step_is_seven_launches():
    backend = cupy_backend()
    _, _, steps = make(backend, images())
    steps.begin(*streams(0))
    steps.step(0)
    launches = backend.device.launches
    launches.clear()
    steps.step(1)
    assert launches == SEVEN


def test_which_models_are_taken_in_seven_launches():
    backend = cupy_backend()
    adam = Adam(VAE(backend=backend).parameters, backend)
    for arguments, batch, fits in [
        ({}, 128, True),
        ({}, 100_000, True),
        ({"hidden": (512,)}, 1024, True),
        ({"hidden": (512,)}, 1025, False),  # four images a block
        ({"hidden": (300, 200, 100, 1024)}, 128, True),
        ({"hidden": (300, 1025)}, 128, False),
        ({"hidden": ()}, 128, False),
        ({"activation": "tanh"}, 128, False),
        ({"latent": 513}, 128, False),
    ]:
        model = VAE(backend=backend, **arguments)
        assert FusedStep.fits(model, adam, batch) == fits, arguments
    for batch, widest, rows in [
        (1, 1024, 2), (256, 256, 2), (257, 256, 4), (513, 256, 8), (9999, 256, 8), (513, 257, 4),
        (513, 512, 4), (513, 513, 2), (1, 1025, 0),
    ]:  # fmt: skip
        assert images_a_block(batch, widest) == rows
    where = np.empty((128, 784), np.float32), np.empty((128, 20), np.float32), None, None
    step = FusedStep(VAE(backend=backend), adam, *where)
    assert (step.side, step.blocks) == (4, 124)
    assert FusedStep(VAE(hidden=(64,), backend=backend), adam, *where).side == 2


WIDTHS = st.sampled_from([1, 2, 31, 32, 33, 64, 65, 129, 257])


@pytest.mark.parametrize("kind", ["numpy", pytest.param("gpu", marks=pytest.mark.gpu)])
@settings(max_examples=10, deadline=None)
@given(
    st.sampled_from([1, 2, 31, 33, 65, 129]),
    st.lists(WIDTHS, min_size=1, max_size=3),
    st.sampled_from([1, 2, 16, 20, 33]),
    st.sampled_from([1, 2, 3, 16, 33]),
    st.sampled_from([2, 4]),
    st.sampled_from([2, 4, 8]),
    st.booleans(),
    st.sampled_from([0, 1, 2]),
)
def test_seven_launches_are_the_step_of_numpy(kind, D, hidden, Z, B, side, rows, grouped, turn):
    """Shapes around the borders of tiles, warps and blocks; the last batch is one image less."""
    data = np.random.default_rng(D).uniform(size=(2 * B - 1, D))
    if max(*hidden, 2 * Z) > 2048 // rows:
        rows = 2
    results = []
    for backend in (NumpyBackend(), cupy_backend(kind)):
        vae = VAE(D, hidden, Z, beta=0.7, seed=1, dtype="float64", backend=backend)
        adam = Adam(vae.parameters, backend, 1e-3)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fused_step, "BUSY", 0 if side == 4 else 10**9)
            patch.setattr(fused_step, "images_a_block", lambda *sizes: rows)
            patch.setattr(fused_step, "GROUPED", 1000 if grouped else 0)
            steps = open_steps(vae, adam, Source(data, "none"), B, 1)
            if kind != "gpu" and backend.name == "cupy":
                backend.device.turn = turn
            steps.begin(*streams(0, len(data)))
            gradients = []
            for i in range(2 if B > 1 else 1):
                steps.step(i)
                gradients.append(np.array(view(vae.grad)))
        results.append((np.array(steps.totals()), *gradients, np.array(view(vae.theta))))
    assert steps._fused is not None and steps.captured and steps._fused.side == side
    for want, got in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


def test_the_order_of_threads_does_not_matter_to_seven_launches():
    results = []
    for turn in (0, 1, 2):
        backend = cupy_backend()
        backend.device.turn = turn
        vae, adam, steps = make(backend, images())
        results.append([run_epochs(steps, 1), *state(vae, adam)])
    assert same_bits(results[0], results[1]) and same_bits(results[0], results[2])


def test_a_captured_step_of_any_model_needs_few_launches(monkeypatch):
    take_the_general_way(monkeypatch)
    backend = cupy_backend()
    _, _, steps = make(backend, images())
    steps.begin(*streams(0))
    steps.step(0)
    launches = backend.device.launches
    launches.clear()
    steps.step(1)
    # 6 layers: product, gradient's product and sums; 5 products back; reparameterization twice, two
    # losses, gather, finish, Adam. The 4 ReLUs are fused with the product before, forth and back.
    assert len(launches) == 6 * 3 + 5 + 2 + 2 + 3 and "relu" not in launches
    assert launches.count("adam") == launches.count("gather") == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "likelihood", ["continuous-bernoulli", "gaussian", "gaussian-fixed:0.1", "gaussian-optimal"]
)
def test_other_likelihoods(kind, likelihood):
    if likelihood == "gaussian-optimal":
        with pytest.raises(BackendError, match=r"no CUDA form yet.*--backend numpy"):
            VAE(D, (24, 9), 3, backend=cupy_backend(kind), likelihood=likelihood)
        return
    results = []
    for backend in (NumpyBackend(), cupy_backend(kind)):
        vae = VAE(D, (24, 9), 3, seed=3, dtype="float64", backend=backend, likelihood=likelihood)
        adam = Adam(vae.parameters, backend, 1e-3)
        steps = open_steps(vae, adam, Source(images(), "none"), B, 1)
        results.append([run_epochs(steps), evaluate(vae, images()), *state(vae, adam)])
        results[-1].append(vae.reconstruct(images()))
        steps.close()
    assert not getattr(backend, "notices", [])
    assert (steps._fused is not None) == (likelihood == "continuous-bernoulli")
    for want, got in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("kind", ["numpy", pytest.param("gpu", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("general", [False, True])
def test_an_epoch_in_tf32(monkeypatch, kind, general):
    """Near float32's, captured, and biases and ReLU are no launches of their own."""
    if general:
        take_the_general_way(monkeypatch)
    rows, losses = images()[:, :32], []
    for precision in ("float32", "tf32"):
        backend = CupyBackend(device_of(kind), precision, notice=pytest.fail)
        vae = VAE(32, (24, 8), 4, seed=3, backend=backend)
        steps = open_steps(vae, Adam(vae.parameters, backend, 1e-3), Source(rows, "none"), B, 1)
        losses.append(run_epochs(steps))
        assert steps.captured and (steps._fused is None) == general
    # 8 bits fewer in each factor, in sums of 32 pixels
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-3)
    assert not np.array_equal(losses[1], losses[0])
    if kind == "numpy":
        launches = [launch[0] for launch in steps._graph.recording]
        if general:
            assert launches.count("cublaslt") == 17 and not {"add_bias", "relu"} & set(launches)
        else:
            assert launches == NINE


def test_gradients_begin_as_soon_as_they_can(monkeypatch):
    take_the_general_way(monkeypatch)
    backend = cupy_backend()
    _, _, steps = make(backend, images())
    fork, before = backend.device.fork, []

    def forked(function):
        if backend.device._recording is not None:
            before.append([launch[0] for launch in backend.device._recording])
        fork(function)

    monkeypatch.setattr(backend.device, "fork", forked)
    steps.begin(*streams(0))
    ways_back = [names[names.index("gaussian_kl") + 1 :] for names in before]
    assert [names.count("product_2") for names in ways_back] == [0, 1, 2, 3, 4, 5, 5]


def test_a_graph_keeps_all_that_it_touches():
    backend = cupy_backend()
    vae, adam, steps = make(backend, images())
    plain, plain_adam, plain_steps = make(cupy_backend(capture=False), images())
    steps.begin(*streams(0))
    plain_steps.begin(*streams(0))
    graph = steps._graph
    held = {a.ctypes.data for a in graph.held}
    for kernel, _, _, packed, _ in graph.recording:
        for letter, value in packed:
            assert letter in "ID0" or value.value in held, kernel
    for i in range(5):
        if i == 2:  # a larger batch: layers and model get larger buffers
            for model in (vae, plain):
                model.encode(np.zeros((N, D), np.float32))
                model.step(np.zeros((N, D), np.float32), np.zeros((N, 3), np.float32))
        steps.step(i)
        plain_steps.step(i)
    assert steps.totals() == plain_steps.totals()
    assert same_bits(state(vae, adam), state(plain, plain_adam))


@pytest.mark.parametrize("kind", ["numpy", pytest.param("gpu", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("first", [1, 3, 4])
@pytest.mark.parametrize("binarize", ["none", "sampled"])
def test_an_epoch_goes_on_where_it_stopped(monkeypatch, kind, first, binarize):
    monkeypatch.setattr(minivae.training.device_steps, "BLOCK_STEPS", 2)
    vae, adam, steps = make(cupy_backend(kind), images(), binarize)
    sums = run_epochs(steps)

    again, again_adam, steps = make(cupy_backend(kind), images(), binarize)
    steps.begin(*streams(0))
    for i in range(first):
        steps.step(i)
    totals = steps.totals()
    steps.close()
    rest = open_steps(again, again_adam, Source(images(), binarize), B, 1)
    resumed = run_epochs(rest, first=first, totals=totals)
    assert same_bits([sums, *state(vae, adam)], [resumed, *state(again, again_adam)])


def test_settings_may_change_between_steps():
    results = []
    for backend in (NumpyBackend(), cupy_backend(), cupy_backend(capture=False)):
        vae, adam, steps = make(backend, images(), dtype="float64")
        steps.begin(*streams(0))
        for i in range(5):
            vae.beta, adam.lr = i / 4, 1e-3 * (i + 1)
            adam.beta1, adam.beta2, adam.eps = 0.9 - i / 50, 0.999 - i / 5000, 1e-8 * (i + 1)
            steps.step(i)
        results.append([np.array(steps.totals()), *state(vae, adam)])
        assert vae.beta == 1.0 and type(vae.beta) is float
        steps.close()
    assert same_bits(results[1], results[2])
    for a, b in zip(results[0], results[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("fault", ["raises", "forgets the step", "skips a launch", "skips another"])
def test_a_graph_that_fails_is_not_used(monkeypatch, fault):
    if fault == "skips a launch":
        take_the_general_way(monkeypatch)
    plain, plain_adam, steps = make(cupy_backend(capture=False), images())
    want = run_epochs(steps)

    class Faulty(HostGraph):
        def launch(self):
            if fault == "raises":
                raise RuntimeError("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
            before = view(steps._state).copy()
            for launch in self.recording:
                skipped = launch[0] in ("column_sums", "middle_backward_2")
                if not (fault.startswith("skips") and skipped):
                    self.device.run(*launch)
            if fault == "forgets the step":
                view(steps._state)[0] = before[0]

    monkeypatch.setattr("host_device.HostGraph", Faulty)
    backend = cupy_backend()
    vae, adam, steps = make(backend, images())
    got = run_epochs(steps)
    assert not steps.captured and len(backend.notices) == 1 and "\n" not in backend.notices[0]
    assert ("STREAM_CAPTURE" if fault == "raises" else "other numbers") in backend.notices[0]
    assert same_bits([want, *state(plain, plain_adam)], [got, *state(vae, adam)])


def test_an_error_that_stays_does_not_hide_its_cause(monkeypatch):
    _, _, steps = make(cupy_backend(), images())

    def fails():
        raise RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS")

    monkeypatch.setattr(steps.device, "forget_uploads", fails)
    with pytest.raises(KeyError, match="the cause"):
        try:
            raise KeyError("the cause")
        finally:
            steps.close()


def test_a_batch_larger_than_the_data_is_the_whole_data():
    _, _, steps = make(cupy_backend(), images()[:B])
    steps.begin(np.arange(B), RowNoise(0, "eps", 0), RowNoise(0, "binarize", 0))
    steps.step(0)
    assert np.isfinite(steps.totals()).all() and steps.captured


@pytest.mark.parametrize("kind", KINDS)
def test_the_training_loop_runs_on_it(kind):
    data = Dataset("made up", images(), images()[:30], None, None, (5, 7))
    records = []
    for backend in (NumpyBackend(), cupy_backend(kind)):
        vae = VAE(D, (24, 9), 3, seed=3, dtype="float64", backend=backend)
        training = Training(vae, data, batch_size=B)
        records.append([record[1:7] for record in training.run(2, threads=1)])
    np.testing.assert_allclose(records[1], records[0], rtol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_model_can_do_is_the_same(kind):
    models = [VAE(D, (24, 9), 3, seed=3, dtype="float64", backend=b)
              for b in (NumpyBackend(), cupy_backend(kind))]  # fmt: skip
    x = images("float64")
    for ask in ("reconstruct", "log_likelihood"):
        want, got = (getattr(m, ask)(x, *((5,) if ask == "log_likelihood" else ())) for m in models)
        assert isinstance(got, np.ndarray)
        np.testing.assert_allclose(got, want, rtol=1e-11)
    np.testing.assert_allclose(models[1].sample(5), models[0].sample(5), rtol=1e-11)
    eps = np.random.default_rng(0).normal(size=(N, 3))
    want, got = (m.step(x, eps) for m in models)
    np.testing.assert_allclose([float(view(t)) for t in got], want)
    np.testing.assert_allclose(view(models[1].grad), models[0].grad, atol=1e-12)


@pytest.mark.parametrize("resident", [True, False])
def test_rows_may_be_a_part_of_a_mapped_file(tmp_path, monkeypatch, resident):
    np.save(tmp_path / "rows.npy", np.concatenate([images(), images()[:5]]))
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    subset = RowSubset(mapped, np.random.default_rng(0).permutation(N))
    monkeypatch.setattr(minivae.training.device_steps, "CHUNK_BYTES", 10 * D)
    sums = []
    for rows in (subset, images()[subset.rows]):
        backend = cupy_backend()
        if not resident:
            monkeypatch.setattr(backend.device, "free_memory", lambda: 0)
        _, _, steps = make(backend, rows)
        sums.append(run_epochs(steps))
    assert np.array_equal(*sums)


def test_numbers_that_go_wrong_are_named_as_on_numpy():
    """Both find the same step and tensor, the device after the epoch in which it happened."""
    data = Dataset("made up", images(), images()[:30], None, None, (5, 7))
    messages = []
    for backend in (NumpyBackend(), cupy_backend(), cupy_backend(capture=False)):
        vae = VAE(D, (24, 9), 3, seed=3, backend=backend)
        training = Training(vae, data, batch_size=B, lr=1e-3)
        for _ in training.run(1, threads=1):
            pass
        training.adam.lr = 1e30
        with pytest.raises(NotFiniteError) as raised:
            list(training.run(3, threads=1))
        messages.append(str(raised.value))
    assert messages[0] == messages[1] == messages[2]


def test_sums_of_blocks_cover_a_product():
    from minivae.cuda.products import WANTED_BLOCKS, plan

    for shape in [(128, 256, 784), (8192, 256, 784), (256, 784, 8192), (1, 1, 1), (40, 128, 128),
                  (784, 256, 1), (1, 1, 100_000), (100_000, 1, 1)]:  # fmt: skip
        for side in (0, 2, 4, 8):
            cut = plan(*shape, side)
            m, n, k = shape
            assert (cut.splits - 1) * cut.chunk < k <= cut.splits * cut.chunk
            assert cut.chunk % (64 // cut.side) == 0
            assert cut.tiles * (16 * cut.side) ** 2 >= m * n and max(cut.grid[1:]) < 65536
            assert cut.splits == 1 or cut.tiles * cut.splits <= 2 * WANTED_BLOCKS
            assert cut.splits == 1 or cut.tiles <= WANTED_BLOCKS
    assert plan(128, 256, 784).splits > 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_default_model_at_batch_128(kind):
    """Products that are cut along their depth, fused with ReLU, in an epoch on real images."""
    rows = load_data("mnist").train[:300]
    results = []
    for backend in (NumpyBackend(), cupy_backend(kind)):
        vae = VAE(seed=1, backend=backend)
        adam = Adam(vae.parameters, backend, 1e-3)
        steps = open_steps(vae, adam, Source(rows), 128, 1)
        steps.begin(permutation(0, "order", 0, 300), RowNoise(0, "eps"), RowNoise(0, "binarize"))
        for i in range(3):
            steps.step(i)
        results.append((np.array(steps.totals()), np.array(view(vae.grad))))
        assert getattr(steps, "captured", True)
        steps.close()
    (sums, grad), (our_sums, our_grad) = results
    np.testing.assert_allclose(our_sums, sums, rtol=1e-5)
    # a gradient sums 128 images in another order, after two steps: 1e-5 of the largest
    np.testing.assert_allclose(our_grad, grad, atol=1e-5 * np.abs(grad).max())
