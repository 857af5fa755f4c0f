"""Every formula: known values, derivatives against differences, and float32 that stays float32.

The small functions at the top are the only place that knows which scratch arrays a formula takes.
"""

import inspect
import math

import numpy as np
import pytest
from differences import CLOSE, slope, unset, watched
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minivae import formulas as f

# --- the formulas as functions of their inputs alone ---------------------------------------------


def like(x):
    """Return NaN of x's shape, dtype and class."""
    return unset(*x.shape, dtype=x.dtype).view(type(x))


def linear(x, weight, bias):
    return f.linear(x, weight, bias, like(x[:, :1] * bias))


def linear_backward_input(dy, weight):
    return f.linear_backward_input(dy, weight, like(dy[:, :1] * weight[0]))


def linear_backward_params(x, dy):
    dweight, dbias = like(dy[0, :, None] * x[0]), like(dy[0])
    f.linear_backward_weight(x, dy, dweight)
    f.linear_backward_bias(dy, dbias)
    return dweight, dbias


def elementwise(name, x):
    return getattr(f, name)(x, like(x))


def elementwise_backward(name, y, dy):
    return getattr(f, f"{name}_backward")(y, dy, like(y))


def reparameterize(mu, logvar, eps):
    noise = like(mu)
    return f.reparameterize(mu, logvar, eps, noise, like(mu)), noise


def reparameterize_backward(dz, noise, dmu, dlogvar):
    f.reparameterize_backward(dz, noise, dmu, dlogvar)


def bernoulli_nll(logits, x, scale=1.0):
    dlogits = like(logits)
    return f.bernoulli_nll(logits, x, scale, dlogits), dlogits


def gaussian_kl(mu, logvar, beta=1.0, scale=1.0):
    dmu, dlogvar = like(mu), like(mu)
    return f.gaussian_kl(mu, logvar, beta, scale, dmu, dlogvar), dmu, dlogvar


def bernoulli_log_likelihood(logits, x):
    return f.bernoulli_log_likelihood(logits, x, like(logits[:, 0]))


def gaussian_kl_each(mu, logvar):
    return f.gaussian_kl_each(mu, logvar, like(mu))


def adam(theta, grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    rate, floor = f.adam_constants(step, lr, beta1, beta2, eps)
    f.adam(theta, grad, m, v, beta1, beta2, rate, floor)


# --- drawing -------------------------------------------------------------------------------------


def arrays(*shapes, least=-3.0, most=3.0):
    """Draw float64 arrays whose shapes are spelled with letters: each letter is one length."""

    @st.composite
    def draw_all(draw):
        lengths = {}
        for letter in "".join(shapes):
            lengths.setdefault(letter, draw(st.integers(1, 5), label=letter))
        shaped = [tuple(lengths[letter] for letter in shape) for shape in shapes]
        values = st.floats(least, most, allow_subnormal=False)
        return [draw(hnp.arrays(np.float64, shape, elements=values)) for shape in shaped]

    return draw_all()


# --- Linear --------------------------------------------------------------------------------------


def test_linear_by_hand():
    x = np.array([[1.0, 2.0], [0.0, -1.0]])
    weight = np.array([[3.0, 4.0], [-1.0, 0.5], [0.0, 2.0]])
    bias = np.array([10.0, 20.0, 30.0])
    assert linear(x, weight, bias).tolist() == [[21.0, 20.0, 34.0], [6.0, 19.5, 28.0]]


def test_linear_backward_by_hand():
    x = np.array([[1.0, 2.0], [0.0, -1.0]])
    dy = np.array([[1.0, 10.0, 100.0], [2.0, 0.0, -1.0]])
    weight = np.array([[3.0, 4.0], [-1.0, 0.5], [0.0, 2.0]])
    dweight, dbias = linear_backward_params(x, dy)
    assert dweight.tolist() == [[1.0, 0.0], [10.0, 20.0], [100.0, 201.0]]
    assert dbias.tolist() == [3.0, 10.0, 99.0]
    assert linear_backward_input(dy, weight).tolist() == [[-7.0, 209.0], [6.0, 6.0]]


@given(arrays("bi", "oi", "o", "bo"))
def test_linear_derivatives(drawn):
    x, weight, bias, dy = drawn

    def value():
        return float((linear(x, weight, bias) * dy).sum())

    dweight, dbias = linear_backward_params(x, dy)
    np.testing.assert_allclose(dweight, slope(value, weight), **CLOSE)
    np.testing.assert_allclose(dbias, slope(value, bias), **CLOSE)
    np.testing.assert_allclose(linear_backward_input(dy, weight), slope(value, x), **CLOSE)


def test_matmul_overwrites():
    a, b = np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])
    assert f.matmul(a, b, unset(1, 1)).tolist() == [[11.0]]


@pytest.mark.parametrize("rows", [1, 2, f.FEW_ROWS, f.FEW_ROWS + 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_matmul_is_exact_where_numbers_are_small_integers(rows, dtype):
    rng = np.random.default_rng(rows)
    a, b = rng.integers(-9, 10, (rows, 40)), rng.integers(-9, 10, (30, 40))
    want = np.einsum("ri,oi->ro", a, b)  # on integers: not BLAS
    by_columns, by_rows = b.astype(dtype).T, np.array(b.T, dtype, order="C")  # the same matrix
    for right in (by_columns, by_rows):
        out = np.full((rows + 2, 30), np.nan, dtype)
        assert f.matmul(a.astype(dtype), right, out[1:-1]).base is out
        assert out[1:-1].tolist() == want.tolist()
        assert np.isnan(out[[0, -1]]).all()
        assert out.dtype == dtype


# --- activations ---------------------------------------------------------------------------------

KNOWN = {  # name: (x, y) with y from algebra
    "relu": [(-2.0, 0.0), (0.0, 0.0), (3.5, 3.5)],
    "sigmoid": [(0.0, 0.5), (math.log(3), 0.75), (-math.log(3), 0.25), (-1e4, 0.0), (1e4, 1.0)],
    "tanh": [(0.0, 0.0), (math.log(2), 0.6), (-math.log(3), -0.8), (1e4, 1.0)],
}


@pytest.mark.parametrize("name", KNOWN)
def test_activation_known_values(name):
    x, y = np.array(KNOWN[name]).T
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_allclose(elementwise(name, x[None]), y[None], rtol=1e-15)


@pytest.mark.parametrize("name", KNOWN)
@given(arrays("bh", "bh"))
def test_activation_derivatives(name, drawn):
    x, dy = drawn
    if name == "relu":  # its kink has no derivative: keep 1e-3 away, a hundred times the step
        x[np.abs(x) < 1e-3] = 1e-3
    dx = elementwise_backward(name, elementwise(name, x), dy)
    numeric = slope(lambda: float((elementwise(name, x) * dy).sum()), x)
    np.testing.assert_allclose(dx, numeric, **CLOSE)


def test_relu_backward_at_zero():
    """The slope at the kink is a choice: 0, as in PyTorch."""
    dx = elementwise_backward("relu", np.array([[0.0, 1.0]]), np.array([[5.0, 5.0]]))
    assert dx.tolist() == [[0.0, 5.0]]


# --- reparameterization --------------------------------------------------------------------------


def test_reparameterize_uses_the_deviation_not_the_variance():
    mu, logvar, eps = np.array([[1.0]]), np.array([[math.log(4.0)]]), np.array([[3.0]])
    z, noise = reparameterize(mu, logvar, eps)
    np.testing.assert_allclose(
        [z, noise], [[[7.0]], [[6.0]]], rtol=1e-15
    )  # 1 + 2 * 3, not 1 + 4 * 3


@given(arrays("bz", "bz", "bz", "bz"))
def test_reparameterize_derivatives(drawn):
    mu, logvar, eps, dz = drawn

    def value():
        return float((reparameterize(mu, logvar, eps)[0] * dz).sum())

    _, noise = reparameterize(mu, logvar, eps)
    dmu, dlogvar = np.full_like(mu, 0.25), np.full_like(mu, -2.0)  # what the KL left: is added to
    reparameterize_backward(dz, noise, dmu, dlogvar)
    np.testing.assert_allclose(dmu - 0.25, slope(value, mu), **CLOSE)
    np.testing.assert_allclose(dlogvar + 2.0, slope(value, logvar), **CLOSE)


# --- the likelihood ------------------------------------------------------------------------------

# logit, pixel, -log p by hand: sigmoid(log 3) = 3/4
BERNOULLI = [
    (0.0, 0.3, math.log(2)),
    (math.log(3), 1.0, math.log(4 / 3)),
    (math.log(3), 0.0, math.log(4)),
    (math.log(3), 0.5, math.log(4) - math.log(3) / 2),
    (-math.log(3), 1.0, math.log(4)),
    (1000.0, 1.0, 0.0),
    (1000.0, 0.0, 1000.0),
    (-1000.0, 1.0, 1000.0),
]


@pytest.mark.parametrize("logit, pixel, nll", BERNOULLI)
def test_bernoulli_known_values(logit, pixel, nll):
    logits, x = np.array([[logit]]), np.array([[pixel]])
    with np.errstate(all="raise", under="ignore"):
        value, _ = bernoulli_nll(logits, x)
        log_likelihood = bernoulli_log_likelihood(logits, x)
    assert value == pytest.approx(nll, rel=1e-14, abs=1e-13)
    assert log_likelihood[0] == pytest.approx(-nll, rel=1e-14, abs=1e-13)


@given(arrays("bd", "bd"), st.floats(0.01, 2))
def test_bernoulli_nll_derivatives(drawn, scale):
    logits, x = drawn
    x = (x + 3) / 6  # into [0, 1]
    _, dlogits = bernoulli_nll(logits, x, scale)
    numeric = slope(lambda: bernoulli_nll(logits, x, scale)[0], logits)
    np.testing.assert_allclose(dlogits, numeric, **CLOSE)


@given(arrays("bd", "bd", "bd"))
def test_sigmoid_then_cross_entropy_is_the_fused_form(drawn):
    """DLoss/dp = (p - x) / (p (1 - p)), passed through Sigmoid's own derivative."""
    logits, x, _ = drawn
    x = (x + 3) / 6
    p = elementwise("sigmoid", logits)
    dp = (p - x) / (p * (1 - p))
    value, dlogits = bernoulli_nll(logits, x)
    np.testing.assert_allclose(
        elementwise_backward("sigmoid", p, dp), dlogits, rtol=1e-9, atol=1e-12
    )
    assert value == pytest.approx(-(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(), rel=1e-9)


@pytest.mark.parametrize("rows", [1, 119, 120, 121, 1000])
def test_bernoulli_nll_of_many_rows(rows):
    """The sum over many rows, against terms added one by one in Python."""
    rng = np.random.default_rng(rows)
    logits, x = rng.normal(0, 4, (rows, 3)), rng.random((rows, 3))
    terms = [
        max(l, 0.0) + math.log1p(math.exp(-abs(l))) - p * l
        for l, p in zip(logits.ravel().tolist(), x.ravel().tolist(), strict=True)
    ]
    assert bernoulli_nll(logits, x)[0] == pytest.approx(math.fsum(terms), rel=1e-13)
    each = bernoulli_log_likelihood(logits, x)
    np.testing.assert_allclose(each, -np.reshape(terms, (rows, 3)).sum(axis=1), rtol=1e-12)


def test_bernoulli_nll_in_float32_is_as_good_as_its_inputs():
    """Float32 rounds a number below 2 by up to 1.2e-7, a few times in each gradient."""
    rng = np.random.default_rng(1)
    logits, x = (
        rng.normal(0, 5, (1000, 784)).astype(np.float32),
        rng.random((1000, 784), np.float32),
    )
    exact, gradient = bernoulli_nll(logits.astype(np.float64), x.astype(np.float64), 1e-3)
    value, dlogits = bernoulli_nll(logits, x, 1e-3)
    assert value == pytest.approx(exact, rel=2e-6)
    np.testing.assert_allclose(dlogits, gradient, rtol=0, atol=5e-7 * 1e-3)


def test_bernoulli_nll_of_a_confident_model_keeps_its_digits():
    """In float32, where softplus(l) and x l are large and nearly cancel; of twenty batches."""
    rng, wrong = np.random.default_rng(3), []
    for _ in range(20):
        logits = rng.normal(-4, 8, (64, 784)).astype(np.float32)
        x = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.float32)
        wide = logits.astype(np.float64)
        exact = float((np.logaddexp(0, wide) - x * wide).sum())
        wrong.append(bernoulli_nll(logits, x)[0] / exact - 1)
    assert np.mean(np.square(wrong)) ** 0.5 < 1.2e-7  # float32's own eps


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_images_log_likelihood_and_slopes(dtype):
    """Against Python's own numbers, also where e^l is infinite or 0; each image apart."""
    rng = np.random.default_rng(2)
    logits, x = (rng.normal(0, 5, (9, 100)).astype(dtype), rng.random((9, 100)).astype(dtype))
    logits[1:, 7] = 88, 89, 1000, -88, -104, -1000, 709, 710
    slopes, out = like(logits), like(logits[:, 0])
    with np.errstate(all="raise", under="ignore"):
        f.bernoulli_log_likelihood(logits, x, out, slopes)
    eps = float(np.finfo(dtype).eps)
    for row, pixels, got, rise in zip(logits.tolist(), x.tolist(), out, slopes, strict=True):
        pairs = [(l, math.exp(-abs(l)), p) for l, p in zip(row, pixels, strict=True)]
        terms = [p * l - max(l, 0) - math.log1p(e) for l, e, p in pairs]
        assert got == pytest.approx(math.fsum(terms), rel=30 * eps)
        want = [p - (1 if l > 0 else e) / (1 + e) for l, e, p in pairs]
        np.testing.assert_allclose(rise, want, rtol=0, atol=4 * eps)
    assert np.array_equal(out, bernoulli_log_likelihood(logits, x))
    for row in range(3, 6):  # three draws of one image, a logit of 1000 among them
        one = slice(row, row + 1)
        f.bernoulli_log_likelihood(logits[one], x[4:5], out[one], slopes[one])
    alone = out[3:6].copy(), slopes[3:6].copy()
    f.bernoulli_log_likelihood(logits[3:6], x[4:5], out[3:6], slopes[3:6])
    assert np.array_equal(out[3:6], alone[0]) and np.array_equal(slopes[3:6], alone[1])


# --- the KL --------------------------------------------------------------------------------------

KL = [  # mu, logvar, KL by hand
    (0.0, 0.0, 0.0),
    (2.0, 0.0, 2.0),
    (0.0, math.log(4), (3 - math.log(4)) / 2),
    (-1.0, -math.log(2), (1 + 0.5 - 1 + math.log(2)) / 2),
]


@pytest.mark.parametrize("mu, logvar, kl", KL)
def test_kl_known_values(mu, logvar, kl):
    mu, logvar = np.array([[mu]]), np.array([[logvar]])
    assert gaussian_kl(mu, logvar)[0] == pytest.approx(kl, rel=1e-14, abs=1e-16)
    assert gaussian_kl_each(mu, logvar)[0, 0] == pytest.approx(kl, rel=1e-14, abs=1e-16)


def test_kl_keeps_its_digits_near_the_prior():
    """At logvar = 1e-9 the KL is logvar^2 / 4, of which e^logvar - 1 - logvar has none left."""
    mu, logvar = np.array([[0.0]]), np.array([[1e-9]])  # one ulp of 1e-9 is 4e-7 of 5e-19
    assert gaussian_kl(mu, logvar)[0] == pytest.approx(2.5e-19, rel=1e-6, abs=0)
    assert gaussian_kl_each(mu, logvar)[0, 0] == pytest.approx(2.5e-19, rel=1e-6, abs=0)


@pytest.mark.parametrize("mu, logvar", [(0.7, -1.3), (-2.0, 0.4)])
def test_kl_is_the_integral_that_defines_it(mu, logvar):
    z, width = np.linspace(mu - 15, mu + 15, 60001, retstep=True)
    log_q = -((z - mu) ** 2) / (2 * math.exp(logvar)) - (math.log(2 * math.pi) + logvar) / 2
    log_p = -(z**2) / 2 - math.log(2 * math.pi) / 2
    integral = (np.exp(log_q) * (log_q - log_p)).sum() * width
    assert gaussian_kl(np.array([[mu]]), np.array([[logvar]]))[0] == pytest.approx(
        integral, rel=1e-9
    )


@given(arrays("bz", "bz"), st.floats(0, 4), st.floats(0.01, 2))
def test_kl_derivatives(drawn, beta, scale):
    """The gradients are those of beta times the value; the value is the KL, whatever beta."""
    mu, logvar = drawn
    value, dmu, dlogvar = gaussian_kl(mu, logvar, beta, scale)
    assert value == pytest.approx(scale * gaussian_kl_each(mu, logvar).sum(), rel=1e-12, abs=1e-15)

    def weighted():
        return beta * gaussian_kl(mu, logvar, beta, scale)[0]

    np.testing.assert_allclose(dmu, slope(weighted, mu), **CLOSE)
    np.testing.assert_allclose(dlogvar, slope(weighted, logvar), **CLOSE)


# --- Adam ----------------------------------------------------------------------------------------


@given(arrays("n", "ng"), st.floats(0, 0.99), st.floats(0.5, 0.9999))
def test_adam_is_the_papers_algorithm(drawn, beta1, beta2):
    """Algorithm 1 of Kingma and Ba, line by line, over a few steps of any gradients."""
    theta, grads = drawn
    lr, eps = 0.01, 1e-6
    expected, moment1, moment2 = theta.copy(), np.zeros_like(theta), np.zeros_like(theta)
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(grads.T, start=1):
        moment1 = beta1 * moment1 + (1 - beta1) * g
        moment2 = beta2 * moment2 + (1 - beta2) * g**2
        corrected1, corrected2 = moment1 / (1 - beta1**t), moment2 / (1 - beta2**t)
        expected -= lr * corrected1 / (np.sqrt(corrected2) + eps)
        adam(theta, np.ascontiguousarray(g), m, v, t, lr, beta1, beta2, eps)
    np.testing.assert_allclose(theta, expected, rtol=1e-10, atol=1e-12)


def test_adams_first_step_is_lr_against_the_gradients_sign():
    theta, grad = np.zeros(3), np.array([4.0, -0.001, 0.0])
    adam(theta, grad, np.zeros(3), np.zeros(3), 1, lr=0.5, eps=1e-12)
    np.testing.assert_allclose(theta, [-0.5, 0.5, 0.0], rtol=1e-8)


# --- float32 stays float32 -----------------------------------------------------------------------


def float32_calls():
    """Return, for each function of formulas.py, a call of it on float32 arrays."""
    rng = np.random.default_rng(0)
    x, w, dy, a, b, e = (
        watched(rng.random(s)) for s in ((130, 4), (3, 4), (130, 3), (130, 4), (130, 4), (130, 4))
    )
    bias, theta = watched(rng.random(3)), watched(rng.random(9))
    calls = {
        "matmul": lambda: f.matmul(x, w.T, like(dy)),
        "linear": lambda: linear(x, w, bias),
        "linear_backward_input": lambda: linear_backward_input(dy, w),
        "linear_backward_weight": lambda: linear_backward_params(x, dy)[0],
        "linear_backward_bias": lambda: linear_backward_params(x, dy)[1],
        "reparameterize": lambda: reparameterize(a, b, e),
        "reparameterize_backward": lambda: reparameterize_backward(a, b, x, e),
        "bernoulli_nll": lambda: bernoulli_nll(a, x, 1 / 130),
        "bernoulli_log_likelihood": lambda: bernoulli_log_likelihood(a, x),
        "gaussian_kl": lambda: gaussian_kl(a, b, 0.5, 1 / 130),
        "gaussian_kl_each": lambda: gaussian_kl_each(a, b),
        "adam": lambda: adam(theta, theta * 2, theta * 3, theta * 4, 5),
        "adam_constants": lambda: f.adam_constants(1, 1e-3, 0.9, 0.999, 1e-8),
    }
    for name in KNOWN:
        calls[name] = lambda name=name: elementwise(name, a)
        calls[f"{name}_backward"] = lambda name=name: elementwise_backward(name, a, b)
    return calls


@pytest.mark.parametrize("name", float32_calls())
def test_float32_creates_no_float64(name):
    float32_calls()[name]()


def test_every_formula_is_tested():
    """A function added to formulas.py must be added above, with its known values."""
    public = {
        name
        for name, function in inspect.getmembers(f, inspect.isfunction)
        if function.__module__ == f.__name__ and not name.startswith("_")
    }
    assert public == set(float32_calls())


@pytest.mark.parametrize(
    "logit, probability",  # e^l / (1 + e^l), from the series for small e^l
    [
        (-10.0, 4.5397868702434395e-05),
        (-20.0, 2.061153618190204e-09),
        (-60.0, 8.75651076269652e-27),
    ],
)
def test_the_gradient_of_dark_pixels_keeps_its_digits_in_float32(logit, probability):
    """Adam divides by the gradient's size: a tiny gradient that is wrong by a third matters."""
    logits, x = np.full((2, 3), logit, np.float32), np.zeros((2, 3), np.float32)
    dlogits = np.empty_like(x)
    value = f.bernoulli_nll(logits, x, 0.5, dlogits)
    np.testing.assert_allclose(dlogits, 0.5 * probability, rtol=1e-6)
    assert value == pytest.approx(3 * probability, abs=3e-7)
