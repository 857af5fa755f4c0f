"""Answers to exercises 11 and 12: the decoder's way back, and the encoder's last layer.

How a blank is replaced is said in answer.py. The blanks are, 11: weight 2, bias 2, dh, da,
weight 0, bias 0, the return (1 to 7); 12: dmu, dlogvar, dstats, weight, bias, the return (1 to 6).
"""

from __future__ import annotations

from bench.answers.answer import (
    ADDED,
    CHANGED,
    ENTRYWISE,
    FORGOT_DY,
    REBOUND,
    SIGN,
    Answer,
)

RAW = ("gufunc", "core dimension")
_TRANSPOSE = ("transpose", "dlogits.t", "da.t", "dstats.t", "order", "swap")
_W2, _B2 = 'self.grads["2.weight"]', 'self.grads["2.bias"]'
_W0, _B0 = 'self.grads["0.weight"]', 'self.grads["0.bias"]'
_MASK = ("relu", "mask", "self.h > 0", "slope", "h > 0")
_HALF = ("half", "/ 2", "1/2", "0.5", "factor 2", "twice")
_SCALE = ("scale", "1/b", "batch")
_FORGOT_DH = tuple(words.replace("dy", "dh") for words in FORGOT_DY)
_FORGOT_DLOGITS = tuple(words.replace("dy", "dlogits") for words in FORGOT_DY)

DECODER = (
    Answer(11, "shape", f"{_W2}[...] = self.h.T @ dlogits", "the transpose", _TRANSPOSE, RAW),
    Answer(
        11, "shape", f"{_W2}[...] = dlogits @ self.h", "dlogits is not transposed", _TRANSPOSE, RAW
    ),
    Answer(
        11,
        "shape",
        f"{_W2}[...] = dlogits @ self.h.T",
        "the wrong one is transposed",
        _TRANSPOSE,
        RAW,
    ),
    Answer(
        11, "shape", {5: f"{_W0}[...] = self.z.T @ da"}, "the transpose: (Z, H)", _TRANSPOSE, RAW
    ),
    Answer(
        11,
        "doubled",
        {1: f"{_W2}[...] = self.h.T @ dlogits", 5: f"{_W0}[...] = self.z.T @ da"},
        "both weights' gradients are transposed",
        _TRANSPOSE,
        RAW,
    ),
    Answer(
        11,
        "shape",
        {3: 'dh = dlogits @ self.params["2.weight"].T'},
        "weight must not be transposed",
        _TRANSPOSE,
        RAW,
    ),
    Answer(
        11,
        "shape",
        {3: 'dh = self.params["2.weight"].T @ dlogits'},
        "the operands are in the wrong order",
        _TRANSPOSE,
        RAW,
    ),
    Answer(
        11,
        "shape",
        {7: 'return da @ self.params["0.weight"].T'},
        "weight must not be transposed",
        _TRANSPOSE,
        RAW,
    ),
    Answer(
        11,
        "shape",
        {7: 'return (da @ self.params["0.weight"]).T'},
        "dz comes back transposed, (Z, B)",
        _TRANSPOSE,
        RAW,
    ),
    Answer(
        11,
        "wrong layer",
        {3: 'dh = dlogits @ self.params["0.weight"]'},
        "the first layer's weight where the second's belongs",
        ("2.weight", "0.weight", "second", "layer"),
        RAW,
    ),
    Answer(
        11,
        "wrong layer",
        {7: 'return da @ self.params["2.weight"]'},
        "the second layer's weight where the first's belongs",
        ("0.weight", "2.weight", "first", "layer"),
        RAW,
    ),
    Answer(
        11,
        "wrong array",
        f"{_W2}[...] = dlogits.T @ self.z",
        "the second layer's input is h, not z",
        ("self.h", "input is h", "h, not z", "input of"),
        RAW,
    ),
    Answer(
        11,
        "wrong array",
        {5: f"{_W0}[...] = da.T @ self.h"},
        "the first layer's input is z, not h",
        ("self.z", "input is z", "z, not h", "input of"),
        RAW,
    ),
    Answer(
        11,
        "wrong array",
        {5: f"{_W0}[...] = dh.T @ self.z"},
        "dh instead of da: the ReLU is skipped in the weight's gradient",
        ("instead of dh", "dh instead", "not dh", *_MASK),
    ),
    Answer(
        11,
        "wrong array",
        {6: f"{_B0}[...] = dh.sum(axis=0)"},
        "dh instead of da: the ReLU is skipped in the bias's gradient",
        ("instead of dh", "dh instead", "not dh", *_MASK),
    ),
    Answer(
        11,
        "wrong array",
        {7: 'return dh @ self.params["0.weight"]'},
        "dh instead of da: the ReLU is skipped on the way to z",
        ("instead of dh", "dh instead", "not dh", *_MASK),
    ),
    Answer(11, "forgot", {4: "da = dh"}, "the slope of ReLU is missing", _MASK),
    Answer(11, "forgot", {4: "da = self.h > 0"}, "dh is missing", _FORGOT_DH),
    Answer(
        11,
        "comparison",
        {4: "da = dh * (self.h >= 0)"},
        ">= is true everywhere: h is never negative",
        (">=", "h = 0", "h is 0", "everywhere", "> 0", "at 0"),
    ),
    Answer(
        11,
        "wrong array",
        {4: "da = dh * (dh > 0)"},
        "the mask is taken from dh, not from h",
        ("of dh", "self.h", "dh > 0", "h > 0", "from h"),
    ),
    Answer(
        11,
        "formula",
        {4: "da = dh * self.h"},
        "h stands where its slope, 1 or 0, belongs",
        ("slope", "> 0", "h itself", "mask"),
    ),
    Answer(
        11,
        "formula",
        {4: "da = dh * self.h * (1 - self.h)"},
        "the slope of Sigmoid; the layer is a ReLU",
        ("relu", "sigmoid", "> 0", "slope"),
    ),
    Answer(
        11,
        "wrong name",
        {4: "da = dh * (self.a > 0)"},
        "a was not kept: use self.h",
        ("self.a", "'a'", "self.h", "not kept", "attribute"),
    ),
    Answer(
        11,
        "axis",
        {2: f"{_B2}[...] = dlogits.sum(axis=1)"},
        "sums over the pixels (axis 1), not over the batch",
        ("axis", "over the batch"),
        RAW,
    ),
    Answer(
        11,
        "axis",
        {2: f"{_B2}[...] = dlogits.sum()"},
        "sums over everything: the axis is missing",
        ("axis", "over everything", "all entries", "one number", "over the batch"),
    ),
    Answer(
        11,
        "mean",
        {2: f"{_B2}[...] = dlogits.mean(axis=0)", 6: f"{_B0}[...] = da.mean(axis=0)"},
        "means over the batch where sums belong",
        ("mean", "batch", "1/b", "divided"),
    ),
    Answer(
        11,
        "mean",
        f"{_W2}[...] = dlogits.T @ self.h / len(dlogits)",
        "divided by the batch: dlogits carries 1/B already",
        ("mean", "batch", "1/b", "divided", "already"),
    ),
    Answer(
        11,
        "rebound",
        f"{_W2} = dlogits.T @ self.h",
        "the dict gets another array; who holds the old one sees nothing",
        REBOUND,
    ),
    Answer(
        11,
        "added",
        {1: f"{_W2}[...] += dlogits.T @ self.h", 5: f"{_W0}[...] += da.T @ self.z"},
        "added where they must be overwritten",
        ADDED,
    ),
    Answer(
        11,
        "update",
        'self.params["2.weight"][...] = dlogits.T @ self.h',
        "the gradient overwrites the parameter",
        ("params", "grads", "parameter"),
    ),
    Answer(11, "forgot return", {7: 'dz = da @ self.params["0.weight"]'}, "no return", ("return",)),
    Answer(
        11, "wrong array", {7: "return da"}, "da, not dz", ("0.weight", "weight", "dz", "shape")
    ),
    Answer(
        11,
        "doubled",
        {4: "da = dh", 7: 'return da @ self.params["0.weight"] / len(da)'},
        "the slope of ReLU is missing and dz is divided by the batch",
        tuple(f"{one} & {two}" for one in _MASK for two in ("batch", "divided", "1/b", "len(")),
    ),
    Answer(
        11,
        "doubled",
        {2: f"{_B2}[...] = dlogits.mean(axis=0)", 4: "da = dh * (self.h < 0)"},
        "a mean for the sum in bias 2, and the mask is inverted",
        tuple(f"{one} & {two}" for one in ("mean", "batch") for two in _MASK),
    ),
    Answer(
        11,
        "wrong name",
        f"{_W2}[...] = dy.T @ self.h",
        "dy is called dlogits here",
        ("'dy'", "dlogits", "dy is not"),
    ),
    Answer(
        11,
        "sign",
        {3: 'dh = -dlogits @ self.params["2.weight"]'},
        "the sign of dh, and with it of all that comes before",
        SIGN,
    ),
    Answer(
        11,
        "forgot dy",
        {2: f"{_B2}[...] = len(dlogits)"},
        "dlogits is missing: the slope summed over the batch",
        _FORGOT_DLOGITS,
    ),
    Answer(
        11,
        "mutation",
        {4: "dlogits *= 0.5\nda = dh * (self.h > 0)"},
        "dlogits, an input, is changed",
        (*CHANGED, "dlogits"),
    ),
    Answer(
        11,
        "style",
        {
            1: f"np.einsum('bd,bh->dh', dlogits, self.h, out={_W2})",
            3: "dh = np.tensordot(dlogits, self.params['2.weight'], axes=1)",
            4: "dh[self.h == 0] = 0\nda = dh",
            6: f"{_B0}[:] = sum(da)",
        },
        "einsum, tensordot, and the mask in place on an array of one's own",
        right=True,
    ),
)

_WEIGHT, _BIAS = 'self.grads["weight"]', 'self.grads["bias"]'
_KL_MU, _KL_LV = "dkl * scale * self.mu", "dkl * scale * np.expm1(self.logvar) / 2"
_PATHS = ("kl", "path")
_THROUGH_Z = ("through z", *(words.replace("dy", "dz") for words in FORGOT_DY))

ENCODER = (
    Answer(12, "forgot", "dmu = dz", "the path through the KL is missing in dmu", _PATHS),
    Answer(12, "forgot", f"dmu = {_KL_MU}", "the path through z is missing in dmu", _THROUGH_Z),
    Answer(
        12,
        "forgot",
        {2: "dlogvar = dz * self.noise / 2"},
        "the path through the KL is missing",
        _PATHS,
    ),
    Answer(12, "forgot", {2: f"dlogvar = {_KL_LV}"}, "the path through z is missing", _THROUGH_Z),
    Answer(
        12,
        "doubled",
        {1: "dmu = dz", 2: "dlogvar = dz * self.noise / 2"},
        "the path through the KL is missing in both",
        ("kl & dmu & dlogvar", "kl & both", "path & both", "path & dmu & dlogvar"),
    ),
    Answer(
        12,
        "doubled",
        {1: f"dmu = {_KL_MU}", 2: f"dlogvar = {_KL_LV}"},
        "the path through z is missing in both",
        ("dz & dmu & dlogvar", "through z & both", "path & both", "path & dmu & dlogvar"),
    ),
    Answer(12, "forgot scale", "dmu = dz + dkl * self.mu", "scale is missing in dmu", _SCALE),
    Answer(12, "forgot dkl", "dmu = dz + scale * self.mu", "dkl is missing in dmu", ("dkl",)),
    Answer(
        12,
        "doubled",
        "dmu = dz + self.mu",
        "dkl and scale are both missing in dmu",
        ("dkl & scale", "dkl & 1/b", "dkl & batch"),
    ),
    Answer(
        12,
        "doubled",
        {
            1: "dmu = dz + dkl * self.mu",
            2: "dlogvar = dz * self.noise / 2 + dkl * np.expm1(self.logvar) / 2",
        },
        "scale is missing in both",
        _SCALE,
    ),
    Answer(
        12,
        "doubled",
        {
            1: "dmu = dz + scale * self.mu",
            2: "dlogvar = dz * self.noise / 2 + scale * np.expm1(self.logvar) / 2",
        },
        "dkl is missing in both",
        ("dkl",),
    ),
    Answer(
        12,
        "factor",
        "dmu = scale * (dz + dkl * self.mu)",
        "dz carries 1/B already",
        ("already", "dz", "scale", "1/b", "batch"),
    ),
    Answer(12, "sign", f"dmu = dz - {_KL_MU}", "the sign of the KL's path", SIGN),
    Answer(
        12,
        "factor",
        "dmu = dz + 2 * dkl * scale * self.mu",
        "the half of mu^2 / 2 is forgotten",
        _HALF,
    ),
    Answer(
        12,
        "half",
        {2: f"dlogvar = dz * self.noise + {_KL_LV}"},
        "the half is forgotten in the path through z",
        _HALF,
    ),
    Answer(
        12,
        "half",
        {2: "dlogvar = dz * self.noise / 2 + dkl * scale * np.expm1(self.logvar)"},
        "the half is forgotten in the path through the KL",
        _HALF,
    ),
    Answer(
        12,
        "doubled",
        {2: "dlogvar = dz * self.noise + dkl * scale * np.expm1(self.logvar)"},
        "the half is forgotten in both paths",
        _HALF,
    ),
    Answer(
        12,
        "forgot",
        {2: "dlogvar = dz * self.noise / 2 + dkl * scale * np.exp(self.logvar) / 2"},
        "- 1, the slope of - logvar, is missing",
        ("- 1", "minus 1", "expm1", "- logvar"),
    ),
    Answer(
        12,
        "forgot",
        {2: f"dlogvar = dz / 2 + {_KL_LV}"},
        "noise is missing in the path through z",
        ("noise",),
    ),
    Answer(
        12,
        "sigma",
        {2: f"dlogvar = dz * np.exp(0.5 * self.logvar) / 2 + {_KL_LV}"},
        "sigma without eps where the noise belongs",
        ("noise", "eps"),
    ),
    Answer(
        12,
        "sigma",
        {2: "dlogvar = dz * self.noise / 2 + dkl * scale * np.expm1(0.5 * self.logvar) / 2"},
        "sigma where the variance belongs",
        ("sigma", "variance", "e^logvar", "exp(logvar)", "expm1(logvar)", "logvar / 2"),
    ),
    Answer(
        12,
        "swapped",
        {3: "dstats = np.concatenate([dlogvar, dmu], axis=1)"},
        "the halves are in the wrong order: mu comes first",
        ("order", "swap", "exchang", "mu first", "mu, then", "halves"),
    ),
    Answer(
        12,
        "axis",
        {3: "dstats = np.concatenate([dmu, dlogvar])"},
        "stacked below each other: axis=1 is missing",
        ("axis", "side by side"),
        RAW,
    ),
    Answer(
        12,
        "axis",
        {3: "dstats = np.stack([dmu, dlogvar], axis=1)"},
        "stack makes a third axis; the halves belong side by side",
        ("stack", "side by side", "concatenate", "three", "third"),
        RAW,
    ),
    Answer(
        12,
        "shape",
        {3: "dstats = dmu + dlogvar"},
        "added where they belong side by side",
        ("side by side", "concatenate", "halves", "2z"),
        RAW,
    ),
    Answer(
        12,
        "shape",
        {3: "dstats = np.concatenate(dmu, dlogvar)"},
        "concatenate takes a list of arrays",
        ("list", "[dmu, dlogvar]", "bracket", "side by side"),
    ),
    Answer(
        12,
        "shape",
        {4: f"{_WEIGHT}[...] = self.h.T @ dstats"},
        "the transpose: (H, 2Z)",
        _TRANSPOSE,
        RAW,
    ),
    Answer(
        12,
        "shape",
        {6: 'return dstats @ self.params["weight"].T, None'},
        "weight must not be transposed",
        _TRANSPOSE,
        RAW,
    ),
    Answer(
        12,
        "shape",
        {6: 'return dmu @ self.params["weight"][: self.latent], None'},
        "only mu's half comes back to h",
        ("dstats", "half", "halves", "dlogvar", "logvar"),
    ),
    Answer(
        12,
        "axis",
        {5: f"{_BIAS}[...] = dstats.sum(axis=1)"},
        "sums over the statistics (axis 1), not over the batch",
        ("axis", "over the batch"),
        RAW,
    ),
    Answer(
        12,
        "mean",
        {5: f"{_BIAS}[...] = dstats.mean(axis=0)"},
        "a mean over the batch where the sum belongs",
        ("mean", "batch", "1/b", "divided"),
    ),
    Answer(
        12, "rebound", {5: f"{_BIAS} = dstats.sum(axis=0)"}, "the dict gets another array", REBOUND
    ),
    Answer(
        12,
        "wrong name",
        "dmu = dz + dkl * scale * mu",
        "mu is kept in self.mu",
        ("self.mu", "'mu'", "mu is not"),
    ),
    Answer(
        12,
        "mutation",
        f"dz += {_KL_MU}\ndmu = dz",
        "dz is changed, and the next line reads it again",
        (*CHANGED, "dz"),
    ),
    Answer(
        12,
        "shape",
        f"dmu = dz @ {_KL_MU}",
        "a matrix product where the paths add up",
        (*ENTRYWISE, "add", "+"),
        RAW,
    ),
    Answer(
        12,
        "style",
        {
            1: "dmu = self.mu * (dkl / dz.shape[0])\ndmu += dz",
            2: "dlogvar = (dz * self.noise + scale * dkl * (np.exp(self.logvar) - 1)) * 0.5",
            3: "dstats = np.hstack((dmu, dlogvar))",
        },
        "hstack, and the half taken out",
        right=True,
    ),
)

ANSWERS = (*DECODER, *ENCODER)
