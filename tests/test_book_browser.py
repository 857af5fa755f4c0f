"""The book in a real browser: live figures show their scripts' numbers, and follow hands."""

import re
import runpy

import numpy as np
import pytest
from browser import Browser, find
from test_lessons import PAGES

from minivae.teaching.book import book

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium or Chrome on this machine")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    for name, content in book().items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def browser():
    browser = Browser()
    yield browser
    browser.close()


def opened(browser, site, number):
    browser.problems.clear()
    browser.requests.clear()
    lesson = PAGES[number - 1]
    browser.open(site / f"{lesson.stem}.html")
    return runpy.run_path(str(lesson.with_suffix(".py")))


def quiet(browser):
    assert browser.problems == []
    assert all(url.startswith(("file:", "data:")) for url in browser.requests)


def read(browser, name):
    text = browser.value(f"document.querySelector('[data-read={name}]').textContent")
    return text.replace("−", "-")


def values(browser, name):
    found = re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", read(browser, name))
    return [float(number) for number in found]


def move(browser, name, value):
    browser.value(
        f"(() => {{ const e = document.getElementById('{name}'); e.value = {value};"
        "e.dispatchEvent(new Event('input')); })()"
    )
    browser.frame()


def entries(browser, name, shape):
    """The numbers of an array as the page shows them."""
    shown = browser.value(
        f"[...document.querySelectorAll('[data-entry^=\"{name} \"]')].map((e) => e.textContent)"
    )
    return np.reshape([float(text.replace("−", "-")) for text in shown], shape).tolist()


def test_one_the_valley_of_errors(browser, site):
    script = opened(browser, site, 1)
    true = script["gradient"](script["WEIGHT"], script["BIAS"])[0]
    for power in (-1, -3):
        move(browser, "valley-h", power)
        for name in ("forward", "central"):
            value = script[f"{name}_difference"](10.0**power)
            shown, error = values(browser, name)
            assert shown == pytest.approx(value, abs=1e-11)
            assert error == pytest.approx(abs(value - true), rel=0.06)  # two digits
    before = read(browser, "central")
    browser.drag(".plot", (0.5, 0.5), (0.3, 0.5))
    assert read(browser, "central") != before
    quiet(browser)


def test_two_linears_gradients(browser, site):
    script = opened(browser, site, 2)
    x, weight, dy = script["X"], script["WEIGHT"], script["DY"]

    def compare():
        for name, array in (("dx", dy @ weight), ("dW", dy.T @ x), ("db", dy.sum(axis=0)[None])):
            assert entries(browser, name, array.shape) == array.tolist()

    compare()
    browser.value("document.querySelector(\"[data-entry='dx 1 2']\").focus()")
    browser.frame()
    assert read(browser, "sum") == ("dx[1,2] = dy[1,0]·W[0,2] + dy[1,1]·W[1,2] = (-1)·1 + 1·3 = 2")
    assert browser.value("[...document.querySelectorAll('.lit')].map(e => e.dataset.entry)") == [
        "W 0 2", "W 1 2", "dy 1 0", "dy 1 1",
    ]  # fmt: skip
    browser.value(
        "(() => { const e = document.querySelector(\"[data-entry='dy 0 1']\"); e.value = -3;"
        "e.dispatchEvent(new Event('input')); })()"
    )
    browser.frame()
    dy = dy.copy()
    dy[0, 1] = -3
    compare()
    browser.drag("[data-entry='dy 1 0']", (0.5, 0.5), (1.0, 0.5), (0.5 + 40 / 54, 0.5))
    dy[1, 0] += 1  # a tenth for every four pixels
    compare()
    quiet(browser)


def test_three_logits(browser, site):
    opened(browser, site, 3)
    move(browser, "logits-l", -20)
    assert read(browser, "naive") == "infinite, not a number"
    assert read(browser, "stable") == "20.00, -1.00"  # as on the page
    move(browser, "logits-l", -1)
    assert read(browser, "naive") == read(browser, "stable") == "1.31, -0.73"
    quiet(browser)


def test_four_the_bound(browser, site):
    script = opened(browser, site, 4)
    joint = script["log_joint"](script["model"]())
    for mu, logvar in ((0.5, -0.4), (0.0, 0.0), (0.5, -4.0)):
        move(browser, "bound-mu", mu)
        move(browser, "bound-logvar", logvar)
        likelihood, kl, gap = script["bound"](joint, mu, logvar)
        ours = dict(likelihood=likelihood, kl=kl, bound=likelihood - kl, gap=gap)
        for name, value in ours.items():
            assert values(browser, name) == [pytest.approx(value, abs=1.01e-4)]
        assert values(browser, "logp") == [pytest.approx(-4.409207, abs=1.01e-4)]  # the page's
    quiet(browser)


def test_five_the_valley_of_the_kl(browser, site):
    script = opened(browser, site, 5)
    for name, value in zip(("kl", "dmu", "dlogvar"), script["kl"](1.5, -2.0), strict=True):
        assert values(browser, name) == [pytest.approx(value, abs=5.1e-5)]
    assert read(browser, "integral") == read(browser, "kl")
    for _ in range(4):
        browser.drag("#kl-down", (0.5, 0.5))
    assert values(browser, "kl") == [pytest.approx(0.2517, abs=2e-3)]  # the page's step 4
    quiet(browser)


def test_six_two_estimators(browser, site):
    opened(browser, site, 6)
    for _ in range(2):
        mean, error, variance = values(browser, "one")
        assert abs(mean + 1.4) < 5 * error
        assert variance == pytest.approx(2.426, rel=0.15)  # 4 sigma^2
        mean, error, _ = values(browser, "two")
        assert abs(mean + 1.4) < 5 * error
        before = read(browser, "one")
        browser.drag("#estimators-anew", (0.5, 0.5))
        assert read(browser, "one") != before
    move(browser, "estimators-z", 1)
    assert values(browser, "ratio")[0] == pytest.approx(115.6, rel=0.3)
    quiet(browser)


def test_seven_two_paths(browser, site):
    opened(browser, site, 7)
    assert (read(browser, "adam"), read(browser, "sgd")) == ("95", "220")  # the page's
    move(browser, "paths-lr", -2)
    move(browser, "paths-sgd", 0.01)
    assert (read(browser, "adam"), read(browser, "sgd")) == ("666", "419")
    move(browser, "paths-sgd", 0.0201)
    assert read(browser, "sgd") == "it does not arrive"
    quiet(browser)


def test_eight_two_paths_meet(browser, site):
    script = opened(browser, site, 8)
    assert read(browser, "step") == "loss 3.482143 = nll 2.785483 + kl 0.696660"  # the page's
    assert script["live"]()["seed"] == 1
    move(browser, "meeting-beta", 0)
    kl_part, z_part, total = values(browser, "dmu")
    assert kl_part == 0
    assert abs(total) == abs(z_part) > 0
    move(browser, "meeting-beta", 2)
    move(browser, "meeting-mu", 0.5)
    assert values(browser, "dmu")[0] == 1.0
    quiet(browser)


def test_nine_three_likelihoods(browser, site):
    script = opened(browser, site, 9)
    names = {"one": "bernoulli", "three": "continuous-bernoulli"}
    for logit in (0.0, 2.0, 6.0):
        move(browser, "likelihoods-eta", logit)
        for name, kind in names.items():
            area, nll = values(browser, name)
            assert area == pytest.approx(script["area"](kind, logit, script["X"]), abs=6e-5)
            log_p = script["log_p"](kind, logit, np.array([[0.8]])).item()
            assert nll == pytest.approx(-log_p, abs=6e-4)
        area, nll = values(browser, "two")
        mean = 1 / (1 + np.exp(-logit))
        assert area == 1
        log_p = script["log_p"]("gaussian", mean, np.array([[0.8]]), -3.0).item()
        assert nll == pytest.approx(-log_p, abs=6e-4)
    assert values(browser, "mean") == [0.8358, 0.9975]  # the page's
    quiet(browser)


def test_ten_shares_of_draws(browser, site):
    script = opened(browser, site, 10)
    assert values(browser, "logp") == [pytest.approx(-4.4092, abs=1e-3)]  # lesson 4's
    net, rng = script["decoder"](), np.random.default_rng(3)
    for power, within in ((0, 0.6), (4, 0.1), (6, 0.03)):
        move(browser, "weights-k", power)
        log_w = script["log_weights"](net, rng.standard_normal((4000, 2**power)))
        assert values(browser, "bound")[0] == pytest.approx(
            script["log_mean"](log_w).mean(), abs=within
        )
        assert 1 <= values(browser, "ess")[0] <= 2**power
    before = read(browser, "one")
    browser.drag("#weights-anew", (0.5, 0.5))
    assert read(browser, "one") != before
    quiet(browser)


def test_eleven_a_kernel_that_slides(browser, site):
    script = opened(browser, site, 11)
    x, weight, dy = script["X"], script["WEIGHT"], script["DY"]
    y = script["convolution"](x, weight)
    dx, dweight = script["backward"](x, weight, dy)
    assert entries(browser, "y", y.shape) == y.tolist()
    assert entries(browser, "dx", dx.shape) == dx.tolist()
    assert entries(browser, "dW", dweight.shape) == dweight.tolist()
    browser.value("document.querySelector(\"[data-entry='dx 0 0']\").focus()")
    browser.frame()
    assert read(browser, "sum") == "dx[0,0] = dy[0,0]·W[0,0] = 1·1 = 1"
    quiet(browser)


def test_keys_turn_the_page_and_a_phone_shows_all(site):
    browser = Browser(390, 844, touch=True)
    try:
        browser.open(site / "index.html")
        browser.key("ArrowRight")
        browser.value("new Promise((done) => setTimeout(done, 300))")
        assert browser.value("location.pathname").endswith("01-one-neuron.html")
        for lesson in PAGES[::2]:
            browser.open(site / f"{lesson.stem}.html")
            assert browser.value("document.documentElement.scrollWidth") <= 390, lesson.stem
            assert browser.value("document.querySelectorAll('.live svg, .live table').length") > 0
        assert browser.problems == []
    finally:
        browser.close()
