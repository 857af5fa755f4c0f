"""Lesson 1 in numbers: one neuron, its derivatives by the chain rule and by finite differences.

The explanations are in 01-one-neuron.md; `--picture FILE.png` draws the errors against the step.
"""

import argparse

import numpy as np

from minivae.layers import Linear, Sigmoid

X, WEIGHT, BIAS, TARGET = 1.5, 0.8, -0.4, 1.0
STEPS = [10.0**-k for k in range(1, 14)]


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def loss(weight, bias):
    y = sigmoid(X * weight + bias)
    return (y - TARGET) ** 2 / 2


def gradient(weight, bias):
    y = sigmoid(X * weight + bias)
    dy = y - TARGET
    da = dy * y * (1 - y)
    return da * X, da  # dweight, dbias


def forward_difference(h):
    return (loss(WEIGHT + h, BIAS) - loss(WEIGHT, BIAS)) / h


def central_difference(h):
    return (loss(WEIGHT + h, BIAS) - loss(WEIGHT - h, BIAS)) / (2 * h)


def by_hand():
    a = X * WEIGHT + BIAS
    y = sigmoid(a)
    dy = y - TARGET
    dweight, dbias = gradient(WEIGHT, BIAS)
    print(f"a = {a:.4f}   y = {y:.4f}   loss = {loss(WEIGHT, BIAS):.6f}")
    print(f"dy = {dy:.4f}   da = {dy * y * (1 - y):.4f}")
    print(f"dweight = {dweight:.6f}   dbias = {dbias:.6f}")
    print()


def with_layers():
    linear, activation = Linear(1, 1, dtype="float64"), Sigmoid()
    linear.params["weight"][...] = WEIGHT
    linear.params["bias"][...] = BIAS
    y = activation.forward(linear.forward(np.array([[X]])))
    linear.backward(activation.backward(y - TARGET))
    dweight, dbias = linear.grads["weight"].item(), linear.grads["bias"].item()
    print(f"Linear and Sigmoid: dweight = {dweight:.6f}   dbias = {dbias:.6f}")
    print()


def differences():
    true, _ = gradient(WEIGHT, BIAS)
    print("step    forward difference   central difference   (error of dweight)")
    for h in STEPS:
        one, two = abs(forward_difference(h) - true), abs(central_difference(h) - true)
        print(f"{h:.0e}   ~{one:<18.0e}  ~{two:.0e}")
    h = 1e-20
    error = abs(loss(WEIGHT + 1j * h, BIAS).imag / h - true)
    print(f"complex step 1e-20: error {'below' if error < 1e-15 else 'above'} 1e-15")
    print()


def digits():
    for kind in (np.float64, np.float32):
        weight = np.linspace(WEIGHT - 0.1, WEIGHT + 0.1, 101).astype(kind)
        true, _ = gradient(weight.astype(float), BIAS)
        errors = {}
        for h in STEPS:
            central = (loss(weight + h, BIAS) - loss(weight - h, BIAS)) / (2 * h)
            errors[h] = np.abs(central - true).mean()
        best = min(errors, key=errors.get)
        count = -np.log10(np.finfo(kind).eps)
        name = np.dtype(kind).name
        print(f"{name}: {count:2.0f} digits, best step {best:.0e}, error ~{errors[best]:.0e}")
    print()


def one_step_down(rate=0.5):
    dweight, dbias = gradient(WEIGHT, BIAS)
    before = loss(WEIGHT, BIAS)
    after = loss(WEIGHT - rate * dweight, BIAS - rate * dbias)
    print(f"loss before {before:.6f}, after one step {after:.6f}: change {after - before:.6f}")
    print(f"the gradient promised      {-rate * (dweight**2 + dbias**2):.6f}")


def live():
    """Return what the page's live figure starts from."""
    return {"x": X, "weight": WEIGHT, "bias": BIAS, "target": TARGET}


def picture(file):
    import matplotlib.pyplot as plt

    true, _ = gradient(WEIGHT, BIAS)
    steps = 10.0 ** -np.linspace(0, 14, 113)
    figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
    for name, rule in (("forward", forward_difference), ("central", central_difference)):
        axes.loglog(steps, [abs(rule(h) - true) for h in steps], label=f"{name} difference")
    axes.set(xlabel="step h", ylabel="error of dweight", ylim=(1e-14, 1))
    axes.legend()
    figure.savefig(file, dpi=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", metavar="FILE.png")
    arguments = parser.parse_args()
    by_hand()
    with_layers()
    differences()
    digits()
    one_step_down()
    if arguments.picture:
        picture(arguments.picture)


if __name__ == "__main__":
    main()
