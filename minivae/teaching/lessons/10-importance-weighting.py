"""Lesson 10 in numbers: the gradient of the importance-weighted bound, and how much it scatters.

The explanations are in 10-importance-weighting.md; `--picture FILE.png` draws the scatter.
"""

import argparse

import numpy as np

import minivae
from minivae import formulas as f

X = np.array([[1.0, 0.0, 1.0, 1.0]])
MU, LOGVAR = 0.1, -1.0  # q(z|x): near the posterior, and not it
REPEATS = 4000


def decoder():
    """Return the decoder of lesson 4: one latent dimension, four pixels."""
    vae = minivae.VAE(4, hidden=(3,), latent=1, seed=1, dtype="float64")
    for name, view in vae.params.items():
        if name.startswith("decoder"):
            view *= 4
    return vae.decoder


def log_weights(net, eps, mu=MU, logvar=LOGVAR):
    """Return log w = log p(x|z) + log p(z) - log q(z|x) for noise of any shape."""
    z = (mu + np.exp(logvar / 2) * eps).reshape(-1, 1)
    x, log_p = np.repeat(X, len(z), axis=0), np.empty(len(z))
    f.bernoulli_log_likelihood(net.forward(z), x, log_p)
    prior, q = -0.5 * z[:, 0] ** 2, -0.5 * (eps.ravel() ** 2 + logvar)  # log 2 pi cancels
    return (log_p + prior - q).reshape(eps.shape)


def weights(log_w):
    """Return w_k / sum w along the last axis; the largest is taken out first."""
    w = np.exp(log_w - log_w.max(axis=-1, keepdims=True))
    return w / w.sum(axis=-1, keepdims=True)


def log_mean(log_w):
    top = log_w.max(axis=-1, keepdims=True)
    return (top + np.log(np.exp(log_w - top).mean(axis=-1, keepdims=True)))[..., 0]


def through_z(net, eps):
    """Return d[log p(x|z) + log p(z)] / dz of each draw."""
    z = (MU + np.exp(LOGVAR / 2) * eps).reshape(-1, 1)
    x, logits = np.repeat(X, len(z), axis=0), net.forward(z)
    dlogits = np.empty_like(logits)
    f.bernoulli_nll(logits, x, -1.0, dlogits)
    return (net.backward_input(dlogits) - z).reshape(eps.shape)


def by_hand(h=1e-5):
    """Print the slopes of one estimate with three draws beside their differences."""
    net, eps = decoder(), np.array([[0.5, -1.0, 1.5]])
    log_w, sigma = log_weights(net, eps), np.exp(LOGVAR / 2)
    v, g = weights(log_w), through_z(net, eps)
    print("log w", " ".join(f"{value:.4f}" for value in log_w[0]))
    print("v    ", " ".join(f"{value:.4f}" for value in v[0]), "  their sum", f"{v.sum():.4f}")
    dmu = -(v * g).sum()
    dlogvar = -(v * (g * sigma * eps / 2 + 0.5)).sum()

    def loss(mu, logvar):
        return -log_mean(log_weights(net, eps, mu, logvar)).item()

    numeric = (loss(MU + h, LOGVAR) - loss(MU - h, LOGVAR)) / (2 * h)
    print(f"dmu     {dmu:.6f}   by differences {numeric:.6f}")
    numeric = (loss(MU, LOGVAR + h) - loss(MU, LOGVAR - h)) / (2 * h)
    print(f"dlogvar {dlogvar:.6f}   by differences {numeric:.6f}")
    print()


def estimates(samples):
    """Return draws of dmu, each from `samples` draws of z: of IWAE, and doubly reparameterized."""
    net, sigma = decoder(), np.exp(LOGVAR / 2)
    eps = np.random.default_rng(samples).standard_normal((REPEATS, samples))
    v, g = weights(log_weights(net, eps)), through_z(net, eps)
    path = g + eps / sigma  # d log w / dz with q's own mu and logvar held: -d log q/dz = eps/sigma
    return -(v * g).sum(axis=1), -(v**2 * path).sum(axis=1)


def signal_to_noise():
    print("K      bound     iwae: mean, signal/noise    dreg: mean, signal/noise   (dmu)")
    net = decoder()
    for samples in (1, 4, 16, 64):
        eps = np.random.default_rng(samples).standard_normal((REPEATS, samples))
        bound = log_mean(log_weights(net, eps)).mean()
        cells = []
        for draws in estimates(samples):
            ratio = abs(draws.mean()) / draws.std()
            cells.append(f"{draws.mean():9.4f}   {ratio:<14.3f}")
        print(f"{samples:<6d} {bound:.4f}  {cells[0]}  {cells[1].rstrip()}")
    print()


def same_mean():
    one, two = estimates(16)
    error = np.sqrt((one.var() + two.var()) / REPEATS)
    print(f"K = 16: the means differ by {abs(one.mean() - two.mean()) / error:.1f} standard errors")
    print(f"variance: iwae {one.var():.4f}, dreg {two.var():.4f}")
    print()


def in_the_engine():
    """Print the loss of the engine's own step, 1 and 50 draws, for 4,000 copies of the image."""
    x = np.repeat(X, 4000, axis=0)
    for bound in ("elbo", "iwae:1", "iwae:50"):
        vae = minivae.VAE(4, hidden=(3,), latent=1, seed=1, dtype="float64", bound=bound)
        draws = int(bound.partition(":")[2] or 1)
        eps = np.random.default_rng(0).standard_normal((4000, draws))
        print(f"{bound:<8} loss {vae.step(x, eps).loss:.3f}")


def live():
    """Return what the page's live figure starts from: log p(x, z) along a line, and q."""
    net, z = decoder(), np.linspace(-8, 8, 1601)
    x, log_p = np.repeat(X, len(z), axis=0), np.empty(len(z))
    f.bernoulli_log_likelihood(net.forward(z[:, None]), x, log_p)
    joint = log_p - 0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    return {"first": -8, "step": 0.01, "joint": joint.tolist(), "mu": MU, "logvar": LOGVAR}


def picture(file):
    import matplotlib.pyplot as plt

    counts = (1, 2, 4, 8, 16, 32, 64)
    ratios = np.array([[abs(d.mean()) / d.std() for d in estimates(k)] for k in counts])
    figure, axes = plt.subplots(figsize=(5.5, 2.9), layout="constrained")
    for name, column in zip(("iwae", "dreg"), ratios.T, strict=True):
        axes.loglog(counts, column, "o-", label=name)
    axes.set(xlabel="draws K", ylabel="signal / noise of dmu")
    axes.legend()
    figure.savefig(file, dpi=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", metavar="FILE.png")
    arguments = parser.parse_args()
    by_hand()
    signal_to_noise()
    same_mean()
    in_the_engine()
    if arguments.picture:
        picture(arguments.picture)


if __name__ == "__main__":
    main()
