"""Arrays from outside: taken as they are meant, or refused with the place of what is wrong."""

import inspect

import numpy as np
import pytest

from minivae.errors import ArgumentError
from minivae.inputs import checked
from minivae.vae import VAE

UNIT = (lambda x: ~((x >= 0) & (x <= 1)), "numbers from 0 to 1")


@pytest.mark.parametrize("x", [
    [[0, 1]], [[0.5, 1.0]], np.ones((3, 2)), np.ones((3, 2), bool), np.zeros((1, 2), np.float16),
    np.ones((4, 2), np.int64),
])  # fmt: skip
def test_what_is_right_comes_back(x):
    given = checked(x, 2, "images", *UNIT)
    assert np.array_equal(given, x)
    assert not isinstance(x, np.ndarray) or given is x


def test_bytes_are_scaled_where_they_are_pixels():
    x = np.array([[0, 51, 255]], np.uint8)
    assert checked(x, 3, "images", *UNIT, scale=True).tolist() == [[0, np.float32(0.2), 1]]
    with pytest.raises(ArgumentError, match="row 0, column 1 is 51: expected numbers from 0 to 1"):
        checked(x, 3, "images", *UNIT)
    assert checked(x, 3, "points") is x


def test_the_place_is_the_first_in_reading_order():
    x = np.zeros((5, 4))
    x[3, 1], x[2, 3], x[4, 0] = 2, -1, np.nan
    with pytest.raises(ArgumentError, match=r"^images: row 2, column 3 is -1: expected numbers"):
        checked(x, 4, "images", *UNIT)
    with pytest.raises(ArgumentError, match=r"^points: row 4, column 0 is nan: expected finite"):
        checked(x, 4, "points")


@pytest.mark.parametrize(("x", "line"), [
    (np.zeros((0, 2)), "no images were given (shape (0, 2)): one at least is needed"),
    (np.zeros((3, 0)), "images of shape (3, 0): expected (N, 2)"),
    (np.zeros(2), "images of shape (2,): expected (N, 2); one row alone is x[None]"),
    (np.zeros(3), "images of shape (3,): expected (N, 2)"),
    (np.zeros((4, 1, 2)), "images of shape (4, 1, 2): expected (N, 2); use x.reshape(len(x), -1)"),
    (np.zeros((2, 3)), "images of shape (2, 3): expected (N, 2)"),
    (np.float32(1), "images of shape (): expected (N, 2)"),
    ([[1, 2], [3]], "images that are no array: setting an array element with a sequence."),
    ([["a", "b"]], "images of type <U1: expected numbers"),
    (None, "images of type object: expected numbers"),
    ([[1j, 0]], "images of type complex128: expected numbers"),
    ([[10**400, 0]], "images of type object: expected numbers"),
    ([[np.inf, 0]], "images: row 0, column 0 is inf: expected numbers from 0 to 1"),
    ([[0, 1.5]], "images: row 0, column 1 is 1.5: expected numbers from 0 to 1"),
])  # fmt: skip
def test_what_is_wrong_is_named(x, line):
    with pytest.raises(ArgumentError) as caught:
        checked(x, 2, "images", *UNIT)
    assert str(caught.value).startswith(line)


# --- the methods of a model ----------------------------------------------------------------------

VAE_OF = VAE(4, hidden=(3,), latent=2)
RIGHT = {"x": np.full((3, 4), 0.5), "z": np.zeros((3, 2)), "eps": np.zeros((3, 2))}
# Every public method that takes an array, found by the names of its arguments.
METHODS = [
    (name, [p for p in inspect.signature(method).parameters if p in RIGHT])
    for name, method in inspect.getmembers(VAE_OF, inspect.ismethod)
    if name in ("step", "encode", "decode", "reconstruct", "log_likelihood")
]
WRONG = {
    "NaN": (lambda a: np.where(np.arange(len(a))[:, None] == 1, np.nan, a), "row 1, column 0 is"),
    "infinite": (lambda a: a + np.inf, "row 0, column 0 is inf"),
    "no rows": (lambda a: a[:0], "one at least is needed"),
    "one row alone": (lambda a: a[0], "one row alone is x[None]"),
    "images": (lambda a: a[:, :, None], "use x.reshape(len(x), -1)"),
    "too wide": (lambda a: np.hstack([a, a]), "expected (N, "),
    "text": (lambda a: a.astype(str), "expected numbers"),
    "objects": (lambda a: a.astype(object), "expected numbers"),
    "complex": (lambda a: a + 1j, "expected numbers"),
    "nothing": (lambda a: None, "expected numbers"),
    "uneven": (lambda a: [[0.0], [0.0, 1.0]], "no array"),
}


@pytest.mark.parametrize("how", WRONG)
@pytest.mark.parametrize(("name", "arrays"), METHODS)
def test_every_method_refuses_what_is_wrong(name, arrays, how):
    assert arrays
    spoil, line = WRONG[how]
    method = getattr(VAE_OF, name)
    method(**{array: RIGHT[array] for array in arrays})
    for one in arrays:
        given = {array: RIGHT[array] for array in arrays} | {one: spoil(RIGHT[one])}
        with pytest.raises(ArgumentError) as caught:
            method(**given)
        assert line in str(caught.value) and "learning rate" not in str(caught.value)


@pytest.mark.parametrize("name", ["encode", "reconstruct", "log_likelihood"])
def test_images_are_brought_into_the_range_or_refused(name):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    method = getattr(VAE_OF, name)
    assert np.array_equal(method(grey), method(grey / np.float32(255)))
    for x in (grey.astype(int), grey / 100 + 0.01, -grey / 255.0 - 0.01):
        with pytest.raises(ArgumentError, match="expected numbers from 0 to 1"):
            method(x)


@pytest.mark.parametrize("call", [lambda: VAE(True), lambda: VAE(9, latent=np.True_)])
def test_true_is_no_number(call):
    with pytest.raises(ArgumentError, match=r"must be a whole number .*, not (np\.)?True"):
        call()
