"""Importance-weighted bounds: several draws of z an image, weighed by how well they explain it.

What encoder, decoder and the parts compute is theirs; here are the weights, and which gradients
they multiply. A row of noise holds the K draws of its image; decoder and parts pass B K rows.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np

from minivae.errors import ArgumentError

MOST = 100_000  # samples an image


class Draws(NamedTuple):
    """What K draws of z gave for each of B images; all (B, K).

    log_w = log p(x|z) + beta log [p(z) / q(z|x)], and ratio is the last logarithm.
    """

    log_w: Any
    ratio: Any


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
    cuda: ClassVar[bool] = False  # not tried on a device yet
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
        draws = self._draw(model, x, eps, beta)
        bound, v = log_mean_exp(draws.log_w)
        dlog_p = (-scale * v).reshape(-1)
        deta = model.likelihood.backward(dlog_p)
        dz = model.decoder.backward_input(deta)
        dz += model.prior.backward(beta * dlog_p)
        if self.held:
            # The path through z of -log q(z|x): its stats held, it changes with z alone.
            dz -= (beta * dlog_p)[:, None] * model.posterior.score()
            if self.power == 2:
                dz *= v.reshape(-1)[:, None]
            dstats = self._room(model, "dstats", x, model.posterior.columns)
            dstats[...] = 0
            model.posterior.add(dz, dstats)
        else:
            dstats = model.posterior.backward(dz, -beta * dlog_p)
        model.encoder.keep(self._joined(model, dstats))
        kl = -scale / self.samples * draws.ratio.sum(dtype=np.float64)
        return -scale * bound.sum(dtype=np.float64) - beta * kl, kl

    def terms(self, model: Any, x: Any, eps: Any) -> tuple[Any, Any]:
        """Return minus nll and the KL of each image, as `step` has them, (B,); no gradients."""
        draws = self._draw(model, x, eps, model.beta)
        kl = -draws.ratio.mean(axis=1)
        return log_mean_exp(draws.log_w)[0] + model.beta * kl, kl

    def _draw(self, model: Any, x: Any, eps: Any, beta: float) -> Draws:
        """Draw K times for each image, encoded once, and weigh."""
        stats = self._repeated(model, "stats", model.encoder.forward(x))
        z, log_q = model.posterior.forward(stats, eps.reshape(len(stats), model.latent))
        eta = model.decoder.forward(z)
        log_p = model.likelihood.forward(eta, self._repeated(model, "x", x))
        ratio = model.prior.forward(z) - log_q
        shape = len(x), self.samples
        return Draws((log_p + beta * ratio).reshape(shape), ratio.reshape(shape))

    def _room(self, model: Any, name: str, x: Any, columns: int) -> Any:
        """Return a buffer of K rows an image: the model's, so that a window has its images'."""
        room = model.buffers.get(name, len(x), self.samples * columns, x.dtype)
        return room.reshape(len(x) * self.samples, columns)

    def _repeated(self, model: Any, name: str, rows: Any) -> Any:
        """Return each row K times."""
        if self.samples == 1:
            return rows
        room = self._room(model, name, rows, rows.shape[1])
        room.reshape(len(rows), self.samples, -1)[...] = rows[:, None]
        return room

    def _joined(self, model: Any, dstats: Any) -> Any:
        """Return the gradient of stats that K rows share: their sum."""
        if self.samples == 1:
            return dstats
        joined = model.buffers.get(
            "joined", len(dstats) // self.samples, dstats.shape[1], dstats.dtype
        )
        return dstats.reshape(len(joined), self.samples, -1).sum(axis=1, out=joined)


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


def log_mean_exp(log_w: Any) -> tuple[Any, Any]:
    """Return log 1/K sum_k w_k, (B,), and w_k / sum w, (B, K), for log w (B, K)."""
    top = log_w.max(axis=1, keepdims=True)
    v = np.exp(log_w - top)
    total = v.sum(axis=1, keepdims=True)
    v /= total
    return (top + np.log(total / log_w.shape[1]))[:, 0], v
