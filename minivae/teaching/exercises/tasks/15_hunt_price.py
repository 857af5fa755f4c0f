"""Exercise 15, a bug hunt: latent dimensions that all close down.

Lesson 8 (minivae learn); it is the encoder's last layer of exercise 12.
One line is wrong. The verdict and the trace of `minivae exercise check 15` say what comes out of
it, not where it is. Find the line, mend it, and check again.
"""

import numpy as np


class Head:
    """From the last hidden layer h (B, H) to a draw z (B, Z) and its price, the KL."""

    def __init__(self, hidden, latent, rng):
        self.latent = latent
        self.params = {
            "weight": rng.normal(size=(2 * latent, hidden)),
            "bias": rng.normal(size=2 * latent),
        }
        self.grads = {name: np.zeros_like(value) for name, value in self.params.items()}

    def forward(self, h, eps):
        """Return z (B, Z) and the KL, in nats per image, for the noise eps (B, Z)."""
        self.h = h
        stats = h @ self.params["weight"].T + self.params["bias"]  # (B, 2Z)
        self.mu, self.logvar = stats[:, : self.latent], stats[:, self.latent :]
        self.noise = np.exp(0.5 * self.logvar) * eps
        kl = 0.5 * np.sum(self.mu**2 + np.expm1(self.logvar) - self.logvar) / len(h)
        return self.mu + self.noise, kl

    def backward(self, dz, dkl):
        """Return dh (B, H) and None; overwrite the parameters' gradients."""
        scale = 1 / len(dz)
        price = dkl * scale  #: price = dkl
        dmu = dz + price * self.mu
        dlogvar = dz * self.noise / 2 + price * np.expm1(self.logvar) / 2
        dstats = np.concatenate([dmu, dlogvar], axis=1)
        self.grads["weight"][...] = dstats.T @ self.h
        self.grads["bias"][...] = dstats.sum(axis=0)
        return dstats @ self.params["weight"], None
