"""Exercise 17, a bug hunt: a likelihood that is fine until a pixel is certain.

Lesson 3 (minivae learn), "Why logits"; it is the likelihood of exercise 6.
One line is wrong. The verdict and the trace of `minivae exercise check 17` say what comes out of
it, not where it is. Find the line, mend it, and check again.
"""

import numpy as np


def bernoulli_nll(logits, x, scale, dlogits):
    """Return scale * sum of -log p(x|logits), and overwrite dlogits with its gradient."""
    p = 0.5 * np.tanh(0.5 * logits) + 0.5
    dlogits[...] = scale * (p - x)
    softplus = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))
    cost = softplus - x * logits  #: cost = -x * np.log(p + 1e-7) - (1 - x) * np.log(1 - p + 1e-7)
    return scale * np.sum(cost)
