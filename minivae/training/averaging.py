"""Ranks that train apart and seldom meet: every so many steps all take the mean of all.

It is for networks too slow to sum a gradient in every step (local SGD, Stich 2019). What a step
computes is for steps.py, how numbers travel for ranks.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.training.ranks import Ranks


class Apart(Ranks):
    """Ranks as `Steps` is to see them between two meetings: each goes on as if all were like it.

    A sum over all ranks is then `size` times its own share, and nothing is sent.
    """

    def __init__(self, ranks: Ranks) -> None:
        vars(self).update(vars(ranks))

    def add(self, array: np.ndarray) -> None:
        """Overwrite the array with `size` times itself."""
        array *= self.size


class Averaged:
    """Steps that ranks take apart, with a meeting every few steps and at the end of an epoch.

    At a meeting parameters, the optimizer's moments and the epoch's sums become the means of all
    ranks'. Between meetings ranks differ: nothing is to be saved, looked at or stopped there.

    Parameters
    ----------
    steps : Steps
        The steps of this rank, opened with `Apart(ranks)`.
    ranks : Ranks
        All ranks.
    every, per_epoch : int
        Steps from one meeting to the next, and steps of an epoch.
    """

    asynchronous = False

    def __init__(self, steps: Any, ranks: Ranks, every: int, per_epoch: int) -> None:
        self.steps, self.ranks, self.every, self.per_epoch = steps, ranks, every, per_epoch
        self.members, self.threads, self.model = steps.members, steps.threads, steps.model
        self.begin, self.totals, self.close = steps.begin, steps.totals, steps.close
        self.live = (steps.vae.theta, *steps.adam.state.values())

    def step(self, i: int) -> float | None:
        """Take step i; return a loss after a meeting alone: all ranks' mean of the epoch so far."""
        self.steps.step(i)
        if (i + 1) % self.every and i + 1 < self.per_epoch:
            return None
        sums = np.array(self.steps.totals())
        for array in (*self.live, sums):
            self.ranks.add(array)
            array /= self.ranks.size
        self.steps.nll_sum, self.steps.kl_sum = nll, kl = sums.tolist()
        return (nll + kl) / ((i + 1) * self.steps.batch_size)
