"""What differs from student to student: the names in the exercises, the numbers to work out.

Both follow from the course's seed and the student's name alone; who hands out and who marks is in
make.py and grade.py.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from typing import NamedTuple

from minivae.teaching.exercises.catalogue import Exercise

NUMBERS = "numbers.py"  # the student's file of questions whose answers are numbers
NAMES = {  # what a name may be called instead
    "dy": ("dout", "grad_y", "gy"),
    "dx": ("dinput", "grad_x", "gx"),
    "dz": ("dlatent", "grad_z", "gz"),
    "dmu": ("dmean", "grad_mu", "gmu"),
    "dlogvar": ("dlv", "grad_logvar", "glogvar"),
    "logvar": ("lv", "log_var"),
    "mu": ("mean_z", "centre"),
    "noise": ("spread", "jitter"),
    "logits": ("scores", "lgt"),
    "dlogits": ("dscores", "glogits"),
    "probability": ("prob", "lit"),
    "softplus": ("sp", "soft"),
    "dweight": ("dW", "grad_weight"),
    "dbias": ("db", "grad_bias"),
    "mhat": ("m_corrected", "mc"),
    "vhat": ("v_corrected", "vc"),
    "log_w": ("log_weights", "lw"),
    "dh": ("dhidden", "grad_h"),
    "da": ("dsum", "grad_a"),
    "dstats": ("dboth", "grad_stats"),
}


def renames(exercise: Exercise, seed: int, student: str) -> dict[str, str]:
    """Return other names for some of an exercise's: a swap, so that it undoes itself."""
    rng = random.Random(f"{seed} {student} {exercise.number}")
    found: dict[str, str] = {}
    if exercise.kind == "page":
        return found
    words = set(re.findall(r"\w+", exercise.solution))
    for name, others in NAMES.items():
        other = rng.choice((name, *others))
        if name in words and other not in words:
            found |= {name: other, other: name}
    return found


def renamed(text: str, names: dict[str, str]) -> str:
    """Return a text with its words exchanged."""
    return re.sub(r"\b[A-Za-z_]\w*\b", lambda word: names.get(word[0], word[0]), text)


class Question(NamedTuple):
    """A question whose answer is a number, and answers that are often given.

    Attributes
    ----------
    text : str
    answer : float
    wrong : tuple of (float, str)
        A wrong answer and the sentence that names it.
    """

    text: str
    answer: float
    wrong: tuple[tuple[float, str], ...]


def questions(seed: int, student: str) -> list[Question]:
    """Return a student's questions, with the numbers that are theirs."""
    rng = random.Random(f"{seed} {student} numbers")

    def draw(low: float, high: float) -> float:
        return round(rng.uniform(low, high), 2)

    makers: tuple[Callable[[Callable[[float, float], float]], Question], ...] = (
        _parameters,
        _pixel,
        _kl,
        _kl_slope,
        _draw,
        _path,
        _adam,
        _bound,
        _bits,
    )
    return [make(draw) for make in makers]


def handout(seed: int, student: str, solved: bool = False) -> str:
    """Return the file of the questions, with blanks or with the answers."""
    lines = [
        '"""Numbers to work out, on paper or with Python; four digits are enough.',
        "",
        f"For {student}. Replace every ____ by a number, or by an expression that gives it.",
        '"""',
        "",
        "import math",
    ]
    for i, one in enumerate(questions(seed, student), 1):
        lines += ["", *(f"# {line}" for line in f"{i}. {one.text}".split("\n"))]
        lines.append(f"answer_{i} = {one.answer:.6g}" if solved else f"answer_{i} = ____")
    return "\n".join(lines) + "\n"


def close(found: float, right: float) -> bool:
    """Return whether an answer is right to four digits."""
    return abs(found - right) <= 2e-4 * max(abs(right), 0.1)


def _parameters(draw: Callable) -> Question:
    hidden = round(draw(20, 300))
    return Question(
        f"How many parameters has a Linear from 784 pixels to {hidden} hidden units?",
        785 * hidden,
        ((784 * hidden, "The biases are forgotten."),),
    )


def _pixel(draw: Callable) -> Question:
    logit, x = draw(-3, 3), draw(0.05, 0.45)
    soft = math.log1p(math.exp(logit))
    return Question(
        f"What does a pixel x = {x} cost, in nats, if its logit is {logit}?",
        soft - x * logit,
        (
            (soft, "The term -x l is forgotten."),
            (soft - logit, "x is not 1: a pixel between 0 and 1 costs softplus(l) - x l."),
            (x * logit - soft, "The sign is wrong: a cost is -log p."),
            ((soft - x * logit) / math.log(2), "That is in bits: nats were asked for."),
        ),
    )


def _kl(draw: Callable) -> Question:
    mu, logvar = draw(0.3, 2), draw(-2, -0.3)
    kl = (mu**2 + math.exp(logvar) - 1 - logvar) / 2
    return Question(
        f"What is the KL from N(mu, sigma^2) to N(0, 1) in nats, for one dimension with\n"
        f"mu = {mu} and logvar = log sigma^2 = {logvar}?",
        kl,
        (
            (2 * kl, "The half is forgotten."),
            (-kl, "The sign is wrong: no KL is below 0."),
            ((mu**2 + math.exp(logvar / 2) - 1 - logvar) / 2, "e^logvar is the variance."),
            ((mu**2 + math.exp(logvar) - logvar) / 2, "The -1 is forgotten."),
            ((mu + math.exp(logvar) - 1 - logvar) / 2, "mu stands in it squared."),
        ),
    )


def _kl_slope(draw: Callable) -> Question:
    logvar = draw(-2, -0.3)
    slope = (math.exp(logvar) - 1) / 2
    return Question(
        f"What is the derivative of this KL in logvar, at logvar = {logvar}?",
        slope,
        (
            (2 * slope, "The half is forgotten."),
            (-slope, "The sign is wrong."),
            (math.exp(logvar) / 2, "The -1 is forgotten, the slope of -logvar."),
        ),
    )


def _draw(draw: Callable) -> Question:
    mu, logvar, eps = draw(-1, 1), draw(0.3, 2), draw(0.3, 1.5)
    return Question(
        f"What is z for mu = {mu}, logvar = {logvar} and the noise eps = {eps}?",
        mu + math.exp(logvar / 2) * eps,
        (
            (mu + math.exp(logvar) * eps, "sigma is the root of the variance: e^(logvar/2)."),
            (mu + logvar * eps, "logvar is not sigma: sigma = e^(logvar/2)."),
            (mu + eps, "sigma is forgotten."),
        ),
    )


def _path(draw: Callable) -> Question:
    logvar, eps, dz = draw(0.3, 2), draw(0.3, 1.5), draw(-2, -0.3)
    slope = dz * math.exp(logvar / 2) * eps / 2
    return Question(
        f"dLoss/dz = {dz}. What comes back to logvar through z, for logvar = {logvar},\n"
        f"eps = {eps}?",
        slope,
        (
            (2 * slope, "The half is forgotten."),
            (-slope, "The sign is wrong."),
            (slope / dz, "The chain rule is forgotten: times dLoss/dz."),
        ),
    )


def _adam(draw: Callable) -> Question:
    g1, g2 = draw(0.5, 3), draw(-2, -0.5)
    m, v = 0.9 * 0.1 * g1 + 0.1 * g2, 0.999 * 0.001 * g1**2 + 0.001 * g2**2
    mhat, vhat = m / (1 - 0.9**2), v / (1 - 0.999**2)
    return Question(
        f"Adam with lr = 0.001, beta1 = 0.9, beta2 = 0.999 and eps = 0 meets the gradients {g1}\n"
        f"and then {g2}. By how many thousandths does the second step change theta?",
        -mhat / math.sqrt(vhat),
        (
            (mhat / math.sqrt(vhat), "The sign is wrong: that climbs."),
            (-m / math.sqrt(v), "The moments are not corrected."),
            (-m / math.sqrt(vhat), "m is not corrected."),
            (-mhat / math.sqrt(v), "v is not corrected."),
            (-mhat / vhat, "The root is forgotten."),
        ),
    )


def _bound(draw: Callable) -> Question:
    a, b = draw(-2, 0), draw(0.5, 2.5)
    total = math.exp(a) + math.exp(b)
    return Question(
        f"Two draws have log w = {a} and {b}. What is the importance-weighted bound, in nats?",
        math.log(total / 2),
        (
            (math.log(total), "The 1/K is forgotten: a mean of the weights, not a sum."),
            ((a + b) / 2, "That is the mean of the logarithms, the ELBO."),
            (total / 2, "The logarithm is forgotten."),
        ),
    )


def _bits(draw: Callable) -> Question:
    nats = draw(80, 120)
    return Question(
        f"A model needs {nats} nats for an image of 784 pixels. How many bits are that a pixel?",
        nats / math.log(2) / 784,
        (
            (nats / 784, "That is in nats: divide by log 2."),
            (nats * math.log(2) / 784, "A nat is more than a bit: divide by log 2."),
            (nats / math.log(2), "That is for the whole image."),
        ),
    )
