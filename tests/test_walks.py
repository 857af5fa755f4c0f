"""traverse, manifold and snapshots: what is decoded, how it is laid out, what survives."""

import shutil
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib import image
from PIL import Image

from minivae.cli import main
from minivae.looking import plots
from minivae.looking.plots.pictures import sheet
from minivae.noise import generator
from minivae.runs import checkpoint


def call(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """An .npz of 80 images of 6x5 pixels that come in two kinds."""
    path = tmp_path_factory.mktemp("data") / "mine.npz"
    rng = generator(5, "images")
    kinds = rng.integers(0, 2, 80)
    images = np.zeros((80, 6, 5), np.float32)
    images[kinds == 0, :3] = rng.random((int((kinds == 0).sum()), 3, 5))
    images[kinds == 1, 3:] = rng.random((int((kinds == 1).sum()), 3, 5))
    np.savez(path, x_train=images, x_test=images[:40], y_train=kinds, y_test=kinds[:40])
    return path


def trained(data, out, *more, epochs=3, latent=2):
    result = call(
        "train", "--data", data, "--hidden", 8, "--latent", latent, "--batch-size", 20,
        "--threads", 1, "--lr", 0.01, "--epochs", epochs, "--out", out, *more,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return trained(data, tmp_path_factory.mktemp("run") / "run", "--snapshots")


def test_sheet_places_images_row_after_row():
    images = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(
        sheet(images, (1, 2), columns=2, gap=1),
        [[1] * 7, [1, 0, 1, 1, 2, 3, 1], [1] * 7, [1, 4, 5, 1, 1, 1, 1], [1] * 7],
    )


def test_interpolation_stands_between_the_images_themselves(run, data, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "save_grid", lambda *arguments: shown.append(arguments))
    result = call("interpolate", run, "--data", data, "-n", 4, "--pairs", 3, "--out", "x.png")
    assert result.exit_code == 0, result.output
    ((_, images, shape, columns),) = shown
    assert (images.shape, shape, columns) == ((18, 30), (6, 5), 6)
    test = np.load(data)["x_test"].reshape(40, 30)
    vae = checkpoint.load(run)
    for first, *between, last in images.reshape(3, 6, 30):
        assert min(abs(test - first).max(axis=1)) == min(abs(test - last).max(axis=1)) == 0
        mu, _ = vae.encode(np.stack([first, last]))
        np.testing.assert_allclose(between[0], vae.decode(mu[:1])[0], atol=1e-6)
        np.testing.assert_allclose(between[-1], vae.decode(mu[1:])[0], atol=1e-6)


def test_traverse_moves_one_active_unit_at_a_time(run, data, tmp_path, monkeypatch):
    vae = checkpoint.load(run)
    vae.params["encoder.2.weight"][0] = 0  # mu of unit 0 no longer depends on the image
    vae.params["encoder.2.weight"][1] *= 20
    checkpoint.save(tmp_path / "half.npz", vae)
    seen = {}
    draw = plots.save_traverse

    def spy(path, images, shape, values, names):
        seen.update(images=images, shape=shape, values=values, names=names)
        draw(path, images, shape, values, names)

    monkeypatch.setattr(plots, "save_traverse", spy)
    picture = tmp_path / "traverse.png"
    arguments = ["--data", data, "--steps", 5, "--out", picture]
    result = call("traverse", tmp_path / "half.npz", *arguments)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("1 of 2 units")
    z = np.array([[0, v] for v in (-3, -1.5, 0, 1.5, 3)], np.float32)
    np.testing.assert_array_equal(seen["images"], vae.decode(z)[None])
    assert seen["values"] == [-3, -1.5, 0, 1.5, 3]
    assert seen["shape"] == (6, 5)
    assert image.imread(picture).ndim == 3
    with np.load(data) as arrays:
        mu = vae.encode(arrays["x_test"].reshape(40, 30))[0]
    assert seen["names"] == [f"z[1]  {mu[:, 1].var():.2f}"]
    assert call("traverse", tmp_path / "half.npz", *arguments, "--all").exit_code == 0
    assert seen["images"].shape == (2, 5, 30)


def test_a_collapsed_model_has_nothing_to_traverse(run, data, tmp_path):
    vae = checkpoint.load(run)
    vae.params["encoder.2.weight"][...] = 0
    checkpoint.save(tmp_path / "collapsed.npz", vae)
    picture = tmp_path / "traverse.png"
    result = call("traverse", tmp_path / "collapsed.npz", "--data", data, "--out", picture)
    assert result.exit_code == 1
    assert "no unit" in result.stderr
    assert "--all" in result.stderr
    assert not picture.exists()


def test_manifold_takes_quantiles_of_the_prior(run, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(plots, "save_manifold", lambda *arguments: seen.update(all=arguments))
    assert call("manifold", run, "-n", 4, "--out", tmp_path / "manifold.png").exit_code == 0
    _, images, shape, values = seen["all"]
    # The normal distribution's 1/8, 3/8, 5/8 and 7/8 quantiles, from a table.
    np.testing.assert_allclose(values, [-1.15035, -0.31864, 0.31864, 1.15035], atol=1e-5)
    assert shape == (6, 5)
    vae = checkpoint.load(run)
    one = vae.decode(np.array([[values[3], values[0]]], np.float32))[0]
    np.testing.assert_allclose(images[0, 3], one, rtol=1e-6)  # z[0] across, z[1] down the rows


def test_the_picture_of_the_plane_has_z1_upwards(tmp_path):
    images = np.full((3, 3, 4), 0.4, np.float32)
    images[2, 0] = 0.8  # the largest z[1], the smallest z[0]
    plots.save_manifold(tmp_path / "m.png", images, (2, 2), [-1.0, 0.0, 1.0])
    grey = image.imread(tmp_path / "m.png")[..., 0]
    rows, columns = (
        np.flatnonzero((abs(grey - 0.4) < 0.01).mean(axis=axis) > 0.2) for axis in (1, 0)
    )
    corner = abs(grey - 0.8) < 0.01
    for row, column, found in ((0, 0, True), (-1, 0, False), (0, -1, False), (-1, -1, False)):
        inwards = [3 if side == 0 else -3 for side in (row, column)]
        assert corner[rows[row] + inwards[0], columns[column] + inwards[1]] == found


@pytest.mark.parametrize(("latent", "words"), [(1, "1 latent dimension,"), (3, "3 latent dim")])
def test_no_plane_without_two_dimensions(data, tmp_path, latent, words):
    run = trained(data, tmp_path / "run", epochs=1, latent=latent)
    result = call("manifold", run, "--out", tmp_path / "manifold.png")
    assert result.exit_code == 1
    assert words in result.stderr
    assert "--latent 2" in result.stderr
    assert not (tmp_path / "manifold.png").exists()


@pytest.mark.parametrize("command", ["traverse", "manifold"])
def test_bad_input_gets_one_line_and_leaves_nothing(run, tmp_path, command):
    (tmp_path / "file").write_text("no folder")
    np.savez(tmp_path / "other.npz", numbers=np.arange(3))
    before = sorted(tmp_path.rglob("*"))
    for arguments, words in (
        ([tmp_path / "none"], "does not exist"),
        ([tmp_path / "other.npz"], "is not a minivae checkpoint"),
        ([run, "--out", tmp_path / "file" / "a.png"], "cannot be written"),
    ):
        result = call(command, *arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: ")
        assert words in result.stderr
        assert result.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def frames_of(run):
    with np.load(run / "snapshots.npz") as arrays:
        return arrays["epochs"].tolist(), arrays["frames"]


def test_snapshots_show_the_same_noise_after_every_epoch(run):
    epochs, frames = frames_of(run)
    assert epochs == [0, 1, 2, 3]
    last = np.round(255 * checkpoint.load(run).sample(64))
    np.testing.assert_array_equal(frames[-1], last)
    assert all((a != b).any() for a, b in pairwise(frames))
    with Image.open(run / "snapshots.gif") as gif:
        assert gif.format == "GIF"
        assert gif.info["loop"] == 0
        pictures = []
        for i in range(gif.n_frames):
            gif.seek(i)
            pictures.append(np.asarray(gif.convert("L"), np.float32))
    assert len(pictures) >= 4
    assert all((a != b).any() for a, b in pairwise(pictures[:4]))
    # The last frame's first image, found in the animation: 24 dots of title, a gap of 2 pixels.
    scale = (pictures[3].shape[0] - 24) / (8 * (6 + 2) + 2)
    rows, columns = (
        (24 + scale * (2.5 + np.arange(6))).astype(int),
        (scale * (2.5 + np.arange(5))).astype(int),
    )
    shown = pictures[3][np.ix_(rows, columns)]
    assert abs(shown - frames[-1][0].reshape(6, 5)).max() <= 8  # a GIF has 256 colours in all


def test_a_resumed_run_keeps_its_frames(data, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    through = trained(data, tmp_path / "through", "--snapshots", epochs=5)
    resumed = trained(data, tmp_path / "run", "--resume", epochs=4)
    assert frames_of(resumed)[0] == [0, 1, 2, 3, 4]
    # A run killed between a frame and its checkpoint has a frame too many: taken again.
    shutil.copy(through / "snapshots.npz", resumed)
    trained(data, resumed, "--resume", epochs=5)
    for mine, theirs in zip(frames_of(resumed), frames_of(through), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_lost_and_broken_snapshots_are_said(data, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "snapshots.npz").write_bytes(b"broken")
    arguments = ["train", "--resume", "--out", tmp_path / "run", "--data", data, "--epochs", 4]
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    assert "earlier frames cannot be read" in result.stderr
    assert "no frame of 3 of the epochs before" in result.stderr
    assert frames_of(tmp_path / "run")[0] == [3, 4]


def test_a_run_that_replaces_another_drops_its_snapshots(data, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    trained(data, tmp_path / "run", "--overwrite", epochs=1)
    assert not list((tmp_path / "run").glob("snapshots*"))
