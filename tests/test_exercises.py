"""The exercises: right answers pass, wrong ones are named, and no mistake of a user ends badly."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from runs import thinned

import minivae
from minivae import formulas as f
from minivae.cli import main
from minivae.runs import checkpoint
from minivae.teaching.exercises import state, student
from minivae.teaching.exercises.assemble import OwnVAE, own_pages
from minivae.teaching.exercises.catalogue import BLANK, EXERCISES, TASKS, find
from minivae.teaching.exercises.hints import HINTS, hint
from minivae.teaching.exercises.sandbox import Sandbox
from minivae.teaching.exercises.verdict import judge

each = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda one: one.name)


def of_kind(kind):
    chosen = [one for one in EXERCISES if one.kind == kind]
    return pytest.mark.parametrize("exercise", chosen, ids=lambda one: one.name)


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(folder, number, answers=None):
    """Write an answer in which the lines with blanks given are filled so, the others rightly."""
    one = find(number)
    assert not set(answers or {}) - set(one.blanks)
    (folder / one.file).write_text(one.source(answers or {}), encoding="utf-8")
    return one


@pytest.fixture
def verdict(tmp_path, sandbox):
    """Return what judges an answer, all in one child process."""
    return lambda number, answers=None: judge(answer(tmp_path, number, answers), tmp_path, sandbox)


def said(found):
    """Return what a verdict names, without the lines' numbers."""
    return [
        re.sub(r"^line \d+(, \w+)?: ", "", line[3:])
        for line in found.lines
        if line.startswith("-> ")
    ]


def command(*arguments):
    return CliRunner().invoke(main, ["exercise", *map(str, arguments)])


# --- right answers --------------------------------------------------------------------------------


@each
def test_the_solution_passes(exercise, verdict):
    found = verdict(exercise.number)
    assert found.passed, found.lines
    assert all("right" in line for line in found.lines)


@of_kind("blanks")
def test_the_file_given_has_only_its_blanks_filled_in_the_solution(exercise, tmp_path):
    path = student.copy_task(exercise, tmp_path)
    given, solved = path.read_text().splitlines(), exercise.source({}).splitlines()
    changed = [(one, two) for one, two in zip(given, solved, strict=True) if one != two]
    assert len(changed) == len(exercise.blanks) > 0
    assert all(BLANK in one and BLANK not in two for one, two in changed)
    assert "  #: " not in path.read_text()
    assert f"minivae exercise check {exercise.number}" in path.read_text()


@of_kind("blanks")
def test_every_blank_is_asked_for(exercise, tmp_path):
    path = student.copy_task(exercise, tmp_path)
    with pytest.raises(student.ExerciseError, match="a blank left") as error:
        judge(exercise, tmp_path)
    lines = path.read_text().splitlines()
    blank = [i for i, line in enumerate(lines, 1) if BLANK in line and not line.startswith("Repl")]
    assert [int(one) for one in re.findall(r"\d+", str(error.value).partition("line")[2])][
        : len(blank)
    ] == blank


def test_tasks_and_lessons_are_where_the_catalogue_says():
    assert [one.number for one in EXERCISES] == list(range(1, len(EXERCISES) + 1))
    assert len(list(TASKS.glob("*.py"))) == len(EXERCISES) >= 10
    lessons = Path(__file__).parent.parent / "minivae" / "teaching" / "lessons"
    for one in EXERCISES[:13]:
        page = lessons / f"{one.lesson}.md"
        assert f"minivae exercise start {one.number}` (`{one.name}`)" in page.read_text()
        assert f"Lesson {one.page} (minivae learn)" in one.solution


def test_the_solution_of_adam_is_the_engines():
    module = student.run(find(10).source({}), "adam_solution")
    rng = np.random.default_rng(0)
    theta = rng.normal(size=50)
    mine, m, v = theta.copy(), np.zeros(50), np.zeros(50)
    other, m2, v2 = theta.copy(), np.zeros(50), np.zeros(50)
    for step in range(1, 30):
        grad = rng.normal(size=50)
        module.adam(mine, grad, m, v, step, 0.01)
        rate, floor = f.adam_constants(step, 0.01, 0.9, 0.999, 1e-8)
        f.adam(other, grad, m2, v2, 0.9, 0.999, rate, floor)
    assert np.abs(mine - other).max() < 1e-13  # sums of 30 steps of 0.01, in float64


def test_the_solution_of_the_bound_meets_a_known_probability():
    """For z ~ N(0, 1) and x|z ~ N(z, 1), x ~ N(0, 2)."""
    module = student.run(find(7).source({}), "bound_solution")
    x, draws = np.array([0.3, -1.0, 2.0]), 200_000
    z = np.random.default_rng(0).normal(x / 2, 1.0, (draws, 3))  # wider than the posterior

    def log_normal(x, mean, variance):
        return -0.5 * (np.log(2 * np.pi * variance) + (x - mean) ** 2 / variance)

    parts = log_normal(x, z, 1.0), log_normal(z, 0.0, 1.0), log_normal(z, x / 2, 1.0)
    log_w = parts[0] + parts[1] - parts[2]
    weights = np.exp(log_w - log_normal(x, 0.0, 2.0))
    error = weights.std(axis=0) / draws**0.5
    found = module.importance_bound(*parts)
    assert (np.abs(found - log_normal(x, 0.0, 2.0)) < 5 * error).all()


@of_kind("hunt")
def test_a_hunt_shows_what_comes_out_and_not_where_it_is(exercise, tmp_path, sandbox):
    path = student.copy_task(exercise, tmp_path)
    given, solved = path.read_text().splitlines(), exercise.source({}).splitlines()
    changed = [one for one, two in zip(given, solved, strict=True) if one != two]
    assert len(changed) == len(exercise.blanks) in (1, 2) and BLANK not in path.read_text()
    found = judge(exercise, tmp_path, sandbox)
    text = "\n".join(found.lines)
    assert not found.passed and "The trace:" in text and not said(found)
    assert not any(line.strip() in text or "line " in text for line in changed)


def test_a_wrong_mending_of_a_hunts_line_is_judged(tmp_path, sandbox):
    one = find(14)
    path = student.copy_task(one, tmp_path)
    given = path.read_text()
    for line, wrong, words in (
        (one.blanks[0], "da = dh * self.h", "stands where `self.h > 0` belongs"),
        ("dlogits.sum(axis=0)", "dlogits.mean(axis=0)", "as it was given it was right"),
    ):
        path.write_text(given.replace(line, wrong))
        assert words in "\n".join(judge(one, tmp_path, sandbox).lines)


@of_kind("page")
def test_a_blank_page_is_blank(exercise, tmp_path, sandbox):
    path = student.copy_task(exercise, tmp_path)
    assert "class" not in path.read_text().partition("import numpy")[2]
    with pytest.raises(student.ExerciseError, match=r"has no \w+ yet: write it"):
        judge(exercise, tmp_path, sandbox)


PAGES = [  # what is replaced on a right page, and what must be said
    (20, "dy * (self.y > 0)", "dy * (dy > 0)", "gradient of 0.weight"),
    (20, "dy.sum(axis=0)", "dy.mean(axis=0)", "A mean stands where a sum belongs"),
    (20, '["weight"][...] = dy.T', '["weight"] += dy.T', "gradient of 0.weight"),
    (20, "x @ self.params", "x.T @ self.params", "a product of matrices needs"),
    (20, "rng.uniform(-bound, bound, outputs)", "np.zeros(outputs)", "bias starts at 0"),
    (20, "np.maximum(x, 0)", "np.maximum(x, 0, out=x)", "ReLU.forward changes x"),
    (23, "value -= ", "self.params[name] = value - ", "in place, `self.params[name][...]"),
    (21, "np.exp(logvar / 2)", "np.exp(logvar)", "the forward's output"),
    (21, "dz * self.noise / 2", "dz * self.noise", "The half is missing"),
    (22, "(probability - x) / len(x)", "probability - x", "mean over the batch"),
    (22, "np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))",
     "np.log1p(np.exp(logits))", "2000"),
    (22, "np.expm1(logvar) - logvar", "np.exp(logvar) - logvar", "the KL"),
    (23, "mhat, vhat = m / (1 - self.beta1**self.step)", "mhat, vhat = m / 1", "first step"),
    (23, "value -=", "grads[name] *= 2; value -=", "only read"),
]  # fmt: skip


@pytest.mark.parametrize("case", thinned(PAGES, 9), ids=lambda case: f"{case[0]}: {case[2]}")
def test_a_page_with_a_fault_is_told_what_comes_out(case, tmp_path, sandbox):
    number, right, wrong, words = case
    one = answer(tmp_path, number)
    path = tmp_path / one.file
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, wrong))
    found = judge(one, tmp_path, sandbox)
    assert not found.passed and words in "\n".join(found.lines)


def pages(folder):
    for one in EXERCISES:
        if one.kind == "page":
            answer(folder, one.number)


def test_the_students_files_are_put_together_and_trained(folder):
    pages(folder)
    x = np.random.default_rng(0).uniform(size=(300, 49)).astype("float32")
    np.savez("tiny.npz", x_train=x[:256], x_test=x[256:])
    sizes = ["--data", "tiny.npz", "--hidden", "7", "--latent", "2"]
    found = command("build", *sizes, "--epochs", 2, "--no-open")
    assert found.exit_code == 0, found.output
    losses = [float(one) for one in re.findall(r"train ([\d.]+)", found.output)]
    assert len(losses) == 2 and losses[1] < losses[0]
    vae = checkpoint.load("runs/mine")
    assert (vae.pixels, vae.hidden, vae.latent) == (49, (7,), 2)
    assert "<html" in Path("runs/mine/explore.html").read_text()
    again = command("build", *sizes, "--no-open")
    assert again.exit_code == 1 and "holds a run already" in again.stderr
    path = folder / find(21).file
    path.write_text(path.read_text().replace("self.noise / 2", "self.noise"))
    wrong = command("build", *sizes, "--out", "runs/other", "--no-open")
    assert wrong.exit_code == 1 and "minivae exercise check 21 says why" in wrong.stderr
    assert not Path("runs/other").exists()


def test_the_wiring_of_own_parts_gives_the_gradient_of_minivaes_step(folder):
    pages(folder)
    own = OwnVAE(own_pages(folder), 11, (7, 5), 3)
    vae = own.as_vae()
    rng = np.random.default_rng(1)
    x, eps = rng.uniform(size=(6, 11)), rng.normal(size=(6, 3))
    loss = own.step(x, eps)
    assert abs(loss - vae.step(x, eps).loss) < 1e-5 * loss
    for name, grad in own._named("grads").items():
        assert np.abs(grad - vae.grads[name]).max() < 1e-5  # float32 beside float64


# --- wrong answers --------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_the_catalogues_mistakes_are_named(exercise, verdict, every):
    for mistake in exercise.mistakes[::every]:
        found = verdict(exercise.number, {mistake.blank: mistake.wrong})
        assert not found.passed
        assert said(found) == [mistake.says]


DX, DLOGVAR = "dx[...] = ____", "dlogvar[...] = ____"
WRONG = [  # other ways to write what students write, and what must be said
    (1, {DX: "dx[...] = np.where(dy > 0, dy, 0)"}, "mask is that of dy"),
    (1, {DX: "dx = dy * (y > 0)"}, "dx at (", "makes a new array"),
    (1, {DX: "dx += dy * (y > 0)"}, "adds to what is there", "not `+=`"),
    (1, {DX: "dy *= y > 0; dx[...] = dy"}, "changes dy, which it is to read only"),
    (2, {DX: "dx[...] = -dy * y * (1 - y)"}, "sign is wrong"),
    (2, {DX: "dx[...] = 2 * dy * y * (1 - y)"}, "A factor 2 is too many"),
    (4, {"dweight[...] = ____": "dweight += dy.T @ x"}, "adds to what is there", "not `+=`"),
    (4, {"dbias[...] = ____": "dbias[...] = np.average(dy, axis=0)"}, "not a mean"),
    (5, {DX: "dx[...] = dy * (1 + y * y)"}, "sign of y * y is wrong"),
    (5, {DX: "dx[...] = dy * (1 + y * y * y - y)"}, "stands where `1 - y * y` belongs"),
    (6, {"dlogits[...] = ____": "dlogits[...] = probability - x"}, "The mean over the batch"),
    (6, {"softplus = ____": "softplus = np.log1p(np.exp(logits))"}, "2000: inf", "overflows"),
    (7, {"return ____": "return np.log(np.mean(np.exp(log_w), 0))"}, "-inf", "underflow"),
    (8, {DLOGVAR: "dlogvar[...] = beta * scale * (np.exp(logvar) - 1)"},
     "dlogvar", "The half is missing"),
    (8, {DLOGVAR: "dlogvar[...] = (np.exp(logvar) - 1) / 2 * beta"}, "mean over the batch"),
    (9, {"dlogvar += ____": "dlogvar += noise * dz"}, "The half is missing"),
    (9, {"dmu += ____": "dmu -= dz"}, "sign is wrong"),
    (10, {"mhat = ____": "mhat = m / 1.0"}, "m is not corrected"),
    (10, {"m += ____": "m += grad * (1 - beta1); grad *= 0"}, "grad, which is only read"),
    (10, {"mhat = ____": "mhat = m / (1 - beta1 ** (step - 1))"}, "`1` is too many in `step - 1`"),
    (7, {"return ____":
         "return np.log(np.exp(log_w - top).sum(axis=0) / (len(log_w) - 1)) + top"},
     "`1` is too many in `len(log_w) - 1`"),
    (11, {"da = ____": "da = dh * 1"}, "The ReLU is missing"),
    (12, {"dlogvar = ____": "dlogvar = dz * self.noise / 2"}, "KL's own gradient is missing"),
    (12, {"dstats = ____": "dstats = np.hstack([dlogvar, dmu])"}, "halves are exchanged"),
    (13, {"z = ____": "z = mu.copy()"}, "no bound"),
    (13, {"vae.posterior.sampler.____": "None"}, "path through z is missing"),
    (13, {"vae.encoder.____": "vae.encoder.backward(-dstats)"}, "sign of `dstats` is wrong"),
]  # fmt: skip


@pytest.mark.parametrize(
    "case", thinned(WRONG, 2), ids=lambda case: f"{case[0]}: {[*case[1].values()]}"
)
def test_a_wrong_answer_is_named(case, verdict):
    number, answers, *words = case
    found = verdict(number, answers)
    text = "\n".join(found.lines)
    assert not found.passed
    assert all(one in text for one in words), text


MEANS = "mhat, vhat = m / (1 - self.beta1**self.step), v / (1 - self.beta2**self.step)"


@pytest.mark.parametrize(("was", "now", "says"), [
    (MEANS, "mhat = m\n            vhat = v / (1 - self.beta2**self.step)", "`mhat` lacks"),
    ("self.step += 1", "pass", "self.step is never counted up"),
])  # fmt: skip
def test_a_blank_page_of_adam_is_mended_as_a_student_would(tmp_path, sandbox, was, now, says):
    one = answer(tmp_path, 23)
    path = tmp_path / one.file
    source = path.read_text()
    assert was in source
    path.write_text(source.replace(was, now))
    assert says in "\n".join(judge(one, tmp_path, sandbox).lines)


TWO = [  # two mistakes at once: what must be said of each
    (8, {DLOGVAR: "dlogvar[...] = beta * scale * (np.exp(logvar) - 1)",
         "dmu[...] = ____": "dmu[...] = beta * mu"}, "The half is", "mean over the batch"),
    (8, {"dmu[...] = ____": "dmu[...] = mu"}, "mean over the batch", "beta is missing"),
    (8, {DLOGVAR: "dlogvar[...] = np.exp(logvar) - 1"}, "The half is", "mean over", "beta is"),
    (10, {"mhat = ____": "mhat = m", "vhat = ____": "vhat = v"}, "m is not", "v is not"),
    (12, {"dmu = ____": "dmu = dz", "dlogvar = ____": "dlogvar = dz * self.noise"},
     "KL's own gradient is missing", "half"),
    (2, {DX: "dx[...] = -y * (1 - y)"}, "chain rule", "sign"),
    (3, {DX: "dx[...] = -dy @ weight / len(dy)"}, "sign", "mean"),
    (13, {"loss = ____": "loss = nll + kl", "z = ____": "z = mu"}, "beta is missing", "no bound"),
]  # fmt: skip


@pytest.mark.parametrize(
    "case", thinned(TWO, 4), ids=lambda case: f"{case[0]}: {[*case[1].values()]}"
)
def test_two_mistakes_at_once_are_both_named(case, verdict):
    number, answers, *words = case
    found = verdict(number, answers)
    text = "\n".join(said(found))
    assert not found.passed
    assert all(one in text for one in words), found.lines
    assert not re.search(r"\d/\d|is the (batch|width|root)", "\n".join(found.lines))


def test_a_forward_that_was_changed_is_noticed(tmp_path):
    one = answer(tmp_path, 2)
    path = tmp_path / one.file
    path.write_text(path.read_text().replace("0.5 * np.tanh(0.5 * x) + 0.5", "x / 1"))
    assert "leave it as it is" in "".join(judge(one, tmp_path).lines)


def test_a_step_with_the_wrong_gradient_order_is_no_pass(verdict):
    """Nothing that is skipped may be right because an earlier step left it."""
    for blank, wrong in (
        ("dz = ____", "dz = vae.decoder.backward(0 * dlogits)"),
        ("vae.encoder.____", "vae.encoder.backward_input(dstats)"),
        ("logits = ____", "logits = vae.decoder.forward(mu)"),
    ):
        assert not verdict(13, {blank: wrong}).passed


def test_what_no_gradient_check_sees_breaks_a_contract(tmp_path):
    """A sum over the batch instead of a mean, in value and gradient alike."""
    one = answer(tmp_path, 13)
    path = tmp_path / one.file
    path.write_text(path.read_text().replace("scale = 1 / len(x)", "scale = 1.0"))
    lines = judge(one, tmp_path).lines
    law = "contract: loss, nll, kl and gradient of a batch are the means over its rows"
    assert sum(line.startswith(law) for line in lines) == 1
    # every derivative is right, of another function
    assert not any(line.startswith("gradient of") for line in lines)


# --- the child process ----------------------------------------------------------------------------

NAUGHTY = [  # what stands in relu_backward, and the one line that must be said
    ("while True: pass", "line 12: did not end within 1 seconds"),
    (
        "while True:\n        try: y += 0\n        except BaseException: pass",
        "did not end within 1",
    ),
    ("import os; os.fork()", "line 12: starts another process"),
    ("import os; os._exit(0)", "ended its own process"),
    ("import os; os.kill(os.getppid(), 9)", "line 12: ends processes"),
    ("open('x', 'w')", "line 12: opens a file to write into it"),
    ("np.save('x', y)", "line 12: opens a file to write into it"),
    ("np.zeros(3).tofile('x')", "line 12: opens a file to write into it"),
    ("try: open(__file__, 'w')\n    except BaseException: dx[...] = dy * (y > 0)", "opens a file"),
    ("import pathlib; pathlib.Path(__file__).unlink()", "line 12: deletes a file"),
    ("import os; os.rename(__file__, 'x')", "line 12: renames a file"),
    ("import os; os.system('echo')", "line 12: starts another program"),
    ("import socket", "line 12: imports socket, for which"),
    ("import urllib.request", "line 12: imports urllib.request, for which"),
    ("import shutil", "line 12: imports shutil"),
    ("print('x' * 2000000)", "line 12: prints more than 1,000,000 characters"),
    ("np.ones(10**10)", "MemoryError"),
    ("from minivae.formulas import relu_backward as r; r(y, dy, dx)", "write it yourself"),
    ("import minivae; minivae.formulas.relu_backward(y, dy, dx)", "write it yourself"),
    ("from minivae.teaching.exercises import catalogue", "write it yourself"),
    ("import torch", "line 12: imports torch, for which"),
]


@pytest.fixture(scope="module")
def hasty():
    with Sandbox(seconds=1) as sandbox:
        yield sandbox


@pytest.mark.parametrize("case", thinned(NAUGHTY, 2), ids=lambda case: case[0][:40])
def test_what_an_answer_must_not_do(case, tmp_path, hasty):
    body, words = case
    one, source = find(1), NAUGHTY_FILE.replace("BODY", body)
    (tmp_path / one.file).write_text(source)
    with pytest.raises(student.ExerciseError) as error:
        judge(one, tmp_path, hasty)
    assert words in str(error.value) and "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == [one.file]
    assert (tmp_path / one.file).read_text() == source


NAUGHTY_FILE = """import numpy as np


def relu(x, y):
    np.maximum(x, 0, out=y)





def relu_backward(y, dy, dx):
    BODY
"""


ORPHAN = """
import os, sys
from pathlib import Path
from minivae.teaching.exercises.sandbox import Sandbox
with Sandbox(seconds=float(sys.argv[1])) as sandbox:
    print(sandbox._child().pid, flush=True)
    print(sandbox.run(sys.argv[2], Path("x.py"), number=1).failure.kind)
"""


# Python's own loop, and one in C that lets no other thread of the process run.
@pytest.mark.parametrize(
    "body", ["while True: pass", pytest.param("sum(range(10**13))", marks=pytest.mark.slow)]
)
def test_a_child_ends_with_its_parent(tmp_path, body):
    seconds = 60 if "while" in body else 0.1
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(seconds), body], stdout=subprocess.PIPE, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(minivae.__file__).parents[1])},
    )  # fmt: skip
    child = int(parent.stdout.readline())
    used = f"/proc/{child}/stat"
    while int(Path(used).read_text().split()[13]) < 60:  # it is at work: hundredths of a second
        time.sleep(0.02)
    parent.kill()
    parent.communicate()
    for _ in range(1000):
        if not os.path.exists(used) or Path(used).read_text().split()[2] == "Z":
            return
        time.sleep(0.02)
    os.kill(child, 9)
    pytest.fail("the child is still there")


def test_an_answer_that_lets_no_other_thread_run_is_ended(tmp_path):
    one = find(1)
    (tmp_path / one.file).write_text(NAUGHTY_FILE.replace("BODY", "sum(range(10**13))"))
    with Sandbox(seconds=0.1) as sandbox, pytest.raises(student.ExerciseError, match="did not end"):
        judge(one, tmp_path, sandbox)


def test_what_is_printed_is_shown(folder):
    answer(folder, 1, {DX: "print('shape', y.shape); dx[...] = dy * (y > 0)"})
    found = command("check", 1)
    assert found.exit_code == 0 and "shape (5, 7)" in found.output


def test_the_step_of_the_library_is_not_there_to_be_called(tmp_path, sandbox):
    one = answer(tmp_path, 13)
    path = tmp_path / one.file
    for body in ("vae.step(x, eps)", "type(vae).step(vae, x, eps)"):
        path.write_text(f"def step(vae, x, eps):\n    return {body}\n")
        with pytest.raises(student.ExerciseError, match="AttributeError"):
            judge(one, tmp_path, sandbox)


def test_an_input_that_is_changed_is_not_right(verdict):
    found = verdict(7, {"log_w = ____": "log_w = log_likelihood; log_w += log_prior - log_q"})
    assert not found.passed
    assert "importance_bound changes log_likelihood, which it is to read only." in said(found)


# --- the commands ---------------------------------------------------------------------------------


def test_a_new_user_solves_the_first_exercise(folder):
    assert "Next: minivae exercise start 1" in command("list").output
    started = command("start", 1)
    assert started.exit_code == 0 and "minivae exercise check 1" in started.output
    path = folder / find(1).file
    path.write_text(path.read_text().replace("dx[...] = ____", "dx[...] = dy * (y > 0)"))
    checked = command("check", 1)
    assert checked.exit_code == 0
    assert "right" in checked.output and "minivae exercise start 2" in checked.output
    assert "done" in command("list").output.splitlines()[0]


def test_start_never_overwrites(folder):
    command("start", 1)
    path = folder / find(1).file
    path.write_text("mine")
    again = command("start", 1)
    assert again.exit_code == 1 and path.read_text() == "mine"
    assert len(again.stderr.splitlines()) == 1 and "stays as it is" in again.stderr


def test_the_hint_comes_after_the_second_failed_try(folder):
    answer(folder, 8, {DLOGVAR: "dlogvar[...] = beta * scale * (np.exp(logvar) - 1)"})
    first, second = command("check", 8), command("check", 8)
    assert first.exit_code == second.exit_code == 1
    assert "The half is missing" in first.output
    assert "hint" not in first.output and "minivae exercise hint 8" in second.output
    assert "tried 2x" in command("list").output


def test_every_blank_has_its_hints():
    for one in EXERCISES:
        assert len(HINTS[one.name]) == len(one.blanks)
        for blank, line in enumerate(one.answers):
            question, formula, last = (hint(one.name, blank, grade, line) for grade in (1, 2, 3))
            assert "?" in question or one.number > 10  # the last exercises point to earlier ones
            assert last == line and line not in question + formula


def test_hints_are_for_the_blank_that_is_wrong(folder):
    answer(folder, 8, {DLOGVAR: "dlogvar[...] = beta * scale * (np.exp(logvar) - 1)"})
    for grade, words in ((1, "slope of (e^v - v) / 2"), (2, "- 1) / 2."), (3, "np.expm1(logvar)")):
        found = command("hint", 8, "--grade", grade)
        assert found.exit_code == 0 and DLOGVAR in found.output and words in found.output
    assert "softplus = ____" in command("hint", 6).output  # no file yet: the first blank
    command("start", 10)
    path = folder / find(10).file
    path.write_text(path.read_text().replace("m += ____", "m += (1 - beta1) * grad"))
    assert "v += ____" in command("hint", 10).output
    answer(folder, 1)
    assert "Nothing is wrong" in command("hint", 1).output
    assert command("hint", 1, "--grade", 4).exit_code == 2


def test_all_done(folder):
    for one in EXERCISES:
        state.note(folder, one.number, True)
    answer(folder, 1)
    assert "All are done" in command("check", 1).output


@pytest.mark.parametrize("number", [0, 28, 10**9])
@pytest.mark.parametrize("verb", ["start", "check"])
def test_there_is_no_such_exercise(verb, number, folder):
    found = command(verb, number)
    assert found.exit_code == 1 and not list(folder.iterdir())
    assert found.stderr == (
        f"Error: there is no exercise {number}: choose 1 to 27 (minivae exercise list)\n"
    )


def test_what_is_no_number(folder):
    assert command("check", "relu").exit_code == 2


def error_of(folder, number=1):
    found = command("check", number)
    assert found.exit_code == 1 and "Error: " in found.stderr
    *before, last = found.stderr.rstrip().splitlines()
    assert last.startswith("Error: ")
    return last, "\n".join(before)


def test_no_file(folder):
    last, before = error_of(folder)
    assert "not in this folder: minivae exercise start 1" in last and not before
    (folder / find(1).file).mkdir()
    assert "cannot read" in error_of(folder)[0]


def test_a_blank_left_is_no_try(folder):
    command("start", 4)
    last, before = error_of(folder, 4)
    assert "lines 22, 27 have a blank left" in last and not before
    assert "started" in command("list").output


@pytest.mark.parametrize(
    "source, last, before",
    [
        ("def relu(:\n", "is not Python yet, line 1", "SyntaxError"),
        ("x = 1\n  y = 2\n", "line 2", "IndentationError"),
        ("x = '\0'", "is not Python", ""),
        (f"x = {'-' * 2000}1", "nested more than 100 deep", ""),  # ends the parser
        (f"x = {'-' * 150}1", "nested more than 100 deep", ""),
        ("import scipy.no_such\n", "ModuleNotFoundError when it is run", "line 1, in <module>"),
        ("import no_such_thing\n", "line 1: imports no_such_thing", ""),
        ("raise SystemExit(3)\n", "SystemExit when it is run", "line 1"),
        ("x = 1\n", "has no relu any more", ""),
        ("relu = 1\nrelu_backward = 2\n", "has no relu any more", ""),
        ("def relu(x): pass\ndef relu_backward(x): pass\n", "TypeError", ""),
        ("def relu(x, y): y[...] = 0 * x\ndef relu_backward(y, dy, dx):\n    1 / 0\n",
         "ZeroDivisionError while it was tried", "line 3, in relu_backward"),
        ("def relu(x, y): return [\n", "was never closed", "SyntaxError"),
        ("from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\n"
         "class A:\n    x: int\nA()", "TypeError when it is run", "line 6"),
        ("def relu(x, y): relu(x, y)\ndef relu_backward(y, dy, dx): pass\n",
         "RecursionError while it was tried", "repeated"),
        ("def relu(x, y):\n try: 1 / 0\n except ValueError: pass\ndef relu_backward(*a): pass\n",
         "ZeroDivisionError", "line 2, in relu"),
        ("def relu(x, y):\n try: 1 / 0\n except Exception as e: raise KeyError('k') from e\n"
         "def relu_backward(*a): pass\n", "KeyError while it was tried", "line 3, in relu"),
        ("import numpy as np\ndef relu(x, y): y[...] = np.nan\ndef relu_backward(*a): pass\n",
         "returned NaN", ""),
    ],
)  # fmt: skip
def test_code_that_fails_is_shown_as_the_students_own(source, last, before, folder):
    (folder / find(1).file).write_text(source)
    line, rest = error_of(folder)
    assert last in line and before in rest
    assert "site-packages" not in rest and "minivae/" not in rest


def test_a_file_that_is_not_text(folder):
    (folder / find(1).file).write_bytes(b"\xff\xfe\x00")
    assert "not text in UTF-8" in error_of(folder)[0]


def test_a_shape_that_does_not_fit_shows_the_line(folder):
    answer(folder, 3, {DX: "dx[...] = dy @ weight.T"})
    found = command("check", 3)
    assert found.exit_code == 1
    assert "line 22, dx[...] = dy @ weight.T: the shapes do not fit" in found.output
    assert "`dy` is (5, 7) and `weight.T` is (3, 7)" in found.output
    assert "`dx` is to be (5, 3): `dy @ weight` has that shape" in found.output


def test_a_folder_that_cannot_be_written(folder, monkeypatch):
    def refuse(*arguments, **settings):
        raise PermissionError(13, "Permission denied")

    answer(folder, 1)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", refuse)
        assert command("check", 1).exit_code == 0  # the answer counts, though nothing is noted
        patch.setattr(Path, "open", refuse)
        found = command("start", 2)
    assert found.exit_code == 1 and found.stderr.startswith("Error: cannot write")
    assert [path.name for path in folder.iterdir()] == [find(1).file]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"exercises": 3}', '{"exercises": {"x": 1}}', "[" * 100_000,
     '{"exercises": {"1": {"tries": "a", "done": 1}}}', '{"exercises": {"1": {"tries": -1}}}'],
)  # fmt: skip
def test_damaged_state_is_no_obstacle(text, folder):
    (folder / state.FILE).write_text(text)
    assert command("list").exit_code == 0
    assert not any(one.done for one in state.load(folder).values())


def test_damaged_state_is_replaced(folder):
    (folder / state.FILE).write_text('{"exercises": {"1": {"tries": "a", "done": 1}}}')
    answer(folder, 1)
    assert command("check", 1).exit_code == 0
    assert state.load(folder) == {1: state.Progress(0, True)}


def test_listing_needs_no_numpy():
    code = "import sys; from minivae.cli import main; "
    code += "main(['exercise', 'list'], standalone_mode=False); sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
