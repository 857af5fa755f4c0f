"""Anomalies and embeddings on sets that come with scikit-learn: beside IsolationForest and PCA.

A half of the normal rows is trained on, chosen by the seed; the other half and all anomalies are
scored. minivae is used as `minivae train --data FILE.csv` does without options.

    python bench/anomalies.py [--seeds 5] [--steps 3000]
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator

import numpy as np
from machine import describe, unpin
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

from minivae import VAE, jobs, load_data
from minivae.training import Training

LATENT, BATCH, HIDDEN = 5, 64, (64, 32)
Score = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def sets() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, rows, and which of them are anomalies."""
    cancer, wine, digits = (
        load() for load in (datasets.load_breast_cancer, datasets.load_wine, datasets.load_digits)
    )
    yield "breast cancer (malignant)", cancer.data, cancer.target == 0
    yield "wine (the first grower)", wine.data, wine.target == 0
    yield "digits (the eights)", digits.data, digits.target == 8


def standard(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both, in deviations of the first."""
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    return (train - mean) / deviation, (test - mean) / deviation


def forest(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    return -IsolationForest(random_state=seed).fit(train).score_samples(test)


def pca(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    train, test = standard(train, test)
    plane = PCA(LATENT, random_state=seed).fit(train)
    return ((test - plane.inverse_transform(plane.transform(test))) ** 2).sum(axis=1)


def trained(
    train: np.ndarray, seed: int, steps: int, latent: int = LATENT, **model: object
) -> tuple[VAE, Callable[[np.ndarray], np.ndarray]]:
    """Return a model of these rows, and what makes others ready for it."""

    def columns(x: np.ndarray) -> dict[str, np.ndarray]:
        return {str(i): column for i, column in enumerate(x.T)}

    data = load_data(columns(train), seed=seed)
    likelihood = data.units.likelihood
    vae = VAE(data.units.width, HIDDEN, latent, seed=seed, likelihood=likelihood, **model)
    training = Training(vae, data, batch_size=BATCH, seed=seed)
    for _ in training.run(-(-steps // training.steps_per_epoch), threads=1):
        pass
    return vae, lambda x: data.units.rows(columns(x), "rows")


def minivae(steps: int, **model: object) -> Score:
    """Score by -log p."""

    def score(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        vae, ready = trained(train, seed, steps, **model)
        return jobs.score(vae, ready(test))[0]

    return score


def table(seeds: int, steps: int) -> Iterator[str]:
    """Yield the lines of the table of anomalies."""
    scores: dict[str, Score] = {
        "IsolationForest": forest,
        "PCA, 5 dimensions, squared error": pca,
        "minivae, -log p": minivae(steps),
        "minivae, beta 0.1": minivae(steps, beta=0.1),
        "minivae, 15 dimensions, beta 0.1": minivae(steps, latent=15, beta=0.1),
    }
    names = [name for name, *_ in sets()]
    yield f"| AUROC | {' | '.join(names)} |\n|---|{'---|' * len(names)}"
    for what, score in scores.items():
        cells = []
        for _, x, strange in sets():
            found = []
            for seed in range(seeds):
                normal = np.random.default_rng(seed).permutation(np.flatnonzero(~strange))
                half = len(normal) // 2
                test = np.r_[normal[half:], np.flatnonzero(strange)]
                kept = x[normal[:half]].std(axis=0) > 0
                given = x[normal[:half]][:, kept], x[test][:, kept]
                found.append(roc_auc_score(strange[test], score(*given, seed)))
            cells.append(spread(found))
        yield f"| {what} | {' | '.join(cells)} |"


def embeddings(seeds: int, steps: int) -> Iterator[str]:
    """Yield the lines of the table of embeddings: digits, one half trained on, the other told."""
    x, y = datasets.load_digits(return_X_y=True)
    yield "| digits, 10 dimensions: accuracy of | 5 nearest neighbours | logistic regression |"
    yield "|---|---|---|"
    found: dict[str, list[list[float]]] = {}
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(x))
        train, test = order[: len(x) // 2], order[len(x) // 2 :]
        kept = x[train].std(axis=0) > 0
        a, b = standard(x[train][:, kept], x[test][:, kept])
        found.setdefault("all 64 pixels", []).append(told(a, b, y[train], y[test]))
        plane = PCA(10, random_state=seed).fit(a)
        pair = plane.transform(a), plane.transform(b)
        found.setdefault("PCA", []).append(told(*pair, y[train], y[test]))
        for name, beta in (("minivae, mu", 1.0), ("minivae, mu, beta 0.1", 0.1)):
            vae, ready = trained(x[train][:, kept], seed, steps, 10, beta=beta)
            pair = tuple(vae.encode(ready(x[part][:, kept]))[0] for part in (train, test))
            found.setdefault(name, []).append(told(*pair, y[train], y[test]))
    for name, each in found.items():
        yield f"| {name} | {' | '.join(spread(column) for column in zip(*each, strict=True))} |"


def told(a: np.ndarray, b: np.ndarray, y: np.ndarray, truth: np.ndarray) -> list[float]:
    """Return how often both classifiers are right."""
    models = KNeighborsClassifier(5), LogisticRegression(max_iter=2000)
    return [float(model.fit(a, y).score(b, truth)) for model in models]


def spread(values: list[float]) -> str:
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{np.mean(values):.3f} ± {error:.3f}"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3000)
    asked = parser.parse_args()
    unpin()
    warnings.simplefilter("ignore")
    print(describe("numpy", "scikit-learn"))
    for lines in (table, embeddings):
        print()
        for line in lines(asked.seeds, asked.steps):
            print(line, flush=True)


if __name__ == "__main__":
    main()
