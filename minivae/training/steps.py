"""The training steps of an epoch on NumPy: each takes a batch, the gradients and Adam's update.

The loop around them is training.py's, the mathematics formulas.py's, the processes parallel.py's.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np

from minivae.backend import is_shared, shared_empty
from minivae.data.pixels import Source, gather
from minivae.denormals import Flushed
from minivae.errors import ArgumentError
from minivae.noise import RowNoise
from minivae.training.crew import BlasThreads, Crew, can_fork, cores
from minivae.training.ranks import Ranks
from minivae.training.sharing import Batch, parts


def open_steps(
    vae: Any,
    adam: Any,
    source: Source,
    batch_size: int,
    threads: int | None = None,
    ranks: Ranks | None = None,
    accumulate: int = 1,
) -> Any:
    """Return the training steps of an epoch, of the kind that the model's backend needs.

    Parameters are those of `Steps`; `threads` are those of the CPU.
    """
    if vae.backend.name == "numpy":
        return Steps(vae, adam, source, batch_size, threads, ranks, accumulate)
    if accumulate > 1:
        raise ArgumentError("--accumulate is for --backend numpy: a GPU passes a batch whole")
    if ranks is not None:
        raise ArgumentError("--ranks is for --backend numpy: several GPUs do not share a step yet")
    from minivae.training.device_steps import DeviceSteps

    return DeviceSteps(vae, adam, source, batch_size)


class Steps:
    """Steps of one epoch after another, shared by several processes where that is possible.

    In a step each process passes its rows of the batch forward and back; then each computes the
    gradients of its part of the parameters, from all rows, and updates it: no gradient is summed.

    Parameters
    ----------
    vae, adam
        The model and its optimizer.
    source : Source
        The images to train on.
    batch_size : int
        Images per step; the last batch of an epoch may be smaller.
    threads : int, optional
        How many cores to use; None: those available. Small batches gain too, since Adam is shared
        out with the rest: bench/README.md. Where processes cannot share the work one is used,
        unless by oneDNN: threads of OpenBLAS wait for one another by spinning, and are many times
        slower as soon as another program has a core.
    ranks : Ranks, optional
        Ranks that share every batch; each is one process then, unless `threads` says more.
    accumulate : int
        In how many pieces a batch is passed, one after another: the buffers are a piece's.
    crew : type
        `Crew`, whose members are copies of this process, or `FreshCrew`.
    """

    asynchronous = False  # a step is done when it returns

    def __init__(
        self,
        vae: Any,
        adam: Any,
        source: Source,
        batch_size: int,
        threads: int | None = None,
        ranks: Ranks | None = None,
        accumulate: int = 1,
        crew: type[Crew] = Crew,
    ) -> None:
        self.vae, self.adam, self.source, self.ranks = vae, adam, source, ranks
        threads = threads if ranks is None else threads or 1
        self.batch_size, self.piece = batch_size, -(-batch_size // accumulate)
        threads = cores(threads)
        # A twin: a step that others take meanwhile does not disturb its buffers.
        self.model = vae.twin()
        crossing = sorted({layer.name for layer in vae.leaves() if layer.crosses_rows})
        if crossing and (ranks is not None or accumulate > 1):
            option = "--ranks" if accumulate == 1 else "--accumulate"
            raise ArgumentError(
                f"{', '.join(crossing)} looks at all images of a batch: no {option}"
            )
        apart = sorted(
            {layer.name for layer in vae.leaves() if layer.crosses_rows and not layer.meets}
        )
        if apart and threads > 1:
            warnings.warn(
                f"{', '.join(apart)} looks at all images of a batch: the model trains in one "
                "process",
                stacklevel=2,
            )
        shared = threads > 1 and is_shared(vae.theta) and is_shared(adam.m) and not apart
        shared = shared and (crew is not Crew or can_fork())
        self.members = threads if shared else 1
        self.threads = 1 if shared else threads  # of oneDNN's own, which sleep while they wait
        empty = vae.backend.empty
        self._x = empty((self.piece, vae.pixels), vae.dtype)
        self._terms = empty((self.members, 2), np.float64)
        self._settings = empty((3,), np.float64)
        self._told = empty((self.piece,), vae.dtype)
        self._squares = empty((self.members,), np.float64)
        self._raw = np.empty((self.piece, vae.pixels), source.rows.dtype)
        self._eps = np.zeros((self.piece, vae.noise), vae.dtype)
        self._uniform = np.empty((self.piece, vae.pixels), np.float32) if source.sampled else None
        self._sum = empty(vae.theta.shape if self.piece < batch_size else (0,), vae.dtype)
        self._room = shared_empty((len(source.rows) if shared else 0,), np.int64)
        self._parts = parts(vae, self.members, self.piece)
        self._batches: dict[int, Batch] = {}
        self._kind = crew if shared else Crew
        self._crew: Crew = self._kind(self.members)
        self._started = self._under_way = False
        self._blas = BlasThreads(1)

    def begin(
        self,
        order: np.ndarray,
        eps: RowNoise,
        uniform: RowNoise,
        first: int = 0,
        totals: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Start an epoch over the images in that order, at batch `first` with those sums so far."""
        self._end_epoch(abandon=True)
        self.nll_sum, self.kl_sum = totals
        self._prepare(self._for_all(order), eps, uniform)
        if first >= self._count:  # resumed after the last step of an epoch
            return
        self.start()
        self._crew.send((len(order), eps, uniform, first, self.adam.steps))
        self._crew.spread()
        self._under_way = True

    def start(self) -> None:
        """Start the other processes, if they are not there yet."""
        self._blas.hold()  # until `close`: BLAS's threads stay awake a while once called
        if self.members > 1 and not self._started:
            self._warm()
            self._crew.start(self._follow)
            self._started = True

    def step(self, i: int) -> float:
        """Take step i of the epoch; return the batch's loss in nats per image."""
        adam = self.adam  # settings as they are now, for all processes
        self._settings[:] = adam.lr, adam.factor, self.vae.beta
        self._crew.release()
        n = self._take(i)
        terms = self._terms.sum(axis=0)
        if self.ranks is not None:
            self.ranks.add(terms)
        nll, kl = terms.tolist()
        self.nll_sum += nll * n
        self.kl_sum += kl * n
        if i + 1 == self._count:
            self._end_epoch()
        return nll + self.vae.beta * kl

    def totals(self) -> tuple[float, float]:
        """Return the sums of nll and kl over the images of this epoch so far, in nats."""
        return self.nll_sum, self.kl_sum

    def close(self) -> None:
        """End the other processes, and give the products their own threads back."""
        self._end_epoch()
        self._crew.close()
        self._crew = self._kind(self.members)
        self._started = False
        self._blas.release()

    def _for_all(self, order: np.ndarray) -> np.ndarray:
        """Return the order where the other processes see it, without a copy for each of them."""
        if self.members == 1:
            return order
        if len(order) > len(self._room):
            self.close()  # processes that start from now on have the larger room
            self._room = shared_empty((len(order),), np.int64)
        room = self._room[: len(order)]
        room[...] = order
        return room

    def _prepare(self, order: np.ndarray, eps: RowNoise, uniform: RowNoise) -> None:
        self._order, self._eps_noise, self._uniform_noise = order, eps, uniform
        self._count = -(-len(order) // self.batch_size)

    def _end_epoch(self, abandon: bool = False) -> None:
        if self._under_way and abandon:
            self._crew.release(stop=True)
            self._crew.meet()  # all have seen it
        self._under_way = False

    def _follow(self) -> None:
        """As another process: compute shares of the epochs that the first one begins."""
        for count, *noise, first, steps in self._crew.messages():
            self.adam.steps = steps
            self._crew.spread()
            self._prepare(self._room[:count], *noise)
            for i in range(first, self._count):
                if not self._crew.follow():
                    self._crew.meet()
                    break
                self.adam.lr, self.adam.factor, self.vae.beta = self._settings.tolist()
                self._take(i)

    def _warm(self) -> None:
        """Pass a batch, so that the buffers are there: windows of them are what is shared."""
        model, n = self.model, self.piece
        model.bound.step(model, self._x, self._eps, 1 / n, self.vae.beta)
        self._batches.clear()

    def _batch(self, n: int) -> Batch:
        """Return what n images passed at once need here; made once for each n."""
        if n not in self._batches:
            share = slice(0, n) if self.ranks is None else self.ranks.rows(n)
            here = share.stop - share.start  # other ranks have theirs
            alone = here < self.members  # too few images: the first process passes them all
            rows = slice(0, 0 if self._crew.k else here) if alone else self._crew.rows(here)
            passed = n if self.members == 1 else here
            whole = self.model if passed == self.piece else self.model.window(slice(0, here))
            mine = whole.window(rows) if self.members > 1 else whole
            if not alone and self.members > 1:
                for layer in mine.leaves():
                    if layer.meets:
                        layer.everyone = partial(self._everyone, rows, here)
            uniform = None if self._uniform is None else self._uniform[rows]
            arrays = self._x[rows], self._eps[rows], self._raw[rows], uniform
            self._batches[n] = Batch(whole, mine, rows, share.start + rows.start, *arrays)
        return self._batches[n]

    def _everyone(self, rows: slice, n: int, each: np.ndarray) -> np.ndarray:
        """Return the numbers of n rows, of which `each` are mine, once all processes have told."""
        self._told[rows] = each
        self._crew.meet()
        return self._told[:n]

    def _fill(self, batch: Batch, first: int) -> None:
        """Draw my noise and gather my images: those of the epoch's places from `first` on."""
        first += batch.place
        indices = self._order[first : first + len(batch.x)]
        self._eps_noise.normal(first, batch.eps)
        if batch.uniform is not None:
            self._uniform_noise.uniform(first, batch.uniform)
        gather(
            *(self.source.rows, indices, batch.x, batch.raw),
            binarize=self.source.binarize,
            uniform=batch.uniform,
        )

    def _take(self, i: int) -> int:
        """Compute this process's share of step i; return how many images the batch has."""
        first, part = i * self.batch_size, self._parts[self._crew.k]
        n = min(self.batch_size, len(self._order) - first)
        with Flushed():  # tiny numbers are zeros
            passed = self._pass if n <= self.piece else self._pass_in_pieces
            self._terms[self._crew.k] = passed(first, n, 1 / n, part)
            self.adam.advance()
            if self.ranks is not None:
                self._crew.meet()  # all parts of this rank's sum are there
                if self._crew.k == 0:
                    self.ranks.add(self.vae.grad)
                self._crew.meet()
            if self.adam.clip is not None:  # by the norm of all parts
                self._squares[self._crew.k] = self.adam.squares(part)
                self._crew.meet()
                self.adam.shrink(part, float(self._squares.sum()))
            self.adam.update(part)
            self._crew.meet()
        return n

    def _pass(self, first: int, n: int, scale: float, part: slice) -> Any:
        """Pass my rows of n images forward and back; give my part of all rows' gradient."""
        batch = self._batch(n)
        self._fill(batch, first)
        model, terms = batch.mine, (0.0, 0.0)
        if len(batch.x) or self.members == 1:
            terms = model.bound.step(model, batch.x, batch.eps, scale, self.vae.beta)
        self._crew.meet()  # every layer has kept what its gradients need, of all images
        batch.whole.gradients(part)
        return terms

    def _pass_in_pieces(self, first: int, n: int, scale: float, part: slice) -> Any:
        """As `_pass`, for more images than the buffers hold: the sum over their pieces."""
        terms, total = np.zeros(2), self._sum[part]
        total[...] = 0
        for start in range(0, n, self.piece):
            size = min(self.piece, n - start)
            terms += self._pass(first + start, size, scale, part)
            total += self.vae.grad[part]
            self._crew.meet()  # all have used what the layers kept of this piece
        self.vae.grad[part] = total
        return terms
