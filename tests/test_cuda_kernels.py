"""Every CUDA kernel against its twin in formulas.py, compiled for the CPU by g++.

The twins run on the kernel's own numbers in float64. A tolerance is given in units of rounding,
`eps` of the kernel's type, of the largest number that takes part.
"""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from host_device import cupy, device_of, needs_compiler, to_tf32, view, write
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae import formulas
from minivae.cuda.formulas import CudaFormulas, one_type
from minivae.cuda.fusion import LIBRARY, NOTHING, Launch, fuse, may_be_followed
from minivae.cuda.products import plan
from minivae.errors import BackendError
from minivae.parts.continuous_bernoulli import continuous_bernoulli, log_normaliser
from minivae.parts.gaussian import gaussian_backward, gaussian_log_p

EDGES = [1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65]
SIZES = st.sampled_from(EDGES)
WIDE = st.sampled_from([1, 2, 7, 31, 33, 127, 128, 129, 255, 256, 257, 784])
TYPES = st.sampled_from(["float32", "float64"])
few = settings(max_examples=12, deadline=None)


@pytest.fixture(scope="module", params=["host", pytest.param("gpu", marks=pytest.mark.gpu)])
def f(request):
    host = "numpy" if cupy is None else "cupy"
    return CudaFormulas(device_of(host if request.param == "host" else "gpu"))


class Frame:
    """Makes arrays as views into larger ones, whose other numbers must stay as they are."""

    def __init__(self, f, dtype, seed, gap):
        self.device, self.dtype, self.gap = f.device, np.dtype(dtype), gap
        self.rng = np.random.default_rng(seed)
        self.wholes = []

    def array(self, values, rows=None, columns=None):
        values = np.asarray(values, self.dtype)
        shape = values.shape
        if values.ndim == 1:
            whole = self.device.empty((len(values) + 2 * self.gap,), self.dtype)
            inside = slice(self.gap, self.gap + len(values))
        else:
            whole = self.device.empty((shape[0] + 2, shape[1] + 2 * self.gap), self.dtype)
            inside = (slice(1, 1 + shape[0]), slice(self.gap, self.gap + shape[1]))
        write(whole, -777)
        self.wholes.append((whole, inside))
        part = whole[inside]
        write(part, values)
        return part

    def normal(self, *shape, scale=1.0):
        return self.array(self.rng.normal(size=shape) * scale)

    def empty(self, *shape):
        return self.array(np.full(shape, np.nan))

    def check(self):
        for whole, inside in self.wholes:
            rest = np.array(view(whole))
            rest[inside] = -777
            assert (rest == -777).all(), "something was written beside an array"


def wide(array):
    return view(array).astype(np.float64)


def near(got, want, units, *sizes):
    """Compare with an error of `units` roundings of the largest of got, want and `sizes`."""
    got = view(got)
    largest = max(1e-30, *(np.abs(np.asarray(s)).max() for s in (want, *sizes)))
    eps = np.finfo(got.dtype if got.dtype == np.float32 else np.float64).eps
    assert np.abs(got - want).max() <= units * eps * largest


def both_ways(f, run):
    """Run with the threads in three orders; the results must be the same to the bit."""
    results = []
    for f.device.turn in (2, 1, 0):
        results.append([np.asarray(view(a)).copy() for a in run()])
    for other in results[:-1]:
        for a, b in zip(results[-1], other, strict=True):
            assert a.tobytes() == b.tobytes(), "the result depends on the order of threads"


def test_twins_have_the_names_and_signatures_of_the_formulas(f):
    names = [
        name
        for name, function in vars(formulas).items()
        if inspect.isfunction(function) and not name.startswith("_")
    ]
    assert len(names) >= 17
    for name in names:
        ours, theirs = getattr(f, name), getattr(formulas, name)
        signature = inspect.signature(ours)
        assert list(signature.parameters) == list(inspect.signature(theirs).parameters), name


@few
@given(SIZES, SIZES, WIDE, st.sampled_from([0, 2, 4, 8]), st.booleans(), st.booleans(), TYPES)
def test_products(f, m, n, k, side, a_across, b_across, dtype):
    frame = Frame(f, dtype, m * n + k, 3)
    a = frame.normal(k, m).T if a_across else frame.normal(m, k)
    b = frame.normal(n, k).T if b_across else frame.normal(k, n)
    out = frame.empty(m, n)
    f.products.side = side
    try:
        both_ways(f, lambda: [f.matmul(a, b, out)])
    finally:
        f.products.side = 0
    bound = (k + 2) * np.abs(wide(a)) @ np.abs(wide(b))  # the error of any order of summing
    assert (np.abs(wide(out) - wide(a) @ wide(b)) <= np.finfo(dtype).eps * bound).all()
    frame.check()


@few
@given(SIZES, WIDE, SIZES, TYPES)
def test_linear(f, B, inputs, outputs, dtype):
    frame = Frame(f, dtype, B, 1)
    x, W, b = frame.normal(B, inputs), frame.normal(outputs, inputs), frame.normal(outputs)
    y, dy = frame.empty(B, outputs), frame.normal(B, outputs)
    dx, dW, db = frame.empty(B, inputs), frame.empty(outputs, inputs), frame.empty(outputs)

    def run():
        f.linear(x, W, b, y)
        f.linear_backward_input(dy, W, dx)
        f.linear_backward_weight(x, dy, dW)
        f.linear_backward_bias(dy, db)
        return y, dx, dW, db

    both_ways(f, run)
    want = [np.empty(a.shape) for a in (y, dx, dW, db)]
    formulas.linear(*map(wide, (x, W, b)), want[0])
    formulas.linear_backward_input(wide(dy), wide(W), want[1])
    formulas.linear_backward_weight(wide(x), wide(dy), want[2])
    formulas.linear_backward_bias(wide(dy), want[3])
    size = np.abs(wide(x)).max() * np.abs(wide(W)).max(), np.abs(wide(dy)).max()
    for got, expected, depth in zip(run(), want, (inputs, outputs, B, B), strict=True):
        near(got, expected, 2 * depth + 4, *size)
    frame.check()


def close_as_tf32(out, a, b, bias=0):
    """Whether each number is within 2^-9 of the sum of its products' sizes.

    Two factors of 11 bits each make 2^-10; the rest is for sums of many, in float32.
    """
    bound = 2.0**-9 * (np.abs(a) @ np.abs(b)) + 2.0**-20 * np.abs(bias)
    return bool((np.abs(out - (a @ b + bias)) <= bound).all())


@few
@given(SIZES, WIDE, SIZES, st.integers(0, 4))
def test_products_of_the_library_are_those_of_tf32(f, B, inputs, outputs, gap):
    """On a GPU cuBLASLt, otherwise a stand-in; `gap` moves biases off their alignment."""
    frame = Frame(f, "float32", B, gap)
    x, W, b = frame.normal(B, inputs), frame.normal(outputs, inputs), frame.normal(outputs)
    dy, y, z = frame.normal(B, outputs), frame.empty(B, outputs), frame.empty(B, outputs)
    dx, dW = frame.empty(B, inputs), frame.empty(outputs, inputs)
    tf32 = CudaFormulas(f.device, "tf32")

    def run():
        tf32.linear_backward_input(dy, W, dx)
        tf32.linear_backward_weight(x, dy, dW)
        tf32.linear(x, W, b, y)
        tf32.relu(y, z)

    run()
    assert close_as_tf32(wide(y), wide(x), wide(W).T, wide(b))
    assert close_as_tf32(wide(dx), wide(dy), wide(W))
    assert close_as_tf32(wide(dW), wide(dy).T, wide(x))
    apart = [np.array(view(a)) for a in (z, dx, dW)]
    assert np.array_equal(apart[0], np.maximum(view(y), 0))
    f.device.capture(run).launch()  # with ReLU as the end of the product
    assert all(a.tobytes() == view(b).tobytes() for a, b in zip(apart, (z, dx, dW), strict=True))
    frame.check()


def test_fewer_bits_than_those_of_tf32_are_seen():
    a, b = np.random.default_rng(0).normal(size=(2, 33, 33)).astype("float32")
    for bits, close in [(10, True), (7, False)]:  # 7: bfloat16's
        out = to_tf32(a, bits) @ to_tf32(b, bits)
        assert close_as_tf32(out.astype(float), a.astype(float), b.astype(float)) == close


ELEMENTWISE = ["relu", "sigmoid", "tanh"]


@pytest.mark.parametrize("name", ELEMENTWISE)
@few
@given(SIZES, WIDE, TYPES)
def test_activations(f, name, B, H, dtype):
    frame = Frame(f, dtype, B * H, 2)
    x, y, dy, dx = (
        frame.normal(B, H, scale=3), frame.empty(B, H), frame.normal(B, H), frame.empty(B, H)
    )  # fmt: skip

    def run():
        getattr(f, name)(x, y)
        getattr(f, f"{name}_backward")(y, dy, dx)
        return y, dx

    both_ways(f, run)
    want_y, want_dx = np.empty((B, H)), np.empty((B, H))
    getattr(formulas, name)(wide(x), want_y)
    near(y, want_y, 4)
    getattr(formulas, f"{name}_backward")(wide(y), wide(dy), want_dx)
    near(dx, want_dx, 4, wide(dy))
    frame.check()


def test_what_is_not_a_number_stays_so(f):
    frame = Frame(f, "float32", 0, 0)
    x = frame.array([[np.nan, np.inf, -np.inf, 1.0]])
    for name in ELEMENTWISE:
        out, want = frame.empty(1, 4), np.empty((1, 4))
        getattr(formulas, name)(wide(x), want)
        assert (
            np.array_equal(wide(getattr(f, name)(x, out)), want, equal_nan=True) or name != "relu"
        )
        assert np.isnan(wide(out)[0, 0]) and not np.isnan(wide(out)[0, 1:]).any()
    pixels, dlogits = frame.array([[0.0, 1.0, 0.0, 1.0]]), frame.empty(1, 4)
    x = frame.array([[np.nan, 1.0, 1.0, 1.0]])
    assert np.isnan(view(f.bernoulli_nll(x, pixels, 1.0, dlogits)))
    mu, dmu = frame.array([[0.0, 1.0, 0.0, 1.0]]), frame.empty(1, 4)
    assert np.isnan(view(f.gaussian_kl(mu, x, 1.0, 1.0, dmu, dlogits)))
    assert np.isnan(view(f.gaussian_kl(x, mu, 1.0, 1.0, dmu, dlogits)))


@few
@given(SIZES, st.sampled_from([1, 2, 19, 20, 33]), TYPES)
def test_reparameterization(f, B, Z, dtype):
    frame = Frame(f, dtype, B * Z, 0)
    stats = frame.normal(B, 2 * Z)
    mu, logvar = stats[:, :Z], stats[:, Z:]
    eps, noise, z = frame.normal(B, Z), frame.empty(B, Z), frame.empty(B, Z)
    both_ways(f, lambda: [f.reparameterize(mu, logvar, eps, noise, z), noise])
    want_noise, want = np.empty((B, Z)), np.empty((B, Z))
    formulas.reparameterize(wide(mu), wide(logvar), wide(eps), want_noise, want)
    near(z, want, 8, want_noise)
    near(noise, want_noise, 8)

    dz, dstats = frame.normal(B, Z), frame.normal(B, 2 * Z)
    want = wide(dstats)
    formulas.reparameterize_backward(wide(dz), wide(noise), want[:, :Z], want[:, Z:])
    f.reparameterize_backward(dz, noise, dstats[:, :Z], dstats[:, Z:])
    near(dstats, want, 4, wide(dz) * wide(noise))
    frame.check()


@few
@given(SIZES, WIDE, TYPES, st.sampled_from([0.01, 3.0, 1e4]))
def test_likelihood(f, B, D, dtype, scale):
    frame = Frame(f, dtype, B * D, 1)
    logits, dlogits = frame.normal(B, D, scale=scale), frame.empty(B, D)
    x = frame.array(np.clip(frame.rng.uniform(-0.3, 1.3, (B, D)), 0, 1))
    values = []

    def run():
        values.append(f.bernoulli_nll(logits, x, 1 / B, dlogits))
        return values[-1], dlogits

    both_ways(f, run)
    want = np.empty((B, D))
    value = formulas.bernoulli_nll(wide(logits), wide(x), 1 / B, want)
    near(dlogits, want, 6, 1 / B)
    # each of D pixels is computed in the kernel's type and wrong by some eps of its largest part
    got, pixel = float(view(values[-1])), 1 + np.abs(wide(logits)).max()
    assert abs(got - value) <= 4 * np.finfo(dtype).eps * D * pixel

    each, want = frame.empty(B), np.empty(B)
    both_ways(f, lambda: [f.bernoulli_log_likelihood(logits, x, each)])
    slopes, want_slopes = frame.empty(B, D), np.empty((B, D))
    both_ways(f, lambda: [f.bernoulli_log_likelihood(logits, x, each, slopes), slopes])
    formulas.bernoulli_log_likelihood(wide(logits), wide(x), want, want_slopes)
    near(slopes, want_slopes, 6)
    assert np.abs(wide(each) - want).max() <= 4 * np.finfo(dtype).eps * D * pixel
    draws = next(k for k in (3, 2, 1) if B % k == 0)  # rows of one image
    both_ways(f, lambda: [f.bernoulli_log_likelihood(logits, x[: B // draws], each, slopes)])
    images = np.repeat(wide(x)[: B // draws], draws, axis=0)
    formulas.bernoulli_log_likelihood(wide(logits), images, want, want_slopes)
    near(slopes, want_slopes, 6)
    assert np.abs(wide(each) - want).max() <= 4 * np.finfo(dtype).eps * D * pixel
    frame.check()


@pytest.mark.parametrize("logit", [1e4, -1e4, 88.0, -104.0, 0.0])
def test_likelihood_far_out(f, logit):
    frame = Frame(f, "float32", 0, 0)
    for pixel in (0.0, 0.25, 1.0):
        logits, x, dlogits = frame.array([[logit]]), frame.array([[pixel]]), frame.empty(1, 1)
        value = float(view(f.bernoulli_nll(logits, x, 1.0, dlogits)))
        exact = np.logaddexp(0.0, logit) - pixel * logit
        assert value == pytest.approx(exact, rel=1e-6, abs=1e-38)
        sigmoid = 0.5 * (1 + np.tanh(logit / 2))
        assert view(dlogits)[0, 0] == pytest.approx(sigmoid - pixel, rel=1e-6, abs=1e-38)


@few
@given(SIZES, WIDE, TYPES, st.sampled_from([0.01, 1.0, 30.0]))
def test_continuous_bernoulli(f, B, D, dtype, scale):
    """Both sides of |logit| = 1, where series and closed form meet."""
    frame = Frame(f, dtype, B * D, 1)
    eta, deta, mean = frame.normal(B, D, scale=scale), frame.empty(B, D), frame.empty(B, D)
    x = frame.array(frame.rng.uniform(size=(B, D)))
    values = []

    def run():
        values.append(f.continuous_bernoulli_nll(eta, x, 1 / B, deta))
        return values[-1], deta

    both_ways(f, run)
    want, want_mean = np.empty((B, D)), np.empty((B, D))
    log_p = continuous_bernoulli(wide(eta), wide(x), -1 / B, want)
    size = 1 + np.abs(wide(eta)).max()
    near(deta, want, 8, size / B)
    error = abs(float(view(values[-1])) + log_p.sum() / B)
    assert error <= 8 * np.finfo(dtype).eps * D * size
    near(f.continuous_bernoulli(eta, x, 0.5, deta), log_p, 8, size)
    near(deta, want * (-B / 2), 8, size)
    log_normaliser(wide(eta), want_mean)
    near(f.continuous_bernoulli_mean(eta, mean), want_mean, 8, size)
    frame.check()


@few
@given(SIZES, WIDE, TYPES, st.sampled_from([-3.0, 0.0, 2.0]))
def test_gaussian(f, B, D, dtype, logvar):
    frame = Frame(f, dtype, B * D, 1)
    eta, x, deta = frame.normal(B, D), frame.normal(B, D), frame.empty(B, D)
    v, rows, weights = frame.array([logvar]), frame.empty(B), frame.normal(B)
    rows, weights = rows[:, None], weights[:, None]
    values = []

    def run():
        values.append(f.gaussian_nll(eta, x, v, 1 / B, deta, rows))
        return values[-1], deta, rows

    both_ways(f, run)
    want, want_rows = np.empty((B, D)), np.empty((B, 1))
    log_p = gaussian_log_p(wide(eta), wide(x), wide(v))
    size = D * np.exp(-logvar) * 40  # of a row's terms: squares up to 40
    gaussian_backward(wide(eta), wide(x), wide(v), -1 / B, want, want_rows)
    near(deta, want, 8)
    near(rows, want_rows, 8, size / B)
    assert abs(float(view(values[-1])) + log_p.sum() / B) <= 8 * np.finfo(dtype).eps * size
    near(f.gaussian_log_p(eta, x, v), log_p, 8, size)
    f.gaussian_backward(eta, x, v, weights, deta, rows)
    gaussian_backward(wide(eta), wide(x), wide(v), wide(weights), want, want_rows)
    near(deta, want, 8)
    near(rows, want_rows, 8, size * np.abs(wide(weights)).max())
    frame.check()


@few
@given(SIZES, st.sampled_from([1, 2, 20, 33]), TYPES, st.sampled_from([0.0, 0.5, 1.0, 4.0]))
def test_divergence(f, B, Z, dtype, beta):
    frame = Frame(f, dtype, B * Z, 0)
    stats, dstats = frame.normal(B, 2 * Z, scale=2), frame.empty(B, 2 * Z)
    halves = [a[:, half] for a in (stats, dstats) for half in (slice(0, Z), slice(Z, None))]
    mu, logvar, dmu, dlogvar = halves
    on_device = f.device.asarray(np.array([beta]))
    values = []

    def run(beta=beta):
        values.append(f.gaussian_kl(mu, logvar, beta, 1 / B, dmu, dlogvar))
        return values[-1], dstats

    both_ways(f, run)
    by_number = [np.asarray(view(a)).copy() for a in run()]
    by_array = run(on_device)
    assert all(a.tobytes() == view(b).tobytes() for a, b in zip(by_number, by_array, strict=True))

    want = np.empty((B, 2 * Z))
    value = formulas.gaussian_kl(wide(mu), wide(logvar), beta, 1 / B, want[:, :Z], want[:, Z:])
    near(dstats, want, 6)
    largest = (np.exp(wide(logvar)) + wide(mu) ** 2 + np.abs(wide(logvar))).sum() / B
    assert abs(float(view(values[-1])) - value) <= 4 * np.finfo(dtype).eps * largest

    each, want = frame.empty(B, Z), np.empty((B, Z))
    f.gaussian_kl_each(mu, logvar, each)
    formulas.gaussian_kl_each(wide(mu), wide(logvar), want)
    near(each, want, 6)
    frame.check()


def test_divergence_is_exact_near_the_prior(f):
    frame = Frame(f, "float32", 0, 0)
    mu, logvar = frame.array([[0.0]]), frame.array([[1e-3]])
    value = float(view(f.gaussian_kl(mu, logvar, 1.0, 1.0, frame.empty(1, 1), frame.empty(1, 1))))
    v = float(view(logvar)[0, 0])
    exact = (v**2 / 2 + v**3 / 6) / 2
    assert value == pytest.approx(exact, rel=2e-4)  # e^v - 1 - v keeps all but 1 rounding of v
    each = view(f.gaussian_kl_each(mu, logvar, frame.empty(1, 1)))
    assert each[0, 0] == pytest.approx(exact, rel=2e-4)


@few
@given(st.sampled_from([1, 255, 256, 257, 1000]), TYPES, st.integers(1, 10_000))
def test_adam(f, size, dtype, step):
    frame = Frame(f, dtype, size, 1)
    arrays = [frame.normal(size), frame.normal(size), frame.normal(size), frame.normal(size)]
    write(arrays[3], np.abs(view(arrays[3])))
    want = [wide(a) for a in arrays]
    rate, floor = f.adam_constants(step, 1e-3, 0.9, 0.999, 1e-8)
    before = [view(a).copy() for a in arrays]
    formulas.adam(*want, 0.9, 0.999, rate, floor)
    f.adam(*arrays, 0.9, 0.999, rate, floor)
    after = [view(a).copy() for a in arrays]
    for got, expected in zip(arrays, want, strict=True):
        near(got, expected, 4, rate * np.abs(expected).max())
    for array, values in zip(arrays, before, strict=True):
        write(array, values)
    f.adam_on_device(*arrays, f.device.asarray(np.array([0.9, 0.999, rate, floor])))
    assert all(a.tobytes() == view(b).tobytes() for a, b in zip(after, arrays, strict=True))
    frame.check()


def test_arrays_of_two_types_or_with_gaps_are_refused(f):
    frame = Frame(f, "float32", 0, 0)
    a, b = frame.normal(4, 4), f.device.asarray(np.ones((4, 4)))
    with pytest.raises(TypeError):
        f.relu(a, b)
    with pytest.raises(TypeError):
        f.matmul(a, b, a)
    with pytest.raises(ValueError, match="gaps"):
        f.relu(a[:, ::2], a[:, :2])
    with pytest.raises(ValueError, match="product of"):
        f.matmul(a[:, :3], a, a)


def test_more_than_a_kernel_can_count_is_one_line():
    many = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (2**20, 2**12), (0, 0))
    assert one_type(many[1:]) == np.float32
    with pytest.raises(BackendError, match=r"4,294,967,296 numbers.*--batch-size"):
        one_type(many)
    assert plan(65535 * 128, 4, 784).grid[1] == 65535
    with pytest.raises(BackendError, match=r"product of 8,388,481 rows.*--batch-size"):
        plan(65535 * 128 + 1, 4, 784)


@few
@given(SIZES, SIZES, WIDE, TYPES)
def test_a_product_and_relu_are_one_launch_with_the_same_bits(f, B, outputs, inputs, dtype):
    frame = Frame(f, dtype, B, 2)
    x, W, b = frame.normal(B, inputs), frame.normal(outputs, inputs), frame.normal(outputs)
    y, z = frame.empty(B, outputs), frame.empty(B, outputs)
    dy, dx, dz = frame.normal(B, outputs), frame.empty(B, inputs), frame.empty(B, inputs)

    def run():
        f.linear(x, W, b, y)
        f.relu(y, z)
        f.linear_backward_input(dy, W, dx)
        f.relu_backward(x, dx, dz)  # as if x were a ReLU's output

    run()
    apart = [np.array(view(a)) for a in (y, z, dx, dz)]
    for array in (y, z, dx, dz):
        write(array, np.nan)
    f.device.capture(run).launch()
    assert all(a.tobytes() == view(b).tobytes() for a, b in zip(apart, (y, z, dx, dz), strict=True))
    frame.check()


def test_only_neighbours_that_belong_together_are_fused():
    library = Launch(LIBRARY, (), (), ("a", "b", "y", "bias", False), "float32")
    relu = Launch("relu", (1,), (1,), (4, 5, "y", 5, "z", 5), "float32")
    assert may_be_followed(library)
    assert fuse(library, relu).arguments == ("a", "b", "z", "bias", True)
    assert not may_be_followed(fuse(library, relu))
    assert not may_be_followed(library._replace(arguments=("a", "b", "y", None, False)))
    assert fuse(library, relu._replace(arguments=(4, 5, "another", 5, "z", 5))) is None
    product = Launch("product_2", (1,), (1,), (*range(16), *NOTHING), "float32")
    out = product.arguments[10]
    fused = fuse(product, Launch("relu", (1,), (1,), (4, 5, out, 5, "z", 5), "float32"))
    assert fused.arguments == (*range(16), None, 0, "z", 5) and fused.kernel == "product_2"
    assert may_be_followed(product) and not may_be_followed(fused)
    backward = Launch("relu_backward", (1,), (1,), (4, 5, "y", 6, out, 5, "dx", 7), "float32")
    assert fuse(product, backward).arguments == (*range(16), "y", 6, "dx", 7)
    for other in (
        Launch("relu", (1,), (1,), (4, 5, "another array", 5, "z", 5), "float32"),
        Launch("sigmoid", (1,), (1,), (4, 5, out, 5, "z", 5), "float32"),
        Launch("relu_backward", (1,), (1,), (4, 5, out, 5, "dy", 5, "dx", 5), "float32"),
        product,
    ):
        assert fuse(product, other) is None


def test_every_lane_has_its_own_room_for_unfinished_sums(f):
    frame = Frame(f, "float32", 0, 0)
    a, b, out = frame.normal(3, 784), frame.normal(784, 5), frame.empty(3, 5)
    rooms, launch = [], f.device.launch
    f.device.launch = lambda name, grid, block, arguments, dtype: rooms.append(arguments[14:16])
    try:
        for lane in (0, 1, 1):
            f.device.lane = lane
            f.matmul(a, b, out)
    finally:
        f.device.lane, f.device.launch = 0, launch
    assert rooms[0][0] is not rooms[1][0] and rooms[0][1] is not rooms[1][1]
    assert rooms[1][0] is rooms[2][0] and rooms[1][1] is rooms[2][1]


GUARDED = """
import ctypes, mmap
import numpy as np
from host_device import HostDevice
from minivae import VAE
from minivae.backend import CupyBackend
from minivae.cuda.formulas import CudaFormulas
from minivae.data.pixels import Source
from minivae.noise import RowNoise
from minivae.optim import Adam
from minivae.training.steps import open_steps

libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
PAGE, READ, WRITE = mmap.PAGESIZE, 1, 2

class Guarded(HostDevice):
    side = 0  # 0: an array ends where memory that may not be touched begins; 1: it begins there

    def empty(self, shape, dtype):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        pages = -(-max(1, size) // PAGE) * PAGE
        start = libc.mmap(None, pages + 2 * PAGE, READ | WRITE,
                          mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        for guard in (start, start + PAGE + pages):
            assert libc.mprotect(guard, PAGE, 0) == 0
        at = start + PAGE + (0 if self.side else pages - size)
        return np.ndarray(shape, dtype, (ctypes.c_char * size).from_address(at))

for Guarded.side in (0, 1):
    device = Guarded("numpy")
    f = CudaFormulas(device)

    def new(*shape):
        array = device.empty(shape, "float32")
        array[...] = 0.5
        return array

    for B, H, K in [(1, 1, 1), (3, 5, 7), (17, 33, 65), (33, 40, 129), (5, 3, 784)]:
        for f.products.side in (2, 4, 8):
            f.linear(new(B, K), new(H, K), new(H), new(B, H))
            f.linear_backward_input(new(B, H), new(H, K), new(B, K))
            f.linear_backward_weight(new(B, K), new(B, H), new(H, K))
        f.linear_backward_bias(new(B, H), new(H))
        bias = (B, H, new(H), new(B, H), H)
        device.launch("add_bias", (-(-B * H // 256),), (256,), bias, np.dtype("float32"))
        for name in ("relu", "sigmoid", "tanh"):
            getattr(f, name)(new(B, H), new(B, H))
            getattr(f, name + "_backward")(new(B, H), new(B, H), new(B, H))
        f.reparameterize(*(new(B, H) for _ in range(5)))
        f.reparameterize_backward(*(new(B, H) for _ in range(4)))
        f.bernoulli_nll(new(B, H), new(B, H), 1.0, new(B, H))
        f.gaussian_kl(new(B, H), new(B, H), 1.0, 1.0, new(B, H), new(B, H))
        f.bernoulli_log_likelihood(new(B, H), new(B, H), new(B), new(B, H))
        f.gaussian_kl_each(new(B, H), new(B, H), new(B, H))
        f.repeat_rows(new(B, H), new(3 * B, H))
        f.join_rows(new(3 * B, H), new(B, H))
        f.sum_rows(new(B, K))
        f.add_rows(new(B, H), new(B), new(B, H))
        f.normal_log_density(new(B, H), new(B, H))
        f.gaussian_score(new(B, H), new(B, H), new(B, H))
        f.log_base_backward(new(B), new(B, H), new(B, H))
        f.importance_weights(new(B * H), new(B * H), new(B * H), H, 1.0, 1.0)
        f.importance_terms(new(B * H), new(B * H), new(B * H), H, 1.0)
        f.adam(*(new(B * H) for _ in range(4)), 0.9, 0.999, 1e-3, 1e-8)
    vae = VAE(35, (24, 9), 3, backend=CupyBackend(device))
    pixels = np.zeros((9, 35), np.uint8)
    steps = open_steps(vae, Adam(vae.parameters, vae.backend), Source(pixels), 5)
    steps.begin(np.arange(9), RowNoise(0, "eps", 0), RowNoise(0, "binarize", 0))
    steps.step(0)
    steps.step(1)
    assert steps.captured and steps._fused
print("done")
"""


@needs_compiler
@pytest.mark.skipif(sys.platform != "linux", reason="guarded memory is made by Linux's mprotect")
def test_nothing_beside_an_array_is_touched():
    """In a process of its own, which would be killed."""
    paths = [str(Path(__file__).parent), str(Path(formulas.__file__).parents[1])]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(paths))
    found = subprocess.run([sys.executable, "-c", GUARDED], capture_output=True, text=True, env=env)
    assert found.returncode == 0 and found.stdout == "done\n", (found.returncode, found.stderr)
