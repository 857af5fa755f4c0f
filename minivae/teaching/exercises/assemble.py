"""A VAE put together from a student's own files of exercises 20 to 23, and its training.

The layers, the sampler, the loss and Adam are theirs, the wiring is here. Whether the files are
right is for verdict.py; what is done with the trained model is for the command.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np

from minivae.noise import generator
from minivae.teaching.exercises import student
from minivae.teaching.exercises.catalogue import EXERCISES
from minivae.teaching.exercises.sandbox import Sandbox
from minivae.teaching.exercises.student import ExerciseError
from minivae.teaching.exercises.verdict import judge
from minivae.vae import VAE

Array = np.ndarray
PAGES = [one for one in EXERCISES if one.kind == "page"]


class OwnVAE:
    """A VAE of a student's layers, sampler, loss and optimiser.

    Parameters
    ----------
    pages : dict of str to module
        From `own_pages`.
    pixels, latent : int
    hidden : tuple of int
    seed : int
        Of the initial weights.

    Attributes
    ----------
    params : dict of str to array
        By the names that they have in minivae: encoder.0.weight, ...
    """

    def __init__(
        self,
        pages: dict[str, ModuleType],
        pixels: int,
        hidden: tuple[int, ...],
        latent: int,
        lr: float = 1e-3,
        seed: int = 0,
    ) -> None:
        self.shape = pixels, hidden, latent
        self.layers, self.loss = pages["page_layers"], pages["page_loss"]
        rng = generator(seed, "own weights")
        self.encoder = self._network((pixels, *hidden, 2 * latent), rng)
        self.decoder = self._network((latent, *reversed(hidden), pixels), rng)
        self.sampler = pages["page_sampler"].Sampler()
        self.params = self._named("params")
        self.adam = pages["page_adam"].Adam(self.params, lr=lr)

    def _network(self, widths: tuple[int, ...], rng: np.random.Generator) -> list:
        layers: list = []
        for inputs, outputs in pairwise(widths):
            layers += [self.layers.ReLU()] if layers else []
            layers.append(self.layers.Linear(inputs, outputs, rng))
        return layers

    def _named(self, kind: str) -> dict[str, Array]:
        return {
            f"{network}.{i}.{name}": value
            for network in ("encoder", "decoder")
            for i, layer in enumerate(getattr(self, network))
            if i % 2 == 0
            for name, value in getattr(layer, kind).items()
        }

    def step(self, x: Array, eps: Array) -> float:
        """Take one step on x (B, D) with the noise eps (B, Z); return the loss, in nats."""
        stats, latent = x, self.shape[2]
        for layer in self.encoder:
            stats = layer.forward(stats)
        mu, logvar = stats[:, :latent], stats[:, latent:]
        logits = self.sampler.forward(mu, logvar, eps)
        for layer in self.decoder:
            logits = layer.forward(logits)
        nll, dz = self.loss.bernoulli_nll(logits, x)
        kl, dmu, dlogvar = self.loss.gaussian_kl(mu, logvar)
        for layer in reversed(self.decoder):
            dz = layer.backward(dz)
        through_mu, through_logvar = self.sampler.backward(dz)
        dstats = np.concatenate([dmu + through_mu, dlogvar + through_logvar], axis=1)
        for layer in reversed(self.encoder):
            dstats = layer.backward(dstats)
        self.adam.update(self._named("grads"))
        return float(nll + kl)

    def epoch(self, pixels: Array, epoch: int, batch: int = 128) -> Iterator[float]:
        """Yield the loss of each step of an epoch over pixels (N, D) in [0, 1]."""
        order = generator(epoch, "own order").permutation(len(pixels))
        noise = generator(epoch, "own noise")
        for first in range(0, len(order) - batch + 1, batch):
            x = pixels[order[first : first + batch]]
            yield self.step(x, noise.standard_normal((batch, self.shape[2])))

    def as_vae(self) -> VAE:
        """Return minivae's model with these weights: to evaluate, to save, to look into."""
        vae = VAE(*self.shape)
        for name, view in vae.params.items():
            view[...] = self.params[name]
        return vae


def own_pages(folder: Path) -> dict[str, ModuleType]:
    """Return the student's modules of the blank pages, if all are right.

    Raises
    ------
    ExerciseError
        If one is missing or not right.
    """
    found = {}
    with Sandbox() as sandbox:
        for one in PAGES:
            if not judge(one, folder, sandbox).passed:
                raise ExerciseError(
                    f"{one.file} is not right yet: minivae exercise check {one.number} says why"
                )
            path = folder / one.file
            found[one.name] = student.run(student.read(one, folder), path.stem, path)
    return found
