"""Exercise 9: the backward of the reparameterization.

Lesson 6 (minivae learn).
Replace every ____ and run: minivae exercise check 9
"""

import numpy as np


def reparameterize(mu, logvar, eps, noise, z):
    """Overwrite noise with sigma eps, z with mu + sigma eps; all (B, Z); sigma is exp(logvar/2)."""
    noise[...] = np.exp(0.5 * logvar) * eps
    z[...] = mu + noise


def reparameterize_backward(dz, noise, dmu, dlogvar):
    """Add the paths through z to dmu and dlogvar, which hold the KL's gradients; all (B, Z).

    z = mu + noise, so dz/dmu is ...; noise = eps exp(logvar/2), so dz/dlogvar is ...
    Both can be written with dz and noise alone.
    """
    dmu += dz  #: dmu += ____
    dlogvar += 0.5 * dz * noise  #: dlogvar += ____
