"""Importance-weighted bounds: several draws of z an image, weighed by how well they explain it.

What encoder, decoder and the parts compute is theirs; here are the weights, and which gradients
they multiply. A row of noise holds the K draws of its image; decoder and parts pass B K rows.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minivae.errors import ArgumentError
from minivae.parts.rows import add_rows, join_rows, repeat_rows, scale_rows

MOST = 100_000  # samples an image


def importance_weights(
    log_p: Any, log_prior: Any, log_q: Any, samples: int, beta: float, scale: float
) -> tuple[Any, Any, Any, Any, Any, Any]:
    """Return (nll, kl, v, dlog_p, dlog_prior, dlog_q), from the logarithms of all draws, (B K,).

    log w = log p(x|z) + beta (log p(z) - log q(z|x)), of which `samples`, K, are an image's. v is
    the share of each w in the sum of its image's, and the last three are the slopes of the loss
    -scale sum_b log 1/K sum_k w_bk; all four are (B K,). kl is scale times the sum over the images
    of the mean of log q(z|x) - log p(z), and nll what is left of the loss: nll + beta kl is it.
    """
    log_w, ratio = _log_weights(log_p, log_prior, log_q, samples, beta)
    bound, v = log_mean_exp(log_w)
    dlog_p = (-scale * v).reshape(-1)
    dlog_prior = beta * dlog_p
    kl = -scale / samples * ratio.sum(dtype=np.float64)
    nll = -scale * bound.sum(dtype=np.float64) - beta * kl
    return nll, kl, v.reshape(-1), dlog_p, dlog_prior, -dlog_prior


def importance_terms(
    log_p: Any, log_prior: Any, log_q: Any, samples: int, beta: float
) -> tuple[Any, Any]:
    """Return -nll and kl of each image, (B,), as `importance_weights` has them for scale 1."""
    log_w, ratio = _log_weights(log_p, log_prior, log_q, samples, beta)
    kl = -ratio.mean(axis=1)
    return log_mean_exp(log_w)[0] + beta * kl, kl


def _log_weights(
    log_p: Any, log_prior: Any, log_q: Any, samples: int, beta: float
) -> tuple[Any, Any]:
    """Return log w and log p(z) / q(z|x), (B, K)."""
    ratio = log_prior - log_q
    return (log_p + beta * ratio).reshape(-1, samples), ratio.reshape(-1, samples)


def log_mean_exp(log_w: Any) -> tuple[Any, Any]:
    """Return log 1/K sum_k w_k, (B,), and w_k / sum w, (B, K), for log w (B, K)."""
    top = log_w.max(axis=1, keepdims=True)
    v = np.exp(log_w - top)
    total = v.sum(axis=1, keepdims=True)
    v /= total
    return (top + np.log(total / log_w.shape[1]))[:, 0], v


class Iwae:
    """-log p(x) <= -E[log 1/K sum_k w_k] (Burda, Grosse and Salakhutdinov 2016, equation 8).

    Of the loss -log mean w, the slope by log w_k is -w_k / sum w =: -v_k, which sum to 1: all
    gradients are those of the sum of v_k log w_k with the v held.

    Parameters
    ----------
    samples : int
        K, the draws of z for each image; 1 is the evidence lower bound, its KL drawn too.

    Raises
    ------
    ArgumentError
        If there are none, or too many.
    """

    kind: ClassVar[str] = "iwae"
    settings: ClassVar[dict[str, Any]] = {"samples": int}
    example: ClassVar[str] = "iwae:5"
    cuda: ClassVar[bool] = True
    held: ClassVar[bool] = False  # whether q's own stats are held: gradients pass through z alone
    power: ClassVar[int] = 1  # of the weights in the encoder's gradient

    def __init__(self, samples: int = 0) -> None:
        if not 1 <= samples <= MOST:
            raise ArgumentError(
                f"the number of samples must be from 1 to {MOST:,}, not {samples}: write "
                f"{self.example} (--samples 5)"
            )
        self.samples = samples

    def step(self, model: Any, x: Any, eps: Any, scale: float, beta: float) -> tuple[Any, Any]:
        """Pass a batch forward and back; return (nll, kl), where nll + beta kl is the loss.

        kl is the mean of log q(z|x) - log p(z) over the draws, nll what is left of the loss: for
        one sample -log p(x|z), for more that less what the bound is tighter by.

        Parameters
        ----------
        model : VAE
            Its layers keep what their gradients need.
        x, eps : array (B, D), (B, K Z)
            The images, and the noise to draw z with.
        scale : float
            1 / images of the batch: nll and kl are then in nats per image.
        beta : float
            Weight of log q(z|x) - log p(z) in log w, and so in the gradient.
        """
        f = self._formulas(model)
        terms = self._draw(model, f, x, eps)
        nll, kl, v, dlog_p, dlog_prior, dlog_q = f.importance_weights(
            *terms, self.samples, beta, scale
        )
        deta = model.likelihood.backward(dlog_p)
        dz = model.decoder.backward_input(deta)
        f.add_rows(model.prior.backward(dlog_prior), None, dz)
        if self.held:
            # log q(z|x) with its stats held changes with z alone.
            f.add_rows(model.posterior.score(), dlog_q, dz)
            if self.power == 2:
                f.scale_rows(dz, v, dz)
            dlog_q = None
        dstats = model.posterior.backward(dz, dlog_q)
        model.encoder.keep(self._joined(model, f, dstats))
        return nll, kl

    def terms(self, model: Any, x: Any, eps: Any) -> tuple[Any, Any]:
        """Return minus nll and the KL of each image, as `step` has them, (B,); no gradients."""
        f = self._formulas(model)
        return f.importance_terms(*self._draw(model, f, x, eps), self.samples, model.beta)

    @staticmethod
    def _formulas(model: Any) -> Any:
        """Return the formulas of this file and of rows.py as the model's backend runs them."""
        return model.backend.twins(
            importance_weights, importance_terms, repeat_rows, join_rows, scale_rows, add_rows
        )

    def _draw(self, model: Any, f: Any, x: Any, eps: Any) -> tuple[Any, Any, Any]:
        """Draw K times for each image, encoded once: log p(x|z), log p(z), log q(z|x), (B K,)."""
        stats = self._repeated(model, f, model.encoder.forward(x))
        z, log_q = model.posterior.forward(stats, eps.reshape(len(stats), model.latent))
        eta = model.decoder.forward(z)
        log_p = model.likelihood.forward(eta, x)
        return log_p, model.prior.forward(z), log_q

    def _repeated(self, model: Any, f: Any, stats: Any) -> Any:
        """Return each row K times, in a buffer of the model, so that a window has its images'."""
        if self.samples == 1:
            return stats
        room = model.buffers.get("stats", len(stats), self.samples * stats.shape[1], stats.dtype)
        return f.repeat_rows(stats, room.reshape(len(stats) * self.samples, stats.shape[1]))

    def _joined(self, model: Any, f: Any, dstats: Any) -> Any:
        """Return the gradient of stats that K rows share: their sum."""
        if self.samples == 1:
            return dstats
        rows, columns = len(dstats) // self.samples, dstats.shape[1]
        return f.join_rows(dstats, model.buffers.get("joined", rows, columns, dstats.dtype))


class StickingTheLanding(Iwae):
    """The bound of `Iwae`; the encoder's gradient without the stats' own (Roeder and others 2017).

    dlog q/dstats with z held is 0 on average for one sample, and noise: leaving it out makes the
    gradient vanish where q is the posterior. For more samples the weights make it biased.
    """

    kind = "stl"
    example = "stl:5"
    held = True


class DoublyReparameterized(StickingTheLanding):
    """The bound of `Iwae`; the encoder's gradient is DReG (Tucker and others 2019, equation 8).

    What sticking the landing leaves out is itself reparameterized: the weights become their
    squares, and the gradient is that of `Iwae` on average, for any number of samples.
    """

    kind = "dreg"
    example = "dreg:5"
    power = 2
