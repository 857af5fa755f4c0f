"""What mu over many images says of a latent space: which units are used, which way it spreads.

Numbers only; pictures of them are for plots.py and explore.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ACTIVE = 0.01  # variance of mu below which a unit counts as unused


class Plane(NamedTuple):
    """The plane along which mu varies most: its origin, its axes, their shares of the variance."""

    centre: np.ndarray  # (Z,)
    directions: np.ndarray  # (2, Z), each of length 1; the second is 0 where Z = 1
    shares: np.ndarray  # (2,)

    def of(self, points: np.ndarray) -> np.ndarray:
        """Return the coordinates (N, 2) of points (N, Z) projected on the plane."""
        return (points - self.centre) @ self.directions.T


def main_plane(mu: np.ndarray) -> Plane:
    """Return the two main directions of mu (N, Z): the leading eigenvectors of its covariance.

    The sign of each is such that its largest entry is positive.
    """
    mu = mu.astype(np.float64)
    centre = mu.mean(axis=0)
    values, vectors = np.linalg.eigh((mu - centre).T @ (mu - centre))
    leading = vectors.T[::-1][:2]
    largest = leading[range(len(leading)), abs(leading).argmax(axis=1)]
    directions, shares = np.zeros((2, mu.shape[1])), np.zeros(2)
    directions[: len(leading)] = leading * np.sign(largest)[:, None]
    shares[: len(leading)] = values[::-1][:2] / max(values.sum(), np.finfo(np.float64).tiny)
    return Plane(centre, directions, shares)


def by_use(mu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the units in order of use, most used first, and the variance of each unit's mu.

    A unit whose mu (N, Z) is the same for every image tells the decoder nothing; Burda, Grosse and
    Salakhutdinov (2016, section 5.2) call it inactive below a variance of 0.01.
    """
    variance = mu.var(axis=0, dtype=np.float64)
    return np.argsort(-variance, kind="stable"), variance


def active_units(mu: np.ndarray) -> int:
    """Return how many units carry information: a variance of mu (N, Z) over the images above 0.01.

    The measure and the threshold are those of Burda, Grosse and Salakhutdinov (2016, section 5.2).
    """
    return int((by_use(mu)[1] > ACTIVE).sum())
