"""The traced step: it is the engine's, its formulas say what was computed, its checks can fail."""

import base64
import io
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib import image

import minivae
from minivae import formulas
from minivae.cli import main
from minivae.errors import ArgumentError
from minivae.looking.trace import tiny, trace_page, trace_step, trace_text
from minivae.noise import generator
from minivae.runs import checkpoint
from minivae.vae import VAE

ROOT = Path(minivae.__file__).parent.parent


def deeper():
    return VAE(6, hidden=(5, 4), latent=3, beta=0.5, seed=2), generator(1, "x").random((7, 6))


MODELS = {"tiny": tiny, "deeper": deeper}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def test_the_traced_step_is_the_engines(model):
    vae, x = model
    before = vae.theta.copy()
    trace = trace_step(vae, x, seed=3)
    np.testing.assert_array_equal(vae.theta, before)
    other = VAE(vae.pixels, vae.hidden, vae.latent, vae.beta, dtype="float64")
    other.theta[...] = vae.theta
    terms = other.step(x, generator(3, "eps").standard_normal((len(x), vae.latent)))
    assert trace.terms == terms
    for name, gradient in other.grads.items():
        np.testing.assert_array_equal(trace[f"d({name})"].value, gradient)
        np.testing.assert_array_equal(trace[name].value, other.params[name])
    for term in ("loss", "nll", "kl"):
        assert trace[term].value == getattr(terms, term)
    adam = minivae.Adam(other.parameters, other.backend)
    adam.step()
    np.testing.assert_array_equal(trace["theta"].value, other.theta)


def test_every_array_of_the_step_is_there_in_order():
    trace = trace_step(*tiny())
    names = [entry.name for entry in trace.entries]
    assert len(set(names)) == len(names)
    given = ["x", "eps", *(f"{n}.{i}.{p}" for n in ("encoder", "decoder") for i in (0, 2)
                           for p in ("weight", "bias"))]  # fmt: skip
    forward = ["encoder.0.y", "encoder.1.y", "stats", "mu", "logvar", "noise", "z"]
    forward += ["decoder.0.y", "decoder.1.y", "logits", "nll", "dlogits"]
    loss = ["kl", "loss", "dmu_kl", "dlogvar_kl"]
    back = ["d(decoder.1.y)", "d(decoder.0.y)", "dz", "dmu", "dlogvar", "dstats"]
    back += ["d(encoder.1.y)", "d(encoder.0.y)"]
    params = [f"d({n}.{i}.{p})" for n in ("decoder", "encoder") for i in (2, 0)
              for p in ("weight", "bias")]  # fmt: skip
    assert names == [*given, *forward, *loss, *back, *params, "m", "v", "theta"]


def test_each_formula_gives_the_values_beside_it(model):
    """The text of each formula is Python; evaluated on the traced arrays it gives the next one."""
    vae, x = model
    trace = trace_step(vae, x)
    known = {entry.name: entry.value for entry in trace.entries}
    gradient = np.concatenate([known[f"d({name})"].ravel() for name in vae.params])
    words = {
        "B": len(x), "beta": vae.beta, "exp": np.exp, "max": np.maximum, "sum": np.sum,
        "hstack": np.hstack, "sqrt": np.sqrt, "softplus": lambda l: np.log(1 + np.exp(l)),
        "sigmoid": lambda l: 1 / (1 + np.exp(-l)), "grad": gradient,
    }  # fmt: skip
    count = 0
    for entry in trace.entries:
        if not entry.formula:
            continue
        here = words | {"theta": vae.theta.astype(np.float64)}

        def named(match, here=here):
            name = match[0].removesuffix(".T")
            if name in here or name not in known:
                return match[0]
            return f"known[{name!r}]{match[0][len(name) :]}"

        text = re.sub(r"d\([\w.]+\)|[A-Za-z_][\w.]*", named, entry.formula)
        value = eval(text, {"known": known, **here})
        np.testing.assert_allclose(value, entry.value, rtol=1e-9, atol=1e-14, err_msg=entry.name)
        count += 1
    assert count > 25


def test_each_gradient_has_its_numeric_derivative(model):
    trace = trace_step(*model)
    gradients = [entry for entry in trace.entries if entry.part == "backward"]
    for entry in gradients:
        assert len(entry.checks) == (entry.value.size if entry.value.size <= 16 else 3)
        for check in entry.checks:
            assert check.hand == entry.value[check.index]
            # The loss is about 5, so the difference of two is exact to 1e-15 / 2e-5 = 5e-11.
            assert check.numeric == pytest.approx(check.hand, abs=5e-10)
    largest = trace["d(encoder.0.weight)"]
    assert abs(largest.checks[0].hand) == abs(largest.value).max() or largest.value.size <= 16


def test_a_wrong_derivative_shows(monkeypatch):
    right = formulas.reparameterize_backward

    def reparameterize_backward(dz, noise, dmu, dlogvar):
        right(dz, 2 * noise, dmu, dlogvar)  # the half forgotten

    monkeypatch.setattr(formulas, "reparameterize_backward", reparameterize_backward)
    trace = trace_step(*tiny())
    off = {entry.name for entry in trace.entries for check in entry.checks
           if abs(check.hand - check.numeric) > 1e-6}  # fmt: skip
    assert {"dlogvar", "dstats", "d(encoder.1.y)"} <= off
    assert not {"dlogits", "dz", "dmu", "dmu_kl", "dlogvar_kl", "d(decoder.0.y)"} & off
    assert trace.worst > 1e-3


def test_places_are_where_the_source_says():
    for entry in trace_step(*tiny()).entries:
        if not entry.formula:
            continue
        line = (ROOT / entry.place.file).read_text("utf-8").splitlines()[entry.place.line - 1]
        assert f"def {entry.place.function.split('.')[-1]}(" in line
        if entry.caller:
            lines = (ROOT / entry.caller.file).read_text("utf-8").splitlines()
            near = " ".join(lines[entry.caller.line - 1 : entry.caller.line + 1])
            assert re.search(rf"\b{entry.place.function}\(|self\.formula", near)
            assert entry.place.file == "minivae/formulas.py"


def test_text_shows_small_arrays_whole_and_large_ones_by_statistics():
    text = trace_text(trace_step(*tiny()))
    assert "encoder.0.y (2, 2) = x @ encoder.0.weight.T + encoder.0.bias\n" in text
    assert re.search(
        r"\nz \(2, 1\) = mu \+ noise\n    minivae/formulas.py:\d+ reparameterize", text
    )
    assert re.search(r"\n    by hand   [ -]\d\.\d{6}", text)
    vae = VAE(30, hidden=(20,), latent=2)
    trace = trace_step(vae, generator(1, "x").random((3, 30)), checks=4)
    value = trace["x"].value
    line = f"mean {value.mean():.4g}, deviation {value.std():.4g}, smallest {value.min():.4g}"
    assert line in trace_text(trace)
    assert len(trace["d(encoder.0.weight)"].checks) == 4


def test_the_page_links_names_and_escapes_the_title():
    trace = trace_step(*tiny())
    page = trace_page(trace, "<script>alert(1)</script>")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    ids = re.findall(r'id="(e\d+)"', page)
    assert len(ids) == len(set(ids)) == len(trace.entries)
    links = re.findall(r'href="#(e\d+)">([^<]*)</a>', page)
    names = {f"e{i}": entry.name for i, entry in enumerate(trace.entries)}
    assert len(links) > 40
    assert all(names[place] == name for place, name in links)
    assert "<summary>minivae/formulas.py:" in page
    assert "def relu_backward(" in page
    assert "src=" not in page


def test_the_page_shows_images_weights_and_gradients_as_pictures():
    x = generator(1, "x").random((3, 30))
    page = trace_page(trace_step(VAE(30, hidden=(20,), latent=2), x), "pictures", (5, 6))
    shown = re.findall(
        r'<article id="e\d+">\n<p class="made"><b>([^<]*)</b>((?:.|\n)*?)</article>', page
    )
    pictures = {name: body for name, body in shown if "<img" in body}
    weights = {"encoder.0.weight", "decoder.2.weight"}
    assert set(pictures) == {"x", "logits", "dlogits"} | weights | {
        f"d({name})" for name in weights
    }
    assert "the first 16 columns as pictures: blue -" in pictures["decoder.2.weight"]
    data = re.search(r"base64,([^\"]*)", pictures["x"])[1]
    dots = image.imread(io.BytesIO(base64.b64decode(data)))[2:7, 2:8, 0]  # inside the gap of 2
    np.testing.assert_allclose(dots, x[0].reshape(5, 6), atol=1 / 255)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    images = generator(1, "images").random((20, 4, 3), dtype=np.float32)
    np.savez(folder / "mine.npz", x_train=images, x_test=images[:5])
    call("train", "--data", folder / "mine.npz", "--hidden", 6, "--latent", 2, "--epochs", 1,
         "--threads", 1, "--out", folder / "run")  # fmt: skip
    return SimpleNamespace(folder=folder, path=folder / "run", data=folder / "mine.npz", x=images)


def call(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_the_command_in_the_terminal(run):
    result = call("trace")
    assert result.exit_code == 0, result.output
    assert result.stdout == trace_text(trace_step(*tiny()))
    result = call("trace", run.path, "--data", run.data, "-n", 3, "--seed", 5)
    assert result.exit_code == 0, result.output
    x = run.x[:3].reshape(3, 12)
    assert result.stdout == trace_text(trace_step(checkpoint.load(run.path), x, seed=5))


def test_the_command_writes_page_and_picture(run, tmp_path):
    html, png = tmp_path / "a" / "t.html", tmp_path / "t.png"
    result = call("trace", run.path, "--data", run.data, "--html", html, "--png", png)
    assert result.exit_code == 0, result.output
    assert "One training step of run" in html.read_text("utf-8")
    assert image.imread(png).shape[0] > 900


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"posterior": "full"}, "knows --posterior gaussian alone: this model's is full"),
        ({"prior": "mixture:3"}, "knows --prior normal alone: this model's is mixture"),
        ({"bound": "iwae:3"}, "knows --bound elbo alone: this model's is iwae"),
        ({"condition": 2}, "this model is told labels"),
        ({"activation": "tanh"}, "this model has other layers"),
    ],
)
def test_a_model_of_another_kind_is_refused_in_a_line(other, words):
    with pytest.raises(ArgumentError, match=words):
        trace_step(VAE(4, hidden=(2,), latent=1, **other), np.zeros((2, 4)))


def test_bad_input_gets_one_line_and_leaves_nothing(run, tmp_path):
    (tmp_path / "file").write_text("no folder")
    np.savez(tmp_path / "other.npz", numbers=np.arange(3))
    before = sorted(tmp_path.rglob("*"))
    for arguments, status, words in (
        ([tmp_path / "none"], 1, "does not exist"),
        ([tmp_path / "other.npz"], 1, "is not a minivae checkpoint"),
        (["--html", tmp_path / "file" / "t.html"], 1, "cannot be written"),
        (["--png", tmp_path / "file" / "t.png"], 1, "cannot be written"),
        ([run.path, "--data", "mnist"], 1, "the model takes 12"),
        (["--data", "mnist"], 2, "--data needs a RUN"),
    ):
        result = call("trace", *arguments)
        assert (result.exit_code, result.stdout) == (status, "")
        assert words in result.stderr
        assert "Traceback" not in result.stderr
        assert status == 2 or result.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
