"""Lesson 2 in numbers: Linear and its three gradients, on arrays small enough for paper.

The explanations are in 02-linear.md; `--picture FILE.png` draws dW as a sum over the batch.
"""

import argparse

import numpy as np

from minivae import formulas as f
from minivae.layers import Linear, ReLU, Sequential

X = np.array([[1.0, 2.0, -1.0], [0.0, 3.0, 1.0]])  # (B, in) = (2, 3)
WEIGHT = np.array([[2.0, 0.0, 1.0], [-1.0, 1.0, 3.0]])  # (out, in) = (2, 3)
BIAS = np.array([1.0, -2.0])  # (out,)
DY = np.array([[1.0, 2.0], [-1.0, 1.0]])  # (B, out): what came back from the loss


def show(name, array):
    body = str(array.astype(int)).replace("\n", "\n" + " " * (len(name) + 3))
    print(f"{name} = {body}")


def gradients():
    y, dx = np.empty((2, 2)), np.empty((2, 3))
    dweight, dbias = np.empty((2, 3)), np.empty(2)
    show("y", f.linear(X, WEIGHT, BIAS, y))
    show("dx", f.linear_backward_input(DY, WEIGHT, dx))
    f.linear_backward_weight(X, DY, dweight)
    f.linear_backward_bias(DY, dbias)
    show("dW", dweight)
    show("db", dbias)
    print()
    return dx, dweight, dbias


def value(x, weight, bias):
    """Return the scalar whose gradient with respect to y is DY."""
    return (DY * (x @ weight.T + bias)).sum()


def numeric(dx, dweight, dbias, h=1e-3):
    """Compare every entry with a central difference: the worst error of each gradient."""
    for name, place, gradient in (("dx", 0, dx), ("dW", 1, dweight), ("db", 2, dbias)):
        worst = 0.0
        for index in np.ndindex(gradient.shape):
            values = []
            for sign in (1, -1):
                arrays = [X.copy(), WEIGHT.copy(), BIAS.copy()]
                arrays[place][index] += sign * h
                values.append(value(*arrays))
            worst = max(worst, abs((values[0] - values[1]) / (2 * h) - gradient[index]))
        print(f"{name}: worst error {'below' if worst < 1e-10 else 'above'} 1e-10")
    print()


def rows_add_up():
    for b in range(2):
        show(f"row {b}: dy^T x", np.outer(DY[b], X[b]))
    print()


def two_layers():
    """Run a chain of layers: each backward hands its dx to the layer before it."""
    first, second = Linear(3, 4, seed=1, dtype="float64"), Linear(4, 2, seed=2, dtype="float64")
    net = Sequential([first, ReLU(), second])
    net.forward(X)
    dx = net.backward(DY)
    print("names:", ", ".join(net.grads))
    print("dx of the chain, first row:", " ".join(f"{entry:.4f}" for entry in dx[0]))
    h, direction = 1e-5, np.ones_like(X)
    up = (DY * net.forward(X + h * direction)).sum()
    down = (DY * net.forward(X - h * direction)).sum()
    print(f"sum of dx {dx.sum():.6f}, by differences {(up - down) / (2 * h):.6f}")


def live():
    """Return what the page's live figure starts from."""
    return {"x": X.tolist(), "weight": WEIGHT.tolist(), "dy": DY.tolist()}


def picture(file):
    import matplotlib.pyplot as plt

    rows = [np.outer(DY[b], X[b]) for b in range(2)]
    titles = ("image 0:  dy[0] x[0]", "image 1:  dy[1] x[1]", "dW = their sum")
    figure, axes = plt.subplots(1, 3, figsize=(7, 2.1), layout="constrained")
    for ax, title, matrix in zip(axes, titles, [*rows, sum(rows)], strict=True):
        ax.imshow(matrix, cmap="RdBu_r", vmin=-12, vmax=12)
        for (o, i), entry in np.ndenumerate(matrix):
            ax.text(i, o, f"{entry + 0:.0f}", ha="center", va="center")
        ax.set(title=title, xlabel="input i", ylabel="output o", xticks=range(3), yticks=range(2))
    figure.savefig(file, dpi=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", metavar="FILE.png")
    arguments = parser.parse_args()
    numeric(*gradients())
    rows_add_up()
    two_layers()
    if arguments.picture:
        picture(arguments.picture)


if __name__ == "__main__":
    main()
