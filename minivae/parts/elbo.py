"""The evidence lower bound and its gradient: the training step of a VAE, top to bottom.

What encoder, decoder and the parts compute is theirs; the parameters' gradients follow from
`model.gradients`, once all rows of the batch have passed.
"""

from __future__ import annotations

from typing import Any, ClassVar

from minivae.params import Array


class Elbo:
    """-log p(x) <= nll + KL (Kingma and Welling 2014, equation 3), with the KL in closed form."""

    kind: ClassVar[str] = "elbo"
    samples: ClassVar[int] = 1  # draws of z for each image

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
        stats = model.encoder.forward(x)  # q(z|x)
        z = model.posterior.draw(stats, eps)  # z = mu + sigma eps
        eta = model.decoder.forward(z)  # p(x|z)

        nll, deta = model.likelihood.nll(eta, x, scale)  # value, and its gradient
        kl, dstats = model.prior.kl(stats, beta, scale)  # the closed form, with its gradient

        dz = model.decoder.backward_input(deta)
        model.posterior.add(dz, dstats)  # the path through z joins the KL's own
        model.encoder.keep(dstats)
        return nll, kl

    def terms(self, model: Any, x: Array, eps: Array) -> tuple[Array, Array]:
        """Return log p(x|z) and the KL of each image, both (B,), in nats; no gradients."""
        stats = model.encoder.forward(x)
        eta = model.decoder.forward(model.posterior.draw(stats, eps))
        return model.likelihood.forward(eta, x), model.prior.kl_each(stats)
