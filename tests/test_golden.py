"""Ten training steps against PyTorch's, computed in float64 by tests/golden/make_golden.py."""

from pathlib import Path

import numpy as np
import pytest

from minivae import VAE, Adam
from minivae.data.pixels import Source
from minivae.training.crew import can_fork
from minivae.training.steps import Steps

# (relative to each number, relative to the largest of its tensor). Both sides sum the same numbers
# in other orders. In float64 a rounding is 1e-16, and ten steps let none of them grow beyond 1e-12.
# In float32 it is 6e-8: of the largest number in a sum, so that a small result has no digits of its
# own to be held to; a few dozen of them add up in a gradient, which gives some 1e-6.
DOUBLE, SINGLE = (1e-9, 0.0), (0.0, 5e-6)

with np.load(Path(__file__).parent / "golden" / "golden.npz") as file:
    GOLDEN = dict(file)
BATCHES = GOLDEN["batches"].tolist()


def start(dtype):
    """Return the model and the optimizer as PyTorch had them before the first step."""
    vae = VAE(
        GOLDEN["images"].shape[1],
        hidden=GOLDEN["hidden"].tolist(),
        latent=int(GOLDEN["latent"]),
        beta=float(GOLDEN["beta"]),
        dtype=dtype,
    )
    names = [name.removeprefix("start ") for name in GOLDEN if name.startswith("start ")]
    assert names == list(vae.params)
    for name, view in vae.params.items():
        view[...] = GOLDEN[f"start {name}"]
    beta1, beta2 = GOLDEN["betas"].tolist()
    lr, eps = float(GOLDEN["lr"]), float(GOLDEN["adam_eps"])
    return vae, Adam(vae.parameters, vae.backend, lr, beta1, beta2, eps)


def close(actual, expected, tolerance, what):
    rtol, share = tolerance
    atol = share * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol, err_msg=what)


def follows(vae, step, tolerance):
    """Compare the gradients and parameters as they stand after a step with PyTorch's."""
    for name in vae.params:
        close(vae.grads[name], GOLDEN[f"grad {name}"][step], tolerance, f"step {step}: d{name}")
        close(vae.params[name], GOLDEN[f"theta {name}"][step], tolerance, f"step {step}: {name}")


@pytest.mark.parametrize("dtype, tolerance", [("float64", DOUBLE), ("float32", SINGLE)])
def test_ten_steps_are_pytorchs(dtype, tolerance):
    vae, adam = start(dtype)
    cuts = np.cumsum(BATCHES)[:-1]
    order, noise = np.split(GOLDEN["order"], cuts), np.split(GOLDEN["eps"], cuts)
    for step, (rows, eps) in enumerate(zip(order, noise, strict=True)):
        terms = vae.step(GOLDEN["images"][rows] / 255, eps)
        close(np.array(terms), GOLDEN["terms"][step], tolerance, f"step {step}: loss, nll, kl")
        adam.step()
        follows(vae, step, tolerance)


class Noise:
    """PyTorch's noise of one epoch, row by row."""

    def __init__(self, rows):
        self.rows = rows

    def normal(self, first, out):
        out[...] = self.rows[first : first + len(out)]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype, tolerance", [("float64", DOUBLE), ("float32", SINGLE)])
def test_ten_steps_over_threads_are_pytorchs(dtype, tolerance, threads):
    vae, adam = start(dtype)
    images, epochs = GOLDEN["images"], GOLDEN["order"].reshape(2, -1)
    noise = GOLDEN["eps"].reshape(2, epochs.shape[1], -1)
    steps = Steps(vae, adam, Source(images), BATCHES[0], threads)
    assert steps.members == (threads if can_fork() else 1)
    for epoch, order in enumerate(epochs):
        steps.begin(order, Noise(noise[epoch]), None)
        for i in range(len(BATCHES) // 2):
            step = epoch * len(BATCHES) // 2 + i
            loss = steps.step(i)
            assert loss == pytest.approx(GOLDEN["terms"][step, 0], rel=sum(tolerance))
            follows(vae, step, tolerance)
        sums = [n * GOLDEN["terms"][step - 4 + i, 1:] for i, n in enumerate(BATCHES[:5])]
        assert steps.totals() == pytest.approx(tuple(np.sum(sums, axis=0)), rel=sum(tolerance))
