"""The training loop: epochs of steps, an evaluation after each, one record of both.

It knows no files, no terminal and no device: the backend takes the steps, callers save and print.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minivae import products as libraries
from minivae.backend import shared_empty
from minivae.data.dataset import Dataset
from minivae.data.pixels import BINARIZE, Source, gather
from minivae.errors import ArgumentError, NotFiniteError, shown
from minivae.noise import RowNoise, generator, normal, permutation
from minivae.optim import Adam
from minivae.training.crew import BlasThreads, Crew, can_fork, cores, kernel
from minivae.training.ranks import Ranks
from minivae.training.steps import open_steps
from minivae.training.support import check_support
from minivae.training.watch import CHECK, Watch
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
    epochs, threads : int or None
        What the last `run` was asked for.
    products : str or None
        The library that computes the products; None until the first `run` has chosen it.
    notice : callable
        Called with a line that the user should know; `warnings.warn` at first.
    computed : str
        What computed it last, in words: the same goes on to the same bits. Empty: nothing yet.
    ranks : Ranks or None
        Ranks that share the run, all of which call `run`.
    source : str
        Where the data came from, for whoever goes on with the run; empty: unknown.

    Raises
    ------
    ArgumentError
        If a setting is out of range or the images have another size than the model.
    DataError
        If the data are not what the likelihood is for.
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
        products: str | None = None,
    ) -> None:
        if batch_size < 1:
            raise ArgumentError(f"the batch size must be at least 1, not {batch_size}")
        if seed < 0:
            raise ArgumentError(f"the seed must be 0 or larger, not {seed}")
        if binarize not in BINARIZE:
            raise ArgumentError(f"binarize {binarize!r} is unknown: {', '.join(BINARIZE)}")
        if data.train.shape[1] != vae.pixels:
            raise ArgumentError(
                f"{shown(data.name)} has images of {data.train.shape[1]} pixels, the model "
                f"{vae.pixels}"
            )
        check_support(vae.likelihood, data, binarize)
        self.vae, self.data = vae, data
        self.adam = Adam(vae.parameters, vae.backend, lr)
        self.batch_size = min(batch_size, len(data.train))
        self.seed, self.binarize = seed, binarize
        self.epoch = self.step = 0
        self.nll_sum = self.kl_sum = self.seconds = 0.0  # of the epoch under way
        self.history: list[Record] = []
        self.epochs: int | None = None
        self.threads: int | None = None
        self.products = products
        self.notice: Callable[[str], None] = warnings.warn
        self.source = ""
        self.computed = ""
        self.ranks: Ranks | None = None
        self._steps: Any = None
        self._watch: Any = None

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
            Cores to use; None: those available to this process. Until the run ends, NumPy's own
            products use one thread where processes share the work or nothing is said, or else
            this many.
        after_step : callable, optional
            Called with this object after every step; a true value ends the run there.

        Raises
        ------
        NotFiniteError
            If a loss, a gradient or its square is not a finite number: see watch.py. Model and
            optimizer are then as they were at most 100 steps before the step that is named.
        BackendError
            If a library was asked for to compute products, and cannot.
        CrewError
            If a process that shares the work ends. Then, and where a step is interrupted by any
            other exception, the training stands at most 100 steps before, all numbers of one time.
        """
        if epochs < 1:
            raise ArgumentError(f"the number of epochs must be at least 1, not {epochs}")
        cores(threads)  # says if it cannot be
        self.epochs, self.threads = epochs, threads
        source = Source(self.data.train, self.binarize)
        steps = open_steps(self.vae, self.adam, source, self.batch_size, threads, self.ranks)
        library = "numpy", 1
        if self.vae.backend.name == "numpy":
            self.products = libraries.choose(self.products, steps.threads, self.notice)
            library = self.products, steps.threads
        self._steps, self._watch = steps, Watch(self)
        self._compare(steps)
        try:
            while self.epoch < epochs:
                # What is not finite is found by the watch. The library is this run's from one
                # `yield` to the next: in between, another run may have its own.
                with np.errstate(all="ignore"), libraries.using(*library):
                    if not self._finish_epoch(steps, after_step):
                        return
                    record = self._record(steps)
                yield record
        finally:
            steps.close()
            self._steps = self._watch = None  # no circle: memory is free as soon as it can be

    def _compare(self, steps: Any) -> None:
        """Note what computes, and say so where it is not what the run was begun with."""
        now = self.vae.backend.name
        if now == "numpy":
            now = f"{steps.members} process{'es' * (steps.members > 1)} and {kernel()}"
        if self.ranks is not None:
            now += f" on each of {self.ranks.size} ranks"
        if self.computed not in ("", now) and not (self.ranks and self.ranks.rank):
            self.notice(
                f"this run was computed by {self.computed}, and goes on with {now}: equal up to "
                "rounding, not to the bit"
            )
        self.computed = now

    def begin(self) -> None:
        """Bring the steps to where this training stands in its epoch."""
        self._steps.begin(
            permutation(self.seed, "order", self.epoch, len(self.data.train)),
            RowNoise(self.seed, "eps", self.epoch),
            RowNoise(self.seed, "binarize", self.epoch),
            self.step,
            (self.nll_sum, self.kl_sum),
        )

    def sync(self) -> None:
        """Check all numbers and read the sums of the epoch under way: do so before saving.

        Raises
        ------
        NotFiniteError
            As `run`.
        """
        if self._steps is not None and self.step > 0:
            self.nll_sum, self.kl_sum = self._steps.totals()
            self._watch.check(self._steps)

    def _finish_epoch(
        self, steps: Any, after_step: Callable[[Training], bool | None] | None
    ) -> bool:
        start = time.perf_counter() - self.seconds
        self.begin()
        self._watch.keep()
        while self.step < self.steps_per_epoch:
            try:
                loss = steps.step(self.step)
                self.step += 1
            except BaseException:  # some numbers may be new by now, and others old
                steps.close()
                self._watch.restore()
                raise
            self.seconds = time.perf_counter() - start
            if loss is not None and not math.isfinite(loss):
                raise self._watch.diagnose(steps)
            if self.step % CHECK == 0 and not steps.asynchronous:
                self.sync()
            if after_step is not None and after_step(self):
                self.sync()
                return False
        self.sync()
        self.seconds = time.perf_counter() - start  # a device may have been behind
        return True

    def _record(self, steps: Any) -> Record:
        n, beta = len(self.data.train), self.vae.beta
        nll, kl = self.nll_sum / n, self.kl_sum / n
        test = evaluate(
            self.vae,
            self.data.test,
            binarize=self.binarize,
            seed=self.seed,
            threads=self.threads,
            ranks=self.ranks,
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


def train(
    vae: VAE,
    data: Dataset,
    epochs: int = 50,
    batch_size: int = 128,
    lr: float = 1e-3,
    seed: int = 0,
    binarize: str = "none",
    threads: int | None = None,
    products: str | None = None,
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
    products : str, optional
        What computes matrix products on the CPU: "numpy" or "onednn"; None: the quicker
        one, as `products.choose` says.
    """
    training = Training(
        vae, data, batch_size=batch_size, lr=lr, seed=seed, binarize=binarize, products=products
    )
    return training.run(epochs, threads=threads)


def evaluate(
    vae: VAE,
    rows: Any,
    *,
    binarize: str = "none",
    seed: int = 0,
    threads: int | None = None,
    ranks: Ranks | None = None,
) -> Terms:
    """Return (loss, nll, kl) over all rows, in nats per image; draws of z as the bound takes.

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
    threads : int, optional
        How many cores to use; None: those available, or one where processes cannot share the work.
    ranks : Ranks, optional
        Ranks that share the rows, all of which call this.

    Raises
    ------
    ArgumentError
        If the number of threads is below 1 or above 1024.
    NotFiniteError
        If the loss is not a finite number.
    """
    asked, threads = threads, cores(threads)
    threads = threads if ranks is None else 1
    size = max(1, BLOCK // vae.bound.samples)  # images at a time
    alone = vae.backend.name != "numpy" or threads == 1 or len(rows) < 2 * size or not can_fork()
    crew = Crew(1 if alone else threads)
    log_likelihood, kl = (shared_empty((len(rows),), np.float64) for _ in range(2))

    def share() -> None:
        model = vae.twin()
        count = -(-len(rows) // size)
        blocks = range(count)[crew.rows(count) if ranks is None else ranks.rows(count)]
        for i in blocks:
            block = slice(i * size, min((i + 1) * size, len(rows)))
            log_likelihood[block], kl[block] = _evaluate_block(
                model, rows, binarize, seed, i, block
            )

    try:
        with BlasThreads(threads if alone and asked else 1), np.errstate(all="ignore"):
            crew.start(share)
            share()
            crew.wait()
    finally:
        crew.close()
    if ranks is not None:
        ranks.add(log_likelihood)
        ranks.add(kl)
    nll_mean, kl_mean = -float(log_likelihood.mean()), float(kl.mean())
    terms = Terms(nll_mean + vae.beta * kl_mean, nll_mean, kl_mean)
    if not math.isfinite(terms.loss):
        raise NotFiniteError(
            f"the test loss is not finite (nll {terms.nll}, kl {terms.kl}): the model's numbers "
            "have grown too large; train with a smaller learning rate (--lr)"
        )
    return terms


def _evaluate_block(
    vae: VAE, rows: Any, binarize: str, seed: int, i: int, block: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Return log p(x|z) and KL of each image of block i; its noise depends on seed and i alone."""
    indices = np.arange(block.start, block.stop)
    shape = (len(indices), vae.pixels)
    eps = normal(seed, "evaluate eps", i, (len(indices), vae.noise), vae.dtype)
    uniform = None
    if binarize == "sampled":
        uniform = generator(seed, "evaluate x", i).random(shape, np.float32)
    x = gather(rows, indices, np.empty(shape, vae.dtype), binarize=binarize, uniform=uniform)
    log_p, kl = vae.bound.terms(vae, vae.backend.asarray(x), vae.backend.asarray(eps))
    return vae.backend.to_host(log_p), vae.backend.to_host(kl)
