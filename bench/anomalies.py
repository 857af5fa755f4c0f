"""Anomalies and embeddings on sets that come with packages: beside IsolationForest and PCA.

A share of the normal rows is trained on, chosen by the seed; the others and all anomalies are
scored. minivae is used as `minivae train --data FILE.csv` does without options. Of ten digits the
seed's is the anomaly; they are pictures, used as with `--scale minmax`. The sensors of a space
shuttle lie in the package river (`pip install --no-deps river`), and are left out without it.

    python bench/anomalies.py [--seeds 10] [--steps 3000] [--share 0.8] [--only anomalies]
    python bench/anomalies.py --only embeddings [--set mnist]
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec

import numpy as np
from machine import describe, unpin
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

from minivae import VAE, jobs, load_data
from minivae.data.dataset import load_rows
from minivae.training import Training

LATENT, BATCH, HIDDEN = 5, 64, (64, 32)
LINEAR: tuple[int, ...] = ()
MOST = 10_000  # rows of a set, chosen by the seed
RIVER = find_spec("river")
SETS = (
    *("breast cancer (malignant)", "wine (the first grower)", "digits (one of the ten)"),
    *(["shuttle (9 sensors)"] if RIVER else []),
)
Score = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def rows(name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all rows of a set, and which of them are anomalies; of digits the seed says."""
    if RIVER and name == SETS[-1]:
        file = f"{RIVER.submodule_search_locations[0]}/datasets/shuttle.csv.gz"
        columns = np.loadtxt(file, delimiter=",", skiprows=1)
        chosen = np.random.default_rng(seed).permutation(len(columns))[:MOST]
        return columns[chosen, :-1], columns[chosen, -1] == 1
    kind, load = {
        SETS[0]: (0, datasets.load_breast_cancer),
        SETS[1]: (0, datasets.load_wine),
        SETS[2]: (seed % 10, datasets.load_digits),
    }[name]
    x, y = load(return_X_y=True)
    return x, y == kind


def standard(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both, in deviations of the first."""
    kept = train.std(axis=0) > 0
    mean, deviation = train[:, kept].mean(axis=0), train[:, kept].std(axis=0)
    return (train[:, kept] - mean) / deviation, (test[:, kept] - mean) / deviation


def forest(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    return -IsolationForest(random_state=seed).fit(train).score_samples(test)


def pca(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    if train.shape[1] < 64:
        train, test = standard(train, test)
    plane = PCA(LATENT, random_state=seed).fit(train)
    return ((test - plane.inverse_transform(plane.transform(test))) ** 2).sum(axis=1)


def trained(
    train: np.ndarray,
    seed: int,
    steps: int,
    latent: int = LATENT,
    beta: float = 1.0,
    hidden: tuple[int, ...] = HIDDEN,
) -> tuple[VAE, Callable[[np.ndarray], np.ndarray]]:
    """Return a model of these rows, and what makes others ready for it.

    Digits and larger pictures are grey (--scale minmax), not columns of a table.
    """
    pictures, side = train.shape[1] >= 64, int(train.shape[1] ** 0.5)

    def given(x: np.ndarray) -> object:
        columns = {str(i): column for i, column in enumerate(x.T)}
        return x.reshape(-1, side, side) if pictures else columns

    data = load_data(given(train), scale="minmax" if pictures else None, seed=seed)
    kind = data.units.likelihood
    vae = VAE(data.units.width, hidden, latent, beta=beta, seed=seed, likelihood=kind)
    training = Training(vae, data, batch_size=BATCH, seed=seed)
    for _ in training.run(-(-steps // training.steps_per_epoch), threads=1):
        pass
    return vae, lambda x: load_rows(given(x), data.units)[0]


def table(seeds: int, steps: int, share: float) -> Iterator[str]:
    """Yield the lines of the table of anomalies."""

    def minivae(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        vae, ready = trained(train, seed, steps)
        return jobs.score(vae, ready(test))[0]

    scores: dict[str, Score] = {
        "IsolationForest": forest,
        "PCA, 5 dimensions, squared error": pca,
        "minivae, -log p": minivae,
    }
    yield f"| AUROC | {' | '.join(SETS)} |\n|---|{'---|' * len(SETS)}"
    for what, score in scores.items():
        cells = []
        for name in SETS:
            found = []
            for seed in range(seeds):
                x, strange = rows(name, seed)
                normal = np.random.default_rng(seed).permutation(np.flatnonzero(~strange))
                cut = int(share * len(normal))
                test = np.r_[normal[cut:], np.flatnonzero(strange)]
                found.append(roc_auc_score(strange[test], score(x[normal[:cut]], x[test], seed)))
            cells.append(spread(found))
        yield f"| {what} | {' | '.join(cells)} |"


def embeddings(seeds: int, steps: int, name: str) -> Iterator[str]:
    """Yield the lines of the table of embeddings: one half is trained on, the other told."""
    latent, hidden = 10, HIDDEN
    if name == "digits":
        x, y = datasets.load_digits(return_X_y=True)
    else:
        latent, hidden = 20, (256, 128)
        data = load_data(name)
        chosen = np.random.default_rng(0).permutation(len(data.train))[: 2 * MOST]
        x, y = np.asarray(data.train[chosen], np.float64), data.train_labels[chosen]
    yield f"| {name}, {latent} dimensions | 5 nearest neighbours | logistic regression | used |"
    yield "|---|---|---|---|"
    found: dict[str, list[list[float]]] = {}
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(x))
        parts = order[: len(x) // 2], order[len(x) // 2 :]
        ys = [y[part] for part in parts]
        pixels = [x[part] / x.max() for part in parts]
        plane = PCA(latent, random_state=seed).fit(pixels[0])
        found.setdefault("all pixels", []).append([*told(*pixels, *ys), x.shape[1]])
        found.setdefault("PCA", []).append([*told(*map(plane.transform, pixels), *ys), latent])
        for widths, beta in ((hidden, 1.0), (hidden, 0.1), (LINEAR, 0.1)):
            vae, ready = trained(x[parts[0]], seed, steps, latent, beta, widths)
            mus = [vae.encode(ready(x[part]))[0] for part in parts]
            used = float((mus[0].var(axis=0) > 0.01).sum())
            what = f"minivae, mu, beta {beta:g}, hidden {','.join(map(str, widths)) or 'none'}"
            found.setdefault(what, []).append([*told(*mus, *ys), used])
    for what, each in found.items():
        near, regressed, used = zip(*each, strict=True)
        yield f"| {what} | {spread(near)} | {spread(regressed)} | {np.mean(used):.1f} |"


def told(a: np.ndarray, b: np.ndarray, y: np.ndarray, truth: np.ndarray) -> list[float]:
    """Return how often both classifiers are right."""
    models = KNeighborsClassifier(5), LogisticRegression(max_iter=2000)
    return [float(model.fit(a, y).score(b, truth)) for model in models]


def spread(values: Iterable[float]) -> str:
    values = list(values)
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{np.mean(values):.3f} ± {error:.3f}"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--share", type=float, default=0.8)
    names = ["digits", "mnist", "fashion-mnist"]
    parser.add_argument("--set", choices=names, default="digits", help="of the embeddings")
    parser.add_argument("--only", choices=["anomalies", "embeddings"])
    asked = parser.parse_args()
    unpin()
    warnings.simplefilter("ignore")
    print(describe("numpy", "scikit-learn"))
    tables = {
        "anomalies": table(asked.seeds, asked.steps, asked.share),
        "embeddings": embeddings(asked.seeds, asked.steps, asked.set),
    }
    for lines in [tables[asked.only]] if asked.only else tables.values():
        print()
        for line in lines:
            print(line, flush=True)


if __name__ == "__main__":
    main()
