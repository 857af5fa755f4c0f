"""Answers to the exercises as students write them, wrong and right: what verdicts are held against.

The texts are in the modules of this folder; they were written without a look at the judge.
"""

from __future__ import annotations

from bench.answers import activations, adam, chains, latent, likelihood, linear, step
from bench.answers.answer import Answer

ANSWERS: tuple[Answer, ...] = (
    *activations.ANSWERS,
    *linear.ANSWERS,
    *likelihood.ANSWERS,
    *latent.ANSWERS,
    *adam.ANSWERS,
    *chains.ANSWERS,
    *step.ANSWERS,
)
