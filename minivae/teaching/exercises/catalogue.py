"""The exercises in their order: names, and the mistakes that can be told by their numbers.

The files to fill are in tasks/; how an answer is tried is for trials.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from minivae.errors import ArgumentError
from minivae.teaching.exercises.mistakes import MISTAKES, Mistake

TASKS = Path(__file__).parent / "tasks"
BLANK = "____"
PAGE = "#: below\n"  # from here on a blank page is blank
# In a task file the answer stands in the line, and after this mark what the student gets instead.
_MARK = re.compile(r"^( *)\S.*?  #: (.+)$", flags=re.MULTILINE)


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes
    ----------
    number : int
    name : str
        Of the function to write; `tasks/` has the file.
    lesson : str
        Name of its page in teaching/lessons, without the ending.
    task : str
        What to do, in a few words.
    kind : str
        "blanks" to fill, "hunt" for lines that are wrong, or a blank "page".
    tried_as : str
        Name of the exercise whose trial it shares; by default it has its own.
    """

    number: int
    name: str
    lesson: str
    task: str
    kind: str = "blanks"
    tried_as: str = ""

    @property
    def page(self) -> int:
        """Number of its lesson."""
        return int(self.lesson[:2])

    @property
    def file(self) -> str:
        """Name of the student's file."""
        return f"exercise_{self.number:02d}_{self.name}.py"

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """Wrong answers that are recognised by the numbers they give."""
        return MISTAKES.get(self.name, ())

    @cached_property
    def solution(self) -> str:
        """The source with all blanks filled, marks included."""
        return (TASKS / f"{self.number:02d}_{self.name}.py").read_text(encoding="utf-8")

    @property
    def trial(self) -> str:
        """Name of the way in trials.py to try it."""
        return self.tried_as or self.name

    @property
    def blanks(self) -> list[str]:
        """The lines with blanks, in order."""
        return [match[2] for match in _MARK.finditer(self.solution)]

    @property
    def answers(self) -> list[str]:
        """The right lines in the blanks' places, in order."""
        return [match[0].partition("  #: ")[0].strip() for match in _MARK.finditer(self.solution)]

    @property
    def lines(self) -> list[int]:
        """The numbers of the lines with blanks, counted from 1."""
        return [self.solution.count("\n", 0, m.start()) + 1 for m in _MARK.finditer(self.solution)]

    def source(self, answers: dict[str, str] | None = None) -> str:
        """Return the file with blanks, or with those lines replaced by the answers given.

        Parameters
        ----------
        answers : dict of str to str, optional
            Line with a blank to line that replaces it; the lines not named are right. None: the
            file as the student gets it.
        """

        def line(match: re.Match[str]) -> str:
            if answers is None:
                return match[1] + match[2]
            right = match[0].partition("  #: ")[0]
            return match[1] + answers[match[2]] if match[2] in answers else right

        text = self.solution
        if answers is None:
            text = text.partition(PAGE)[0].rstrip() + "\n"
        return _MARK.sub(line, text)


HUNT = "hunt"
EXERCISES = (
    Exercise(1, "relu_backward", "01-one-neuron", "the slope of max(x, 0)"),
    Exercise(2, "sigmoid_backward", "01-one-neuron", "the slope of 1 / (1 + exp(-x))"),
    Exercise(3, "linear_backward_input", "02-linear", "the gradient that a layer hands back"),
    Exercise(4, "linear_backward_weight", "02-linear", "the gradients of weight and bias"),
    Exercise(5, "tanh_backward", "03-activations-and-logits", "the slope of tanh"),
    Exercise(
        6,
        "bernoulli_nll",
        "03-activations-and-logits",
        "cross-entropy from logits, value and gradient",
    ),
    Exercise(7, "importance_bound", "04-the-bound", "log p(x) from K draws"),
    Exercise(8, "gaussian_kl", "05-gaussian-kl", "the gradients of the KL"),
    Exercise(9, "reparameterize_backward", "06-reparameterization", "back through a random draw"),
    Exercise(10, "adam", "07-adam", "the optimiser"),
    Exercise(11, "decoder_backward", "08-the-whole-step", "back through Linear, ReLU, Linear"),
    Exercise(
        12,
        "encoder_backward",
        "08-the-whole-step",
        "where the KL's gradient and the one through z meet",
    ),
    Exercise(13, "step", "08-the-whole-step", "the whole training step"),
    Exercise(
        14, "hunt_mask", "08-the-whole-step", "a wrong line in a decoder", HUNT, "decoder_backward"
    ),
    Exercise(
        15,
        "hunt_price",
        "08-the-whole-step",
        "a wrong line in an encoder",
        HUNT,
        "encoder_backward",
    ),
    Exercise(16, "hunt_start", "07-adam", "a wrong line in an optimiser", HUNT, "adam"),
    Exercise(
        17,
        "hunt_dark",
        "03-activations-and-logits",
        "a wrong line in a likelihood",
        HUNT,
        "bernoulli_nll",
    ),
    Exercise(
        18,
        "hunt_spread",
        "06-reparameterization",
        "wrong, with right derivatives",
        HUNT,
        "reparameterize_backward",
    ),
    Exercise(
        19, "hunt_order", "08-the-whole-step", "two wrong lines in the whole step", HUNT, "step"
    ),
    Exercise(20, "page_layers", "02-linear", "a blank page: Linear and ReLU", "page"),
    Exercise(21, "page_sampler", "06-reparameterization", "a blank page: the sampler", "page"),
    Exercise(22, "page_loss", "05-gaussian-kl", "a blank page: both terms of the loss", "page"),
    Exercise(23, "page_adam", "07-adam", "a blank page: the optimiser; then build", "page"),
    Exercise(24, "gaussian_nll", "03-activations-and-logits", "a likelihood with its own variance"),
    Exercise(25, "importance_gradient", "04-the-bound", "the gradient of the tighter bound"),
    Exercise(26, "convolution_backward", "02-linear", "back through a convolution"),
    Exercise(27, "conditional_backward", "02-linear", "back through a concatenation"),
)


def find(number: int) -> Exercise:
    """Return the exercise of that number.

    Raises
    ------
    ArgumentError
        If there is none.
    """
    if not 1 <= number <= len(EXERCISES):
        raise ArgumentError(
            f"there is no exercise {number}: choose 1 to {len(EXERCISES)} (minivae exercise list)"
        )
    return EXERCISES[number - 1]
