"""Answers to exercises 20 to 23 of the second set: blank pages, each a right page with a mistake.

Each answer is the whole text below the page's imports.
"""

from __future__ import annotations

from bench.answers.answer import CHANGED, REBOUND, SIGN, Answer

LAYERS = """
class Linear:
    def __init__(self, inputs, outputs, rng):
        bound = 1 / np.sqrt(inputs)
        self.params = {
            "weight": rng.uniform(-bound, bound, (outputs, inputs)),
            "bias": rng.uniform(-bound, bound, outputs),
        }
        self.grads = {name: np.zeros_like(value) for name, value in self.params.items()}

    def forward(self, x):
        self.x = x
        return x @ self.params["weight"].T + self.params["bias"]

    def backward(self, dy):
        self.grads["weight"][...] = dy.T @ self.x
        self.grads["bias"][...] = dy.sum(axis=0)
        return dy @ self.params["weight"]


class ReLU:
    def forward(self, x):
        self.on = x > 0
        return x * self.on

    def backward(self, dy):
        return dy * self.on
"""
SAMPLER = """
class Sampler:
    def forward(self, mu, logvar, eps):
        self.noise = np.exp(0.5 * logvar) * eps
        return mu + self.noise

    def backward(self, dz):
        dmu = dz.copy()
        dlogvar = 0.5 * dz * self.noise
        return dmu, dlogvar
"""
LOSS = """
def bernoulli_nll(logits, x):
    softplus = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))
    probability = 0.5 * np.tanh(0.5 * logits) + 0.5
    nll = np.sum(softplus - x * logits) / len(x)
    dlogits = (probability - x) / len(x)
    return nll, dlogits


def gaussian_kl(mu, logvar):
    batch = len(mu)
    kl = 0.5 * np.sum(mu**2 + np.exp(logvar) - 1 - logvar) / batch
    dmu = mu / batch
    dlogvar = 0.5 * (np.exp(logvar) - 1) / batch
    return kl, dmu, dlogvar
"""
ADAM = """
class Adam:
    def __init__(self, params, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        self.params = params
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.m = {name: np.zeros_like(value) for name, value in params.items()}
        self.v = {name: np.zeros_like(value) for name, value in params.items()}
        self.step = 0

    def update(self, grads):
        self.step += 1
        for name, theta in self.params.items():
            grad, m, v = grads[name], self.m[name], self.v[name]
            m[...] = self.beta1 * m + (1 - self.beta1) * grad
            v[...] = self.beta2 * v + (1 - self.beta2) * grad**2
            mhat = m / (1 - self.beta1**self.step)
            vhat = v / (1 - self.beta2**self.step)
            theta -= self.lr * mhat / (np.sqrt(vhat) + self.eps)
"""
SHAPE = ("shape", "transpos")
SUM = ("mean", "batch", "sum", "average", "times too small", "scale")
SCALED = ("batch", "mean", "1/b", "len(", "scale", "divid", "number of images")


def _but(page: str, *changes: str) -> str:
    """Return a page with texts replaced: old, new, old, new, ..."""
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        if page.count(old) != 1:
            raise ValueError(f"not once in the page: {old}")
        page = page.replace(old, new)
    return page


ANSWERS = (
    Answer(
        20,
        "shape",
        _but(
            LAYERS,
            "(outputs, inputs)",
            "(inputs, outputs)",
            'self.params["weight"].T',
            'self.params["weight"]',
            "dy.T @ self.x",
            "self.x.T @ dy",
            'dy @ self.params["weight"]',
            'dy @ self.params["weight"].T',
        ),
        "the weight is kept as (inputs, outputs), where (outputs, inputs) is asked",
        SHAPE,
    ),
    Answer(
        20,
        "start",
        _but(LAYERS, "rng.uniform(-bound, bound, (", "rng.normal(0, bound, ("),
        "the weights start normal, not uniform",
        ("uniform", "start", "drawn", "normal"),
    ),
    Answer(
        20,
        "start",
        _but(LAYERS, "1 / np.sqrt(inputs)", "1 / inputs"),
        "the root is missing in the start's bound",
        ("sqrt", "bound", "start", "uniform", "range", "root"),
    ),
    Answer(
        20,
        "start",
        _but(LAYERS, "rng.uniform(-bound, bound, outputs)", "np.zeros(outputs)"),
        "the bias starts at 0, where it must be drawn too",
        ("bias",),
    ),
    Answer(
        20,
        "added",
        _but(
            LAYERS,
            '["weight"][...] = dy',
            '["weight"] += dy',
            '["bias"][...] = dy',
            '["bias"] += dy',
        ),
        "the gradients are added to what was there, where they must overwrite it",
        ("+=", "add", "overwrit", "second", "accumul"),
        SIGN,
    ),
    Answer(
        20,
        "rebound",
        _but(
            LAYERS, '["weight"][...] = dy', '["weight"] = dy', '["bias"][...] = dy', '["bias"] = dy'
        ),
        "new arrays are put into grads: who holds the old ones sees no gradient",
        (*REBOUND, "overwrit", "same array", "written into"),
    ),
    Answer(
        20,
        "shape",
        _but(LAYERS, 'dy @ self.params["weight"]', 'dy @ self.params["weight"].T'),
        "the weight must not be transposed on the way back",
        SHAPE,
    ),
    Answer(
        20,
        "mask",
        _but(LAYERS, "return dy * self.on", "return dy * (dy > 0)"),
        "the mask asks for dy's sign: it must ask where x was positive",
        ("mask", "x > 0", "dy > 0", "sign of dy", "where x", "y > 0"),
        ("minus",),
    ),
    Answer(
        20,
        "mean",
        _but(LAYERS, "dy.sum(axis=0)", "dy.mean(axis=0)"),
        "the bias's gradient is a mean over the rows where their sum belongs",
        SUM,
        SIGN,
    ),
    Answer(
        20,
        "input",
        _but(
            LAYERS,
            "        self.on = x > 0\n        return x * self.on",
            "        self.on = x > 0\n        x[~self.on] = 0\n        return x",
        ),
        "ReLU changes its input in place",
        CHANGED,
    ),
    Answer(
        20,
        "forgot",
        _but(LAYERS, "        self.x = x\n", ""),
        "the forward does not keep x, which the backward needs",
        ("self.x", "keep", "attribute", "no attribute"),
    ),
    Answer(
        20,
        "forgot",
        _but(LAYERS, ' + self.params["bias"]', ""),
        "the bias is not added in the forward",
        ("bias",),
    ),
    Answer(
        21,
        "sigma",
        _but(SAMPLER, "np.exp(0.5 * logvar)", "np.exp(logvar)", "0.5 * dz * self", "dz * self"),
        "the variance where sigma belongs; the derivative agrees with it",
        ("sigma", "variance", "0.5", "logvar / 2", "deviation"),
        SIGN,
    ),
    Answer(
        21,
        "half",
        _but(SAMPLER, "0.5 * dz * self.noise", "dz * self.noise"),
        "the half is missing: d exp(logvar / 2) brings it down",
        ("half", "twice", "0.5", "/ 2"),
        SIGN,
    ),
    Answer(
        21,
        "order",
        _but(SAMPLER, "return dmu, dlogvar", "return dlogvar, dmu"),
        "the two results are in the wrong order",
        ("order", "swap", "exchang", "each other", "other's"),
        SIGN,
    ),
    Answer(
        21,
        "returned",
        _but(SAMPLER, "return dmu, dlogvar", "return dmu + dlogvar"),
        "one array is returned where two are asked: the paths must not be added here",
        ("two", "tuple", "(dmu, dlogvar)", "unpack", "pair"),
    ),
    Answer(
        21,
        "random",
        _but(SAMPLER, "* eps\n", "* np.random.default_rng().normal(size=mu.shape)\n"),
        "noise of its own is drawn: the eps that is handed in must be used",
        ("eps",),
        SIGN,
    ),
    Answer(
        21,
        "wrong value",
        _but(
            SAMPLER,
            "return mu + self.noise",
            "self.z = mu + self.noise\n        return self.z",
            "dz * self.noise",
            "dz * self.z",
        ),
        "z was kept where the noise alone, z - mu, is needed",
        ("noise", "z - mu", " mu"),
        SIGN,
    ),
    Answer(
        21,
        "forgot",
        _but(
            SAMPLER,
            "* eps\n        return mu + self.noise",
            "\n        return mu + self.noise * eps",
        ),
        "sigma was kept without eps: the slope is eps sigma / 2",
        ("eps", "noise"),
        SIGN,
    ),
    Answer(
        21,
        "extra",
        _but(
            SAMPLER,
            "dmu = dz.copy()",
            "dmu = dz + self.mu",
            "        self.noise",
            "        self.mu = mu\n        self.noise",
        ),
        "the KL's gradient is added: the gradients through z alone are asked",
        ("kl", "through z", "mu & alone", "only dz", "is dz", "mu"),
        SIGN,
    ),
    Answer(
        21,
        "sum",
        _but(SAMPLER, "dz.copy()", "dz.sum(axis=0)"),
        "summed over the batch: each image has a mu of its own",
        ("sum", "batch", "shape", "each image", "row"),
        SIGN,
    ),
    Answer(
        21,
        "input",
        _but(
            SAMPLER,
            "self.noise = np.exp(0.5 * logvar) * eps",
            "eps *= np.exp(0.5 * logvar)\n        self.noise = eps",
        ),
        "eps, an input, is changed in place",
        CHANGED,
    ),
    Answer(
        22,
        "mean",
        _but(LOSS, "np.sum(softplus - x * logits) / len(x)", "np.mean(softplus - x * logits)"),
        "a mean over the pixels too: an image's pixels are summed",
        ("pixel", "sum", "mean", "too small", "image"),
        SIGN,
    ),
    Answer(
        22,
        "forgot",
        _but(LOSS, "(probability - x) / len(x)", "probability - x"),
        "the value is a mean over the batch, its gradient is not",
        SCALED,
        SIGN,
    ),
    Answer(
        22,
        "forgot",
        _but(LOSS, "batch = len(mu)", "batch = 1"),
        "a sum over the batch where its mean is asked, in all of the KL",
        SCALED,
        SIGN,
    ),
    Answer(
        22,
        "sign",
        _but(LOSS, "(probability - x) / len(x)", "(x - probability) / len(x)"),
        "the sign of the logits' gradient",
        SIGN,
    ),
    Answer(
        22,
        "sigma",
        _but(
            LOSS,
            "mu**2 + np.exp(logvar)",
            "mu**2 + np.exp(0.5 * logvar)",
            "0.5 * (np.exp(logvar) - 1)",
            "0.5 * (0.5 * np.exp(0.5 * logvar) - 1)",
        ),
        "sigma where the variance belongs; the derivative agrees with it",
        ("sigma", "variance", "e^logvar", "exp(logvar)"),
        SIGN,
    ),
    Answer(
        22,
        "clip",
        _but(
            LOSS,
            "np.sum(softplus - x * logits)",
            "-np.sum(x * np.log(probability + 1e-9) + (1 - x) * np.log(1 - probability + 1e-9))",
        ),
        "a small number in the logarithm clips the cost of a certain and wrong pixel",
        ("clip", "large", "2000", "certain", "1e-", "logits", "overflow", "extreme"),
        SIGN,
    ),
    Answer(
        22,
        "overflow",
        _but(
            LOSS,
            "np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))",
            "np.log(1 + np.exp(logits))",
        ),
        "e^2000 overflows",
        ("overflow", "inf", "large", "finite", "2000"),
        SIGN,
    ),
    Answer(
        22,
        "half",
        _but(LOSS, "dlogvar = 0.5 * (np", "dlogvar = (np"),
        "the half is missing in dlogvar",
        ("half", "twice", "0.5", "/ 2"),
        SIGN,
    ),
    Answer(
        22,
        "forgot",
        _but(LOSS, "- 1 - logvar", "- logvar"),
        "the - 1 is missing in the KL: it is not 0 where q is the prior",
        ("- 1", "minus 1", "constant", "0.5", "prior", "half"),
    ),
    Answer(
        22,
        "two",
        _but(
            LOSS,
            "dmu = mu / batch",
            "dmu = 2 * mu / batch",
            "dlogvar = 0.5 * (np.exp(logvar) - 1)",
            "dlogvar = 0.5 * np.exp(logvar)",
        ),
        "dmu is twice too large, and dlogvar lacks the - 1",
        ("dmu & dlogvar", "twice & - 1", "half & - 1", "twice & logvar"),
        SIGN,
    ),
    Answer(
        23,
        "step",
        _but(
            ADAM,
            "        self.step += 1\n        for",
            "        for",
            "            grad, m, v",
            "            self.step += 1\n            grad, m, v",
        ),
        "the step is counted once for each array instead of once for each update",
        ("step", "once", "each array", "per update", "every array", "count"),
        SIGN,
    ),
    Answer(
        23,
        "step",
        _but(ADAM, "        self.step += 1\n", "", "self.step = 0", "self.step = 1"),
        "the step is never counted: it stays 1",
        ("step", "count"),
        SIGN,
    ),
    Answer(
        23,
        "step",
        _but(
            ADAM,
            "        self.step += 1\n",
            "",
            "np.sqrt(vhat) + self.eps)\n",
            "np.sqrt(vhat) + self.eps)\n        self.step += 1\n",
        ),
        "the step is counted after the update: the first is 0 and divides by zero",
        ("step", "zero", "nan", "finite", "divi"),
    ),
    Answer(
        23,
        "alias",
        _but(
            ADAM,
            "self.v = {name: np.zeros_like(value) for name, value in params.items()}",
            "self.v = self.m",
        ),
        "m and v are the same arrays",
        ("same array", "m and v", "share", "own array", "one array", " v "),
        SIGN,
    ),
    Answer(
        23,
        "rebound",
        _but(ADAM, "theta -= self.lr", "self.params[name] = theta - self.lr"),
        "new arrays are put into params: the model's own are not changed",
        (*REBOUND, "in place"),
    ),
    Answer(
        23,
        "copy",
        _but(
            ADAM,
            "self.params = params",
            "self.params = {name: value.copy() for name, value in params.items()}",
        ),
        "copies are updated: the arrays that were handed in do not move",
        ("copy", "copies", "unchanged", "in place", "do not move", "as they were", "not change"),
    ),
    Answer(
        23,
        "input",
        _but(
            ADAM,
            "            m[...]",
            "            grad *= 1 - self.beta1\n            m[...]",
            "(1 - self.beta1) * grad\n",
            "grad\n",
        ),
        "grads are changed, and v then takes the square of the smaller ones",
        (*CHANGED, "grads", "read", "1 - beta1"),
        SIGN,
    ),
    Answer(
        23,
        "state",
        _but(ADAM, "mhat = m /", "m /=", "self.lr * mhat", "self.lr * m"),
        "the correction is written into m itself, which the next update then takes for the mean",
        ("m ", "itself", "next", "later", "second", "keep", "in place"),
        SIGN,
    ),
    Answer(
        23,
        "eps",
        _but(ADAM, "np.sqrt(vhat) + self.eps", "np.sqrt(vhat + self.eps)"),
        "eps stands inside the root",
        ("eps",),
        SIGN,
    ),
    Answer(
        23,
        "one moment",
        _but(
            ADAM,
            "self.m = {name: np.zeros_like(value) for name, value in params.items()}",
            "self.m = dict.fromkeys(params, np.zeros(1))",
            "m[...] = ",
            "m = self.m[name] = ",
            "self.beta2 * v + (1 - self.beta2) * grad**2",
            "self.beta2 * v + (1 - self.beta2) * grad.mean() ** 2",
        ),
        "v takes the square of the mean gradient: each entry has a v of its own",
        ("v ", "entry", "square", "each", "grad**2"),
        SIGN,
    ),
    Answer(
        20,
        "style",
        _but(
            LAYERS,
            "self.x = x\n        return x @ self",
            'self.x = x.copy()\n        return np.einsum("bi,oi->bo", x, self',
            'weight"].T +',
            'weight"]) +',
            '["weight"][...] = dy.T @ self.x',
            '["weight"].fill(0)\n        for one, out in zip(self.x, dy):\n'
            '            self.grads["weight"] += np.outer(out, one)',
            "self.on = x > 0\n        return x * self.on",
            "self.y = np.maximum(x, 0)\n        return self.y.copy()",
            "dy * self.on",
            "np.where(self.y > 0, dy, 0)",
        ),
        "einsum, row by row, and a mask from the output",
        right=True,
    ),
    Answer(
        21,
        "style",
        _but(
            SAMPLER,
            "self.noise = np.exp(0.5 * logvar) * eps\n        return mu + self.noise",
            "self.back = lambda dz: (dz * 1.0, dz * eps * np.sqrt(np.exp(logvar)) / 2)\n"
            "        return np.sqrt(np.exp(logvar)) * eps + mu",
            SAMPLER[SAMPLER.index("        dmu") :],
            "        return self.back(dz)\n",
        ),
        "the backward is a function that the forward leaves behind",
        right=True,
    ),
    Answer(
        22,
        "style",
        _but(
            LOSS,
            "np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))",
            "np.logaddexp(0, logits)",
            "np.sum(softplus - x * logits) / len(x)",
            "(softplus - x * logits).sum(axis=1).mean()",
            "0.5 * np.sum(mu**2 + np.exp(logvar) - 1 - logvar) / batch",
            "(np.vdot(mu, mu) + (np.expm1(logvar) - logvar).sum(axis=1).sum()) / (2 * batch)",
        ),
        "sums over an image, then the mean",
        right=True,
    ),
    Answer(
        23,
        "style",
        _but(
            ADAM,
            "m[...] = self.beta1 * m + (1 - self.beta1) * grad",
            "m += (1 - self.beta1) * (grad - m)",
            "v[...] = self.beta2 * v + (1 - self.beta2) * grad**2",
            "v += (1 - self.beta2) * (grad * grad - v)",
            "theta -= self.lr * mhat / (np.sqrt(vhat) + self.eps)",
            "np.subtract(theta, self.lr * mhat / (np.sqrt(vhat) + self.eps), out=theta)",
        ),
        "running means as steps towards the gradient, and out=",
        right=True,
    ),
)
