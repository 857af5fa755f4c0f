"""Exercise 14, a bug hunt: a decoder that trains, but badly.

Lesson 8 (minivae learn); it is the decoder of exercise 11.
One line is wrong. The verdict and the trace of `minivae exercise check 14` say what comes out of
it, not where it is. Find the line, mend it, and check again.
"""

import numpy as np


class Decoder:
    """Linear, ReLU, Linear: logits (B, D) from z (B, Z), with H hidden units between."""

    def __init__(self, latent, hidden, pixels, rng):
        self.params = {
            "0.weight": rng.normal(size=(hidden, latent)),
            "0.bias": rng.normal(size=hidden),
            "2.weight": rng.normal(size=(pixels, hidden)),
            "2.bias": rng.normal(size=pixels),
        }
        self.grads = {name: np.zeros_like(value) for name, value in self.params.items()}

    def forward(self, z):
        """Return logits, and keep what backward needs."""
        self.z = z
        self.h = np.maximum(z @ self.params["0.weight"].T + self.params["0.bias"], 0)
        return self.h @ self.params["2.weight"].T + self.params["2.bias"]

    def backward(self, dlogits):
        """Return dz (B, Z), and overwrite the gradients of all parameters."""
        self.grads["2.weight"][...] = dlogits.T @ self.h
        self.grads["2.bias"][...] = dlogits.sum(axis=0)
        dh = dlogits @ self.params["2.weight"]
        da = dh * (self.h > 0)  #: da = dh * (dh > 0)
        self.grads["0.weight"][...] = da.T @ self.z
        self.grads["0.bias"][...] = da.sum(axis=0)
        return da @ self.params["0.weight"]
