"""Importance-weighted bounds on a device: their kernels beside NumPy's formulas, whole epochs.

As in test_cuda_kernels.py and test_cuda_epoch.py, on the host, where a GPU is not asked for.
"""

import inspect

import numpy as np
import pytest
from host_device import KINDS, cupy, device_of, needs_compiler, view
from hypothesis import given
from hypothesis import strategies as st
from test_cuda_epoch import B as BATCH
from test_cuda_epoch import D, cupy_backend, images, run_epochs, same_bits, state, streams
from test_cuda_kernels import SIZES, TYPES, WIDE, Frame, both_ways, few, near, wide

from minivae import VAE, Adam
from minivae.backend import NumpyBackend
from minivae.cuda.formulas import CudaFormulas
from minivae.data import Dataset
from minivae.data.pixels import Source
from minivae.errors import BackendError
from minivae.parts import gaussian_posterior, importance, rows, standard_normal
from minivae.training import Training
from minivae.training.evaluation import evaluate
from minivae.training.steps import open_steps

pytestmark = needs_compiler
BOUNDS = ["iwae", "stl", "dreg"]
LIKELIHOODS = ["bernoulli", "continuous-bernoulli", "gaussian"]
SAMPLES = st.sampled_from([1, 2, 3, 7, 31, 32, 33, 65])
FORMULAS = {
    rows: ["repeat_rows", "join_rows", "sum_rows", "scale_rows", "add_rows"],
    standard_normal: ["normal_log_density", "normal_backward"],
    gaussian_posterior: ["gaussian_score", "log_base_backward"],
    importance: ["importance_weights", "importance_terms"],
}


@pytest.fixture(scope="module", params=["host", pytest.param("gpu", marks=pytest.mark.gpu)])
def f(request):
    host = "numpy" if cupy is None else "cupy"
    return CudaFormulas(device_of(host if request.param == "host" else "gpu"))


def test_twins_have_the_signatures_of_the_formulas(f):
    for module, names in FORMULAS.items():
        for name in names:
            ours, theirs = getattr(f, name), getattr(module, name)
            ours, theirs = (list(inspect.signature(one).parameters) for one in (ours, theirs))
            assert ours == theirs, name


@few
@given(SIZES, WIDE, st.sampled_from([1, 2, 3, 7]), TYPES)
def test_rows(f, B, C, K, dtype):
    frame = Frame(f, dtype, B * C, 2)
    x, long, out = frame.normal(B, C), frame.normal(B * K, C), frame.empty(B, C)
    repeated, weights, added = frame.empty(B * K, C), frame.normal(B), frame.normal(B, C)
    before = wide(added)
    both_ways(f, lambda: [f.repeat_rows(x, repeated)])
    assert np.array_equal(wide(repeated), np.repeat(wide(x), K, axis=0))
    both_ways(f, lambda: [f.join_rows(long, out)])
    want = rows.join_rows(wide(long), np.empty((B, C)))
    near(out, want, 2, K * np.abs(wide(long)).max())
    both_ways(f, lambda: [f.sum_rows(x)])
    near(f.sum_rows(x), wide(x).sum(axis=1), 2, np.abs(wide(x)).sum(axis=1))
    both_ways(f, lambda: [f.scale_rows(x, weights, out)])
    near(out, wide(weights)[:, None] * wide(x), 1)
    f.add_rows(x, weights, added)
    near(added, before + wide(weights)[:, None] * wide(x), 2, wide(out))
    before = wide(added)
    f.add_rows(x, None, added)
    near(added, before + wide(x), 1)
    before = wide(x) * wide(weights)[:, None]
    f.scale_rows(x, weights, x)  # in place
    near(x, before, 1)
    frame.check()


@few
@given(SIZES, st.sampled_from([1, 2, 20, 31, 32, 33, 65]), TYPES)
def test_log_densities_of_normals(f, B, Z, dtype):
    frame = Frame(f, dtype, B * Z, 0)
    stats, dstats = frame.normal(B, 2 * Z, scale=2), frame.empty(B, 2 * Z)
    eps, logvar, out = frame.normal(B, Z), stats[:, Z:], frame.empty(B, Z)
    weights, halves = frame.normal(B), (dstats[:, :Z], dstats[:, Z:])
    for given_logvar in (None, logvar):
        both_ways(f, lambda: [f.normal_log_density(eps, given_logvar)])  # noqa: B023
        more = None if given_logvar is None else wide(logvar)
        want = standard_normal.normal_log_density(wide(eps), more)
        near(f.normal_log_density(eps, given_logvar), want, 4, Z * np.abs(wide(stats)).max())
    both_ways(f, lambda: [f.normal_backward(eps, weights, out)])
    near(out, -wide(weights)[:, None] * wide(eps), 1)
    both_ways(f, lambda: [f.gaussian_score(eps, logvar, out)])
    want = gaussian_posterior.gaussian_score(wide(eps), wide(logvar), np.empty((B, Z)))
    near(out, want, 8)
    for dlog_q in (None, weights):
        both_ways(f, lambda: [f.log_base_backward(dlog_q, *halves) or dstats])  # noqa: B023
        want = np.zeros((B, 2 * Z))
        want[:, Z:] = 0 if dlog_q is None else -0.5 * wide(weights)[:, None]
        assert np.array_equal(wide(dstats), want)
    frame.check()


def log_terms(frame, size, scale):
    """Return logarithms as a step has them: a large one, two small ones."""
    return [frame.normal(size, scale=s) for s in (scale, 3.0, 3.0)]


@few
@given(SIZES, SAMPLES, TYPES, st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([1.0, 100.0, 1e4]))
def test_importance_weights(f, B, K, dtype, beta, scale):
    """Far apart, too: then one draw of an image has all its weight."""
    frame = Frame(f, dtype, B * K, 1)
    given_terms = log_terms(frame, B * K, scale)
    on_device = f.device.asarray(np.array([beta]))
    terms = [wide(one) for one in given_terms]
    want = importance.importance_weights(*terms, K, beta, 1 / B)
    largest = scale + sum(np.abs(one).max() for one in terms)

    both_ways(f, lambda: f.importance_weights(*given_terms, K, on_device, 1 / B))
    got = f.importance_weights(*given_terms, K, beta, 1 / B)
    by_array = f.importance_weights(*given_terms, K, on_device, 1 / B)
    assert all(view(a).tobytes() == view(b).tobytes() for a, b in zip(got, by_array, strict=True))
    for a, b in zip(got[:2], want[:2], strict=True):  # in doubles, whatever the terms are
        assert abs(float(view(a)) - b) <= 8 * np.finfo(np.float64).eps * (K + B) * largest
    # exp(log w - top) is as wrong as log w is, in roundings of doubles
    lost = 8 * largest * np.finfo(np.float64).eps / np.finfo(dtype).eps
    for a, b, size in zip(got[2:], want[2:], (1, 1 / B, beta / B, beta / B), strict=True):
        near(a, b, 2 + lost, size)
    assert np.abs(wide(got[2]).reshape(B, K).sum(axis=1) - 1).max() < K * np.finfo(dtype).eps

    both_ways(f, lambda: f.importance_terms(*given_terms, K, beta))
    each = f.importance_terms(*given_terms, K, beta)
    for a, b in zip(each, importance.importance_terms(*terms, K, beta), strict=True):
        near(a, b, 8, largest)
    frame.check()


def test_more_images_than_the_blocks_have_warps(f):
    frame, K = Frame(f, "float64", 0, 0), 2
    images = 2 * 256 * 8 + 3
    given_terms = log_terms(frame, images * K, 10.0)
    got = f.importance_weights(*given_terms, K, 0.7, 1 / images)
    want = importance.importance_weights(*map(wide, given_terms), K, 0.7, 1 / images)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(view(a), b, rtol=1e-11)
    each = f.importance_terms(*given_terms, K, 0.7)
    want = importance.importance_terms(*map(wide, given_terms), K, 0.7)
    np.testing.assert_allclose([view(one) for one in each], want, rtol=1e-11)


@pytest.mark.parametrize("place", [0, 1, 34])
def test_a_weight_that_is_no_number_is_seen(f, place):
    """Its image's weights are none, the other image's stay, and nll is none."""
    frame = Frame(f, "float32", 0, 0)
    log_p = frame.rng.normal(size=80)
    log_p[place] = np.nan
    given_terms = frame.array(log_p), frame.normal(80), frame.normal(80)
    nll, _, v, *_ = f.importance_weights(*given_terms, 40, 1.0, 0.5)
    assert np.isnan(view(nll)) and np.isnan(view(v)[:40]).all()
    assert view(v)[40:].sum() == pytest.approx(1, rel=1e-6)


def model(backend, bound, likelihood="bernoulli", dtype="float64", **more):
    settings = {"hidden": (24, 9), "likelihood": likelihood} | more
    vae = VAE(D, latent=3, seed=3, beta=0.8, bound=bound, dtype=dtype, backend=backend, **settings)
    adam = Adam(vae.parameters, backend, 1e-3)
    return vae, adam, open_steps(vae, adam, Source(images(), "none"), BATCH, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("bound", [f"{kind}:{k}" for kind in BOUNDS for k in (1, 3)])
def test_epochs_equal_those_of_numpy(kind, bound, likelihood):
    """Captured and launched, which give the same bits; then what is measured of the model."""
    ends = []
    for backend in (NumpyBackend(), cupy_backend(kind), cupy_backend(kind, capture=False)):
        vae, adam, steps = model(backend, bound, likelihood)
        ends.append([run_epochs(steps), *state(vae, adam)])
        assert getattr(steps, "captured", True) == (len(ends) < 3)
        assert not getattr(backend, "notices", [])
        steps.close()
        ends[-1] += [evaluate(vae, images()), vae.log_likelihood(images("float64"), 3)]
        eps = np.random.default_rng(0).normal(size=(BATCH, vae.noise))
        ends[-1].append([float(view(t)) for t in vae.step(images("float64")[:BATCH], eps)])
    assert same_bits(ends[1][:5], ends[2][:5])
    # float64 throughout: the orders of summation differ, and Adam divides small by small
    for want, got in zip(*ends[:2], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize(
    "more",
    [
        {"likelihood": "gaussian-fixed:0.1"},
        {"hidden": "c2k3s2,5", "image_shape": (5, 7), "activation": "silu", "norm": "group"},
    ],
)
def test_epochs_of_other_models(more):
    ends = []
    for backend in (NumpyBackend(), cupy_backend()):
        vae, adam, steps = model(backend, "dreg:3", **more)
        ends.append([run_epochs(steps, 1), *state(vae, adam)])
    assert steps.captured
    for want, got in zip(*ends, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bound", BOUNDS)
def test_float32_stays_near_numpy(kind, bound):
    ends = []
    for backend in (NumpyBackend(), cupy_backend(kind)):
        vae, _, steps = model(backend, f"{bound}:5", dtype="float32")
        ends.append((run_epochs(steps, 3), np.array(view(vae.theta))))
    np.testing.assert_allclose(ends[1][0], ends[0][0], rtol=2e-5)  # 15 steps of rounding
    # At most one step of Adam apart: of a gradient near 0 its sign is rounding.
    assert np.abs(ends[1][1] - ends[0][1]).max() < 1e-3


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_step_reads_nothing_back_and_all_of_it_is_captured(bound):
    backend = cupy_backend()
    _, _, steps = model(backend, f"{bound}:3")
    steps.begin(*streams(0))
    backend.device.downloads = 0
    backend.device.launches.clear()
    for i in range(5):
        steps.step(i)
    assert backend.device.downloads == 0
    launched = [launch[0] for launch in steps._graph.recording]
    assert launched.count("importance") == 1 and launched.count("repeat_rows") == 1
    held = {a.ctypes.data for a in steps._graph.held}
    for kernel, _, _, packed, _ in steps._graph.recording:
        for letter, value in packed:
            assert letter in "ID0" or value.value in held, kernel


def test_the_training_loop_runs_on_it():
    data = Dataset("made up", images(), images()[:30], None, None, (5, 7))
    records = []
    for backend in (NumpyBackend(), cupy_backend()):
        vae = VAE(D, (24, 9), 3, seed=3, dtype="float64", backend=backend, bound="dreg:3")
        training = Training(vae, data, batch_size=BATCH)
        records.append([record[1:7] for record in training.run(2, threads=1)])
    np.testing.assert_allclose(records[1], records[0], rtol=1e-11)


@pytest.mark.parametrize("bound", ["iwae:3", "stl:3"])
@pytest.mark.parametrize(
    "parts, said",
    [
        ({"prior": "mixture:3"}, "mixture_log_p"),
        ({"prior": "vamp:3"}, "mixture_log_p"),
        ({"posterior": "full"}, "cholesky_draw"),
        ({"posterior": "planar:2"}, "planar"),
        ({"likelihood": "gaussian-optimal"}, "best_logvar"),
        ({"likelihood": "gaussian-features"}, "gaussian_"),
        ({"likelihood": "poisson"}, "poisson"),
        ({"condition": 3}, "add_labels"),
    ],
)
def test_what_has_no_form_on_a_device_is_refused_in_one_line(bound, parts, said):
    with pytest.raises(BackendError, match=rf"^{said}.* has no CUDA form yet.*numpy") as raised:
        VAE(D, (24, 9), 3, bound=bound, backend=cupy_backend(), **parts)
    assert "\n" not in str(raised.value)


def test_free_bits_are_refused_on_a_device():
    with pytest.raises(BackendError, match=r"'freebits:0\.1' has no CUDA form yet"):
        VAE(D, (24, 9), 3, bound="freebits:0.1", backend=cupy_backend())
