"""Exercise 5: the backward of Tanh.

Lesson 3 (minivae learn).
Replace every ____ and run: minivae exercise check 5
"""

import numpy as np


def tanh(x, y):
    """Overwrite y (B, H) with tanh(x) = sinh(x) / cosh(x). This one is done."""
    np.tanh(x, out=y)


def tanh_backward(y, dy, dx):
    """Overwrite dx (B, H) for the output y and dy = dLoss/dy, both (B, H).

    The quotient rule: (sinh / cosh)' = (cosh cosh - sinh sinh) / cosh^2. Divide it out and write
    it with y = sinh / cosh alone.
    """
    dx[...] = dy * (1 - y * y)  #: dx[...] = ____
