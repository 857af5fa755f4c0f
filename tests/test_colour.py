"""Pictures in colour: how they are read, which axis is colour, PyTorch's values, every command."""

import base64
import importlib.util
import io
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib import image
from PIL import Image

from minivae import VAE, load_data, train
from minivae.cli import main
from minivae.data import Dataset
from minivae.errors import ArgumentError, DataError
from minivae.gradcheck import assert_gradients
from minivae.looking.plots.pictures import GAP, sheet
from minivae.looking.trace import trace_page, trace_step
from minivae.runs import checkpoint

with np.load(Path(__file__).parent / "golden" / "colour.npz") as file:
    GOLDEN = dict(file)
RGB = np.random.default_rng(0).integers(0, 256, (40, 4, 6, 3), dtype=np.uint8)
FIRST = np.moveaxis(RGB, -1, 1)
HELD = "no test part: 4 of 40 images held out for testing (seed 0)"


def whole(data):
    """All rows, in the order of the source."""
    return np.concatenate([data.train, data.test])[np.argsort(np.concatenate(data.places))]


# --- arrays --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["array", "file"])
@pytest.mark.parametrize(
    ("x", "layout"), [(RGB, "(N, rows, columns, 3)"), (FIRST, "(N, 3, rows, columns)")]
)
def test_colour_is_first_or_last_and_said(tmp_path, x, layout, way):
    np.save(tmp_path / "a.npy", x)
    said = []
    data = load_data(x if way == "array" else tmp_path / "a.npy", notice=said.append)
    assert data.image_shape == (4, 6, 3) and data.train.dtype == np.uint8
    np.testing.assert_array_equal(whole(data), RGB.reshape(40, -1))
    where = "array" if way == "array" else str(tmp_path / "a.npy")
    assert said == [
        f"{where}: the training part: 40 images of 4x6 in colour, taken as {layout}",
        HELD,
    ]


def test_both_parts_may_have_layouts_of_their_own(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=RGB[:30], x_test=FIRST[30:])
    data = load_data(tmp_path / "a.npz")
    np.testing.assert_array_equal(data.test, RGB[30:].reshape(10, -1))


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((9, 3, 5, 3), "3x5", (3, 5, 3)),
        ((9, 3, 5, 3), "5x3", (5, 3, 3)),
        ((9, 1, 5, 3), "5x3", (5, 3)),
        ((9, 1, 5, 3), "1x5", (1, 5, 3)),
        ((9, 5, 3, 1), None, (5, 3)),
        ((9, 1, 3, 5), None, (3, 5)),
        ((9, 1, 5, 1), None, (1, 5)),
    ],
)
def test_where_two_axes_could_be_colour_the_size_says(shape, size, expected):
    x = np.random.default_rng(1).random(shape, np.float32)
    data = load_data(x, image_size=size)
    assert data.image_shape == expected
    last = shape[-1] == expected[-1] if len(expected) == 3 else shape[-1] == 1
    moved = x if last and expected != (5, 3, 3) else np.moveaxis(x, 1, -1)
    np.testing.assert_array_equal(whole(data), moved.reshape(9, -1))


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (np.zeros((9, 3, 5, 3)), {}, "two .* colour: --image-size 3x5 says the last, 5x3"),
        (np.zeros((9, 1, 5, 3)), {}, "two axes could be colour"),
        (np.zeros((9, 3, 5, 3)), {"image_size": "4x4"}, "two axes could be colour"),
        (np.zeros((9, 5, 5, 2)), {}, r"neither 1 channel .grey. nor 3"),
        (np.zeros((9, 5, 5, 4)), {}, r"alpha, by x\[..., :3\]"),
        (np.zeros((9, 5, 5, 3)), {"image_size": "4x5"}, "5x5x3 pixels where 4x5 are expected"),
        (np.zeros((9, 60)), {"image_size": "4x5"}, r"reshape them to \(N, 4, 5, 3\), or .*3, 4, 5"),
        (np.zeros((9, 4, 5)), {"colour": True}, "has no colours"),
        ({"a": [1.0, 2.0]}, {"colour": True}, "colour are for arrays"),
        (np.full((9, 4, 5, 3), 7.0), {}, r"pixels must lie in \[0, 1\]"),
    ],
)  # fmt: skip
def test_arrays_that_are_refused(x, options, message):
    with pytest.raises((DataError, ArgumentError), match=message) as error:
        load_data(x, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("grey", ["x_train", "x_test"])
def test_grey_and_colour_are_not_mixed(tmp_path, grey):
    np.savez(tmp_path / "a.npz", **({"x_train": RGB, "x_test": RGB} | {grey: RGB[..., 0]}))
    with pytest.raises(DataError, match=r"test part has images of 4x6(x3)?( pixels where|, the)"):
        load_data(tmp_path / "a.npz")


def test_a_large_file_is_mapped_where_its_colours_are_last(tmp_path, monkeypatch):
    monkeypatch.setattr("minivae.data.sources.MAP_ABOVE", 100)
    np.save(tmp_path / "a.npy", RGB)
    data = load_data(tmp_path / "a.npy")
    np.testing.assert_array_equal(data.train[:], RGB.reshape(40, -1)[data.places[0]])
    np.save(tmp_path / "b.npy", np.ascontiguousarray(FIRST))
    with pytest.raises(DataError, match=r"too large to be turned: .* np.moveaxis\(x, 1, -1\)"):
        load_data(tmp_path / "b.npy")


def test_a_data_set_of_ones_own():
    rows = RGB.reshape(40, -1)
    data = Dataset("own", rows, rows, None, None, (4, 6, 3))
    assert "4x6x3" in repr(data)
    for shape in ((4, 6), (4, 9, 2), (4, 18, 1), (2, 2, 6, 3)):
        with pytest.raises(DataError, match=r"give \(rows, columns\), or \(rows, columns, 3\)"):
            Dataset("own", rows, rows, None, None, shape)


def test_numbers_of_any_range_share_one_scale():
    data = load_data(RGB * 3.0 - 90, scale="standard")
    both = whole(data)
    assert abs(both.mean()) < 1e-5 and both.std() == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(data.units.cells(both), RGB.reshape(40, -1) * 3.0 - 90, atol=1e-4)


# --- folders -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos").mkdir()
    for i, picture in enumerate(RGB):
        Image.fromarray(picture).save(tmp_path / "photos" / f"{i:02}.png")
    return tmp_path / "photos"


def test_a_folder_in_colour(folder):
    said = []
    data = load_data(folder, colour=True, notice=said.append)
    assert data.image_shape == (4, 6, 3) and said == [HELD]
    np.testing.assert_array_equal(whole(data), RGB.reshape(40, -1))
    with pytest.raises(DataError, match=r"00.png is in colour: keep it with --colour"):
        load_data(folder)


def test_a_folders_pictures_may_have_three_rows(tmp_path):
    for i in range(2):
        Image.fromarray(RGB[i, :3]).save(tmp_path / f"{i}.png")
    assert load_data(tmp_path, colour=True).image_shape == (3, 6, 3)


def test_colours_are_scaled_and_turned(tmp_path):
    plain = np.full((8, 4, 3), (200, 100, 30), np.uint8)
    plain[:4] = 10, 60, 250
    turned = Image.fromarray(plain)
    exif = turned.getexif()
    exif[0x0112] = 8  # to be turned by a quarter, against the clock
    for name, how in (("0.png", {}), ("1.png", {"exif": exif})):
        turned.save(tmp_path / name, **how)
    a, b = whole(load_data(tmp_path, colour=True, image_size="2x2")).reshape(2, 2, 2, 3)
    assert abs(a.astype(int) - [[[10, 60, 250]] * 2, [[200, 100, 30]] * 2]).max() <= 45
    np.testing.assert_array_equal(np.rot90(a), b)


def test_grey_and_transparent_pictures_are_counted(folder):
    Image.fromarray(RGB[0, ..., 0]).save(folder / "00.png")
    Image.fromarray(RGB[1, ..., 0].astype(np.uint16) * 256 + 77).save(folder / "01.png")
    clear = np.dstack([RGB[2], np.full((4, 6), 255, np.uint8)])
    clear[0, 0, 3], clear[1, 1, 3] = 0, 51
    Image.fromarray(clear).save(folder / "02.png")
    said = []
    data = load_data(folder, colour=True, notice=said.append)
    assert said[:2] == [
        "2 of 40 pictures are grey: their three colours are equal",
        "1 of 40 pictures are transparent in part, which is laid over black",
    ]
    x = whole(data).reshape(RGB.shape)
    for i in (0, 1):
        np.testing.assert_array_equal(x[i], np.repeat(RGB[i, ..., :1], 3, axis=2))
    assert x[2, 0, 0].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(x[2, 1, 1], (RGB[2, 1, 1].astype(int) * 51 + 127) // 255)
    np.testing.assert_array_equal(x[2, 2:], RGB[2, 2:])


def test_inks_and_other_sizes_are_refused(folder):
    Image.fromarray(RGB[0]).convert("CMYK").save(folder / "50.jpg")
    with pytest.raises(DataError, match=r"50.jpg is CMYK, a printer's inks: convert"):
        load_data(folder, colour=True)
    (folder / "50.jpg").unlink()
    Image.fromarray(RGB[0, :3]).save(folder / "50.png")
    with pytest.raises(DataError, match=r"50.png is 3x6, the pictures before it 4x6"):
        load_data(folder, colour=True)


# --- models --------------------------------------------------------------------------------------


def golden(kind):
    """PyTorch's model and batch; the pictures come in by `load_data`, with the channels first."""
    vae = VAE(144, "c4,6", 2, likelihood=kind, image_shape=(8, 6, 3), dtype="float64")
    for name, view in vae.params.items():
        view[...] = GOLDEN[f"{kind}: {name}"]
    x = load_data(GOLDEN["x"].astype(np.float32)).train
    assert x.shape[1] == 144
    return vae, np.moveaxis(GOLDEN["x"], 1, -1).reshape(5, -1)


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian-decoded"])
def test_a_step_of_convolutions_in_colour_is_pytorchs(kind):
    vae, x = golden(kind)
    terms = vae.step(x, GOLDEN["eps"])
    assert terms.nll == pytest.approx(GOLDEN[f"{kind}: nll"], rel=1e-12)
    assert terms.kl == pytest.approx(GOLDEN[f"{kind}: kl"], rel=1e-12)
    for name, grad in vae.grads.items():
        np.testing.assert_allclose(grad, GOLDEN[f"{kind}: d{name}"], rtol=1e-10, atol=1e-12)
    mu, logvar = vae.encode(x)
    mean = vae.decode(mu + np.exp(logvar / 2) * GOLDEN["eps"]).reshape(5, 8, 6, 3)
    theirs = np.moveaxis(GOLDEN[f"{kind}: mean"], 1, -1)
    np.testing.assert_allclose(mean, theirs, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("kind", "hidden"),
    [
        ("gaussian-decoded", "c2,4"),  # two numbers for each of a pixel's three
        pytest.param("bernoulli", "c4,r3,5", marks=pytest.mark.slow),
        pytest.param("discretised-logistic", "c4,r3,5", marks=pytest.mark.slow),
    ],
)
def test_derivatives_of_convolutions_in_colour(kind, hidden):
    vae = VAE(48, hidden, 2, dtype="float64", image_shape=(4, 4, 3), likelihood=kind)
    rng = np.random.default_rng(0)
    x = np.rint(255 * rng.random((2, 48))) / 255
    assert_gradients(vae, x, rng.standard_normal((2, 2)))


def test_windows_are_the_whole():
    vae, x = golden("bernoulli")
    whole_terms = vae.step(x, GOLDEN["eps"])
    kept = vae.grad.copy()
    parts = [slice(0, 2), slice(2, 3), slice(3, 5)]
    nll = kl = 0.0
    vae.grad[...] = np.nan
    for rows in parts:
        window = vae.window(rows)
        more = window.bound.step(window, x[rows], GOLDEN["eps"][rows], 1 / 5, 1.0)
        nll, kl = nll + more[0], kl + more[1]
    vae.gradients()
    assert (nll, kl) == pytest.approx((whole_terms.nll, whole_terms.kl), rel=1e-12)
    np.testing.assert_allclose(vae.grad, kept, rtol=1e-10, atol=1e-13)


def test_an_array_trains_a_model_of_the_other_layout():
    rows = [
        list(train(VAE(72, "c2,4", 2, image_shape=(4, 6, 3)), x, 2, threads=1))
        for x in (RGB, FIRST)
    ]
    assert [record[:6] for record in rows[0]] == [record[:6] for record in rows[1]]


def test_a_spec_that_does_not_fit_is_named():
    with pytest.raises(ArgumentError, match=r"convolutions need the shape .* 72 pixels"):
        VAE(72, "c2,4", 2)
    with pytest.raises(ArgumentError, match=r"image_shape \(4, 6\) is none of 72 pixels"):
        VAE(72, "c2,4", 2, image_shape=(4, 6))
    with pytest.raises(ArgumentError, match=r"kernel of 4x4 does not fit into pictures of 1x1"):
        VAE(72, "c2,c2,c2,4", 2, image_shape=(4, 6, 3))


# --- pictures and commands -----------------------------------------------------------------------


def test_a_sheet_has_each_picture_in_its_colours():
    made = sheet(RGB[:3].reshape(3, -1) / 200 - 0.1, (4, 6, 3), 2)
    assert made.shape == (2 * (4 + GAP) + GAP, 2 * (6 + GAP) + GAP, 3)
    place = made[GAP : GAP + 4, 2 * GAP + 6 : 2 * GAP + 12]
    np.testing.assert_allclose(place, np.clip(RGB[1] / 200 - 0.1, 0, 1), atol=1e-6)
    assert (made[:GAP] == 1).all() and (made[-4:, -6:] == 1).all()
    with pytest.raises(ArgumentError, match="1 channel or 3, not 2"):
        sheet(np.zeros((1, 24)), (3, 4, 2), 1)


def command(*args):
    return CliRunner().invoke(main, [*map(str, args)])


@pytest.fixture(scope="module", params=["8", pytest.param("c4,8", marks=pytest.mark.slow)])
def run(tmp_path_factory, request):
    """A run on pictures that are red, or blue; of widths, or of convolutions."""
    folder = tmp_path_factory.mktemp("colour")
    photos = folder / "photos"
    photos.mkdir()
    rng = np.random.default_rng(2)
    for i in range(60):
        picture = rng.integers(0, 40, (4, 6, 3), dtype=np.uint8)
        picture[..., 2 * (i % 2)] += 200
        Image.fromarray(picture).save(photos / f"{i:02}.png")
    epochs = 15 if request.param == "8" else 60
    sizes = ("--hidden", request.param, "--latent", 2, "--epochs", epochs, "--batch-size", 6)
    where = ("--data", photos, "--out", folder / "run", "--threads", 1, "--lr", "1e-2")
    done = command("train", "--colour", *sizes, *where, "--snapshots")
    assert done.exit_code == 0, done.output
    return folder / "run"


def colours(path):
    """The pixels of a picture file that are neither white nor black nor grey."""
    shown = (255 * image.imread(path)[..., :3]).round().astype(int).reshape(-1, 3)
    return shown[np.ptp(shown, axis=1) > 60]


def red_and_blue(path):
    """Whether the colours of a picture are red and blue, and not green."""
    red, green, blue = colours(path).T
    return (
        ((red > 100) & (blue < 100)).any()
        and ((blue > 100) & (red < 100)).any()
        and (green < 130).all()
    )


def test_a_run_in_colour_is_seen_in_colour(run, tmp_path):
    saved = checkpoint.read(run)
    assert saved.image_shape == (4, 6, 3) == saved.vae.image_shape
    for name in ("samples.png", "reconstructions.png"):
        assert red_and_blue(run / name), name
    with Image.open(run / "snapshots.gif") as film:
        film.seek(film.n_frames - 1)
        film.convert("RGB").save(tmp_path / "last.png")
    assert red_and_blue(tmp_path / "last.png")
    for words in (
        ["sample"],
        ["reconstruct"],
        ["interpolate"],
        ["manifold"],
        ["traverse", "--all"],
    ):
        out = tmp_path / f"{words[0]}.png"
        done = command(*words, run, "--out", out)
        assert done.exit_code == 0, done.output
        assert red_and_blue(out), words
    x = load_data(run.parent / "photos", colour=True).pixels(rows=slice(1))
    command("reconstruct", run, "-n", 1, "--out", tmp_path / "one.png")
    shown = image.imread(tmp_path / "one.png")[..., :3]
    scale = shown.shape[1] // (6 + 2 * GAP)
    first = shown[::scale, ::scale][GAP : GAP + 4, GAP : GAP + 6]
    assert abs(first - x.reshape(4, 6, 3)).max() < 0.004  # the very picture


def test_commands_that_say_numbers(run, tmp_path):
    done = command("evaluate", run)
    assert done.exit_code == 0 and "test images of photos, colour pixels" in done.output
    assert "[4, 6, 3]" in command("info", run).output
    assert command("compare", run, run).exit_code == command("check", run).exit_code == 0
    assert command("encode", run, "--out", tmp_path / "e.npz").exit_code == 0
    for words in (["similar", "--row", 3], ["combine", "--plus", 1, "--minus", 2]):
        out = tmp_path / f"{words[0]}.png"
        done = command(words[0], run, *words[1:], "--data", run.parent / "photos", "--out", out)
        assert done.exit_code == 0, done.output
        assert len(colours(out))
    scored = ("--data", run.parent / "photos", "--out", tmp_path / "s.csv")
    done = command("anomalies", run, *scored)
    assert "54 rows of the run's own data" in done.output  # found again, in colour


def test_samples_as_an_array_are_pictures_again(run, tmp_path):
    command("sample", run, "-n", 12, "--out", tmp_path / "s.npz")
    data = load_data(tmp_path / "s.npz")
    assert data.image_shape == (4, 6, 3)
    np.testing.assert_array_equal(whole(data), checkpoint.read(run).vae.sample(12))


def test_a_run_in_colour_takes_no_grey(run, tmp_path):
    np.save(tmp_path / "grey.npy", RGB[..., 0])
    np.save(tmp_path / "rows.npy", RGB.reshape(40, -1))
    np.save(tmp_path / "colour.npy", FIRST)
    for name, message in {
        "grey.npy": "has no colours",
        "rows.npy": "has no colours",
        "colour.npy": "is not what the model was trained on",
    }.items():
        done = command("evaluate", run, "--data", tmp_path / name)
        assert message in done.output and (done.exit_code == 0) == (name == "colour.npy")
    done = command("similar", run, "--row", 1, "--data", tmp_path / "rows.npy")
    assert done.exit_code == 1 and "reshape them to (N, 4, 6, 3)" in done.output


def test_a_run_in_colour_goes_on(run):
    epochs = checkpoint.read(run).config["training"]["epoch"] + 1
    done = command("train", "--resume", "--out", run, "--epochs", epochs, "--threads", 1)
    assert done.exit_code == 0 and "resuming" in done.output, done.output


def test_its_exports_are_its_numbers(run, tmp_path):
    vae = checkpoint.read(run).vae
    x = np.random.default_rng(3).random((3, 72)).astype(np.float32)
    assert command("export", run, "--to", "numpy", "--out", tmp_path).exit_code == 0
    spec = importlib.util.spec_from_file_location("numpy_vae", tmp_path / "numpy_vae.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    mu, _ = module.encode(x)
    np.testing.assert_allclose(mu, vae.encode(x)[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(module.decode(mu), vae.reconstruct(x), rtol=1e-4, atol=1e-5)


def test_the_trace_shows_weights_in_colour():
    vae = VAE(72, (5,), 2, image_shape=(4, 6, 3), dtype="float64")
    page = trace_page(trace_step(vae, RGB[:2].reshape(2, -1) / 255), "t", (4, 6, 3))
    shown = re.findall(r'<img alt="([^"]*)" src="data:image/png;base64,([^"]*)"', page)
    alts = [alt for alt, _ in shown]
    assert alts[0] == "the first 2 rows as pictures: each colour from 0 to 1"
    first = image.imread(io.BytesIO(base64.b64decode(shown[0][1])))[..., :3]
    assert abs(first[GAP : GAP + 4, GAP : GAP + 6] - RGB[0] / 255).max() < 0.004
    weight = vae.params["encoder.0.weight"]
    most = abs(weight).max()
    k = alts.index(f"the first 5 rows as pictures: each colour from {-most:.3g} to {most:.3g}, "
                   "all at 0 grey")  # fmt: skip
    picture = image.imread(io.BytesIO(base64.b64decode(shown[k][1])))[..., :3]
    expected = (1 + weight[0].reshape(4, 6, 3) / most) / 2
    assert abs(picture[GAP : GAP + 4, GAP : GAP + 6] - expected).max() < 0.004


def test_figures_in_python():
    from minivae.looking import plots

    vae, data = VAE(72, (5,), 2, image_shape=(4, 6, 3)), load_data(RGB)
    for figure in (plots.samples(vae, 4), plots.reconstructions(vae, data, 4, 2)):
        assert figure.axes[0].images[0].get_array().shape[2] == 3


def test_bits_are_of_a_number(tmp_path):
    np.save(tmp_path / "a.npy", RGB)
    sizes = ("--hidden", 4, "--epochs", 1, "--threads", 1, "--likelihood", "discretised-logistic")
    command("train", "--data", tmp_path / "a.npy", *sizes, "--out", tmp_path / "run")
    assert "bits a number)" in command("evaluate", tmp_path / "run").output
