"""The formulas in JavaScript, their ways back, random numbers and training: Python's numbers."""

import math

import numpy as np
import pytest
from node import needs_node, run

from minivae import formulas as f
from minivae.noise import generator
from minivae.optim import Adam
from minivae.vae import VAE

pytestmark = needs_node
RNG = np.random.default_rng(5)
CLOSE = dict(rtol=1e-12, atol=1e-13)


def flat(array):
    return np.asarray(array).ravel().tolist()


def call(name, outputs, **arrays):
    """Return (value, arrays written) of a formula; `outputs`: the sizes of what it writes."""
    made = ", ".join(f"new Float64Array({size})" for size in outputs)
    given = ", ".join(
        f"Float64Array.from({key})" if isinstance(value, list) else key
        for key, value in arrays.items()
        if key != "last"
    )
    last = f", {arrays.pop('last')}" if "last" in arrays else ""
    code = f"const out = [{made}]; const value = formulas.{name}({given}, ...out{last});"
    result = run(
        code + "return [typeof value === 'number' ? value : 0, ...out.map((o) => [...o])];",
        **arrays,
    )
    return result[0], [np.array(out) for out in result[1:]]


def test_linear_and_its_ways_back():
    x, weight, bias, dy = (RNG.standard_normal(shape) for shape in ((5, 3), (4, 3), 4, (5, 4)))
    dy[2, 1] = 0  # a number that the loops skip
    y, dx, dweight, dbias = np.empty((5, 4)), np.empty((5, 3)), np.empty((4, 3)), np.empty(4)
    f.linear(x, weight, bias, y)
    f.linear_backward_input(dy, weight, dx)
    f.linear_backward_weight(x, dy, dweight)
    f.linear_backward_bias(dy, dbias)
    arrays = dict(x=flat(x), weight=flat(weight), bias=flat(bias), dy=flat(dy))
    for name, keys, last, ours in (
        ("linear", ("x", "weight", "bias"), {}, y),
        ("linearBackwardInput", ("dy", "weight"), {"last": 4}, dx),
        ("linearBackwardWeight", ("x", "dy"), {"last": 4}, dweight),
        ("linearBackwardBias", ("dy",), {}, dbias),
    ):
        _, (made,) = call(name, [ours.size], **{key: arrays[key] for key in keys}, **last)
        np.testing.assert_allclose(made, ours.ravel(), **CLOSE)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
def test_activations(name):
    x, dy = RNG.standard_normal((2, 1, 12)) * 3
    y, dx = np.empty_like(x), np.empty_like(x)
    getattr(f, name)(x, y)
    getattr(f, f"{name}_backward")(y, dy, dx)
    np.testing.assert_allclose(call(name, [12], x=flat(x))[1][0], y[0], **CLOSE)
    back = call(f"{name}Backward", [12], y=flat(y), dy=flat(dy))[1][0]
    np.testing.assert_allclose(back, dx[0], **CLOSE)


def test_a_draw_and_its_way_back():
    mu, logvar, eps, dz = RNG.standard_normal((4, 6))
    noise, z = call("reparameterize", [6, 6], mu=flat(mu), logvar=flat(logvar), eps=flat(eps))[1]
    np.testing.assert_allclose(noise, np.exp(logvar / 2) * eps, **CLOSE)
    np.testing.assert_allclose(z, mu + np.exp(logvar / 2) * eps, **CLOSE)
    dmu, dlogvar = call("reparameterizeBackward", [6, 6], dz=flat(dz), noise=flat(noise))[1]
    np.testing.assert_allclose(dmu, dz, **CLOSE)
    np.testing.assert_allclose(dlogvar, dz * noise / 2, **CLOSE)


def test_the_terms_of_the_loss():
    """Against the closed forms, in NumPy's own functions."""
    l, x = RNG.standard_normal(8) * 20, RNG.random(8)
    value, (dl,) = call("bernoulliNll", [8], l=flat(l), x=flat(x), scale=0.25)
    assert value == pytest.approx(0.25 * (np.logaddexp(0, l) - x * l).sum(), rel=1e-12)
    np.testing.assert_allclose(dl, 0.25 * (0.5 + np.tanh(l / 2) / 2 - x), rtol=1e-9, atol=1e-13)

    mean = RNG.standard_normal(8)
    value, (dmean,) = call("gaussianNll", [8], mean=flat(mean), x=flat(x), scale=0.25, last=0.3)
    density = np.exp(-((x - mean) ** 2) / (2 * 0.3**2)) / (0.3 * math.sqrt(2 * math.pi))
    assert value == pytest.approx(-0.25 * np.log(density).sum(), rel=1e-12)
    np.testing.assert_allclose(dmean, 0.25 * (mean - x) / 0.3**2, **CLOSE)

    mu, logvar = RNG.standard_normal((2, 8))
    value, (dmu, dlogvar) = call(
        "gaussianKl", [8, 8], mu=flat(mu), logvar=flat(logvar), beta=3.0, scale=0.25
    )
    closed = (mu**2 + np.exp(logvar) - 1 - logvar).sum() / 2
    assert value == pytest.approx(0.25 * closed, rel=1e-12)
    np.testing.assert_allclose(dmu, 0.75 * mu, **CLOSE)
    np.testing.assert_allclose(dlogvar, 0.375 * (np.exp(logvar) - 1), rtol=1e-11)


@pytest.mark.parametrize(
    ("seed", "purpose", "step"), [(0, "eps", 0), (7, "initial encoder.0.", 3), (2**31, "é", 1)]
)
def test_uniform_numbers_are_numpys_to_the_bit(seed, purpose, step):
    numbers = run(
        "const uniform = random.generator(seed, purpose, step);"
        "return Array.from({length: 11}, uniform);",
        seed=seed, purpose=purpose, step=step,
    )  # fmt: skip
    assert numbers == generator(seed, purpose, step).random(11).tolist()


def test_normal_numbers_and_orders_are_what_they_say():
    numbers, order = run(
        "const uniform = random.generator(1, 'x');"
        "return [[...random.normals(20001, uniform)], [...random.permutation(100, uniform)]];"
    )
    numbers = np.array(numbers)
    assert abs(numbers.mean()) < 4 / 20001**0.5
    assert abs(numbers.var() - 1) < 4 * (2 / 20001) ** 0.5
    assert abs((numbers**4).mean() - 3) < 4 * (96 / 20001) ** 0.5
    assert abs(np.corrcoef(numbers[:-1:2], numbers[1::2])[0, 1]) < 0.04
    assert sorted(order) == list(range(100))
    assert order != sorted(order)


def python_noise(seed, epoch, count):
    """The noise of an epoch by Box and Muller, from NumPy's own uniform numbers."""
    u = generator(seed, "eps", epoch).random(2 * count).reshape(-1, 2)
    radius, angle = np.sqrt(-2 * np.log1p(-u[:, 0])), 2 * np.pi * u[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()[:count]


def python_losses(data, hidden, latent, batch, seed, steps, beta=1.0, lr=1e-3):
    """Losses of `steps` steps of our own engine, from the seed alone."""
    vae = VAE(data.shape[1], hidden, latent, beta, seed, "float64")
    adam, losses, epoch = Adam(vae.parameters, vae.backend, lr), [], 0
    while len(losses) < steps:
        order = np.argsort(generator(seed, "order", epoch).random(len(data)))
        eps = python_noise(seed, epoch, len(data) * latent).reshape(len(data), latent)
        for start in range(0, len(data), batch):
            rows = order[start : start + batch]
            losses.append(vae.step(data[rows], eps[start : start + batch]))
            adam.step()
        epoch += 1
    return np.array(losses)[:steps], vae


@pytest.mark.parametrize("hidden", [(16,), (12, 8)], ids=str)
def test_the_same_seed_gives_pythons_losses(hidden):
    data = RNG.random((50, 30)) * (RNG.random((50, 30)) < 0.4)
    settings = dict(hidden=list(hidden), latent=2, batch=16, seed=3, steps=24, beta=0.5, lr=3e-3)
    made = run(
        "const vae = new Vae({pixels: 30, hidden, latent, beta, seed});"
        "const batches = new Batches(Float64Array.from(data.flat()), 30, latent, batch, seed);"
        "const losses = [];"
        "for (let i = 0; i < steps; i++) {"
        "  const {x, eps} = batches.next(); const t = vae.step(x, eps); vae.update(lr);"
        "  losses.push([t.loss, t.nll, t.kl]); }"
        "return {losses, theta: [...vae.theta], names: Object.keys(vae.params)};",
        data=data.tolist(), **settings,
    )  # fmt: skip
    losses, vae = python_losses(data, **settings)
    np.testing.assert_allclose(made["losses"], losses, rtol=1e-9)
    np.testing.assert_allclose(made["theta"], vae.theta, rtol=0, atol=1e-8)
    assert made["names"] == list(vae.params)


def test_the_value_alone_is_the_steps_loss():
    one, two, mu = run(
        "const vae = new Vae({pixels: 6, hidden: [5], latent: 3, beta: 2, likelihood: 'gaussian'});"
        "const uniform = random.generator(0, 'x');"
        "const x = Float64Array.from({length: 24}, uniform), eps = random.normals(12, uniform);"
        "const {mu} = vae.encode(x);"
        "return [vae.step(x, eps).loss, vae.value(x, eps), mu.length];"
    )
    assert one == pytest.approx(two, rel=1e-14)
    assert mu == 12
