"""Exercise 11: back through a chain of layers, the decoder.

Lesson 8 (minivae learn); the layers are those of lessons 2 and 3.
Replace every ____ and run: minivae exercise check 11
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
        """Return dz (B, Z), and overwrite the gradients of all parameters.

        The layers come in the opposite order: each hands its dx to the one before, as its dy.
        """
        # Linear 2: logits = h W^T + b
        self.grads["2.weight"][...] = dlogits.T @ self.h  #: self.grads["2.weight"][...] = ____
        self.grads["2.bias"][...] = dlogits.sum(axis=0)  #: self.grads["2.bias"][...] = ____
        dh = dlogits @ self.params["2.weight"]  #: dh = ____

        # ReLU: h = max(a, 0)
        da = dh * (self.h > 0)  #: da = ____

        # Linear 0: a = z W^T + b
        self.grads["0.weight"][...] = da.T @ self.z  #: self.grads["0.weight"][...] = ____
        self.grads["0.bias"][...] = da.sum(axis=0)  #: self.grads["0.bias"][...] = ____
        return da @ self.params["0.weight"]  #: return ____
