"""Exercise 26: the backward of a convolution, in one dimension and with one channel.

Lesson 2 (minivae learn) has Linear, of which this is one with shared weights.
Replace every ____ and run: minivae exercise check 26
"""

import numpy as np


def convolution(x, weight, y):
    """Overwrite y (B, L - K + 1): y_bt = sum_k x_b,t+k w_k, for x (B, L), weight (K,)."""
    y[...] = 0
    for k in range(len(weight)):
        y += x[:, k : k + y.shape[1]] * weight[k]


def convolution_backward(x, weight, dy, dx, dweight):
    """Overwrite dx (B, L) and dweight (K,) for dy (B, L - K + 1).

    x_b,t+k reaches y_bt with slope w_k; w_k reaches y_bt of every row and place, with x_b,t+k.
    """
    dx[...] = 0
    for k in range(len(weight)):
        part = x[:, k : k + dy.shape[1]]  # the x that met w_k, (B, L - K + 1)
        dx[:, k : k + dy.shape[1]] += dy * weight[k]  #: dx[:, k : k + dy.shape[1]] += ____
        dweight[k] = np.sum(dy * part)  #: dweight[k] = ____
