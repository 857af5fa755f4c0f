"""An optimum that mathematics gives: a linear VAE with Gaussian pixels is probabilistic PCA.

Tipping and Bishop (1999) have its maximum likelihood in closed form, from the eigenvalues of the
data's covariance; Lucas and others (2019) show that the bound of a linear VAE reaches it.
"""

import math

import numpy as np
import pytest

from minivae import VAE, Adam

ROWS, PIXELS = 40, 8
RNG = np.random.default_rng(0)
DEVIATIONS = np.array([3, 2, 1.5, 1, 0.6, 0.5, 0.4, 0.3])
TURNED = np.linalg.qr(RNG.standard_normal((PIXELS, PIXELS)))[0]
X = RNG.standard_normal((ROWS, PIXELS)) * DEVIATIONS @ TURNED + 1


def least_nll(k):
    """-log p of a row at best: sigma^2 is the mean of the eigenvalues after the first k."""
    values = np.linalg.eigvalsh(np.cov(X.T, bias=True))[::-1]
    rest = (PIXELS - k) * math.log(values[k:].mean())
    return 0.5 * (PIXELS * (math.log(2 * math.pi) + 1) + np.log(values[:k]).sum() + rest)


def trained(k, likelihood, posterior, steps=1500, lr=0.1):
    """Train on the exact bound: it is quadratic in the noise, so that 2 k points give its mean."""
    vae = VAE(PIXELS, (), k, likelihood=likelihood, posterior=posterior, dtype="float64")
    adam = Adam(vae.parameters, vae.backend, lr)
    noise = math.sqrt(k) * np.concatenate([np.eye(k), -np.eye(k)])
    x, eps = np.repeat(X, 2 * k, axis=0), np.tile(noise, (ROWS, 1))
    for step in range(steps):
        adam.lr = lr * 0.5 * (1 + math.cos(math.pi * step / steps))
        terms = vae.step(x, eps)
        adam.step()
    return vae, terms.loss


@pytest.mark.parametrize(
    "likelihood, k", [("gaussian", 1), ("gaussian", 2), ("gaussian", 4), ("gaussian-optimal", 2)]
)
def test_a_linear_vae_reaches_the_maximum_likelihood_of_probabilistic_pca(likelihood, k):
    vae, loss = trained(k, likelihood, "gaussian")
    assert least_nll(k) - 1e-9 < loss < least_nll(k) + 0.01
    best = np.linalg.eigvalsh(np.cov(X.T, bias=True))[: PIXELS - k].mean()
    assert np.exp(vae.params["likelihood.logvar"][0]) == pytest.approx(best, rel=0.02)


def test_a_full_covariance_reaches_it_too_and_no_further():
    assert least_nll(2) - 1e-9 < trained(2, "gaussian", "full")[1] < least_nll(2) + 0.01
