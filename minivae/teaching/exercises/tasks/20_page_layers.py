"""Exercise 20, a blank page: the layers.

Lesson 2 (minivae learn). Write two classes below, with NumPy alone:

    Linear(inputs, outputs, rng)      y = x W^T + b, with W (outputs, inputs) and b (outputs,)
        .params, .grads               dicts with "weight" and "bias"; grads has arrays of the same
                                      shapes, and params starts uniform in +-1/sqrt(inputs), drawn
                                      by rng.uniform(low, high, shape)
        .forward(x)                   y (B, outputs) for x (B, inputs)
        .backward(dy)                 dx (B, inputs); OVERWRITES what is in both arrays of grads

    ReLU()
        .forward(x)                   max(x, 0)
        .backward(dy)                 dx

Exercises 20 to 23 together are a VAE: `minivae exercise build` trains it on MNIST.
Then run: minivae exercise check 20
"""

import numpy as np

#: below


class Linear:
    """y = x W^T + b."""

    def __init__(self, inputs, outputs, rng):
        bound = inputs**-0.5
        self.params = {
            "weight": rng.uniform(-bound, bound, (outputs, inputs)),
            "bias": rng.uniform(-bound, bound, outputs),
        }
        self.grads = {name: np.zeros_like(value) for name, value in self.params.items()}

    def forward(self, x):
        """Return y."""
        self.x = x
        return x @ self.params["weight"].T + self.params["bias"]

    def backward(self, dy):
        """Return dx; overwrite both gradients."""
        self.grads["weight"][...] = dy.T @ self.x
        self.grads["bias"][...] = dy.sum(axis=0)
        return dy @ self.params["weight"]


class ReLU:
    """max(x, 0)."""

    def forward(self, x):
        """Return y."""
        self.y = np.maximum(x, 0)
        return self.y

    def backward(self, dy):
        """Return dx."""
        return dy * (self.y > 0)
