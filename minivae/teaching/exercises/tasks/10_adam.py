"""Exercise 10: Adam.

Lesson 7 (minivae learn).
Replace every ____ and run: minivae exercise check 10
"""

import numpy as np


def adam(theta, grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """Update theta in place, with its moments m and v; all of one shape; step is 1, 2, 3, ...

    m and v are running means of grad and of its square. Both start at 0 and are therefore too
    small at first: by 1 - beta1^step and by 1 - beta2^step.
    """
    m *= beta1
    m += (1 - beta1) * grad  #: m += ____
    v *= beta2
    v += (1 - beta2) * grad**2  #: v += ____
    mhat = m / (1 - beta1**step)  #: mhat = ____
    vhat = v / (1 - beta2**step)  #: vhat = ____
    theta -= lr * mhat / (np.sqrt(vhat) + eps)  #: theta -= ____
