"""What an answer to an exercise is: its text, whether it is right, and what a verdict should say.

The answers are in the modules beside it; how they are judged is not known here.

How the blanks are replaced. A task has blanks 1, 2, ... in the order of its file, each a line with
____ (`Exercise.blanks`). `code` is a text for blank 1, or a dict of number to text. The text
replaces the *whole* line, left side included; each of its own lines gets the line's indentation.
Blanks that are not named hold the right answer. A dict of str to str replaces lines of the file as
the student gets it, of a bug hunt; a text of a blank page is what is written below it.
`Answer.file()` gives the student's whole file.
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
    code : str, dict of int to str or dict of str to str
        What stands in the blanks or lines, or on the page; see above.
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
    code: str | dict[int, str] | dict[str, str]
    cause: str
    expect: tuple[str, ...] = ()
    mislead: tuple[str, ...] = ()
    right: bool = False

    def file(self) -> str:
        """Return the whole source of the student's file."""
        exercise = find(self.exercise)
        if exercise.kind == "page" and isinstance(self.code, str):
            return exercise.source() + "\n" + self.code
        code = {1: self.code} if isinstance(self.code, str) else self.code
        lines = exercise.source().splitlines()
        indents = {line.strip(): line[: -len(line.lstrip())] for line in lines if line.strip()}
        answers = {}
        for key, text in code.items():
            line = exercise.blanks[key - 1] if isinstance(key, int) else key
            answers[line] = text.replace("\n", "\n" + indents[line])
        if any(isinstance(key, str) for key in code):
            return "".join(
                f"{indents.get(one, '')}{answers.get(one, one)}\n"
                for one in (line.strip() for line in lines)
            )
        return exercise.source(answers)

    def told(self, verdict: str) -> bool:
        """Whether the verdict names the true cause and nothing that misleads."""
        verdict = verdict.lower()
        named = any(all(word in verdict for word in one.split(" & ")) for one in self.expect)
        return named and not self.misled(verdict)

    def misled(self, verdict: str) -> bool:
        """Whether the verdict contains what sends the student astray."""
        return any(word in verdict.lower() for word in self.mislead)
