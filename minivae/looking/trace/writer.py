"""From watched calls to entries: each array of the step gets the name that the code uses for it.

It knows what each formula makes and where in memory the engine's arrays lie; which derivatives are
compared with numeric ones is for steps.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from minivae.looking.trace.recorder import Call, Place, place_of
from minivae.vae import VAE


class Check(NamedTuple):
    """One entry of a gradient: as written by hand, and by finite differences."""

    index: tuple[int, ...]
    hand: float
    numeric: float


@dataclass
class Made:
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


class Writer:
    """Turns calls into entries: knows the engine's arrays by where they lie in memory."""

    def __init__(self, vae: VAE, x: np.ndarray, eps: np.ndarray) -> None:
        self.vae = vae
        self.entries: list[Made] = []
        self.nudges: dict[str, tuple[int, np.ndarray]] = {}  # gradient: where to nudge what
        self._names: dict[Any, str] = {}
        self._made: dict[str, tuple[int, np.ndarray]] = {}  # array: the call that made it
        self._inputs: dict[str, str] = {}  # layer: the name of its x
        last = vae.encoder.layers[-1].name, vae.decoder.layers[-1].name
        self._outputs = dict(zip(last, ("stats", vae.likelihood.eta), strict=True))
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
            dstats = self.vae.prior.like("dstats", self._made["stats"][1])
            place = place_of(self.vae.bound.step)
            self._add("backward", "dstats", "hstack([dmu, dlogvar])", dstats, place, None, "stats")
            self.nudges["dstats"] = self._made["stats"]

    def _add(self, part: str, name: str, formula: str, value: Any, *more: Any) -> None:
        if isinstance(value, np.ndarray):
            self._names[_key(value)] = name
        self.entries.append(Made(part, name, formula, np.array(value), *more))

    def _halves(self, number: int, stats: np.ndarray, place: Place) -> None:
        latent = self.vae.latent
        halves = (
            ("mu", stats[:, :latent], f":{latent}"),
            ("logvar", stats[:, latent:], f"{latent}:"),
        )
        for name, half, columns in halves:
            self._made[name] = (number, half)
            self._add(
                "forward", name, f"stats[:, {columns}]", half, place_of(self.vae.posterior.halves)
            )

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
            case "linear_backward_weight":
                yield "backward", "dweight", names["dweight"], "{dy}.T @ {x}", f"{layer}.weight"
            case "linear_backward_bias":
                of = names["dbias"][2:-1]
                yield "backward", "dbias", names["dbias"], "sum({dy}, axis=0)", of
            case other:
                yield from self._by_its_names(other, call, names)

    def _by_its_names(
        self, formula: str, call: Call, names: dict[str, str]
    ) -> Iterator[tuple[str, str, str, str, str]]:
        """Yield what a part's own formula made, told by its arguments: x gives dx, outputs last."""
        given = [n for n in names if not n.startswith("d")]
        written = f"{formula}({', '.join(f'{{{name}}}' for name in given)})"
        if call.value is not None and np.ndim(call.value) == 0:
            yield "loss", "return", formula.rpartition("_")[2], written, ""
        for argument, known in names.items():
            if argument.startswith("d") and known.startswith("d("):  # a parameter's gradient
                yield "backward", argument, known, written, known[2:-1]
            elif argument.startswith("d") and known == argument:
                of = names.get(argument[1:], "")
                yield "backward", argument, _d(of) if of else argument, written, of


def _key(array: np.ndarray) -> tuple[int, tuple[int, ...]]:
    return array.__array_interface__["data"][0], array.shape


def _d(name: str) -> str:
    """Return the name of a gradient: dz, d(encoder.0.weight)."""
    return f"d{name}" if name.isidentifier() else f"d({name})"
