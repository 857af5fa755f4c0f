"""Exercise 18, a bug hunt: every derivative is right, and the model is wrong.

Lesson 6 (minivae learn); it is the sampler of exercise 9.
Two lines are wrong, one in each function, and they agree with one another: a gradient check
passes. `minivae exercise check 18` says what comes out. Mend both lines, and check again.
"""

import numpy as np


def reparameterize(mu, logvar, eps, noise, z):
    """Overwrite noise with sigma eps, z with a draw from N(mu, e^logvar); all (B, Z)."""
    noise[...] = np.exp(0.5 * logvar) * eps  #: noise[...] = np.exp(logvar) * eps
    z[...] = mu + noise


def reparameterize_backward(dz, noise, dmu, dlogvar):
    """Add the paths through z to dmu and dlogvar, which hold the KL's gradients; all (B, Z)."""
    dmu += dz
    dlogvar += 0.5 * dz * noise  #: dlogvar += dz * noise
