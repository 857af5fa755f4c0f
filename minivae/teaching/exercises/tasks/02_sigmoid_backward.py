"""Exercise 2: the backward of Sigmoid.

Lesson 1 (minivae learn), "Backwards through it".
Replace every ____ and run: minivae exercise check 2
"""

import numpy as np


def sigmoid(x, y):
    """Overwrite y (B, H) with 1 / (1 + exp(-x)). This one is done."""
    y[...] = 0.5 * np.tanh(0.5 * x) + 0.5  # the same, but it never overflows


def sigmoid_backward(y, dy, dx):
    """Overwrite dx (B, H) for the output y and dy = dLoss/dy, both (B, H).

    With y = 1 / (1 + e^-x), the slope is e^-x / (1 + e^-x)^2. Write it with y alone:
    one factor is y itself; what is the other, e^-x / (1 + e^-x)?
    """
    dx[...] = dy * y * (1 - y)  #: dx[...] = ____
