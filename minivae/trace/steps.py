"""A step taken under watch: its arrays get the names that the code uses, gradients get checked.

How a call is watched is for recorder.py, how a trace is shown for report.py, page.py and plots.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from minivae.errors import ArgumentError
from minivae.noise import generator
from minivae.optim import Adam
from minivae.trace.recorder import Call, Nudge, Place, Recorder, place_of
from minivae.vae import VAE, Terms

SMALL = 16  # an array of that many numbers is shown, and checked, whole
H = 1e-5  # step of the central differences


class Check(NamedTuple):
    """One entry of a gradient: as written by hand, and by finite differences."""

    index: tuple[int, ...]
    hand: float
    numeric: float


@dataclass
class Entry:
    """One array (or number) of the step.

    Attributes
    ----------
    part : str
        "given", "forward", "loss", "backward" or "update".
    name, formula : str
        Its name and the expression that made it, in the words of the code.
    value : array
        A copy, taken when it was made.
    place, caller : Place or None
        The formula's definition, and the line that called it.
    of : str
        For a gradient: of what.
    checks : list of Check
        For a gradient: entries beside their numeric derivative.
    """

    part: str
    name: str
    formula: str
    value: np.ndarray
    place: Place | None = None
    caller: Place | None = None
    of: str = ""
    checks: list[Check] = field(default_factory=list)


@dataclass
class Trace:
    """A step: its entries in the order in which they were made, its loss, and the model's sizes."""

    entries: list[Entry]
    terms: Terms
    sizes: tuple[int, ...]
    images: int
    beta: float

    def __getitem__(self, name: str) -> Entry:
        """Return the entry of that name."""
        return next(entry for entry in self.entries if entry.name == name)

    @property
    def worst(self) -> float:
        """The largest difference between a derivative by hand and its numeric one."""
        return max(abs(c.hand - c.numeric) for entry in self.entries for c in entry.checks)


def tiny() -> tuple[VAE, np.ndarray]:
    """Return a model of 4 pixels, 2 hidden units and 1 latent dimension, and two images.

    The seed is such that each hidden unit is on for one of the images and off for the other.
    """
    return VAE(4, hidden=(2,), latent=1, seed=7), np.array([[1.0, 0, 0, 1], [0, 1, 1, 0.5]])


def trace_step(vae: VAE, x: np.ndarray, seed: int = 0, checks: int = 3, lr: float = 1e-3) -> Trace:
    """Return the trace of one training step, forward, back and Adam's first update, in float64.

    Parameters
    ----------
    vae : VAE
        The model; it is copied and stays as it is.
    x : array (B, D)
        Pixels in [0, 1].
    seed : int
        Seed of the noise.
    checks : int
        Entries of a large gradient to compare with numeric derivatives; small ones are compared
        whole.
    lr : float
        Adam's learning rate.
    """
    if checks < 1:
        raise ArgumentError(f"the number of checks must be at least 1, not {checks}")
    recorder = Recorder()
    copy = VAE(vae.pixels, vae.hidden, vae.latent, vae.beta, dtype="float64", backend=recorder)
    copy.theta[...] = vae.backend.to_host(vae.theta)
    x = np.ascontiguousarray(x, np.float64)
    eps = generator(seed, "eps").standard_normal((len(x), vae.latent))

    writer = _Writer(copy, x, eps)
    recorder.listener = writer.note
    terms = copy.step(x, eps)
    recorder.listener = None
    entries = writer.entries
    last = next(i for i, entry in enumerate(entries) if entry.name == "kl")
    loss = Entry("loss", "loss", "nll + beta * kl", np.array(terms.loss), place_of(VAE.step))
    entries.insert(last + 1, loss)

    for entry in entries:
        if entry.of:
            after, array = writer.nudges[entry.name]
            for index in _chosen(entry.value, checks):
                numeric = _numeric(copy, recorder, x, eps, after, array, index)
                entry.checks.append(Check(index, float(entry.value[index]), numeric))
    copy.step(x, eps)
    entries += _update(copy, recorder, lr)
    sizes = (vae.pixels, *vae.hidden, vae.latent)
    return Trace(entries, terms, sizes, len(x), vae.beta)


def _update(vae: VAE, recorder: Recorder, lr: float) -> list[Entry]:
    """Return what Adam's first update makes: its moments begin at 0."""
    adam, calls = Adam(vae.parameters, recorder, lr), []
    recorder.listener = lambda number, call: calls.append(call)
    adam.step()
    made = next(call for call in calls if call.formula == "adam")
    rate, floor = made.arguments["rate"], made.arguments["floor"]
    return [
        Entry("update", name, formula, array.copy(), made.place, made.caller)
        for name, formula, array in (
            ("m", f"{adam.beta1:g} * 0 + grad", adam.m),
            ("v", f"{adam.beta2:g} * 0 + grad**2", adam.v),
            ("theta", f"theta - {rate:.10g} * m / (sqrt(v) + {floor:.10g})", adam.theta),
        )
    ]


def _chosen(value: np.ndarray, checks: int) -> list[tuple[int, ...]]:
    """Return all indices of a small array; of a large one the largest entry and some others."""
    if value.size <= SMALL:
        return list(np.ndindex(value.shape))
    spread = (np.arange(1, checks) * value.size * 0.618034 % value.size).astype(int)
    flat = dict.fromkeys([int(abs(value).argmax()), *spread.tolist()])
    return [tuple(map(int, np.unravel_index(i, value.shape))) for i in flat]


def _numeric(
    vae: VAE,
    recorder: Recorder,
    x: np.ndarray,
    eps: np.ndarray,
    after: int,
    array: np.ndarray,
    index: tuple[int, ...],
) -> float:
    """Return the loss's central difference with respect to one entry, nudged after that call."""
    losses = []
    for by in (H, -H):
        recorder.begin()
        if after < 0:  # a parameter: there before the first call
            old = array[index]
            array[index] += by
            losses.append(_loss(vae, x, eps))
            array[index] = old
        else:
            recorder.nudge = Nudge(after, array, index, by)
            losses.append(_loss(vae, x, eps))
            recorder.nudge = None
    return (losses[0] - losses[1]) / (2 * H)


def _loss(vae: VAE, x: np.ndarray, eps: np.ndarray) -> float:
    """Return the loss of the engine's pass there and back, without the parameters' gradients."""
    nll, kl = vae.backward_rows(x, eps)
    return nll + vae.beta * kl


class _Writer:
    """Turns calls into entries: knows the engine's arrays by where they lie in memory."""

    def __init__(self, vae: VAE, x: np.ndarray, eps: np.ndarray) -> None:
        self.vae = vae
        self.entries: list[Entry] = []
        self.nudges: dict[str, tuple[int, np.ndarray]] = {}  # gradient: where to nudge what
        self._names: dict[Any, str] = {}
        self._made: dict[str, tuple[int, np.ndarray]] = {}  # array: the call that made it
        self._inputs: dict[str, str] = {}  # layer: the name of its x
        linears = [[f"{part}.{i}" for i in range(0, 2 * len(vae.hidden) + 1, 2)]
                   for part in ("encoder", "decoder")]  # fmt: skip
        self._outputs = {linears[0][-1]: "stats", linears[1][-1]: "logits"}
        for name, array in (("x", x), ("eps", eps)):
            self._add("given", name, "", array)
        for name, view in vae.params.items():
            self._made[name] = (-1, view)
            self._add("given", name, "", view)
            self._names[_key(vae.grads[name])] = _d(name)

    def note(self, number: int, call: Call) -> None:
        """Write down what a call made."""
        names = {
            argument: self._names.get(_key(value), argument)
            for argument, value in call.arguments.items()
            if isinstance(value, np.ndarray)
        }
        for part, argument, name, formula, of in self._results(number, call, names):
            value = call.value if argument == "return" else call.arguments[argument]
            self._add(part, name, formula.format(**names), value, call.place, call.caller, of)
            if part == "forward":
                self._made[name] = (number, value)
                if name == "stats":
                    self._halves(number, value, call.place)
            if of and name not in self.nudges:
                self.nudges[name] = self._made[of]
        if call.formula == "gaussian_kl":  # z is made by then: only the KL feels a nudge of mu
            for name in ("mu", "logvar"):
                self.nudges[f"d{name}_kl"] = (number - 1, self._made[name][1])
        if call.formula == "reparameterize_backward":
            dmu = call.arguments["dmu"]
            dstats = self.vae.buffers.get("dstats", len(dmu), 2 * dmu.shape[1], dmu.dtype)
            place = place_of(VAE.backward_rows)
            self._add("backward", "dstats", "hstack([dmu, dlogvar])", dstats, place, None, "stats")
            self.nudges["dstats"] = self._made["stats"]

    def _add(self, part: str, name: str, formula: str, value: Any, *more: Any) -> None:
        if isinstance(value, np.ndarray):
            self._names[_key(value)] = name
        self.entries.append(Entry(part, name, formula, np.array(value), *more))

    def _halves(self, number: int, stats: np.ndarray, place: Place) -> None:
        latent = self.vae.latent
        halves = (
            ("mu", stats[:, :latent], f":{latent}"),
            ("logvar", stats[:, latent:], f"{latent}:"),
        )
        for name, half, columns in halves:
            self._made[name] = (number, half)
            self._add("forward", name, f"stats[:, {columns}]", half, place_of(VAE.backward_rows))

    def _results(
        self, number: int, call: Call, names: dict[str, str]
    ) -> Iterator[tuple[str, str, str, str, str]]:
        """Yield what the call made: part, argument, its name, its formula, gradient of what."""
        weight = names["dweight"][2:-1] if "dweight" in names else names.get("weight", "")
        layer = weight.removesuffix(".weight")
        match call.formula:
            case "linear":
                self._inputs[layer] = names["x"]
                name = self._outputs.get(layer, f"{layer}.y")
                yield "forward", "y", name, "{x} @ {weight}.T + {bias}", ""
            case "relu":
                network, place, _ = names["x"].split(".")
                layer = f"{network}.{int(place) + 1}"
                self._inputs[layer] = names["x"]
                yield "forward", "y", f"{layer}.y", "max({x}, 0)", ""
            case "reparameterize":
                yield "forward", "noise", "noise", "exp({logvar} / 2) * {eps}", ""
                yield "forward", "z", "z", "{mu} + noise", ""
            case "bernoulli_nll":
                yield "loss", "return", "nll", "sum(softplus({logits}) - {x} * {logits}) / B", ""
                yield "backward", "dlogits", "dlogits", "(sigmoid({logits}) - {x}) / B", "logits"
            case "gaussian_kl":
                kl = "sum({mu}**2 + exp({logvar}) - 1 - {logvar}) / (2 * B)"
                yield "loss", "return", "kl", kl, ""
                yield "backward", "dmu", "dmu_kl", "beta * {mu} / B", "mu"
                dlogvar = "beta * (exp({logvar}) - 1) / (2 * B)"
                yield "backward", "dlogvar", "dlogvar_kl", dlogvar, "logvar"
            case "linear_backward_input":
                of = self._inputs[layer]
                yield "backward", "dx", _d(of), "{dy} @ {weight}", of
            case "relu_backward":
                of = self._inputs[names["y"].removesuffix(".y")]
                yield "backward", "dx", _d(of), "{dy} * ({y} > 0)", of
            case "reparameterize_backward":
                yield "backward", "dmu", "dmu", "{dmu} + {dz}", "mu"
                yield "backward", "dlogvar", "dlogvar", "{dlogvar} + {dz} * {noise} / 2", "logvar"
            case "linear_backward_params":
                for kind, formula in (("weight", "{dy}.T @ {x}"), ("bias", "sum({dy}, axis=0)")):
                    of = f"{layer}.{kind}"
                    yield "backward", f"d{kind}", _d(of), formula, of
            case other:
                raise NotImplementedError(f"the trace does not know the formula {other}")


def _key(array: np.ndarray) -> tuple[int, tuple[int, ...]]:
    return array.__array_interface__["data"][0], array.shape


def _d(name: str) -> str:
    """Return the name of a gradient: dz, d(encoder.0.weight)."""
    return f"d{name}" if name.isidentifier() else f"d({name})"
