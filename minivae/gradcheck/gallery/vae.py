"""Real mistakes in a whole VAE, each as the correct model with one formula or method broken.

Those of single layers are in faults.py; what is found and by what name is shown by gallery.py.
"""

from __future__ import annotations

from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np

from minivae import formulas as f
from minivae.noise import generator
from minivae.params import ALL
from minivae.vae import VAE, Terms

Array = np.ndarray


class BrokenVAE(VAE):
    """A VAE whose children replace formulas by static methods of the same names."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        mine = {name: getattr(self, name) for name in vars(type(self)) if hasattr(f, name)}
        right = {name: one for name, one in vars(f).items() if isinstance(one, FunctionType)}
        for layer in self.leaves():
            layer.formulas = SimpleNamespace(**right | mine)


class NoiseDrawnTwice(BrokenVAE):
    """backward draws an epsilon that forward never saw."""

    @staticmethod
    def reparameterize_backward(dz: Array, noise: Array, *sums: Array) -> None:
        """Add the paths through z, with noise of its own."""
        fresh = noise * np.random.default_rng().normal(size=noise.shape)
        f.reparameterize_backward(dz, fresh, *sums)


class NoiseDrawnInside(BrokenVAE):
    """forward draws its own epsilon."""

    def step(self, x: Array, eps: Array) -> Terms:
        """Return the loss with other noise than was given."""
        return super().step(x, np.random.default_rng().normal(size=eps.shape))


class SigmaIsVariance(BrokenVAE):
    """sigma = exp(logvar), in forward and backward alike."""

    @staticmethod
    def reparameterize(mu: Array, logvar: Array, eps: Array, noise: Array, z: Array) -> Array:
        """Overwrite z."""
        return f.reparameterize(mu, 2 * logvar, eps, noise, z)

    @staticmethod
    def reparameterize_backward(dz: Array, noise: Array, dmu: Array, dlogvar: Array) -> None:
        """Add the paths through z."""
        dmu += dz
        dlogvar += dz * noise


class HalfForgotten(BrokenVAE):
    """dlogvar = dz eps sigma, without the half of exp(logvar / 2)."""

    @staticmethod
    def reparameterize_backward(dz: Array, noise: Array, dmu: Array, dlogvar: Array) -> None:
        """Add the paths through z."""
        dmu += dz
        dlogvar += dz * noise


class DeviationHasNoPath(BrokenVAE):
    """The path through z to the log variance is missing."""

    @staticmethod
    def reparameterize_backward(dz: Array, noise: Array, *sums: Array) -> None:
        """Add the path to mu alone."""
        sums[0][...] += dz


class NoPathThroughZ(BrokenVAE):
    """The encoder learns from the KL alone."""

    @staticmethod
    def reparameterize_backward(*args: Array) -> None:
        """Add nothing."""


class NoiseShared(BrokenVAE):
    """All rows of a batch get the first row's noise."""

    def step(self, x: Array, eps: Array) -> Terms:
        """Return the loss with the noise of the first row."""
        return super().step(x, np.repeat(eps[:1], len(eps), axis=0))


class AtTheMean(BrokenVAE):
    """A "bound" at z = mu."""

    def step(self, x: Array, eps: Array) -> Terms:
        """Return the loss without noise."""
        return super().step(x, 0 * eps)


class KLWithoutGradient(BrokenVAE):
    """The KL's own gradient is missing."""

    @staticmethod
    def gaussian_kl(*args: Any) -> float:
        """Return the KL; gradients of 0."""
        value = f.gaussian_kl(*args)
        args[-2][...] = args[-1][...] = 0
        return value


class KLPathReplaced(BrokenVAE):
    """The KL's gradient to the log variance is missing."""

    @staticmethod
    def gaussian_kl(*args: Any) -> float:
        """Return the KL; a gradient of 0 to the log variance."""
        value = f.gaussian_kl(*args)
        args[-1][...] = 0
        return value


class BetaForgotten(BrokenVAE):
    """beta weighs the KL's value but not its gradient."""

    @staticmethod
    def gaussian_kl(mu: Array, logvar: Array, beta: float, *rest: Any) -> float:
        """Return the KL, with the gradient for beta = 1."""
        return f.gaussian_kl(mu, logvar, 1.0, *rest)


class KLSummed(BrokenVAE):
    """The KL is summed over the batch, the reconstruction averaged."""

    @staticmethod
    def gaussian_kl(mu: Array, logvar: Array, beta: float, scale: float, *rest: Any) -> float:
        """Return the sum over the batch."""
        return f.gaussian_kl(mu, logvar, beta, 1.0, *rest)


class KLAveraged(BrokenVAE):
    """The KL is averaged over latent dimensions."""

    @staticmethod
    def gaussian_kl(mu: Array, logvar: Array, beta: float, scale: float, *rest: Any) -> float:
        """Return the mean over the dimensions."""
        return f.gaussian_kl(mu, logvar, beta, scale / mu.shape[1], *rest)


class KLSignInLog(BrokenVAE):
    """The KL is logged with its sign flipped."""

    def step(self, x: Array, eps: Array) -> Terms:
        """Return the terms, the KL's sign flipped."""
        terms = super().step(x, eps)
        return Terms(terms.loss, terms.nll, -terms.kl)


class LossDividedTwice(BrokenVAE):
    """The value is divided by the batch size, the gradient is not."""

    def step(self, x: Array, eps: Array) -> Terms:
        """Return the mean, leave the sum's gradient."""
        terms = super().step(x, eps)
        self.grad[...] *= len(x)
        return terms


class PixelsAveraged(BrokenVAE):
    """The reconstruction is averaged over pixels, in value and gradient."""

    @staticmethod
    def bernoulli_nll(logits: Array, x: Array, scale: float, *rest: Array) -> float:
        """Return the mean over pixels."""
        return f.bernoulli_nll(logits, x, scale / x.shape[1], *rest)


class PixelGradientAveraged(BrokenVAE):
    """The reconstruction is summed over pixels, its gradient averaged."""

    @staticmethod
    def bernoulli_nll(logits: Array, x: Array, scale: float, *rest: Array) -> float:
        """Return the sum, write the mean's gradient."""
        value = f.bernoulli_nll(logits, x, scale, *rest)
        rest[-1][...] /= x.shape[1]
        return value


class SigmoidTwice(BrokenVAE):
    """The fused gradient sigmoid(l) - x is multiplied by sigmoid's derivative once more."""

    @staticmethod
    def bernoulli_nll(logits: Array, x: Array, scale: float, *rest: Array) -> float:
        """Return the value, write the broken gradient."""
        value = f.bernoulli_nll(logits, x, scale, *rest)
        p = 1 / (1 + np.exp(-logits))
        rest[-1][...] *= p * (1 - p)
        return value


class ConstantForgotten(BrokenVAE):
    """The softplus lacks its log 2 at 0: a value without effect on the gradient."""

    @staticmethod
    def bernoulli_nll(logits: Array, x: Array, scale: float, *rest: Array) -> float:
        """Return the value less log 2 a pixel."""
        value = f.bernoulli_nll(logits, x, scale, *rest)
        return value - scale * logits.size * np.log(2)


class ReLUPassesEverything(BrokenVAE):
    """ReLU's backward lets everything pass."""

    @staticmethod
    def relu_backward(y: Array, dy: Array, dx: Array) -> Array:
        """Overwrite dx with dy."""
        dx[...] = dy
        return dx


class HalvesExchanged(BrokenVAE):
    """The gradients of mu and of the log variance are written into each other's half."""

    def gradients(self, part: slice = ALL) -> None:
        """Compute the gradients with the halves exchanged."""
        last = self.encoder.layers[-1]
        last.dy[...] = np.roll(last.dy, self.latent, axis=1)
        super().gradients(part)


class FirstLayerForgotten(BrokenVAE):
    """The encoder's first layer is left out of the backward pass."""

    def step(self, x: Array, eps: Array) -> Terms:
        """Return the terms; no gradient for the first layer."""
        terms = super().step(x, eps)
        for grad in self.encoder.layers[0].grads.values():
            grad[...] = 0
        return terms


class GradientsAdded(BrokenVAE):
    """Each step adds to the gradients of the last."""

    def step(self, x: Array, eps: Array) -> Terms:
        """Return the terms, add to the gradient."""
        before = self.grad.copy()
        terms = super().step(x, eps)
        self.grad[...] += before
        return terms


class CentredByBatch(BrokenVAE):
    """Images lose the batch's mean before they are encoded: rows depend on each other."""

    def step(self, x: Array, eps: Array) -> Terms:
        """Return the loss of the centred images."""
        return super().step(x - x.mean(axis=0) + 0.5, eps)


class SamplesThroughSoftplus(BrokenVAE):
    """Samples are shown through softplus where sigmoid belongs."""

    def sample(self, n: int, seed: int = 0) -> Array:
        """Return the wrong pictures."""
        p = super().sample(n, seed)
        return np.log1p(p / (1 - p))


class DecodesLogits(BrokenVAE):
    """decode gives logits where probabilities belong."""

    def decode(self, z: Array) -> Array:
        """Return the logits."""
        p = super().decode(z)
        return np.log(p / (1 - p))


class PriorTooWide(BrokenVAE):
    """Samples come from a prior of deviation 3."""

    def sample(self, n: int, seed: int = 0) -> Array:
        """Return pictures of points too far out."""
        return self.decode(3 * generator(seed, "sample").standard_normal((n, self.latent)) + 1)


class WeightsOfTheLoss(BrokenVAE):
    """Importance weights with the likelihood's sign turned."""

    @staticmethod
    def bernoulli_log_likelihood(logits: Array, x: Array, out: Array, slopes: Array) -> Array:
        """Overwrite and return -log p."""
        return np.negative(f.bernoulli_log_likelihood(logits, x, out, slopes), out=out)


# The fault and what names it: a cause of the gradient check, or a contract.
VAE_FAULTS: tuple[tuple[type[VAE], str], ...] = (
    (NoiseDrawnTwice, "random"),
    (NoiseDrawnInside, "random"),
    (SigmaIsVariance, "z has deviation sigma"),
    (HalfForgotten, "scale"),
    (DeviationHasNoPath, "missing-term"),
    (NoPathThroughZ, "missing-term"),
    (NoiseShared, "batch size (loss)"),
    (AtTheMean, "bound is its integral"),
    (KLWithoutGradient, "missing-term"),
    (KLPathReplaced, "missing-term"),
    (BetaForgotten, "scale"),
    (KLSummed, "batch size (kl)"),
    (KLAveraged, "KL is its expectation"),
    (KLSignInLog, "terms add up"),
    (LossDividedTwice, "scale"),
    (PixelsAveraged, "images sum to 1"),
    (PixelGradientAveraged, "scale"),
    (SigmoidTwice, "unknown"),
    (ConstantForgotten, "images sum to 1"),
    (ReLUPassesEverything, "mask"),
    (HalvesExchanged, "swapped"),
    (FirstLayerForgotten, "zero"),
    (GradientsAdded, "accumulated"),
    (CentredByBatch, "batch size (loss)"),
    (SamplesThroughSoftplus, "sample has the decoder's mean"),
    (DecodesLogits, "decode is the likelihood's"),
    (PriorTooWide, "sample has the decoder's mean"),
    (WeightsOfTheLoss, "importance sampling"),
)
