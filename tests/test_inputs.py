"""Arrays from outside: taken as they are meant, or refused with the place of what is wrong."""

import numpy as np
import pytest

from minivae.errors import ArgumentError
from minivae.inputs import checked

UNIT = (0.0, 1.0)


@pytest.mark.parametrize("x", [
    [[0, 1]], [[0.5, 1.0]], np.ones((3, 2)), np.ones((3, 2), bool), np.zeros((1, 2), np.float16),
    np.ones((4, 2), np.int64),
])  # fmt: skip
def test_what_is_right_comes_back(x):
    given = checked(x, 2, "images", UNIT)
    assert np.array_equal(given, x)
    assert not isinstance(x, np.ndarray) or given is x


def test_bytes_are_scaled_where_they_are_pixels():
    x = np.array([[0, 51, 255]], np.uint8)
    assert checked(x, 3, "images", UNIT, scale=True).tolist() == [[0, np.float32(0.2), 1]]
    with pytest.raises(ArgumentError, match="row 0, column 1 is 51: expected numbers from 0 to 1"):
        checked(x, 3, "images", UNIT)
    assert checked(x, 3, "points") is x


def test_the_place_is_the_first_in_reading_order():
    x = np.zeros((5, 4))
    x[3, 1], x[2, 3], x[4, 0] = 2, -1, np.nan
    with pytest.raises(ArgumentError, match=r"^images: row 2, column 3 is -1: expected numbers"):
        checked(x, 4, "images", UNIT)
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
        checked(x, 2, "images", UNIT)
    assert str(caught.value).startswith(line)
