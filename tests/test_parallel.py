"""Processes: who does what, what happens when one fails, and that their number changes nothing."""

import itertools
import os
import signal
import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from minivae import VAE, Adam, MinivaeError
from minivae.backend import is_shared, shared_empty
from minivae.data import Dataset
from minivae.data.pixels import Source
from minivae.layers import Layer
from minivae.noise import RowNoise, permutation
from minivae.training import Training
from minivae.training.crew import Crew, can_fork
from minivae.training.steps import Steps

forks = pytest.mark.skipif(not can_fork(), reason="this process cannot share work by forking")


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


# --- the crew ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 128])
def test_rows_are_shared_without_gap_or_overlap(size, n):
    crew, shares = Crew(size), []
    for crew.k in range(size):
        shares.append(crew.rows(n))
    assert [i for share in shares for i in range(n)[share]] == list(range(n))
    lengths = [share.stop - share.start for share in shares]
    assert max(lengths) - min(lengths) <= 1


def test_shared_memory_is_recognised_through_views():
    assert is_shared(shared_empty((3, 4), "float32")[1:, ::2].T) == hasattr(os, "fork")
    assert not is_shared(np.empty((3, 4)))
    assert not is_shared(shared_empty((3, 4), "float32").copy())


@forks
@pytest.mark.parametrize("size", [2, 3, 5])
def test_members_wait_for_one_another(size):
    """At each meeting every member finds what all wrote before it, and nothing from after it."""
    seen, wrong = shared_empty((50, size), np.int64), shared_empty((size,), np.int64)
    crew = Crew(size)

    def work():
        for i in range(50):
            seen[i, crew.k] += 1
            crew.meet()
            wrong[crew.k] += (seen[: i + 1] != 1).sum() + (seen[i + 2 :] != 0).sum()

    crew.start(work)
    work()
    crew.wait()
    assert (seen == 1).all()
    assert (wrong == 0).all()


@forks
def test_followers_wait_for_the_first_member():
    count = shared_empty((1,), np.int64)
    crew = Crew(2)

    def work():
        crew.follow()
        count[0] += 1
        crew.meet()

    crew.start(work)
    time.sleep(0.05)
    assert count[0] == 0
    crew.release()
    crew.meet()
    assert count[0] == 1
    crew.wait()


@forks
@pytest.mark.parametrize("fault", ["raises", "is killed"])
def test_a_member_that_ends_early_is_an_error_and_no_hang(fault, capfd):
    crew = Crew(2)

    def work():
        if fault == "raises":
            raise KeyError("in a member")
        os.kill(os.getpid(), signal.SIGKILL)

    crew.start(work)
    with pytest.raises(MinivaeError, match="has ended"):
        crew.meet()
    crew.close()


@forks
def test_too_many_processes_are_one_clear_line(monkeypatch):
    real, count = os.fork, iter(range(2))

    def fork():
        if next(count) == 1:
            raise OSError(11, "Resource temporarily unavailable")
        return real()

    monkeypatch.setattr(os, "fork", fork)
    crew = Crew(3)
    with pytest.raises(MinivaeError, match="3 processes cannot be started"):
        crew.start(crew.follow)
    assert crew._children == []


@forks
def test_close_ends_the_members():
    crew = Crew(3)
    crew.start(crew.follow)
    children = list(crew._children)
    assert len(children) == 2
    assert all(map(alive, children))
    crew.close()
    assert not any(map(alive, children))


@forks
def test_members_end_when_the_first_process_is_killed():
    """A child starts a crew and is killed; its own child must not stay."""
    told = shared_empty((1,), np.int64)

    def member():
        told[0] = os.getpid()
        crew.follow()

    parent = os.fork()
    crew = Crew(2)
    if parent == 0:
        crew.start(member)
        time.sleep(60)
        os._exit(0)
    while told[0] == 0:
        time.sleep(0.01)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    for _ in range(500):
        if not alive(int(told[0])):
            return
        time.sleep(0.01)
    pytest.fail("the member outlived the first process by 5 seconds")


# --- the steps -----------------------------------------------------------------------------------

IMAGES = np.random.default_rng(0).integers(0, 256, (70, 30), np.uint8)


def train(
    threads, dtype="float32", binarize="none", batch_size=16, epochs=2, cut=None, accumulate=1
):
    """Return (theta, m, losses) after some epochs; with `cut`, that step is begun anew."""
    vae = VAE(30, hidden=(12, 8), latent=4, seed=1, dtype=dtype)
    adam = Adam(vae.parameters, vae.backend, 1e-2)
    losses = []
    steps = Steps(vae, adam, Source(IMAGES, binarize), batch_size, threads, None, accumulate)
    assert steps.members == (threads if can_fork() else 1)
    for epoch in range(epochs):

        def begin(*position, epoch=epoch):
            order = permutation(0, "order", epoch, len(IMAGES))
            noise = (RowNoise(0, purpose, epoch) for purpose in ("eps", "binarize"))
            steps.begin(order, *noise, *position)

        begin()
        for i in range(-(-len(IMAGES) // batch_size)):
            if i == cut:
                begin(i, steps.totals())
            losses.append(steps.step(i))
        losses.append(steps.totals())
    # What the layers keep is a piece's, not a batch's.
    kept = {
        len(array) for layer in steps.model.leaves() for array in layer.buffers._arrays.values()
    }
    assert max(kept) == len(steps._x) == -(-batch_size // accumulate)
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
@pytest.mark.parametrize(("binarize", "accumulate"), [("none", 1), ("sampled", 1), ("sampled", 3)])
def test_steps_are_the_models_and_adams(threads, binarize, accumulate):
    """An epoch of `Steps` is `vae.step` and `adam.step` on the same batches and noise."""
    theta, _, losses = train(threads, "float64", binarize, epochs=1, accumulate=accumulate)
    vae = VAE(30, hidden=(12, 8), latent=4, seed=1, dtype="float64")
    adam = Adam(vae.parameters, vae.backend, 1e-2)
    order = permutation(0, "order", 0, 70)
    noise = RowNoise(0, "eps", 0).normal(0, np.empty((70, 4)))
    uniform = RowNoise(0, "binarize", 0).uniform(0, np.empty((70, 30), np.float32))
    sums = np.zeros(2)
    for i in range(5):
        rows = order[16 * i : 16 * (i + 1)]
        x = IMAGES[rows] / 255
        if binarize == "sampled":
            x = (uniform[16 * i : 16 * (i + 1)] < x).astype(np.float64)
        terms = vae.step(x, noise[16 * i : 16 * (i + 1)])
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


@forks
def test_close_leaves_no_process_and_gives_blas_its_threads_back():
    vae = VAE(30, hidden=(12, 8), latent=4)
    steps = Steps(vae, Adam(vae.parameters, vae.backend), Source(IMAGES), 35, 3)
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        steps.begin(np.arange(70), RowNoise(0, "eps"), RowNoise(0, "binarize"))
        children = list(steps._crew._children)
        assert len(children) == 2
        assert set(blas_threads()) == {1}
        steps.step(0)
        steps.close()
        assert blas_threads() == before
        assert not any(map(alive, children))
        open_files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        steps.close()
        if open_files:
            assert len(os.listdir("/proc/self/fd")) == open_files


@forks
@pytest.mark.parametrize("asked, said", [(None, 0), (2, 1), (1, 0)])
def test_where_other_threads_run_products_take_one(asked, said):
    """As in a notebook: several of BLAS's threads collapse when another program has a core."""
    end = threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()
    try:
        vae = VAE(30, hidden=(12, 8), latent=4)
        training = Training(vae, Dataset("x", IMAGES, IMAGES, None, None, (5, 6)), products="numpy")
        notes = []
        training.notice = notes.append
        next(training.run(1, threads=asked))
        assert [note[:26] for note in notes] == ["one of 2 cores is used: th"] * said
        steps = Steps(vae, Adam(vae.parameters, vae.backend), Source(IMAGES), 35, asked)
        with threadpool_limits(2, user_api="blas"):
            steps.begin(np.arange(70), RowNoise(0, "eps"), RowNoise(0, "binarize"))
            assert steps.members == 1
            assert set(blas_threads()) == {1}
            steps.close()
            assert set(blas_threads()) == {2}
    finally:
        end.set()
        other.join()


@forks
def test_an_epoch_may_be_longer_or_shorter_than_the_data():
    ends = []
    for threads in (1, 2):
        vae = VAE(30, hidden=(12, 8), latent=4, dtype="float64")
        steps = Steps(vae, Adam(vae.parameters, vae.backend), Source(IMAGES), 35, threads)
        for epoch, count in enumerate((70, 40, 160)):
            order = np.random.default_rng(epoch).integers(0, 70, count)
            steps.begin(order, RowNoise(0, "eps", epoch), RowNoise(0, "binarize", epoch))
            for i in range(-(-count // 35)):
                steps.step(i)
        steps.close()
        ends.append(vae.theta.copy())
    np.testing.assert_allclose(*ends, rtol=0, atol=1e-11)


@forks
def test_processes_follow_what_changes_between_epochs():
    """Learning rate, beta and the step counter may change; all processes must use the new ones."""
    ends = []
    for threads in (1, 2):
        vae = VAE(30, hidden=(12, 8), latent=4, dtype="float64")
        adam = Adam(vae.parameters, vae.backend)
        steps = Steps(vae, adam, Source(IMAGES), 35, threads)
        for epoch in range(2):
            steps.begin(np.arange(70), RowNoise(0, "eps", epoch), RowNoise(0, "binarize", epoch))
            for i in range(2):
                steps.step(i)
            adam.lr, adam.steps, vae.beta = 0.01, 7, 3.0
        steps.close()
        ends.append(vae.theta.copy())
    np.testing.assert_allclose(*ends, rtol=0, atol=1e-12)


@forks
def test_the_model_can_be_used_in_the_middle_of_an_epoch():
    """Its other methods have buffers of their own: they do not disturb a step."""
    ends = []
    for used in (False, True):
        vae = VAE(30, hidden=(12, 8), latent=4)
        steps = Steps(vae, Adam(vae.parameters, vae.backend), Source(IMAGES), 20, 2)
        steps.begin(np.arange(70), RowNoise(0, "eps"), RowNoise(0, "binarize"))
        for i in range(4):
            steps.step(i)
            if used:
                vae.encode(np.zeros((200, 30)))
                vae.sample(100)
                vae.log_likelihood(np.zeros((3, 30)), 2)
        steps.close()
        ends.append(vae.theta.copy())
    assert np.array_equal(*ends)


@forks
def test_a_step_of_another_size_while_processes_train_disturbs_nothing():
    """The steps have buffers of their own, so that whoever looks on may use the model."""
    alone = VAE(30, hidden=(12, 8), latent=4)
    undisturbed = Steps(alone, Adam(alone.parameters, alone.backend), Source(IMAGES), 20, 2)
    undisturbed.begin(np.arange(70), RowNoise(0, "eps"), RowNoise(0, "binarize"))
    for i in range(4):
        undisturbed.step(i)
    undisturbed.close()

    vae = VAE(30, hidden=(12, 8), latent=4)
    steps = Steps(vae, Adam(vae.parameters, vae.backend), Source(IMAGES), 20, 2)
    steps.begin(np.arange(70), RowNoise(0, "eps"), RowNoise(0, "binarize"))
    for i in range(4):
        steps.step(i)
        vae.step(np.zeros((200, 30)), np.zeros((200, 4)))
    steps.close()
    assert vae.theta.tobytes() == alone.theta.tobytes()


def test_a_layer_that_crosses_rows_trains_in_one_process_and_says_so():
    class Centre(Layer):
        crosses_rows = True

        def forward(self, x):
            return x - x.mean(axis=0)

        def backward_input(self, dy):
            return dy - dy.mean(axis=0)

    vae = VAE(30, hidden=(12, 8), latent=4)
    vae.decoder.inner["1"] = Centre()
    with pytest.warns(UserWarning, match="Centre looks at all images of a batch"):
        steps = Steps(vae, Adam(vae.parameters, vae.backend), Source(IMAGES), 20, 2)
    assert steps.members == 1
    with pytest.raises(MinivaeError, match="Centre looks at all images of a batch: no --accumul"):
        Steps(vae, Adam(vae.parameters, vae.backend), Source(IMAGES), 20, 1, None, 2)


def test_a_model_in_private_memory_trains_alone(monkeypatch):
    """What no fork shares must not be shared out: the other processes would train copies."""
    monkeypatch.setattr("minivae.backend.shared_empty", np.empty)
    vae = VAE(30, hidden=(12, 8), latent=4)
    steps = Steps(vae, Adam(vae.parameters, vae.backend), Source(IMAGES), 20, 2)
    assert steps.members == 1


@forks
@pytest.mark.parametrize(
    "parts",
    [
        {"hidden": "c4,8"},
        {"hidden": "c4,r4,8"},
        {"prior": "mixture:3"},
        {"posterior": "full"},
        {"bound": "freebits:0.1"},
        {"bound": "dreg:4"},
    ],
    ids=str,
)
def test_a_last_batch_of_fewer_images_than_processes(parts):
    """One image, and three processes: the first passes it alone, all compute its gradients."""
    images, ends = np.random.default_rng(0).random((9, 64), np.float32), []
    for threads in (1, 3):
        vae = VAE(64, **{"hidden": (12, 8), "latent": 4, "seed": 1} | parts)
        steps = Steps(vae, Adam(vae.parameters, vae.backend), Source(images), 4, threads)
        assert steps.members == threads
        for _ in range(2):
            steps.begin(np.arange(9), RowNoise(0, "eps"), RowNoise(0, "binarize"))
            for i in range(3):
                steps.step(i)
        steps.close()
        ends.append(vae.theta.copy())
    np.testing.assert_allclose(*ends, rtol=1e-4, atol=1e-6)
