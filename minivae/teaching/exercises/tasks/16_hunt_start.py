"""Exercise 16, a bug hunt: an optimiser that stumbles at the start.

Lesson 7 (minivae learn); it is the Adam of exercise 10.
One line is wrong. The verdict and the trace of `minivae exercise check 16` say what comes out of
it, not where it is. Find the line, mend it, and check again.
"""

import numpy as np


def adam(theta, grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """Update theta in place, with its moments m and v; all of one shape; step is 1, 2, 3, ..."""
    m *= beta1
    m += (1 - beta1) * grad
    v *= beta2
    v += (1 - beta2) * grad**2
    rate = lr * np.sqrt(1 - beta2**step) / (1 - beta1**step)
    floor = eps * np.sqrt(1 - beta2**step)  #: floor = eps
    theta -= rate * m / (np.sqrt(v) + floor)
