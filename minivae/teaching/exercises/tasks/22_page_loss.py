"""Exercise 22, a blank page: the two terms of the loss.

Lessons 3 and 5 (minivae learn). Write two functions below, with NumPy alone. Both are means over
the batch of sums over an image, in nats; they must neither overflow nor clip, for logits of 2000:

    bernoulli_nll(logits, x)          (nll, dlogits): -log p(x|logits), for pixels x in [0, 1]
    gaussian_kl(mu, logvar)           (kl, dmu, dlogvar): KL(N(mu, e^logvar) || N(0, 1))

Each gradient is that of the value returned beside it.
Then run: minivae exercise check 22
"""

import numpy as np

#: below


def bernoulli_nll(logits, x):
    """Return the value and its gradient."""
    softplus = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))
    probability = 0.5 * np.tanh(0.5 * logits) + 0.5
    return np.sum(softplus - x * logits) / len(x), (probability - x) / len(x)


def gaussian_kl(mu, logvar):
    """Return the value and its two gradients."""
    kl = 0.5 * np.sum(mu * mu + np.expm1(logvar) - logvar) / len(mu)
    return kl, mu / len(mu), 0.5 * np.expm1(logvar) / len(mu)
