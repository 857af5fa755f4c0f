"""What layers and models are when nothing is said: sizes, seeds, names."""

import numpy as np

from minivae import VAE, Linear, ReLU, Sequential
from minivae.noise import generator


def test_the_default_model_is_the_one_of_the_readme():
    vae = VAE()
    assert (vae.pixels, vae.hidden, vae.latent, vae.beta, vae.seed) == (784, (256, 128), 20, 1.0, 0)
    assert vae.dtype == np.float32
    assert vae.params["encoder.0.weight"].shape == (256, 784)
    assert vae.params["encoder.4.bias"].shape == (40,)
    assert np.array_equal(vae.theta, VAE(seed=0).theta)


def test_a_linear_layer_of_its_own():
    layer = Linear(3, 2)
    assert layer.name == "Linear"
    assert VAE().encoder.layers[0].name == "encoder.0"
    assert np.array_equal(layer.params["weight"], Linear(3, 2, seed=0).params["weight"])
    assert not np.array_equal(layer.params["weight"], Linear(3, 2, seed=1).params["weight"])


def test_a_sequence_lives_where_its_layers_do():
    layers = [Linear(3, 2), ReLU()]
    sequence = Sequential(layers)
    assert sequence.backend is layers[0].backend
    assert sequence.formulas is layers[0].formulas
    assert list(sequence.params) == list(sequence.grads) == ["0.weight", "0.bias"]


def test_sampling_when_nothing_is_said():
    vae = VAE(6, hidden=(5,), latent=2, dtype="float64")
    assert np.array_equal(vae.sample(3), vae.sample(3, seed=0))
    assert not np.array_equal(vae.sample(3), vae.sample(3, seed=1))
    assert vae.sample(1).shape == (1, 6)
    x = np.random.default_rng(0).random((3, 6))
    assert np.array_equal(vae.log_likelihood(x), vae.log_likelihood(x, samples=100, seed=0))


def test_the_importance_weights_are_those_of_the_draws():
    vae = VAE(6, hidden=(5,), latent=2, dtype="float64", seed=2)
    x = (np.random.default_rng(0).random((3, 6)) < 0.5).astype(float)
    mu, logvar = (one.copy() for one in vae.encode(x))
    rng, weights = generator(4, "importance"), []
    for _ in range(5):
        eps = rng.standard_normal(mu.shape)
        z = mu + np.exp(logvar / 2) * eps
        p = vae.decode(z)
        log_x = np.log(np.where(x > 0, p, 1 - p)).sum(axis=1)
        log_z = -0.5 * (z * z).sum(axis=1)
        log_q = -0.5 * (eps * eps + logvar).sum(axis=1)
        weights.append(log_x + log_z - log_q)
    expected = np.log(np.mean(np.exp(weights), axis=0))
    np.testing.assert_allclose(vae.log_likelihood(x, samples=5, seed=4), expected, rtol=1e-12)


def test_lists_of_numbers_do_as_well_as_arrays():
    vae = VAE(6, hidden=(5,), latent=2)
    assert np.array_equal(vae.decode([[0.5, -1.0]]), vae.decode(np.array([[0.5, -1.0]])))
