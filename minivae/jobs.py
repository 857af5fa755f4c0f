"""What a trained run is used for: anomalies, holes filled, rows drawn or combined, neighbours.

Each is one function of a run and data, in the user's units. What the model computes is its own
matter; printing and files are the command line's.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minivae.data import NAMES, load_data
from minivae.data.columns import Columns
from minivae.data.dataset import load_rows
from minivae.data.tables import Table
from minivae.errors import ArgumentError, DataError
from minivae.inputs import affordable, said, typed
from minivae.noise import generator
from minivae.runs import checkpoint
from minivae.runs.run import Run
from minivae.training.crew import BlasThreads
from minivae.vae import BLOCK, VAE

ROOM = 4 << 20  # numbers that are kept of the draws of a block
REFERENCE = 5000  # rows of a run's own data that say what is usual


class Anomalies(NamedTuple):
    """How strange each of N rows is.

    Attributes
    ----------
    scores : array (N,)
        -log p of each row in nats, of standardised numbers: the higher, the stranger.
    threshold : float
        The quantile asked for of what is usual; a score above is an anomaly.
    features : list of str
        Names of the F columns; none where the likelihood does not part them.
    weights : array (N, F)
        What each column adds to the score, less what it adds usually, nats.
    cells : dict of str to array
        The columns as they were read.
    reference : int
        Rows of the run's own data that say what is usual; 0: its data are not there any more, or
        changed, and the rows themselves say it.
    """

    scores: np.ndarray
    threshold: float
    features: list[str]
    weights: np.ndarray
    cells: Columns
    reference: int


@typed
def anomalies(
    run: Any, data: Any, *, quantile: float = 0.95, samples: int = 100, drop: Sequence[str] = ()
) -> Anomalies:
    """Score rows by how improbable they are to the model.

    Parameters
    ----------
    run : path, Run or Checkpoint
        The run.
    data
        Rows: a table or array as `load_data` takes them, with the columns of the run's.
    quantile : float
        From 0 to 1: how much of what is usual lies below the threshold.
    samples : int
        Draws of z for each row; all rows share them, so that a score depends on its row alone.
    drop : sequence of str
        Columns that the model does not know.

    Raises
    ------
    DataError
        If the columns are not the run's.
    """
    if not 0 <= quantile <= 1:
        raise ArgumentError(f"the quantile must be from 0 to 1, not {quantile}")
    saved = _untold(run)
    rows, cells = load_rows(data, saved.units, drop, _colours(saved))
    scores, parts = score(saved.vae, rows, samples)
    own = _own(saved)
    usual, usual_parts = (scores, parts) if own is None else score(saved.vae, own, samples)
    if isinstance(saved.units, Table):
        features = [column.name for column in saved.units.features]
    else:
        features = [str(i) for i in range(parts.shape[1])]
    return Anomalies(
        scores,
        float(np.quantile(usual, quantile)),
        features,
        parts - usual_parts.mean(axis=0),
        cells,
        0 if own is None else len(own),
    )


def score(vae: VAE, rows: Any, samples: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Return -log p of each row (N,), nats, and what each column adds to it (N, F).

    Importance sampled as `VAE.log_likelihood`, but with the same noise for every row, in float64.
    A column adds the mean of -log p(x_f|z) over the draws, by their weights; likelihoods that do
    not part the columns have none, F = 0.
    """
    model, each = _double(vae), getattr(vae.likelihood, "each", None)
    of = None if each is None else lambda eta, x: model.likelihood.each(eta, x)
    scores, parts = _weighted(model, rows, samples, of)
    return -scores, -parts


@typed
def impute(
    run: Any, data: Any, *, samples: int = 1000, drop: Sequence[str] = ()
) -> tuple[Columns, int]:
    """Return the columns of a table with what is missing filled, and how many cells that were.

    A number becomes its mean given what is there in the row, a category the likeliest: both from
    draws of z that are weighed by how well they explain the rest (Mattei and Frellsen 2019,
    equation 13). What is there stays as it is.

    Raises
    ------
    ArgumentError
        If the run is not of a table.
    DataError
        If the columns are not the run's.
    """
    saved = _untold(run)
    table = saved.units
    if not isinstance(table, Table):
        raise ArgumentError("only tables have holes: this run was not trained on one")
    rows, cells = load_rows(data, table, drop)
    missing = {
        column.name: np.array([one is None or one != one for one in cells[column.name].tolist()])
        for column in table.columns
    }
    holed = np.any(list(missing.values()), axis=0)
    filled = dict(cells)
    if holed.any():
        model = _double(saved.vae)
        of = lambda eta, x: model.likelihood.mean(eta)  # noqa: E731
        _, means = _weighted(model, rows[holed], samples, of)
        for name, found in table.cells(means).items():
            filled[name] = cells[name].copy()
            filled[name][missing[name]] = found[missing[name][holed]]
    return filled, sum(int(column.sum()) for column in missing.values())


def sample(run: Any, n: int, seed: int = 0, label: int | None = None) -> Any:
    """Return n draws from the model in the user's units: columns of a table, or an array (n, D).

    Of a table they are draws of x, as noisy as the data; of images the means of p(x|z). A model
    that is told labels is told that one, or without it all in turn.
    """
    saved = _opened(run)
    vae = saved.vae.in_turn(n) if label is None else saved.vae.given(label)
    if not isinstance(saved.units, Table):
        return decoded(vae.sample(n, seed), saved.units)
    if n < 1:
        raise ArgumentError(f"the number of samples must be at least 1, not {n}")
    rng, model = generator(seed, "sample"), vae.twin()
    z = model.prior.draw(rng.standard_normal((n, model.latent)), rng).astype(model.dtype)
    rows = [
        model.likelihood.sample(model.decoder.forward(block), rng)
        for block in model._blocks(z, BLOCK)
    ]
    return saved.units.cells(np.concatenate(rows))


@typed
def similar(
    run: Any, data: Any, row: int, n: int = 10, drop: Sequence[str] = ()
) -> tuple[np.ndarray, np.ndarray, Any]:
    """Return the n rows nearest to a row by the distance of their mu, nearest first.

    Returns
    -------
    numbers, distances : array (n,)
        Counted from 0; the row itself is not among them.
    rows : dict of str to array, or array (1 + n, D)
        The row itself and then these, as they were read.
    """
    saved = _untold(run)
    rows, cells = load_rows(data, saved.units, drop, _colours(saved))
    if n < 1:
        raise ArgumentError("n, the number of rows to find, must be at least 1")
    row = numbered(row, rows)
    mu, _ = saved.vae.encode(rows)
    distances = np.sqrt(((mu - mu[row]).astype(np.float64) ** 2).sum(axis=1))
    order = np.argsort(distances, kind="stable")
    order = order[order != row][:n]
    chosen = np.append(row, order)
    if isinstance(saved.units, Table):
        found = {name: column[chosen] for name, column in cells.items()}
    else:
        found = decoded(saved.vae._images(rows[chosen]), saved.units)
    return order, distances[order], found


@typed
def combine(
    run: Any, data: Any, plus: Sequence[int], minus: Sequence[int] = (), drop: Sequence[str] = ()
) -> Any:
    """Return what sums and differences of rows decode to: plus (3, 9), minus (7,) is 3 - 7 + 9.

    The mu of the rows `plus` are added, those of the rows `minus` taken away (Radford, Metz and
    Chintala 2016, section 6.3.2, in the latent space of another model).

    Returns
    -------
    dict of str to array, or array (n + 1, D)
        The rows `plus` and then `minus`, each as the model sees it (its reconstruction), and last
        their combination, in the user's units.
    """
    saved = _untold(run)
    rows, _ = load_rows(data, saved.units, drop, _colours(saved))
    if not len(plus):
        raise ArgumentError("plus, the rows to add, must be one at least")
    try:
        chosen = [numbered(operator.index(i), rows) for i in (*plus, *minus)]
    except TypeError:
        wrong = said([*plus, *minus])
        raise ArgumentError(f"plus and minus are rows' whole numbers, not {wrong}") from None
    mu, _ = saved.vae.encode(rows[chosen])
    z = mu[: len(plus)].sum(axis=0) - mu[len(plus) :].sum(axis=0)
    return decoded(saved.vae.decode(np.vstack([mu, z])), saved.units)


def decoded(rows: np.ndarray, units: Any) -> Any:
    """Return rows that a model gave in the user's units."""
    return rows if units is None else units.cells(rows)


def _opened(run: Any) -> checkpoint.Checkpoint:
    where = run.path if isinstance(run, Run) else run
    if isinstance(where, str | os.PathLike):
        where = checkpoint.read(where)
    if not isinstance(where, checkpoint.Checkpoint):
        raise ArgumentError(f"run must be a path, a Run or a Checkpoint, not {said(run)}")
    return where


def _untold(run: Any) -> checkpoint.Checkpoint:
    saved = _opened(run)
    if saved.vae.condition:
        raise ArgumentError(
            "this run's model is told labels, which rows of new data have not: take a run that was "
            "trained without --condition"
        )
    return saved


def _colours(saved: checkpoint.Checkpoint) -> tuple[int, ...] | None:
    """Return the shape of the model's images, if they are in colour."""
    shape = saved.image_shape
    return shape if len(shape) == 3 else None


def _own(saved: checkpoint.Checkpoint) -> np.ndarray | None:
    """Return rows that the run was trained on, None where they are not there or have changed."""
    known = saved.config.get("data", {})
    source = known.get("source") or (known.get("name") in NAMES and known["name"])
    if not source:
        return None
    try:
        loaded = load_data(source, **saved.reading, units=saved.units)
    except DataError:
        return None
    if loaded.fingerprint != known["fingerprint"]:
        return None
    return loaded.pixels("train", slice(REFERENCE), dtype=saved.vae.dtype)


def numbered(i: int, rows: Any) -> int:
    """Return a row's number if there is such a row."""
    if not 0 <= i < len(rows):
        raise ArgumentError(f"there is no row {i}: they are 0 to {len(rows) - 1}")
    return i


def _double(vae: VAE) -> VAE:
    """Return the model in float64."""
    model = VAE(**vae.spec(), dtype="float64")
    model.theta[...] = vae.backend.to_host(vae.theta)
    return model


def _weighted(
    model: VAE, rows: Any, samples: int, of: Callable[[Any, Any], Any] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return `weighted` of all rows, in blocks, with the same noise for each row."""
    if samples < 1:
        raise ArgumentError(f"the number of samples must be at least 1, not {samples}")
    rows = model._images(rows)
    affordable(8 * samples * model.latent, f"the number of samples, {samples}")
    eps = generator(0, "score").standard_normal((samples, model.latent))
    size = max(1, min(BLOCK, ROOM // (samples * (1 if of is None else model.pixels))))
    blocks = [
        weighted(model, np.asarray(rows[i : i + size], np.float64), eps, of)
        for i in range(0, len(rows), size)
    ]
    log_p, means = zip(*blocks, strict=True)
    return np.concatenate(log_p), np.concatenate(means)


def weighted(
    model: VAE, x: np.ndarray, eps: np.ndarray, of: Callable[[Any, Any], Any] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the importance-sampled log p of rows x (B, D), with the same eps (K, Z) for each.

    And the mean of of(eta, x) (B, F) over the K draws, by their weights; without it, (B, 0).
    """
    log_w, found = np.empty((len(eps), len(x))), []
    with BlasThreads(1):  # small products: on a busy machine two threads mostly wait for each other
        stats = model.encoder.forward(x).copy()
        for k, one in enumerate(eps):
            z, log_q = model.posterior.forward(stats, np.tile(one, (len(x), 1)))
            eta = model.decoder.forward(z)
            log_w[k] = model.likelihood.forward(eta, x) + model.prior.forward(z) - log_q
            if of is not None:
                found.append(np.array(of(eta, x)))
    top = log_w.max(axis=0)
    w = np.exp(log_w - top)
    total = w.sum(axis=0)
    w /= total
    means = np.zeros((len(x), 0)) if of is None else np.einsum("kb,kbf->bf", w, np.array(found))
    return top + np.log(total / len(eps)), means
