"""Numbers that go wrong in training: noticed at almost no cost, then traced to step and tensor.

The loop calls it; which numbers a step computes is for the model and the optimizer.

The promise. A loss that is not finite stops the run at that step. A gradient that is not finite,
or whose square is not, stays in Adam's v for ever (inf and NaN survive every update), so one look
at v each `CHECK` steps (on a device, where to look is to wait: each epoch), and before every
checkpoint, finds it however long ago it was. Then the run is put back to the last state that was
looked at and taken again from there, to the bit, with a look at every gradient of every step: the
message names the first step and tensor that went wrong.
"""

from __future__ import annotations

import math
from typing import Any

from minivae.errors import NotFiniteError

CHECK = 100  # steps; the look and the copy kept for the way back cost about one step in 1000


class Watch:
    """Watches one `Training`, and keeps the last state in which all numbers were finite."""

    def __init__(self, training: Any) -> None:
        self.training = training
        vae, adam = training.vae, training.adam
        self.live = (vae.theta, *adam.state.values())
        self.kept = tuple(vae.backend.empty(a.shape, a.dtype) for a in self.live)

    def keep(self) -> None:
        """Remember the state as it is."""
        t = self.training
        for kept, live in zip(self.kept, self.live, strict=True):
            kept[...] = live
        self.position = (t.step, t.nll_sum, t.kl_sum, t.seconds, t.adam.steps)

    def restore(self) -> None:
        """Put the remembered state back."""
        t = self.training
        for kept, live in zip(self.kept, self.live, strict=True):
            live[...] = kept
        t.step, t.nll_sum, t.kl_sum, t.seconds, t.adam.steps = self.position

    def check(self, steps: Any) -> None:
        """Look at all numbers, and remember the state if they are finite.

        Raises
        ------
        NotFiniteError
            If they are not; the training is then in the state remembered before.
        """
        t = self.training
        if not (math.isfinite(t.nll_sum + t.kl_sum) and all(map(_finite, self.live))):
            raise self.diagnose(steps)
        self.keep()

    def diagnose(self, steps: Any) -> NotFiniteError:
        """Take the steps since the remembered state again; return what first went wrong."""
        t, last = self.training, self.training.step
        self.restore()
        first = t.step
        t.begin()
        fault = None
        while t.step < last and (fault is None or not t.met):  # all ranks go on to where they meet
            t.take_step()
            if fault is None and (found := self._fault(steps)) is not None:
                fault = t.step, *found
        if t.ranks is not None:
            fault = t.ranks.least(fault)
        when, where = (f"step {fault[0]}", f", first in {fault[2]}") if fault else ("", "")
        if fault is None:  # on a device that does not repeat itself to the bit
            when = f"one of the steps {first + 1} to {last}"
        self.restore()
        return NotFiniteError(
            f"{fault[1] if fault else 'a number'} is not finite at epoch {t.epoch + 1}, {when}"
            f"{where}: try a smaller learning rate (now --lr {t.adam.lr:g})"
        )

    def _fault(self, steps: Any) -> tuple[str, str] | None:
        """Name what is not finite after a step, and its first tensor in the order of computing."""
        vae, adam = self.training.vae, self.training.adam
        nll, kl = steps.totals()
        if not math.isfinite(nll + vae.beta * kl):
            for layer in steps.model.leaves():
                if "x" in layer.kept and not _finite(layer.x):
                    return "the loss", f"the input of {layer.name}"
            return "the loss", "the logits" if math.isfinite(kl) else "mu or logvar"
        for layer in reversed(list(vae.leaves())):
            names = [f"{layer.name}.{name}" for name in layer.shapes]
            for name, place in zip(names, layer.places, strict=True):
                if not _finite(vae.grad[place]):
                    return "the gradient", name
                if "v" in adam.state and not _finite(adam.v[place]):
                    return "the gradient's square", name
            for name, place in zip(names, layer.places, strict=True):
                if not (_finite(vae.theta[place]) and _finite(adam.m[place])):
                    return "a parameter", name
        return None


def _finite(array: Any) -> bool:
    """Whether all numbers are finite; no copy is made, and NaN is kept by both extremes."""
    return math.isfinite(float(array.max())) and math.isfinite(float(array.min()))
