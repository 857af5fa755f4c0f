"""The whole model: its loss written out again, every gradient by differences, shares, bounds."""

import copy
import math
import pickle
from itertools import pairwise

import numpy as np
import pytest
from differences import CLOSE, NoFloat64, slope
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae import VAE, MinivaeError
from minivae import vae as module
from minivae.backend import NumpyBackend
from minivae.training import sharing
from minivae.training.sharing import parts


def small(**settings):
    """Return a VAE of every kind of layer that is quick to differentiate numerically."""
    return VAE(6, **{"hidden": (5, 4), "latent": 2, "seed": 1, "dtype": "float64"} | settings)


def batch(vae, n, seed=0):
    rng = np.random.default_rng(seed)
    x, eps = rng.random((n, vae.pixels)), rng.standard_normal((n, vae.latent))
    return x.astype(vae.dtype), eps.astype(vae.dtype)


def network(vae, name, x):
    """Return a network's output, computed from the parameters alone."""
    last = 2 * len(vae.hidden)
    for i in range(0, last + 1, 2):
        x = x @ vae.params[f"{name}.{i}.weight"].T + vae.params[f"{name}.{i}.bias"]
        x = np.where(x > 0, x, 0) if i < last else x
    return x


def loss_written_out(vae, x, eps):
    """Return (nll, kl) as the paper has them: log p of each pixel, KL of two normals."""
    stats = network(vae, "encoder", x)
    mu, sigma = stats[:, : vae.latent], np.sqrt(np.exp(stats[:, vae.latent :]))
    p = 1 / (1 + np.exp(-network(vae, "decoder", mu + sigma * eps)))
    nll = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1).mean()
    kl = -0.5 * (1 + np.log(sigma**2) - mu**2 - sigma**2).sum(axis=1).mean()
    return nll, kl


def gradients_hold(vae, x, eps, gradients=None):
    """Compare the gradients that a step left, or those given, with differences of its loss."""
    if gradients is None:
        vae.step(x, eps)
        gradients = {name: grad.copy() for name, grad in vae.grads.items()}
    for name, parameter in vae.params.items():
        numeric = slope(lambda: float(vae.step(x, eps).loss), parameter)
        np.testing.assert_allclose(gradients[name], numeric, **CLOSE, err_msg=name)


# --- the loss ------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
def test_the_loss_is_the_papers(hidden, beta):
    vae = small(hidden=hidden, beta=beta)
    vae.theta[...] *= 3  # away from the prior
    x, eps = batch(vae, 7)
    terms = vae.step(x, eps)
    nll, kl = loss_written_out(vae, x, eps)
    assert terms.nll == pytest.approx(nll, rel=1e-12)
    assert terms.kl == pytest.approx(kl, rel=1e-12)
    assert terms.loss == pytest.approx(nll + beta * kl, rel=1e-12)


def test_units_are_nats_per_image():
    """A batch twice over has the same loss and the same gradients."""
    vae = small()
    x, eps = batch(vae, 3)
    once = vae.step(x, eps)
    grad = vae.grad.copy()
    twice = vae.step(np.concatenate([x, x]), np.concatenate([eps, eps]))
    assert twice.loss == pytest.approx(once.loss, rel=1e-13)
    np.testing.assert_allclose(vae.grad, grad, rtol=1e-11, atol=1e-15)


def test_names_and_shapes_are_those_of_the_pytorch_model():
    shapes = {
        name: view.shape for name, view in VAE(784, hidden=(256, 128), latent=20).params.items()
    }
    assert shapes == {
        "encoder.0.weight": (256, 784), "encoder.0.bias": (256,),
        "encoder.2.weight": (128, 256), "encoder.2.bias": (128,),
        "encoder.4.weight": (40, 128), "encoder.4.bias": (40,),
        "decoder.0.weight": (128, 20), "decoder.0.bias": (128,),
        "decoder.2.weight": (256, 128), "decoder.2.bias": (256,),
        "decoder.4.weight": (784, 256), "decoder.4.bias": (784,),
    }  # fmt: skip


# --- gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
@settings(max_examples=4)
@given(st.integers(0, 10**6))
def test_every_parameters_gradient(beta, seed):
    vae = small(seed=seed, beta=beta)
    vae.theta[...] += 0.05  # so that few units are dead
    x, eps = batch(vae, 4, seed)
    if _near_a_kink(vae, x, eps):
        return
    gradients_hold(vae, x, eps)


def test_examples_are_not_all_near_a_kink():
    near = [_near_a_kink(small(seed=s), *batch(small(seed=s), 4, s)) for s in range(100)]
    assert sum(near) < 20


def _near_a_kink(vae, x, eps):
    """Tell whether some ReLU's input is so near 0 that a difference may cross the kink."""
    vae.step(x, eps)
    linears = [layer for layer in vae.leaves() if layer.shapes]
    inputs = [layer.x @ layer.params["weight"].T + layer.params["bias"] for layer in linears]
    return min(np.abs(a).min() for a in inputs) < 20 * 1e-5


def test_gradients_belong_to_the_noise_that_the_forward_used():
    """With other noise in the backward pass alone, every test of gradients above must fail."""
    vae = small(seed=3)
    x, eps = batch(vae, 4)
    gradients_hold(vae, x, eps)

    sampler = vae.posterior.sampler
    backward = sampler.backward

    def with_other_noise(*arguments):
        sampler.noise = sampler.noise[::-1].copy()
        backward(*arguments)

    sampler.backward = with_other_noise
    with pytest.raises(AssertionError, match=r"encoder\.0\.weight"):
        gradients_hold(vae, x, eps)


def test_nothing_of_the_last_step_is_left_in_this_one():
    vae, fresh = small(), small()
    vae.step(*batch(vae, 9, seed=5))
    x, eps = batch(vae, 4)
    vae.step(x, eps)
    fresh.step(x, eps)
    assert np.array_equal(vae.grad, fresh.grad)


def test_a_step_leaves_its_inputs_and_the_parameters_alone():
    vae = small()
    x, eps = batch(vae, 4)
    before = vae.theta.copy(), x.copy(), eps.copy()
    vae.step(x, eps)
    assert all(np.array_equal(a, b) for a, b in zip(before, (vae.theta, x, eps), strict=True))


@pytest.mark.parametrize("cuts", [(0, 4, 8), (0, 1, 8), (0, 3, 5, 8)])
@pytest.mark.parametrize("shares", [1, 2, 3])
def test_a_batch_in_parts_has_the_same_gradients(cuts, shares):
    """Each window of a model, once warm, computes its rows; then parts of the gradients follow."""
    whole, shared = small(hidden=(7, 5)), small(hidden=(7, 5))
    x, eps = batch(whole, 8)
    terms = whole.step(x, eps)
    shared.step(x[::-1].copy(), eps)  # other images: nothing of them may be left
    given = next(layer for layer in shared.leaves() if "x" in layer.kept)
    given.x[...] = x  # the first layer keeps the batch itself
    rows = [slice(a, b) for a, b in pairwise(cuts)]
    windows = [shared.window(one) for one in rows]
    values = [
        window.bound.step(window, x[one], eps[one], 1 / 8, window.beta)
        for window, one in zip(windows, rows, strict=True)
    ]
    nll, kl = np.sum(values, axis=0)
    shared.grad[...] = np.nan
    for part in parts(shared, shares):
        shared.gradients(part)
    assert nll == pytest.approx(terms.nll, rel=1e-13)
    assert kl == pytest.approx(terms.kl, rel=1e-13)
    np.testing.assert_allclose(shared.grad, whole.grad, rtol=1e-11, atol=1e-15)


def test_float32_creates_no_float64():
    class Watching(NumpyBackend):
        def empty(self, shape, dtype):
            return super().empty(shape, dtype).view(NoFloat64)

        def asarray(self, array, dtype=None):
            return array if isinstance(array, NoFloat64) else super().asarray(array, dtype)

    vae = VAE(6, hidden=(5,), latent=2, backend=Watching())
    x, eps = (a.view(NoFloat64) for a in batch(vae, 130))
    vae.step(x, eps)
    assert vae.grad.dtype == np.float32
    vae.bound.terms(vae, x, eps)


def test_float32_follows_float64():
    single, double = small(dtype="float32", hidden=(64, 32)), small(hidden=(64, 32))
    double.theta[...] = single.theta
    x, eps = batch(single, 100)
    terms, exact = single.step(x, eps), double.step(x, eps)
    # Sums of up to 100 numbers below 1, each rounded by 6e-8: a few millionths of the largest.
    assert terms.loss == pytest.approx(exact.loss, rel=2e-6)
    for name, grad in double.grads.items():
        np.testing.assert_allclose(
            single.grads[name], grad, rtol=0, atol=4e-6 * np.abs(grad).max(), err_msg=name
        )


# --- what a model can do -------------------------------------------------------------------------


@pytest.fixture
def in_small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 4)


def test_encode_decode_reconstruct_by_blocks(in_small_blocks):
    vae = small()
    x, _ = batch(vae, 11)
    stats = network(vae, "encoder", x)
    mu, logvar = vae.encode(x)
    np.testing.assert_allclose(np.hstack([mu, logvar]), stats, rtol=1e-12)

    def probabilities(z):
        return 1 / (1 + np.exp(-network(vae, "decoder", z)))

    np.testing.assert_allclose(vae.decode(mu), probabilities(mu), rtol=1e-12)
    np.testing.assert_allclose(vae.reconstruct(x), probabilities(mu), rtol=1e-12)


def test_samples_are_decoded_draws_of_the_prior(in_small_blocks):
    vae = small()
    samples = vae.sample(9, seed=3)
    assert samples.shape == (9, 6)
    assert ((samples > 0) & (samples < 1)).all()
    assert np.array_equal(samples, vae.sample(9, seed=3))
    assert not np.array_equal(samples, vae.sample(9, seed=4))
    drawn = []
    vae.decode = lambda z: drawn.append(z) or z
    vae.sample(20_000)
    # Standard errors of mean and variance of 40,000 draws: 0.005 and 0.007. Five of each.
    assert abs(drawn[0].mean()) < 0.025
    assert abs(drawn[0].var() - 1) < 0.035


def test_terms_are_the_steps_loss_image_by_image():
    vae = small()
    x, eps = batch(vae, 6)
    terms = vae.step(x, eps)
    log_likelihood, kl = vae.bound.terms(vae, x, eps)
    assert log_likelihood.shape == kl.shape == (6,)
    assert -log_likelihood.mean() == pytest.approx(terms.nll, rel=1e-12)
    assert kl.mean() == pytest.approx(terms.kl, rel=1e-12)
    for i in range(6):
        nll_i, kl_i = loss_written_out(vae, x[i : i + 1], eps[i : i + 1])
        assert log_likelihood[i] == pytest.approx(-nll_i, rel=1e-12)
        assert kl[i] == pytest.approx(kl_i, rel=1e-12)


@pytest.fixture
def one_dimension():
    """A model of one latent dimension, and log p(x) of some images by quadrature."""
    vae = small(latent=1, hidden=(5,), seed=2)
    for name, parameter in vae.params.items():
        parameter *= 2 if "decoder" in name else 1  # so that the posterior is not the prior
    x = (batch(vae, 5)[0] > 0.5).astype(np.float64)
    z, width = np.linspace(-9, 9, 3601, retstep=True)
    p = 1 / (1 + np.exp(-network(vae, "decoder", z[:, None])))
    joint = np.prod(np.where(x[:, None, :] == 1, p, 1 - p), axis=2) * np.exp(-(z**2) / 2)
    return vae, x, np.log(joint.sum(axis=1) * width / math.sqrt(2 * math.pi))


def test_importance_weighted_bound_tends_to_log_p(one_dimension):
    vae, x, log_p = one_dimension
    # The weights p/q vary by a factor of about 2: the mean of 5,000 is known to 2%.
    np.testing.assert_allclose(vae.log_likelihood(x, samples=5000), log_p, rtol=0, atol=0.06)


def test_importance_weighted_bounds_are_ordered(one_dimension):
    """Their means grow with the number of draws, from the ELBO towards log p (Burda et al.)."""
    vae, x, log_p = one_dimension

    def mean_bound(samples, repeats):
        return vae.log_likelihood(np.tile(x, (repeats, 1)), samples).mean()

    nodes, weights = np.polynomial.hermite_e.hermegauss(30)
    weights = weights / weights.sum()
    elbo = 0.0
    for eps, weight in zip(nodes, weights, strict=True):  # E over eps, by quadrature
        nll, kl = loss_written_out(vae, x, np.full((len(x), 1), eps))
        elbo -= weight * (nll + kl)
    # One draw varies by 1.25 nats: the mean of 50,000 by 0.006. Five times that.
    assert mean_bound(1, 10_000) == pytest.approx(elbo, abs=0.03)
    assert elbo + 0.1 < mean_bound(5, 1000) < log_p.mean()


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings, word",
    [
        ({"pixels": 0}, "pixels"),
        ({"latent": 0}, "latent"),
        ({"hidden": (3, 0)}, "hidden"),
        ({"beta": -1.0}, "beta"),
        ({"beta": float("nan")}, "beta"),
        ({"seed": -1}, "seed"),
        ({"dtype": "float16"}, "dtype"),
        ({"backend": "torch"}, "backend"),
    ],
)
def test_impossible_settings_are_refused(settings, word):
    with pytest.raises(MinivaeError, match=word) as caught:
        VAE(**{"pixels": 6} | settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda vae: vae.step(np.zeros((2, 7)), np.zeros((2, 2))),
        lambda vae: vae.step(np.zeros((2, 6)), np.zeros((2, 3))),
        lambda vae: vae.step(np.zeros((2, 6)), np.zeros((3, 2))),
        lambda vae: vae.step(np.zeros((0, 6)), np.zeros((0, 2))),
        lambda vae: vae.encode(np.zeros(6)),
        lambda vae: vae.decode(np.zeros((1, 6))),
        lambda vae: vae.reconstruct(np.zeros((2, 2, 3))),
        lambda vae: vae.sample(0),
        lambda vae: vae.log_likelihood(np.zeros((1, 6)), samples=0),
    ],
)
def test_wrong_shapes_and_counts_are_refused(call):
    with pytest.raises(MinivaeError):
        call(small())


def pieces(vae, batch, draws=1):
    """Return (first parameter, work) of what is not cut: rows of weights, numbers of biases."""
    found = []
    for name, place in vae.parameters.slices.items():
        rows = batch * (draws if name.startswith("decoder") else 1)
        shape, size = vae.params[name].shape, place.stop - place.start
        times = max(1, 64 / min(shape)) if len(shape) == 2 else 12  # products slowed, and sums
        work = size * (int(rows * times) + sharing.ADAM) + sharing.CALL
        found += [(place.start + i * size // shape[0], work / shape[0]) for i in range(shape[0])]
    return np.array(found)


def works(vae, n, batch, draws=1):
    """Return the work of each of n parts, and that of the largest piece."""
    first, work = pieces(vae, batch, draws).T
    parted = [work[(first >= part.start) & (first < part.stop)] for part in parts(vae, n, batch)]
    return np.array([one.sum() for one in parted]), work.max()


def test_parts_end_with_a_layer_where_they_nearly_do():
    vae = VAE()  # 784-256-128-20: half of the work lies just before the encoder's end
    assert parts(vae, 2)[0].stop == vae.parameters.slices["decoder.0.weight"].start
    third = parts(vae, 3)[0].stop  # inside the first weight, far from its ends
    assert third % 784 == 0 and third > 50 * 784
    work, piece = works(vae, 3, 128)
    assert abs(work[0] - work.mean()) < piece


@pytest.mark.parametrize(("draws", "batch"), [(5, 128), (50, 32)])
def test_parts_have_equal_work_where_a_decoder_passes_several_draws(draws, batch):
    vae = VAE(bound=f"iwae:{draws}")
    work, _ = works(vae, 2, batch, draws)
    assert parts(vae, 2, batch)[0].stop > vae.parameters.slices["decoder.0.weight"].start
    assert abs(work[0] / work[1] - 1) < 0.01


def test_a_convolutions_parameters_are_used_at_every_position():
    vae = VAE(64, hidden="c4,8", latent=2)
    assert [layer.uses for layer in vae.encoder.leaves() if layer.shapes] == [16, 1, 1]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 50])
def test_parts_are_the_whole_vector_and_nearly_equal(n):
    vae = small(hidden=(7, 5))
    cut = parts(vae, n)
    assert [i for part in cut for i in range(vae.theta.size)[part]] == list(range(vae.theta.size))
    starts = pieces(vae, 128)[:, 0]
    assert all(part.start in starts for part in cut if part.start < vae.theta.size)
    work, piece = works(vae, n, 128)
    near = vae.theta.size // 64 * sharing.CALL / 4  # numbers moved to an end; 4: the least bias
    assert abs(work - work.mean()).max() <= piece + near


@pytest.mark.parametrize("again", [copy.deepcopy, lambda vae: pickle.loads(pickle.dumps(vae))])
def test_a_copy_is_a_model_of_its_own(again):
    vae = small(seed=5)
    x, eps = batch(vae, 4)
    vae.step(x, eps)
    other = again(vae)
    assert other.theta.tobytes() == vae.theta.tobytes()
    assert other.step(x, eps) == vae.step(x, eps)
    other.theta[...] = 0
    assert not other.params["encoder.0.weight"].any()  # views of its own vector
    assert vae.theta.any()


@pytest.mark.parametrize("again", [lambda vae: vae.twin(), lambda vae: vae.window(slice(0, 2))])
def test_a_twin_or_window_is_the_same_model(again):
    """Its vectors are the model's own: what is copied by `pickle` must not be."""
    vae = small(seed=5)
    vae.step(*batch(vae, 4))
    other = again(vae)
    assert other.theta is vae.theta and other.grad is vae.grad
    assert other.backend is vae.backend
    assert np.shares_memory(other.params["encoder.0.weight"], vae.theta)
