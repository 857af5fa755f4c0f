"""A team of threads that share one training step, and the steps of an epoch taken by it.

NumPy lets go of the interpreter's lock inside its loops and products, so plain threads run side by
side. What a step computes is for the model and the optimizer; here is only who computes which part.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from minivae.pixels import Source, gather

# Below this many images per thread, waiting for one another costs more than is gained.
ROWS_PER_THREAD = 16


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Team:
    """Threads that run the same phases together, each on its own share.

    The caller is member 0. Between phases all wait for one another. While a team exists, the
    products' own threads are off (each member calls BLAS with one thread); `close` restores them.

    Parameters
    ----------
    size : int
        How many threads, the caller's included.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._limits = threadpool_limits(1, user_api="blas")
        self._phases: tuple[Callable[[int], None], ...] | None = ()
        self._errors: list[BaseException | None] = [None] * size
        self._round = [0] * size
        # Two sets of locks, used in turn: token [set][j][k] tells k that j has arrived.
        self._tokens = [
            [[threading.Lock() for _ in range(size)] for _ in range(size)] for _ in range(2)
        ]
        for lock in (lock for side in self._tokens for row in side for lock in row):
            lock.acquire()
        for k in range(1, size):
            threading.Thread(target=self._work, args=(k,), daemon=True).start()

    def __enter__(self) -> Team:  # noqa: D105
        return self

    def __exit__(self, *error: object) -> None:  # noqa: D105
        self.close()

    def close(self) -> None:
        """End the threads and give BLAS its own threads back."""
        if self._limits is not None:
            self._phases = None
            self._meet(0)
            self._limits.restore_original_limits()
            self._limits = None

    def rows(self, k: int, n: int) -> slice:
        """Return member k's share of n rows."""
        return slice(n * k // self.size, n * (k + 1) // self.size)

    def run(self, *phases: Callable[[int], None]) -> None:
        """Call every phase with each member's number, all members at once, one phase after another.

        An exception in any member is raised here, after all have stopped.
        """
        if self.size == 1:
            for phase in phases:
                phase(0)
            return
        self._phases = phases
        self._meet(0)
        self._take_part(0)
        for error in self._errors:
            if error is not None:
                self._errors = [None] * self.size
                raise error

    def _work(self, k: int) -> None:
        np.seterr(all="ignore")  # of this thread alone; training.py looks for what is not finite
        while True:
            self._meet(k)
            if self._phases is None:
                return
            self._take_part(k)

    def _take_part(self, k: int) -> None:
        for phase in self._phases or ():
            if self._errors[k] is None:
                try:
                    phase(k)
                except BaseException as error:  # raised again by the caller of `run`
                    self._errors[k] = error
            self._meet(k)

    def _meet(self, k: int) -> None:
        """Return when every member has called this equally often."""
        tokens = self._tokens[self._round[k] % 2]
        self._round[k] += 1
        others = [j for j in range(self.size) if j != k]
        for j in others:
            tokens[k][j].release()
        for j in others:
            tokens[j][k].acquire()


class Steps:
    """The training steps of an epoch on NumPy: each takes a batch, the gradients and Adam's update.

    First every member passes its rows of the batch forward and back; then each computes its share
    of the parameters' gradients, from all rows, and updates those parameters: no gradients to sum.

    Parameters
    ----------
    vae, adam
        The model and its optimizer.
    source : Source
        The images to train on.
    batch_size : int
        Images per step; the last batch of an epoch may be smaller.
    team : Team
        Who computes.
    """

    asynchronous = False  # a step is done when it returns

    def __init__(self, vae: Any, adam: Any, source: Source, batch_size: int, team: Team) -> None:
        self.vae, self.adam, self.source, self.team = vae, adam, source, team
        self.batch_size = batch_size
        self._raw = np.empty((batch_size, vae.pixels), source.rows.dtype)
        self._x = np.empty((batch_size, vae.pixels), vae.dtype)
        self._eps = np.empty((batch_size, vae.latent), vae.dtype)
        self._uniform = np.empty((batch_size, vae.pixels), np.float32) if source.sampled else None
        self._terms = [(0.0, 0.0)] * team.size

    def begin(
        self,
        order: np.ndarray,
        eps: np.random.Generator,
        uniform: np.random.Generator,
        first: int = 0,
        totals: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Start an epoch over the images in that order, at batch `first` with those sums so far."""
        self._order, self._eps_stream, self._uniform_stream = order, eps, uniform
        self.nll_sum, self.kl_sum = totals
        for i in range(first):
            self._draw(len(self._batch(i)))

    def step(self, i: int) -> float:
        """Take step i of the epoch; return the batch's loss in nats per image."""
        indices = self._batch(i)
        n = len(indices)
        self._draw(n)
        x, eps = self._x[:n], self._eps[:n]
        self.adam.advance()

        def pass_rows(k: int) -> None:
            rows = self.team.rows(k, n)
            uniform = None if self._uniform is None else self._uniform[rows]
            gather(
                self.source.rows,
                indices[rows],
                x[rows],
                self._raw[rows],
                binarize=self.source.binarize,
                uniform=uniform,
            )
            self._terms[k] = self.vae.backward_rows(x, eps, rows)

        def update_params(k: int) -> None:
            for linear in self.vae.linears:
                linear.backward_params(k, self.team.size)
                for part in linear.flat_shares(k, self.team.size):
                    self.adam.update(part)

        self.team.run(pass_rows, update_params)
        nll = sum(term[0] for term in self._terms)
        kl = sum(term[1] for term in self._terms)
        self.nll_sum += nll * n
        self.kl_sum += kl * n
        return nll + self.vae.beta * kl

    def totals(self) -> tuple[float, float]:
        """Return the sums of nll and kl over the images of this epoch so far, in nats."""
        return self.nll_sum, self.kl_sum

    def close(self) -> None:
        """End the team."""
        self.team.close()

    def _batch(self, i: int) -> np.ndarray:
        return self._order[i * self.batch_size : (i + 1) * self.batch_size]

    def _draw(self, n: int) -> None:
        self._eps_stream.standard_normal(out=self._eps[:n], dtype=self._eps.dtype)
        if self._uniform is not None:
            self._uniform_stream.random(out=self._uniform[:n], dtype=np.float32)
