"""The checker's ways in for code that knows nothing of minivae, and what they must catch."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings

from minivae.gradcheck import GradcheckError, check, check_second, hessian_vector, jacobian
from minivae.gradcheck import strategies as layers
from minivae.gradcheck.adaptors import Autograd, Jax, Torch, TrainingStep, adam, momentum
from minivae.gradcheck.gallery.linear import PlainLinear

RNG = np.random.default_rng(5)
X = RNG.normal(size=(6, 4))


class Attributes:
    """W beside dW, and nothing else."""

    factor = 1.0

    def __init__(self):
        self.W, self.scale = RNG.normal(size=(4, 3)), 0.5

    def __call__(self, x):
        self.x = x
        return self.scale * (x @ self.W)

    def backward(self, dy):
        self.dW = self.factor * self.scale * (self.x.T @ dy)
        self.dscale = float((dy * (self.x @ self.W)).sum())
        return self.scale * (dy @ self.W.T)


def test_attributes_with_gradients_are_parameters():
    report = check(Attributes(), X)
    assert report.passed, report
    assert [one.name for one in report.entries] == ["x", "W", "scale"]
    wrong = Attributes()
    wrong.factor = 3.0
    assert check(wrong, X).causes == ["scale"]
    wrong.params, wrong.grads = {}, {}  # a base class's, never filled
    assert check(wrong, X).causes == ["scale"]
    wrong.params = {"scale": np.array(0.5)}  # another parameter stands there
    assert check(wrong, X).root.name == "W"


def test_nested_and_listed_parameters():
    class Nested:
        def __init__(self):
            self.params = {"a": [{"w": RNG.normal(size=4)}, {"w": RNG.normal(size=4)}]}

        def forward(self, x):
            self.x = x
            return x * self.params["a"][0]["w"] * self.params["a"][1]["w"]

        def backward(self, dy):
            one, two = (part["w"] for part in self.params["a"])
            d = (dy * self.x).sum(axis=0)
            self.grads = {"a": [{"w": d * two}, {"w": d * self.sign * one}]}
            return dy * one * two

    Nested.sign = 1
    assert [one.name for one in check(Nested(), X).entries] == ["x", "a.0.w", "a.1.w"]
    assert check(Nested(), X).passed
    Nested.sign = -1
    assert check(Nested(), X).root.name == "a.1.w"


def test_pairs_of_functions_with_and_without_a_cache():
    def affine(x, w):
        return x @ w, (x, w)

    def affine_back(dy, cache):
        x, w = cache
        return dy @ w.T, x.T @ dy

    w = RNG.normal(size=(4, 2))
    assert check((affine, affine_back), X, w).passed
    assert check((lambda x, w: x @ w, lambda dy, x, w: (dy @ w.T, x.T @ dy)), X, w).passed
    report = check((lambda x, w: x @ w, lambda dy, x, w: (dy @ w.T, -x.T @ dy)), X, w)
    assert [(one.name, one.cause) for one in report.failures] == [("w", "sign")]


def test_constants_are_named_and_others_are_not_let_off():
    class Loss:
        def forward(self, x, t):
            self.d = x - t
            return (self.d**2).sum()

        def backward(self, dy):
            return 2 * dy * self.d, None

    assert check(Loss(), X, X[::-1]).passed
    assert check(Loss(), X, X[::-1], constants=["t"]).passed
    assert check(Loss(), X, X[::-1], constants=[1]).passed
    assert [one.name for one in check(Loss(), X, X[::-1], constants=()).failures] == ["t"]
    with pytest.raises(GradcheckError, match="the inputs are x, t"):
        check(Loss(), X, X, constants=["targets"])


def test_a_layer_that_draws_is_seeded():
    class Dropout:
        def __init__(self):
            self.rng = np.random.default_rng(0)

        def forward(self, x):
            self.mask = self.rng.uniform(size=x.shape) < 0.5
            return x * self.mask

        def backward(self, dy):
            return dy * self.mask

    def seeded(layer):
        layer.rng = np.random.default_rng(1)

    assert check(Dropout(), X).causes == ["random"]
    assert check(Dropout(), X, reseed=seeded).passed


def test_corners_do_not_hide_an_error():
    class Relu:
        def forward(self, x):
            self.x = x
            return np.maximum(x, 0)

        def backward(self, dy):
            return dy * np.where(self.x > 0, 1.0, self.at_zero * (self.x == 0))

    for slope, right in ((0.0, True), (1.0, True), (0.5, True), (3.0, False), (-1.0, False)):
        Relu.at_zero = slope
        assert check(Relu(), np.zeros((3, 4))).passed == right
    Relu.at_zero = np.nan
    assert check(Relu(), np.zeros((2, 2))).causes == ["not-finite"]


def test_a_complex_step_that_misses_a_path_is_not_believed():
    class Constant:
        def forward(self, x):
            self.a = np.abs(x)
            return self.a * x

        def backward(self, dy):
            return dy * self.a  # |x| is no constant

    assert check(Constant(), X).causes == ["scale"]


def test_other_points_show_what_the_given_one_hides():
    class Gain:
        def __init__(self):
            self.params, self.grads = {"gain": np.ones(4)}, {}

        def forward(self, x):
            self.x = x
            return x * self.params["gain"]

        def backward(self, dy):
            self.grads["gain"] = (dy * self.x).sum(axis=0)
            return dy  # times the gain, which is 1 at first

    report = check(Gain(), X)
    assert not report.passed
    assert "with its parameters moved" in report.entries[0].explanation

    class Clip:
        def forward(self, x):
            return np.clip(x, -5, 5)

        def backward(self, dy):
            return dy

    report = check(Clip(), X)
    assert not report.passed
    assert "for larger inputs" in report.entries[0].explanation


def test_small_numbers_are_not_taken_for_float32():
    class Whisper:
        def forward(self, x):
            self.x = x
            return 1e-12 * np.sin(x)

        def backward(self, dy):
            return self.factor * 1e-12 * dy * np.cos(self.x)

    Whisper.factor = 1.0
    report = check(Whisper(), X)
    assert report.passed
    assert not report.notes
    Whisper.factor = 1.005
    assert check(Whisper(), X).causes == ["scale"]


@pytest.mark.parametrize(
    ("backward", "cause"),
    [
        (lambda y, dy: y * dy, "missing-term"),
        (lambda y, dy: y * (dy - (y * dy).sum(axis=0)), "mixed"),
        (lambda y, dy: (y * (dy - (y * dy).sum(axis=1, keepdims=True)))[:, ::-1], "flip"),
        (lambda y, dy: np.roll(y * (dy - (y * dy).sum(axis=1, keepdims=True)), 1, axis=1), "shift"),
    ],
)
def test_causes_are_read_from_the_error(backward, cause):
    class Softmax:
        def forward(self, x):
            e = np.exp(x)
            self.y = e / e.sum(axis=1, keepdims=True)
            return self.y

        def backward(self, dy):
            return backward(self.y, dy)

    assert check(Softmax(), X).causes == [cause]


def test_jacobians_are_arrays():
    layer = PlainLinear()
    found = jacobian(layer, X)
    assert set(found) == {"x", "weight", "bias"}
    wanted = np.kron(np.eye(6), layer.params["weight"])
    np.testing.assert_allclose(found["x"].analytic, wanted, atol=1e-12)
    np.testing.assert_allclose(found["x"].numeric, wanted, atol=1e-9)
    assert np.abs(found["weight"].difference).max() < 1e-9


def test_second_derivatives():
    a = RNG.normal(size=(4, 4))

    def gradient(x):
        return np.cos(x) + (a + a.T) @ x

    def product(x, v):
        return -np.sin(x) * v + (a + a.T) @ v

    x, v = RNG.normal(size=(2, 4))
    np.testing.assert_allclose(hessian_vector(gradient, x, v), product(x, v), rtol=1e-8)
    assert check_second(gradient, product, x).passed
    assert not check_second(gradient, lambda x, v: -np.sin(x) * v + 2 * a @ v, x).passed


def test_a_training_step_is_checked_by_what_it_does():
    params = {"w": RNG.normal(size=4)}

    def loss(x):
        return ((x @ params["w"]) ** 2).sum()

    def step(x, factor=1.0):
        params["w"] -= 0.1 * factor * 2 * x.T @ (x @ params["w"])

    before = params["w"].copy()
    assert check(TrainingStep(params, loss, step, 0.1), X).passed
    np.testing.assert_array_equal(params["w"], before)
    wrong = TrainingStep(params, loss, lambda x: step(x, -1.0), 0.1)
    assert check(wrong, X).causes == ["sign"]


@pytest.mark.parametrize("fault", ["", "dampened", "sign"])
@pytest.mark.parametrize("nesterov", [False, True])
def test_a_step_with_momentum(nesterov, fault):
    params, speed = {"w": RNG.normal(size=4)}, np.zeros(4)

    def step(x):
        g = 2 * x.T @ (x @ params["w"])
        speed[...] = 0.9 * speed + (0.1 if fault == "dampened" else 1) * g
        change = 0.01 * (g + 0.9 * speed if nesterov else speed)
        params["w"] -= -change if fault == "sign" else change

    def loss(x):
        return ((x @ params["w"]) ** 2).sum()

    report = check(TrainingStep(params, loss, step, momentum(0.01, nesterov=nesterov)), X)
    assert report.passed == (not fault), report


@pytest.mark.parametrize("fault", ["", "bias correction", "betas", "epsilon", "gradient of a mean"])
def test_a_step_of_adam(fault):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    w = torch.nn.Parameter(torch.tensor(RNG.normal(size=4)))
    betas = (0.99, 0.9) if fault == "betas" else (0.9, 0.99)
    epsilon = 1e-2 if fault == "epsilon" else 1e-8
    torch_adam = torch.optim.Adam([w], lr=0.01, betas=betas, eps=epsilon)

    def loss(x):
        return ((torch.tensor(x) @ w) ** 2 + torch.sin(w).sum()).sum()

    def step(x):
        torch_adam.zero_grad()
        (loss(x[:-1]) if fault == "gradient of a mean" else loss(x)).backward()
        before = w.detach().clone()
        torch_adam.step()
        if fault == "bias correction":
            t = float(torch_adam.state[w]["step"])
            w.data.copy_(before + (w.data - before) * (1 - 0.9**t) / (1 - 0.99**t) ** 0.5)

    params, rule = {"w": w.data.numpy()}, adam(0.01, 0.9, 0.99)
    report = check(TrainingStep(params, lambda x: float(loss(x).detach()), step, rule), X)
    assert report.passed == (not fault), report


def test_torch_functions():
    torch = pytest.importorskip("torch", reason="needs PyTorch")

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, dy):
            return Square.factor * dy * ctx.saved_tensors[0]

    Square.factor = 2
    assert check(Torch(Square), X).passed
    Square.factor = 1
    assert check(Torch(Square), X).causes == ["scale"]


def test_jax_functions():
    jax = pytest.importorskip("jax", reason="needs JAX")
    jax.config.update("jax_enable_x64", True)

    @jax.custom_vjp
    def cube(x):
        return x**3

    cube.defvjp(lambda x: (cube(x), x), lambda x, dy: (factor * dy * x**2,))
    factor = 3
    assert check(Jax(cube), X).passed
    factor = -3
    assert check(Jax(cube), X).causes == ["sign"]


def test_autograd_primitives():
    pytest.importorskip("autograd", reason="needs autograd")
    from autograd.extend import defvjp, primitive

    @primitive
    def product(a, b):
        return a * b

    defvjp(product, lambda y, a, b: lambda dy: dy * b, lambda y, a, b: lambda dy: dy * a)
    assert check(Autograd(product), X, X[::-1].copy()).passed
    defvjp(product, lambda y, a, b: lambda dy: dy * a, lambda y, a, b: lambda dy: dy * b)
    assert check(Autograd(product), X, X[::-1].copy()).causes == ["swapped"]


@settings(max_examples=5, deadline=None)
@given(x=layers.arrays(), labels=layers.arrays((3,), whole_below=4))
def test_strategies_draw_what_layers_take(x, labels):
    assert labels.dtype.kind == "i"
    assert labels.max() < 4
    assert check((np.sin, lambda dy, x: dy * np.cos(x)), x).passed


def test_the_plugin_gives_a_fixture_a_marker_and_json(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import numpy as np, pytest\n"
        "@pytest.mark.gradcheck((3, 4))\n"
        "@pytest.mark.parametrize('factor', [2, 1])\n"
        "def test_square(gradcheck, factor):\n"
        "    gradcheck((lambda x: x * x, lambda dy, x: factor * dy * x))\n"
    )
    options = "-q --strict-markers -p minivae.gradcheck.plugin -p no:cacheprovider"
    command = f"-m pytest {options} --gradcheck-json all.json test_it.py"
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # installed, it loads itself
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "every entry is 2 times too small" in done.stdout
    reports = json.loads((tmp_path / "all.json").read_text())
    assert sorted(one["passed"] for [one] in reports.values()) == [False, True]
