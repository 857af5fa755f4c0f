"""The training loop: epochs of steps, an evaluation after each, one record of both.

It knows no files, no terminal and no device: the backend takes the steps, callers save and print.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minivae.data import BINARIZE, Dataset, gather
from minivae.errors import ArgumentError, NotFiniteError
from minivae.noise import generator, permutation
from minivae.optim import Adam
from minivae.parallel import Team
from minivae.pixels import Source
from minivae.vae import BLOCK, VAE, Terms


class Record(NamedTuple):
    """What an epoch gave: losses in nats per image, wall-clock seconds, images per second."""

    epoch: int
    train_loss: float
    train_nll: float
    train_kl: float
    test_loss: float
    test_nll: float
    test_kl: float
    seconds: float
    images_per_second: float


class Training:
    """A run: the model, its optimizer, the data, and how far it has come.

    Everything random depends on (seed, purpose, epoch), so position and sums are all that a
    checkpoint must keep besides the numbers in the model and the optimizer.

    Attributes
    ----------
    epoch, step : int
        Epochs finished, and steps finished in the epoch under way.
    history : list of Record
        One record for each epoch finished.

    Raises
    ------
    ArgumentError
        If a setting is out of range or the images have another size than the model.
    """

    def __init__(
        self,
        vae: VAE,
        data: Dataset,
        *,
        batch_size: int = 128,
        lr: float = 1e-3,
        seed: int = 0,
        binarize: str = "none",
    ) -> None:
        if batch_size < 1:
            raise ArgumentError(f"the batch size must be at least 1, not {batch_size}")
        if seed < 0:
            raise ArgumentError(f"the seed must be 0 or larger, not {seed}")
        if binarize not in BINARIZE:
            raise ArgumentError(f"binarize {binarize!r} is unknown: {', '.join(BINARIZE)}")
        if data.train.shape[1] != vae.pixels:
            raise ArgumentError(
                f"{data.name} has images of {data.train.shape[1]} pixels, the model {vae.pixels}"
            )
        self.vae, self.data = vae, data
        self.adam = Adam(vae.parameters, vae.backend, lr)
        self.batch_size = min(batch_size, len(data.train))
        self.seed, self.binarize = seed, binarize
        self.epoch = self.step = 0
        self.nll_sum = self.kl_sum = self.seconds = 0.0  # of the epoch under way
        self.history: list[Record] = []

    @property
    def steps_per_epoch(self) -> int:
        """How many batches an epoch has; the last may be smaller."""
        return -(-len(self.data.train) // self.batch_size)

    def run(
        self,
        epochs: int,
        *,
        threads: int | None = None,
        after_step: Callable[[Training], bool | None] | None = None,
    ) -> Iterator[Record]:
        """Train until `epochs` epochs are finished in all; yield a record after each.

        Parameters
        ----------
        epochs : int
            The total, those of an earlier part of the run included.
        threads : int, optional
            Threads on the CPU; None: the cores available to this process.
        after_step : callable, optional
            Called with this object after every step; a true value ends the run there.

        Raises
        ------
        NotFiniteError
            At the first step whose loss is not a finite number.
        """
        if epochs < 1:
            raise ArgumentError(f"the number of epochs must be at least 1, not {epochs}")
        if threads is not None and threads < 1:
            raise ArgumentError(f"the number of threads must be at least 1, not {threads}")
        source = Source(self.data.train, self.binarize)
        steps = self.vae.backend.steps(self.vae, self.adam, source, self.batch_size, threads)
        try:
            while self.epoch < epochs:
                if not self._finish_epoch(steps, after_step):
                    return
                yield self._record(steps)
        finally:
            steps.close()

    def _finish_epoch(
        self, steps: Any, after_step: Callable[[Training], bool | None] | None
    ) -> bool:
        start = time.perf_counter() - self.seconds
        n, epoch = len(self.data.train), self.epoch
        steps.begin(
            permutation(self.seed, "order", epoch, n),
            generator(self.seed, "eps", epoch),
            generator(self.seed, "binarize", epoch),
            self.step,
            (self.nll_sum, self.kl_sum),
        )
        self._steps = steps
        while self.step < self.steps_per_epoch:
            loss = steps.step(self.step)
            self.step += 1
            self.seconds = time.perf_counter() - start
            if loss is not None and not np.isfinite(loss):
                raise self._not_finite()
            if after_step is not None and after_step(self):
                self.sync()
                return False
        self.sync()
        if not np.isfinite(self.nll_sum + self.kl_sum):
            raise self._not_finite()
        return True

    def sync(self) -> None:
        """Read the sums of the epoch under way from where the steps are taken."""
        self.nll_sum, self.kl_sum = self._steps.totals()

    def _record(self, steps: Any) -> Record:
        n, beta = len(self.data.train), self.vae.beta
        nll, kl = self.nll_sum / n, self.kl_sum / n
        test = evaluate(
            self.vae, self.data.test, binarize=self.binarize, seed=self.seed, team=steps.team
        )
        record = Record(
            self.epoch + 1,
            *(nll + beta * kl, nll, kl),
            *test,
            self.seconds,
            n / self.seconds,
        )
        self.history.append(record)
        self.epoch, self.step = self.epoch + 1, 0
        self.nll_sum = self.kl_sum = self.seconds = 0.0
        return record

    def _not_finite(self) -> NotFiniteError:
        tensors = [
            name
            for name, place in self.vae.parameters.slices.items()
            if not np.isfinite(self.vae.backend.to_host(self.adam.m[place])).all()
        ]
        where = f"; first in {tensors[0]}" if tensors else ""
        return NotFiniteError(
            f"the loss is not finite at epoch {self.epoch + 1}, step {self.step}{where}: "
            "try a smaller learning rate (--lr)"
        )


def train(
    vae: VAE,
    data: Dataset,
    epochs: int = 50,
    batch_size: int = 128,
    lr: float = 1e-3,
    seed: int = 0,
    binarize: str = "none",
    threads: int | None = None,
) -> Iterator[Record]:
    """Train a model; yield one `Record` an epoch.

    Parameters
    ----------
    vae : VAE
        Trained in place.
    data : Dataset
        From `load_data`.
    epochs, batch_size, lr, seed
        As of Adam; a batch larger than the data set is the whole data set.
    binarize : str
        "none", "threshold", or "sampled" (pixels drawn anew each epoch).
    threads : int, optional
        Threads on the CPU; None: the cores available to this process.
    """
    training = Training(vae, data, batch_size=batch_size, lr=lr, seed=seed, binarize=binarize)
    return training.run(epochs, threads=threads)


def evaluate(
    vae: VAE, rows: Any, *, binarize: str = "none", seed: int = 0, team: Team | None = None
) -> Terms:
    """Return (loss, nll, kl) over all rows, in nats per image, with one draw of z an image.

    Parameters
    ----------
    vae : VAE
        The model.
    rows : array (N, D)
        uint8, or floats in [0, 1]: a part of a `Dataset`.
    binarize : str
        "none", "threshold" or "sampled".
    seed : int
        Of the noise in z (and in "sampled" pixels); the same for every call with this seed.
    team : Team, optional
        Threads that share the work.
    """
    n = len(rows)
    eps_stream, uniform_stream = (generator(seed, f"evaluate {what}") for what in ("eps", "x"))
    log_likelihood, kl = np.empty(n), np.empty(n)
    for start in range(0, n, BLOCK):
        block = slice(start, min(start + BLOCK, n))
        indices = np.arange(block.start, block.stop)
        shape = (len(indices), vae.pixels)
        eps = eps_stream.standard_normal((len(indices), vae.latent), dtype=vae.dtype)
        uniform = uniform_stream.random(shape, np.float32) if binarize == "sampled" else None
        x = gather(rows, indices, np.empty(shape, vae.dtype), binarize=binarize, uniform=uniform)
        x, eps = vae.backend.asarray(x), vae.backend.asarray(eps)

        def pass_rows(k: int, x: Any = x, eps: Any = eps, start: int = start) -> None:
            part = slice(0, len(x)) if team is None else team.rows(k, len(x))
            out = slice(start + part.start, start + part.stop)
            log_likelihood[out], kl[out] = map(vae.backend.to_host, vae.forward_rows(x, eps, part))

        if team is None:
            pass_rows(0)
        else:
            team.run(pass_rows)
    nll_mean, kl_mean = -float(log_likelihood.mean()), float(kl.mean())
    return Terms(nll_mean + vae.beta * kl_mean, nll_mean, kl_mean)


def active_units(mu: np.ndarray, threshold: float = 0.01) -> int:
    """Return how many latent dimensions carry information: variance of mu (N, Z) over the data.

    The measure and the threshold are those of Burda, Grosse and Salakhutdinov (2016, section 5.2).
    """
    return int((mu.var(axis=0) > threshold).sum())
