"""The gradient checker on plain classes that know nothing of minivae."""

import copy

import numpy as np
import pytest

from minivae.gradcheck import (
    GradcheckError,
    assert_gradients,
    check,
    check_function,
)
from minivae.gradcheck.clone import clone
from minivae.gradcheck.gallery.linear import PlainLinear
from minivae.gradcheck.gallery.other import PlainReLU

RNG = np.random.default_rng(3)
X = RNG.normal(size=(6, 4))


class Softplus:
    """log(1 + e^x), written with a maximum and an absolute value: no complex step."""

    def forward(self, x):
        self.x = x
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))

    def backward(self, dy):
        return dy / (1 + np.exp(-self.x))


class Flat:
    """Parameters and gradients as views into flat vectors, behind read-only mappings."""

    def __init__(self, dtype="float32"):
        from types import MappingProxyType

        self.dtype = np.dtype(dtype)
        self.theta = RNG.normal(size=20).astype(dtype)
        self.grad = np.zeros(20, dtype)
        self.params = MappingProxyType(
            {"weight": self.theta[:16].reshape(4, 4), "bias": self.theta[16:]}
        )
        self.grads = MappingProxyType(
            {"weight": self.grad[:16].reshape(4, 4), "bias": self.grad[16:]}
        )

    def forward(self, x):
        self.x = x.astype(self.dtype)
        return np.tanh(self.x @ self.theta[:16].reshape(4, 4).T + self.theta[16:])

    def backward(self, dy):
        y = self.forward(self.x)
        dl = dy * (1 - y * y)
        self.grads["weight"][...] = dl.T @ self.x
        self.grads["bias"][...] = dl.sum(axis=0)
        return dl @ self.params["weight"]


def test_a_right_layer_passes_by_the_complex_step():
    report = check(PlainLinear(), X)
    assert report.passed
    assert [e.name for e in report.entries] == ["x", "weight", "bias"]
    for entry in report.entries:
        assert entry.method == "complex step"
        assert entry.max_rel_error < 1e-13
        assert entry.checked == np.prod(entry.shape)
        assert entry.cause is None


def test_where_forward_takes_no_complex_numbers_differences_serve():
    report = check(Softplus(), X)
    assert report.passed
    assert report.entries[0].method == "differences"
    assert report.entries[0].max_rel_error < 1e-9


def test_an_entry_names_the_worst_place_and_both_values():
    class OneWrong(PlainLinear):
        def backward(self, dy):
            dx = super().backward(dy)
            self.grads["weight"][2, 1] += 5
            return dx

    layer = OneWrong()
    report = check(layer, X)
    entry = report.entries[1]
    assert (entry.name, entry.index, entry.passed) == ("weight", (2, 1), False)
    assert entry.analytic == pytest.approx(entry.numeric + 5)
    assert "(2, 1)" in str(report)
    assert "FAILED" in str(report)
    assert report.entries[0].passed
    assert report.entries[2].passed


@pytest.mark.parametrize("size", [1e-6, 1e-3, 1.0])
def test_small_relative_errors_are_seen(size):
    class Slightly(PlainReLU):
        def backward(self, dy):
            return super().backward(dy) * (1 + size)

    assert not check(Slightly(), X).passed


def test_rounding_is_no_error():
    class Rounded(PlainReLU):
        def backward(self, dy):
            return super().backward(dy) * (1 + 1e-13)

    assert check(Rounded(), X).passed


def test_entries_on_a_corner_are_counted_apart():
    x = X.copy()
    x[0, 0] = x[3, 2] = 0.0
    report = check(PlainReLU(), x)
    assert report.passed
    assert report.entries[0].kinks == 2
    assert report.entries[0].checked == x.size - 2
    assert "2 on a corner" in str(report)


@pytest.mark.parametrize("near", [1e-4, 1e-6, -1e-7])
def test_close_to_a_corner_the_step_shrinks(near):
    class Abs:  # no complex step: numpy's abs of a complex number is real
        def forward(self, x):
            self.x = x
            return np.abs(x)

        def backward(self, dy):
            return dy * np.where(self.x >= 0, 1.0, -1.0)

    x = X.copy()
    x[1, 1] = near
    report = check(Abs(), x)
    assert report.passed
    assert report.entries[0].kinks == 0
    x[1, 1] = 0.0
    assert check(Abs(), x).entries[0].kinks == 1


def test_float32_layers_are_differentiated_in_float64():
    for layer in (PlainLinear(dtype="float32"), Flat()):
        report = check(layer, X.astype(np.float32))
        assert report.passed, report
        assert not report.notes
        assert max(e.max_rel_error for e in report.entries) < 1e-5

    class Wrong(Flat):
        def backward(self, dy):
            dx = super().backward(dy)
            self.grad *= 1.001
            return dx

    assert check(Wrong(), X.astype(np.float32)).causes == ["scale"]


def test_a_layer_that_insists_on_float32_gets_a_wide_step_and_a_note():
    class Insists:
        def forward(self, x):
            self.x = x.astype(np.float32)
            return np.tanh(self.x)

        def backward(self, dy):
            return (dy * (1 - np.tanh(self.x) ** 2)).astype(np.float32)

    class Hides(Insists):
        def forward(self, x):
            return super().forward(x).astype(x.dtype)

    for layer in (Insists(), Hides()):
        report = check(layer, X.astype(np.float32))
        assert report.passed, report
        assert any("float32" in note for note in report.notes)
        assert report.entries[0].tolerance == 1e-2

    class Wrong(Insists):
        def backward(self, dy):
            return 2 * super().backward(dy)

    assert check(Wrong(), X.astype(np.float32)).causes == ["scale"]


def test_large_arrays_are_sampled_and_unsampled_errors_found():
    class Wide(PlainLinear):
        wrong = None

        def backward(self, dy):
            dx = super().backward(dy)
            if self.wrong is not None:
                self.grads["weight"][self.wrong] += 0.1
            return dx

    layer = Wide(300, 200)
    x = RNG.normal(size=(3, 300))
    entry = check(layer, x).entries[1]
    assert entry.passed
    assert entry.checked < 60_000
    assert entry.directions > 0
    layer.wrong = (123, 45)
    entry = check(layer, x).entries[1]
    assert not entry.passed
    assert entry.index == (123, 45)


def test_the_layer_is_left_as_it_was():
    layer = Flat("float64")
    layer.forward(X)
    before = copy.deepcopy({k: v for k, v in vars(layer).items() if isinstance(v, np.ndarray)})
    x = X.copy()
    check(layer, x)
    np.testing.assert_array_equal(x, X)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(layer, name), value)


def test_a_layer_that_cannot_be_copied_is_put_back():
    class Uncopyable(PlainLinear):
        def __deepcopy__(self, memo):
            raise TypeError("no")

    layer = Uncopyable()
    before = {name: one.copy() for name, one in layer.params.items()}
    assert check(layer, X).passed
    for name, value in before.items():
        np.testing.assert_array_equal(layer.params[name], value)


def test_clones_keep_views_together():
    twin = clone(Flat(), np.float64)
    assert twin.theta.dtype == np.float64
    assert twin.dtype == np.float64
    twin.theta[16] = 7
    assert twin.params["bias"][0] == 7
    twin.grads["weight"][0, 0] = 3
    assert twin.grad[0] == 3
    again = clone(clone(twin), np.float32)  # copies of copies too
    again.theta[17] = 5
    assert again.params["bias"][1] == 5
    assert twin.params["bias"][1] != 5
    turned = {"a": np.arange(6.0).reshape(2, 3)}
    turned["t"] = turned["a"].T[::-1]
    twin = clone(turned, np.float32)
    np.testing.assert_array_equal(twin["t"], turned["t"])
    twin["a"][0, 2] = 9
    assert twin["t"][0, 0] == 9


def test_functions_of_one_array():
    assert check_function(lambda x: (x**3).sum(), lambda x: 3 * x**2, X).passed
    report = check_function(lambda x: (x**3).sum(), lambda x: x**2, X)
    assert report.causes == ["scale"]
    assert "3 times too small" in report.entries[0].explanation
    assert check_function(lambda x: np.log(x).sum(), lambda x: 1 / x, np.exp(3 * X)).passed


def test_steps_follow_the_values():
    for scale in (1e-8, 1e-3, 1e3, 1e8):
        x = np.abs(X) * scale + 1e-3 * scale
        report = check_function(lambda x: np.abs(np.sqrt(x)).sum(), lambda x: 0.5 / np.sqrt(x), x)
        assert report.passed, report


def test_assert_gradients_is_a_plain_pytest_test():
    assert_gradients(PlainLinear(), X)

    class Wrong(PlainLinear):
        def backward(self, dy):
            return -super().backward(dy)

    with pytest.raises(AssertionError, match="opposite sign"):
        assert_gradients(Wrong(), X)


def test_integer_inputs_are_constants():
    class Pick:
        def forward(self, x, labels):
            self.x, self.labels = x, labels
            return x[np.arange(len(x)), labels]

        def backward(self, dy):
            dx = np.zeros_like(self.x)
            dx[np.arange(len(dx)), self.labels] = dy
            return dx, None

    report = check(Pick(), X, np.array([0, 1, 2, 3, 0, 1]))
    assert report.passed
    assert [e.name for e in report.entries] == ["x"]
    assert "labels" in report.notes[0]


class Bad(PlainReLU):
    def __init__(self, forward=None, backward=None):
        self._f, self._b = forward, backward

    def forward(self, x):
        return super().forward(x) if self._f is None else self._f(x)

    def backward(self, dy):
        return super().backward(dy) if self._b is None else self._b(dy)


def _raise(*_):
    raise ValueError("shapes do not fit")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Bad(forward=_raise), "Bad.forward raised ValueError: shapes do not fit"),
        (Bad(backward=_raise), "Bad.backward raised ValueError: shapes do not fit"),
        (Bad(forward=lambda x: x * np.nan), "forward returned NaN or infinity"),
        (Bad(forward=lambda x: None), "forward returned None"),
        (Bad(backward=lambda dy: None), "backward returned None: return the gradient of x"),
        (Bad(backward=lambda dy: (dy, dy)), "backward returned 2 gradients for 1 inputs"),
        (object(), "object has no method forward"),
    ],
)
def test_what_cannot_be_checked_is_said_in_one_line(layer, message):
    with pytest.raises(GradcheckError, match=message.replace("(", r"\(")) as caught:
        check(layer, X)
    assert "\n" not in str(caught.value)


def test_missing_gradients_are_named():
    class Forgets(PlainLinear):
        def backward(self, dy):
            self.grads = {"weight": dy.T @ self.x}
            return dy @ self.params["weight"]

    report = check(Forgets(), X)
    assert report.causes == ["zero"]
    assert report.root.name == "bias"


def test_a_rebound_parameter_is_found():
    class Rebound(PlainLinear):
        def __init__(self):
            super().__init__()
            self.weight = self.params["weight"] - 0.0  # a copy, as W = W - step makes one

        def forward(self, x):
            self.x = x
            return x @ self.weight.T + self.params["bias"]

    report = check(Rebound(), X)
    assert "does not depend" in report.entries[1].explanation


def test_reports_turn_into_json():
    import json

    report = check(PlainLinear(), X)
    read = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert read["passed"] is True
    assert read["entries"][1]["name"] == "weight"


def test_a_report_shows_itself():
    class Wrong:
        def forward(self, x):
            self.x = x
            return x * x

        def backward(self, dy):
            return dy * self.x

    report = check(Wrong(), np.linspace(-2, 2, 6).reshape(2, 3))
    assert repr(report) == "<Report on Wrong: FAILED (1 of 1); print it for all>"
    html = report._repr_html_()
    assert html.count("<tr>") == 2 and "<td>SCALE</td>" in html
    assert f"<p>{report.entries[0].sentence}</p>" in html


def test_the_same_seed_gives_the_same_report():
    layer, x = PlainLinear(200, 100), RNG.normal(size=(2, 200))
    assert str(check(layer, x, seed=4)) == str(check(layer, x, seed=4))
