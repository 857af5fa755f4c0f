"""A third set of answers, on all exercises but the hunts, written without a look at the judge.

The texts are in the modules of this folder; what an answer is stands in answer.py above it.
"""

from __future__ import annotations

from bench.answers.answer import Answer
from bench.answers.third import chains, pages, slopes

ANSWERS: tuple[Answer, ...] = (*slopes.ANSWERS, *chains.ANSWERS, *pages.ANSWERS)
