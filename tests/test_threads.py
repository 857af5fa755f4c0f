"""One model asked by several threads at a time, and what processes that share a step must not."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import runs

import minivae
from minivae.backend import is_shared
from minivae.training import Training

MODELS = {
    "dense": {"hidden": (64, 32)},
    "convolutions": {"hidden": "c16k3s2,c32k3s2,16"},  # whose weights are put in place with zeros
    "vamp": {"prior": "vamp:5", "hidden": (16,)},
}


@pytest.mark.parametrize("name", MODELS)
def test_threads_that_ask_one_model_get_what_one_alone_gets(name):
    vae = minivae.VAE(36, latent=3, **MODELS[name])
    rng = np.random.default_rng(0)

    def ask(seed):
        """Return what all ways give for an input of one row, or of several."""
        rows = 1 + seed % 20
        x = runs.images(rows) / np.float32(255)
        z = np.full((rows, 3), seed / 10, np.float32)
        estimate = vae.log_likelihood(x[:2], 3, seed)
        return *vae.encode(x), vae.decode(z), vae.reconstruct(x), vae.sample(rows, seed), estimate

    seeds = rng.permutation(60).tolist()
    right = {seed: ask(seed) for seed in seeds}
    with ThreadPoolExecutor(8) as pool:
        for seed, made in zip(seeds, pool.map(ask, seeds), strict=True):
            for array, expected in zip(made, right[seed], strict=True):
                np.testing.assert_array_equal(array, expected)


def test_what_a_call_returns_is_not_overwritten_by_the_next():
    vae = minivae.VAE(36, (8,), 2)
    first = vae.decode(np.zeros((1, 2)))
    kept = first.copy()
    vae.decode(np.ones((1, 2)))
    np.testing.assert_array_equal(first, kept)
    vae.theta[...] += 1  # and a call sees the parameters as they are
    assert abs(vae.decode(np.zeros((1, 2))) - kept).max() > 0.1


def test_scratch_of_a_convolution_is_its_own():
    vae = minivae.VAE(36, "c4k3s2,8", 2)
    training = Training(vae, runs.dataset(), batch_size=16)
    list(training.run(1, threads=2))
    for model in (vae, vae.twin()):
        layer = model.decoder.layers[-1]
        layer.forward(np.ones((2, 36), np.float32))
        scratch = layer.scratch.get("by block", *layer.scratch._arrays["by block"].shape, "f4")
        assert not is_shared(scratch)
    assert vae.decoder.layers[-1].scratch is not layer.scratch


def test_processes_that_share_convolutions_agree():
    data = runs.dataset(1000)
    made = []
    for threads in (1, 2):
        vae = minivae.VAE(36, "c32k3s2,c64k3s2", 3, dtype="float64")
        list(Training(vae, data, batch_size=64).run(2, threads=threads))
        made.append(vae.theta)
    np.testing.assert_array_equal(*made)
