"""Exercise 21, a blank page: the sampler.

Lesson 6 (minivae learn). Write one class below, with NumPy alone:

    Sampler()                         z = mu + sigma eps, where logvar is log sigma^2
        .forward(mu, logvar, eps)     z (B, Z), for three arrays (B, Z)
        .backward(dz)                 (dmu, dlogvar), the gradients through z alone

Then run: minivae exercise check 21
"""

import numpy as np

#: below


class Sampler:
    """A draw from N(mu, e^logvar) through which gradients pass."""

    def forward(self, mu, logvar, eps):
        """Return z."""
        self.noise = np.exp(logvar / 2) * eps
        return mu + self.noise

    def backward(self, dz):
        """Return the gradients of mu and logvar."""
        return dz, dz * self.noise / 2
