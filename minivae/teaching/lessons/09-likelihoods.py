"""Lesson 9 in numbers: what each likelihood says of a pixel, whether it sums to 1, its gradient.

The explanations are in 09-likelihoods.md; `--picture FILE.png` draws the three densities.
"""

import argparse

import numpy as np

from minivae.parts import LIKELIHOODS

PARTS = {part.kind: part for part in LIKELIHOODS}
X = np.linspace(0, 1, 20001)[:, None]  # every grey value, one pixel an image
LINE = np.linspace(-20, 20, 400001)[:, None]  # a Gaussian's pixels may be any number


def log_p(kind, eta, x, logvar=0.0):
    """Return log p(x|eta) of one pixel, for every x (N, 1), by the package's own part."""
    part = PARTS[kind](1, dtype="float64")
    if "logvar" in part.params:
        part.params["logvar"][...] = logvar
    return part.forward(np.full(x.shape, float(eta)), x)


def area(kind, eta, x, logvar=0.0):
    p = np.exp(log_p(kind, eta, x, logvar))
    return ((p[1:] + p[:-1]) / 2).sum() * (x[1, 0] - x[0, 0])


def areas():
    print("logit   bernoulli   continuous-bernoulli   (area under p, for grey values from 0 to 1)")
    for logit in (0.0, 2.0, 6.0):
        one, two = (area(kind, logit, X) for kind in ("bernoulli", "continuous-bernoulli"))
        print(f"{logit:<7} {one:.6f}    {two:.6f}")
    print(f"gaussian, over all numbers: {area('gaussian', 0.5, LINE, -3.0):.6f}")
    print()


def means():
    print("logit   sigmoid   mean of the continuous Bernoulli   by an integral")
    part = PARTS["continuous-bernoulli"](1, dtype="float64")
    for logit in (0.0, 1.0, 3.0, 6.0):
        mean = part.mean(np.full((1, 1), logit)).item()
        p = np.exp(log_p("continuous-bernoulli", logit, X)) * X[:, 0]
        integral = ((p[1:] + p[:-1]) / 2).sum() * (X[1, 0] - X[0, 0])
        print(f"{logit:<7} {1 / (1 + np.exp(-logit)):.4f}    {mean:<34.4f} {integral:.4f}")
    print()


def gaussian_gradient(h=1e-6):
    """Print both slopes of the Gaussian beside their differences."""
    eta, x = np.array([[0.3, 0.8]]), np.array([[0.1, 0.9]])
    part = PARTS["gaussian"](2, dtype="float64")
    logvar = part.params["logvar"]
    logvar[...] = -2.0

    def value():
        return part.nll(eta, x, 1.0)[0]

    _, deta = part.nll(eta, x, 1.0)
    part.gradients()
    slopes = {"deta[0]": (eta, deta[0, 0]), "dlogvar": (logvar, part.grads["logvar"][0])}
    for name, (array, by_hand) in slopes.items():
        kept = array.flat[0]
        ends = []
        for end in (kept + h, kept - h):
            array.flat[0] = end
            ends.append(value())
        array.flat[0] = kept
        print(f"{name} {by_hand:.6f}, by differences {(ends[0] - ends[1]) / (2 * h):.6f}")
    print()


def best_variance():
    """Print the nll by logvar for residuals of deviation 0.1: lowest at their mean square."""
    r = 0.1 * np.random.default_rng(0).standard_normal((10000, 1))
    print("logvar   nll of a pixel")
    for logvar in (-2.0, -4.0, np.log((r**2).mean()), -5.0):
        print(f"{logvar:<8.3f} {-log_p('gaussian', 0.0, r, logvar).mean():.4f}")
    print(f"log of the mean square {np.log((r**2).mean()):.3f}")
    print()


def units():
    """Print the nll of the same picture under the same model, in two units of grey."""
    x = np.random.default_rng(1).random((784, 1))
    small = -log_p("gaussian", 0.5, x, -3.0).sum()
    large = -log_p("gaussian", 0.5 * 255, x * 255, -3.0 + 2 * np.log(255)).sum()
    print(f"grey from 0 to 1: {small:.1f} nats, grey from 0 to 255: {large:.1f} nats")
    print(f"784 log 255 = {784 * np.log(255):.1f}, their difference {large - small:.1f}")


def live():
    """Return what the page's live figure starts from."""
    return {"eta": 2.0, "logvar": -3.0}


def picture(file):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(8, 2.5), layout="constrained", sharey=True)
    for ax, kind in zip(axes, ("bernoulli", "continuous-bernoulli", "gaussian"), strict=True):
        for eta in (0.0, 2.0, 6.0) if kind != "gaussian" else (0.2, 0.5, 0.9):
            name = "logit" if kind != "gaussian" else "mean"
            ax.plot(X, np.exp(log_p(kind, eta, X, -3.0)), label=f"{name} {eta}")
        ax.set(title=kind, xlabel="grey value x", ylim=(0, 4))
        ax.legend(fontsize=7)
    figure.savefig(file, dpi=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", metavar="FILE.png")
    arguments = parser.parse_args()
    areas()
    means()
    gaussian_gradient()
    best_variance()
    units()
    if arguments.picture:
        picture(arguments.picture)


if __name__ == "__main__":
    main()
