"""`minivae gradcheck` as a user meets it."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from minivae.cli import main
from minivae.gradcheck.suite import suite, summary
from minivae.runs import checkpoint
from minivae.vae import VAE

LAYERS = """
import numpy as np

class Scale:
    def __init__(self, width, factor=1.0):
        self.params = {"gain": np.linspace(1, 2, width)}
        self.grads = {}
        self.factor = factor

    def forward(self, x):
        self.x = x
        return x * self.params["gain"]

    def backward(self, dy):
        self.grads["gain"] = (dy * self.x).sum(axis=0) / len(dy) ** self.factor
        return dy * self.params["gain"]

class Raises:
    def forward(self, x):
        return x @ np.ones((3, 3))

    def backward(self, dy):
        return dy

class Log:
    def forward(self, x):
        self.x = x
        return np.log(x)

    def backward(self, dy):
        return dy / self.x

class Nothing(Log):
    def forward(self, x):
        return x * 1

    def backward(self, dy):
        pass
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "layers.py"
    path.write_text(LAYERS)
    return path


def run(*arguments):
    return CliRunner().invoke(main, ["gradcheck", *map(str, arguments)])


def test_the_built_in_suite_meets_its_bounds():
    outcomes = list(suite())
    assert all(outcome.passed for _, outcome in outcomes), summary(outcomes)
    seen = set()
    for name, outcome in outcomes:
        if "float32" in name or not hasattr(outcome, "entries"):
            continue
        for entry in outcome.entries:
            seen.add(entry.method)
            bound = 1e-12 if entry.method == "complex step" else 1e-8
            assert entry.max_rel_error < bound, f"{name} {entry.name}"
    assert seen == {"complex step", "differences"}
    assert "784-256-128-20" in summary(outcomes)


def test_a_right_layer_leaves_with_0_and_a_wrong_one_with_1(file):
    right = run(f"{file}:Scale", "--input-shape", "8,5", "--init", "5,0")
    assert right.exit_code == 0, right.output
    wrong = run(f"{file}:Scale", "--input-shape", "8,5", "--init", "5")
    assert wrong.exit_code == 1
    assert "SCALE" in wrong.output
    assert "8 times too small: 8 is the batch size" in wrong.output


def test_json_is_one_object(file):
    result = run(f"{file}:Scale", "--input-shape", "8,5", "--init", "5", "--json")
    entries = json.loads(result.stdout)["gradients"]["entries"]
    assert [one["cause"] for one in entries] == [None, "scale"]


def test_positive_inputs_for_those_who_need_them(file):
    assert run(f"{file}:Log", "--input-shape", "4,3", "--positive").exit_code == 0
    result = run(f"{file}:Log", "--input-shape", "4,3")
    assert result.exit_code == 1
    assert "returned NaN" in result.stderr


def test_a_failure_in_the_users_code_shows_their_frames_only(file):
    result = run(f"{file}:Raises", "--input-shape", "8,5")
    assert result.exit_code == 1
    assert "return x @ np.ones((3, 3))" in result.stderr
    assert "subject.py" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: Raises.forward raised ValueError")


@pytest.mark.parametrize(
    ("target", "options", "status", "message"),
    [
        ("{}:Scale", ["--input-shape", "8,5"], 1, "Scale() raised TypeError"),
        ("{}:Nope", ["--input-shape", "8,5"], 1, "has no 'Nope': it defines Scale, Raises"),
        ("{}:Nothing", ["--input-shape", "8,5"], 1, "backward returned None"),
        ("{}:Raises", [], 1, "--input-shape 8,5"),
        ("{}", [], 2, "name the class in"),
        ("{}:Log", ["--gallery"], 2, "--gallery takes no target"),
        ("nowhere.py:A", ["--input-shape", "8,5"], 1, "nowhere.py does not exist"),
        ("nowhere", [], 1, "nowhere"),
    ],
)
def test_mistakes_get_one_line(file, target, options, status, message):
    result = run(target.format(file), *options)
    assert result.exit_code == status, result.output
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_cannot_be_imported_shows_where(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text("import numpy\nx = 1 / 0\n")
    result = run(f"{path}:A", "--input-shape", "2,2")
    assert result.exit_code == 1
    assert "line 2" in result.stderr
    assert "cannot be imported: ZeroDivisionError" in result.stderr
    path.write_text("def f(:\n")
    result = run(f"{path}:A", "--input-shape", "2,2")
    assert "SyntaxError" in result.stderr
    assert result.exit_code == 1


def test_a_trained_model_is_checked_on_data(tmp_path):
    rng = np.random.default_rng(0)
    images = tmp_path / "images.npy"
    np.save(images, rng.uniform(size=(40, 16)).astype(np.float32))
    vae = VAE(16, hidden=(6,), latent=2, seed=3)
    checkpoint.save(tmp_path / "model.npz", vae)
    result = run(tmp_path / "model.npz", "--data", images)
    assert result.exit_code == 0, result.output
    assert "decoder.2.weight" in result.output
    assert "contracts: hold" in result.output


@pytest.mark.parametrize("bound", ["iwae:3", "freebits:0.1"])
def test_a_model_of_another_bound_is_checked(bound, tmp_path):
    checkpoint.save(tmp_path / "model.npz", VAE(784, hidden=(6,), latent=2, bound=bound))
    result = run(tmp_path / "model.npz", "--data", "mnist")
    assert result.exit_code == 0, result.output
    assert "contracts: hold" in result.output and "KL is 0 at" not in result.output


def test_a_gradient_that_is_right_in_the_mean_alone_is_not_checked(tmp_path):
    checkpoint.save(tmp_path / "model.npz", VAE(784, hidden=(6,), latent=2, bound="dreg:3"))
    result = run(tmp_path / "model.npz", "--data", "mnist")
    assert result.exit_code == 1 and "those of iwae they can" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_plot_shows_the_valley(file, tmp_path):
    from minivae.gradcheck.target import load_class, make
    from minivae.gradcheck.valley import STEPS, valley

    picture = tmp_path / "valley.png"
    shape = ("--input-shape", "8,5", "--init", "5,0")
    assert run(f"{file}:Scale", *shape, "--plot", picture).exit_code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    layer = make(load_class(f"{file}:Scale"), (5, 0))
    errors = valley(layer, [np.random.default_rng(0).normal(size=(8, 5))])
    for dtype, best in (("float64", 1e-8), ("float32", 1e-3)):
        assert errors[dtype].min() < best
        assert errors[dtype][0] > 1e3 * errors[dtype].min()  # tiny steps drown in rounding
    assert STEPS[errors["float32"].argmin()] > STEPS[errors["float64"].argmin()]
