"""Lesson 8 in numbers: one step with all its gradients, a short training, and what z then holds.

The explanations are in 08-the-whole-step.md; `--long` trains four models on the whole of
MNIST and compares them, `--picture FILE.png` trains one with two latent dimensions and draws it.
"""

import argparse

import numpy as np

import minivae
from minivae import formulas as f
from minivae.looking.latent import active_units
from minivae.noise import normal, permutation
from minivae.optim import Adam

SEED, HIDDEN = 1, 2
X = np.array([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.5, 1.0]])
EPS = np.array([[0.5], [-1.0]])


def one_step():
    """4 pixels, 2 hidden units, 1 latent dimension: every gradient beside its difference."""
    vae = minivae.VAE(4, hidden=(HIDDEN,), latent=1, seed=SEED, dtype="float64")
    x, eps = X.copy(), EPS.copy()
    terms = vae.step(x, eps)
    print(f"loss {terms.loss:.6f} = nll {terms.nll:.6f} + kl {terms.kl:.6f}")
    grads, h = {name: grad.copy() for name, grad in vae.grads.items()}, 1e-5
    for name, theta in vae.params.items():
        numeric = np.empty_like(theta)
        for index in np.ndindex(theta.shape):
            kept = theta[index]
            theta[index] = kept + h
            up = vae.step(x, eps).loss
            theta[index] = kept - h
            numeric[index] = (up - vae.step(x, eps).loss) / (2 * h)
            theta[index] = kept
        close = np.abs(numeric - grads[name]).max() < 1e-9
        first = grads[name].ravel()[0]
        print(f"{name:<17} first {first:9.6f}   all {'equal' if close else 'NOT EQUAL'} to 1e-9")
    print()


def training(data, latent=2, beta=1.0, images=3000, epochs=10, batch=100):
    """Train a model, with nothing hidden: order, noise, step, update."""
    vae = minivae.VAE(784, hidden=(32,), latent=latent, beta=beta, seed=0, dtype="float64")
    adam = Adam(vae.parameters, vae.backend, lr=3e-3)
    rows = data.train[:images] / 255
    for epoch in range(epochs):
        order, total = permutation(0, "order", epoch, images), 0.0
        eps = normal(0, "eps", epoch, (images, latent), "float64")
        for start in range(0, images, batch):
            batch_rows = order[start : start + batch]
            total += vae.step(rows[batch_rows], eps[batch_rows]).loss * len(batch_rows)
            adam.step()
        if epoch in (0, 1, 4, 9):
            print(f"epoch {epoch + 1:2d}: loss {total / images:.1f}")
    print()
    return vae


def log_p(vae, x):
    """Return log p(x) of each image, by a sum over a grid of the two latent dimensions."""
    line = np.linspace(-5, 5, 121)
    z = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    best, total = np.full(len(x), -np.inf), np.zeros(len(x))
    for start in range(0, len(z), 5000):
        part = z[start : start + 5000]
        logits = vae.decoder.forward(part)
        softplus = np.logaddexp(0, logits).sum(axis=1)
        joint = x @ logits.T - softplus - (part**2).sum(axis=1) / 2  # (N, part)
        top = np.maximum(best, joint.max(axis=1))
        total = total * np.exp(best - top) + np.exp(joint - top[:, None]).sum(axis=1)
        best = top
    return best + np.log(total * (line[1] - line[0]) ** 2 / (2 * np.pi))


def at_mu(vae, x):
    """Return nll at z = mu plus the KL: what some programs print as their loss."""
    mu, logvar = vae.encode(x)
    likelihood = np.empty(len(x), vae.dtype)
    logits = vae.decoder.forward(np.ascontiguousarray(mu))
    f.bernoulli_log_likelihood(logits, x, likelihood)
    return (f.gaussian_kl_each(mu, logvar, np.empty_like(mu)).sum(axis=1) - likelihood).mean()


def losses(vae, mu, logvar, x, draws=40):
    """Return (loss with z drawn, loss at z = mu, KL), means over the images x."""
    rng, kl = np.random.default_rng(0), f.gaussian_kl_each(mu, logvar, np.empty_like(mu))
    likelihood, drawn = np.empty(len(x), vae.dtype), 0.0
    for k in range(draws + 1):
        eps = rng.standard_normal(mu.shape, vae.dtype) if k < draws else 0  # the last: at mu
        logits = vae.decoder.forward(mu + np.exp(logvar / 2) * eps)
        f.bernoulli_log_likelihood(logits, x, likelihood)
        if k < draws:
            drawn -= likelihood.mean() / draws
    kl = kl.sum(axis=1).mean()
    return drawn + kl, kl - likelihood.mean(), kl


def fit_q(vae, x, steps=150, copies=4):
    """Return mu and logvar fitted to each image by itself, with the decoder as it is."""
    stats = np.concatenate(vae.encode(x), axis=1)  # begin where the encoder ends
    m, v = np.zeros_like(stats), np.zeros_like(stats)
    rng, many = np.random.default_rng(1), np.repeat(x, copies, axis=0)
    dlogits = np.empty_like(many)
    for step in range(1, steps + 1):
        mu, logvar = np.split(np.repeat(stats, copies, axis=0), 2, axis=1)
        dmu, dlogvar = np.empty_like(mu), np.empty_like(mu)
        eps = rng.standard_normal(mu.shape)
        z = vae.posterior.sampler.forward(mu, logvar, eps)
        f.bernoulli_nll(vae.decoder.forward(z), many, 1 / copies, dlogits)
        f.gaussian_kl(mu, logvar, 1.0, 1 / copies, dmu, dlogvar)
        vae.posterior.sampler.backward(vae.decoder.backward_input(dlogits), dmu, dlogvar)
        dstats = np.concatenate([dmu, dlogvar], axis=1).reshape(len(x), copies, -1).sum(axis=1)
        rate, floor = f.adam_constants(step, 0.05 * (1 - step / (steps + 1)), 0.9, 0.999, 1e-8)
        f.adam(stats, dstats, m, v, 0.9, 0.999, rate, floor)
    return np.split(stats, 2, axis=1)


def no_bound(vae, data):
    x = data.test[:50] / 255
    print(f"-log p(x), summed over a grid    {-log_p(vae, x).mean():.1f}")
    print(f"100 importance samples           {-vae.log_likelihood(x, 100).mean():.1f}")
    print("                                 z drawn   z = mu")
    for name, q in (("q of the encoder", vae.encode(x)), ("q fitted to each image", fit_q(vae, x))):
        drawn, at_mu, _ = losses(vae, *q, x)
        print(f"{name:<32} {drawn:<9.1f} {at_mu:.1f}")
    print()


def units(vae, x):
    """Print what each latent dimension carries."""
    mu, logvar = vae.encode(x)
    kl = f.gaussian_kl_each(mu, logvar, np.empty_like(mu)).mean(axis=0)
    sigma = np.exp(logvar / 2).mean(axis=0)
    for unit in range(vae.latent):
        print(
            f"unit {unit}: variance of mu {mu[:, unit].var():.2f}   mean sigma {sigma[unit]:.2f}"
            f"   KL {kl[unit]:.2f} nats"
        )
    print(f"active units: {active_units(mu)} of {vae.latent}")
    print()


def long(data):
    """Train what `minivae train` does, on 60,000 images; measure it on 10,000 others."""
    print("beta   test nll   test kl   z drawn   z = mu   100 samples   active of 20")
    x = (data.test[:1000] / 255).astype(np.float32)
    for beta in (0.1, 1.0, 4.0, 20.0):
        vae = minivae.VAE(784, hidden=(256, 128), latent=20, beta=beta)
        *_, record = minivae.train(vae, data, epochs=10)
        drawn, at_mu, _ = losses(vae, *vae.encode(x), x, draws=10)
        print(
            f"{beta:<6} {record.test_nll:<10.1f} {record.test_kl:<9.1f} {drawn:<9.1f} {at_mu:<8.1f}"
            f" {-vae.log_likelihood(x, 100).mean():<13.1f} {active_units(vae.encode(x)[0])}"
        )


def live():
    """Return what the page's live figure, and the step to play, start from."""
    return {"seed": SEED, "hidden": HIDDEN, "x": X.tolist(), "eps": EPS.tolist()}


def picture(data, file):
    import matplotlib.pyplot as plt
    from PIL import Image

    vae = minivae.VAE(latent=2)
    for record in minivae.train(vae, data, epochs=20):
        print(f"for the picture, epoch {record.epoch}: test loss {record.test_loss:.1f}")
    mu, _ = vae.encode(data.test[:3000] / 255)
    line = np.linspace(-2.5, 2.5, 13)
    z = np.stack(np.meshgrid(line, line[::-1]), axis=-1).reshape(-1, 2)
    tiles = vae.decode(z).reshape(13, 13, 28, 28).swapaxes(1, 2).reshape(13 * 28, 13 * 28)
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.8), layout="constrained")
    points = left.scatter(*mu.T, c=data.test_labels[:3000], cmap="tab10", s=2)
    figure.colorbar(points, ax=left, ticks=range(10), label="digit")
    left.set(xlabel="mu 0", ylabel="mu 1", xlim=(-4, 4), ylim=(-4, 4))
    right.imshow(tiles, cmap="gray_r", extent=(-2.7, 2.7, -2.7, 2.7))
    right.set(xlabel="z 0", ylabel="z 1")
    figure.savefig(file, dpi=80)
    with Image.open(file) as full:  # fewer colours, a third of the size
        small = full.convert("RGB").quantize(64, Image.Quantize.MAXCOVERAGE)
    small.save(file, optimize=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", metavar="FILE.png")
    parser.add_argument("--long", action="store_true")
    arguments = parser.parse_args()
    data = minivae.load_data("mnist")
    if arguments.long:
        long(data)
        return
    one_step()
    vae = training(data)
    no_bound(vae, data)
    units(vae, data.test[:500] / 255)
    print("beta 40:")
    units(training(data, beta=40.0, epochs=5), data.test[:500] / 255)
    if arguments.picture:
        picture(data, arguments.picture)


if __name__ == "__main__":
    main()
