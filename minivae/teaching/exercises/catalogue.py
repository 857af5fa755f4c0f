"""The exercises in their order: names, hints, and the mistakes that can be told by their numbers.

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
    hint : str
        Shown after the second try that failed.
    """

    number: int
    name: str
    lesson: str
    task: str
    hint: str

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
        return self.name

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

        return _MARK.sub(line, self.solution)


EXERCISES = (
    Exercise(
        1,
        "relu_backward",
        "01-one-neuron",
        "the slope of max(x, 0)",
        "y > 0 is True where the slope is 1 and False where it is 0; a product with dy takes "
        "True as 1. Write into the array: dx[...] = ...",
    ),
    Exercise(
        2,
        "sigmoid_backward",
        "01-one-neuron",
        "the slope of 1 / (1 + exp(-x))",
        "e^-x / (1 + e^-x) = 1 - 1 / (1 + e^-x) = 1 - y. The slope is the product of both factors; "
        "dx is dy times the slope.",
    ),
    Exercise(
        3,
        "linear_backward_input",
        "02-linear",
        "the gradient that a layer hands back",
        "The sum runs over o, the last index of dy (B, out) and the first of weight (out, in): "
        "that is a plain product, with no transpose.",
    ),
    Exercise(
        4,
        "linear_backward_weight",
        "02-linear",
        "the gradients of weight and bias",
        "Both are sums over the batch, b. It is the first index of dy and of x, and a product sums "
        "over the last of the left and the first of the right: so dy must be transposed.",
    ),
    Exercise(
        5,
        "tanh_backward",
        "03-activations-and-logits",
        "the slope of tanh",
        "(cosh^2 - sinh^2) / cosh^2 = 1 - (sinh / cosh)^2, and sinh / cosh is y.",
    ),
    Exercise(
        6,
        "bernoulli_nll",
        "03-activations-and-logits",
        "cross-entropy from logits, value and gradient",
        "np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits))); the gradient is "
        "sigmoid(l) - x, and like the value it carries the scale.",
    ),
    Exercise(
        7,
        "importance_bound",
        "04-the-bound",
        "log p(x) from K draws",
        "The logarithm turns products into sums: log w = log p(x|z) + log p(z) - log q(z|x). Then "
        "log mean_k e^(log w_k) = top + log mean_k e^(log w_k - top), the mean over axis 0.",
    ),
    Exercise(
        8,
        "gaussian_kl",
        "05-gaussian-kl",
        "the gradients of the KL",
        "The slope of mu^2 / 2 is mu. The slope of (e^logvar - logvar) / 2 is (e^logvar - 1) / 2. "
        "Both times beta and scale.",
    ),
    Exercise(
        9,
        "reparameterize_backward",
        "06-reparameterization",
        "back through a random draw",
        "dz/dmu = 1. d/dlogvar of eps e^(logvar/2) is eps e^(logvar/2) / 2 = noise / 2. Each times "
        "dz, and added to what is there.",
    ),
    Exercise(
        10,
        "adam",
        "07-adam",
        "the optimiser",
        "m takes (1 - beta1) of the gradient, v takes (1 - beta2) of its square. Divide m by "
        "1 - beta1**step and v by 1 - beta2**step. The step is lr mhat / (sqrt(vhat) + eps).",
    ),
    Exercise(
        11,
        "decoder_backward",
        "08-the-whole-step",
        "back through Linear, ReLU, Linear",
        "Each Linear is exercises 3 and 4: dW = dy^T x, db = sum of dy, dx = dy W. For the second "
        "one dy is dlogits and x is self.h; for the first one dy is da and x is self.z.",
    ),
    Exercise(
        12,
        "encoder_backward",
        "08-the-whole-step",
        "where the KL's gradient and the one through z meet",
        "dmu = dz + dkl * scale * mu; dlogvar = dz * noise / 2 + dkl * scale * (e^logvar - 1) / 2; "
        "np.concatenate([dmu, dlogvar], axis=1) puts the halves side by side.",
    ),
    Exercise(
        13,
        "step",
        "08-the-whole-step",
        "the whole training step",
        "Forward: sampler, decoder. Back: vae.decoder.backward(dlogits) gives dz; then "
        "vae.posterior.sampler.backward(dz, dmu, dlogvar); then vae.encoder.backward(dstats).",
    ),
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
