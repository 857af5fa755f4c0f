"""The answers that verdicts are held against: whole, compiled, each of them once."""

from __future__ import annotations

import warnings

from bench.answers import ANSWERS


def test_answers_fill_their_blanks_and_compile_where_they_should():
    files = []
    for answer in ANSWERS:
        source = answer.file()
        files.append((answer.exercise, source))
        assert source.count("____") - 1 == (answer.kind == "left"), answer
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                compile(source, "answer", "exec")
        except SyntaxError:
            assert answer.kind == "syntax", answer
        else:
            assert answer.kind != "syntax", answer
    assert len(set(files)) == len(files)


def test_wrong_answers_say_what_a_verdict_should_contain():
    for answer in ANSWERS:
        assert answer.right == (answer.kind == "style") == (not answer.expect), answer
        assert answer.right or answer.told(answer.cause), answer
        assert all(word == word.lower() for word in (*answer.expect, *answer.mislead)), answer
