"""The exercises: right answers pass, wrong ones are named, and no mistake of a user ends badly."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from minivae import formulas as f
from minivae.cli import main
from minivae.teaching.exercises import state, student
from minivae.teaching.exercises.catalogue import BLANK, EXERCISES, TASKS, find
from minivae.teaching.exercises.verdict import judge

each = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda one: one.name)


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


def verdict(folder, number, answers=None):
    return judge(answer(folder, number, answers), folder)


def command(*arguments):
    return CliRunner().invoke(main, ["exercise", *map(str, arguments)])


# --- right answers --------------------------------------------------------------------------------


@each
def test_the_solution_passes(exercise, tmp_path):
    found = verdict(tmp_path, exercise.number)
    assert found.passed, found.lines
    assert all("right" in line for line in found.lines)


@each
def test_the_file_given_has_only_its_blanks_filled_in_the_solution(exercise, tmp_path):
    path = student.copy_task(exercise, tmp_path)
    given, solved = path.read_text().splitlines(), exercise.source({}).splitlines()
    changed = [(one, two) for one, two in zip(given, solved, strict=True) if one != two]
    assert len(changed) == len(exercise.blanks) > 0
    assert all(BLANK in one and BLANK not in two for one, two in changed)
    assert "  #: " not in path.read_text()
    assert f"minivae exercise check {exercise.number}" in path.read_text()


@each
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
    for one in EXERCISES:
        page = lessons / f"{one.lesson}.md"
        assert f"minivae exercise start {one.number}` (`{one.name}`)" in page.read_text()
        assert f"examples/lessons/{one.lesson}.md" in one.solution


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


# --- wrong answers --------------------------------------------------------------------------------


@each
def test_the_catalogues_mistakes_are_named(exercise, tmp_path):
    for mistake in exercise.mistakes:
        found = verdict(tmp_path, exercise.number, {mistake.blank: mistake.wrong})
        assert not found.passed
        assert [line for line in found.lines if line.startswith("->")] == [f"-> {mistake.says}"]


DX, DLOGVAR = "dx[...] = ____", "dlogvar[...] = ____"
WRONG = [  # other ways to write what students write, and what must be said
    (1, {DX: "dx[...] = np.where(dy > 0, dy, 0)"}, "mask is that of dy"),
    (1, {DX: "dx = dy * (y > 0)"}, "zero everywhere", "makes a new array"),
    (1, {DX: "dx += dy * (y > 0)"}, "a second backward adds to the first", "not `+=`"),
    (1, {DX: "dy *= y > 0; dx[...] = dy"}, "changes the output's gradient", "begin with d"),
    (2, {DX: "dx[...] = -dy * y * (1 - y)"}, "opposite sign"),
    (2, {DX: "dx[...] = 2 * dy * y * (1 - y)"}, "2 times too large"),
    (4, {"dweight[...] = ____": "dweight += dy.T @ x"}, "adds to the first", "not `+=`"),
    (4, {"dbias[...] = ____": "dbias[...] = np.average(dy, axis=0)"}, "batch size", "not a mean"),
    (5, {DX: "dx[...] = dy * (1 + y * y)"}, "no known pattern"),
    (6, {"dlogits[...] = ____": "dlogits[...] = probability - x"}, "as if the mean over"),
    (6, {"softplus = ____": "softplus = np.log1p(np.exp(logits))"}, "2000: inf", "overflows"),
    (7, {"return ____": "return np.log(np.mean(np.exp(log_w), 0))"}, "-inf", "underflow"),
    (8, {DLOGVAR: "dlogvar[...] = beta * scale * (np.exp(logvar) - 1)"},
     "dlogvar", "2 times too large", "The half is missing"),
    (8, {DLOGVAR: "dlogvar[...] = (np.exp(logvar) - 1) / 2 * beta"}, "mean over the batch"),
    (9, {"dlogvar += ____": "dlogvar += noise * dz"}, "2 times too large", "The half is missing"),
    (9, {"dmu += ____": "dmu -= dz"}, "opposite sign"),
    (10, {"mhat = ____": "mhat = m / 1.0"}, "m is not corrected"),
    (10, {"m += ____": "m += grad * (1 - beta1); grad *= 0"}, "grad, which is only read"),
    (11, {"da = ____": "da = dh * 1"}, "The ReLU is missing"),
    (12, {"dlogvar = ____": "dlogvar = dz * self.noise / 2"}, "KL's own gradient is missing"),
    (12, {"dstats = ____": "dstats = np.hstack([dlogvar, dmu])"}, "halves are exchanged"),
    (13, {"z = ____": "z = mu.copy()"}, "no bound"),
    (13, {"vae.posterior.sampler.____": "None"}, "path through z is missing"),
    (13, {"vae.encoder.____": "vae.encoder.backward(-dstats)"}, "opposite sign"),
]  # fmt: skip


@pytest.mark.parametrize("case", WRONG, ids=lambda case: f"{case[0]}: {[*case[1].values()]}")
def test_a_wrong_answer_is_named(case, tmp_path):
    number, answers, *said = case
    found = verdict(tmp_path, number, answers)
    text = "\n".join(found.lines)
    assert not found.passed
    assert all(words in text for words in said), text


def test_two_mistakes_at_once_are_both_named(tmp_path):
    half = "dlogvar[...] = beta * scale * (np.exp(logvar) - 1)"
    found = verdict(tmp_path, 8, {DLOGVAR: half, "dmu[...] = ____": "dmu[...] = beta * mu"})
    said = [line for line in found.lines if line.startswith("->")]
    assert len(said) == 2 and "The half is missing" in "".join(said)
    assert "mean over the batch" in "".join(said)


def test_a_forward_that_was_changed_is_noticed(tmp_path):
    one = answer(tmp_path, 2)
    path = tmp_path / one.file
    path.write_text(path.read_text().replace("0.5 * np.tanh(0.5 * x) + 0.5", "x / 1"))
    assert "leave it as it is" in "".join(judge(one, tmp_path).lines)


def test_a_step_with_the_wrong_gradient_order_is_no_pass(tmp_path):
    """Nothing that is skipped may be right because an earlier step left it."""
    for blank, wrong in (
        ("dz = ____", "dz = vae.decoder.backward(0 * dlogits)"),
        ("vae.encoder.____", "vae.encoder.backward_input(dstats)"),
        ("logits = ____", "logits = vae.decoder.forward(mu)"),
    ):
        assert not verdict(tmp_path, 13, {blank: wrong}).passed


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
    assert "Hint" not in first.output and f"Hint: {find(8).hint}" in second.output
    assert "tried 2x" in command("list").output


def test_all_done(folder):
    for one in EXERCISES:
        state.note(folder, one.number, True)
    answer(folder, 1)
    assert "All are done" in command("check", 1).output


@pytest.mark.parametrize("number", [0, 14, 10**9])
@pytest.mark.parametrize("verb", ["start", "check"])
def test_there_is_no_such_exercise(verb, number, folder):
    found = command(verb, number)
    assert found.exit_code == 1 and not list(folder.iterdir())
    assert found.stderr == (
        f"Error: there is no exercise {number}: choose 1 to 13 (minivae exercise list)\n"
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
        ("import no_such_thing\n", "ModuleNotFoundError when it is run", "line 1, in <module>"),
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
    line, rest = error_of(folder, 3)
    assert "ValueError" in line and "dy @ weight.T" in rest


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
    answer(folder, 1)
    assert command("check", 1).exit_code == 0
    assert state.load(folder) == {1: state.Progress(0, True)}


def test_listing_needs_no_numpy():
    code = "import sys; from minivae.cli import main; "
    code += "main(['exercise', 'list'], standalone_mode=False); sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
