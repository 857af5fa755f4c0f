"""minivae as a guest in other programs: their signals, forks and threads, and what it leaves."""

import copy
import errno
import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
import weakref

import numpy as np
import pytest
import runs
from threadpoolctl import threadpool_info, threadpool_limits

from minivae import VAE, MinivaeError
from minivae.data import load_data, sources
from minivae.errors import ArgumentError, DataError
from minivae.runs import checkpoint
from minivae.training import Training, evaluate
from minivae.training.crew import Crew, CrewError, can_fork, cores

pytestmark = pytest.mark.skipif(not can_fork(), reason="this process cannot share work by forking")


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def children():
    """The numbers of this process's children, zombies among them."""
    with open(f"/proc/self/task/{threading.get_native_id()}/children") as file:
        return file.read().split()


def begun(steps=3, threads=2, **settings):
    """Return a training in the middle of its first epoch, and its generator."""
    t = runs.training(runs.dataset(), **settings)
    run = t.run(5, threads=threads, after_step=lambda t: t.step == steps)
    next(run, None)
    return t, run


# --- members that end -----------------------------------------------------------------------------


@pytest.mark.parametrize("reaper", ["nobody", "the system", "the application"])
@pytest.mark.parametrize(
    "moment", ["in a step", pytest.param("between epochs", marks=pytest.mark.slow)]
)
def test_a_member_that_is_killed(tmp_path, reaper, moment):
    """One error, whoever collects the dead; the state from before the step can be saved."""
    handler = {
        "nobody": signal.SIG_DFL,
        "the system": signal.SIG_IGN,
        "the application": lambda *_: collect(),
    }[reaper]

    def collect():
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    data = runs.dataset()
    whole, t = runs.training(data), runs.training(data)
    list(whole.run(3, threads=2))
    before = signal.signal(signal.SIGCHLD, handler)
    try:

        def kill(t):
            if moment == "in a step" and (t.epoch, t.step) == (1, 5):
                os.kill(t._steps._crew._children[0], signal.SIGKILL)

        with pytest.raises(CrewError, match="has ended"):
            for record in t.run(3, threads=2, after_step=kill):
                if moment == "between epochs" and record.epoch == 1:
                    os.kill(t._steps._crew._children[0], signal.SIGKILL)
                    time.sleep(0.05)
        assert children() == []
    finally:
        signal.signal(signal.SIGCHLD, before)
    checkpoint.save(tmp_path / "file", t.vae, t)
    again = checkpoint.resume(tmp_path / "file", data)
    list(again.run(3, threads=2))
    assert runs.state(again) == runs.state(whole)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_evaluation_where_the_dead_are_not_kept(handler):
    """Success is told by the members themselves, not by an exit status that nobody has."""
    vae, x = VAE(36, **runs.SIZES), runs.images(4000)
    before = signal.signal(signal.SIGCHLD, handler)
    try:
        assert evaluate(vae, x, threads=3) == evaluate(vae, x, threads=1)
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_member_that_fails_in_an_evaluation_is_told():
    crew = Crew(2)
    crew.start(lambda: os._exit(0))  # a status of success, but the work is not done
    with pytest.raises(CrewError, match="has failed"):
        crew.wait()


def test_a_killed_member_of_the_command(tmp_path):
    """One line, status 1, and the run can be resumed from where it was."""
    run, file = tmp_path / "run", runs.npz(tmp_path)
    arguments = ("--data", file, *runs.SMALL, "--checkpoint-every", 10**9)
    process = runs.start(*arguments, "--epochs", 100_000, "--out", run)
    epochs = 0
    while epochs < 3:  # among what else is said: that the KL has collapsed
        epochs += process.stderr.readline().startswith("epoch ")
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as found:
        os.kill(int(found.read().split()[0]), signal.SIGKILL)
    _, said = process.communicate()
    lines = [line for line in said.splitlines() if not line.startswith(("epoch ", "the KL "))]
    assert process.returncode == 1 and len(lines) == 1
    assert "has ended" in lines[0] and f"go on with minivae train --resume --out {run}" in lines[0]
    t = checkpoint.resume(run, runs.load_data(file))
    assert t.epoch >= 3
    whole = runs.like_command(file)
    stop = t.epoch, t.step
    for _ in whole.run(t.epoch + 1, threads=2, after_step=lambda w: (w.epoch, w.step) == stop):
        if (whole.epoch, whole.step) == stop:
            break
    assert runs.state(t) == runs.state(whole)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_large_file_cut_short_while_it_is_trained_on(tmp_path, monkeypatch, threads):
    """One error, where a mapped file would end the process; the state from before can be saved."""
    monkeypatch.setattr(sources, "MAP_ABOVE", 100)
    path = tmp_path / "x.npy"
    np.save(path, runs.images(240))
    content, data = path.read_bytes(), load_data(path)
    whole, t = runs.training(data), runs.training(data)
    list(whole.run(3, threads=threads))

    def cut(t):
        if (t.epoch, t.step) == (1, 5):
            os.truncate(path, 4200)  # so that all after the second page is gone

    with pytest.raises(DataError, match=r"x\.npy has been cut short while it was in use"):
        list(t.run(3, threads=threads, after_step=cut))
    assert children() == []
    path.write_bytes(content)
    checkpoint.save(tmp_path / "file", t.vae, t)
    again = checkpoint.resume(tmp_path / "file", data)
    list(again.run(3, threads=threads))
    assert runs.state(again) == runs.state(whole)


# --- forks of the application ---------------------------------------------------------------------


def test_a_fork_in_the_loop_whose_child_ends():
    """The child drops its copy of the generator: the parent's members are none of its business."""
    data = runs.dataset()
    whole, t = runs.training(data), runs.training(data)
    list(whole.run(3, threads=2))
    for _ in (run := t.run(3, threads=2)):
        child = os.fork()
        if child == 0:
            try:
                run.close()
                t._steps = None
                gc.collect()
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert t.epoch == 3
    assert runs.state(t) == runs.state(whole)


def test_a_model_made_before_a_fork_is_shared_and_said_to_be():
    vae, data = VAE(36, **runs.SIZES), runs.dataset()
    before, copied = vae.theta.copy(), copy.deepcopy(vae)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                list(Training(vae, data).run(1, threads=1))
                list(Training(copy.deepcopy(vae), data).run(1, threads=1))
            said = [str(one.message) for one in caught]
            status = 0 if len(said) == 1 and "both write to the same parameters" in said[0] else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert (vae.theta != before).any() and (copied.theta == before).all()


def test_members_end_with_their_process_though_a_copy_of_it_lives(tmp_path):
    """A fork of the application holds no end of their pipes open."""
    program = """
import os, sys, time
sys.path.insert(0, "tests")
import runs
t = runs.training(runs.dataset())
for record in t.run(10**9, threads=2):
    if record.epoch == 1:
        if os.fork() == 0:
            time.sleep(60)
        print(t._steps._crew._children[0], flush=True)
        os.kill(os.getpid(), 9)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=runs.ROOT,
        start_new_session=True, env=os.environ | {"PYTHONPATH": str(runs.ROOT)},
    )  # fmt: skip
    member = int(process.stdout.readline())
    process.wait()
    try:
        for _ in range(500):
            try:
                os.kill(member, 0)
            except ProcessLookupError:
                return
            time.sleep(0.01)
        pytest.fail("the member outlived the first process by 5 seconds")
    finally:
        os.killpg(process.pid, signal.SIGKILL)


# --- several at a time, and parts of one ----------------------------------------------------------


def test_two_trainings_in_turn():
    """Each has the same bits as alone, and BLAS its threads back, whichever ends first."""
    data = runs.dataset()
    expected = []
    for seed, threads in ((3, 2), (4, 1), (5, 2)):
        t = runs.training(data, seed=seed)
        list(t.run(3, threads=threads))
        expected.append(runs.state(t))
    for first in range(2):
        with threadpool_limits(2, user_api="blas"):
            before = blas_threads()
            ts = [runs.training(data, seed=seed) for seed in (3, 4, 5)]
            running = [t.run(3, threads=n) for t, n in zip(ts, (2, 1, 2), strict=True)]
            list(itertools.zip_longest(*(running if first else running[::-1])))
            assert blas_threads() == before
        assert [runs.state(t) for t in ts] == expected
    assert children() == []


def test_a_generator_dropped_half_way_leaves_nothing():
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads(), len(os.listdir("/proc/self/fd"))
        run = runs.training(runs.dataset()).run(5, threads=2)
        next(run)
        assert len(children()) == 1
        del run
        assert (blas_threads(), len(os.listdir("/proc/self/fd"))) == before
        assert children() == []


def test_a_training_is_freed_without_a_collection():
    gc.disable()
    try:
        t = runs.training(runs.dataset())
        list(t.run(2, threads=2))
        gone = weakref.ref(t), weakref.ref(t.adam)
        del t
        assert [ref() for ref in gone] == [None, None]
    finally:
        gc.enable()


def test_an_exception_of_the_consumer():
    t = runs.training(runs.dataset())
    with pytest.raises(KeyError):
        for _ in t.run(3, threads=2):
            raise KeyError("the consumer's own")
    assert children() == [] and t.epoch == 1
    list(t.run(3, threads=2))
    whole = runs.training(runs.dataset())
    list(whole.run(3, threads=2))
    assert runs.state(t) == runs.state(whole)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_interruption_within_a_step(tmp_path, monkeypatch, threads):
    """What is saved afterwards is a state that the training had, and goes on to the same bits."""
    data = runs.dataset()
    whole, t = runs.training(data), runs.training(data)
    list(whole.run(3, threads=threads))
    count = iter(range(1000))
    real = type(t.adam).update

    def update(self, *part):
        real(self, *part)
        if self is t.adam and next(count) == 17:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(t.adam), "update", update)
        with pytest.raises(KeyboardInterrupt):
            # In the members the count runs too, but what they raise is theirs.
            list(t.run(3, threads=threads))
    checkpoint.save(tmp_path / "file", t.vae, t)
    again = checkpoint.resume(tmp_path / "file", data)
    list(again.run(3, threads=threads))
    assert runs.state(again) == runs.state(whole)


def test_a_training_in_a_thread():
    """There it does not fork; what it computes differs in the last bits at most."""
    t, whole = (runs.training(runs.dataset(), dtype="float64") for _ in range(2))
    thread = threading.Thread(target=lambda: list(t.run(2, threads=2)))
    thread.start()
    thread.join()
    list(whole.run(2, threads=2))
    np.testing.assert_allclose(t.vae.theta, whole.vae.theta, rtol=0, atol=1e-10)


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_many_trainings_leave_nothing(count):
    """Neither processes, descriptors, limits of BLAS, nor memory."""

    def one(i):
        t = Training(VAE(36, hidden=(300, 100), latent=3), data, batch_size=50)
        ways = {
            0: lambda: list(t.run(1, threads=2)),
            1: lambda: next(t.run(2, threads=2)),
            2: lambda: next(t.run(2, threads=2, after_step=lambda t: True), None),
            3: lambda: list(t.run(1, threads=1)),
        }
        ways[i % 4]()

    def left():
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        return children(), len(os.listdir("/proc/self/fd")), blas_threads(), pages

    data = runs.dataset()
    for i in range(8):
        one(i)
    before = left()
    for i in range(count):
        one(i)
    after = left()
    assert after[:3] == before[:3] and after[0] == []
    # A model has 0.3 MB of parameters, gradients and moments: one of each would be 6 MB in 20.
    assert (after[3] - before[3]) * os.sysconf("SC_PAGE_SIZE") < count * 100_000


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, -1, 1025, 10**9, 10**30])
def test_numbers_of_threads_that_cannot_be(threads):
    data = runs.dataset()
    for use in (lambda: next(runs.training(data).run(1, threads=threads)),
                lambda: evaluate(VAE(36), data.test, threads=threads),
                lambda: cores(threads)):  # fmt: skip
        with pytest.raises(ArgumentError, match=r"threads must be .*from"):
            use()


def test_a_sandbox_that_forbids_to_choose_a_core(monkeypatch):
    def refuse(*args):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    assert len(list(runs.training(runs.dataset()).run(2, threads=2))) == 2


@pytest.mark.parametrize("setting", ["lr", "beta"])
def test_a_setting_changed_after_a_step_is_every_process_s(setting):
    """In the step that follows, not from the next epoch on."""

    def change(t):
        if t.step == 4:
            setattr(t.adam if setting == "lr" else t.vae, setting, 0.05)

    ends = []
    for threads in (1, 2):
        t = runs.training(runs.dataset(), dtype="float64")
        list(t.run(1, threads=threads, after_step=change))
        ends.append(t.vae.theta.copy())
    np.testing.assert_allclose(*ends, rtol=0, atol=1e-10)
    assert MinivaeError in CrewError.__mro__
