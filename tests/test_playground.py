"""The playground without a browser: its data, its faults and what its own check says of each."""

import re

import numpy as np
import pytest
from click.testing import CliRunner
from node import needs_node, run
from test_twin import python_losses

from minivae.cli import main
from minivae.looking.pages import asset
from minivae.teaching.playground import digits, play_page, step_page
from minivae.vae import VAE

HERE = "minivae.teaching.playground"
PARTS = tuple((HERE, f"{name}.js") for name in ("data", "faults", "check"))
PAGE = play_page()
FAULTS = re.findall(r"^  (\w+): \{$", asset(HERE, "faults.js"), re.MULTILINE)
MODEL = (
    "const data = makePoints('moons', 1);"
    "const vae = new Vae({pixels: 2, hidden: [16], latent: 2, likelihood: 'gaussian',"
    " rules: rulesWith(fault)});"
    "const batches = new Batches(data.train, 2, 2, 32, 1); const losses = [];"
    "for (let i = 0; i < steps; i++) { const {x, eps} = batches.next();"
    " losses.push(vae.step(x, eps).loss); vae.update(0.01); }"
    "const {x, eps} = batches.next();"
)


def test_the_pages_digits_are_mnists():
    levels, labels = digits(20)
    assert levels.shape == (20, 196)
    assert (levels.min(), levels.max()) == (0, 15)
    from minivae.data import load_data

    image = np.asarray(load_data("mnist").train[3]).reshape(28, 28).astype(float)
    half = (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4
    np.testing.assert_allclose(levels[3].reshape(14, 14), half / 17, atol=0.5001)
    assert labels[:5].tolist() == [5, 0, 4, 1, 9]


@pytest.mark.parametrize("page", [PAGE, step_page()], ids=["play", "step"])
def test_a_page_needs_nothing_else(page):
    assert len(page.encode()) < 1_000_000
    assert "default-src 'none'" in page
    assert "unsafe" not in page
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|WebSocket)\s*\(|\{\{", page)


@needs_node
def test_the_same_seed_gives_pythons_losses_on_the_pages_digits():
    """Data out of the page, weights, order and noise from the seed alone, on both sides."""
    text = re.search(r'id="digits">(.*?)</script>', PAGE)[1]
    labels = re.search(r'"labels": "(\d+)"', PAGE)[1]
    made = run(
        "const data = loadDigits(text, 14, labels);"
        "const vae = new Vae({pixels: 196, hidden: [64], latent: 2, seed: 5});"
        "const batches = new Batches(data.train, 196, 2, 64, 5);"
        "const losses = Array.from({length: 20}, () => { const {x, eps} = batches.next();"
        " const t = vae.step(x, eps); vae.update(3e-3); return [t.loss, t.nll, t.kl]; });"
        "return {losses, rows: data.train.length / 196, kinds: data.kinds};",
        *PARTS, text=text, labels=labels,
    )  # fmt: skip
    levels, ours = digits()
    train = levels[:-500] / 15
    assert made["rows"] == len(train)
    assert made["kinds"] == ours[-500:].tolist()
    losses, _ = python_losses(train, (64,), 2, 64, 5, 20, lr=3e-3)
    np.testing.assert_allclose(made["losses"], losses, rtol=0, atol=1e-4)
    assert losses[-1, 0] < losses[0, 0]


def checked(fault):
    rows = run(
        MODEL + "return {step: checkStep(vae, x, eps), parts: checkParts(vae),"
        " contracts: checkContracts(vae, x, eps), losses};",
        *PARTS, fault=fault, steps=150,
    )  # fmt: skip
    wrong = {
        row["name"]: row["says"]
        for kind in ("step", "parts", "contracts")
        for row in rows[kind]
        if not row["right"]
    }
    return wrong, rows


@needs_node
def test_the_check_finds_nothing_where_nothing_is_wrong():
    wrong, rows = checked("none")
    assert wrong == {}
    assert len(rows["step"]) == 8
    assert max(row["worst"] for row in rows["step"] + rows["parts"]) < 1e-6


FOUND = {
    "half": {"sampler: dlogvar": "2 times too large"},
    "mean": {"z follows eps by σ": "z does not depend on eps"},
    "twice": {
        "sampler: dlogvar": "wrong, by no common factor",
        "the same noise gives the same gradient": "two calls differ: something is drawn inside",
    },
    "scale": {"nll: its gradient": "32 times too large"},
    "sign": {"kl: dmu": "its sign is turned", "kl: dlogvar": "its sign is turned"},
    "variance": {"z follows eps by σ": "wrong, by no common factor"},
}


@needs_node
@pytest.mark.parametrize("fault", FAULTS)
def test_the_check_names_a_planted_fault(fault):
    wrong, rows = checked(fault)
    parts = {name: says for name, says in wrong.items() if not name.endswith(("weight", "bias"))}
    assert parts == FOUND[fault]
    if fault in ("mean", "variance"):  # the derivatives are right, of another function
        assert set(wrong) == set(parts)
    else:
        assert "encoder.0.weight" in wrong
    if fault != "sign":
        losses = rows["losses"]
        assert np.mean(losses[-20:]) < np.mean(losses[:20]) - 1, "it trains nevertheless"


GRAPH = (
    "const vae = new Vae({pixels: 4, hidden: [2], latent: 1, seed: 1});"
    "const leaves = {x, eps, beta: [[1]]};"
    "const rows = (a, n) => Array.from({length: a.length / n},"
    " (_, r) => [...a.slice(r * n, r * n + n)]);"
    "[...vae.layers.encoder, ...vae.layers.decoder].forEach((layer, k) => {"
    " leaves['W' + (k + 1)] = rows(layer.weight, layer.inputs);"
    " leaves['b' + (k + 1)] = rows(layer.bias, layer.outputs); });"
    "const arrays = graph.build(2, 4, 2), v = graph.forward(arrays, leaves);"
    "const d = graph.backward(arrays, v);"
)


@needs_node
def test_the_steps_graph_has_pythons_numbers_and_each_slope_is_measured():
    x, eps = [[1.0, 0.0, 1.0, 1.0], [0.0, 0.1, 0.5, 1.0]], [[0.5], [-1.0]]
    made = run(
        GRAPH + "const worst = {}; for (const {name, size: [R, C]} of arrays)"
        " for (let r = 0; r < R; r++) for (let c = 0; c < C; c++) {"
        "  const off = Math.abs(graph.nudged(arrays, leaves, name, r, c).slope - d[name][r][c]);"
        "  worst[name] = Math.max(worst[name] ?? 0, off); }"
        "return {v, d, worst};",
        (HERE, "graph.js"), x=x, eps=eps,
    )  # fmt: skip
    vae = VAE(4, (2,), 1, seed=1, dtype="float64")
    terms = vae.step(np.array(x), np.array(eps))
    for name, value in zip(("loss", "nll", "kl"), terms, strict=True):
        assert made["v"][name] == [[pytest.approx(value, rel=1e-12)]]
    names = [f"{side}.{k}.{part}" for side in ("encoder", "decoder") for k in (0, 2)
             for part in ("weight", "bias")]  # fmt: skip
    ours = [f"{letter}{k}" for k in (1, 2, 3, 4) for letter in "Wb"]
    for name, mine in zip(names, ours, strict=True):
        np.testing.assert_allclose(np.ravel(made["d"][mine]), vae.grads[name].ravel(), atol=1e-12)
    assert len(made["worst"]) == 22
    assert max(made["worst"].values()) < 1e-8


def test_the_command_writes_the_page(tmp_path):
    out = tmp_path / "deep" / "play.html"
    done = CliRunner().invoke(main, ["play", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_text("utf-8") == PAGE
    done = CliRunner().invoke(main, ["play", "--step", "--out", str(out)])
    assert out.read_text("utf-8") == step_page()
    (tmp_path / "file").write_text("no folder")
    done = CliRunner().invoke(main, ["play", "--out", str(tmp_path / "file" / "x.html")])
    assert done.exit_code == 1
    assert re.fullmatch(
        r"Error: .* cannot be written: (Not a directory|File exists)\n", done.stderr
    )
