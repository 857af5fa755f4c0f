"""The course: files that differ by student, marks that are right, and nothing of anybody's lost."""

import ast
import csv
import json
import re
import shutil
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from minivae.cli import main
from minivae.teaching.course import grade as grading
from minivae.teaching.course import make
from minivae.teaching.course.variants import NUMBERS, questions, renamed, renames
from minivae.teaching.exercises.catalogue import EXERCISES, find

CHOSEN = (1, 4, 8, 14, 21)


def command(*arguments):
    return CliRunner().invoke(main, ["course", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def course(folder):
    """A course of three, with every answer right."""
    Path("names.txt").write_text("Ada\nBo\n\nCy D.-E\n")
    chosen = ",".join(map(str, CHOSEN))
    made = command("new", "c", "--seed", 7, "--students", "names.txt", "--exercises", chosen)
    assert made.exit_code == 0, made.output
    shutil.rmtree("c/students")
    shutil.copytree("c/teacher/key", "c/students")
    return make.read(Path("c/course.json"))


def change(student, number, right, wrong):
    """Replace something in a student's solved file, in the words that are theirs."""
    one = find(number)
    names = renames(one, 7, student)
    path = Path("c/students", student, one.file)
    text = path.read_text()
    assert renamed(right, names) in text
    path.write_text(text.replace(renamed(right, names), renamed(wrong, names)))
    return path


def marks():
    with open("grades/grades.csv") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def contents(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_what_is_handed_out_differs_by_student_and_by_seed_and_hides_the_key(folder):
    for name, seed in (("c", 7), ("d", 7), ("e", 8)):
        chosen = ["--count", 4, "--exercises", "1,8,20"]
        assert command("new", name, "--seed", seed, *chosen).exit_code == 0
    read = lambda course, student, name: Path(course, "students", student, name).read_text()  # noqa: E731
    for name in (find(8).file, NUMBERS):
        texts = {read("c", f"student-0{i}", name) for i in range(1, 5)}
        assert len(texts) > 2
        assert read("c", "student-01", name) == read("d", "student-01", name)
        assert read("c", "student-01", name) != read("e", "student-01", name)
    handed = "".join(path.read_text() for path in Path("c/students").rglob("*.py"))
    assert "____" in handed and "  #: " not in handed and "def __init__(self, inputs" not in handed
    assert "Rubric" in Path("c/teacher/rubrics.md").read_text()
    questions = Path("c/questions.md").read_text()
    assert "Rubric" not in questions and questions.count("\n## ") == 8
    assert "Day 5" in Path("c/plan.md").read_text()


def test_names_exchanged_twice_are_the_same_again():
    for one in EXERCISES:
        names = renames(one, 3, "Ada")
        assert renamed(renamed(one.source({}), names), names) == one.source({})
        assert all(names[other] == name for name, other in names.items())


def test_the_key_gets_all_marks(course):
    done = command("grade", "c/students")
    assert done.exit_code == 0, done.output
    of = sum(len(find(n).blanks) or grading.PAGE for n in CHOSEN) + len(questions(7, "Ada"))
    assert {name: (row["total"], row["of"]) for name, row in marks().items()} == {
        name: (str(of), str(of)) for name in course.students
    }
    assert "100 %" in Path("grades/report.md").read_text()


def test_without_the_courses_file_numbers_are_said_to_be_left_out(course):
    shutil.copytree("c/students", "away/s")
    done = command("grade", "away/s", "--out", "marks")
    assert done.exit_code == 0 and "numbers.py is not marked: give --course" in done.stderr


def test_one_parses_at_a_time(course, monkeypatch):
    """Python 3.11's parser fails in two threads at once (its issue 106905); two mark a class."""
    parse, inside, most, threads = ast.parse, [], [], set()

    def slow(*arguments, **named):
        inside.append(1)
        most.append(len(inside))
        threads.add(threading.get_ident())
        time.sleep(0.001)
        inside.pop()
        return parse(*arguments, **named)

    monkeypatch.setattr(ast, "parse", slow)
    done = command("grade", "c/students")
    assert done.exit_code == 0, done.output
    assert len(threads) == 2 and max(most) == 1


def test_marks_and_the_report_of_a_class_with_mistakes(course):
    half = ("beta * scale * 0.5 * np.expm1(logvar)", "beta * scale * np.expm1(logvar)")
    for student in ("Ada", "Bo"):
        change(student, 8, *half)
    change("Ada", 8, "beta * scale * mu", "beta * mu")
    change("Ada", 4, "dy.sum(axis=0)", "____")
    change("Bo", 14, "(self.h > 0)", "(dh > 0)")
    change("Cy D.-E", 21, "dz * self.noise / 2", "dz * self.noise")
    change("Bo", 1, "dy * (y > 0)", "np.ones(3")
    own = questions(7, "Bo")[2]
    path = Path("c/students/Bo", NUMBERS)
    path.write_text(re.sub(r"answer_3 = .*", f"answer_3 = 2 * {own.answer}", path.read_text()))
    before = contents("c")
    done = command("grade", "c/students")
    assert done.exit_code == 0, done.output
    assert contents("c") == before
    found = marks()
    ada, bo, cy = (found[name] for name in ("Ada", "Bo", "Cy D.-E"))
    assert ada["8 gaussian_kl"] == "0" and ada["4 linear_backward_weight"] == "1"
    assert bo["8 gaussian_kl"] == "1" and bo["14 hunt_mask"] == "0"
    assert bo["1 relu_backward"] == "0" and bo[NUMBERS] == str(len(questions(7, "Bo")) - 1)
    assert cy["21 page_sampler"] == "2.5" and cy["8 gaussian_kl"] == "2"
    report = Path("grades/report.md").read_text()
    assert "- 2 of 3 in 8 gaussian_kl: The half is missing" in report
    assert "- 1 of 3 in numbers.py: question 3: The half is forgotten." in report
    told = Path("grades/students/Bo.txt").read_text()
    assert "The half is missing" in told and "is not Python yet" in told
    names = renames(find(8), 7, "Bo")
    assert f"{names.get('dlogvar', 'dlogvar')} at" in told  # in the student's own words


BAD = {
    "hangs": "while True: pass",
    "forks": "import os\nos.fork()",
    "writes": "open('mine', 'w')",
    "deletes": "import pathlib\nfor one in pathlib.Path(__file__).parent.iterdir(): one.unlink()",
    "prints": "print('x' * 5_000_000)",
    "network": "import socket",
    "memory": "x = 'x' * 10**11",
    "leaves": "import os\nos._exit(0)",
    "copies": "from minivae.formulas import relu_backward",
    "nothing": "",
    "binary": b"\xff\xfe\0",
    "null": b"x = 1\0",
    "large": "#" * 300_000,
    "tasks": "x = open(__import__('numpy').__file__).read()\nimport minivae",
}


@pytest.mark.parametrize("every", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_bad_submissions_end_with_a_line_each_and_the_others_are_marked(folder, every):
    one, bad = find(1), dict([*BAD.items()][::every])
    for name, body in bad.items():
        path = Path("in", name, one.file)
        path.parent.mkdir(parents=True)
        path.write_bytes(body if isinstance(body, bytes) else body.encode())
    for name in ("good", "other"):
        Path("in", name).mkdir()
        Path("in", name, one.file).write_text(one.source({}))
    Path("in", "empty").mkdir()
    Path("in", "link").mkdir()
    Path("in", "link", one.file).symlink_to(Path("in", "good", one.file).resolve())
    before = contents("in")
    done = command("grade", "in")
    assert done.exit_code == 0, done.output
    assert contents("in") == before and not Path("mine").exists()
    found = marks()
    assert set(found) == {*bad, "good", "other", "empty", "link"}
    for name, row in found.items():
        assert row["total"] == ("1" if name in ("good", "other") else "0"), name
        told = Path("grades/students", f"{name}.txt").read_text().splitlines()
        assert name in ("good", "other") or len(told) == 4, told


def test_what_cannot_be_marked_or_made_is_one_line(folder):
    Path("empty").mkdir()
    Path("in/Ada").mkdir(parents=True)
    Path("names.txt").write_text("../x\n")
    Path("twice.txt").write_text("Ada\nada\n")
    Path("none.txt").write_text("\n")
    Path("text.json").write_text("{}")
    Path("deep.json").write_text("[" * 5000)
    Path("names.json").write_text('{"seed": 1, "exercises": [1], "students": [["a"]]}')
    Path("full").mkdir()
    assert command("new", "whole", "--seed", 1, "--count", 2).exit_code == 0
    Path("full/mine").write_text("mine")
    Path("in/Bo").mkdir()
    Path("in/Bo", find(1).file).write_text("x = 1")
    for arguments, words in (
        (["grade", "empty"], "holds no submissions"),
        (["grade", "nowhere"], "is no folder"),
        (["grade", "whole"], f"give the submissions, such as {Path('whole/students')}"),
        (["grade", "full"], "holds no submissions"),
        (["grade", "in", "--out", "full"], "stays as it is"),
        (["grade", "in", "--out", "in/grades"], "lies among the submissions"),
        *(
            (["grade", "in", "--course", f"{name}.json"], "is no course.json")
            for name in ("text", "deep", "names")
        ),
        (["new", "full", "--seed", 1, "--count", 2], "stays as it is"),
        (["new", "c", "--seed", 1, "--students", "names.txt"], "no name for a folder"),
        (["new", "c", "--seed", 1, "--students", "twice.txt"], "the same name"),
        (["new", "c", "--seed", 1, "--students", "none.txt"], "no students"),
        (["new", "c", "--seed", 1, "--students", "nowhere"], "cannot be read"),
        (["new", "c", "--seed", 1, "--count", 1, "--exercises", "99"], "no exercise 99"),
    ):
        found = command(*arguments)
        assert found.exit_code == 1 and words in found.stderr, (arguments, found.stderr)
        assert len(found.stderr.splitlines()) == 1
    assert command("new", "c", "--seed", 1).exit_code == 2
    assert contents("full") == {Path("full/mine"): b"mine"} and not Path("c").exists()


def test_a_course_without_its_file_is_that_of_what_was_handed_in(folder):
    for name, number in (("Ada", 1), ("Bo", 2)):
        path = Path("in", name, find(number).file)
        path.parent.mkdir(parents=True)
        path.write_text(find(number).source({}))
    assert command("grade", "in").exit_code == 0
    assert {name: row["total"] for name, row in marks().items()} == {"Ada": "1", "Bo": "1"}
    assert marks()["Ada"]["of"] == "2"
    text = json.dumps({"seed": None, "exercises": [1], "students": []})
    Path("course.json").write_text(text)
    assert command("grade", "in", "--out", "again").exit_code == 1  # no seed: not ours
