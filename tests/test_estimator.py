"""The estimator keeps scikit-learn's conventions, and its numbers are those of the user's units."""

import pickle
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from minivae.errors import ArgumentError
from minivae.estimator import VAE


def test_scikit_learns_own_checks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcomes = check_estimator(VAE(epochs=3), on_fail=None, on_skip=None)
    assert len(outcomes) > 40
    assert not [o for o in outcomes if o["status"] not in ("passed", "skipped")]


def test_scores_are_a_density_in_the_users_units():
    """Its integral is 1, but for the bound's slack; units 100 times as large, and a shift."""
    rng = np.random.default_rng(0)
    X = 700 + 100 * np.concatenate([rng.normal(-2, 0.5, 300), rng.normal(2, 0.5, 300)])[:, None]
    vae = VAE(1, hidden=(16,), epochs=60, batch_size=50, n_samples=400, random_state=0).fit(X)
    line = np.linspace(-500, 1900, 1201)
    density = np.exp(vae.score_samples(line[:, None]))
    assert np.trapezoid(density, line) == pytest.approx(1, abs=0.03)
    assert vae.sample(4000).mean() == pytest.approx(700, abs=40)


def test_a_rows_score_does_not_depend_on_its_place():
    X = np.random.default_rng(0).normal(size=(450, 3))
    vae = VAE(epochs=2, random_state=0).fit(X)
    np.testing.assert_allclose(vae.score_samples(X[::-1])[::-1], vae.score_samples(X), rtol=1e-12)
    np.testing.assert_allclose(vae.score_samples(X[440:]), vae.score_samples(X)[440:], rtol=1e-12)


def test_a_search_over_a_pipeline():
    X, y = load_digits(return_X_y=True)
    pipeline = make_pipeline(
        VAE(epochs=8, batch_size=30, random_state=0), LogisticRegression(max_iter=500)
    )
    search = GridSearchCV(pipeline, {"vae__n_components": [2, 8], "vae__beta": [0.1, 1.0]}, cv=2)
    search.fit(X[:600], y[:600])
    assert search.best_params_["vae__n_components"] == 8  # ten classes do not fit two dimensions
    assert search.best_score_ > 0.5


def test_anomalies_are_told():
    X, y = load_breast_cancer(return_X_y=True)
    vae = VAE(5, epochs=30, random_state=0, n_samples=20).fit(X[y == 1][:250])
    rest = np.vstack([X[y == 1][250:], X[y == 0]])
    truth = np.r_[np.zeros((y == 1).sum() - 250), np.ones((y == 0).sum())]
    assert roc_auc_score(truth, -vae.score_samples(rest)) > 0.85


def test_missing_numbers_are_imputed_better_than_by_means():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(600, 1))
    X = np.hstack([z, 2 * z, -z]) + 0.1 * rng.normal(size=(600, 3))
    vae = VAE(1, epochs=60, batch_size=50, random_state=0).fit(X)
    holes = X.copy()
    holes[::3, 1] = np.nan
    filled = vae.impute(holes)
    assert np.isfinite(filled).all()
    assert (filled[np.isfinite(holes)] == holes[np.isfinite(holes)]).all()
    error = ((filled - X)[::3, 1] ** 2).mean()
    assert error < 0.2 * ((X[::3, 1] - X[:, 1].mean()) ** 2).mean()


def test_partial_fit_goes_on_and_pickles_go_along():
    X = np.random.default_rng(0).normal(size=(100, 4))
    whole = VAE(epochs=3, random_state=1).fit(X)
    steps = VAE(random_state=1)
    for _ in range(2):
        steps.partial_fit(X)
    steps = pickle.loads(pickle.dumps(steps)).partial_fit(X)
    assert (steps.n_iter_, len(steps.loss_curve_)) == (3, 3)
    np.testing.assert_array_equal(steps.transform(X), whole.transform(X))
    assert not hasattr(clone(steps), "model_")


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_joblib_keeps_one_and_fits_several_at_once(tmp_path, processes):
    X = np.random.default_rng(0).normal(size=(60, 4))
    vaes = [VAE(1, hidden=(4,), epochs=2, random_state=seed) for seed in (0, 1)]
    fitted = joblib.Parallel(processes)(joblib.delayed(vae.fit)(X) for vae in vaes)
    joblib.dump(fitted, tmp_path / "vaes")
    for again, vae in zip(joblib.load(tmp_path / "vaes"), vaes, strict=True):
        np.testing.assert_allclose(again.score_samples(X), vae.fit(X).score_samples(X), rtol=1e-4)


def test_numbers_out_of_range_name_the_remedy():
    with pytest.raises(ArgumentError, match="use gaussian"):
        VAE(likelihood="bernoulli").fit(np.array([[0.0], [3.0]]))


def test_without_scikit_learn_it_says_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None; import minivae.estimator"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'needs scikit-learn: pip install "minivae[sklearn]"' in done.stderr
