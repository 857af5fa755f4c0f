"""Layers: each backward against differences, shares of a batch, buffers that stay."""

import itertools

import numpy as np
import pytest
from differences import CLOSE, NoFloat64, slope
from hypothesis import given
from hypothesis import strategies as st

from minivae import Linear, ReLU, Reparameterize, Sequential, Sigmoid, Tanh
from minivae.backend import NumpyBackend
from minivae.formulas import bernoulli_nll
from minivae.layers import Buffers

ACTIVATIONS = [ReLU, Sigmoid, Tanh]


def draw(seed, *shape):
    """Return normal numbers of which none is near ReLU's kink."""
    x = np.random.default_rng(seed).standard_normal(shape)
    return np.where(np.abs(x) < 1e-3, 1e-3, x)


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 6), st.integers(1, 6))
def test_linear(seed, B, inputs, outputs):
    layer = Linear(inputs, outputs, seed=seed, dtype="float64")
    x, dy = draw(seed, B, inputs), draw(seed + 1, B, outputs)

    def value():
        return float((layer.forward(x) * dy).sum())

    weight, bias = layer.params["weight"], layer.params["bias"]
    np.testing.assert_allclose(layer.forward(x), x @ weight.T + bias, rtol=1e-12, atol=1e-14)
    dx = layer.backward(dy)
    np.testing.assert_allclose(dx, slope(value, x), **CLOSE)
    np.testing.assert_allclose(layer.grads["weight"], slope(value, weight), **CLOSE)
    np.testing.assert_allclose(layer.grads["bias"], slope(value, bias), **CLOSE)


def test_parts_of_a_linear_layers_gradients_make_the_whole():
    """However the flat vector is cut between rows: each part writes what lies in it, no more."""
    layer = Linear(5, 4, dtype="float64")
    layer.forward(draw(0, 6, 5))
    layer.backward(draw(1, 6, 4))
    flat = layer.grads["weight"].base
    whole = flat.copy()
    ends = [0, 5, 10, 15, 20, 21, 22, 23, 24]
    for start, stop in itertools.combinations(ends, 2):
        flat[...] = np.nan
        layer.gradients(slice(start, stop))
        np.testing.assert_allclose(flat[start:stop], whole[start:stop], rtol=1e-13)
        assert np.isnan(flat[:start]).all()
        assert np.isnan(flat[stop:]).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 5))
def test_activations(activation, seed, B, H):
    layer = activation()
    x, dy = draw(seed, B, H), draw(seed + 1, B, H)
    layer.forward(x)
    dx = layer.backward(dy).copy()
    numeric = slope(lambda: float((layer.forward(x) * dy).sum()), x)
    np.testing.assert_allclose(dx, numeric, **CLOSE)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_sequential(activation):
    network = Sequential(
        [Linear(4, 5, seed=1, dtype="float64"), activation(), Linear(5, 3, seed=2, dtype="float64")]
    )
    assert list(network.params) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    x, dy = draw(3, 6, 4), draw(4, 6, 3)
    network.forward(x)
    dx = network.backward(dy).copy()

    def value():
        return float((network.forward(x) * dy).sum())

    np.testing.assert_allclose(dx, slope(value, x), **CLOSE)
    for name, parameter in network.params.items():
        np.testing.assert_allclose(
            network.grads[name], slope(value, parameter), **CLOSE, err_msg=name
        )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_write_over_what_the_linear_beside_them_gave(activation):
    """To the bits that they have with arrays of their own; in twins, and in windows, too."""
    linear, last = Linear(4, 5, seed=1), Linear(5, 3, seed=2)
    alone = Linear(4, 5, seed=1), activation(), Linear(5, 3, seed=2)
    joined = Sequential([linear, activation(), last])
    x, dy = draw(3, 6, 4).astype("f4"), draw(4, 6, 3).astype("f4")

    def passed(network, rows):
        y, dx = network.forward(x[rows]).copy(), network.backward_input(dy[rows]).copy()
        first, function, second = network.layers
        assert np.shares_memory(function.y, first.buffers.get("y", len(y), 5, "f4"))
        assert np.shares_memory(first.dy, second.buffers.get("dx", len(y), 5, "f4"))
        return y, dx

    def expected(rows):
        y = x[rows]
        for layer in alone:
            y = layer.forward(y)
        y, dx = y.copy(), dy[rows]
        for layer in reversed(alone):
            dx = layer.backward_input(dx)
        return y, dx

    whole = slice(0, 6)
    for network, rows in ((joined, whole), (joined.twin(), whole)):
        for made, wanted in zip(passed(network, rows), expected(rows), strict=True):
            np.testing.assert_array_equal(made, wanted)
    some = slice(2, 5)
    for made, wanted in zip(passed(joined.window(some), some), expected(some), strict=True):
        np.testing.assert_array_equal(made, wanted)


def test_nothing_is_written_over_that_a_layer_of_ones_own_may_need():
    class Squared(Linear):
        """Its output's square, which it needs on its way back."""

        def forward(self, x):
            self.out = super().forward(x)
            return np.multiply(self.out, self.out, out=self.like("square", self.out))

        def backward_input(self, dy):
            return super().backward_input(2 * self.out * dy)

    class Squares(ReLU):
        """ReLU's square, by its input."""

        def forward(self, x):
            self.x, y = x, self.like("y", x)
            return np.multiply(x * x, x > 0, out=y)

        def backward_input(self, dy):
            dx = np.multiply(2 * self.x, self.x > 0, out=self.like("dx", dy))
            dx *= dy
            return dx

    ends = {"dtype": "float64"}
    for layers in ([Squared(4, 5, **ends), ReLU()], [Linear(4, 5, **ends), Squares()]):
        network = Sequential([*layers, Linear(5, 3, **ends)])
        x, dy = draw(3, 6, 4), draw(4, 6, 3)
        network.forward(x)
        dx = network.backward(dy).copy()
        numeric = slope(lambda: float((network.forward(x) * dy).sum()), x)  # noqa: B023
        np.testing.assert_allclose(dx, numeric, **CLOSE)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_activation_taken_from_a_network_leaves_its_arguments_alone(activation):
    function = Sequential([Linear(4, 5), activation(), Linear(5, 3)]).layers[1]
    x, dy = draw(0, 6, 5), draw(1, 6, 5)
    before = x.copy(), dy.copy()
    function.forward(x)
    function.backward_input(dy)
    np.testing.assert_array_equal((x, dy), before)


def test_sigmoid_followed_by_cross_entropy_gives_the_fused_gradient():
    """The VAE's loss takes logits; the layer Sigmoid, which decoding uses, must agree with it."""
    logits, x = draw(0, 4, 6), np.random.default_rng(1).random((4, 6))
    sigmoid = Sigmoid()
    p = sigmoid.forward(logits)
    through_layer = sigmoid.backward((p - x) / (p * (1 - p)))
    fused = np.empty_like(logits)
    bernoulli_nll(logits, x, 1.0, fused)
    np.testing.assert_allclose(through_layer, fused, rtol=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 5))
def test_reparameterize(seed, B, Z):
    layer = Reparameterize()
    mu, logvar, eps, dz = (draw(seed + i, B, Z) for i in range(4))
    z = layer.forward(mu, logvar, eps)
    np.testing.assert_allclose(z, mu + np.sqrt(np.exp(logvar)) * eps, rtol=1e-13)
    dmu, dlogvar = np.ones_like(mu), np.full_like(mu, 2.0)
    layer.backward(dz, dmu, dlogvar)

    def value():
        return float((layer.forward(mu, logvar, eps) * dz).sum())

    np.testing.assert_allclose(dmu - 1, slope(value, mu), **CLOSE)
    np.testing.assert_allclose(dlogvar - 2, slope(value, logvar), **CLOSE)


def test_windows_are_the_whole():
    def network():
        layers = [Linear(4, 5, seed=1), Tanh(), Linear(5, 3, seed=2), Sigmoid()]
        return Sequential(layers)

    x, dy = draw(0, 7, 4).astype(np.float32), draw(1, 7, 3).astype(np.float32)
    whole, shared = network(), network()
    y = whole.forward(x)
    dx = whole.backward(dy)
    kept = x[::-1].copy(), dy[::-1].copy()
    shared.forward(kept[0])
    shared.backward(kept[1])
    kept[0][...], kept[1][...] = x, dy  # what the first and the last layer keep
    y_parts, dx_parts = np.empty_like(y), np.empty_like(dx)
    for rows in (slice(0, 3), slice(3, 4), slice(4, 7)):
        window = shared.window(rows)
        y_parts[rows] = window.forward(x[rows])
        dx_parts[rows] = window.backward_input(dy[rows])
    shared.gradients()
    # The same sums, perhaps in another order: a few float32 roundings of numbers near 1.
    np.testing.assert_allclose(y_parts, y, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dx_parts, dx, rtol=1e-5, atol=1e-6)
    for name, grad in whole.grads.items():
        np.testing.assert_allclose(shared.grads[name], grad, rtol=1e-5, atol=1e-6, err_msg=name)


def test_buffers_are_kept_also_for_a_smaller_last_batch():
    class Counting(NumpyBackend):
        made = 0

        def empty(self, shape, dtype):
            Counting.made += 1
            return super().empty(shape, dtype)

    backend = Counting()
    network = Sequential(
        [Linear(4, 5, backend=backend), ReLU(backend), Linear(5, 3, backend=backend)]
    )
    x, dy = np.ones((8, 4), np.float32), np.ones((8, 3), np.float32)

    def pass_through(n):
        network.forward(x[:n])
        network.backward(dy[:n])

    pass_through(8)
    made = Counting.made
    for n in (8, 3, 8, 1):
        pass_through(n)
    assert Counting.made == made


@pytest.mark.parametrize("layers", [[Linear(4, 3), ReLU()], [Linear(4, 3), Tanh(), Sigmoid()]])
def test_float32_creates_no_float64(layers):
    class Watching(NumpyBackend):
        def empty(self, shape, dtype):
            return super().empty(shape, dtype).view(NoFloat64)

    for layer in layers:
        layer.buffers.backend = Watching()
    network = Sequential(layers)
    network.forward(np.ones((5, 4), np.float32).view(NoFloat64))
    network.backward(np.ones((5, 3), np.float32).view(NoFloat64))


def test_initial_values_are_pytorchs():
    """Uniform in ±1/sqrt(fan_in), weights and biases: so many draws come near both ends."""
    layer = Linear(400, 300, seed=3, dtype="float64")
    for values in layer.params.values():  # 300 or more draws: none beyond 0.9 once in 10^13
        assert 0.9 * 0.05 < values.max() < 0.05
        assert -0.05 < values.min() < -0.9 * 0.05
    # The variance of a uniform number in ±a is a^2/3; of 120,000 draws, within 1%.
    assert layer.params["weight"].var() == pytest.approx(0.05**2 / 3, rel=0.01)
    assert not np.array_equal(
        layer.params["weight"], Linear(400, 300, seed=4, dtype="float64").params["weight"]
    )


def test_buffers_have_the_sizes_and_type_that_are_asked_for():
    buffers = Buffers(NumpyBackend())
    first = buffers.get("a", 3, 4, np.float32)
    for rows in (3, 2):
        again = buffers.get("a", rows, 4, np.float32)
        assert again.shape == (rows, 4) and np.shares_memory(again, first)
    for rows, columns, dtype in ((3, 4, np.float64), (3, 5, np.float64), (4, 5, np.float64)):
        array = buffers.get("a", rows, columns, dtype)
        assert (array.shape, array.dtype) == ((rows, columns), dtype)
        assert not np.shares_memory(array, first)
