"""What an answer to an exercise is: its text, whether it is right, and what a verdict should say.

The answers are in the modules beside it; how they are judged is not known here.

How the blanks are replaced. A task has blanks 1, 2, ... in the order of its file, each a line with
____ (`Exercise.blanks`). `code` is a text for blank 1, or a dict of number to text. The text
replaces the *whole* line, left side included; each of its own lines gets the line's indentation.
Blanks that are not named hold the right answer. `Answer.file()` gives the student's whole file.
"""

from __future__ import annotations

from typing import NamedTuple

from minivae.teaching.exercises.catalogue import find

# What a true verdict says of mistakes that can happen in any exercise.
REBOUND = (
    "[...]",
    "in place",
    "rebind",
    "rebound",
    "new array",
    "another array",
    "unchanged",
    "never written",
)
NOT_WRITTEN = (
    "never written",
    "not written",
    "unchanged",
    "still holds",
    "as it was",
    "not filled",
)
ADDED = ("+=", "adds", "added", "overwrite")
LIBRARY = ("minivae's own", "library", "own function", "yourself")
HANGS = ("time limit", "timed out", "too long", "seconds", "does not end", "never ends", "loop")
CHANGED = ("changes", "changed", "modif", "mutat", "input")
SIGN = ("sign", "minus", "negative")
SYNTAX = ("syntax", "no valid python", "no python", "not python", "closed", "bracket", "parenthes")
FORGOT_DY = (
    "dy is missing",
    "missing dy",
    "times dy",
    "multiply by dy",
    "without dy",
    "forgot dy",
    "dy is not used",
    "does not use dy",
    "depend on dy",
    "chain rule",
)
ENTRYWISE = (
    "each entry",
    "whole arrays",
    "entry by entry",
    "elementwise",
    "element by element",
    "matrix product",
    "every entry",
)
ITSELF = ("itself", "recurs")
BLANK_LEFT = ("blank", "____", "still to fill")


class Answer(NamedTuple):
    """One answer as a student might write it.

    Attributes
    ----------
    exercise : int
        Its number, from 1.
    kind : str
        Of the mistake: shape, doubled, sign, factor, ..., or style if it is right.
    code : str or dict of int to str
        What stands in the blanks; see above.
    cause : str
        The true cause, in a few plain words.
    expect : tuple of str
        A true verdict, in lower case, contains at least one of these; "a & b" asks for both.
        They are meant for the verdict's own words, not for code or a hint repeated beside it.
    mislead : tuple of str
        A verdict that contains one of these sends the student astray.
    right : bool
        Whether it must be accepted.
    """

    exercise: int
    kind: str
    code: str | dict[int, str]
    cause: str
    expect: tuple[str, ...] = ()
    mislead: tuple[str, ...] = ()
    right: bool = False

    def file(self) -> str:
        """Return the whole source of the student's file."""
        exercise = find(self.exercise)
        code = {1: self.code} if isinstance(self.code, str) else self.code
        lines = exercise.source().splitlines()
        indents = {line.strip(): line[: -len(line.lstrip())] for line in lines if line.strip()}
        answers = {}
        for number, text in code.items():
            blank = exercise.blanks[number - 1]
            answers[blank] = text.replace("\n", "\n" + indents[blank])
        return exercise.source(answers)

    def told(self, verdict: str) -> bool:
        """Whether the verdict names the true cause and nothing that misleads."""
        verdict = verdict.lower()
        named = any(all(word in verdict for word in one.split(" & ")) for one in self.expect)
        return named and not self.misled(verdict)

    def misled(self, verdict: str) -> bool:
        """Whether the verdict contains what sends the student astray."""
        return any(word in verdict.lower() for word in self.mislead)
