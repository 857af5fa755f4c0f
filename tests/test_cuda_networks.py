"""The CUDA twins of the networks' layers, compiled for the CPU by g++, beside NumPy's formulas."""

import inspect

import numpy as np
import pytest
from host_device import cupy, device_of, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cuda_kernels import SIZES, TYPES, Frame, both_ways, few, near, wide

from minivae import VAE, Adam, networks
from minivae.backend import CupyBackend, NumpyBackend
from minivae.cuda.formulas import CudaFormulas
from minivae.data.pixels import Source
from minivae.errors import BackendError
from minivae.networks import activations, convolution, normalisation
from minivae.noise import RowNoise, permutation
from minivae.training.steps import open_steps

pytestmark = needs_compiler
CONSTANT = {"leaky_relu": 0.01, "elu": 1.3}
KINDS = [*CONSTANT, "silu", "gelu", "gelu_tanh", "softplus"]


@pytest.fixture(scope="module", params=["host", pytest.param("gpu", marks=pytest.mark.gpu)])
def f(request):
    host = "numpy" if cupy is None else "cupy"
    return CudaFormulas(device_of(host if request.param == "host" else "gpu"))


def test_twins_have_the_signatures_of_the_formulas(f):
    found = 0
    for module in (activations, convolution, normalisation):
        for name, function in vars(module).items():
            if (
                inspect.isfunction(function)
                and hasattr(f, name)
                and function.__module__ == module.__name__
            ):
                ours, theirs = inspect.signature(getattr(f, name)), inspect.signature(function)
                assert list(ours.parameters) == list(theirs.parameters), name
                found += 1
    assert found == 27


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=4)
@given(SIZES, SIZES, TYPES)
def test_activations(f, name, rows, columns, dtype):
    frame = Frame(f, dtype, rows + columns, 2)
    x, dy = frame.normal(rows, columns, scale=4), frame.normal(rows, columns)
    y, dx = frame.empty(rows, columns), frame.empty(rows, columns)
    constant = [CONSTANT[name]] if name in CONSTANT else []
    back = name + "_backward"

    def run():
        getattr(f, name)(x, *constant, y)
        getattr(f, back)(y if name == "elu" else x, *constant, dy, dx)
        return y, dx

    both_ways(f, run)
    want = getattr(activations, name)(wide(x), *constant, np.empty(x.shape))
    near(y, want, 8)
    given = wide(y) if name == "elu" else wide(x)
    lost = np.abs(wide(x)) ** 3 if name == "gelu_tanh" else 0  # what multiplies 1 - h^2, h near 1
    near(dx, getattr(activations, back)(given, *constant, wide(dy), np.empty(x.shape)), 8, lost)
    frame.check()


@few
@given(SIZES, SIZES, TYPES)
def test_numbers_of_a_column(f, rows, columns, dtype):
    frame = Frame(f, dtype, rows, 3)
    x, dy, y = frame.normal(rows, columns), frame.normal(rows, columns), frame.empty(rows, columns)
    weight, bias, out = frame.normal(columns), frame.normal(columns), frame.empty(columns)
    X, DY, W = wide(x), wide(dy), wide(weight)
    for call, want in (
        (lambda: f.prelu(x, weight, y), np.where(X > 0, X, W * X)),
        (lambda: f.prelu_backward_input(x, weight, dy, y), np.where(X > 0, DY, W * DY)),
        (lambda: f.scale(x, weight, y), X * W),
        (lambda: f.scale_shift(x, weight, bias, y), X * W + wide(bias)),
    ):
        both_ways(f, lambda call=call: [call()])
        near(y, want, 3)
    both_ways(f, lambda: [f.prelu_backward_weight(x, dy, out)])
    near(out, (np.minimum(X, 0) * DY).sum(axis=0), 3, np.abs(X * DY).sum(axis=0))
    both_ways(f, lambda: [f.scale_backward_weight(x, dy, out)])
    near(out, (X * DY).sum(axis=0), 3, np.abs(X * DY).sum(axis=0))
    frame.check()


def array(f, values, dtype):
    """Put numbers into a contiguous array of the device."""
    return f.device.asarray(np.asarray(values, dtype))


@few
@given(st.tuples(*(st.integers(1, high) for high in (3, 20, 3, 30))), TYPES)
def test_normalisation(f, shape, dtype):
    rng = np.random.default_rng(sum(shape))
    x, g = (array(f, rng.normal(3, 2, shape), dtype) for _ in range(2))
    xhat, dx = (array(f, np.full(shape, np.nan), dtype) for _ in range(2))
    inverse = array(f, np.full((shape[0], 1, shape[2], 1), np.nan), dtype)
    eps = 1e-3

    def run():
        f.normalise(x, eps, xhat, inverse)
        f.normalise_backward(g, xhat, inverse, dx)
        return xhat, inverse, dx

    both_ways(f, run)
    made, room = np.empty(shape), np.empty(inverse.shape)
    near(xhat, normalisation.normalise(wide(x), eps, made, room), 40, 1)
    near(inverse, room, 40)
    want = normalisation.normalise_backward(wide(g), wide(xhat), wide(inverse), np.empty(shape))
    near(dx, want, 40, wide(g) * wide(inverse))


@few
@given(
    st.tuples(*(st.integers(1, high) for high in (3, 9, 8, 3))),  # B, H, W, C
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    TYPES,
)
def test_numbers_put_in_their_places(f, shape, kernel, stride, before, dtype):
    """These only move numbers: to the bit."""
    B, H, W, C = shape
    rng = np.random.default_rng(sum(shape))
    (kh, kw), (sh, sw), A = kernel, stride, 3

    def same(name, x, how, out_shape):
        x = np.asarray(x, dtype)
        out = array(f, np.full(out_shape, np.nan), dtype)
        both_ways(f, lambda: [getattr(f, name)(array(f, x, dtype), *how, out)])
        want = getattr(convolution, name)(
            np.ascontiguousarray(x), *how, np.full(out_shape, np.nan, dtype)
        )
        assert np.array_equal(wide(out), want), name
        return want

    x = rng.normal(size=shape)
    high, wider = H + before[0] + kh, W + before[1] + kw
    padded = same("pad", x, [before], (B, high, wider, C))
    h, w = (high - kh) // sh + 1, (wider - kw) // sw + 1
    same("patches", padded, [stride], (B, h, w, kh, kw, C))
    n, m = -(-(before[0] + H) // sh), -(-(before[1] + W) // sw)
    same("spread", rng.normal(size=(B, n, m, sh, sw, C)), [before], shape)
    weight = rng.normal(size=(A, C, kh, kw))
    turned = same("by_patch", weight, [], (A, kh, kw, C))
    assert np.array_equal(same("from_patch", turned, [], weight.shape), np.asarray(weight, dtype))
    same("by_block", weight, [], (-(-kh // sh), -(-kw // sw), A, sh, sw, C))


MODELS = {
    "convolutions": {"hidden": "c3,c4,6", "activation": "silu", "norm": "group"},
    "one channel, odd kernels": {"hidden": "c2k3s2,5", "activation": "prelu"},
    "residual, gelu": {"hidden": "c2k3s1,r2,4", "activation": "gelu", "norm": "layer"},
    "wide, elu": {"hidden": (9, 7), "activation": "elu", "norm": "layer"},
}


@pytest.mark.parametrize("kind", MODELS)
def test_epochs_are_those_of_numpy(kind):
    """Whole epochs in float64, on the way of any model: captured where it can be."""
    images = np.random.default_rng(5).integers(0, 256, (22, 64), dtype=np.uint8)
    ends = []
    for backend in (NumpyBackend(), CupyBackend(device_of("numpy"), capture=True, notice=print)):
        vae = VAE(
            64,
            latent=3,
            seed=3,
            dtype="float64",
            backend=backend,
            image_shape=(8, 8),
            **MODELS[kind],
        )
        adam = Adam(vae.parameters, backend, 1e-3)
        steps = open_steps(vae, adam, Source(images, "none"), 8, 1)
        losses = []
        for epoch in range(2):
            steps.begin(
                permutation(0, "order", epoch, 22),
                RowNoise(0, "eps", epoch),
                RowNoise(0, "b", epoch),
            )
            for i in range(3):
                steps.step(i)
            losses.append(steps.totals())
        steps.close()
        ends.append((np.array(losses), backend.to_host(vae.theta)))
    np.testing.assert_allclose(ends[1][0], ends[0][0], rtol=1e-11)
    np.testing.assert_allclose(ends[1][1], ends[0][1], rtol=1e-7, atol=1e-9)


def test_what_has_no_form_on_a_device_is_said():
    backend = CupyBackend(device_of("numpy"), capture=True, notice=print)
    with pytest.raises(BackendError, match="running has no CUDA form yet"):
        VAE(16, (4,), 2, norm="batch", backend=backend)
    assert networks
