"""Answers to exercise 13, the whole training step.

How a blank is replaced is said in answer.py. The blanks are z, logits, loss, dz, the sampler, the
encoder (1 to 6).
"""

from __future__ import annotations

from bench.answers.answer import (
    HANGS,
    LIBRARY,
    SIGN,
    SYNTAX,
    Answer,
)

RAW = ("gufunc", "core dimension")
_STALE = ("sampler.forward", "forward of the sampler", "noise", "sampler")
_BACK = "vae.posterior.sampler.backward(dz, dmu, dlogvar)"

ANSWERS = (
    Answer(
        13,
        "not called",
        "z = mu + np.exp(0.5 * logvar) * eps",
        "the sampler's forward was not called: its backward has no noise of this batch",
        _STALE,
    ),
    Answer(
        13,
        "sigma",
        "z = mu + np.exp(logvar) * eps",
        "the variance where sigma belongs, and the sampler's forward is not called",
        ("sigma", "variance", "0.5", "logvar / 2", *_STALE),
    ),
    Answer(
        13,
        "sigma",
        "z = vae.posterior.sampler.forward(mu, 2 * logvar, eps)",
        "sigma becomes exp(logvar): the variance",
        ("sigma", "variance", "2 * logvar", "logvar"),
    ),
    Answer(
        13,
        "forgot",
        "z = mu",
        "z is not drawn: no noise",
        ("noise", "draw", "eps", "z = mu", "sampler"),
    ),
    Answer(
        13, "forgot", "z = eps", "z does not depend on x", ("prior", "sampler", "depend", "mu and")
    ),
    Answer(
        13,
        "swapped",
        "z = vae.posterior.sampler.forward(logvar, mu, eps)",
        "mu and logvar are swapped",
        ("swap", "order", "mu & logvar", "exchang"),
    ),
    Answer(
        13,
        "swapped",
        "z = vae.posterior.sampler.forward(mu, eps, logvar)",
        "logvar and eps are swapped",
        ("swap", "order", "eps & logvar", "exchang"),
    ),
    Answer(
        13,
        "arguments",
        "z = vae.posterior.sampler.forward(mu, logvar)",
        "eps is missing",
        ("eps", "argument"),
    ),
    Answer(
        13,
        "noise",
        "z = vae.posterior.sampler.forward(mu, logvar, np.random.randn(*eps.shape))",
        "draws noise of its own instead of the eps handed in",
        ("eps", "noise of its own", "random"),
    ),
    Answer(
        13,
        "wrong array",
        {2: "logits = vae.decoder.forward(mu)"},
        "decodes mu, not the draw z",
        ("the draw", "draw z", "not mu", "forward(z)", "decodes mu", "noise", "not z"),
    ),
    Answer(
        13,
        "wrong array",
        {2: "logits = vae.decoder.forward(stats)"},
        "the decoder takes z (B, Z), not stats (B, 2Z)",
        ("stats", "z (", "draw", "shape"),
        RAW,
    ),
    Answer(
        13,
        "doubled sigmoid",
        {2: "logits = 1 / (1 + np.exp(-vae.decoder.forward(z)))"},
        "probabilities where logits belong",
        ("logit", "sigmoid", "probabilit"),
    ),
    Answer(13, "forgot beta", {3: "loss = nll + kl"}, "beta is missing in the loss", ("beta",)),
    Answer(
        13,
        "sign",
        {3: "loss = nll - vae.beta * kl"},
        "the KL is subtracted: the sign",
        (*SIGN, "subtract"),
    ),
    Answer(
        13,
        "sign",
        {3: "loss = -nll + vae.beta * kl"},
        "the sign of nll: it is a cost already",
        SIGN,
    ),
    Answer(13, "forgot", {3: "loss = nll"}, "the KL is missing in the loss", ("kl",)),
    Answer(
        13,
        "factor",
        {3: "loss = vae.beta * nll + kl"},
        "beta weighs the wrong term",
        ("beta",),
    ),
    Answer(
        13,
        "mean",
        {3: "loss = (nll + vae.beta * kl) * scale"},
        "scaled twice: both terms are per image already",
        ("scale", "already", "twice", "batch", "1/b"),
    ),
    Answer(
        13,
        "wrong name",
        {3: "loss = nll + beta * kl"},
        "beta is vae.beta",
        ("vae.beta", "'beta'", "beta is not"),
    ),
    Answer(
        13,
        "wrong array",
        {4: "dz = vae.decoder.backward(logits)"},
        "the logits where dlogits, their gradient, belongs",
        ("dlogits",),
    ),
    Answer(
        13,
        "wrong array",
        {4: "dz = vae.decoder.backward(loss)"},
        "a number where dlogits belongs",
        ("dlogits",),
    ),
    Answer(
        13,
        "factor",
        {4: "dz = vae.decoder.backward(scale * dlogits)"},
        "dlogits carries scale already",
        ("scale", "already", "twice", "1/b", "batch"),
    ),
    Answer(
        13,
        "wrong name",
        {4: "dz = vae.decoder.forward(dlogits)"},
        "forward where backward belongs",
        ("backward",),
        RAW,
    ),
    Answer(
        13,
        "arguments",
        {5: "vae.posterior.sampler.backward(dz)"},
        "dmu and dlogvar are missing",
        ("dmu", "argument"),
    ),
    Answer(
        13,
        "swapped",
        {5: "vae.posterior.sampler.backward(dz, dlogvar, dmu)"},
        "dmu and dlogvar are swapped",
        ("swap", "order", "exchang", "dmu & dlogvar"),
    ),
    Answer(
        13,
        "swapped",
        {5: "vae.posterior.sampler.backward(dmu, dlogvar, dz)"},
        "dz comes first",
        ("order", "dz", "swap", "first"),
    ),
    Answer(
        13,
        "not called",
        {5: "vae.posterior.sampler.backward"},
        "named, not called: the brackets are missing",
        ("call", "bracket", "parenthes", "(dz", "through z", "sampler"),
    ),
    Answer(
        13,
        "twice",
        {5: f"{_BACK}\n{_BACK}"},
        "the paths through z are added twice",
        ("twice", "two times", "second time", "2 times"),
    ),
    Answer(
        13,
        "wrong array",
        {5: "vae.posterior.sampler.backward(dz, dmu.copy(), dlogvar.copy())"},
        "copies take what belongs in dstats",
        ("cop", "dstats", "view", "through z"),
    ),
    Answer(
        13,
        "not called",
        {6: "vae.encoder.forward"},
        "the encoder's backward is never called",
        ("encoder", "backward"),
    ),
    Answer(
        13,
        "wrong array",
        {6: "vae.encoder.backward(dmu)"},
        "only mu's half goes back: dstats holds both",
        ("dstats", "half", "halves"),
        RAW,
    ),
    Answer(
        13,
        "shape",
        {6: "vae.encoder.backward(np.concatenate([dlogvar, dmu], axis=1))"},
        "the halves are in the wrong order; dstats holds them already",
        ("order", "swap", "dstats", "halves"),
    ),
    Answer(
        13,
        "shape",
        {6: "vae.encoder.backward(dstats.T)"},
        "dstats must not be transposed",
        ("transpose", "dstats"),
        RAW,
    ),
    Answer(
        13,
        "wrong array",
        {6: "vae.encoder.backward(stats)"},
        "the statistics where dstats, their gradient, belongs",
        ("dstats",),
    ),
    Answer(
        13,
        "order",
        {5: "vae.encoder.backward(dstats)", 6: _BACK},
        "the encoder goes back before the sampler has added its paths",
        ("order", "before", "sampler", "through z"),
    ),
    Answer(
        13,
        "doubled",
        {3: "loss = nll + kl", 5: "vae.posterior.sampler.backward(dz, dlogvar, dmu)"},
        "beta is missing in the loss, and dmu and dlogvar are swapped",
        ("beta & swap", "beta & order", "beta & exchang", "beta & dlogvar"),
    ),
    Answer(
        13,
        "doubled",
        {1: "z = mu", 3: "loss = nll - vae.beta * kl"},
        "no noise, and the KL has the wrong sign",
        tuple(
            f"{one} & {two}"
            for one in ("noise", "draw", "eps", "z = mu")
            for two in (*SIGN, "subtract")
        ),
    ),
    Answer(
        13,
        "library",
        {1: "return vae.step(x, eps)"},
        "calls the model's own step: vae.step",
        (*LIBRARY, "vae.step"),
    ),
    Answer(13, "syntax", {6: "vae.encoder.backward(dstats"}, "a bracket is not closed", SYNTAX),
    Answer(
        13,
        "hang",
        {6: "while loss > 0:\n    vae.encoder.backward(dstats)"},
        "the loss never falls: the loop does not end",
        HANGS,
    ),
    Answer(
        13,
        "style",
        {
            2: "logits = vae.decoder.forward(z)\nprint('z', z.shape, 'logits', logits.shape)",
            3: "loss = sum([nll, kl * vae.beta])",
            4: "vae.posterior.sampler.backward(vae.decoder.backward(dlogits), dmu, dlogvar)",
            5: "pass",
        },
        "one call within the other, names for the arguments, a print left in",
        right=True,
    ),
)
