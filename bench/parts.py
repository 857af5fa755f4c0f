"""Every part: how far its gradient, values, windows and float32 are from what they should be.

    python bench/parts.py

- gradient: the checker's worst relative error on a model with that part, analytic against numeric;
- golden: the largest difference from PyTorch's values and gradients (tests/golden/), relative to
  the largest of them;
- window: the gradient of a batch passed in two shares, as processes pass it, against the whole;
- float32: the gradient in float32 against float64's, relative to its largest number.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import test_bounds as bounds
import test_conformance as conformance

from minivae import VAE
from minivae.cli.parts import table
from minivae.gradcheck import check
from minivae.parts import BOUNDS, LIKELIHOODS, POSTERIORS, PRIORS, spec

LISTS = {"likelihood": LIKELIHOODS, "posterior": POSTERIORS, "prior": PRIORS, "bound": BOUNDS}
IN_THE_MEAN = "stl", "dreg"  # bounds whose gradient is no slope of the value they print
LATENT = 3


def far(found: Any, wanted: Any) -> float:
    """Return the largest difference, relative to the largest number wanted."""
    return float(np.abs(np.asarray(found) - wanted).max() / max(np.abs(wanted).max(), 1e-300))


def example(what: str, part: Any) -> tuple[dict[str, str], np.ndarray]:
    """Return the settings of a model with that part, and a batch of data for it, (6, D)."""
    text = getattr(part, "example", "") or part.kind
    if what != "likelihood":
        return {what: text}, np.random.default_rng(1).random((6, 4))
    return {what: text}, np.resize(conformance.batch(text, 6)[0], (6, width(text)))


def width(text: str) -> int:
    return conformance.golden(text)["x"].shape[1]


def model(kinds: dict[str, str], x: np.ndarray, dtype: str = "float64") -> VAE:
    return VAE(x.shape[1], (4,), LATENT, seed=3, dtype=dtype, beta=1.3, **kinds)


def gradient(kinds: dict[str, str], x: np.ndarray, eps: np.ndarray) -> str:
    """Return the worst error of the entries; a parameter that a step itself sets is none."""
    vae = model(kinds, x)
    if vae.bound.kind in IN_THE_MEAN:
        return "in the mean"
    entries = check(vae, x, eps).entries
    if vae.likelihood.kind == "gaussian-optimal":
        entries = [entry for entry in entries if entry.name != "likelihood.logvar"]
    return f"{max(entry.max_rel_error for entry in entries):.0e}"


def golden(what: str, text: str) -> str:
    """Return how far value and gradients are from PyTorch's."""
    kind = text.partition(":")[0]
    if what == "bound":
        if f"terms {kind}" not in bounds.GOLDEN:
            return "test_golden" if kind == "elbo" else "no"
        vae = bounds.golden_model(kind)
        g = bounds.GOLDEN
        off = [far(vae.step(g["x"], g["eps"]), g[f"terms {kind}"])]
        off += [far(grad, g[f"grad {kind} {name}"]) for name, grad in vae.grads.items()]
        return f"{max(off):.0e}"
    if what == "likelihood":
        part, g = conformance.make(text), conformance.golden(text)
        off = [far(part.forward(g["eta"], g["x"]), g["log_p"])]
        off.append(far(part.backward(g["weights"]), g["deta"]))
    elif what == "posterior":
        named = text.replace("planar:4", "planar:2")
        g = conformance.golden("latent" if kind == "gaussian" else named)
        found, settings = spec.find(POSTERIORS, named, "posterior")
        part = found(g["z"].shape[1], **settings)
        z, log_q = part.forward(g["stats"], g["eps"])
        off = [far(z, g["z"]), far(log_q, g["log_q"])]
        off.append(far(part.backward(g["dz"], g["dlog_q"]), g["dstats"]))
        return f"{max(off):.0e}"
    elif kind == "vamp":
        return "as the mixture"
    else:
        g = conformance.golden("latent" if kind == "normal" else kind)
        found, _ = spec.find(PRIORS, text, "prior")
        many = {"components": 3, "dtype": "float64"} if kind == "mixture" else {}
        part = found(g["z"].shape[1], **many)
        for name, view in part.params.items():
            view[...] = g[name]
        off = [far(part.forward(g["z"]), g["log_p"])]
        if kind == "mixture":
            off.append(far(part.backward(g["dlog_p"]), g["dz"]))
            part.gradients()
    off += [far(grad, g[f"d{name}"]) for name, grad in part.grads.items()]
    return f"{max(off):.0e}"


def window(kinds: dict[str, str], x: np.ndarray, eps: np.ndarray) -> str:
    """Return how far the gradient of two windows is from the whole batch's."""
    vae, apart = model(kinds, x), model(kinds, x)
    vae.step(x, eps)
    if any(layer.crosses_rows for layer in vae.leaves()):
        return "crosses rows"
    given = x[::-1].copy()
    apart.step(given, eps)  # what the windows do not overwrite is another batch's
    given[...] = x
    for share in (slice(0, 2), slice(2, len(x))):
        one = apart.window(share)
        one.bound.step(one, given[share], eps[share], 1 / len(x), apart.beta)
    apart.grad[...] = np.nan
    apart.gradients()
    return f"{far(apart.grad, vae.grad):.0e}"


def single(kinds: dict[str, str], x: np.ndarray, eps: np.ndarray) -> str:
    """Return how far the gradient in float32 is from that in float64, of the same parameters."""
    double, vae = model(kinds, x), model(kinds, x, "float32")
    double.theta[...] = vae.theta
    x, eps = x.astype("f4"), eps.astype("f4")
    vae.step(x, eps)
    double.step(x.astype("f8"), eps.astype("f8"))
    return f"{far(vae.grad, double.grad):.0e}"


def main() -> None:
    warnings.simplefilter("ignore")
    print("| part | name | gradient | golden | window | float32 | CUDA | source |")
    print("|---|---|---|---|---|---|---|---|")
    told = {(row["part"], row["name"]): row for row in table()}
    for what, parts in LISTS.items():
        for part in parts:
            kinds, x = example(what, part)
            eps = np.random.default_rng(2).standard_normal((len(x), model(kinds, x).noise))
            name = kinds[what]
            cells = [gradient(kinds, x, eps), golden(what, name), window(kinds, x, eps)]
            cells += [single(kinds, x, eps), *(told[what, name][one] for one in ("CUDA", "source"))]
            print(f"| {what} | {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
