"""The evidence lower bound and its gradient: the training step of a VAE, top to bottom.

What encoder, decoder and the parts compute is theirs; the parameters' gradients follow from
`model.gradients`, once all rows of the batch have passed.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minivae.errors import ArgumentError
from minivae.formulas import gaussian_kl_each
from minivae.params import Array


class Elbo:
    """-log p(x) <= nll + KL (Kingma and Welling 2014, equation 3), with the KL in closed form.

    Where prior and posterior have none, the KL is log q(z|x) - log p(z) at the z that is drawn.
    """

    kind: ClassVar[str] = "elbo"
    samples: ClassVar[int] = 1  # draws of z for each image
    cuda: ClassVar[bool] = True  # whether all that it computes has a CUDA form

    def step(
        self, model: Any, x: Array, eps: Array, scale: float, beta: float
    ) -> tuple[Array, Array]:
        """Pass a batch forward and back; return (nll, kl), where nll + beta kl is the loss.

        Parameters
        ----------
        model : VAE
            Its layers keep what their gradients need.
        x, eps : array (B, D), (B, Z)
            The images, and the noise to draw z with.
        scale : float
            1 / images of the batch: nll and kl are then in nats per image.
        beta : float
            Weight of the KL in the loss, and so in the gradient.
        """
        if model.posterior.kind not in model.prior.closed:
            return self._sampled(model, x, eps, scale, beta)
        stats = model.encoder.forward(x)  # q(z|x)
        z = model.posterior.draw(stats, eps)  # z = mu + sigma eps
        eta = model.decoder.forward(z)  # p(x|z)

        nll, deta = model.likelihood.nll(eta, x, scale)  # value, and its gradient
        kl, dstats = model.prior.kl(stats, beta, scale)  # the closed form, with its gradient

        dz = model.decoder.backward_input(deta)
        model.posterior.add(dz, dstats)  # the path through z joins the KL's own
        model.encoder.keep(dstats)
        return nll, kl

    def _sampled(
        self, model: Any, x: Array, eps: Array, scale: float, beta: float
    ) -> tuple[Array, Array]:
        """As `step`, for a prior and a posterior that say log p(z) and log q(z|x) alone."""
        stats = model.encoder.forward(x)
        z, log_q = model.posterior.forward(stats, eps)
        eta = model.decoder.forward(z)

        nll, deta = model.likelihood.nll(eta, x, scale)
        kl = scale * float((log_q - model.prior.forward(z)).sum(dtype=np.float64))

        weight = np.full(len(x), beta * scale, x.dtype)  # of log q, and of -log p, in the loss
        dz = model.decoder.backward_input(deta)
        dz += model.prior.backward(-weight)
        model.encoder.keep(model.posterior.backward(dz, weight))
        return nll, kl

    def terms(self, model: Any, x: Array, eps: Array) -> tuple[Array, Array]:
        """Return log p(x|z) and the KL of each image, both (B,), in nats; no gradients."""
        stats = model.encoder.forward(x)
        if model.posterior.kind in model.prior.closed:
            z, kl = model.posterior.draw(stats, eps), model.prior.kl_each(stats)
        else:
            z, log_q = model.posterior.forward(stats, eps)
            kl = log_q - model.prior.forward(z)
        return model.likelihood.forward(model.decoder.forward(z), x), kl


class FreeBits(Elbo):
    """The bound with a KL of at least `nats` for each image and dimension (Kingma and others 2016).

    Below that the KL costs nothing more and its gradient is 0, so that a dimension is not switched
    off before it has been of use. What `terms` gives, for tests, is the bound itself.

    Parameters
    ----------
    nats : float
        The paper's lambda, 0 or larger.

    Raises
    ------
    ArgumentError
        If it is not.
    """

    kind = "freebits"
    settings: ClassVar[dict[str, Any]] = {"nats": float}
    example: ClassVar[str] = "freebits:0.1"
    cuda = False

    def __init__(self, nats: float = 0.1) -> None:
        if not 0 <= nats < float("inf"):
            raise ArgumentError(f"the free bits must be 0 nats or more, not {nats}")
        self.nats = nats

    def fits(self, posterior: str, prior: str) -> None:
        """Raise ArgumentError unless the KL of these has the closed form that is cut here."""
        if (posterior, prior) != ("gaussian", "normal"):
            raise ArgumentError("free bits need --posterior gaussian and --prior normal")

    def step(
        self, model: Any, x: Array, eps: Array, scale: float, beta: float
    ) -> tuple[Array, Array]:
        """Pass a batch forward and back, as `Elbo` does; kl is the KL with its floor."""
        stats = model.encoder.forward(x)
        eta = model.decoder.forward(model.posterior.draw(stats, eps))

        nll, deta = model.likelihood.nll(eta, x, scale)
        _, dstats = model.prior.kl(stats, beta, scale)
        mu, logvar = model.posterior.halves(stats)
        kl = gaussian_kl_each(mu, logvar, np.empty_like(mu))  # (B, Z)
        for half in model.posterior.halves(dstats):
            half *= kl > self.nats

        model.posterior.add(model.decoder.backward_input(deta), dstats)
        model.encoder.keep(dstats)
        return nll, scale * float(np.maximum(kl, self.nats).sum(dtype=np.float64))
