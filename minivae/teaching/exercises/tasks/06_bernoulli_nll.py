"""Exercise 6: the likelihood of pixels from logits, with its gradient.

Lesson 3 (minivae learn), "The loss of a pixel" and "Why logits".
Replace every ____ and run: minivae exercise check 6
"""

import numpy as np


def bernoulli_nll(logits, x, scale, dlogits):
    """Return scale * sum of -log p(x|logits), and overwrite dlogits with its gradient.

    logits, x and dlogits are (B, D); scale is 1/B: the loss is a mean over the batch.
    One pixel with logit l costs -log p = softplus(l) - x l, with softplus(l) = log(1 + e^l).
    """
    # e^l overflows for large l. So write softplus(l) = max(l, 0) + log(1 + e^-|l|).
    softplus = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))  #: softplus = ____

    # d/dl [softplus(l) - x l] = (slope of softplus) - x; softplus has the slope e^l / (1 + e^l).
    probability = 0.5 * np.tanh(0.5 * logits) + 0.5  # sigmoid(logits), which never overflows
    dlogits[...] = scale * (probability - x)  #: dlogits[...] = ____
    return scale * np.sum(softplus - x * logits)
