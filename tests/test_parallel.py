"""Threads: who does what, what happens when one fails, and that their number changes nothing."""

import itertools
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from minivae import VAE, Adam
from minivae.noise import generator, permutation
from minivae.parallel import Steps, Team
from minivae.pixels import Source


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


# --- the team ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 128])
def test_rows_are_shared_without_gap_or_overlap(size, n):
    with Team(size) as team:
        shares = [team.rows(k, n) for k in range(size)]
    assert [i for share in shares for i in range(n)[share]] == list(range(n))
    lengths = [share.stop - share.start for share in shares]
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_every_member_takes_every_phase_and_waits_for_the_others(size):
    with Team(size) as team:
        for _ in range(50):
            seen = np.zeros((3, size), int)
            whole = []

            def phase(number, seen=seen, whole=whole):
                def take_part(k):
                    # All of the phase before is done, and nothing of the phase after.
                    whole.append((seen[:number] == 1).all() and (seen[number + 1 :] == 0).all())
                    seen[number, k] += 1

                return take_part

            team.run(phase(0), phase(1), phase(2))
            assert (seen == 1).all()
            assert all(whole)


@pytest.mark.parametrize("size", [2, 3])
def test_members_are_different_threads_and_the_caller_is_the_first(size):
    idents = [None] * size
    with Team(size) as team:
        team.run(lambda k: idents.__setitem__(k, threading.get_ident()))
    assert idents[0] == threading.get_ident()
    assert len(set(idents)) == size


@pytest.mark.parametrize("size, failing", [(1, 0), (2, 0), (2, 1), (3, 2)])
def test_an_exception_in_a_member_is_raised_and_the_team_goes_on(size, failing):
    with Team(size) as team:
        later = []

        def fails(k):
            if k == failing:
                raise KeyError(f"member {k}")

        for _ in range(3):
            with pytest.raises(KeyError, match=f"member {failing}"):
                team.run(fails, later.append)
            assert failing not in later
            done = []
            team.run(done.append)
            assert sorted(done) == list(range(size))


def test_blas_has_one_thread_while_a_team_exists_and_its_own_afterwards():
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        with Team(2):
            assert set(blas_threads()) == {1}
        assert blas_threads() == before
        team = Team(1)
        assert set(blas_threads()) == {1}
        team.close()
        team.close()  # twice does no harm
        assert blas_threads() == before


def test_blas_gets_its_threads_back_after_an_exception():
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        with pytest.raises(ZeroDivisionError), Team(2) as team:
            team.run(lambda k: 1 / 0)
        assert blas_threads() == before


def test_close_ends_the_threads():
    before = set(threading.enumerate())
    team = Team(3)
    added = set(threading.enumerate()) - before
    team.close()
    for thread in added:
        thread.join(10)
    assert len(added) == 2
    assert not any(thread.is_alive() for thread in added)


# --- the steps -----------------------------------------------------------------------------------

IMAGES = np.random.default_rng(0).integers(0, 256, (70, 30), np.uint8)


def train(threads, dtype="float32", binarize="none", batch_size=16, epochs=2, cut=None):
    """Return (theta, m, losses) after some epochs; with `cut`, that step is begun anew."""
    vae = VAE(30, hidden=(12, 8), latent=4, seed=1, dtype=dtype)
    adam = Adam(vae.parameters, vae.backend, 1e-2)
    losses = []
    with Team(threads) as team:
        steps = Steps(vae, adam, Source(IMAGES, binarize), batch_size, team)
        for epoch in range(epochs):

            def begin(*position, epoch=epoch, steps=steps):
                order = permutation(0, "order", epoch, len(IMAGES))
                streams = (generator(0, purpose, epoch) for purpose in ("eps", "binarize"))
                steps.begin(order, *streams, *position)

            begin()
            for i in range(-(-len(IMAGES) // batch_size)):
                if i == cut:
                    begin(i, steps.totals())
                losses.append(steps.step(i))
            losses.append(steps.totals())
    return vae.theta.copy(), adam.m.copy(), losses


@pytest.mark.parametrize("binarize", ["none", "sampled"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_same_number_of_threads_gives_the_same_bits(threads, binarize):
    (theta, m, losses), (again, m_again, losses_again) = (
        train(threads, binarize=binarize) for _ in range(2)
    )
    assert np.array_equal(theta, again)
    assert np.array_equal(m, m_again)
    assert losses == losses_again


@pytest.mark.parametrize("binarize", ["none", "threshold", "sampled"])
@pytest.mark.parametrize("batch_size", [16, 70])
def test_other_numbers_of_threads_agree_to_rounding(binarize, batch_size):
    """In float64 no rounding grows beyond 1e-10 in ten steps: any other cause would show."""
    runs = [train(n, "float64", binarize, batch_size) for n in (1, 2, 3, 5)]
    for (theta, _, losses), (other, _, other_losses) in itertools.pairwise(runs):
        np.testing.assert_allclose(other, theta, rtol=0, atol=1e-10)
        np.testing.assert_allclose(np.hstack(other_losses), np.hstack(losses), rtol=1e-11, atol=0)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("binarize", ["none", "sampled"])
def test_steps_are_the_models_and_adams(threads, binarize):
    """An epoch of `Steps` is `vae.step` and `adam.step` on the same batches and noise."""
    theta, _, losses = train(threads, "float64", binarize, epochs=1)
    vae = VAE(30, hidden=(12, 8), latent=4, seed=1, dtype="float64")
    adam = Adam(vae.parameters, vae.backend, 1e-2)
    order, eps, uniform = (
        permutation(0, "order", 0, 70), generator(0, "eps", 0), generator(0, "binarize", 0),
    )  # fmt: skip
    sums = np.zeros(2)
    for i in range(5):
        rows = order[16 * i : 16 * (i + 1)]
        x = IMAGES[rows] / 255
        if binarize == "sampled":
            x = (uniform.random(x.shape, np.float32) < x).astype(np.float64)
        terms = vae.step(x, eps.standard_normal((len(rows), 4)))
        adam.step()
        assert losses[i] == pytest.approx(terms.loss, rel=1e-11)
        sums += len(rows) * np.array(terms[1:])  # a smaller last batch counts by its size
    np.testing.assert_allclose(theta, vae.theta, rtol=0, atol=1e-11)
    assert losses[5] == pytest.approx(tuple(sums), rel=1e-11)


@pytest.mark.parametrize("binarize", ["none", "sampled"])
def test_beginning_in_the_middle_of_an_epoch_goes_on_to_the_same_bits(binarize):
    theta, m, losses = train(2, binarize=binarize)
    again, m_again, losses_again = train(2, binarize=binarize, cut=3)
    assert np.array_equal(theta, again)
    assert np.array_equal(m, m_again)
    assert losses == losses_again


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_batch_of_fewer_images_than_threads(threads):
    theta, _, losses = train(threads, "float64", batch_size=23)  # the last batch has one image
    alone, _, losses_alone = train(1, "float64", batch_size=23)
    np.testing.assert_allclose(theta, alone, rtol=0, atol=1e-10)
    np.testing.assert_allclose(np.hstack(losses), np.hstack(losses_alone), rtol=1e-11)
