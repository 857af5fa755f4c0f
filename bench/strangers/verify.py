"""Whether the strangers' right layers are right and the wrong ones wrong, by central differences.

It is independent of the gradient checker, and slow and plain: every entry of small layers, one by
one. From the root: `python -m bench.strangers.verify [WORD IN THE NAME]`.
"""

from __future__ import annotations

import copy
import inspect
import sys
import warnings
from collections import Counter

import numpy as np

from . import CAUSES, every


def listed(value):
    return list(value) if isinstance(value, (tuple, list)) else [value]


def parameters(layer):
    """Return {name: (holder, key, gradient's holder, gradient's key)}, of nested holders too."""
    own = {} if isinstance(layer, tuple) else vars(layer)
    if not own.get("params"):
        return {k: (own, k, own, "d" + k) for k in own if "d" + k in own and not callable(own[k])}
    found = {}

    def walk(values, grads, path):
        for k in values if isinstance(values, dict) else range(len(values)):
            if isinstance(values[k], (dict, list)):
                walk(values[k], grads[k] if grads else {}, f"{path}{k}.")
            else:
                found[f"{path}{k}"] = values, k, grads, k

    walk(layer.params, layer.grads, "")
    return found


def run(layer, inputs, dys=None, between=lambda: None):
    """Return the outputs, and with ``dys`` the gradients of inputs and parameters by name."""
    pair = isinstance(layer, tuple)
    ys = listed((layer[0] if pair else getattr(layer, "forward", layer))(*inputs))
    if dys is None:
        return ys
    between()
    back = layer[1] if pair else layer.backward
    takes = len(inspect.signature(back).parameters)
    dys = [np.asarray(d) for d in dys]
    got = (
        back(*dys, *inputs) if pair else back(*(dys if takes >= len(dys) else [tuple(dys)] * takes))
    )
    grads = dict(zip([f"x{i}" for i in range(len(inputs))], listed(got), strict=True))
    if not pair:
        grads |= {k: g[gk] for k, (_, _, g, gk) in parameters(layer).items()}
    return ys, grads


def compare(layer, inputs, rng, constants, others):
    """Return what is wrong of one forward and backward at these inputs."""
    source, said = copy.deepcopy(layer), []
    given = [np.array(x) for x in inputs]
    dys = [
        np.asarray(rng.standard_normal(np.shape(y)), np.asarray(y).dtype)
        for y in run(copy.deepcopy(layer), [x.copy() for x in given])
    ]
    if not isinstance(layer, tuple) and not inspect.signature(layer.backward).parameters:
        dys = [np.ones_like(d) for d in dys]
    weights = [d.copy() for d in dys]
    ys, grads = run(layer, inputs, dys, lambda: others and run(copy.deepcopy(source), others))
    before = [np.array(y) for y in run(copy.deepcopy(source), [x.copy() for x in given])]
    if any(not np.array_equal(a, b) for a, b in zip(inputs, given, strict=True)):
        said.append("changes its input")
    if any(not np.array_equal(a, b) for a, b in zip(dys, weights, strict=True)):
        said.append("changes dy")
    if any(not np.allclose(a, b, equal_nan=True) for a, b in zip(ys, before, strict=True)):
        said.append("backward changes the output")
    later = run(copy.deepcopy(layer), [x.copy() for x in given])
    if any(not np.allclose(a, b, equal_nan=True) for a, b in zip(later, before, strict=True)):
        said.append("a second forward differs")
    coarse = any(np.asarray(y).dtype in (np.float32, np.float16) for y in ys)
    half = any(np.asarray(y).dtype == np.float16 for y in ys)

    def loss(name, index, h):
        twin, xs = copy.deepcopy(source), [x.copy() for x in given]
        if name[0] == "x" and name[1:].isdigit():
            xs[int(name[1:])][index] += h
        else:
            holder, key = parameters(twin if parameters(twin) else layer)[name][:2]
            if not parameters(twin):  # attributes: their gradients are made by backward
                holder = vars(twin)
                if key not in holder:  # made by the first forward
                    run(twin, xs)
            holder[key] = np.array(holder[key])
            holder[key][index] += h
        return sum(np.sum(np.float64(y) * w) for y, w in zip(run(twin, xs), weights, strict=True))

    values = {f"x{i}": x for i, x in enumerate(given)}
    values |= {k: v[0][v[1]] for k, v in parameters(layer).items()}
    size = sum(np.sum(np.abs(y * w)) for y, w in zip(before, weights, strict=True))
    for name, g in grads.items():
        x = np.asarray(values[name])
        if x.dtype.kind != "f":
            said += [f"{name}: a gradient of whole numbers"] if g is not None and np.any(g) else []
            continue
        if g is None:
            entries = [tuple(rng.integers(n) for n in x.shape) for _ in range(5)]
            moved = any(loss(name, i, 1e-3) != loss(name, i, -1e-3) for i in entries)
            said += [f"{name}: no gradient"] if moved and name not in constants else []
            continue
        g = np.asarray(g)
        if g.shape != x.shape or g.dtype != x.dtype:
            said.append(f"{name}: gradient {g.dtype} {g.shape} of {x.dtype} {x.shape}")
        if g.shape != x.shape or not np.isfinite(g).all():
            said.append(f"{name}: not finite or misshapen")
            continue
        single = coarse or x.dtype == np.float32
        h = 0.1 if half else 1e-2 if single else 1e-4
        h *= np.std(x) or np.max(np.abs(x), initial=0) or 1.0
        entries = list(np.ndindex(x.shape)) or [()]
        if len(entries) > 40:
            entries = [entries[i] for i in rng.permutation(len(entries))[:40]]
        pairs = []
        for entry in [*entries, ...]:  # ...: all entries together, which shows ties
            e = (slice(None),) * x.ndim if entry is Ellipsis else entry
            f = {k: loss(name, e, k * h) for k in (-2, -1, 0, 1, 2)}
            central = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)
            sides = (f[0] - f[-1]) / h, (f[1] - f[0]) / h
            pairs.append((float(np.sum(g[e])), central, min(sides), max(sides), f[0]))
        a, c, low, high, f0 = np.array(pairs).T
        eps = np.finfo("f2" if half else "f4" if single else "f8").eps
        noise = eps * (size + np.abs(f0).max()) / h
        room = (2e-2 if single else 1e-4) * np.maximum(np.abs(c[:-1]).max(), 1e-300) + 4 * noise
        bend = high - low > 1e-3 * np.maximum(np.abs(low), np.abs(high)) + 8 * noise
        ok = (np.abs(a - c) <= room) | (bend & (a >= low - room) & (a <= high + room))
        ok[-1] |= np.abs(a - c)[-1] <= room * np.sqrt(x.size)
        gap = np.sum((high - low)[:-1])  # several corners: bounds only if all together bend too
        inside = low[:-1].sum() - room <= a[-1] <= high[:-1].sum() + room
        ok[-1] |= high[-1] - low[-1] > 1e-6 * gap + 8 * noise and inside
        if not ok.all():
            i = int(np.argmin(ok))
            said.append(f"{name}: {a[i]:.6g} for {c[i]:.6g}, {np.sum(~ok)} of {len(ok)}")
    return said


def jittered(layer, rng):
    """Move the parameters, which often begin at 0 or 1."""
    for holder, key, _, _ in parameters(layer).values():
        value = np.asarray(holder[key])
        noise = 0.1 * (np.abs(value).mean() or 1) * rng.standard_normal(value.shape)
        holder[key] = np.asarray(value + noise, dtype=value.dtype)


def findings(case, seed):
    """Return what is wrong of the layer when first used, used again, and with other parameters."""
    rng, layer, said = np.random.default_rng(seed), case.make(), []
    constants = {f"x{i}" for i in case.constants}
    for use in "first", "again", "third", "beside", "moved":
        others = case.inputs(rng) if use == "beside" else None  # those of a copy, in between
        if use == "moved":
            jittered(layer, rng)
        said += [f"{use}: {s}" for s in compare(layer, case.inputs(rng), rng, constants, others)]
    return said


if __name__ == "__main__":
    warnings.simplefilter("ignore", RuntimeWarning)
    word, counts, names, bad = " ".join(sys.argv[1:]), Counter(), Counter(), 0
    for case in every():
        names[case.name] += 1
        if word not in case.name:
            continue
        said = [s for seed in range(3 if case.right else 1) for s in findings(case, seed)]
        verdict = "right" if case.right else "undetectable" if case.undetectable else "wrong"
        counts[verdict] += 1
        causes_known = case.right or (set(case.cause.split(" or ")) <= CAUSES and case.mistake)
        if bool(said) != (verdict == "wrong") or not causes_known or names[case.name] > 1:
            bad += 1
            print(f"NOT {verdict}: {case.name}: {said[:3]} {case.cause}")
    print(dict(counts), f"{bad} not as they are said to be")
    sys.exit(bad > 0)
