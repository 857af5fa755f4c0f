"""The playground in a real browser: Python's losses, hands and keys, faults found, a phone."""

import json

import numpy as np
import pytest
from browser import Browser, find
from test_twin import python_losses

from minivae.optim import Adam
from minivae.teaching.playground import digits, play_page, step_page
from minivae.vae import VAE

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium or Chrome on this machine")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("play") / "play.html"
    path.write_text(play_page(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def page(browser, path):
    browser.problems.clear()
    browser.requests.clear()
    browser.open(path)
    yield browser
    assert browser.problems == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [
        path.resolve().as_uri()
    ]


def choose(page, **settings):
    for name, value in settings.items():
        page.value(
            f"(() => {{ const e = document.getElementById('{name}'); e.value = {json.dumps(value)};"
            "e.dispatchEvent(new Event('change')); e.dispatchEvent(new Event('input')); })()"
        )


def text(page, name):
    return page.value(f"document.getElementById('{name}').textContent")


def train(page, steps):
    return page.value(
        f"Array.from({{length: {steps}}}, () => {{ const t = minivae.step();"
        " return [t.loss, t.nll, t.kl]; })"
    )


def test_twenty_steps_are_pythons(page):
    made = train(page, 20)
    train_rows = digits()[0][:-500] / 15
    losses, vae = python_losses(train_rows, (64,), 2, 64, 0, 20, lr=10**-2.5)
    np.testing.assert_allclose(made, losses, rtol=0, atol=1e-4)
    page.drag("#one", (0.5, 0.5))
    assert text(page, "clock").startswith("step 21, epoch 0.4")
    assert page.value("minivae.model().theta.length") == vae.theta.size


def test_play_and_pause_keys_and_the_map(page):
    choose(page, data="clusters", hidden="16")
    page.drag("#play", (0.5, 0.5))
    page.value("new Promise((done) => setTimeout(done, 300))")
    page.drag("#play", (0.5, 0.5))
    steps = page.value("minivae.model().steps")
    assert steps > 5
    page.value("new Promise((done) => setTimeout(done, 100))")
    assert page.value("minivae.model().steps") == steps
    before = text(page, "chosen-says")
    assert before.startswith("Test point (")
    page.value("document.getElementById('map').focus()")
    page.key("ArrowRight")
    assert text(page, "chosen-says") != before
    page.key("ArrowLeft")
    assert text(page, "chosen-says") == before
    page.drag("#again", (0.5, 0.5))
    assert page.value("minivae.model().steps") == 0


def test_collapse_is_seen(page):
    choose(page, data="moons", hidden="16", lr="-1.5", beta="0")
    train(page, 300)
    choose(page, beta="0")
    page.value("minivae.setPlaying(false)")
    assert "2 of 2 units active" in text(page, "active")
    choose(page, beta="2")
    train(page, 300)
    page.value("minivae.setPlaying(false)")
    assert text(page, "active") == "0 of 2 units active (variance of μ above 0.01): collapsed"
    assert float(text(page, "kl")) < 0.05


def test_a_fault_is_planted_unseen_and_found(page):
    choose(page, data="ring", hidden="16")
    page.drag("#hide", (0.5, 0.5))
    assert page.value("document.querySelectorAll('#faults input:checked').length") == 0
    page.drag("#check", (0.5, 0.5))
    assert page.value("document.querySelectorAll('#tables .wrong').length") > 0
    page.drag("#reveal", (0.5, 0.5))
    assert text(page, "verdict").startswith("It was: ")
    page.drag("#faults label:first-child", (0.1, 0.3))
    page.drag("#check", (0.5, 0.5))
    assert text(page, "verdict").startswith("Everything agrees")


@pytest.fixture(scope="module")
def step_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("step") / "step.html"
    path.write_text(step_page(), encoding="utf-8")
    return path


def test_a_step_is_played(browser, step_path):
    browser.problems.clear()
    browser.open(step_path)

    def entry(name):
        return browser.value(f"document.querySelector('[data-entry=\"{name}\"]').innerText").split()

    vae = VAE(4, (2,), 1, seed=1, dtype="float64")
    adam = Adam(vae.parameters, vae.backend, 0.1)
    x, eps = np.array([[1, 0, 1, 1], [0, 0, 0.5, 1]]), np.array([[0.5], [-1.0]])
    assert entry("a 0 0") == ["·"]
    browser.drag("#next", (0.5, 0.5))
    assert entry("a 0 0") == ["0.310"]
    browser.drag("#all", (0.5, 0.5))
    for _ in range(3):
        loss = vae.step(x, eps).loss
        assert f"loss = {loss:.6f}" in text(browser, "steps")
        gradient = vae.grads["encoder.0.weight"][1, 0]
        browser.value("minivae.choose('W1', 1, 0)")
        shown = browser.value("document.querySelector('[data-read=gradient]').textContent")
        assert shown.replace("−", "-") == f"= {gradient:.6f}"
        assert browser.value("minivae.nudge()") == pytest.approx(gradient, abs=1e-8)
        assert "Adam: m = " in text(browser, "adam")
        adam.step()
        promised = vae.params["encoder.0.weight"][1, 0]
        assert text(browser, "adam").replace("−", "-").endswith(f"= {promised:.6f}")
        browser.drag("#update", (0.5, 0.5))
        browser.drag("#all", (0.5, 0.5))
    browser.value("minivae.choose('eps', 1, 0)")
    browser.value(
        "(() => { const e = document.getElementById('value'); e.value = 2;"
        "e.dispatchEvent(new Event('input')); })()"
    )
    eps[1] = 2
    assert f"loss = {vae.step(x, eps).loss:.6f}" in text(browser, "steps")
    browser.value("minivae.choose('mu', 0, 0)")
    assert browser.value("document.getElementById('value').disabled")
    lit = browser.value("[...document.querySelectorAll('.lit')].map(e => e.dataset.entry)")
    assert lit == ["z 0 0", "kl 0 0"]  # where the two paths part
    assert browser.problems == []


def test_a_browser_that_lacks_something_is_told_so(path):
    browser = Browser()
    try:
        browser.call("Page.addScriptToEvaluateOnNewDocument", source="delete window.BigInt")
        browser.open(path)
        assert "This page does not work in this browser" in text(browser, "failed")
        assert "BigInt" in text(browser, "failed")
    finally:
        browser.close()


def test_a_phone(path, step_path):
    browser = Browser(390, 844, touch=True)
    try:
        browser.open(step_path)
        assert browser.value("document.documentElement.scrollWidth") <= 390
        browser.open(path)
        assert browser.value("document.documentElement.scrollWidth") <= 390
        train(browser, 2)
        assert browser.problems == []
    finally:
        browser.close()
