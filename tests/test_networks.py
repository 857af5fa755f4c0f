"""Layers of networks: derivatives, PyTorch's values, windows, types, memory; as written."""

import math
from pathlib import Path

import numpy as np
import pytest
from differences import NoFloat64
from hypothesis import given, settings
from hypothesis import strategies as st

import minivae
from minivae import VAE, networks
from minivae.backend import NumpyBackend
from minivae.errors import ArgumentError
from minivae.gradcheck import assert_gradients
from minivae.layers import Layer, Linear, Sequential
from minivae.looking.trace.steps import trace_step
from minivae.networks import Conv2d, ConvTranspose2d
from minivae.networks.activations import normal_cdf

GOLDEN = Path(__file__).parent / "golden" / "networks.npz"

# Each listed layer: its arguments, the shape of its input's rows.
PICTURES = {"size": (4, 6), "channels": 3}
CASES = {
    "Conv2d": ((3, 4, 3, 2, 1), {"size": (5, 6)}, (5, 6, 3)),
    "ConvTranspose2d": ((4, 3, (4, 3), 2, 1, 1), {"size": (2, 3)}, (2, 3, 4)),
    "Residual": ((2, 3), {"size": (3, 4)}, (3, 4, 2)),
    "GroupNorm": ((2, 6), {}, (5, 6)),
    "LayerNorm": ((12,), {}, (12,)),
    "BatchNorm": ((6,), {}, (5, 6)),
    "BatchNorm training": ((6, 1e-4, 0.3), {}, (5, 6)),
    "AvgPool2d": ((2,), PICTURES, (4, 6, 3)),
    "MaxPool2d": ((3, 2), {"size": (5, 7), "channels": 2}, (5, 7, 2)),
    "Upsample": ((2,), PICTURES, (4, 6, 3)),
    "Planes": ((3,), {}, (12,)),
    "Label": ((4, 3), {}, (2, 3)),
    "Dropout": ((0.3, 8), {}, (8,)),
    "LeakyReLU": ((0.2,), {}, (8,)),
    "SiLU": ((), {}, (8,)),
    "GELU": ((), {}, (8,)),
    "GELU tanh": (("tanh",), {}, (8,)),
    "ELU": ((1.5,), {}, (8,)),
    "Softplus": ((), {}, (8,)),
    "PReLU": ((4,), {}, (2, 4)),
}
KINDS = {kind.__name__: kind for kind in networks.LAYERS}


def make(name, **settings):
    """Return the layer, its parameters none of their first values, and its input's width."""
    arguments, how, shape = CASES[name]
    layer = KINDS[name.split()[0]](*arguments, **how, **settings)
    for i, view in enumerate(layer.params.values()):
        view[...] += 0.3 * draw(100 + i, *view.shape)
    networks.tell(layer, np.array([2]))
    networks.learning(layer, "training" in name)
    return layer, int(np.prod(shape))


each = pytest.mark.parametrize("name", CASES)
row_by_row = pytest.mark.parametrize("name", [name for name in CASES if "training" not in name])


def test_every_listed_layer_has_a_case():
    assert {name.split()[0] for name in CASES} == set(KINDS)


def draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


@each
def test_derivatives(name):
    layer, width = make(name, dtype="float64")
    assert_gradients(layer, draw(0, 3, width))


@row_by_row
def test_windows_are_the_whole(name):
    (whole, width), (shared, _) = make(name, dtype="float64"), make(name, dtype="float64")
    x = draw(0, 7, width)
    y = whole.forward(x).copy()
    dy = draw(1, *y.shape)
    dx = whole.backward(dy).copy()
    shared.backward(shared.forward(x))  # buffers that hold something else
    kept = x.copy(), dy.copy()
    shared.forward(kept[0])
    shared.backward_input(kept[1])
    y_parts, dx_parts = np.empty_like(y), np.empty_like(dx)
    for rows in (slice(0, 3), slice(3, 4), slice(4, 7)):
        window = shared.window(rows)
        y_parts[rows] = window.forward(kept[0][rows])
        dx_parts[rows] = window.backward_input(kept[1][rows])
    shared.gradients()
    # The same sums, perhaps in another order.
    np.testing.assert_allclose(y_parts, y, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(dx_parts, dx, rtol=1e-12, atol=1e-13)
    for key, grad in whole.grads.items():
        np.testing.assert_allclose(shared.grads[key], grad, rtol=1e-11, atol=1e-12, err_msg=key)


@each
def test_parts_of_the_gradients_make_the_whole(name):
    layer, width = make(name, dtype="float64")
    if not layer.splits:
        return
    y = layer.forward(draw(0, 4, width))
    layer.backward(draw(1, *y.shape))
    flat, whole = layer.parameters.grad, layer.parameters.grad.copy()
    weight = layer.params["weight"]
    row, bias = weight.size // len(weight), weight.size
    for start, stop in ((0, 2 * row), (row, bias), (bias, bias + 1), (2 * row, bias + 2)):
        flat[...] = np.nan
        layer.gradients(slice(start, stop))
        np.testing.assert_allclose(flat[start:stop], whole[start:stop], rtol=1e-12, atol=1e-13)
        assert np.isnan(flat[:start]).all() and np.isnan(flat[stop:]).all()


@each
def test_float32_stays_and_nothing_is_allocated_once_warm(name):
    class Watching(NumpyBackend):
        made = 0

        def empty(self, shape, dtype):
            Watching.made += 1
            return super().empty(shape, dtype)

    layer, width = make(name, backend=Watching())
    rows = draw(0, 6, width).astype(np.float32).view(NoFloat64)
    for n in (6, 2, 6, 1):
        y = layer.forward(rows[:n])
        dx = layer.backward(np.ones(y.shape, np.float32).view(NoFloat64))
        assert (y.dtype, dx.dtype, dx.shape) == (np.float32, np.float32, (n, width))
        Watching.made = 0 if n == 6 else Watching.made
    assert Watching.made == 0


THEIRS = [
    name for name in CASES if name not in ("Residual", "Planes", "Label", "Dropout")
]  # labels: test_labels.py


@pytest.mark.parametrize("name", THEIRS)
def test_values_and_gradients_are_pytorchs(name):
    """tests/golden/make_networks.py made them; other sums of the same numbers part in rounding."""
    layer, _ = make(name, dtype="float64")
    with np.load(GOLDEN) as file:
        golden = {key.removeprefix(f"{name}: "): file[key] for key in file if f"{name}:" in key}
    close = dict(rtol=1e-10, atol=1e-11)
    for key, view in layer.params.items():
        view[...] = golden[key]
    np.testing.assert_allclose(layer.forward(golden["x"]), golden["y"], **close)
    np.testing.assert_allclose(layer.backward(golden["dy"]), golden["dx"], **close)
    for key, grad in layer.grads.items():
        if key.startswith("running"):
            assert not grad.any()
            np.testing.assert_allclose(layer.params[key], golden[f"{key} after"], **close)
        else:
            np.testing.assert_allclose(grad, golden[f"d{key}"], err_msg=key, **close)


def test_the_normal_distribution_is_maths():
    """math.erfc is the C library's."""
    x = np.concatenate([np.linspace(-12, 12, 1001), [0.0, -37.0, 40.0]])
    wanted = np.array([0.5 * math.erfc(-v / 2**0.5) for v in x])
    np.testing.assert_allclose(normal_cdf(x), wanted, rtol=3e-15 * 12**2)  # z^2 has rounded
    single = normal_cdf(x.astype(np.float32))
    assert single.dtype == np.float32
    near = np.abs(x) < 5
    np.testing.assert_allclose(single[near], wanted[near], rtol=3e-6)


GEOMETRY = st.tuples(
    *(st.tuples(st.integers(1, high), st.integers(1, high)) for high in (5, 4)),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    st.integers(0, 10**6),
)


@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
@settings(max_examples=25)
@given(GEOMETRY)
def test_convolutions_are_pytorchs(kind, geometry):
    torch = pytest.importorskip("torch", reason="PyTorch is no dependency")
    kernel, stride, padding, size, (inputs, outputs, B), seed = geometry
    how = [kernel, stride, padding]
    if kind is ConvTranspose2d:
        how.append(tuple(seed % s for s in stride))
    try:
        layer = kind(inputs, outputs, *how, size=size, dtype="float64", seed=seed)
    except ArgumentError:
        return  # PyTorch refuses those too: no pixel would be left
    theirs = getattr(torch.nn, kind.__name__)(inputs, outputs, *how, dtype=torch.float64)
    theirs.load_state_dict({n: torch.tensor(np.array(v)) for n, v in layer.params.items()})
    x = draw(seed, B, *size, inputs)
    given = torch.tensor(np.moveaxis(x, 3, 1).copy(), requires_grad=True)
    wanted = theirs(given)
    dy = draw(seed + 1, B, *layer.out_size, outputs)
    wanted.backward(torch.tensor(np.moveaxis(dy, 3, 1).copy()))
    y = layer.forward(x.reshape(B, -1)).reshape(dy.shape)
    dx = layer.backward(dy.reshape(B, -1)).reshape(x.shape)
    close = dict(rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(np.moveaxis(y, 3, 1), wanted.detach().numpy(), **close)
    np.testing.assert_allclose(np.moveaxis(dx, 3, 1), given.grad.numpy(), **close)
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(layer.grads[name], parameter.grad.numpy(), **close)


def test_a_kernel_that_does_not_fit_is_said():
    with pytest.raises(ArgumentError, match="4x4 does not fit into 3x9"):
        Conv2d(1, 1, 4, size=(3, 9))
    with pytest.raises(ArgumentError, match="leaves nothing"):
        ConvTranspose2d(1, 1, 1, 1, 3, size=(2, 9))
    with pytest.raises(ArgumentError, match="smaller than the stride"):
        ConvTranspose2d(1, 1, 3, 2, 1, 2, size=(2, 9))


# --- What is written down ---------------------------------------------------------------------


def kinds(network):
    return [type(layer).__name__ for layer in network.layers]


def test_a_written_network_and_its_mirror():
    vae = VAE(9 * 11, "c3, c4k3s1,5", 2, image_shape=(9, 11))
    assert vae.hidden == ("c3", "c4k3s1", 5)
    assert kinds(vae.encoder) == ["Conv2d", "ReLU", "Conv2d", "ReLU", "Linear", "ReLU", "Linear"]
    assert kinds(vae.decoder) == [
        *("Linear", "ReLU", "Linear", "ReLU", "ConvTranspose2d", "ReLU", "ConvTranspose2d"),
    ]
    assert [layer.out_size for layer in vae.encoder.layers[0:4:2]] == [(4, 5), (4, 5)]
    assert [layer.out_size for layer in vae.decoder.layers[4::2]] == [(4, 5), (9, 11)]
    assert vae.params["encoder.2.weight"].shape == (4, 3, 3, 3)
    assert vae.params["decoder.6.weight"].shape == (3, 1, 4, 4)


@pytest.mark.parametrize(
    "hidden, where",
    [
        ("c32,x", "'x'"),
        ("256,c32", "c32 comes after 256"),
        ("c0", "'c0'"),
        ("c8k2s2,c8k2,c8k2", "c8k2: its kernel of 2x2 does not fit into pictures of 1x1"),
        ("c8,c8,c8,c8", "hidden c8: its kernel of 4x4 does not fit into pictures of 1x1"),
        (("c8", "8"), "'8'"),
        ("12,", "''"),
        ("12,-3", "'-3'"),
        ((3, 2.5), "2.5"),
        ("r8k3", "'r8k3'"),
        ("12s2n", "'12s2n'"),
        ("12,r8", "r8 comes after 12"),
    ],
)
def test_what_cannot_be_is_named(hidden, where):
    with pytest.raises(ArgumentError, match=where):
        VAE(36, hidden, 2)


def test_convolutions_need_a_picture():
    with pytest.raises(ArgumentError, match="image_shape"):
        VAE(35, "c4", 2)
    with pytest.raises(ArgumentError, match="image_shape \\(5, 6\\) is none of 35 pixels"):
        VAE(35, "c4", 2, image_shape=(5, 6))
    assert VAE(35, "c4", 2, image_shape=(5, 7)).image_shape == (5, 7)


def test_blocks_norms_and_activations_as_written():
    vae = VAE(36, "c16n,r8,5n", 2, activation="silu")
    first = ["Conv2d", "GroupNorm", "SiLU", "Residual", "SiLU", "Linear", "LayerNorm", "SiLU"]
    assert kinds(vae.encoder) == [*first, "Linear"]
    assert kinds(vae.decoder) == [
        *("Linear", "LayerNorm", "SiLU", "Linear", "SiLU", "Residual"),
        *("GroupNorm", "SiLU", "ConvTranspose2d"),
    ]
    assert vae.encoder.layers[1].groups == 8
    assert kinds(VAE(36, "c4,5", 2, norm="layer").encoder)[1] == "LayerNorm"
    assert kinds(VAE(36, "c6,5", 2, norm="group").encoder)[1:5:3] == ["GroupNorm", "LayerNorm"]
    for wrong, known in (({"activation": "gel"}, "gelu-tanh"), ({"norm": "x"}, "group")):
        with pytest.raises(ArgumentError, match=known):
            VAE(36, **wrong)


def test_a_saved_network_comes_back(tmp_path):
    vae = VAE(36, "c2n,r3,4", 2, activation="elu", norm="layer", image_shape=(4, 9))
    x = np.random.default_rng(0).random((3, 36))
    minivae.save(tmp_path / "a.npz", vae)
    again = minivae.load(tmp_path / "a.npz")
    assert again.spec() == vae.spec()
    np.testing.assert_array_equal(again.reconstruct(x), vae.reconstruct(x))


@pytest.mark.parametrize(
    "hidden", ["c2k3s1,2", pytest.param("c2k3s1,r2,2", marks=pytest.mark.slow)]
)
def test_a_training_step_of_convolutions(hidden):
    how = {"activation": "elu", "norm": "group"}
    vae = VAE(8, hidden, 2, dtype="float64", image_shape=(2, 2, 2), **how)
    rng = np.random.default_rng(0)
    assert_gradients(vae, rng.random((2, 8)), rng.standard_normal((2, 2)))


class Square(Layer):
    """A layer of one's own, as the README has it."""

    def forward(self, x):
        self.x = x
        return np.multiply(x, x, out=self.like("y", x))

    def backward_input(self, dy):
        return np.multiply(2 * self.x, dy, out=self.like("dx", dy))


def own(inputs, outputs):
    return Sequential([Linear(inputs, 5), Square(), Linear(5, outputs, seed=1)])


def test_layers_of_ones_own(tmp_path):
    encoder, decoder = own(12, 6), own(3, 12)
    vae = VAE(12, (encoder, decoder), 3, dtype="float64")
    np.testing.assert_array_equal(vae.params["encoder.0.weight"], encoder.params["0.weight"])
    rng = np.random.default_rng(0)
    before = encoder.params["0.weight"].copy()
    assert_gradients(vae, rng.random((3, 12)), rng.standard_normal((3, 3)))
    vae.theta[...] = 0
    np.testing.assert_array_equal(encoder.params["0.weight"], before)
    with pytest.raises(ArgumentError, match="not saved"):
        minivae.save(tmp_path / "a.npz", vae)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ArgumentError, match=r"Sequential makes \(1, 5\).*\(1, 6\) is needed"):
        VAE(12, (own(12, 5), decoder), 3)
    with pytest.raises(ArgumentError, match="encoder and decoder"):
        VAE(12, (encoder,), 3)


@pytest.mark.parametrize(
    "how", [{"hidden": "c2"}, {"norm": "layer"}, {"activation": "elu"}], ids=str
)
def test_what_knows_widths_alone_says_so(how):
    vae, x = VAE(16, **{"hidden": (4,), "latent": 2, **how}), np.zeros((3, 16))
    with pytest.raises(ArgumentError, match="the trace knows widths"):
        trace_step(vae, x)
    with pytest.raises(ArgumentError, match="the explorer's page knows widths"):
        vae.plain("the explorer's page")
    VAE(16, (4,), 2).plain("anything")
