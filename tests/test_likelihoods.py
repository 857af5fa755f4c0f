"""Likelihoods where one formula is delicate: extreme arguments, exact in float32; what names them.

What holds of all of them is in test_conformance.py.
"""

import numpy as np
import pytest

from minivae.errors import ArgumentError
from minivae.parts import BOUNDS, LIKELIHOODS, POSTERIORS, PRIORS, spec
from minivae.parts.continuous_bernoulli import ContinuousBernoulli

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


def test_a_text_names_a_part_and_is_written_again():
    for parts, what in ((LIKELIHOODS, "likelihood"), (POSTERIORS, "posterior"), (PRIORS, "prior")):
        for part in parts:
            text = getattr(part, "example", "") or part.kind
            found, settings = spec.find(parts, text, what)
            assert found is part
            pixels = sum(settings.get("groups", (3,)))
            assert spec.text(found(pixels, **settings)) == text
    assert spec.find(BOUNDS, "elbo", "bound") == (BOUNDS[0], {})


@pytest.mark.parametrize("text", ["bernouli", "bernoulli:3", "bernoulli:", "gaussian:a=1"])
def test_a_text_that_names_none_is_refused(text):
    with pytest.raises(ArgumentError, match=r"^likelihood '.*' is (unknown|not understood): "):
        spec.find(LIKELIHOODS, text, "likelihood")
