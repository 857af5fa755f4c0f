"""The flat vectors and their views: one memory, in order, nothing twice, nothing left out."""

import numpy as np
import pytest

from minivae.params import Parameters

SHAPES = {"a.weight": (3, 4), "a.bias": (3,), "b.weight": (2, 3), "b.bias": (2,)}


def make():
    return Parameters(SHAPES, lambda shape: np.full(shape, np.nan, np.float32))


def test_views_are_the_flat_vector_in_order():
    params = make()
    params.theta[...] = np.arange(params.size)
    assert params.size == 12 + 3 + 6 + 2
    assert list(params.views) == list(params.grad_views) == list(SHAPES)
    assert np.concatenate([v.ravel() for v in params.views.values()]).tolist() == list(range(23))
    assert params.views["b.weight"].tolist() == [[15, 16, 17], [18, 19, 20]]
    for name, place in params.slices.items():
        assert params.theta[place].tolist() == params.views[name].ravel().tolist()


@pytest.mark.parametrize("flat, views", [("theta", "views"), ("grad", "grad_views")])
def test_writing_a_view_writes_the_vector(flat, views):
    params = make()
    getattr(params, views)["a.bias"][...] = 7
    assert (getattr(params, flat)[12:15] == 7).all()
    for name, view in getattr(params, views).items():
        assert view.shape == SHAPES[name]
        assert np.shares_memory(view, getattr(params, flat))


def test_gradients_begin_at_zero_and_are_not_the_parameters():
    params = make()
    assert (params.grad == 0).all()
    assert not np.shares_memory(params.theta, params.grad)


def test_views_cannot_be_rebound():
    with pytest.raises(TypeError):
        make().views["a.bias"] = np.zeros(3)
