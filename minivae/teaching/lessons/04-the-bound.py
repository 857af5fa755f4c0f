"""Lesson 4 in numbers: log p(x), its bound and the gap between them, for a model small enough.

The explanations are in 04-the-bound.md; `--picture FILE.png` draws the bound and the posteriors.
"""

import argparse

import numpy as np

import minivae
from minivae import formulas as f

Z = np.linspace(-8, 8, 4001)  # every integral is a sum over a line; 20 would need a grid
X = np.array([[1.0, 0.0, 1.0, 1.0]])


def model():
    vae = minivae.VAE(4, hidden=(3,), latent=1, seed=1, dtype="float64")
    for name, view in vae.params.items():
        if name.startswith("decoder"):
            view *= 4  # initial weights are small; larger ones bend the posterior
    return vae


def log_normal(z, mu, logvar):
    return -0.5 * (np.log(2 * np.pi) + logvar + (z - mu) ** 2 / np.exp(logvar))


def integral(values):
    return values.sum() * (Z[1] - Z[0])


def log_joint(vae):
    """Return log p(x|z) + log p(z) for every z of the line."""
    logits = vae.decoder.forward(Z[:, None])
    log_likelihood = np.empty(len(Z))
    x = np.repeat(X, len(Z), axis=0)
    f.bernoulli_log_likelihood(logits, x, log_likelihood)
    return log_likelihood + log_normal(Z, 0, 0)


def bound(joint, mu, logvar):
    """Return (E_q[log p(x|z)], KL(q || prior), KL(q || posterior)) by integration."""
    log_q = log_normal(Z, mu, logvar)
    q = np.exp(log_q)
    log_posterior = joint - np.log(integral(np.exp(joint)))
    likelihood = integral(q * (joint - log_normal(Z, 0, 0)))
    return (
        likelihood,
        integral(q * (log_q - log_normal(Z, 0, 0))),
        integral(q * (log_q - log_posterior)),
    )


def identity(vae, joint):
    mu, logvar = (part.item() for part in vae.encode(X))
    log_p = np.log(integral(np.exp(joint)))
    likelihood, kl, gap = bound(joint, mu, logvar)
    print(f"log p(x)                         {log_p:.6f}")
    print(f"E_q[log p(x|z)]                  {likelihood:.6f}")
    print(f"KL(q || prior)                   {kl:.6f}")
    print(f"the bound, their difference      {likelihood - kl:.6f}")
    print(f"KL(q || posterior)               {gap:.6f}")
    print(f"bound + KL(q || posterior)       {likelihood - kl + gap:.6f}")
    print()


def other_encoders(joint):
    print("  mu  logvar     bound       gap")
    for mu, logvar in ((0.0, 0.0), (1.0, 0.0), (0.5, -0.4), (0.5, -4.0)):
        likelihood, kl, gap = bound(joint, mu, logvar)
        print(f"{mu:4.1f}  {logvar:6.1f}  {likelihood - kl:8.4f}  {gap:8.4f}")
    print()


def one_sample(vae):
    """Print a step's loss over many draws of eps: it is minus the bound."""
    n = 20000
    x = np.repeat(X, n, axis=0)
    eps = np.random.default_rng(0).standard_normal((n, 1))
    terms = vae.step(x, eps)
    print(f"loss {terms.loss:.3f} = nll {terms.nll:.3f} + kl {terms.kl:.3f}")
    print()


def more_samples(vae):
    x = np.repeat(X, 2000, axis=0)
    print("samples K   importance-weighted bound")
    for samples in (1, 2, 10, 100):
        print(f"{samples:<11d} {vae.log_likelihood(x, samples).mean():.3f}")


def live():
    """Return what the page's live figure starts from."""
    return {"z": Z[::5].tolist(), "joint": log_joint(model())[::5].tolist()}


def picture(file):
    import matplotlib.pyplot as plt

    vae = model()
    joint = log_joint(vae)
    log_p = np.log(integral(np.exp(joint)))
    mu, logvar = (part.item() for part in vae.encode(X))
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    left.plot(Z, np.exp(joint - log_p), label="posterior p(z|x)")
    left.plot(Z, np.exp(log_normal(Z, mu, logvar)), "--", label="q(z|x) of the encoder")
    left.plot(Z, np.exp(log_normal(Z, 0, 0)), ":", label="prior p(z)")
    left.set(xlabel="z", xlim=(-4, 4))
    left.legend(fontsize=8)
    places = np.linspace(-2, 2, 81)
    for logvar in (-2.0, -0.4, 0.5):
        bounds = [np.subtract(*bound(joint, place, logvar)[:2]) for place in places]
        right.plot(places, bounds, label=f"bound, logvar = {logvar}")
    right.axhline(log_p, color="black", label="log p(x)")
    right.set(xlabel="mu")
    right.legend(fontsize=8)
    figure.savefig(file, dpi=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", metavar="FILE.png")
    arguments = parser.parse_args()
    vae = model()
    joint = log_joint(vae)
    identity(vae, joint)
    other_encoders(joint)
    one_sample(vae)
    more_samples(vae)
    if arguments.picture:
        picture(arguments.picture)


if __name__ == "__main__":
    main()
