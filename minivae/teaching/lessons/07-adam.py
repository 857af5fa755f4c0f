"""Lesson 7 in numbers: Adam as in its paper, as in the engine, and what each part of it does.

The explanations are in 07-adam.md; `--picture FILE.png` draws the paths down a narrow valley.
"""

import argparse

import numpy as np

from minivae import formulas as f

LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8


def paper(theta, gradients, correct=True):
    """Yield theta after each update of algorithm 1; without the corrections if `correct` is off."""
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for step, g in enumerate(gradients, 1):
        m = BETA1 * m + (1 - BETA1) * g
        v = BETA2 * v + (1 - BETA2) * g**2
        mhat = m / (1 - BETA1**step) if correct else m
        vhat = v / (1 - BETA2**step) if correct else v
        theta = theta - LR * mhat / (np.sqrt(vhat) + EPS)
        yield theta


def engine(theta, gradients):
    """Yield theta after each update by formulas.adam."""
    theta = theta.copy()
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for step, g in enumerate(gradients, 1):
        rate, floor = f.adam_constants(step, LR, BETA1, BETA2, EPS)
        f.adam(theta, g, m, v, BETA1, BETA2, rate, floor)
        yield theta.copy()


def same():
    rng = np.random.default_rng(0)
    theta, gradients = rng.standard_normal(1000), rng.standard_normal((100, 1000))
    pairs = zip(paper(theta, gradients), engine(theta, gradients), strict=True)
    worst = max(np.abs(one - two).max() for one, two in pairs)
    print(f"paper against engine, 100 steps: worst {'below' if worst < 1e-13 else 'above'} 1e-13")
    print()


def first_steps():
    print("step   gradient 5    gradient 0.005   uncorrected   (change of theta)")
    runs = [
        list(rule) for rule in (
            engine(np.zeros(1), np.full((1000, 1), 5.0)),
            engine(np.zeros(1), np.full((1000, 1), 0.005)),
            paper(np.zeros(1), np.full((1000, 1), 5.0), correct=False),
        )
    ]  # fmt: skip
    for step in (1, 2, 10, 100, 1000):
        changes = [(run[step - 1] - (run[step - 2] if step > 1 else 0)).item() for run in runs]
        print(f"{step:<6d} {changes[0]:<13.6f} {changes[1]:<16.6f} {changes[2]:.6f}")
    print()


def noisy():
    """Print the mean step for a gradient of mean 0.1 with noise around it."""
    rng = np.random.default_rng(1)
    for deviation in (0.0, 0.1, 1.0):
        gradients = 0.1 + deviation * rng.standard_normal((2000, 200))
        *_, last = engine(np.zeros(200), gradients)
        print(f"noise {deviation:.1f}: mean step {-last.mean() / 2000 / LR:.3f} lr")
    print()


CURVATURE = np.array([1.0, 100.0])
START = np.array([3.0, 1.0])


def path(rule, lr, steps):
    """Return the points visited on loss = (1 a^2 + 100 b^2) / 2."""
    theta, points = START.copy(), [START.copy()]
    m, v = np.zeros(2), np.zeros(2)
    for step in range(1, steps + 1):
        g = CURVATURE * theta
        if rule == "adam":
            f.adam(theta, g, m, v, BETA1, BETA2, *f.adam_constants(step, lr, BETA1, BETA2, EPS))
        else:
            theta -= lr * g
        points.append(theta.copy())
    return np.array(points)


def valley():
    print("steps until the loss is below 0.001, curvatures 1 and 100")
    for rule, lr in (("sgd", 0.001), ("sgd", 0.01), ("sgd", 0.019), ("adam", 0.01), ("adam", 0.1)):
        points = path(rule, lr, 5000)
        losses = (CURVATURE * points**2).sum(axis=1) / 2
        above = np.flatnonzero(losses >= 1e-3)
        print(f"{rule:<5} lr {lr:<6} {above[-1] + 1}")
    last = path("sgd", 0.0201, 100)[-1]
    print(f"sgd   lr 0.0201 after 100 steps: b = {last[1]:.2f}, and growing")


def live():
    """Return what the page's live figure starts from."""
    return {"curvature": CURVATURE.tolist(), "start": START.tolist()}


def picture(file):
    import matplotlib.pyplot as plt

    a, b = np.meshgrid(np.linspace(-1, 3.5, 200), np.linspace(-1.2, 1.2, 200))
    figure, axes = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
    axes.contour(a, b, (a**2 + 100 * b**2) / 2, levels=[0.1, 1, 4, 12, 30, 60], alpha=0.4)
    for name, points in (
        ("sgd, lr 0.019", path("sgd", 0.019, 60)),
        ("adam, lr 0.1", path("adam", 0.1, 60)),
    ):
        axes.plot(*points.T, ".-", markersize=4, linewidth=0.8, label=f"{name}, 60 steps")
    axes.plot(0, 0, "k*")
    axes.set(xlabel="a (curvature 1)", ylabel="b (curvature 100)")
    axes.legend(fontsize=8)
    figure.savefig(file, dpi=80)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", metavar="FILE.png")
    arguments = parser.parse_args()
    same()
    first_steps()
    noisy()
    valley()
    if arguments.picture:
        picture(arguments.picture)


if __name__ == "__main__":
    main()
