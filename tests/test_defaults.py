"""What layers and models are when nothing is said: sizes, seeds, names."""

import numpy as np

from minivae import VAE, Linear, ReLU, Sequential


def test_the_default_model_is_the_one_of_the_readme():
    vae = VAE()
    assert (vae.pixels, vae.hidden, vae.latent, vae.beta, vae.seed) == (784, (256, 128), 20, 1.0, 0)
    assert vae.dtype == np.float32
    assert vae.params["encoder.0.weight"].shape == (256, 784)
    assert vae.params["encoder.4.bias"].shape == (40,)
    assert np.array_equal(vae.theta, VAE(seed=0).theta)


def test_a_linear_layer_of_its_own():
    layer = Linear(3, 2)
    assert layer.name == "linear"
    assert Linear(3, 2, prefix="encoder.0.").name == "encoder.0"
    assert np.array_equal(layer.params["weight"], Linear(3, 2, seed=0).params["weight"])
    assert not np.array_equal(layer.params["weight"], Linear(3, 2, seed=1).params["weight"])


def test_a_sequence_lives_where_its_layers_do():
    layers = [Linear(3, 2), ReLU()]
    sequence = Sequential(layers)
    assert sequence.backend is layers[0].backend
    assert sequence.formulas is layers[0].formulas
    assert list(sequence.params) == list(sequence.grads) == ["0.weight", "0.bias"]
