"""How each exercise is tried: the student's functions as a layer with inputs, and what to compare.

What the numbers mean for the student is said by verdict.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from minivae.teaching.exercises.adapters import (
    KL,
    Activation,
    Array,
    B,
    Chain,
    Conditional,
    Convolution,
    Draw,
    GaussianLikelihood,
    Importance,
    Likelihood,
    LinearInput,
    LinearParams,
    Loss,
    Sampler,
    normal,
    results,
)
from minivae.vae import VAE, Terms


@dataclass
class Trial:
    """One way to run an answer.

    Attributes
    ----------
    layer : object or None
        For the gradient checker, with `inputs`.
    inputs : tuple of array
    values : dict of str to callable
        Results to compare with the solution's, by a sentence that says what they are.
    model : VAE or None
        For the contracts.
    """

    layer: Any = None
    inputs: tuple[Array, ...] = ()
    values: dict[str, Callable[[], Any]] = field(default_factory=dict)
    model: VAE | None = None

    def gradients(self) -> dict[str, Array]:
        """Return one backward's gradients by name, for fixed gradients of the outputs."""
        if self.model is not None:
            self.model.step(*self.inputs)
            return {name: grad.copy() for name, grad in self.model.grads.items()}
        if self.layer is None:
            return {}
        grads = dict(getattr(self.layer, "grads", {}))  # the arrays that others hold
        outputs = self.layer.forward(*(one.copy() for one in self.inputs))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        rng = np.random.default_rng(99)
        found = self.layer.backward(*(rng.normal(size=np.shape(one))[()] for one in outputs))
        found = found if isinstance(found, tuple) else (found,)
        code = inspect.unwrap(self.layer.forward).__code__  # the trial watches its arguments
        names = code.co_varnames[1 : 1 + len(found)]
        named = dict(zip(names, found, strict=True)) | grads
        return {name: np.array(one) for name, one in named.items() if one is not None}

    def forward(self) -> list[Array]:
        """Return what the layer gives for its inputs."""
        outputs = self.layer.forward(*(one.copy() for one in self.inputs))
        return [np.array(one) for one in (outputs if isinstance(outputs, tuple) else (outputs,))]

    def numbers(self) -> dict[str, Array]:
        """Return all results by name: the values, the forward's outputs, the gradients."""
        found = {name: np.array(value(), float) for name, value in self.values.items()}
        if self.layer is not None and self.model is None and not self.values:
            for position, output in enumerate(self.forward()):
                found[f"the forward's output {position}"] = output
        return found | self.gradients()


def _activation(name: str) -> Callable[[ModuleType], Trial]:
    def trial(module: ModuleType) -> Trial:
        layer = Activation(getattr(module, name), getattr(module, f"{name}_backward"))
        return Trial(layer, (normal(1, B, 7),))

    return trial


def _bernoulli_nll(module: ModuleType) -> Trial:
    def value(size: float) -> Any:
        logits, x = size * np.linspace(-1, 1, 12).reshape(3, 4), np.resize([0.0, 1.0, 0.3], (3, 4))
        with np.errstate(all="ignore"):
            return module.bernoulli_nll(logits, x, 1 / 3, np.full_like(logits, np.nan))

    return Trial(
        Likelihood(module),
        (normal(5, B, 7),),
        {
            "the value, for logits up to 3": lambda: value(3.0),
            "the value, for logits up to 2000": lambda: value(2000.0),
        },
    )


def _importance_bound(module: ModuleType) -> Trial:
    def bound(draws: int, shift: float) -> Any:
        parts = [normal(seed, draws, 3) for seed in (6, 7, 8)]
        with np.errstate(all="ignore"):
            return module.importance_bound(parts[0] + shift, parts[1], parts[2])

    return Trial(
        values={
            "the bound of one draw, which is the ELBO": lambda: bound(1, 0.0),
            "the bound of seven draws, for three images": lambda: bound(7, 0.0),
            "the bound of seven draws with log p(x|z) near -2000": lambda: bound(7, -2000.0),
        }
    )


def _adam(module: ModuleType) -> Trial:
    def after(steps: int, size: float = 1.0) -> list[Array]:
        theta, m, v = normal(11, 6), np.zeros(6), np.zeros(6)
        for step in range(1, steps + 1):
            grad = size * normal(12 + step, 6)
            module.adam(theta, grad, m, v, step, 0.01, 0.8, 0.95, 1e-3)
        return [m, v, theta, grad]

    return Trial(
        values={
            "m after the first step": lambda: after(1)[0],
            "v after the first step": lambda: after(1)[1],
            "theta after the first step": lambda: after(1)[2],
            "theta after ten steps": lambda: after(10)[2],
            "theta after a step with a small gradient": lambda: after(1, 1e-3)[2],
            "grad, which is only read": lambda: after(1)[3],
        }
    )


def _page_adam(module: ModuleType) -> Trial:
    def after(steps: int, size: float = 1.0) -> list[dict[str, Array]]:
        theta = {"a": normal(11, 6), "b": normal(12, 3, 2)}
        given = dict(theta)  # who trains holds these arrays
        adam = module.Adam(theta, lr=0.01, beta1=0.8, beta2=0.95, eps=1e-3)
        for step in range(steps):
            grads = {name: size * normal(13 + step, *value.shape) for name, value in theta.items()}
            adam.update(grads)
        return [given, grads]

    return Trial(
        values={
            "a parameter after the first step": lambda: after(1)[0]["a"],
            "another parameter after the first step": lambda: after(1)[0]["b"],
            "a parameter after ten steps": lambda: after(10)[0]["b"],
            "a parameter after a step with a small gradient": lambda: after(1, 1e-3)[0]["a"],
            "the gradient, which is only read": lambda: after(1)[1]["a"],
        }
    )


def _page_loss(module: ModuleType) -> Trial:
    def nll(size: float) -> Any:
        logits, x = size * np.linspace(-1, 1, 12).reshape(3, 4), np.resize([0.0, 1.0, 0.3], (3, 4))
        return results(module.bernoulli_nll(logits, x), "bernoulli_nll", "nll, dlogits")[0]

    def kl() -> Any:
        found = module.gaussian_kl(normal(41, B, 3), normal(42, B, 3))
        return results(found, "gaussian_kl", "kl, dmu, dlogvar")[0]

    return Trial(
        Loss(module),
        (normal(43, B, 7), normal(44, B, 3), normal(45, B, 3)),
        {
            "nll for logits up to 3": lambda: nll(3.0),
            "nll for logits up to 2000": lambda: nll(2000.0),
            "the KL": kl,
        },
    )


def _importance_loss(module: ModuleType) -> Trial:
    def loss(shift: float) -> Any:
        log_w = normal(46, 7, 3) + shift
        return module.importance_loss(log_w, 1 / 3, np.full_like(log_w, np.nan))

    return Trial(
        Importance(module),
        (normal(47, 7, 3),),
        {"the loss": lambda: loss(0.0), "the loss with log w near -2000": lambda: loss(-2000.0)},
    )


def _decoder(module: ModuleType) -> Trial:
    return Trial(module.Decoder(3, 11, 7, np.random.default_rng(20)), (normal(21, B, 3),))


def _encoder(module: ModuleType) -> Trial:
    layer = module.Head(7, 3, np.random.default_rng(22))
    return Trial(layer, (normal(23, B, 7), normal(24, B, 3)))


class Pieces:
    """What a student's step may use of a VAE: its layers and settings, not its step."""

    def __init__(self, vae: VAE) -> None:
        self.encoder, self.decoder, self.posterior = vae.encoder, vae.decoder, vae.posterior
        self.latent, self.beta, self.pixels = vae.latent, vae.beta, vae.pixels
        self.params, self.grads = vae.params, vae.grads

    def __getattr__(self, name: str) -> Any:
        """Refuse the rest."""
        raise AttributeError(f"vae.{name}: here vae has {', '.join(vars(self))} and no {name}")


def _step(module: ModuleType) -> Trial:
    class StudentVAE(VAE):
        """A VAE whose step is the student's."""

        def step(self, x: Any, eps: Any) -> Terms:
            x, eps = (np.asarray(one, self.dtype) for one in (x, eps))
            return Terms(*module.step(Pieces(self), x, eps))

    vae = StudentVAE(11, hidden=(7,), latent=3, beta=2.5, seed=7, dtype="float64")
    x, eps = np.random.default_rng(25).uniform(size=(B, 11)), normal(26, B, 3)
    VAE.step(vae, x[::-1], eps[::-1])  # every layer has run, should the student leave one out
    vae.grad[...] = 0
    return Trial(vae, (x, eps), {"the loss": lambda: vae.step(x, eps).loss}, model=vae)


def _page_layers(module: ModuleType) -> Trial:
    def start(name: str, measure: Callable[[Array], Any]) -> Any:
        params = module.Linear(16, 2000, np.random.default_rng(50)).params
        return np.round(measure(np.sqrt(16) * params[name]), 1)  # 32000 and 2000 draws

    def of(name: str, measure: Callable[[Array], Any]) -> Callable[[], Any]:
        return lambda: start(name, measure)

    inputs = normal(38, B, 3)
    values = {"what Linear, ReLU, Linear give": lambda: Chain(module).forward(inputs)}
    for name in ("weight", "bias"):
        values[f"largest {name} at the start, times sqrt(inputs)"] = of(
            name, lambda one: np.abs(one).max()
        )
        values[f"spread of {name} at the start, times sqrt(inputs)"] = of(name, np.std)
    return Trial(Chain(module), (inputs,), values)


TRIALS: dict[str, Callable[[ModuleType], Trial]] = {
    "relu_backward": _activation("relu"),
    "sigmoid_backward": _activation("sigmoid"),
    "linear_backward_input": lambda module: Trial(LinearInput(module), (normal(1, B, 3),)),
    "linear_backward_weight": lambda module: Trial(LinearParams(module), (normal(1, B, 3),)),
    "tanh_backward": _activation("tanh"),
    "bernoulli_nll": _bernoulli_nll,
    "importance_bound": _importance_bound,
    "gaussian_kl": lambda module: Trial(KL(module), (normal(1, B, 7), normal(2, B, 7))),
    "reparameterize_backward": lambda module: Trial(
        Sampler(module), (normal(1, B, 7), normal(2, B, 7), normal(3, B, 7))
    ),
    "adam": _adam,
    "decoder_backward": _decoder,
    "encoder_backward": _encoder,
    "step": _step,
    "page_layers": _page_layers,
    "page_sampler": lambda module: Trial(
        Draw(module), (normal(1, B, 7), normal(2, B, 7), normal(3, B, 7))
    ),
    "page_loss": _page_loss,
    "page_adam": _page_adam,
    "gaussian_nll": lambda module: Trial(
        GaussianLikelihood(module), (normal(1, B, 7), normal(2, B, 7))
    ),
    "importance_gradient": _importance_loss,
    "convolution_backward": lambda module: Trial(Convolution(module), (normal(1, B, 7),)),
    "conditional_backward": lambda module: Trial(Conditional(module), (normal(1, B, 3),)),
}
