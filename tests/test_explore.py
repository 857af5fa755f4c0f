"""The explorer's page without a browser: what is in it, its size, what it refuses."""

import base64
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from minivae.cli import main
from minivae.data import Dataset
from minivae.errors import ArgumentError
from minivae.looking.explore.page import LIMIT, explore_page
from minivae.looking.latent import by_use, main_plane
from minivae.noise import generator
from minivae.runs import checkpoint
from minivae.vae import VAE


def made_up(shape, count=60, labels=None):
    images = generator(3, "test images").random((count, shape[0] * shape[1]), dtype=np.float32)
    return Dataset("made up", images, images, labels, labels, shape)


def facts_of(page):
    return json.loads(
        re.search(r'<script type="application/json" id="facts">(.*?)</script>', page)[1]
    )


def blob(page, name, dtype):
    text = re.search(rf'<script type="text/plain" id="{name}">(.*?)</script>', page)[1]
    return np.frombuffer(base64.b64decode(text), dtype)


def test_the_page_holds_everything_and_asks_for_nothing():
    vae = VAE()
    page = explore_page(vae, made_up((28, 28)), "a run")
    assert len(page.encode()) < 3_000_000
    assert "{{" not in page
    assert set(re.findall(r"""(?:src|href)=["']([^"'#]*)""", page)) == {"", "data:,"}
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|WebSocket)\s*\(", page)
    assert "default-src 'none'" in page
    np.testing.assert_array_equal(blob(page, "weights", "<f4"), vae.theta)


def test_less_exact_where_the_limit_asks_for_it():
    vae = VAE(hidden=(401, 201))
    page = explore_page(vae, made_up((28, 28)), "a run")
    assert len(page.encode()) < 3_000_000
    assert facts_of(page)["storage"] == "int20"
    raw, at = blob(page, "weights", np.uint8), 0
    for name, view in vae.params.items():
        if name.endswith("bias"):
            np.testing.assert_array_equal(raw[at : at + 4 * view.size].view("<f4"), view)
            at += 4 * view.size
            continue
        rows = len(view)
        scale = raw[at : at + 4 * rows].view("<f4").astype(np.float64)
        upper = raw[at + 4 * rows : at + 4 * rows + 2 * view.size].view("<i2").astype(int)
        at += 4 * rows + 2 * view.size
        bytes_ = raw[at : at + (view.size + 1) // 2].astype(int)
        at += len(bytes_)
        lower = np.stack([bytes_ % 16, bytes_ // 16], axis=1).ravel()[: view.size]
        weight = (16 * upper + lower).reshape(view.shape) * scale[:, None]
        assert (abs(weight - view) <= 0.5001 * scale[:, None]).all()
        np.testing.assert_allclose(scale, abs(view).max(axis=1) / (2**19 - 1), rtol=1e-6)
    assert at == len(raw)
    assert re.search(r"μ differs from the model's by at most \de-0\d, a pixel by \de-0\d", page)


def test_a_model_too_large_is_refused():
    with pytest.raises(ArgumentError, match=r"3 MB .*1,\d{3},\d{3}.*--hidden"):
        explore_page(VAE(hidden=(800,)), made_up((28, 28)), "a run")
    assert LIMIT == 3_000_000


def test_images_of_another_size_are_refused():
    with pytest.raises(ArgumentError, match=r"784 pixels.*63.*--data"):
        explore_page(VAE(hidden=(4,)), made_up((7, 9)), "a run")


def test_weights_that_are_no_numbers_are_refused():
    vae = VAE(63, hidden=(4,), latent=2)
    vae.theta[5] = np.nan
    with pytest.raises(ArgumentError, match="no finite numbers"):
        explore_page(vae, made_up((7, 9)), "a run")


def test_few_images_many_labels_collapsed_latents():
    labels = np.array([7, -(2**40), 2**40])
    vae = VAE(63, hidden=(4,), latent=3)
    vae.theta[...] = 0
    facts = facts_of(explore_page(vae, made_up((7, 9), 3, labels), "a run"))
    assert sorted(facts["picture_labels"]) == sorted(labels.tolist())
    assert facts["dot_labels"] == labels.tolist()  # one dot an image
    assert facts["variance"] == [0, 0, 0]
    assert facts["reach"] == 1


def test_threshold_cuts_the_test_images():
    data = made_up((7, 9))
    vae = VAE(63, hidden=(4,), latent=3)
    pixels = blob(explore_page(vae, data, "a run", "threshold"), "pictures", np.uint8)
    assert set(pixels) == {0, 255}
    assert len(set(blob(explore_page(vae, data, "a run", "sampled"), "pictures", np.uint8))) > 100


def test_two_dimensions_are_shown_as_they_are():
    """As in manifold.png: across is z[0], up is z[1]."""
    page = explore_page(VAE(63, hidden=(4,), latent=2), made_up((7, 9)), "a run")
    assert facts_of(page)["directions"] == [[1, 0], [0, 1]]
    assert facts_of(page)["centre"] == [0, 0]
    assert "Across: z[0]; up: z[1]" in page


def test_main_plane_of_a_known_cloud():
    rng = generator(1, "cloud")
    points = rng.standard_normal((4000, 3)) * [1, 5, 2] + [10, 0, 0]
    plane = main_plane(points)
    np.testing.assert_allclose(plane.directions, [[0, 1, 0], [0, 0, 1]], atol=0.05)
    np.testing.assert_allclose(plane.shares, [25 / 30, 4 / 30], atol=0.02)
    np.testing.assert_allclose(plane.of(points).mean(axis=0), 0, atol=1e-12)
    order, variance = by_use(points)
    assert order.tolist() == [1, 2, 0]
    np.testing.assert_allclose(variance, [1, 25, 4], rtol=0.1)


@pytest.fixture
def run(tmp_path):
    """A run on data of its own; returns its folder."""
    data = made_up((7, 9), labels=np.arange(60) % 4)
    np.savez(
        tmp_path / "mine.npz",
        x_train=data.train.reshape(-1, 7, 9),
        x_test=data.test.reshape(-1, 7, 9),
    )
    arguments = ["--epochs", "1", "--hidden", "8", "--latent", "2", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(main, ["train", "--data", str(tmp_path / "mine.npz"), *arguments])
    assert result.exit_code == 0, result.output
    return tmp_path / "run"


def call(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_the_command_writes_the_page(run, tmp_path):
    data = tmp_path / "mine.npz"
    result = call("explore", run, "--data", data, "--out", tmp_path / "deep" / "page.html")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "deep" / "page.html").read_text("utf-8")
    assert facts_of(page)["image_shape"] == [7, 9]
    np.testing.assert_array_equal(blob(page, "weights", "<f4"), checkpoint.load(run).theta)


@pytest.mark.parametrize("command", ["explore"])
def test_bad_input_gets_one_line_and_leaves_nothing(run, tmp_path, command):
    before, data = sorted(tmp_path.iterdir()), ["--data", tmp_path / "mine.npz"]
    (tmp_path / "file").write_text("no folder")
    other = tmp_path / "other.npz"
    np.savez(other, numbers=np.arange(3))
    for arguments, words in (
        ([tmp_path / "none"], "does not exist"),
        ([other], "is not a minivae checkpoint"),
        ([run, *data, "--out", tmp_path / "file" / "page.html"], "cannot be written"),
        ([run, "--data", "mnist"], "the model takes 63"),
    ):
        result = call(command, *arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")
        assert words in result.stderr
        assert result.stderr.count("\n") == 1
        assert result.stdout == ""
    assert sorted(tmp_path.iterdir()) == sorted([*before, other, tmp_path / "file"])


def test_a_model_that_is_told_labels_has_a_switch():
    vae, labels = VAE(63, hidden=(4,), latent=3, condition=(2, 5)), np.array([2, 5] * 30)
    page = explore_page(vae, made_up((7, 9), labels=labels), "a run")
    assert facts_of(page)["labels"] == [2, 5]
    assert '<select id="told"><option>2</option><option>5</option></select>' in page
    np.testing.assert_array_equal(blob(page, "weights", "<f4"), vae.theta)
    with pytest.raises(ArgumentError, match="no labels"):
        explore_page(vae, made_up((7, 9)), "a run")
