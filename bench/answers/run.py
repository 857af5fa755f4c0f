"""Measures how many of the answers get their true cause, how many are misled, which are accepted.

    python -m bench.answers.run [--set first|second|third] [--package FOLDER]
        [--kind KIND] [--show]

Each answer's file is judged as by `minivae exercise check`; FOLDER is another copy of the
repository whose command is to be measured, as it was before. Lines of the verdict that repeat the
student's code do not count as words of the verdict.
"""

from __future__ import annotations

import argparse
import collections
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.answers import ANSWERS, second, third
from bench.answers.answer import Answer
from minivae.teaching.exercises.catalogue import find
from minivae.teaching.exercises.sandbox import Sandbox
from minivae.teaching.exercises.student import ExerciseError
from minivae.teaching.exercises.verdict import judge

SETS = {"first": ANSWERS, "second": second.ANSWERS, "third": third.ANSWERS}
SECONDS = 60  # a judge that has not answered by then hangs


def check(answer: Answer, package: Path) -> tuple[int, str]:
    """Return the exit status of `minivae exercise check`, and what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, find(answer.exercise).file)
        path.write_text(answer.file(), encoding="utf-8")
        try:
            done = subprocess.run(
                [sys.executable, "-m", "minivae", "exercise", "check", str(answer.exercise)],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(package)},
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            return -1, ""
    return done.returncode, done.stdout + done.stderr


def judged(answer: Answer, sandbox: Sandbox) -> tuple[int, str]:
    """Return the same of this package's own judge, in one process."""
    with tempfile.TemporaryDirectory() as folder:
        one = find(answer.exercise)
        Path(folder, one.file).write_text(answer.file(), encoding="utf-8")
        try:
            verdict = judge(one, Path(folder), sandbox)
        except ExerciseError as error:
            return 1, f"{error.traceback}Error: {error}\n"
    return int(not verdict.passed), "\n".join(verdict.lines) + "\n"


def words(answer: Answer, text: str) -> str:
    """Return a verdict without the lines of the student's own code that it repeats."""
    codes = answer.code.values() if isinstance(answer.code, dict) else [answer.code]
    for line in sorted({one.strip() for code in codes for one in code.splitlines()}, key=len)[::-1]:
        if len(line) > 3:
            text = text.replace(line, "")
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", choices=SETS, default="first")
    parser.add_argument("--package", type=Path)
    parser.add_argument("--kind")
    parser.add_argument("--show", action="store_true", help="print the answers that fall short")
    options = parser.parse_args()
    chosen = [one for one in SETS[options.set] if options.kind in (None, one.kind)]
    if options.package is None:
        with Sandbox(seconds=3) as sandbox:
            found = [judged(one, sandbox) for one in chosen]
    else:
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda one: check(one, options.package), chosen))
    count: collections.Counter[str] = collections.Counter()
    kinds: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for answer, (status, text) in zip(chosen, found, strict=True):
        said = words(answer, text)
        if answer.right:
            results = ["right", "accepted" if status == 0 else "refused"]
        else:
            results = ["wrong", *(["misled"] if answer.misled(said) else [])]
            results += ["passed as right"] if status == 0 else []
            results += ["hung"] if status < 0 else []
            results += ["true cause"] if status > 0 and answer.told(said) else []
        count.update(results)
        kinds[answer.kind].update(results)
        if options.show and not {"accepted", "true cause"} & set(results):
            print(f"--- {answer.exercise} {answer.kind} {results}: {answer.cause}")
            print(f"{answer.code}\n{text}expect {answer.expect} mislead {answer.mislead}")
    for kind, one in sorted(kinds.items()):
        print(f"{kind:<16} " + ", ".join(f"{number} {name}" for name, number in one.items()))
    for name in ("true cause", "misled", "passed as right", "hung"):
        share = count[name] / max(count["wrong"], 1)
        print(f"{name}: {count[name]} of {count['wrong']} wrong answers ({share:.1%})")
    print(f"accepted: {count['accepted']} of {count['right']} right answers")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
