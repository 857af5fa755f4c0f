"""Kills at random moments: nothing but steps since the last checkpoint is ever lost.

After each kill the checkpoint is compared with the uninterrupted run at that very step, and at the
end of each run the whole state, to the bit. The first processes of a run have no checkpoint yet.
"""

import random
import time

import pytest
import runs

from minivae.runs import checkpoint

EPOCHS, STEPS = 8, 15  # 120 steps


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The data, and the state of the uninterrupted run after every step and epoch."""
    file = runs.npz(tmp_path_factory.mktemp("data"))
    t, states = runs.like_command(file), {}

    def note(t):
        states[t.epoch, t.step] = runs.state(t)

    for _ in t.run(EPOCHS, threads=2, after_step=note):
        note(t)
    assert t.steps_per_epoch == STEPS
    return file, states, t.data


def life(file, run, every, source):
    """Start or resume the run and kill it at random; return whether it was still at work then.

    Mostly soon after its first checkpoint, when it takes steps and writes the next ones; else
    anywhere, imports included.
    """
    before = written(run)
    arguments = ["--resume"] if before else ["--data", file, *runs.SMALL, "--epochs", EPOCHS]
    with open(run.with_suffix(".said"), "w+") as said:
        arguments += ["--checkpoint-every", every, "--out", run]
        process = runs.start(*arguments, stderr=said, slow_disk=True)
    if source.random() < 0.2:
        time.sleep(source.uniform(0, 1))
    else:
        while written(run) == before and process.poll() is None:
            time.sleep(0.001)
        time.sleep(source.uniform(0, 0.08))
    process.kill()
    process.wait()  # not for its copies: they may outlive it by a moment
    said = run.with_suffix(".said").read_text()
    assert "Error" not in said and "Traceback" not in said, said
    return process.returncode == -9


def written(run):
    """Return what tells one checkpoint file from the next; None before the first."""
    try:
        found = (run / checkpoint.FILE).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def crash(reference, folder, kills, seed):
    """Kill runs until `kills` kills have hit; return how many, and what they hit."""
    file, states, data = reference
    source, hit, ends = random.Random(seed), [], 0
    while len(hit) < kills:
        run = folder / f"run{ends}"
        every = ("1steps", "2steps", "7steps", "1")[ends % 4]
        while len(hit) < kills:
            before = position(run)
            if not life(file, run, every, source):
                break
            hit.append(bool(list(run.glob(".checkpoint.npz.*.part"))))
            after = position(run)
            assert after >= before
            if after > (0, 0):
                assert runs.state(checkpoint.resume(run, data)) == states[after]
        arguments = ["--resume"] if position(run) > (0, 0) else ["--data", file, *runs.SMALL]
        process = runs.start(*arguments, "--epochs", EPOCHS, "--out", run)
        said = process.communicate()[1]
        assert process.returncode == 0, said
        assert runs.state(checkpoint.resume(run, data)) == states[EPOCHS, 0]
        lines = (run / "history.csv").read_text().splitlines()
        assert [line.split(",")[0] for line in lines[1:]] == [str(n + 1) for n in range(EPOCHS)]
        assert not list(run.glob(".*.part"))
        ends += 1
    return len(hit), sum(hit), ends


def position(run):
    if not (run / checkpoint.FILE).exists():
        return 0, 0
    state = checkpoint.read(run).config["training"]
    return state["epoch"], state["step"]


def test_kills(reference, tmp_path):
    crash(reference, tmp_path, 2, seed=1)


@pytest.mark.slow
def test_100_kills(reference, tmp_path):
    kills, during, ends = crash(reference, tmp_path, 100, seed=2)
    print(f"\n{kills} kills, {during} of them while a checkpoint was being written; every time the")
    print(f"checkpoint was the uninterrupted run's to the bit, and so were the ends of {ends} runs")
    assert kills == 100 and during >= 5
