"""Exercise 8: the gradients of the KL between q(z|x) and the prior.

Lesson 5 (minivae learn).
Replace every ____ and run: minivae exercise check 8
"""

import numpy as np


def gaussian_kl(mu, logvar, beta, scale, dmu, dlogvar):
    """Return scale * sum of KL(N(mu, e^logvar) || N(0, 1)); overwrite dmu and dlogvar; all (B, Z).

    One dimension costs (mu^2 + e^logvar - 1 - logvar) / 2.
    The value is the KL itself; the gradients are those of beta times it. Both carry scale = 1/B.
    """
    # d/dmu [mu^2 / 2] is ...
    dmu[...] = beta * scale * mu  #: dmu[...] = ____
    # d/dlogvar [(e^logvar - logvar) / 2] is ...
    dlogvar[...] = beta * scale * 0.5 * np.expm1(logvar)  #: dlogvar[...] = ____
    return scale * 0.5 * np.sum(mu * mu + np.expm1(logvar) - logvar)
