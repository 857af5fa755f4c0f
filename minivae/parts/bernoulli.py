"""Bernoulli pixels: eta is a logit, the mean its sigmoid; grey values stand for probabilities.

The formulas, which fuse sigmoid and cross-entropy, are in formulas.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.parts.likelihood import Likelihood


class Bernoulli(Likelihood):
    """p(x|l) = sigmoid(l)^x (1 - sigmoid(l))^(1 - x) for each pixel."""

    kind = "bernoulli"
    eta = "logits"
    support = "numbers from 0 to 1"
    discrete = True

    def forward(self, eta: Any, x: Any) -> Any:
        """Return log p(x|eta) of each image, (B,), in nats."""
        self.eta, self.x = eta, x
        out = self.backend.empty((len(eta),), eta.dtype)
        return self.formulas.bernoulli_log_likelihood(eta, x, out)

    def backward(self, dlog_p: Any) -> Any:
        """Return deta = dlog_p (x - sigmoid(eta)), from d/dl [x l - softplus(l)]."""
        deta = self.mean(self.eta)
        deta -= self.x
        deta *= -dlog_p[:, None]
        return deta

    def nll(self, eta: Any, x: Any, scale: float) -> tuple[Any, Any]:
        """Return -scale times the sum of log p(x|eta), and its gradient deta."""
        deta = self.like("deta", eta)
        return self.formulas.bernoulli_nll(eta, x, scale, deta), deta

    def mean(self, eta: Any) -> Any:
        """Return the probabilities, (B, D)."""
        return self.formulas.sigmoid(eta, self.like("mean", eta))

    def page(self) -> tuple[str, str]:
        """Return mean and -log p of one pixel in JavaScript."""
        softplus = "Math.max(l, 0) + Math.log1p(Math.exp(-Math.abs(l)))"
        return "1 / (1 + Math.exp(-l))", f"{softplus} - x * l"

    def sample(self, eta: Any, rng: np.random.Generator) -> np.ndarray:
        """Return draws of black and white pixels, (B, D)."""
        p = self.backend.to_host(self.mean(eta))
        return (rng.random(p.shape) < p).astype(p.dtype)
