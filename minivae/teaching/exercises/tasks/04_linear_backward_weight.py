"""Exercise 4: Linear, the gradients of weight and bias.

Lesson 2 (minivae learn).
Replace every ____ and run: minivae exercise check 4
"""

import numpy as np


def linear(x, weight, bias, y):
    """Overwrite y (B, out) with x W^T + b, for x (B, in), weight (out, in), bias (out,)."""
    np.matmul(x, weight.T, out=y)
    y += bias


def linear_backward_weight(x, dy, dweight):
    """Overwrite dweight (out, in) for x (B, in) and dy (B, out).

    y_bo = sum_i x_bi W_oi + b_o. W_oi touches output o of every row b, with slope x_bi:
    dW_oi = sum_b dy_bo x_bi. Write this sum as a product of matrices.
    """
    dweight[...] = dy.T @ x  #: dweight[...] = ____


def linear_backward_bias(dy, dbias):
    """Overwrite dbias (out,) for dy (B, out): b_o touches output o of every row, with slope 1."""
    dbias[...] = dy.sum(axis=0)  #: dbias[...] = ____
