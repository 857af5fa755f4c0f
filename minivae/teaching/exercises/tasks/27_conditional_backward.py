"""Exercise 27: a decoder that is told the label: the way back through a concatenation.

Lesson 2 (minivae learn); it is the input of a conditional VAE's decoder.
Replace every ____ and run: minivae exercise check 27
"""

import numpy as np


def conditional(z, label, weight, bias, y):
    """Overwrite y (B, H) with [z, label] W^T + b; z (B, Z), label (B, C), weight (H, Z + C)."""
    y[...] = np.concatenate([z, label], axis=1) @ weight.T + bias


def conditional_backward(z, label, weight, dy, dz, dweight):
    """Overwrite dz (B, Z) and dweight (H, Z + C) for dy (B, H).

    Nobody asks for the label's gradient: it is given, not learned.
    """
    both = np.concatenate([z, label], axis=1)
    dweight[...] = dy.T @ both  #: dweight[...] = ____
    dboth = dy @ weight  #: dboth = ____
    dz[...] = dboth[:, : z.shape[1]]  #: dz[...] = ____
