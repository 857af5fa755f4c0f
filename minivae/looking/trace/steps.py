"""A step taken under watch, and its gradients beside their numeric derivatives.

How a call is watched is for recorder.py, what it made for writer.py, how a trace is shown for
report.py, page.py and plots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minivae.errors import ArgumentError
from minivae.looking.trace.recorder import Nudge, Recorder, place_of
from minivae.looking.trace.writer import Check, Made, Writer
from minivae.noise import generator
from minivae.optim import Adam
from minivae.vae import VAE, Terms

SMALL = 16  # an array of that many numbers is checked whole
SHOWN = 32  # and of that many shown whole: all parameters of the tiny model
H = 1e-5  # step of the central differences


@dataclass
class Trace:
    """A step: its entries in the order in which they were made, its loss, and the model's sizes."""

    entries: list[Made]
    terms: Terms
    sizes: tuple[int, ...]
    images: int
    beta: float

    def __getitem__(self, name: str) -> Made:
        """Return the entry of that name."""
        return next(entry for entry in self.entries if entry.name == name)

    @property
    def worst(self) -> float:
        """The largest difference between a derivative by hand and its numeric one."""
        return max(abs(c.hand - c.numeric) for entry in self.entries for c in entry.checks)


def tiny() -> tuple[VAE, np.ndarray]:
    """Return a model of 4 pixels, 2 hidden units and 1 latent dimension, and two images.

    The seed is such that each hidden unit is on for one of the images and off for the other.
    """
    return VAE(4, hidden=(2,), latent=1, seed=7), np.array([[1.0, 0, 0, 1], [0, 1, 1, 0.5]])


def trace_step(vae: VAE, x: np.ndarray, seed: int = 0, checks: int = 3, lr: float = 1e-3) -> Trace:
    """Return the trace of one training step, forward, back and Adam's first update, in float64.

    Parameters
    ----------
    vae : VAE
        The model; it is copied and stays as it is.
    x : array (B, D)
        Pixels in [0, 1].
    seed : int
        Seed of the noise.
    checks : int
        Entries of a large gradient to compare with numeric derivatives; small ones are compared
        whole.
    lr : float
        Adam's learning rate.
    """
    vae.plain("the trace")
    for part, known in (("posterior", "gaussian"), ("prior", "normal"), ("bound", "elbo")):
        if (kind := getattr(vae, part).kind) != known:
            raise ArgumentError(f"the trace knows --{part} {known} alone: this model's is {kind}")
    if checks < 1:
        raise ArgumentError(f"the number of checks must be at least 1, not {checks}")
    recorder = Recorder()
    copy = VAE(**vae.spec(), dtype="float64", backend=recorder)
    copy.theta[...] = vae.backend.to_host(vae.theta)
    x = np.ascontiguousarray(x, np.float64)
    eps = generator(seed, "eps").standard_normal((len(x), vae.latent))

    writer = Writer(copy, x, eps)
    recorder.listener = writer.note
    terms = copy.step(x, eps)
    recorder.listener = None
    entries = writer.entries
    last = next(i for i, entry in enumerate(entries) if entry.name == "kl")
    loss = Made("loss", "loss", "nll + beta * kl", np.array(terms.loss), place_of(VAE.step))
    entries.insert(last + 1, loss)

    for entry in entries:
        if entry.of:
            after, array = writer.nudges[entry.name]
            for index in _chosen(entry.value, checks):
                numeric = _numeric(copy, recorder, x, eps, after, array, index)
                entry.checks.append(Check(index, float(entry.value[index]), numeric))
    copy.step(x, eps)
    entries += _update(copy, recorder, lr)
    sizes = (vae.pixels, *vae.hidden, vae.latent)
    return Trace(entries, terms, sizes, len(x), vae.beta)


def _update(vae: VAE, recorder: Recorder, lr: float) -> list[Made]:
    """Return what Adam's first update makes: its moments begin at 0."""
    adam, calls = Adam(vae.parameters, recorder, lr), []
    recorder.listener = lambda number, call: calls.append(call)
    adam.step()
    made = next(call for call in calls if call.formula == "adam")
    rate, floor = made.arguments["rate"], made.arguments["floor"]
    return [
        Made("update", name, formula, array.copy(), made.place, made.caller)
        for name, formula, array in (
            ("m", f"{adam.beta1:g} * 0 + grad", adam.m),
            ("v", f"{adam.beta2:g} * 0 + grad**2", adam.v),
            ("theta", f"theta - {rate:.10g} * m / (sqrt(v) + {floor:.10g})", adam.theta),
        )
    ]


def _chosen(value: np.ndarray, checks: int) -> list[tuple[int, ...]]:
    """Return all indices of a small array; of a large one the largest entry and some others."""
    if value.size <= SMALL:
        return list(np.ndindex(value.shape))
    spread = (np.arange(1, checks) * value.size * 0.618034 % value.size).astype(int)
    flat = dict.fromkeys([int(abs(value).argmax()), *spread.tolist()])
    return [tuple(map(int, np.unravel_index(i, value.shape))) for i in flat]


def _numeric(
    vae: VAE,
    recorder: Recorder,
    x: np.ndarray,
    eps: np.ndarray,
    after: int,
    array: np.ndarray,
    index: tuple[int, ...],
) -> float:
    """Return the loss's central difference with respect to one entry, nudged after that call."""
    losses = []
    for by in (H, -H):
        recorder.begin()
        if after < 0:  # a parameter: there before the first call
            old = array[index]
            array[index] += by
            losses.append(_loss(vae, x, eps))
            array[index] = old
        else:
            recorder.nudge = Nudge(after, array, index, by)
            losses.append(_loss(vae, x, eps))
            recorder.nudge = None
    return (losses[0] - losses[1]) / (2 * H)


def _loss(vae: VAE, x: np.ndarray, eps: np.ndarray) -> float:
    """Return the loss of the engine's pass there and back, without the parameters' gradients."""
    nll, kl = vae.bound.step(vae, x, eps, 1 / len(x), vae.beta)
    return nll + vae.beta * kl
