"""A VAE as a scikit-learn estimator: numbers of any scale, in pipelines and searches.

Columns are standardised here, and likelihoods and samples come back in the user's units; model and
training are those of the rest of the package. Needs scikit-learn (the extra `sklearn`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'minivae.estimator needs scikit-learn: pip install "minivae[sklearn]"', name=error.name
    ) from None

from minivae.data import Dataset
from minivae.errors import ArgumentError
from minivae.inputs import affordable, checked, judge, typed
from minivae.jobs import weighted
from minivae.noise import generator
from minivae.training import Training
from minivae.vae import BLOCK
from minivae.vae import VAE as Model

ROWS = 200  # at a time where each is decoded many times


class VAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Variational autoencoder for rows of numbers.

    Parameters
    ----------
    n_components : int
        Z, the dimensions of the latent space.
    hidden : sequence of int
        Widths of the encoder's hidden layers; the decoder mirrors them.
    likelihood : str
        p(x|z): "gaussian" for numbers of any scale, which are standardised; "bernoulli" for
        numbers from 0 to 1, which are taken as they are.
    beta : float
        Weight of the KL term.
    epochs, batch_size, learning_rate
        Of the training by Adam.
    n_samples : int
        Draws of z for `score_samples`.
    n_jobs : int or None
        Processes that share a step; None: one, which for tables is quickest.
    random_state : int, RandomState or None
        Seed of weights, order and noise.

    Attributes
    ----------
    model_ : minivae.VAE
        The model; it knows standardised columns.
    mean_, scale_ : array (n_features_in_,)
        What was subtracted from each column, and what it was divided by.
    loss_curve_ : list of float
        The training loss of every epoch, nats per row.
    n_iter_ : int
        Epochs trained.
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        hidden: Sequence[int] = (64, 32),
        likelihood: str = "gaussian",
        beta: float = 1.0,
        epochs: int = 50,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        n_samples: int = 100,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.hidden = hidden
        self.likelihood = likelihood
        self.beta = beta
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.n_samples = n_samples
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> VAE:
        """Train on X (n_samples, n_features); y is not used."""
        X = self._valid(X)
        self._begin(X)
        return self._train(X, self.epochs)

    def partial_fit(self, X: Any, y: Any = None) -> VAE:
        """Train for one more epoch, on these rows; the first call settles the columns' scales."""
        first = not hasattr(self, "model_")
        X = self._valid(X, reset=first)
        if first:
            self._begin(X)
        return self._train(X, 1)

    def transform(self, X: Any) -> np.ndarray:
        """Return mu of q(z|x), (n_samples, n_components)."""
        return self.model_.encode(self._taken(X))[0]

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Return the mean of p(x|z) in the columns' own units, (n_samples, n_features)."""
        check_is_fitted(self)
        Z = checked(Z, self.n_components, "Z, latent points").astype(np.float64)
        return self.model_.decode(Z) * self.scale_ + self.mean_

    def score_samples(self, X: Any) -> np.ndarray:
        """Return an importance-sampled log p(x) of each row, nats, in the columns' own units.

        log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x) (Burda, Grosse and Salakhutdinov 2016), a lower
        bound on average. All rows share their noise, so that a row's score depends on no other.
        """
        X = self._taken(X)
        eps = generator(0, "score").standard_normal((self.n_samples, self.n_components))
        model = self.model_.twin()
        blocks = [weighted(model, X[i : i + ROWS], eps)[0] for i in range(0, len(X), ROWS)]
        return np.concatenate(blocks) - np.log(self.scale_).sum()

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    @typed
    def sample(self, n_samples: int = 1) -> np.ndarray:
        """Return draws from the model, noise of p(x|z) included, in the columns' own units."""
        check_is_fitted(self)
        if n_samples < 1:
            raise ArgumentError(f"n_samples must be at least 1, not {n_samples}")
        affordable(8 * n_samples * self.n_features_in_, f"n_samples {n_samples}")
        rng, model = np.random.default_rng(self._seed()), self.model_.twin()
        out = np.empty((n_samples, self.n_features_in_))
        for start in range(0, n_samples, BLOCK):
            block = out[start : start + BLOCK]
            z = model.prior.draw(rng.standard_normal((len(block), self.n_components)), rng)
            block[...] = model.likelihood.sample(model.decoder.forward(z), rng)
        return out * self.scale_ + self.mean_

    @typed
    def impute(self, X: Any, iterations: int = 20) -> np.ndarray:
        """Return X with what is missing (NaN) filled by reconstruction, again and again.

        It begins with the columns' means; each round encodes a row and takes its missing numbers
        from the decoded mean (Rezende, Mohamed and Wierstra 2014, appendix F, without noise).
        """
        check_is_fitted(self)
        X = self._valid(X, reset=False, ensure_all_finite="allow-nan")
        missing, filled = np.isnan(X), np.where(np.isnan(X), self._means, X)
        for _ in range(iterations if missing.any() else 0):
            filled[missing] = self.inverse_transform(self.transform(filled))[missing]
        return filled

    @property
    def _n_features_out(self) -> int:
        return self.n_components

    def _valid(self, X: Any, **settings: Any) -> np.ndarray:
        """Return X as scikit-learn takes it; dates and texts of digits are no numbers."""
        if getattr(getattr(X, "dtype", None), "kind", "f") in "mMUS":
            raise ArgumentError(f"X of type {X.dtype}: expected numbers")
        try:
            return validate_data(self, X, dtype=np.float64, **settings)
        except OverflowError:
            raise ArgumentError("X holds a number that no float can be") from None

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(2**31))

    def _taken(self, X: Any) -> np.ndarray:
        """Return rows as the model knows them."""
        check_is_fitted(self)
        return self._scaled(self._valid(X, reset=False))

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        if self.likelihood == "bernoulli" and (X.min() < 0 or X.max() > 1):
            raise ArgumentError(
                f"X has numbers from {X.min():g} to {X.max():g}: the bernoulli likelihood is for 0 "
                "to 1; use gaussian, or MinMaxScaler(clip=True) before it"
            )
        return (X - self.mean_) / self.scale_

    def _begin(self, X: np.ndarray) -> None:
        settings = self.get_params()
        judge(type(self).__init__, settings)
        for name in ("n_components", "epochs", "batch_size", "n_samples"):
            if settings[name] < 1:
                raise ArgumentError(f"{name} must be at least 1, not {settings[name]}")
        self.mean_, self.scale_ = np.zeros(X.shape[1]), np.ones(X.shape[1])
        self._means = X.mean(axis=0)
        if self.likelihood != "bernoulli":
            self.mean_, scale = self._means, X.std(axis=0)
            self.scale_ = np.where(scale > 1e-12 * np.abs(self.mean_), scale, 1.0)  # or constant
        self.model_ = Model(
            X.shape[1],
            tuple(self.hidden),
            self.n_components,
            self.beta,
            self._seed(),
            dtype="float64",
            likelihood=self.likelihood,
        )
        self.n_iter_, self.loss_curve_ = 0, []
        self._state: Any = None

    def _train(self, X: np.ndarray, epochs: int) -> VAE:
        X = self._scaled(X)
        data = Dataset("rows", X, X[:1], None, None, (1, X.shape[1]))
        training = Training(
            self.model_,
            data,
            batch_size=self.batch_size,
            lr=self.learning_rate,
            seed=self.model_.seed,
        )
        if self._state is not None:
            training.adam.m[...], training.adam.v[...], training.adam.steps = self._state
        training.epoch = self.n_iter_
        for record in training.run(
            self.n_iter_ + epochs, threads=1 if self.n_jobs is None else self.n_jobs
        ):
            self.loss_curve_.append(record.train_loss)
        self.n_iter_ = training.epoch
        self._state = np.array(training.adam.m), np.array(training.adam.v), training.adam.steps
        return self
