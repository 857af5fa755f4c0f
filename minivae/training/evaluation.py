"""A model's numbers on a whole data set, in blocks of bounded memory, over all cores.

What a block gives is the bound's and the model's matter; blocks and their noise depend on the seed
alone, so that any number of processes gives the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minivae.backend import shared_empty
from minivae.data.dataset import pixel_rows
from minivae.data.pixels import BINARIZE, gather
from minivae.errors import ArgumentError, NotFiniteError
from minivae.inputs import affordable, one_of, typed
from minivae.noise import generator, normal
from minivae.params import Array
from minivae.training.crew import BlasThreads, Crew, can_fork, cores
from minivae.training.ranks import Ranks
from minivae.training.support import check_rows
from minivae.vae import BLOCK, VAE, Terms

IMAGES = 100  # at a time where each is drawn for many times


@typed
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
        The model; one that is told labels as `vae.given(labels)`.
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
    DataError
        If the rows are not what the likelihood is for.
    NotFiniteError
        If the loss is not a finite number.
    """
    _judge(vae, rows, binarize)
    return measure(vae, rows, binarize, seed, threads, ranks)


def measure(
    vae: VAE, rows: Any, binarize: str, seed: int, threads: int | None, ranks: Ranks | None
) -> Terms:
    """As `evaluate`, of rows that have been looked at before."""

    def block(model: VAE, i: int, indices: np.ndarray) -> tuple[Array, Array]:
        """Return log p(x|z) and KL of each image; the noise depends on seed and i alone."""
        eps = normal(seed, "evaluate eps", i, (len(indices), vae.noise), vae.dtype)
        x = _pixels(model, rows, indices, binarize, generator(seed, "evaluate x", i))
        return model.bound.terms(model, x, model.backend.asarray(eps))

    size = max(1, BLOCK // vae.bound.samples)
    log_likelihood, kl = _by_blocks(vae, len(rows), size, 2, threads, block, ranks=ranks)
    nll_mean, kl_mean = -float(log_likelihood.mean()), float(kl.mean())
    terms = Terms(nll_mean + vae.beta * kl_mean, nll_mean, kl_mean)
    if not math.isfinite(terms.loss):
        raise NotFiniteError(
            f"the test loss is not finite (nll {terms.nll}, kl {terms.kl}): the model's numbers "
            "have grown too large; train with a smaller learning rate (--lr)"
        )
    return terms


@typed
def log_likelihood(
    vae: VAE,
    rows: Any,
    samples: int,
    *,
    binarize: str = "none",
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> np.ndarray:
    """Return log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x) of each row, (N,), in nats; K = `samples`.

    As `VAE.log_likelihood`; other parameters and errors are those of `evaluate`.

    Parameters
    ----------
    progress : callable, optional
        Called now and then with the images done and all images.
    """
    if samples < 1:
        raise ArgumentError(f"the number of samples must be at least 1, not {samples}")
    _judge(vae, rows, binarize)
    affordable(8 * samples * min(len(rows), IMAGES), f"the number of samples, {samples}")

    def block(model: VAE, i: int, indices: np.ndarray) -> tuple[Array]:
        x = _pixels(model, rows, indices, binarize, generator(seed, "likelihood x", i))
        return (model.weighted_bound(x, samples, generator(seed, "likelihood eps", i)),)

    (values,) = _by_blocks(vae, len(rows), IMAGES, 1, threads, block, progress)
    if not np.isfinite(values).all():
        raise NotFiniteError(
            f"log p(x) is not finite for {int((~np.isfinite(values)).sum())} of {len(rows)} images:"
            " the model's numbers have grown too large; train with a smaller learning rate (--lr)"
        )
    return values


def _judge(vae: VAE, rows: Any, binarize: str) -> None:
    """Refuse what is no data of the model."""
    one_of(binarize, BINARIZE, "binarize")
    pixel_rows(rows, vae.pixels, "rows")
    check_rows(vae.likelihood, rows, "rows have", binarize)


def _pixels(
    model: VAE, rows: Any, indices: np.ndarray, binarize: str, rng: np.random.Generator
) -> Array:
    """Return those rows as pixels, on the model's backend."""
    shape = (len(indices), model.pixels)
    uniform = rng.random(shape, np.float32) if binarize == "sampled" else None
    x = np.empty(shape, model.dtype)
    return model.backend.asarray(gather(rows, indices, x, binarize=binarize, uniform=uniform))


def _by_blocks(
    vae: VAE,
    n: int,
    size: int,
    columns: int,
    threads: int | None,
    block: Callable[[VAE, int, np.ndarray], tuple[Array, ...]],
    progress: Callable[[int, int], object] | None = None,
    ranks: Ranks | None = None,
) -> np.ndarray:
    """Return (columns, n) numbers, `block(model, i, indices)` for each `size` images, shared out.

    Each process has a model with buffers of its own.
    """
    threads = cores(threads) if ranks is None else 1
    count = -(-n // size)
    alone = vae.backend.name != "numpy" or threads == 1 or count < 2 or not can_fork()
    crew = Crew(1 if alone else threads)
    out, done = shared_empty((columns, n), np.float64), shared_empty((count,), np.int64)
    out[...] = 0
    done[...] = 0

    def share() -> None:
        model = vae.twin()
        for i in range(count)[crew.rows(count) if ranks is None else ranks.rows(count)]:
            part = slice(i * size, min((i + 1) * size, n))
            model.tell(part, n)
            for row, values in zip(out, block(model, i, np.arange(n)[part]), strict=True):
                row[part] = model.backend.to_host(values)
            done[i] = part.stop - part.start
            if progress is not None and crew.k == 0:
                progress(int(done.sum()), n)

    try:
        with BlasThreads(1), np.errstate(all="ignore"):
            crew.start(share)
            share()
            crew.wait()
    finally:
        crew.close()
    if ranks is not None:
        for row in out:
            ranks.add(row)
    return out
