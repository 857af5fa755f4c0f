"""Likelihoods where one formula is delicate: extreme arguments, exact in float32; what names them.

What holds of all of them is in test_conformance.py.
"""

import math

import numpy as np
import pytest

from minivae.errors import ArgumentError
from minivae.parts import BOUNDS, LIKELIHOODS, POSTERIORS, PRIORS, spec
from minivae.parts.continuous_bernoulli import ContinuousBernoulli
from minivae.parts.discretised_logistic import discretised_logistic
from minivae.parts.gamma import SMALL, digamma, log_binomial, log_factorial, log_gamma
from minivae.parts.gaussian import Gaussian, OptimalGaussian
from minivae.parts.gaussian_each import LEAST, DecodedGaussian

LOGITS = [0.0, 1e-30, 1e-6, 1e-3, 0.03, 0.499, 0.501, 0.999, 1.001, 3.0, 20.0, 90.0, 1000.0]


@pytest.mark.parametrize(("dtype", "error"), [("float32", 2e-7), ("float64", 4e-16)])
def test_the_continuous_bernoulli_is_exact_everywhere(dtype, error):
    """Against the definition in 80 bits, whose error is 1e-19 / l; at 0 the limits."""
    l = np.array([*LOGITS, *(-one for one in LOGITS)], dtype)
    wide = l.astype(np.longdouble)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        value = np.log(np.expm1(-abs(wide)) / -abs(wide)) + np.maximum(wide, 0)
        mean = -1 / np.expm1(-wide) - 1 / wide
    small = abs(wide) <= 1e-3  # the expansion's next terms are below 1e-17
    value[small] = (wide / 2 + wide**2 / 24 - wide**4 / 2880)[small]
    mean[small] = (0.5 + wide / 12 - wide**3 / 720 + wide**5 / 30240)[small]
    part = ContinuousBernoulli(1, dtype=dtype)
    nought = np.zeros((len(l), 1), dtype)
    log_p, slope = part.forward(l[:, None], nought), part.mean(l[:, None])[:, 0]
    assert log_p.dtype == slope.dtype == dtype
    np.testing.assert_allclose(-log_p, value.astype(float), rtol=error, atol=error)
    np.testing.assert_allclose(slope, mean.astype(float), rtol=4 * error, atol=error)
    assert part.backward(np.ones(len(l), dtype)) == pytest.approx(-slope[:, None])


def test_the_optimal_variance_is_the_best_and_the_mean_squared_error():
    rng = np.random.default_rng(0)
    eta, x = rng.standard_normal((2, 6, 4))
    best, learned = OptimalGaussian(4, dtype="float64"), Gaussian(4, dtype="float64")
    value, deta = best.nll(eta, x, 1 / 6)
    deta = deta.copy()
    assert np.exp(best.params["logvar"][0]) == pytest.approx(((x - eta) ** 2).mean(), rel=1e-13)
    for off in (-0.1, 0.1, 0):
        learned.params["logvar"][...] = np.log(((x - eta) ** 2).mean()) + off
        assert learned.nll(eta, x, 1 / 6)[0] >= value - 1e-12 * off**2
    np.testing.assert_allclose(deta, learned.nll(eta, x, 1 / 6)[1], rtol=1e-12)
    # That deta is the slope of the value with the variance following the errors:
    step = 1e-6 * np.eye(24).reshape(24, 6, 4)
    ends = [[best.nll(eta + sign * h, x, 1 / 6)[0] for h in step] for sign in (1, -1)]
    slopes = (np.array(ends[0]) - ends[1]) / 2e-6
    np.testing.assert_allclose(deta.ravel(), slopes, rtol=1e-7, atol=1e-9)


def test_a_pixel_that_is_met_exactly_does_not_run_away():
    """Half of the pixels are always black; gradient descent on them alone meets the bound."""
    x = np.zeros((8, 2))
    part = DecodedGaussian(2, dtype="float64")
    eta = np.zeros((8, 4))
    for _ in range(2000):
        eta -= part.nll(eta, x, 1.0)[1]
    assert part.nll(eta, x, 1 / 16)[0] >= 0.5 * (LEAST + np.log(2 * np.pi))
    assert (abs(part.nll(eta, x, 1.0)[1]) < 1e-3).all()  # nothing is left to be gained
    eta[:, 2:] = -1e6
    value, deta = part.nll(eta, x, 1.0)
    assert np.isfinite(value) and np.isfinite(deta).all()


@pytest.mark.parametrize(
    "text, good, bad",
    [
        ("bernoulli", 0.3, -0.1),
        ("continuous-bernoulli", 1, 1.5),
        ("discretised-logistic", 51 / 255, 0.3),
        ("poisson", 300, 0.5),
        ("negative-binomial", 0, -1),
        ("gaussian", -70, np.inf),
        ("categorical:2", 1, 0.3),
        ("categorical:2", 1, 0),
    ],
)
def test_what_a_likelihood_is_for(text, good, bad):
    part, settings = spec.find(LIKELIHOODS, text, "likelihood")
    assert not part(2, **settings).outside(np.array([[good, 0], [0, 1]], "float32")).any()
    assert part(2, **settings).outside(np.array([[bad, 0], [0, 1]], "float32"))[0].any()


@pytest.mark.parametrize("text", ["categorical", "categorical:2", "categorical:3,1", "student:2"])
def test_settings_that_do_not_fit_are_refused(text):
    part, settings = spec.find(LIKELIHOODS, text, "likelihood")
    with pytest.raises(ArgumentError, match=r"4 columns|above 2"):
        part(4, **settings)


def test_log_gamma_and_its_slope():
    """Against the C library, and digamma by its own law: psi(z + 1) = psi(z) + 1/z, -Euler at 1."""
    z = np.array([0.01, 0.5, 1, 2, 7.999, 8, 30.5, 1e4])
    expected = [math.lgamma(one) for one in z]
    np.testing.assert_allclose(log_gamma(z), expected, rtol=1e-14, atol=3e-14)
    np.testing.assert_allclose(digamma(z + 1), digamma(z) + 1 / z, rtol=1e-13)
    for counts in ([0, 3, 4095], [4096, 2], [1.5]):  # in the table, beyond it, between
        expected = [math.lgamma(one + 1) for one in counts]
        np.testing.assert_allclose(log_factorial(np.array(counts, float)), expected, atol=3e-14)
    assert digamma(np.ones(1)) == pytest.approx(-np.euler_gamma, abs=1e-14)


@pytest.mark.parametrize(("dtype", "error"), [("float32", 2e-7), ("float64", 2e-14)])
def test_log_binomial_and_its_slope(dtype, error):
    """As the sums that Gamma(z + 1) = z Gamma(z) makes of them; once against the C library."""
    r = np.array([0.02, 1.0, 3.7, 2e5])
    counts = [0, 1, 5, SMALL - 1, SMALL, SMALL + 1, 300]  # in the table and beyond it
    x = np.array([[c, c, c, c] for c in counts], dtype)
    value, slope = log_binomial(x, r)
    assert value.dtype == slope.dtype == dtype
    for row, c in enumerate(counts):
        for column, one in enumerate(r):
            logs = [(math.log(one + k), -math.log(k + 1)) for k in range(c)]
            exact = math.fsum(sum(logs, ()))
            lost = 2**-50 * math.lgamma(c + one) if c > SMALL else 0  # a difference of such
            assert value[row, column] == pytest.approx(exact, rel=error, abs=1e-14 + lost)
            exact = math.fsum(1 / (one + k) for k in range(c))
            assert slope[row, column] == pytest.approx(exact, rel=error, abs=1e-14)
    assert math.lgamma(5 + 3.7) - math.lgamma(3.7) - math.lgamma(6) == pytest.approx(value[2, 2])
    between = log_binomial(np.array([[1.5, 2.5]]), np.array([0.5, 3.0]))[0][0]
    expected = [math.lgamma(2) - math.lgamma(0.5) - math.lgamma(2.5),
                math.lgamma(5.5) - math.lgamma(3) - math.lgamma(3.5)]  # fmt: skip
    assert between == pytest.approx(expected, rel=1e-13)


def test_log_binomial_of_a_row_does_not_depend_on_the_others():
    """Or processes that share a batch would find other bits than one does."""
    rng = np.random.default_rng(0)
    x, r = rng.integers(0, 2 * SMALL, (40, 7)).astype("f4"), rng.gamma(2.0, size=7)
    whole = log_binomial(x, r)
    for row in range(40):
        for one, other in zip(whole, log_binomial(x[row : row + 1], r), strict=True):
            np.testing.assert_array_equal(one[row], other[0])


@pytest.mark.parametrize(("dtype", "error"), [("float32", 1e-6), ("float64", 5e-15)])
@pytest.mark.parametrize("logscale", [-5.0, -2.0, 0.0, 2.0])
def test_the_discretised_logistic_is_exact_near_and_far(dtype, error, logscale):
    """Against a bin's share and its slopes by definition in 80 bits; far: e^-a is infinite."""
    rng = np.random.default_rng(0)
    eta = np.concatenate([rng.random((8, 9)), 3 * rng.normal(size=(8, 9))]).astype(dtype)
    eta[4, 3:5], eta[5] = (9.0, -7.0), 30.0  # a few numbers of a row, and all
    x = (rng.integers(0, 256, eta.shape) / 255).astype(dtype)
    x[:, 0], x[:, 1], x[4, 3] = 0, 1, 1
    deta, rows = np.empty_like(eta), np.empty((len(eta), 1), dtype)
    log_p = discretised_logistic(eta, x, np.array([logscale], dtype), -0.5, deta, rows)
    assert log_p.dtype == dtype

    wide = eta.astype(np.longdouble)
    scale = np.exp(np.longdouble(np.dtype(dtype).type(logscale)))
    middle = (x.astype(np.longdouble) - wide) / scale
    half = 1 / (np.longdouble(510) * scale)
    a, b = middle + half, middle - half

    def share(l):
        return np.exp(np.minimum(l, 0)) / (1 + np.exp(-abs(l)))

    inner = np.where(middle > 0, share(-b) - share(-a), share(a) - share(b))
    p = np.select([x == 0, x == 1], [share(a), share(-b)], inner)
    at_a, at_b = (np.where(x == end, 0, share(l) * share(-l)) for end, l in ((1, a), (0, b)))
    np.testing.assert_allclose(log_p, np.log(p).astype(float), rtol=error, atol=error)
    by_eta = -0.5 * (at_b - at_a) / p
    np.testing.assert_allclose(deta * float(scale), by_eta.astype(float), rtol=error, atol=error)
    by_scale = -0.5 * ((at_b * b - at_a * a) / p).sum(axis=1)
    size = float(abs((at_b * b - at_a * a) / p).max())
    np.testing.assert_allclose(rows[:, 0], by_scale.astype(float), atol=error * max(1.0, size))


def test_a_text_names_a_part_and_is_written_again():
    for parts, what in ((LIKELIHOODS, "likelihood"), (POSTERIORS, "posterior"), (PRIORS, "prior")):
        for part in parts:
            text = getattr(part, "example", "") or part.kind
            found, settings = spec.find(parts, text, what)
            assert found is part
            pixels = part.width_of(**settings) if hasattr(part, "width_of") else 3
            assert spec.text(found(pixels, **settings)) == text
    assert spec.find(BOUNDS, "elbo", "bound") == (BOUNDS[0], {})


@pytest.mark.parametrize("text", ["bernouli", "bernoulli:3", "bernoulli:", "gaussian:a=1"])
def test_a_text_that_names_none_is_refused(text):
    with pytest.raises(ArgumentError, match=r"^likelihood '.*' is (unknown|not understood): "):
        spec.find(LIKELIHOODS, text, "likelihood")
