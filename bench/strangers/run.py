"""Runs gradient checkers over the strangers' layers: what is caught, what is named, what is blamed.

From the root: `python -m bench.strangers.run [--peer torch|jax|autograd] [--seeds 5] [--show]`.
The layers are in the modules beside; whether they are what they say is for `verify.py`.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import pkgutil
import signal
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path

import numpy as np

from . import Case
from .verify import parameters, run

LIMIT = 10  # seconds for one layer

# What one word of the checker may mean among the causes that the cases name.
MEANS = {
    "accumulated": "state",
    "chain": "chain term scale",
    "mixed": "sum index axes mask term",
    "slope": "chain term scale other sign mask",
    "constant": "term sum",
    "copied": "swapped chain term index axes",
    "corner": "mask nan",
    "dtype": "dtype",
    "factor": "chain scale",
    "flip": "axes index sum",
    "mask": "mask index sum",
    "missing-term": "term sum index",
    "mutates": "aliasing state",
    "nonlinear": "mask other",
    "not-finite": "nan",
    "partial": "index sum mask term",
    "precision": "dtype",
    "random": "random state",
    "scale": "scale chain sum",
    "shape": "shape sum axes",
    "shift": "index axes",
    "sign": "sign",
    "stale": "state aliasing",
    "swapped": "swapped axes index",
    "transpose": "axes",
    "zero": "zero term",
    "clipped": "other",
    "raises": "shape other index nan",
}


def cases() -> list[Case]:
    """Return the cases of every module beside this one."""
    found = []
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name not in ("run", "verify"):
            found += getattr(import_module(f"{__package__}.{module.name}"), "CASES", [])
    return found


def minivae(case: Case, inputs: tuple, seed: int) -> tuple[bool, list[str], str]:
    """Return whether the layer passes, the causes said, and what is printed."""
    from minivae.gradcheck import check

    report = check(case.make(), *inputs, constants=case.constants, seed=seed)
    words = [report.root.cause, *report.causes] if not report.passed else []
    return report.passed, words, str(report)


def functions(case: Case, inputs: tuple):
    """Return f(*arrays) and its gradients (dys, *arrays), of float inputs and parameters."""
    layer = case.make()
    run(copy.deepcopy(layer), [x.copy() for x in inputs])
    names = list(parameters(layer))
    free = [i for i, x in enumerate(inputs) if x.dtype.kind == "f" and i not in case.constants]

    def prepared(arrays):
        twin, given = copy.deepcopy(layer), [np.array(x) for x in inputs]
        for place, one in zip(free, arrays, strict=False):
            given[place] = np.array(one, inputs[place].dtype)
        for name, one in zip(names, arrays[len(free) :], strict=True):
            holder, key = parameters(twin)[name][:2]
            holder[key] = np.array(one, np.asarray(holder[key]).dtype)
        return twin, given

    def forward(*arrays):
        return tuple(np.array(y) for y in run(*prepared([np.asarray(a) for a in arrays])))

    def backward(dys, *arrays):
        grads = run(*prepared([np.asarray(a) for a in arrays]), [np.array(d) for d in dys])[1]
        return tuple(grads[f"x{i}"] for i in free) + tuple(grads[name] for name in names)

    values = [np.array(inputs[i]) for i in free]
    values += [np.array(holder[key]) for holder, key, _, _ in parameters(layer).values()]
    return forward, backward, values


def torch(case: Case, inputs: tuple, seed: int) -> tuple[bool, list[str], str]:
    """Return what torch.autograd.gradcheck says."""
    import torch

    forward, backward, values = functions(case, inputs)

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *arrays):
            ctx.save_for_backward(*arrays)
            return tuple(map(torch.tensor, forward(*[a.detach().numpy() for a in arrays])))

        @staticmethod
        def backward(ctx, *dys):
            arrays = [a.detach().numpy() for a in ctx.saved_tensors]
            grads = backward([d.numpy() for d in dys], *arrays)
            return tuple(torch.tensor(np.array(g)) for g in grads)

    given = [torch.tensor(v, requires_grad=True) for v in values]
    try:
        torch.autograd.gradcheck(Function.apply, given)
    except (RuntimeError, ValueError) as error:
        return False, [], str(error)
    return True, [], ""


def jax(case: Case, inputs: tuple, seed: int) -> tuple[bool, list[str], str]:
    """Return what jax.test_util.check_vjp says."""
    import jax
    from jax import test_util

    jax.config.update("jax_enable_x64", True)
    forward, backward, values = functions(case, inputs)

    def with_vjp(*arrays):
        return forward(*arrays), lambda dys: backward(dys, *arrays)

    try:
        test_util.check_vjp(forward, with_vjp, tuple(values), atol=1e-6, rtol=1e-6, eps=1e-5)
    except (AssertionError, ValueError) as error:
        return False, [], str(error)
    return True, [], ""


def autograd(case: Case, inputs: tuple, seed: int) -> tuple[bool, list[str], str]:
    """Return what autograd.test_util.check_vjp says, of each argument in turn."""
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_vjp

    forward, backward, values = functions(case, inputs)

    @primitive
    def flat(*arrays):
        return np.concatenate([y.ravel() for y in forward(*arrays)])

    def of(place):
        def gradient(y, *arrays):
            def pull(dy):
                shapes = [np.shape(one) for one in forward(*arrays)]
                cuts = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]
                parts = [p.reshape(s) for p, s in zip(np.split(dy, cuts), shapes, strict=True)]
                return backward(parts, *arrays)[place]

            return pull

        return gradient

    defvjp(flat, *map(of, range(len(values))))
    np.random.seed(seed)
    for place in range(len(values)):

        def one(a, place=place):
            return flat(*values[:place], a, *values[place + 1 :])

        try:
            check_vjp(one, values[place])
        except (AssertionError, ValueError) as error:
            return False, [], str(error)
    return True, [], ""


PEERS = {"minivae": minivae, "torch": torch, "jax": jax, "autograd": autograd}


@functools.cache
def named() -> dict[str, Case]:
    """Return the cases by name."""
    return {case.name: case for case in cases()}


class TooLongError(BaseException):
    """A checker that did not end in time; no Exception, so that it cannot be taken for a fault."""


def _too_long(*_: object) -> None:
    raise TooLongError


def tried(peer: str, name: str, seed: int) -> dict:
    """Return what a checker says of one case, if it answers: passed, failed or crashed; words."""
    warnings.simplefilter("ignore")
    case = named()[name]
    inputs = case.inputs(np.random.default_rng(seed))
    begin = time.perf_counter()
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LIMIT)
    try:
        passed, words, text = PEERS[peer](case, inputs, seed)
        said = "passed" if passed else "failed"
    except TooLongError:
        said, words, text = "gave no answer", [], f"none in {LIMIT} s"
    except Exception as error:  # a checker that cannot take the layer at all
        said, words, text = "crashed", [], f"{type(error).__name__}: {error}"
    signal.alarm(0)
    return {
        "name": case.name,
        "right": case.right,
        "said": said,
        "words": words,
        "text": text,
        "seconds": time.perf_counter() - begin,
    }


def naming(case: Case, words: list[str]) -> str:
    """Return whether the words name the mistake, say something else, or nothing."""
    said = [w for w in words if w and w != "unknown"]
    if not said:
        return "unnamed"
    wanted = set(case.cause.split(" or "))
    return "named" if any(wanted & set(MEANS.get(w, w).split()) for w in said) else "other"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only cases whose name has one of these")
    parser.add_argument("--peer", choices=PEERS, default="minivae")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--show", action="store_true", help="name the cases that went wrong")
    parser.add_argument("--json", type=Path, help="write everything here")
    options = parser.parse_args()
    chosen = [
        case
        for case in cases()
        if not options.words or any(word in case.name for word in options.words)
    ]
    outcomes, everything = {}, []
    begin = time.perf_counter()
    names = [case.name for case in chosen]
    with ProcessPoolExecutor(options.jobs) as pool:
        asked = [(options.peer, name, seed) for name in names for seed in range(options.seeds)]
        answers = dict(zip(asked, pool.map(tried, *zip(*asked, strict=True)), strict=True))
    for case in chosen:
        runs = [answers[options.peer, case.name, seed] for seed in range(options.seeds)]
        everything += runs
        bad = [r for r in runs if r["said"] != ("passed" if case.right else "failed")]
        if case.right:
            kind = "right" if not bad else f"right, {bad[0]['said']}"
        elif case.undetectable:
            kind = "undetectable"
        else:
            kind = (
                f"wrong, {bad[0]['said']}" if bad else f"caught, {naming(case, runs[0]['words'])}"
            )
        outcomes.setdefault(kind, []).append((case, (bad or runs)[0]))
    seconds = time.perf_counter() - begin
    for kind in sorted(outcomes):
        print(f"{len(outcomes[kind]):5d} {kind}")
        if options.show and kind not in ("right", "caught, named", "undetectable"):
            for case, outcome in outcomes[kind]:
                text = outcome["text"].splitlines()
                line = next((t for t in text if ";" in t), text[0] if text else "")
                print(f"        {case.name} [{case.cause}] {outcome['words'][:1]}: {line[:150]}")
    print(f"{seconds:.0f} s for {len(everything)} checks")
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1, default=str))


if __name__ == "__main__":
    main()
