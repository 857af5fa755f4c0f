"""Lesson 11 in numbers: a convolution and its two ways back, on arrays small enough for paper.

The explanations are in 11-convolution.md; `--picture FILE.png` draws the matrix that it is.
"""

import argparse

import numpy as np

from minivae.networks.convolution import Conv2d, ConvTranspose2d

X = np.array([[1, 0, 2, 1], [0, 3, 1, 0], [2, 1, 0, 1], [1, 0, 1, 2]], float)
WEIGHT = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], float)  # finds upright edges
DY = np.array([[1, -1], [0, 2]], float)  # what came back from the loss
N, K, M = 4, 3, 2  # sides of x, of the kernel, of y


def show(name, array):
    body = str(np.round(array).astype(int)).replace("\n", "\n" + " " * (len(name) + 3))
    print(f"{name} = {body}")


def convolution(x, weight):
    """Return y: the kernel slides, and each number of y is one sum of products."""
    y = np.zeros((M, M))
    for i in range(M):
        for j in range(M):
            for u in range(K):
                for v in range(K):
                    y[i, j] += x[i + u, j + v] * weight[u, v]
    return y


def backward(x, weight, dy):
    """Return dx and dweight: the same four loops, with another array on the left."""
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for i in range(M):
        for j in range(M):
            for u in range(K):
                for v in range(K):
                    dx[i + u, j + v] += dy[i, j] * weight[u, v]
                    dweight[u, v] += dy[i, j] * x[i + u, j + v]
    return dx, dweight


def by_hand():
    show("y", convolution(X, WEIGHT))
    dx, dweight = backward(X, WEIGHT, DY)
    show("dx", dx)
    show("dW", dweight)
    print()
    return dx, dweight


def numeric(dx, dweight, h=1e-3):
    for name, array, gradient in (("dx", X, dx), ("dW", WEIGHT, dweight)):
        worst = 0.0
        for index in np.ndindex(array.shape):
            kept, values = array[index], []
            for end in (kept + h, kept - h):
                array[index] = end
                values.append((DY * convolution(X, WEIGHT)).sum())
            array[index] = kept
            worst = max(worst, abs((values[0] - values[1]) / (2 * h) - gradient[index]))
        print(f"{name}: worst error {'below' if worst < 1e-10 else 'above'} 1e-10")
    print()


def layers():
    """Return the package's convolution with this kernel, and its transpose."""
    down = Conv2d(1, 1, K, size=(N, N), dtype="float64")
    up = ConvTranspose2d(1, 1, K, size=(M, M), dtype="float64")
    for layer in (down, up):
        layer.params["weight"][...] = WEIGHT
        layer.params["bias"][...] = 0
    return down, up


def matrix():
    """Return the matrix (4, 16) that turns x, written as a row of numbers, into y."""
    columns = []
    for pixel in range(N * N):
        x = np.zeros(N * N)
        x[pixel] = 1
        columns.append(convolution(x.reshape(N, N), WEIGHT).ravel())
    return np.array(columns).T


def as_a_matrix():
    big = matrix()
    y, (dx, _) = convolution(X, WEIGHT), backward(X, WEIGHT, DY)
    print(f"matrix {big.shape}, of its {big.size} entries {np.count_nonzero(big)} are not 0")
    print("y = matrix x:", np.array_equal(big @ X.ravel(), y.ravel()))
    print("dx = matrix transposed dy:", np.array_equal(big.T @ DY.ravel(), dx.ravel()))
    down, up = layers()
    down.forward(X.reshape(1, -1))
    same = np.array_equal(down.backward(DY.reshape(1, -1)), up.forward(DY.reshape(1, -1)))
    print("Conv2d backwards is ConvTranspose2d forwards:", same)
    print()


def as_patches():
    """Print dW as lesson 2 has it: dy transposed times the patches."""
    cols = np.array([X[i : i + K, j : j + K].ravel() for i in range(M) for j in range(M)])
    print("patches:", cols.shape)
    show("dy^T patches", (DY.ravel() @ cols).reshape(K, K))
    print()


def sizes():
    """Print what layers such as those of `--hidden c32,c64,256` make of a side."""
    print("kernel  stride  padding   28 becomes")
    for kernel, stride, padding in ((3, 1, 0), (3, 1, 1), (4, 2, 1), (5, 2, 2)):
        layer = Conv2d(1, 1, kernel, stride, padding, size=(28, 28))
        print(f"{kernel:<7d} {stride:<7d} {padding:<9d} {layer.out_size[0]}")
    conv = Conv2d(1, 32, 4, 2, 1, size=(28, 28))
    numbers = sum(view.size for view in conv.params.values())
    outputs = 32 * conv.out_size[0] * conv.out_size[1]
    print(f"32 kernels of 4x4: {numbers} parameters; a Linear as wide: {785 * outputs:,}")


def live():
    """Return what the page's live figure starts from."""
    return {"x": X.tolist(), "weight": WEIGHT.tolist(), "dy": DY.tolist()}


def picture(file):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.5, 2), layout="constrained")
    axes.imshow(matrix(), cmap="RdBu_r", vmin=-3, vmax=3)
    axes.set(xlabel="pixel of x, row after row", ylabel="pixel of y", yticks=range(M * M))
    figure.savefig(file, dpi=80)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", metavar="FILE.png")
    arguments = parser.parse_args()
    numeric(*by_hand())
    as_a_matrix()
    as_patches()
    sizes()
    if arguments.picture:
        picture(arguments.picture)


if __name__ == "__main__":
    main()
