"""Lesson 5 in numbers: the KL between q(z|x) and the prior, by its formula, by integral, by draws.

The explanations are in 05-gaussian-kl.md; `--picture FILE.png` draws the valley of the KL.
"""

import argparse

import numpy as np

from minivae import formulas as f


def kl(mu, logvar):
    """Return the KL of one Gaussian with one dimension, and its two slopes, from the engine."""
    m, v = np.full((1, 1), float(mu)), np.full((1, 1), float(logvar))
    dmu, dlogvar = np.empty((1, 1)), np.empty((1, 1))
    value = f.gaussian_kl(m, v, 1.0, 1.0, dmu, dlogvar)
    return value, dmu.item(), dlogvar.item()


def log_ratio(z, mu, logvar):
    """Return log q(z) - log p(z)."""
    return 0.5 * (z**2 - (z - mu) ** 2 / np.exp(logvar) - logvar)


def by_integral(mu, logvar):
    z = np.linspace(mu - 12, mu + 12, 20001)
    q = np.exp(-0.5 * ((z - mu) ** 2 / np.exp(logvar) + logvar + np.log(2 * np.pi)))
    return (q * log_ratio(z, mu, logvar)).sum() * (z[1] - z[0])


def by_draws(mu, logvar, n=100_000):
    eps = np.random.default_rng(0).standard_normal(n)
    values = log_ratio(mu + np.exp(logvar / 2) * eps, mu, logvar)
    return values.mean(), values.std() / np.sqrt(n)


def three_ways():
    print("  mu  logvar   formula    integral   100,000 draws")
    for mu, logvar in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.5, -2.0)):
        mean, error = by_draws(mu, logvar)
        print(
            f"{mu:4.1f}  {logvar:6.1f}  {kl(mu, logvar)[0]:.6f}   {by_integral(mu, logvar):.6f}"
            f"   {mean:.4f} +- {error:.4f}"
        )
    print()


def slopes(h=1e-5):
    mu, logvar = 1.5, -2.0
    _, dmu, dlogvar = kl(mu, logvar)
    by_mu = (kl(mu + h, logvar)[0] - kl(mu - h, logvar)[0]) / (2 * h)
    by_logvar = (kl(mu, logvar + h)[0] - kl(mu, logvar - h)[0]) / (2 * h)
    print(f"dmu     {dmu:.6f}   by differences {by_mu:.6f}")
    print(f"dlogvar {dlogvar:.6f}   by differences {by_logvar:.6f}")
    print(f"without the half: dlogvar would be {2 * dlogvar:.6f}")
    print()


def near_the_prior():
    """Print what float32 leaves of a small KL: the worst error for a hundred values near logvar."""
    print("logvar   KL (mu 0)   error of exp(logvar) - 1 - logvar   of expm1(logvar) - logvar")
    for logvar in (1e-1, 1e-2, 1e-3, 1e-4):
        v = np.linspace(logvar / 2, logvar, 100).astype(np.float32)
        true = np.expm1(v.astype(float)) - v
        plain = np.abs((np.exp(v) - 1 - v) / true - 1).max()
        careful = np.abs((np.expm1(v) - v) / true - 1).max()
        print(f"{logvar:<8} {true[-1] / 2:<11.1e} ~{plain:<34.0e} ~{careful:.0e}")
    print()


def descent(rate=0.5):
    """Follow the KL alone downhill: every q(z|x) ends at the prior."""
    mu, logvar = 1.5, -2.0
    for step in range(13):
        value, dmu, dlogvar = kl(mu, logvar)
        if step % 4 == 0:
            print(f"step {step:2d}: mu {mu:.3f}  logvar {logvar:.3f}  KL {value:.4f}")
        mu, logvar = mu - rate * dmu, logvar - rate * dlogvar


def picture(file):
    import matplotlib.pyplot as plt

    mu, logvar = np.meshgrid(np.linspace(-2.5, 2.5, 101), np.linspace(-4, 2, 101))
    values = f.gaussian_kl_each(mu, logvar, np.empty_like(mu))
    figure, axes = plt.subplots(figsize=(5, 3.1), layout="constrained")
    levels = [0.05, 0.2, 0.5, 1, 1.5, 2, 3]
    lines = axes.contour(mu, logvar, values, levels=levels)
    # Each label where its line crosses the diagonal to the lower right: none meets another there.
    share = np.linspace(0, 1, 1001)
    along = f.gaussian_kl_each(2.4 * share, -3.6 * share, np.empty_like(share))
    places = [share[np.searchsorted(along, level)] for level in levels]
    labels = axes.clabel(lines, fontsize=8, manual=[(2.4 * s, -3.6 * s) for s in places])
    for label in labels:  # arrows stay out of the numbers
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
        label.set_zorder(3)
    coarse = np.s_[5::15, 5::15]
    axes.quiver(mu[coarse], logvar[coarse], -mu[coarse], -np.expm1(logvar[coarse]) / 2, alpha=0.5)
    axes.plot(0, 0, "k*")
    axes.set(xlabel="mu", ylabel="logvar", title="KL in nats, and the way down")
    figure.savefig(file, dpi=72)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", metavar="FILE.png")
    arguments = parser.parse_args()
    three_ways()
    slopes()
    near_the_prior()
    descent()
    if arguments.picture:
        picture(arguments.picture)


if __name__ == "__main__":
    main()
