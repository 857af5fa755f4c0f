"""Answers to exercises 14 to 19 of the second set: bug hunts, and what was taken for the bug.

The keys are lines of the file as the student gets it; all others stay as they are.
"""

from __future__ import annotations

from bench.answers.answer import SIGN, Answer

DBIAS = 'self.grads["0.bias"][...] = da.sum(axis=0)'
MASK = "da = dh * (dh > 0)"
DH = 'dh = dlogits @ self.params["2.weight"]'
DZ = 'return da @ self.params["0.weight"]'
PRICE = "price = dkl"
DMU = "dmu = dz + price * self.mu"
DLOGVAR = "dlogvar = dz * self.noise / 2 + price * np.expm1(self.logvar) / 2"
RATE = "rate = lr * np.sqrt(1 - beta2**step) / (1 - beta1**step)"
FLOOR = "floor = eps"
THETA = "theta -= rate * m / (np.sqrt(v) + floor)"
P = "p = 0.5 * np.tanh(0.5 * logits) + 0.5"
COST = "cost = -x * np.log(p + 1e-7) - (1 - x) * np.log(1 - p + 1e-7)"
NOISE = "noise[...] = np.exp(logvar) * eps"
BACK = "dlogvar += dz * noise"
DECODER = "dz = vae.decoder.backward(dlogits)"
ENCODER = "vae.encoder.backward(dstats)"
SAMPLER = "vae.posterior.sampler.backward(dz, dmu, dlogvar)"
KL = "kl = f.gaussian_kl(mu, logvar, vae.beta, scale, dmu, dlogvar)"

BATCH = ("batch", "scale", "1/b", "mean", "kl's gradient", "the kl", "price")
RELU = ("relu", "mask", "h > 0", "where h", "hidden unit", "slope")
START = ("eps", "floor", "small gradient", "start", "first step", "denominator")
CERTAIN = (
    "certain",
    "overflow",
    "large",
    "inf",
    "nan",
    "finite",
    "log(0",
    "clip",
    "1e-",
    "saturat",
)
SPREAD = ("sigma", "variance", "spread", "deviation", "n(mu, e^logvar)", "exp(logvar")
PATH = ("path through z", "sampler", "before", "order", "encoder", "pictures", "reconstruct", "dz")

ANSWERS = (
    Answer(
        14,
        "mask",
        {MASK: "da = dh * (self.z > 0)"},
        "the mask asks the latent z, whose shape is another: ReLU's output is self.h",
        ("shape", "self.h", *RELU),
    ),
    Answer(
        14,
        "mask",
        {MASK: "da = dh * (self.h >= 0)"},
        "h is never negative: >= 0 lets everything through",
        (">= 0", "h > 0", "where h is 0", "h = 0", "is 0", "everywhere", "lets", "off"),
        SIGN,
    ),
    Answer(
        14,
        "mask",
        {MASK: "da = np.where(dh > 0, dh, 0)"},
        "the same bug in other words: the mask still asks for dh's sign",
        ("sign of dh", "dh > 0", "mask", "h > 0", "self.h", "gradient's sign"),
        SIGN,
    ),
    Answer(
        14,
        "value",
        {MASK: "da = dh * self.h"},
        "h itself stands where ReLU's slope belongs",
        ("slope", "h > 0", "1 where", "value"),
        SIGN,
    ),
    Answer(
        14,
        "forgot",
        {MASK: "da = dh"},
        "the mask is thrown away: ReLU is left out on the way back",
        RELU,
        SIGN,
    ),
    Answer(
        14,
        "wrong line",
        {DZ: 'return dh @ self.params["0.weight"]'},
        "this line was right: dz must come from da; the bug is still there",
        ("da", *RELU),
        SIGN,
    ),
    Answer(
        14,
        "wrong line",
        {DH: f"{DH}.T"},
        "this line was right: the transposed weight does not fit",
        ("shape", "transpos"),
    ),
    Answer(
        14,
        "spoiled",
        {
            MASK: "da = dh * (self.h > 0)",
            DBIAS: DBIAS.replace("sum", "mean"),
        },
        "the bug is mended, but the bias's gradient, which was right, is a mean now",
        ("0.bias", "mean", "sum", "batch"),
        SIGN,
    ),
    Answer(
        15,
        "inverse",
        {PRICE: "price = dkl * len(dz)"},
        "multiplied by the batch where a division belongs",
        BATCH,
        SIGN,
    ),
    Answer(
        15,
        "count",
        {PRICE: "price = dkl / dz.size"},
        "divided by the latent dimensions too: kl is a mean over the images alone",
        ("latent", "images", "rows", *BATCH),
        SIGN,
    ),
    Answer(
        15,
        "count",
        {PRICE: "price = dkl / self.latent"},
        "divided by the latent dimensions instead of the batch",
        ("latent", *BATCH),
        SIGN,
    ),
    Answer(
        15,
        "forgot",
        {PRICE: "price = scale"},
        "dkl is thrown away",
        ("dkl",),
        SIGN,
    ),
    Answer(
        15,
        "half",
        {DMU: "dmu = dz + scale * price * self.mu"},
        "mended in mu's line alone: logvar's price is still B times too high",
        ("logvar",),
        SIGN,
    ),
    Answer(
        15,
        "twice",
        {PRICE: "price = dkl * scale", DMU: "dmu = dz + scale * price * self.mu"},
        "mended twice in mu's line: scale comes in squared",
        ("twice", "dmu", "mu", "scale", "too small"),
        SIGN,
    ),
    Answer(
        15,
        "wrong place",
        {DMU: "dmu = scale * (dz + price * self.mu)"},
        "dz is scaled too, though it carries its own; and logvar's line is as it was",
        ("dz", "logvar", "scale", "path through z"),
        SIGN,
    ),
    Answer(
        15,
        "sign",
        {PRICE: "price = -dkl * scale"},
        "the KL is a price: its sign is plus",
        SIGN,
    ),
    Answer(
        16,
        "inverse",
        {FLOOR: "floor = eps / np.sqrt(1 - beta2**step)"},
        "the floor is divided by the correction where it must be multiplied",
        START,
        SIGN,
    ),
    Answer(
        16,
        "root",
        {FLOOR: "floor = eps * (1 - beta2**step)"},
        "the root is missing in the floor's correction",
        ("root", "sqrt", *START),
        SIGN,
    ),
    Answer(
        16,
        "swapped",
        {FLOOR: "floor = eps * np.sqrt(1 - beta1**step)"},
        "the floor is corrected with beta1: v's correction is that of beta2",
        ("beta2", *START),
        SIGN,
    ),
    Answer(
        16,
        "forgot",
        {FLOOR: "floor = 0"},
        "eps is thrown away: a gradient of zero then divides by zero",
        ("eps", "zero", "nan", "finite", "floor", "denominator"),
        SIGN,
    ),
    Answer(
        16,
        "wrong line",
        {RATE: "rate = lr / (1 - beta1**step)"},
        "v's correction, which was right, is thrown away",
        ("beta2", "correct", "v "),
        SIGN,
    ),
    Answer(
        16,
        "swapped",
        {RATE: "rate = lr * np.sqrt(1 - beta1**step) / (1 - beta2**step)"},
        "beta1 and beta2 are swapped in the rate, which was right",
        ("beta", "swap", "correct"),
        SIGN,
    ),
    Answer(
        16,
        "wrong line",
        {THETA: "theta -= rate * m / np.sqrt(v + floor)"},
        "eps is moved into the root",
        ("eps", "root", "sqrt", "floor"),
        SIGN,
    ),
    Answer(
        16,
        "wrong line",
        {THETA: "theta -= lr * m / (np.sqrt(v) + floor)"},
        "the corrected rate is computed, but lr is used: no bias correction at all",
        ("rate", "correct", "start", "first step"),
        SIGN,
    ),
    Answer(
        17,
        "epsilon",
        {COST: COST.replace("1e-7", "1e-12")},
        "a smaller number in the logarithm only moves the place where the cost is wrong",
        CERTAIN,
        SIGN,
    ),
    Answer(
        17,
        "clip",
        {P: f"p = np.clip({P[4:]}, 1e-7, 1 - 1e-7)", COST: COST.replace(" + 1e-7", "")},
        "clipped: a certain and wrong pixel costs 16 instead of its logit",
        CERTAIN,
        SIGN,
    ),
    Answer(
        17,
        "log",
        {COST: COST.replace(" + 1e-7", "")},
        "log(0): the cost is infinite, or no number, for a certain pixel",
        CERTAIN,
        SIGN,
    ),
    Answer(
        17,
        "forgot",
        {COST: "cost = softplus - logits"},
        "x is missing: softplus - x logits",
        ("x ", "pixel"),
        SIGN,
    ),
    Answer(
        17,
        "sign",
        {COST: "cost = softplus + x * logits"},
        "the sign of x logits",
        SIGN,
    ),
    Answer(
        17,
        "formula",
        {COST: "cost = x * softplus + (1 - x) * softplus"},
        "-log p is softplus(-l), not softplus(l)",
        ("softplus(-", "- x", "x ", "x logits", "minus"),
    ),
    Answer(
        17,
        "value",
        {COST: "cost = softplus - x * p"},
        "the probability stands where the logit belongs",
        ("logit",),
        SIGN,
    ),
    Answer(
        17,
        "spoiled",
        {
            COST: "cost = softplus - x * logits",
            "dlogits[...] = scale * (p - x)": "dlogits[...] = scale * (p - x) * p * (1 - p)",
        },
        "the cost is mended, but the gradient, which was right, has a factor too many",
        ("dlogits", "gradient", "p (1 - p)"),
        SIGN,
    ),
    Answer(
        18,
        "half mended",
        {NOISE: "noise[...] = np.exp(0.5 * logvar) * eps"},
        "the draw is mended, the backward still has the slope of the old one: the half is missing",
        ("half", "twice", "0.5", "dlogvar", "backward"),
        SIGN,
    ),
    Answer(
        18,
        "half mended",
        {BACK: "dlogvar += 0.5 * dz * noise"},
        "the backward is mended, the draw still takes the variance for sigma",
        ("noise", *SPREAD),
        SIGN,
    ),
    Answer(
        18,
        "sigma",
        {NOISE: "noise[...] = np.sqrt(logvar) * eps", BACK: "dlogvar += 0.5 * dz * noise"},
        "logvar is a logarithm: its root is not sigma, and is no number below 0",
        ("logarithm", "exp", "root", "sqrt", "nan", "finite", *SPREAD),
        SIGN,
    ),
    Answer(
        18,
        "half outside",
        {NOISE: "noise[...] = 0.5 * np.exp(logvar) * eps"},
        "the half belongs into the exponent: sigma is exp(logvar / 2)",
        ("exponent", "0.5", *SPREAD),
        SIGN,
    ),
    Answer(
        18,
        "inverse",
        {NOISE: "noise[...] = np.exp(-0.5 * logvar) * eps", BACK: "dlogvar -= 0.5 * dz * noise"},
        "1/sigma: the exponent's sign; the derivative agrees with it",
        ("1/sigma", "exponent", "precision", *SIGN, *SPREAD),
    ),
    Answer(
        18,
        "linear",
        {
            NOISE: "noise[...] = (1 + 0.5 * logvar) * eps",
            BACK: "dlogvar += 0.5 * dz * noise",
        },
        "a straight line where the exponential belongs",
        ("exp", *SPREAD),
        SIGN,
    ),
    Answer(
        18,
        "root",
        {NOISE: "noise[...] = np.exp(logvar**0.5) * eps", BACK: "dlogvar += dz * noise / 2"},
        "the root is taken of logvar, not of e^logvar",
        ("root", "sqrt", "exponent", "0.5", "nan", "finite", *SPREAD),
        SIGN,
    ),
    Answer(
        18,
        "wrong way",
        {NOISE: "noise[...] = np.exp(0.5 * logvar) * eps", BACK: "dlogvar += 2 * dz * noise"},
        "the draw is mended; the backward was doubled where it must be halved",
        ("half", "twice", "0.5", "times", "dlogvar", "backward"),
        SIGN,
    ),
    Answer(
        19,
        "forgot",
        {ENCODER: SAMPLER, SAMPLER: "dstats *= 1"},
        "the encoder's backward is not called any more",
        ("encoder", "stale", "never written", "not called"),
    ),
    Answer(
        19,
        "forgot",
        {SAMPLER: "dmu += dz"},
        "the encoder still goes back before the path through z is added; logvar's is lost",
        PATH,
        SIGN,
    ),
    Answer(
        19,
        "swapped",
        {ENCODER: "vae.posterior.sampler.backward(dz, dlogvar, dmu)", SAMPLER: ENCODER},
        "the order is mended, but dmu and dlogvar are swapped now",
        ("swap", "order", "exchang", "dmu"),
        SIGN,
    ),
    Answer(
        19,
        "spoiled",
        {ENCODER: SAMPLER, SAMPLER: ENCODER, "loss = nll + vae.beta * kl": "loss = nll + kl"},
        "the order is mended, but beta, which was right, is gone from the loss",
        ("beta",),
        SIGN,
    ),
    Answer(
        19,
        "too early",
        {
            ENCODER: ENCODER,
            SAMPLER: "",
            DECODER: f"{SAMPLER}\ndz = vae.decoder.backward(dlogits)",
        },
        "the sampler goes back before the decoder, from which dz comes",
        ("dz", "before", "decoder", "order"),
    ),
    Answer(
        19,
        "overwritten",
        {
            KL: "",
            "loss = nll + vae.beta * kl": "",
            DECODER: f"{DECODER}\n{SAMPLER}\n{KL}",
            SAMPLER: "loss = nll + vae.beta * kl",
        },
        "the KL's gradient is written last and overwrites the path through z",
        ("overwrit", *PATH),
        SIGN,
    ),
    Answer(
        19,
        "wrong value",
        {ENCODER: SAMPLER, SAMPLER: "vae.encoder.backward(stats)"},
        "the encoder goes back from the statistics, not from their gradients",
        ("dstats", "gradient"),
        SIGN,
    ),
    Answer(
        19,
        "wrong line",
        {DECODER: "dz = vae.decoder.backward(logits - x)"},
        "this line was right; the encoder still goes back before the sampler",
        ("dlogits", *PATH),
        SIGN,
    ),
    Answer(
        14,
        "style",
        {
            MASK: "da = dh.copy()\nda[self.off] = 0",
            "self.z = z": "self.z = z\nw, b, *_ = self.params.values()\nself.off = z @ w.T <= -b",
        },
        "the mask is kept by the forward",
        right=True,
    ),
    Answer(
        15,
        "style",
        {
            DMU: "dmu = dz + scale * price * self.mu",
            DLOGVAR: "dlogvar = (dz * self.noise + scale * price * np.expm1(self.logvar)) / 2",
        },
        "mended in both lines instead of the one",
        right=True,
    ),
    Answer(
        16,
        "style",
        {
            FLOOR: "root = np.sqrt(v / (1 - beta2**step))",
            THETA: "theta -= lr * m / (1 - beta1**step) / (root + eps)",
        },
        "written as in exercise 10",
        right=True,
    ),
    Answer(
        17,
        "style",
        {COST: "cost = softplus * (1 - x) + x * (softplus - logits)"},
        "both cases by name: -log p is softplus - l",
        right=True,
    ),
    Answer(
        18,
        "style",
        {
            NOISE: "np.multiply(np.sqrt(np.exp(logvar)), eps, out=noise)",
            BACK: "dlogvar += noise * (dz / 2)",
        },
        "the root of the variance",
        right=True,
    ),
    Answer(
        19,
        "style",
        {
            ENCODER: "back = vae.posterior.sampler.backward\nback(dz, dmu, dlogvar)",
            SAMPLER: "vae.encoder.backward(np.hstack([dmu, dlogvar]))",
        },
        "the halves joined anew",
        right=True,
    ),
)
