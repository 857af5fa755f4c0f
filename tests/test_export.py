"""Exported models, loaded back by those who have no minivae: the same numbers."""

import ast
import importlib.util
import json

import numpy as np
import pytest
from click.testing import CliRunner
from runs import dataset, thinned

import minivae
from minivae.cli import main
from minivae.errors import ArgumentError, BackendError
from minivae.exporting import FORMS, export
from minivae.exporting.as_torch import state_dict
from minivae.layers import Layer, Linear, Sequential
from minivae.runs import checkpoint
from minivae.training import Training

MODELS = {
    "dense": {"pixels": 36, "hidden": (12, 8)},
    "convolutions": {
        **{"pixels": 70, "hidden": "c5k3s1,r6,c4k4s2n,c3k3s2,7", "image_shape": (7, 5, 2)},
        **{"activation": "prelu", "norm": "layer", "likelihood": "gaussian-decoded"},
    },
    "float64": {
        **{"pixels": 35, "hidden": "r4,c8k3s2n,7n", "image_shape": (7, 5), "norm": "group"},
        **{"activation": "elu", "dtype": "float64", "prior": "mixture:3"},
    },
    "batch norm": {"pixels": 36, "hidden": "c4k3s1,6", "norm": "batch"},
    "counts": {"likelihood": "poisson", "prior": "vamp:3"},
    "groups": {"likelihood": "categorical:3,2,4", "activation": "tanh"},
    "one group": {"likelihood": "categorical:9", "activation": "sigmoid"},
    "student": {"likelihood": "student", "activation": "leaky-relu"},
    **{name: {"activation": name} for name in ("silu", "gelu", "gelu-tanh", "softplus")},
}


def model(name):
    """Return a model, rows that it takes, and points of its latent space."""
    vae = minivae.VAE(**({"pixels": 9, "hidden": (7,), "latent": 3} | MODELS[name]))
    rng = np.random.default_rng(0)
    vae.theta[...] += rng.normal(0, 0.2, vae.theta.shape)  # biases and norms that do something
    x = rng.random((5, vae.pixels)).astype(vae.dtype)
    if vae.likelihood.kind == "poisson":
        x = np.rint(9 * x)
    if vae.likelihood.kind == "categorical":
        x = np.zeros_like(x)
        x[:, vae.likelihood.starts] = 1
    return vae, x, rng.standard_normal((4, 3)).astype(vae.dtype)


def module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def imported(path):
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.split(".")[0] for name in names}


def same(vae, x, z, got):
    """Hold the three arrays against the model's own; sums in another order round otherwise."""
    for array, right in zip(got, (*vae.encode(x), vae.decode(z)), strict=True):
        assert array.dtype == right.dtype
        np.testing.assert_allclose(array, right, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_numpy_alone(name, tmp_path):
    vae, x, z = model(name)
    code, numbers = export(vae, "numpy", tmp_path)
    assert numbers.name == "numpy_vae.npz"
    assert imported(code) <= {"numpy", "math", "pathlib"}
    read = module(code)
    same(vae, x, z, (*read.encode(x), read.decode(z)))
    np.testing.assert_allclose(read.reconstruct(x), vae.reconstruct(x), rtol=1e-6, atol=1e-6)
    for key, view in vae.params.items():
        np.testing.assert_array_equal(read.P[key], view)


@pytest.mark.parametrize("name", thinned([*MODELS], 2))
def test_torch(name, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: its form is not loaded")
    vae, x, z = model(name)
    code, _ = export(vae, "torch", tmp_path)
    assert imported(code) <= {"torch", "pathlib"}
    read = module(code).load()
    assert list(read.state_dict()) and set(read.state_dict()) == set(vae.params)
    with torch.no_grad():
        got = *read.encode(torch.from_numpy(x)), read.decode(torch.from_numpy(z))
    same(vae, x, z, [array.numpy() for array in got])


@pytest.mark.parametrize("name", MODELS)
def test_onnx(name, tmp_path):
    onnx = pytest.importorskip("onnx", reason="the package onnx is not installed (minivae[export])")
    from onnx.reference import ReferenceEvaluator

    vae, x, z = model(name)
    encoder, decoder = export(vae, "onnx", tmp_path)
    for file in (encoder, decoder):
        onnx.checker.check_model(str(file), full_check=True)
    got = ReferenceEvaluator(str(encoder)).run(["mu", "logvar"], {"x": x})
    same(vae, x, z, (*got, *ReferenceEvaluator(str(decoder)).run(["mean"], {"z": z})))


def test_safetensors(tmp_path):
    numpy = pytest.importorskip(
        "safetensors.numpy", reason="the package safetensors is not installed (minivae[export])"
    )
    from safetensors import safe_open

    vae, x, z = model("float64")
    (file,) = export(vae, "safetensors", tmp_path)
    arrays = numpy.load_file(file)
    assert set(arrays) == set(vae.params)
    with safe_open(file, "np") as opened:
        again = minivae.VAE(**json.loads(opened.metadata()["model"]))
    for name, array in arrays.items():
        again.params[name][...] = array
    np.testing.assert_array_equal(again.theta, vae.theta)
    same(again, x, z, (*vae.encode(x), vae.decode(z)))


def test_a_state_dict_is_written_as_torch_reads_it():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: its form is not loaded")
    import io

    arrays = {"a.ü": np.arange(6, dtype=np.float32).reshape(2, 3), "empty": np.zeros((0, 2))}
    read = torch.load(io.BytesIO(state_dict(arrays)), weights_only=True)
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name].numpy(), array, strict=True)


class Square(Layer):
    def forward(self, x):
        return np.square(x, out=self.like("y", x))


@pytest.mark.parametrize("to", ["torch", "onnx", "numpy"])
def test_what_has_no_form_is_named_and_nothing_is_written(to, tmp_path):
    own = Sequential([Linear(9, 7), Square(), Linear(7, 6)]), Linear(3, 9)
    for vae, said in (
        (minivae.VAE(9, own, 3), "encoder.1 is a Square"),
        (minivae.VAE(9, (7,), 3, posterior="full"), "the posterior full"),
        (minivae.VAE(9, (7,), 3, likelihood="discretised-logistic"), "discretised-logistic"),
    ):
        with pytest.raises(ArgumentError, match=said):
            export(vae, to, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    for name in ("onnx", "safetensors"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
        monkeypatch.setitem(__import__("sys").modules, f"{name}.numpy", None)
        with pytest.raises(BackendError, match=f"pip install {name}"):
            export(minivae.VAE(9, (7,), 3), name, tmp_path / "out")
    with pytest.raises(ArgumentError, match="unknown: torch, onnx"):
        export(minivae.VAE(9, (7,), 3), "jax", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_command(tmp_path):
    data = dataset()
    training = Training(minivae.VAE(36, (8,), 2), data)
    checkpoint.save(tmp_path / "run.npz", training.vae, training)
    np.savez(tmp_path / "data.npz", x_train=data.train, x_test=data.test)
    out = tmp_path / "out"
    for to, count in (("numpy", 2), ("torch", 2), ("html", 1)):
        call = ["export", str(tmp_path / "run.npz"), "--to", to, "--out", str(out)]
        call += ["--data", str(tmp_path / "data.npz")] if to == "html" else []
        done = CliRunner().invoke(main, call)
        assert done.exit_code == 0, done.output
        assert len(done.stdout.split(", ")) == count
    x = data.pixels()
    read = module(out / "numpy_vae.py")
    np.testing.assert_allclose(read.reconstruct(x), training.vae.reconstruct(x), atol=1e-6)
    assert "</html>" in (out / "explorer.html").read_text()
    (option,) = (one for one in main.commands["export"].params if one.name == "to")
    assert tuple(option.type.choices) == FORMS
