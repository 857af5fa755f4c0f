"""Lesson 3 in numbers: slopes of ReLU and Sigmoid, and cross-entropy with and without logits.

The explanations are in 03-activations-and-logits.md; `--picture FILE.png` draws the functions.
"""

import argparse

import numpy as np

from minivae import formulas as f


def slopes():
    x = np.array([[-2.0, -0.5, 0.5, 2.0]])
    dy, y, dx = np.ones_like(x), np.empty_like(x), np.empty_like(x)
    print("x               " + "".join(f"{entry:9.2f}" for entry in x[0]))
    for name in ("relu", "sigmoid", "tanh"):
        forward, backward = getattr(f, name), getattr(f, name + "_backward")
        forward(x, y)
        print(f"{name:<8} y      " + "".join(f"{entry:9.4f}" for entry in y[0]))
        backward(y, dy, dx)
        print(f"{name:<8} slope  " + "".join(f"{entry:9.4f}" for entry in dx[0]))
        h, up, down = 1e-5, np.empty_like(x), np.empty_like(x)
        numeric = (forward(x + h, up) - forward(x - h, down)) / (2 * h)
        print(f"{name:<8} numeric" + "".join(f"{entry:9.4f}" for entry in numeric[0]))
    print()


def collapse():
    """Sigmoid followed by cross-entropy has the gradient sigmoid(l) - x."""
    rng = np.random.default_rng(0)
    logits, x = rng.normal(0, 3, (4, 5)), rng.uniform(0, 1, (4, 5))
    y, dlogits = np.empty_like(x), np.empty_like(x)
    f.sigmoid(logits, y)
    dy = (y - x) / (y * (1 - y))  # d/dy [-x log y - (1 - x) log(1 - y)]
    f.sigmoid_backward(y, dy, dlogits)
    worst = np.abs(dlogits - (y - x)).max()
    print(f"chain against sigmoid(l) - x: worst {'below' if worst < 1e-13 else 'above'} 1e-13")

    fused = np.empty_like(x)
    nll = f.bernoulli_nll(logits, x, 1 / len(x), fused)
    by_parts = -(x * np.log(y) + (1 - x) * np.log(1 - y)).sum() / len(x)
    print(f"bernoulli_nll {nll:.6f} nats per image, by parts {by_parts:.6f}")
    print()


def far_from_zero():
    """Print the loss of a pixel x = 1 in float32: from probabilities, then from logits."""
    print("logit    -log y      its gradient   softplus(l) - l   sigmoid(l) - 1")
    for logit in (-1.0, -10.0, -20.0, -200.0):
        l, x = np.full((1, 1), logit, np.float32), np.ones((1, 1), np.float32)
        y, dl, dlogits = (np.empty_like(l) for _ in range(3))
        f.sigmoid(l, y)
        with np.errstate(divide="ignore", invalid="ignore"):
            loss = -np.log(y)
            f.sigmoid_backward(y, -1 / y, dl)
        stable = f.bernoulli_nll(l, x, 1.0, dlogits)
        print(
            f"{logit:<8.0f} {loss.item():<11.2f} {dl.item():<14.2f} "
            f"{stable:<17.2f} {dlogits.item():.2f}"
        )
    print()


def grey():
    """Print the smallest loss of a grey pixel, at sigmoid(l) = x: it is not 0."""
    for x in (0.0, 0.1, 0.5, 1.0):
        best = -sum(p * np.log(p) for p in (x, 1 - x) if p > 0)
        print(f"pixel {x:.1f}: smallest loss {abs(best):.4f} nats")


def picture(file):
    import matplotlib.pyplot as plt

    x = np.linspace(-5, 5, 301)[None]
    figure, axes = plt.subplots(1, 3, figsize=(8.5, 2.6), layout="constrained")
    for ax, name in zip(axes, ("relu", "sigmoid"), strict=False):
        y, dx = np.empty_like(x), np.empty_like(x)
        getattr(f, name)(x, y)
        getattr(f, name + "_backward")(y, np.ones_like(x), dx)
        ax.plot(x[0], y[0], label=f"{name}(x)")
        ax.plot(x[0], dx[0], "--", label="slope")
        ax.set(xlabel="x")
    axes[0].set_ylim(-0.3, 3)
    for target, style in ((1.0, "-"), (0.5, "--"), (0.0, ":")):
        axes[2].plot(x[0], np.logaddexp(0, x[0]) - target * x[0], style, label=f"pixel {target}")
    axes[2].set(xlabel="logit l", title="softplus(l) - x l")
    for ax in axes:
        ax.legend(fontsize=8)
    figure.savefig(file, dpi=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", metavar="FILE.png")
    arguments = parser.parse_args()
    slopes()
    collapse()
    far_from_zero()
    grey()
    if arguments.picture:
        picture(arguments.picture)


if __name__ == "__main__":
    main()
