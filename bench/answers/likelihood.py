"""Answers to exercises 6 and 7: the likelihood of pixels, and the bound from K draws.

How a blank is replaced is said in answer.py. Exercise 6 has the blanks softplus (1), dlogits (2),
exercise 7 log_w (1) and the return (2).
"""

from __future__ import annotations

from bench.answers.answer import (
    ADDED,
    CHANGED,
    ENTRYWISE,
    REBOUND,
    SIGN,
    Answer,
)

_OVERFLOW = ("overflow", "inf", "large l", "large logit", "too large", "nan")

_SCALE = ("scale", "1/b", "batch")
_DLOGITS = "dlogits[...] = "

LIKELIHOOD = (
    Answer(
        6,
        "unstable",
        "softplus = np.log(1 + np.exp(logits))",
        "e^l overflows for large l",
        _OVERFLOW,
    ),
    Answer(6, "unstable", "softplus = np.log1p(np.exp(logits))", "e^l overflows", _OVERFLOW),
    Answer(
        6,
        "unstable",
        "softplus = logits + np.log(1 + np.exp(-logits))",
        "e^-l overflows for very negative l",
        (*_OVERFLOW, "very negative"),
    ),
    Answer(
        6,
        "nan",
        "softplus = -np.log(1 - 1 / (1 + np.exp(-logits)))",
        "log(0): the probability rounds to 1 for large l",
        (*_OVERFLOW, "log(0)", "log 0", "rounds to"),
    ),
    Answer(
        6,
        "clipped",
        "softplus = np.log(1 + np.exp(np.clip(logits, -20, 20)))",
        "clipping the logits changes the loss of large ones",
        ("clip", "large l", "large logit", "max(l, 0)"),
    ),
    Answer(
        6,
        "forgot",
        "softplus = np.log1p(np.exp(-np.abs(logits)))",
        "max(l, 0) is missing",
        ("max", "first term", "positive l"),
    ),
    Answer(
        6,
        "forgot",
        "softplus = np.maximum(logits, 0)",
        "the term log(1 + e^-|l|) is missing",
        ("log1p", "log(1", "log (1", "second term"),
    ),
    Answer(
        6,
        "sign",
        "softplus = np.maximum(logits, 0) + np.log1p(np.exp(np.abs(logits)))",
        "e^|l| instead of e^-|l|: a sign",
        ("e^-|l|", "exp(-", *SIGN, "overflow"),
    ),
    Answer(
        6,
        "sign",
        "softplus = np.maximum(logits, 0) - np.log1p(np.exp(-np.abs(logits)))",
        "the second term has the wrong sign",
        (*SIGN, "+ log", "plus", "added"),
    ),
    Answer(
        6,
        "sign",
        "softplus = np.maximum(logits, 0) + np.log1p(-np.exp(-np.abs(logits)))",
        "log(1 - e^-|l|) instead of log(1 + e^-|l|)",
        (*SIGN, "1 + e", "1 + exp", "plus"),
    ),
    Answer(
        6,
        "forgot",
        "softplus = np.maximum(logits, 0) + np.log1p(np.exp(-logits))",
        "the absolute value is missing",
        ("absolute", "abs", "|l|"),
    ),
    Answer(
        6,
        "forgot",
        "softplus = np.maximum(logits, 0) + np.log(np.exp(-np.abs(logits)))",
        "log without the 1 +",
        ("1 +", "log1p", "the 1"),
    ),
    Answer(
        6,
        "doubled",
        "softplus = np.maximum(logits, 0) + np.log1p(1 + np.exp(-np.abs(logits)))",
        "log1p already adds the 1",
        ("log1p", "twice", "1 too many", "the 1", "log(2 +", "adds 1"),
    ),
    Answer(
        6,
        "whole array",
        "softplus = max(logits, 0) + np.log1p(np.exp(-np.abs(logits)))",
        "Python's max compares whole arrays",
        ("np.maximum", *ENTRYWISE, "each entry"),
        ("a.any()",),
    ),
    Answer(
        6,
        "whole array",
        "softplus = np.max(logits, 0) + np.log1p(np.exp(-np.abs(logits)))",
        "np.max(logits, 0) is the maximum along axis 0; np.maximum is meant",
        ("np.maximum", "axis", *ENTRYWISE),
    ),
    Answer(
        6,
        "wrong name",
        "softplus = np.maximum(l, 0) + np.log1p(np.exp(-np.abs(l)))",
        "l is called logits",
        ("'l'", "logits", "l is not"),
    ),
    Answer(
        6,
        "missing module",
        "import tensorflow as tf\nsoftplus = tf.nn.softplus(logits).numpy()",
        "a module that is not there",
        ("tensorflow", "not installed", "no module"),
    ),
    Answer(
        6,
        "forgot scale",
        {2: f"{_DLOGITS}probability - x"},
        "scale is missing in the gradient",
        _SCALE,
    ),
    Answer(6, "sign", {2: f"{_DLOGITS}scale * (x - probability)"}, "the sign", SIGN),
    Answer(
        6,
        "forgot",
        {2: f"{_DLOGITS}scale * probability"},
        "- x is missing",
        ("- x", "x is missing", "minus x", "subtract", "x l"),
    ),
    Answer(
        6,
        "formula",
        {2: f"{_DLOGITS}scale * (softplus - x)"},
        "softplus instead of its slope, the probability",
        ("probability", "slope", "sigmoid"),
    ),
    Answer(
        6,
        "formula",
        {2: f"{_DLOGITS}scale * (logits - x)"},
        "the logit instead of the probability",
        ("probability", "sigmoid"),
    ),
    Answer(
        6,
        "formula",
        {2: f"{_DLOGITS}scale * (probability - x) * probability * (1 - probability)"},
        "the slope of Sigmoid once too often: that is the squared error's gradient",
        ("probability * (1 - probability)", "p (1 - p)", "slope of sigmoid", "squared", "already"),
    ),
    Answer(
        6,
        "formula",
        {2: f"{_DLOGITS}scale * (probability - x) / (probability * (1 - probability))"},
        "the gradient by the probability, not by the logit",
        (
            "by the probability",
            "to the probability",
            "by the logit",
            "p (1 - p)",
            "sigmoid",
            "divi",
        ),
    ),
    Answer(
        6,
        "mean",
        {2: f"{_DLOGITS}scale * (probability - x) / x.shape[1]"},
        "divided by the number of pixels: the loss is a sum over pixels",
        ("pixel", "shape[1]", "1/d", "divided"),
    ),
    Answer(
        6,
        "mean",
        {2: f"{_DLOGITS}scale * (probability - x) / len(x)"},
        "divided by the batch twice: scale is 1/B already",
        ("twice", "already", "scale", "batch"),
    ),
    Answer(
        6,
        "doubled",
        {2: f"{_DLOGITS}x - probability"},
        "the sign is wrong and scale is missing",
        tuple(f"{one} & {two}" for one in SIGN for two in _SCALE),
    ),
    Answer(
        6,
        "doubled",
        {1: "softplus = np.log1p(np.exp(-np.abs(logits)))", 2: f"{_DLOGITS}probability - x"},
        "max(l, 0) is missing in the value and scale in the gradient",
        ("max & scale", "max & 1/b", "softplus & scale", "value & scale"),
    ),
    Answer(
        6,
        "rebound",
        {2: "dlogits = scale * (probability - x)"},
        "dlogits names a new array",
        REBOUND,
    ),
    Answer(
        6,
        "added",
        {2: "dlogits += scale * (probability - x)"},
        "added instead of overwritten",
        ADDED,
    ),
    Answer(
        6,
        "sum",
        {2: f"{_DLOGITS}scale * np.sum(probability - x)"},
        "one number for all pixels: the gradient is not summed",
        ("sum", "each pixel", "every pixel", "one number", *ENTRYWISE),
    ),
    Answer(
        6,
        "style",
        {
            1: "softplus = np.logaddexp(0, logits)",
            2: f"{_DLOGITS}probability\ndlogits -= x\ndlogits *= scale",
        },
        "logaddexp, and the gradient in three steps",
        right=True,
    ),
    Answer(
        6,
        "style",
        "softplus = np.where(logits > 0, logits, 0) + np.log(1 + np.exp(-abs(logits)))",
        "where, and log(1 + .) for log1p",
        right=True,
    ),
)

BOUND = (
    Answer(
        7,
        "sign",
        "log_w = log_likelihood + log_prior + log_q",
        "log q is divided by: a minus",
        (*SIGN, "log_q", "subtract"),
    ),
    Answer(
        7,
        "sign",
        "log_w = log_likelihood - log_prior - log_q",
        "the prior multiplies: a plus",
        (*SIGN, "log_prior", "plus"),
    ),
    Answer(
        7,
        "swapped",
        "log_w = log_likelihood + log_q - log_prior",
        "prior and q are swapped",
        ("swap", "exchang", "log_prior & log_q"),
    ),
    Answer(
        7,
        "sign",
        "log_w = -log_likelihood + log_q - log_prior",
        "all signs are turned around",
        SIGN,
    ),
    Answer(
        7, "forgot", "log_w = log_likelihood", "prior and q are missing", ("log_prior & log_q",)
    ),
    Answer(
        7, "forgot", "log_w = log_likelihood + log_prior", "- log q is missing", ("log_q", "log q")
    ),
    Answer(
        7,
        "forgot",
        "log_w = log_likelihood - log_q",
        "the prior is missing",
        ("log_prior", "prior"),
    ),
    Answer(
        7,
        "formula",
        "log_w = log_likelihood * log_prior / log_q",
        "logarithms are multiplied and divided where they add",
        ("logarithm", "sum", "add", "+"),
    ),
    Answer(
        7,
        "formula",
        "log_w = np.log(np.exp(log_likelihood) * np.exp(log_prior) / np.exp(log_q))",
        "e^-2000 is 0: log(0)",
        ("underflow", "e^-2000", "log(0)", "log 0", "inf", "nan", "is 0"),
    ),
    Answer(
        7,
        "unstable",
        {2: "return np.log(np.exp(log_w).mean(axis=0))"},
        "the largest weight is not taken out: e^-2000 is 0",
        ("underflow", "e^-2000", "top", "log(0)", "log 0", "inf", "largest"),
    ),
    Answer(
        7,
        "forgot",
        {2: "return np.log(np.exp(log_w - top).mean(axis=0))"},
        "top, which was taken out, is not added again",
        ("top",),
    ),
    Answer(
        7,
        "sum",
        {2: "return top + np.log(np.exp(log_w - top).sum(axis=0))"},
        "a sum where the mean belongs: log K too much",
        ("mean", "log k", "1/k", "log(k)"),
    ),
    Answer(
        7,
        "formula",
        {2: "return log_w.mean(axis=0)"},
        "the mean of the logarithms, not the logarithm of the mean: the plain bound",
        ("logarithm", "log of the mean", "mean of log", "elbo", "plain bound", "looser"),
    ),
    Answer(
        7,
        "formula",
        {2: "return top + np.exp(log_w - top).mean(axis=0)"},
        "the logarithm is missing",
        ("logarithm", "np.log", "the log", "log is missing"),
    ),
    Answer(
        7,
        "formula",
        {2: "return top * np.log(np.exp(log_w - top).mean(axis=0))"},
        "top multiplies where it must be added",
        ("top & add", "+ top", "top +", "added", "plus"),
    ),
    Answer(
        7,
        "axis",
        {2: "return top + np.log(np.exp(log_w - top).mean())"},
        "a mean over images too: the axis is missing",
        ("axis", "images"),
    ),
    Answer(
        7,
        "axis",
        {2: "return top + np.log(np.exp(log_w - top).mean(axis=1))"},
        "the mean over the images, not over the draws",
        ("axis",),
        ("gufunc",),
    ),
    Answer(
        7,
        "sum",
        {2: "return (top + np.log(np.exp(log_w - top).mean(axis=0))).mean()"},
        "one number for all images instead of one each",
        ("(n,)", "each image", "every image", "one number", "per image", "mean over"),
    ),
    Answer(
        7,
        "doubled",
        {
            1: "log_w = log_likelihood + log_prior + log_q",
            2: "return top + np.log(np.exp(log_w - top).sum(axis=0))",
        },
        "the sign of log q, and a sum for the mean",
        ("log_q & mean", "sign & mean", "log_q & log k", "minus & mean"),
    ),
    Answer(
        7,
        "printed",
        {2: "print(top + np.log(np.exp(log_w - top).mean(axis=0)))"},
        "printed, not returned",
        ("return", "none"),
    ),
    Answer(
        7,
        "forgot return",
        {2: "bound = top + np.log(np.exp(log_w - top).mean(axis=0))"},
        "computed, not returned",
        ("return", "none"),
    ),
    Answer(
        7,
        "mutation",
        "log_likelihood += log_prior\nlog_likelihood -= log_q\nlog_w = log_likelihood",
        "log_likelihood, an input, is changed",
        CHANGED,
    ),
    Answer(
        7,
        "style",
        {2: "return np.logaddexp.reduce(log_w, axis=0) - np.log(len(log_w))"},
        "logaddexp, folded over the draws",
        right=True,
    ),
    Answer(
        7,
        "style",
        {
            2: "total = 0\nfor row in log_w:\n    total = total + np.exp(row - top)\n"
            "return np.log(total / len(log_w)) + top"
        },
        "a loop over the draws",
        right=True,
    ),
)

ANSWERS = (*LIKELIHOOD, *BOUND)
