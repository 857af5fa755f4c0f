"""The training loop: epochs of steps, an evaluation after each, one record of both.

It knows no files, no terminal and no device: the backend takes the steps, callers save and print.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minivae import onednn
from minivae import products as libraries
from minivae.backend import is_shared
from minivae.data.dataset import Dataset
from minivae.data.pixels import BINARIZE, RowSubset, Source
from minivae.errors import ArgumentError, BackendError, shown
from minivae.inputs import one_of, typed
from minivae.noise import RowNoise, permutation
from minivae.optim import optimizer as make_optimizer
from minivae.training import fresh, schedules
from minivae.training.averaging import Apart, Averaged
from minivae.training.crew import CrewError, can_fork, cores, kernel, why_alone
from minivae.training.evaluation import measure
from minivae.training.history import History, Record
from minivae.training.ranks import Ranks
from minivae.training.steps import Steps, open_steps
from minivae.training.support import check_support, label_codes
from minivae.training.told import ToldSteps
from minivae.training.watch import CHECK, Watch
from minivae.vae import VAE, Terms


class Training:
    """A run: the model, its optimizer, the data, and how far it has come.

    Everything random depends on (seed, purpose, epoch), so position and sums are all that a
    checkpoint must keep besides the numbers in the model and the optimizer.

    Parameters
    ----------
    vae, data
        The model, trained in place, and the images.
    batch_size, lr, seed, binarize
        As of `train`.
    optimizer : str
        "adam", "adamw:0.01" or "sgd:0.9": see `optim.optimizer`.
    clip : float, optional
        What the norm of the gradient is cut to, where it is larger.
    lr_schedule, beta_schedule : str
        How the learning rate and beta change: see schedules.py; "": not at all.
    validation : float
        The share of the training images that is kept out of training, below 1. The loss on them
        is measured after each epoch, and the training ends with the parameters of the best.
    early_stop : int, optional
        End where the loss on the validation images has not fallen for so many epochs; they are
        a tenth of the training images if `validation` is 0.
    average_every : int
        Of ranks: 1, their gradients are summed in every step; more, each takes so many steps alone
        before all take their mean: see averaging.py.
    accumulate : int
        In how many pieces a batch is passed, one after another: for memory of a piece alone.

    Attributes
    ----------
    adam : Optimizer
        The optimizer, Adam or another.
    epoch, step : int
        Epochs finished, and steps finished in the epoch under way.
    history : History
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

    @typed
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
        optimizer: str = "adam",
        clip: float | None = None,
        lr_schedule: str = "",
        beta_schedule: str = "",
        validation: float = 0.0,
        early_stop: int | None = None,
        average_every: int = 1,
        accumulate: int = 1,
    ) -> None:
        if batch_size < 1:
            raise ArgumentError(f"the batch size must be at least 1, not {batch_size}")
        one_of(binarize, BINARIZE, "binarize")
        if products is not None:
            one_of(products, libraries.LIBRARIES, "products")
        if data.train.shape[1] != vae.pixels:
            raise ArgumentError(
                f"{shown(data.name)} has images of {data.train.shape[1]} pixels, the model "
                f"{vae.pixels}"
            )
        check_support(vae.likelihood, data, binarize)
        self._codes = label_codes(vae, data)
        if vae.process != os.getpid() and is_shared(vae.theta):
            warnings.warn(
                "this model was made before this process was forked from another, and both write "
                "to the same parameters: train a copy of it (copy.deepcopy)",
                stacklevel=3,
            )
        self.vae, self.data = vae, data
        if clip == 0:
            raise ArgumentError("clip, the norm to cut the gradient to, must be above 0")
        n = len(data.train)
        if early_stop is not None:
            validation = validation or 0.1
            if early_stop < 1 or n < 10:
                raise ArgumentError(
                    f"early stopping needs 1 epoch or more (not {early_stop}) and 10 images or more"
                )
        trained = n
        if validation:
            self._trained, _ = data.held_out(validation, seed)
            self.held: Dataset = data.validating(validation, seed)
            trained = len(self._trained)
        if vae.backend.name != "numpy" and (optimizer != "adam" or clip is not None):
            raise BackendError(
                "only Adam without clipping has a CUDA form: leave --optimizer and --clip out, or "
                "use --backend numpy"
            )
        if accumulate < 1:
            raise ArgumentError(f"a batch has 1 piece or more, not {accumulate} (--accumulate)")
        _fits(vae, -(-min(batch_size, len(data.train)) // accumulate))
        self.adam = make_optimizer(optimizer, vae.parameters, vae.backend, lr)
        self.adam.clip = clip
        self.seed, self.binarize, self.optimizer, self.clip = seed, binarize, optimizer, clip
        if average_every < 1:
            raise ArgumentError(f"--average-every is 1 step or more, not {average_every}")
        self.validation, self.early_stop = validation, early_stop
        self.average_every = average_every
        self.accumulate = accumulate
        self.lr_schedule, self.beta_schedule = lr_schedule, beta_schedule
        self.images = trained  # how many are trained on
        self.batch_size = min(batch_size, self.images)
        per_epoch = self.steps_per_epoch
        self._factor = schedules.factor(lr_schedule, per_epoch) if lr_schedule else None
        self._beta = schedules.weight(beta_schedule, per_epoch) if beta_schedule else None
        self.best: Any = None  # a copy of theta, from the epoch ...
        self.best_epoch, self.best_loss = 0, math.inf
        self.validation_loss: float | None = None  # after the last epoch
        self.epoch = self.step = 0
        self.nll_sum = self.kl_sum = self.seconds = 0.0  # of the epoch under way
        self.history = History()
        self.history.noun = data.noun
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
        return -(-self.images // self.batch_size)

    @typed
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
            Cores to use, each by a process; None: those available. In a notebook, which has threads
            of its own, a short training uses one, and what is sent to the processes of a long one
            must be from modules that they can import: see fresh.py. Until the run ends, NumPy's own
            products use one thread.
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
            If a process that shares the work ends.
        DataError
            If a large file, whose rows are mapped, is cut short. Then, after a
            CrewError and where a step is interrupted by any other exception, the training stands at
            most 100 steps before, all numbers of one time.
        """
        if epochs < 1:
            raise ArgumentError(f"the number of epochs must be at least 1, not {epochs}")
        cores(threads)  # says if it cannot be
        if self.average_every > 1 and self.ranks is None:
            raise ArgumentError(
                f"--average-every {self.average_every} is for ranks: mpiexec -n 2 minivae train "
                "--ranks mpi (-n 1, if it must be one)"
            )
        self.epochs, self.threads = epochs, threads
        return self._run(epochs, threads, after_step)

    def _run(
        self, epochs: int, threads: int | None, after_step: Callable[[Training], bool | None] | None
    ) -> Iterator[Record]:
        source = Source(self.data.train, self.binarize, self._codes)
        told = self._codes is not None or self.vae.told_training
        make: Any = ToldSteps if told else open_steps
        opened, steps = (self.vae, self.adam, source, self.batch_size, threads), None
        started = (
            self.ranks is None and cores(threads) > 1 and fresh.pays(self.vae, epochs * self.images)
        )
        if started:
            made = ToldSteps if told else Steps
            steps = fresh.started(made, self.notice, *opened, None, self.accumulate)
        elif self.ranks is None or self.average_every == 1:
            steps = make(*opened, self.ranks, self.accumulate)
        else:
            apart, asked = Apart(self.ranks), after_step
            steps = make(*opened, apart, self.accumulate)
            steps = Averaged(steps, self.ranks, self.average_every, self.steps_per_epoch)
            after_step = lambda _: self.met and asked is not None and asked(self)  # noqa: E731
        library = "numpy", 1
        if self.vae.backend.name == "numpy":
            self.products = libraries.choose(self.products, steps.threads, self.notice)
            library = self.products, steps.threads
            said = threads and not started and self.products == "numpy"
            if said and steps.threads > 1 and not can_fork():
                self.notice(f"one of {threads} cores is used: {why_alone()}")
        self._steps, self._watch = steps, Watch(self)
        self._compare(steps)
        try:
            while self.epoch < epochs and not self.ended:
                # What is not finite is found by the watch. The library is this run's from one
                # `yield` to the next: in between, another run may have its own.
                with np.errstate(all="ignore"), libraries.using(*library):
                    if not self._finish_epoch(steps, after_step):
                        return
                    record = self._record()
                    self._keep_best(last=self.epoch == epochs)
                yield record
        except CrewError:
            for part in (self.data.train, self.data.test):
                if isinstance(part, RowSubset):
                    part.intact()  # or a process has ended since its rows are there no more
            raise
        finally:
            steps.close()
            self._steps = self._watch = None  # no circle: memory is free as soon as it can be

    def _compare(self, steps: Any) -> None:
        """Note what computes, and say so where it is not what the run was begun with."""
        now = self.vae.backend.name
        if now == "numpy":
            now = f"{steps.members} process{'es' * (steps.members > 1)} and {kernel()}"
            now += f" with {onednn.version()}" * (self.products == "onednn")
        equal = "equal up to rounding, not to the bit"
        if self.ranks is not None:
            now += f" on each of {self.ranks.size} ranks"
        if self.accumulate > 1:
            now += f", a batch in {self.accumulate} pieces"
        if self.average_every > 1:
            equal = f"with --average-every {self.average_every} it is another run from here"
        if self.computed not in ("", now) and not (self.ranks and self.ranks.rank):
            before = f"this run was computed by {self.computed}"
            self.notice(f"{before}, and goes on with {now}: {equal}")
        self.computed = now

    def begin(self) -> None:
        """Bring the steps to where this training stands in its epoch."""
        order = permutation(self.seed, "order", self.epoch, self.images)
        self._steps.begin(
            self._trained[order] if self.validation else order,
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
        check = CHECK * self.average_every  # where ranks have met
        try:
            while self.step < self.steps_per_epoch:
                loss = self.take_step()
                self.seconds = time.perf_counter() - start
                if loss is not None and not math.isfinite(loss):
                    raise self._watch.diagnose(steps)
                if self.step % check == 0 and not steps.asynchronous:
                    self.sync()
                if after_step is not None and after_step(self):
                    self.sync()
                    return False
        except BaseException:  # some numbers may be new by now, and others old
            steps.close()
            self._watch.restore()
            raise
        self.sync()
        self.seconds = time.perf_counter() - start  # a device may have been behind
        return True

    def take_step(self) -> Any:
        """Take the next step of the epoch under way; return its loss, if it is known yet."""
        self.schedule(self.epoch * self.steps_per_epoch + self.step)
        loss = self._steps.step(self.step)
        self.step += 1
        return loss

    def schedule(self, count: int) -> None:
        """Set what follows a schedule, the learning rate and beta, for the step after so many."""
        if self._factor is not None:
            self.adam.factor = self._factor(count)
        if self._beta is not None:
            self.vae.beta = self._beta(count)

    @property
    def ended(self) -> bool:
        """Whether early stopping has ended the run."""
        return self.early_stop is not None and self.epoch - self.best_epoch >= self.early_stop

    @property
    def met(self) -> bool:
        """Whether all ranks have the same parameters after this step: else there is nothing yet."""
        return self.step % self.average_every == 0 or self.step == self.steps_per_epoch

    def _keep_best(self, last: bool) -> None:
        """Remember the best parameters on the validation images; put them back at the end."""
        if not self.validation:
            return
        loss = self.validation_loss = self._measure(self.held).loss
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, self.epoch
            self.best = self.vae.theta.copy()
        elif last or self.ended:
            self.vae.theta[...] = self.best

    def _measure(self, data: Dataset) -> Terms:
        vae = self.vae if not self.vae.condition else self.vae.given(data.test_labels)
        return measure(vae, data.test, self.binarize, self.seed, self.threads, self.ranks)

    def _record(self) -> Record:
        n, beta = self.images, self.vae.beta
        nll, kl = self.nll_sum / n, self.kl_sum / n
        test = self._measure(self.data)
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


def _fits(vae: VAE, images: int) -> None:
    """Refuse a batch whose draws of z need more memory than the machine has."""
    if vae.bound.samples == 1 or not hasattr(os, "sysconf"):
        return
    pixels = vae.pixels * (3 + vae.likelihood.width)  # x, its mean, eta and its gradient
    width = sum(layer.outputs for layer in vae.decoder.leaves() if hasattr(layer, "outputs"))
    each = vae.bound.samples * vae.dtype.itemsize * (pixels + 3 * width + 8 * vae.latent)
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if each * images > most:
        fit = most // each
        pieces = "pass a batch in pieces (--accumulate), or take --batch-size"
        remedy = f"{pieces} {fit} or fewer --samples" if fit else "take fewer --samples"
        raise ArgumentError(
            f"{images} images of {vae.bound.samples} samples need about {each * images / 1e9:.0f} "
            f"GB, more than this machine's {most / 1e9:.0f}: {remedy}"
        )
