"""Exercise 12: where the two paths meet, the encoder's last layer.

Lesson 8 (minivae learn); the formulas are those of lessons 5 and 6.
Replace every ____ and run: minivae exercise check 12
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
        """Return dh (B, H) and None (nobody asks for deps); overwrite the parameters' gradients.

        mu and logvar reach the loss on two paths: through z, from which dz (B, Z) comes back, and
        through kl, from which dkl, one number, comes back. The gradients of both paths add up.
        """
        scale = 1 / len(dz)
        dmu = dz + dkl * scale * self.mu  #: dmu = ____
        dlogvar = dz * self.noise / 2 + dkl * scale * np.expm1(self.logvar) / 2  #: dlogvar = ____

        # mu and logvar are the halves of stats, in this order.
        dstats = np.concatenate([dmu, dlogvar], axis=1)  #: dstats = ____

        # Linear: stats = h W^T + b
        self.grads["weight"][...] = dstats.T @ self.h  #: self.grads["weight"][...] = ____
        self.grads["bias"][...] = dstats.sum(axis=0)  #: self.grads["bias"][...] = ____
        return dstats @ self.params["weight"], None  #: return ____, None
