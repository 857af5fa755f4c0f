"""Answers to exercises 20 to 23 of the third set: blank pages, each a right page with a mistake.

Each answer is the whole text below the page's imports.
"""

from __future__ import annotations

from bench.answers.answer import ADDED, CHANGED, SIGN, Answer
from bench.answers.third.chains import HALF
from bench.answers.third.slopes import MEAN, SHAPE

LAYERS = """
class Linear:
    def __init__(self, inputs, outputs, rng):
        k = inputs**-0.5
        self.params = dict(
            weight=rng.uniform(-k, k, (outputs, inputs)), bias=rng.uniform(-k, k, (outputs,))
        )
        self.grads = dict(weight=np.zeros((outputs, inputs)), bias=np.zeros(outputs))

    def forward(self, x):
        self.x = x
        y = x @ self.params["weight"].T
        return y + self.params["bias"]

    def backward(self, dy):
        self.grads["weight"][:] = dy.T @ self.x
        self.grads["bias"][:] = dy.sum(0)
        return dy @ self.params["weight"]


class ReLU:
    def forward(self, x):
        self.y = np.maximum(0, x)
        return self.y

    def backward(self, dy):
        return np.where(self.y > 0, dy, 0)
"""
SAMPLER = """
class Sampler:
    def forward(self, mu, logvar, eps):
        self.sigma = np.exp(logvar / 2)
        self.eps = eps
        return mu + self.sigma * eps

    def backward(self, dz):
        return dz, dz * self.eps * self.sigma / 2
"""
LOSS = """
def bernoulli_nll(logits, x):
    n = logits.shape[0]
    cost = np.logaddexp(0, logits) - x * logits
    small = np.exp(-np.abs(logits))
    p = np.where(logits > 0, 1, small) / (1 + small)
    return cost.sum() / n, (p - x) / n


def gaussian_kl(mu, logvar):
    n = mu.shape[0]
    var = np.exp(logvar)
    kl = 0.5 * (mu**2 + var - 1 - logvar).sum() / n
    return kl, mu / n, 0.5 * (var - 1) / n
"""
ADAM = """
class Adam:
    def __init__(self, params, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        self.params, self.lr, self.beta1, self.beta2, self.eps = params, lr, beta1, beta2, eps
        self.t = 0
        self.m = {k: np.zeros_like(p) for k, p in params.items()}
        self.v = {k: np.zeros_like(p) for k, p in params.items()}

    def update(self, grads):
        self.t += 1
        for k, p in self.params.items():
            g = grads[k]
            self.m[k] = self.beta1 * self.m[k] + (1 - self.beta1) * g
            self.v[k] = self.beta2 * self.v[k] + (1 - self.beta2) * g**2
            mhat = self.m[k] / (1 - self.beta1**self.t)
            vhat = self.v[k] / (1 - self.beta2**self.t)
            p -= self.lr * mhat / (np.sqrt(vhat) + self.eps)
"""


def _page(page: str, *changes: tuple[str, str]) -> str:
    """Return the page with each old text, which it must contain once, replaced by the new one."""
    for old, new in changes:
        if page.count(old) != 1:
            raise ValueError(f"{old!r} is not in the page once")
        page = page.replace(old, new)
    return page


ANSWERS = (
    Answer(
        20,
        "shape",
        _page(
            LAYERS,
            ("return dy @ self", "return self"),
            ('ms["weight"]\n\n\n', 'ms["weight"].T @ dy\n\n\n'),
        ),
        "dx is W^T dy, for columns; here images are rows: dy W",
        SHAPE,
    ),
    Answer(
        20,
        "in place",
        _page(LAYERS, ("np.maximum(0, x)", "np.maximum(0, x, out=x)")),
        "the ReLU overwrites its input",
        CHANGED,
    ),
    Answer(
        20,
        "mean",
        _page(LAYERS, ("dy.sum(0)", "dy.mean(0)")),
        "the mean over the batch instead of the sum for the bias",
        MEAN,
    ),
    Answer(
        20,
        "keepdims",
        _page(LAYERS, ('["bias"][:] = dy.sum(0)', '["bias"] = dy.sum(0, keepdims=True)')),
        "grads has a new array of another shape, (1, outputs)",
        ("shape", "[...]", "new array", "another array", "same array", "replac", "keepdims"),
    ),
    Answer(
        20,
        "start",
        _page(LAYERS, ("k = inputs**-0.5", "k = outputs**-0.5")),
        "the bound is taken from the outputs instead of the inputs",
        ("inputs", "bound", "1/sqrt", "start"),
    ),
    Answer(
        20,
        "added",
        _page(LAYERS, ('["weight"][:] = dy', '["weight"] += dy')),
        "the weight's gradient is added to what was there",
        ADDED,
    ),
    Answer(
        20,
        "cached",
        _page(
            LAYERS, ("        self.x = x\n", ""), ("        y = x @", "        self.x = y = x @")
        ),
        "the output is kept where backward needs the input",
        ("input", "output", "shape"),
    ),
    Answer(
        20,
        "mask",
        _page(LAYERS, ("np.where(self.y > 0, dy, 0)", "np.where(self.y >= 0, dy, 0)")),
        "y is never negative, so everything passes",
        (
            ">=",
            "y > 0",
            "where y",
            "where x",
            "negative",
            "mask",
            "everything",
            "lets",
            "slope",
            "x > 0",
        ),
    ),
    Answer(
        21,
        "confused",
        _page(SAMPLER, ("np.exp(logvar / 2)", "np.exp(logvar)")),
        "the variance is taken for sigma",
        ("variance", "half", "logvar/2", "0.5", "/ 2", "root", "exp(logvar)", "square"),
    ),
    Answer(
        21,
        "half",
        _page(SAMPLER, ("self.sigma / 2", "self.sigma")),
        "the half is missing in dlogvar",
        HALF,
    ),
    Answer(
        21,
        "swap",
        _page(
            SAMPLER,
            (
                "return dz, dz * self.eps * self.sigma / 2",
                "return dz * self.eps * self.sigma / 2, dz",
            ),
        ),
        "the two gradients are returned in the wrong order",
        ("order", "swap", "exchang", "interchang", "each other"),
    ),
    Answer(
        21,
        "missing",
        _page(SAMPLER, ("dz * self.eps * self.sigma / 2", "dz * self.sigma / 2")),
        "eps is forgotten",
        ("eps", "noise"),
    ),
    Answer(
        21,
        "confused",
        _page(SAMPLER, ("dz * self.eps * self.sigma / 2", "dz * self.eps")),
        "the derivative with respect to sigma, not to logvar",
        ("sigma", "with respect", "logvar", "chain", "exp(", "noise"),
    ),
    Answer(
        21,
        "missing",
        _page(SAMPLER, ("return mu + self.sigma * eps", "return self.sigma * (mu + eps)")),
        "sigma multiplies mu too",
        (
            "times mu",
            "multiplies mu",
            "bracket",
            "parenthes",
            "mu alone",
            "sigma * mu",
            "sigma mu",
            "mu +",
            "of mu",
        ),
    ),
    Answer(
        22,
        "missing",
        _page(LOSS, ("(p - x) / n", "p - x")),
        "the 1/B is missing in dlogits",
        ("batch", "1/b", "/ b", "len(", "mean", "times too large", "too large"),
        SIGN,
    ),
    Answer(
        22,
        "mean",
        _page(LOSS, ("cost.sum() / n", "cost.mean()")),
        "the mean over pixels too: an image's pixels are summed",
        ("pixel", "mean", "sum", "times too small"),
    ),
    Answer(
        22,
        "half",
        _page(LOSS, ("0.5 * (var - 1) / n", "(var - 1) / n")),
        "the half is missing in dlogvar",
        HALF,
    ),
    Answer(
        22,
        "sign",
        _page(LOSS, ("var - 1 - logvar", "var - 1 + logvar")),
        "the sign of logvar in the KL",
        (*SIGN, "-logvar", "- logvar"),
    ),
    Answer(
        22,
        "confused",
        _page(LOSS, ("var = np.exp(logvar)", "var = np.exp(0.5 * logvar)")),
        "sigma where the variance belongs",
        ("sigma", "variance", "exp(logvar)", "e^logvar", "square", "standard deviation"),
    ),
    Answer(
        22,
        "overflow",
        _page(LOSS, ("np.logaddexp(0, logits)", "np.log(1 + np.exp(logits))")),
        "e^2000 overflows",
        ("overflow", "inf", "large", "2000"),
    ),
    Answer(
        22,
        "doubled",
        _page(LOSS, ("(p - x) / n", "(x - p) / n"), ("mu / n", "2 * mu / n")),
        "the sign of dlogits, and a 2 too much in dmu",
        ("sign", "minus", "twice", "half", "2 times", "factor 2", "factor of 2"),
    ),
    Answer(
        23,
        "bias",
        _page(
            ADAM,
            ("        self.t += 1\n", ""),
            ("+ self.eps)\n", "+ self.eps)\n        self.t += 1\n"),
        ),
        "the step is counted after it is used: at first 1 - beta^0 = 0",
        ("count", "step", "divi", "starts at 1"),
    ),
    Answer(
        23,
        "bias",
        _page(
            ADAM,
            ("            g = grads[k]\n", "            g = grads[k]\n            self.t += 1\n"),
            ("        self.t += 1\n        for", "        for"),
        ),
        "the steps are counted once for each array instead of once for all",
        ("count", "step", "each array", "every array", "once", "per"),
    ),
    Answer(
        23,
        "not in place",
        _page(ADAM, ("p -= self.lr *", "p = p - self.lr *")),
        "p is bound to a new array: params never change",
        (
            "in place",
            "new array",
            "[...]",
            "unchanged",
            "another array",
            "rebound",
            "rebind",
            "did not change",
        ),
    ),
    Answer(
        23,
        "epsilon",
        _page(ADAM, ("(np.sqrt(vhat) + self.eps)", "np.sqrt(vhat + self.eps)")),
        "eps in the root",
        ("eps",),
    ),
    Answer(
        23,
        "bias",
        _page(ADAM, ("mhat = self.m[k] / (1 - self.beta1**self.t)", "mhat = self.m[k]")),
        "the correction of m is missing",
        ("correct", "1 - beta1", "mhat"),
    ),
    Answer(
        23,
        "shared",
        _page(
            ADAM,
            (
                "        self.v = {k: np.zeros_like(p) for k, p in params.items()}",
                "        self.v = self.m",
            ),
        ),
        "m and v are one dict",
        ("same", "share", "one dict", "one array", "m and v", "both"),
    ),
    Answer(
        23,
        "in place",
        _page(
            ADAM,
            ("            g = grads[k]\n", "            g = grads[k]\n            g /= len(g)\n"),
        ),
        "grads is changed: it is only to be read, and not divided",
        (*CHANGED, "grads", "read"),
    ),
    Answer(
        20,
        "style",
        _page(
            LAYERS,
            (
                'self.grads["weight"][:] = dy.T @ self.x',
                'np.matmul(dy.T, self.x, out=self.grads["weight"])',
            ),
            ("np.where(self.y > 0, dy, 0)", "np.heaviside(self.y, 0) * dy"),
        ),
        "the same by other functions of NumPy",
        right=True,
    ),
    Answer(
        23,
        "style",
        _page(
            ADAM,
            (
                "self.m[k] = self.beta1 * self.m[k] + (1 - self.beta1) * g",
                "self.m[k] += (1 - self.beta1) * (g - self.m[k])",
            ),
            ("p -= self.lr *", "p[...] = p - self.lr *"),
        ),
        "the running mean as a pull towards the gradient",
        right=True,
    ),
)
