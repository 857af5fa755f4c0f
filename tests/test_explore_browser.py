"""The explorer in a real browser: its numbers against NumPy's, hands, keys, small screens."""

import json
import math

import numpy as np
import pytest
from browser import Browser, find
from runs import thinned

from minivae.data import Dataset
from minivae.looking.explore import explore_page
from minivae.noise import generator
from minivae.vae import VAE

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium or Chrome on this machine")


def model(shape, hidden, latent, times=3.0):
    """A model whose mu is about as large as a trained one's: the first weights, multiplied."""
    vae = VAE(math.prod(shape), hidden=hidden, latent=latent)
    vae.theta[...] *= times
    return vae


def made_up(shape, labels=True, name="made up"):
    rng = generator(3, "test images")
    images = rng.integers(0, 256, (60, math.prod(shape))).astype(np.uint8)
    images[:, ::3] = 0
    kinds = np.arange(60) % 4 if labels else None
    return Dataset(name, images, images, kinds, kinds, shape)


@pytest.fixture(scope="module")
def browser():
    browser = Browser()
    yield browser
    browser.close()


def opened(browser, tmp_path, vae, data, title="a run"):
    path = tmp_path / "page.html"
    path.write_text(explore_page(vae, data, title), encoding="utf-8")
    browser.problems.clear()
    browser.requests.clear()
    browser.open(path)
    return path


def quiet(browser, path):
    assert browser.problems == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [
        path.resolve().as_uri()
    ]


def compare(browser, vae, x, eps, within=1e-4):
    """The page's encode, decode and loss of the image x with rows of noise eps, against ours."""
    x, eps = x.astype(np.float32), eps.astype(np.float32)
    page = browser.value(
        f"(() => {{ const x = {json.dumps(x.tolist())}, eps = {json.dumps(eps.tolist())};"
        "const {mu, logvar, nll, kl, nllAtMu} = minivae.loss(x, eps);"
        "return {mu: [...mu], logvar: [...logvar], nll, kl, nllAtMu,"
        " pixels: eps.map((z) => [...minivae.decode(z)])}; })()"
    )
    mu, logvar = vae.encode(x[None])
    np.testing.assert_allclose(page["mu"], mu[0], rtol=0, atol=within)
    np.testing.assert_allclose(page["logvar"], logvar[0], rtol=0, atol=within)
    np.testing.assert_allclose(page["pixels"], vae.decode(eps), rtol=0, atol=within)
    # Losses are sums over pixels, of tens or hundreds of nats: the tolerance grows with them.
    terms = vae.step(np.repeat(x[None], len(eps), axis=0), eps)
    at_mu = vae.step(x[None], np.zeros((1, vae.latent), np.float32))
    probabilities = vae.decode(mu)[0].astype(np.float64)
    closed = -(x * np.log(probabilities) + (1 - x) * np.log1p(-probabilities)).sum()
    assert page["nll"] == pytest.approx(terms.nll, rel=within)
    assert page["kl"] == pytest.approx(terms.kl, rel=within)
    assert page["nllAtMu"] == pytest.approx(at_mu.nll, rel=within)
    assert page["nllAtMu"] == pytest.approx(closed, rel=within)


SIZES = {
    "28x28": ((28, 28), (256, 128), 20, 3.0),
    "one latent dimension, 6x9": ((6, 9), (12,), 1, 3.0),
    "no square, deep, two dimensions": ((5, 12), (16, 8, 8), 2, 2.0),
    "in colour": ((8, 5, 3), (16,), 3, 3.0),
}


@pytest.mark.parametrize("size", thinned([*SIZES], 3))
def test_the_pages_numbers_are_numpys(browser, tmp_path, size):
    shape, hidden, latent, times = SIZES[size]
    vae = model(shape, hidden, latent, times)
    path = opened(browser, tmp_path, vae, made_up(shape))
    rng = generator(4, "page")
    x = rng.random(vae.pixels) * (rng.random(vae.pixels) < 0.5)
    compare(browser, vae, x, rng.standard_normal((3, latent)))
    quiet(browser, path)


def test_a_larger_models_page_is_as_exact_as_it_says(browser, tmp_path):
    vae = model((28, 28), (401, 201), 20, 2.0)
    path = opened(browser, tmp_path, vae, made_up((28, 28)))
    assert browser.value("minivae.facts.storage") == "int20"
    rng = generator(4, "page")
    compare(browser, vae, rng.random(vae.pixels), rng.standard_normal((3, 20)))
    quiet(browser, path)


def painted(browser, name, channel=0):
    """The values of a channel that a canvas shows: of grey all are the same."""
    return np.array(
        browser.value(
            f"(() => {{ const from = document.getElementById('{name}');"
            "const c = Object.assign(document.createElement('canvas'),"
            " {width: from.width, height: from.height});"
            "const pen = c.getContext('2d', {willReadFrequently: true});"
            "pen.drawImage(from, 0, 0);"
            "return [...pen.getImageData(0, 0, c.width, c.height).data]"
            f".filter((_, i) => i % 4 === {channel}); }})()"
        )
    )


def shown_point(browser, vae):
    """The point z, after checking that the picture is the decoder's of that point."""
    z = np.array(browser.value("minivae.space.point()"))
    picture = 255 * vae.decode(z[None].astype(np.float32))[0]
    assert abs(painted(browser, "image") - picture).max() < 0.51  # rounded to whole grey values
    return z


@pytest.fixture(scope="module")
def small():
    return model((7, 9), (16,), 5), made_up((7, 9))


def test_dragging_keys_and_sliders_move_the_point(browser, tmp_path, small):
    vae, data = small
    path = opened(browser, tmp_path, vae, data)
    seen = [shown_point(browser, vae)]
    directions = np.array(browser.value("minivae.facts.directions"))
    centre = np.array(browser.value("minivae.facts.centre"))
    reach = browser.value("minivae.facts.reach")

    browser.drag("#map", (0.5, 0.5), (0.6, 0.4), (0.75, 0.25))
    seen.append(shown_point(browser, vae))
    np.testing.assert_allclose(directions @ (seen[-1] - centre), [reach / 2, reach / 2], atol=0.02)
    outside = np.eye(5) - directions.T @ directions
    np.testing.assert_allclose(outside @ seen[-1], outside @ seen[0], atol=1e-9)

    browser.value("document.getElementById('map').focus()")
    browser.key("ArrowLeft")
    seen.append(shown_point(browser, vae))
    step = directions @ (seen[-1] - seen[-2])
    np.testing.assert_allclose(step, [-0.02 * reach, 0], atol=1e-9)
    browser.key("Home")
    seen.append(shown_point(browser, vae))
    np.testing.assert_allclose(seen[-1], centre)

    order = browser.value("minivae.facts.order")
    variance = vae.encode(data.test / np.float32(255))[0].var(axis=0)
    assert order == np.argsort(-variance).tolist()
    assert browser.value("[...document.querySelectorAll('.slider input')].map(e => e.id)") == [
        f"z{unit}" for unit in order
    ]
    browser.value(f"document.getElementById('z{order[0]}').focus()")
    browser.key("ArrowRight")
    seen.append(shown_point(browser, vae))
    moved = seen[-1] - seen[-2]
    assert moved[order[0]] == pytest.approx(0.01, abs=0.0051)  # a slider stands at whole steps
    assert np.count_nonzero(moved) == 1
    for button in ("nearest", "random", "centre"):
        browser.drag(f"#{button}", (0.5, 0.5))
        seen.append(shown_point(browser, vae))
    assert len({tuple(z) for z in seen}) == len(seen) - 1  # the middle twice
    browser.drag("#legend button", (0.5, 0.5))
    quiet(browser, path)


def test_drawing_with_mouse_and_keys(browser, tmp_path, small):
    vae, data = small
    path = opened(browser, tmp_path, vae, data)

    def check():
        x = np.array(browser.value("minivae.drawing.pixels()"))
        assert abs(painted(browser, "pad") - 255 * x).max() < 0.51
        mu, logvar = vae.encode(x[None].astype(np.float32))
        assert abs(painted(browser, "echo") - 255 * vae.decode(mu)[0]).max() < 0.51
        kl = float(browser.value("document.getElementById('kl').textContent"))
        ours = (mu**2 + np.exp(logvar) - 1 - logvar).sum() / 2
        assert kl == pytest.approx(ours, abs=0.0501)  # one decimal
        cells = browser.value(
            "[...document.querySelectorAll('#stats tr')].map(r => r.innerText.split('\\t'))"
        )
        for name, _, shown_mu, shown_sigma in cells:
            unit = int(name[2:-1])
            assert float(shown_mu.replace("−", "-")) == pytest.approx(mu[0, unit], abs=0.0051)
            assert float(shown_sigma) == pytest.approx(np.exp(logvar[0, unit] / 2), abs=0.0051)
        return x.reshape(7, 9)

    assert check().max() > 0  # it starts with a test image,
    browser.drag("#pad", (0.5, 0.1), (0.5, 0.9))
    drawn = check()  # and the first stroke starts afresh
    assert (drawn[:, 4] == 1).all()
    assert (drawn[:, :3] == 0).all()
    browser.drag("#clear", (0.5, 0.5))
    assert check().max() == 0
    browser.value("document.getElementById('pad').focus()")
    for key in ("ArrowUp", "ArrowLeft", "ArrowLeft"):
        browser.key(key)
    browser.key(" ", " ")
    browser.value("document.activeElement.blur()")
    browser.frame()
    assert np.unravel_index(check().argmax(), (7, 9)) == (2, 2)
    browser.drag("#middle", (0.5, 0.5))
    assert np.unravel_index(check().argmax(), (7, 9)) == (3, 4)
    x = check()
    browser.drag("#to-map", (0.5, 0.5))
    mu, _ = vae.encode(x.reshape(1, -1).astype(np.float32))
    np.testing.assert_allclose(shown_point(browser, vae), mu[0], atol=1e-5)
    quiet(browser, path)


def test_a_picture_is_drawn_in_colour(browser, tmp_path):
    shape = 9, 7, 3
    vae = model(shape, (16,), 4)
    path = opened(browser, tmp_path, vae, made_up(shape))

    def drawn():
        x = np.array(browser.value("minivae.drawing.pixels()"))
        shown = [painted(browser, "pad", channel) for channel in range(3)]
        np.testing.assert_allclose(np.stack(shown, -1).ravel(), 255 * x, atol=0.51)
        return x.reshape(shape)

    assert "9×7 in colour" in browser.value("document.querySelector('.facts').textContent")
    assert drawn().max() > 0  # a test image
    for ink, row, expected in (("#ff8000", 0.2, (1, 128 / 255, 0)), ("#0000ff", 0.8, (0, 0, 1))):
        browser.value(f"document.getElementById('ink').value = '{ink}'")
        browser.drag("#pad", (0.5, row), (0.5, row))
        np.testing.assert_allclose(drawn()[int(9 * row), 3], expected, atol=1e-9)
    before = drawn()
    assert before[4].max() == 0
    browser.drag("#middle", (0.5, 0.5))
    again = drawn()
    ink = before.sum(axis=2)
    place = (np.indices((9, 7)) * ink).sum(axis=(1, 2)) / ink.sum()
    down, right = (math.floor(4 - place[0] + 0.5), math.floor(3 - place[1] + 0.5))
    assert down  # it moves; what leaves is gone
    wide = np.pad(before, ((9, 9), (7, 7), (0, 0)))
    moved = np.roll(wide, (down, right), axis=(0, 1))[9:-9, 7:-7]
    np.testing.assert_array_equal(again, moved)
    browser.value("document.getElementById('pad').focus()")
    browser.key("Backspace")
    browser.value("document.activeElement.blur()")
    browser.frame()
    again[4, 3] = 0
    np.testing.assert_array_equal(drawn(), again)
    for channel in range(3):  # what the decoder draws
        mu, _ = vae.encode(again.reshape(1, -1).astype(np.float32))
        mean = 255 * vae.decode(mu).reshape(9, 7, 3)[..., channel].ravel()
        assert abs(painted(browser, "echo", channel) - mean).max() < 0.51
    quiet(browser, path)


def test_between_two_images(browser, tmp_path, small):
    vae, data = small
    path = opened(browser, tmp_path, vae, data)
    mu, _ = vae.encode(data.test / np.float32(255))
    labels = browser.value("minivae.facts.picture_labels")
    assert labels[:8] == [0, 1, 2, 3, 0, 1, 2, 3]  # the first of each label, then the second
    browser.drag("#from button:nth-child(2)", (0.5, 0.5))
    browser.drag("#to button:nth-child(5)", (0.5, 0.5))
    for step, share in ((1, 0.0), (3, 0.25), (9, 1.0)):
        browser.drag(f"#strip button:nth-child({step})", (0.5, 0.5))
        z = (1 - share) * mu[1] + share * mu[4]
        assert abs(painted(browser, "mix") - 255 * vae.decode(z[None])[0]).max() < 0.51
    quiet(browser, path)


def test_names_are_shown_as_text(browser, tmp_path, small):
    vae, data = small
    name = "</script><script>window.ran = 1</script><img src=x onerror='window.ran = 1'>{{json}}&"
    data = Dataset(name, data.train, data.test, None, None, data.image_shape)
    path = opened(browser, tmp_path, vae, data, title=name)
    assert browser.value("window.ran") is None
    assert name in browser.value("document.querySelector('h1').textContent")
    assert name in browser.value("document.querySelector('.facts').textContent")
    assert browser.value("document.getElementById('legend').children.length") == 0
    quiet(browser, path)


def test_a_phone(tmp_path, small):
    vae, data = small
    browser = Browser(390, 844, touch=True)
    try:
        path = opened(browser, tmp_path, vae, data, title="averylongname" * 9)
        assert browser.value("innerWidth") == 390
        assert browser.value("document.documentElement.scrollWidth") <= 390
        before = shown_point(browser, vae)
        browser.swipe("#map", (0.5, 0.5), (0.5, 0.7), (0.2, 0.8))
        assert (shown_point(browser, vae) != before).any()
        browser.swipe("#pad", (0.2, 0.5), (0.5, 0.5), (0.8, 0.5))
        drawn = np.array(browser.value("minivae.drawing.pixels()")).reshape(7, 9)
        assert (drawn[3, 2:7] == 1).all()
        quiet(browser, path)
    finally:
        browser.close()


def test_the_label_that_the_model_is_told(browser, tmp_path):
    vae = VAE(63, hidden=(9, 5), latent=3, condition=4)
    vae.theta[...] *= 3
    rng, shown = np.random.default_rng(0), set()
    path = opened(browser, tmp_path, vae, made_up((7, 9)))
    x, eps = rng.random(63), rng.standard_normal((2, 3))
    for code in (3, 0, 2):
        browser.value(
            f"(() => {{ const told = document.getElementById('told'); told.selectedIndex = {code};"
            "told.dispatchEvent(new Event('change')); return 0; })()"
        )
        compare(browser, vae.given(code), x, eps)
        shown.add(browser.value("document.getElementById('nll').textContent"))
    assert len(shown) == 3  # the drawing's loss follows
    quiet(browser, path)
