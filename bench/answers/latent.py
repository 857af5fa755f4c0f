"""Answers to exercises 8 and 9: the gradients of the KL, and the way back through the draw of z.

How a blank is replaced is said in answer.py. Both have the blanks dmu (1) and dlogvar (2).
"""

from __future__ import annotations

from bench.answers.answer import (
    ADDED,
    CHANGED,
    ENTRYWISE,
    FORGOT_DY,
    HANGS,
    LIBRARY,
    REBOUND,
    SIGN,
    SYNTAX,
    Answer,
)

_SCALE = ("scale", "1/b", "batch")
_BETA = ("beta",)
FORGOT_DZ = tuple(words.replace("dy", "dz") for words in FORGOT_DY)

KL = (
    Answer(8, "forgot beta", "dmu[...] = scale * mu", "beta is missing in dmu", _BETA),
    Answer(8, "forgot scale", "dmu[...] = beta * mu", "scale is missing in dmu", _SCALE),
    Answer(
        8,
        "doubled",
        "dmu[...] = mu",
        "scale and beta are missing in dmu",
        ("beta & scale", "beta & 1/b", "beta & batch"),
    ),
    Answer(
        8,
        "doubled",
        {1: "dmu[...] = mu", 2: "dlogvar[...] = 0.5 * (np.exp(logvar) - 1)"},
        "scale and beta are missing in both",
        ("beta & scale", "beta & 1/b", "beta & batch"),
    ),
    Answer(
        8,
        "doubled",
        {1: "dmu[...] = scale * mu", 2: "dlogvar[...] = scale * 0.5 * (np.exp(logvar) - 1)"},
        "beta is missing in both",
        ("beta",),
        ("scale is missing",),
    ),
    Answer(
        8,
        "doubled",
        {1: "dmu[...] = beta * mu", 2: "dlogvar[...] = beta * 0.5 * (np.exp(logvar) - 1)"},
        "scale is missing in both",
        _SCALE,
        ("beta is missing",),
    ),
    Answer(
        8,
        "factor",
        "dmu[...] = 2 * beta * scale * mu",
        "the half of mu^2 / 2 is forgotten",
        ("half", "twice", "mu^2 / 2", "factor 2", "2 times", "1/2", "/ 2"),
    ),
    Answer(
        8,
        "half",
        "dmu[...] = beta * scale * 0.5 * mu",
        "the 2 of d/dmu mu^2 is forgotten: half too small",
        ("half", "mu^2", "factor 2", "2 mu"),
    ),
    Answer(
        8,
        "formula",
        "dmu[...] = beta * scale * mu**2 / 2",
        "the term itself, not its slope",
        ("slope", "deriv", "mu itself", "mu^2", "square"),
    ),
    Answer(8, "sign", "dmu[...] = -beta * scale * mu", "the sign of dmu", SIGN),
    Answer(
        8,
        "half",
        {2: "dlogvar[...] = beta * scale * (np.exp(logvar) - 1)"},
        "the half is forgotten in dlogvar",
        ("half", "/ 2", "1/2", "0.5", "factor 2", "twice"),
    ),
    Answer(
        8,
        "forgot",
        {2: "dlogvar[...] = beta * scale * 0.5 * np.exp(logvar)"},
        "- 1, the slope of - logvar, is missing",
        ("- 1", "minus 1", "-logvar", "- logvar", "expm1"),
    ),
    Answer(
        8,
        "formula",
        {2: "dlogvar[...] = beta * scale * 0.5 * (np.exp(logvar) - logvar)"},
        "the term itself, not its slope: logvar has the slope 1",
        ("- 1", "slope", "deriv"),
    ),
    Answer(
        8,
        "formula",
        {2: "dlogvar[...] = beta * scale * 0.5 * (np.exp(logvar) - 1 - logvar)"},
        "the cost, not its slope",
        ("slope", "deriv", "- logvar", "cost itself", "value"),
    ),
    Answer(
        8,
        "sign",
        {2: "dlogvar[...] = beta * scale * 0.5 * (1 - np.exp(logvar))"},
        "the sign of dlogvar",
        SIGN,
    ),
    Answer(
        8,
        "sign",
        {2: "dlogvar[...] = beta * scale * 0.5 * (np.exp(logvar) + 1)"},
        "+ 1 instead of - 1",
        ("- 1", "+ 1", *SIGN),
    ),
    Answer(
        8,
        "sigma",
        {2: "dlogvar[...] = beta * scale * 0.5 * (np.exp(0.5 * logvar) - 1)"},
        "sigma where the variance belongs",
        ("sigma", "variance", "e^logvar", "exp(logvar)"),
    ),
    Answer(
        8,
        "sigma",
        {2: "dlogvar[...] = beta * scale * 0.5 * (np.exp(logvar) ** 2 - 1)"},
        "logvar taken for log sigma: the variance squared",
        ("squared", "sigma", "variance", "exp(logvar)", "e^logvar", "log sigma"),
    ),
    Answer(
        8,
        "sigma",
        {2: "dlogvar[...] = beta * scale * 0.5 * (1 - 1 / logvar)"},
        "the derivative by the variance, with logvar for the variance",
        ("variance", "e^logvar", "exp(logvar)", "by logvar"),
    ),
    Answer(
        8,
        "precedence",
        {2: "dlogvar[...] = beta * scale * 0.5 * np.exp(logvar) - 1"},
        "brackets are missing: the 1 is not scaled",
        ("bracket", "parenthes", "the 1", "- 1", "both terms"),
    ),
    Answer(
        8,
        "integer division",
        {2: "dlogvar[...] = beta * scale * ((np.exp(logvar) - 1) // 2)"},
        "// rounds down: / divides",
        ("//", "integer", "round"),
    ),
    Answer(
        8,
        "integer division",
        {2: "dlogvar[...] = 1 // 2 * beta * scale * (np.exp(logvar) - 1)"},
        "1 // 2 is 0",
        ("//", "integer", "round", "is 0", "zero"),
    ),
    Answer(
        8,
        "doubled",
        {2: "dlogvar[...] = 0.5 * (np.exp(logvar) - 1)"},
        "scale and beta are missing in dlogvar",
        ("beta & scale", "beta & 1/b", "beta & batch"),
    ),
    Answer(
        8,
        "doubled",
        {
            1: "dmu[...] = 2 * beta * scale * mu",
            2: "dlogvar[...] = beta * scale * (np.exp(logvar) - 1)",
        },
        "the half is forgotten in both",
        ("half", "/ 2", "1/2", "0.5", "factor 2", "twice"),
    ),
    Answer(
        8,
        "doubled",
        {2: "dlogvar[...] = beta * scale * np.exp(logvar)"},
        "the half and the - 1 are both missing",
        ("half & - 1", "half & minus 1", "1/2 & - 1", "0.5 & - 1", "/ 2 & - 1", "half & expm1"),
    ),
    Answer(
        8,
        "doubled",
        {2: "dlogvar[...] = beta * 0.5 * (1 - np.exp(logvar))"},
        "the sign is wrong and scale is missing",
        tuple(f"{one} & {two}" for one in SIGN for two in _SCALE),
    ),
    Answer(
        8,
        "swapped",
        {
            1: "dmu[...] = beta * scale * 0.5 * (np.exp(logvar) - 1)",
            2: "dlogvar[...] = beta * scale * mu",
        },
        "dmu and dlogvar are swapped",
        ("swap", "exchang", "dmu & dlogvar"),
    ),
    Answer(
        8,
        "added",
        {1: "dmu += beta * scale * mu", 2: "dlogvar += beta * scale * 0.5 * np.expm1(logvar)"},
        "both are added where they must be overwritten",
        ADDED,
    ),
    Answer(8, "rebound", "dmu = beta * scale * mu", "dmu names a new array", REBOUND),
    Answer(
        8,
        "mean",
        "dmu[...] = beta * scale * mu / mu.shape[1]",
        "a mean over the latent dimensions; the KL is a sum over them",
        ("latent", "dimension", "mean", "divided", "1/z"),
    ),
    Answer(
        8,
        "wrong name",
        {2: "dlogvar[...] = beta * scale * 0.5 * (np.exp(log_var) - 1)"},
        "log_var is called logvar",
        ("log_var", "logvar"),
    ),
    Answer(
        8,
        "library",
        {
            1: "from minivae import formulas as f\n"
            "f.gaussian_kl(mu, logvar, beta, scale, np.empty_like(mu), dmu, dlogvar)",
            2: "pass",
        },
        "calls the library's own function",
        LIBRARY,
    ),
    Answer(
        8,
        "style",
        {
            1: "np.multiply(mu, scale, out=dmu)\ndmu *= beta",
            2: "var = np.exp(logvar)\ndlogvar[...] = scale * (beta * var / 2 - beta / 2)",
        },
        "in place, and multiplied out",
        right=True,
    ),
)

DRAW = (
    Answer(
        9,
        "formula",
        "dmu += dz * noise",
        "dz/dmu is 1, not noise",
        ("dz/dmu", "is 1", "noise", "slope"),
    ),
    Answer(
        9,
        "half",
        {2: "dlogvar += dz * noise"},
        "the half is forgotten",
        ("half", "/ 2", "1/2", "0.5", "factor 2", "twice"),
    ),
    Answer(
        9, "factor", {2: "dlogvar += 2 * dz * noise"}, "2 where 1/2 belongs", ("half", "1/2", "0.5")
    ),
    Answer(
        9,
        "forgot",
        {2: "dlogvar += 0.5 * dz"},
        "noise is missing",
        ("noise",),
    ),
    Answer(
        9,
        "forgot dz",
        {2: "dlogvar += 0.5 * noise"},
        "dz is missing",
        FORGOT_DZ,
    ),
    Answer(9, "forgot dz", "dmu += 1", "dz is missing: the slope alone", FORGOT_DZ),
    Answer(
        9,
        "sign",
        {2: "dlogvar -= 0.5 * dz * noise"},
        "subtracted where it must be added",
        (*SIGN, "-=", "subtract"),
    ),
    Answer(9, "sign", "dmu -= dz", "subtracted where it must be added", (*SIGN, "-=", "subtract")),
    Answer(
        9,
        "not added",
        "dmu[...] = dz",
        "overwrites the KL's gradient",
        ("+=", "overwrit", "added", "add ", "kl"),
    ),
    Answer(
        9,
        "not added",
        {1: "dmu[...] = dz", 2: "dlogvar[...] = 0.5 * dz * noise"},
        "overwrites both gradients of the KL",
        ("+=", "overwrit", "added", "add ", "kl"),
    ),
    Answer(
        9,
        "rebound",
        {1: "dmu = dmu + dz", 2: "dlogvar = dlogvar + 0.5 * dz * noise"},
        "both name new arrays",
        (*REBOUND, "+="),
    ),
    Answer(
        9,
        "wrong name",
        {2: "dlogvar += 0.5 * dz * eps * np.exp(0.5 * logvar)"},
        "eps and logvar are not handed in: noise is their product",
        ("eps", "noise"),
    ),
    Answer(
        9,
        "doubled",
        {2: "dlogvar[...] = dz * noise"},
        "the half is forgotten, and the KL's gradient overwritten",
        ("half & +=", "half & overwrit", "half & add", "1/2 & overwrit", "0.5 & overwrit"),
    ),
    Answer(
        9,
        "doubled",
        {1: "dmu += dz * noise", 2: "dlogvar += dz * noise"},
        "dz/dmu is 1, and dlogvar lacks the half",
        ("dmu & half", "dmu & 1/2", "dmu & 0.5", "dmu & dlogvar"),
    ),
    Answer(
        9,
        "swapped",
        {1: "dmu += 0.5 * dz * noise", 2: "dlogvar += dz"},
        "dmu and dlogvar are swapped",
        ("swap", "exchang", "dmu & dlogvar"),
    ),
    Answer(
        9,
        "sigma",
        {2: "dlogvar += dz * noise**2 / 2"},
        "noise is squared",
        ("square", "noise"),
    ),
    Answer(
        9,
        "integer division",
        {2: "dlogvar += dz * noise // 2"},
        "// rounds down: / divides",
        ("//", "integer", "round"),
    ),
    Answer(
        9,
        "shape",
        {2: "dlogvar += 0.5 * dz @ noise.T"},
        "a matrix product, @, where * belongs",
        ENTRYWISE,
    ),
    Answer(
        9,
        "mean",
        {1: "dmu += dz / len(dz)", 2: "dlogvar += 0.5 * dz * noise / len(dz)"},
        "divided by the batch again: dz carries 1/B already",
        ("batch", "already", "1/b", "len(dz)", "divided"),
    ),
    Answer(9, "syntax", "dmu =+ dz)", "a bracket too many (and =+ for +=)", (*SYNTAX, "unmatched")),
    Answer(
        9,
        "rebound",
        "dmu =+ dz",
        "=+ is = and a plus sign, not +=",
        ("=+", *REBOUND, "+="),
    ),
    Answer(
        9,
        "mutation",
        {2: "noise *= dz\nnoise *= 0.5\ndlogvar += noise"},
        "noise, an input, is changed",
        (*CHANGED, "noise"),
    ),
    Answer(
        9,
        "library",
        {
            2: "from minivae.formulas import reparameterize_backward as r\nd = np.zeros_like(dz)\n"
            "r(dz, noise, d.copy(), d, dlogvar)"
        },
        "calls the library's own function",
        LIBRARY,
    ),
    Answer(
        9,
        "hang",
        {2: "for step in iter(int, 1):\n    dlogvar[...] = 0.5 * dz * noise"},
        "the loop never ends",
        HANGS,
    ),
    Answer(
        9,
        "style",
        {1: "dmu[...] = dmu + dz", 2: "dlogvar[:] = dlogvar + noise / 2 * dz"},
        "written into the array with the old content named",
        right=True,
    ),
)

ANSWERS = (*KL, *DRAW)
