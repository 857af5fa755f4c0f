"""The variational autoencoder: what it is composed of, one training step, what a model can do.

The step itself is the bound's (parts/elbo.py), the arithmetic is in formulas.py; data, optimizer
and loop are elsewhere.
"""

from __future__ import annotations

import copy
import inspect
import math
import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minivae import networks, views
from minivae.backend import Backend, get_backend
from minivae.denormals import Flushed
from minivae.errors import ArgumentError, BackendError
from minivae.inputs import affordable, checked, precision, said, typed
from minivae.layers import Layer
from minivae.noise import generator
from minivae.params import Array, Parameters
from minivae.parts import BOUNDS, LIKELIHOODS, POSTERIORS, PRIORS, spec
from minivae.parts.likelihood import COUNTS

MOST_LABELS = 10_000
BLOCK = 1000  # images at a time where a whole data set passes through
FEW = 16  # images up to which buffers are kept from call to call


class Terms(NamedTuple):
    """A loss and its parts, in nats per image: loss = nll + beta * kl."""

    loss: Any
    nll: Any
    kl: Any


class VAE(Layer):
    """A variational autoencoder (Kingma and Welling 2014), composed of parts.

    Several threads may ask one model to encode, decode, reconstruct, sample or estimate at a time:
    each call has buffers of its own. Steps, and training, are for one thread.

    Parameters
    ----------
    pixels : int
        D, the pixels of an image.
    hidden : str, sequence of int or str, or pair of Layer
        The encoder's hidden layers, which the decoder mirrors: (256, 128), or "c32,c64,256" with
        convolutions of 32 and 64 channels first (see `minivae.networks.parse`). Or encoder and
        decoder themselves, layers of your own; the model takes copies, with their first values.
    latent : int
        Z, the dimensions of the latent space.
    beta : float
        Weight of the KL term (1: the evidence lower bound).
    seed : int
        Seed of the initial weights.
    dtype : str
        "float32" to train, "float64" to check.
    backend : str or Backend
        "numpy" or "cupy".
    likelihood, posterior, prior, bound : str
        Names of the parts: see the lists in `minivae.parts`. Settings follow a colon: "iwae:5",
        "categorical:3,4,2".
    image_shape : sequence of int, optional
        Height and width of the images, and their channels if they have several: for convolutions.
        None: square.
    activation, norm : str
        What follows each hidden layer: see `minivae.networks.plan`.
    condition : int or sequence of int
        The labels, or how many there are, from 0 on, that encoder and decoder are told of each
        image: the model is then p(x|label), see `given`.
    dropout : float
        The chance of what a hidden layer gives to be left out, in training alone.

    Attributes
    ----------
    params, grads : mapping of str to array
        Views by name: encoder.0.weight (out, in), encoder.0.bias (out,), ...
    theta, grad : array
        The same numbers as flat vectors.

    Raises
    ------
    ArgumentError
        If a size is below 1, beta is negative or the seed is, or a part is unknown.
    """

    @typed
    def __init__(
        self,
        pixels: int = 784,
        hidden: str | Sequence[int | str | Layer] = (256, 128),
        latent: int = 20,
        beta: float = 1.0,
        seed: int = 0,
        dtype: Any = "float32",
        backend: Any = "numpy",
        likelihood: str = "bernoulli",
        posterior: str = "gaussian",
        prior: str = "normal",
        bound: str = "elbo",
        image_shape: Sequence[int] | None = None,
        activation: str = "relu",
        norm: str = "none",
        condition: int | Sequence[int] = (),
        dropout: float = 0.0,
    ) -> None:
        hidden = networks.parse(hidden)
        for name, size in (("pixels", pixels), ("latent", latent)):
            if size < 1:
                raise ArgumentError(f"{name} must be at least 1, not {size}")
        dtype = precision(dtype)
        if image_shape is not None:
            networks.picture(image_shape, pixels)
        backend = get_backend(backend)
        self.condition = _labels(condition)
        kinds = likelihood, posterior, prior
        how = image_shape, activation, norm
        classes = len(self.condition)
        inner = _pieces(pixels, hidden, latent, *kinds, *how, classes, dropout, backend)
        super().__init__(inner=inner, seed=seed, dtype=dtype, backend=backend)
        made, settings = spec.find(BOUNDS, bound, "bound")
        self.bound: Any = made(**settings)
        if hasattr(self.bound, "fits"):
            self.bound.fits(self.posterior.kind, self.prior.kind)
        if backend.name != "numpy" and not self.bound.cuda:
            raise BackendError(f"bound {bound!r} has no CUDA form yet: use --backend numpy")
        self.pixels, self.hidden, self.latent = pixels, hidden, latent
        self.beta, self.seed, self.dtype = beta, seed, dtype
        self._codes: Any = None  # of the labels that `told` said
        self.image_shape = None if image_shape is None else tuple(image_shape)
        self.activation, self.norm, self.dropout = activation, norm, dropout
        self.process = os.getpid()  # a copy of it, by a fork, has the same parameters
        self._idle: list[VAE] = []  # twins for `_by_blocks`
        self._learns = bool(networks.learning(self, False))
        sizes = f"a model of pixels {pixels}, hidden {said(hidden)} and latent {latent}"
        affordable(2 * dtype.itemsize * sum(map(math.prod, self.shapes.values())), sizes)
        self.bind(Parameters(self.shapes, lambda shape: backend.empty(shape, dtype)), seed=seed)
        first = self.params.get("encoder.0.weight")
        if hasattr(self.likelihood, "flags") and first is not None and first.ndim == 2:
            first[:, self.likelihood.flags] = 0  # what was never missing in training says nothing
        if getattr(self.bound, "held", False) and self.posterior.score is None:
            raise ArgumentError(
                f"bound {self.bound.kind} needs the slope of log q by z, which the posterior "
                f"{self.posterior.kind} has not: take iwae or elbo"
            )
        if hasattr(self.prior, "encoder"):  # it has images of its own
            if self.posterior.kind != "gaussian":
                raise ArgumentError(
                    f"prior {self.prior.kind} is made of gaussian posteriors, not of "
                    f"{self.posterior.kind}: take prior mixture, or posterior gaussian"
                )
            if self.condition:
                raise ArgumentError(
                    f"prior {self.prior.kind} has images of its own, which have no labels: take "
                    "prior mixture with labels"
                )
            self.prior.encoder = self.encoder.twin()

    @property
    def encoder(self) -> Any:
        """The network from x to the posterior's stats."""
        return self.inner["encoder"]

    @property
    def decoder(self) -> Any:
        """The network from z to the likelihood's eta."""
        return self.inner["decoder"]

    @property
    def likelihood(self) -> Any:
        """p(x|eta)."""
        return self.inner["likelihood"]

    @property
    def posterior(self) -> Any:
        """q(z|stats)."""
        return self.inner["posterior"]

    @property
    def prior(self) -> Any:
        """p(z)."""
        return self.inner["prior"]

    @property
    def theta(self) -> Array:
        """All parameters as one flat vector."""
        return self.parameters.theta

    @property
    def grad(self) -> Array:
        """All gradients as one flat vector."""
        return self.parameters.grad

    def spec(self) -> dict[str, Any]:
        """Return the arguments that make this model again, but for backend and dtype."""
        sizes: tuple[str, ...] = ("pixels", "hidden", "latent", "beta", "seed", "condition")
        sizes += ("image_shape", "activation", "norm", "dropout")
        parts = ("likelihood", "posterior", "prior", "bound")
        kinds = {name: spec.text(getattr(self, name)) for name in parts}
        return {name: getattr(self, name) for name in sizes} | kinds

    def __repr__(self) -> str:
        """Return the call that makes such a model; what is left to its default is left out."""
        own = {"dtype": self.dtype.name, "backend": self.backend.name}
        hidden = tuple(type(h).__name__ if isinstance(h, Layer) else h for h in self.hidden)
        defaults = inspect.signature(VAE).parameters
        said = [
            f"{name}={value!r}"
            for name, value in (self.spec() | own | {"hidden": hidden}).items()
            if value != defaults[name].default
        ]
        return f"{type(self).__name__}({', '.join(said)})"

    def _repr_html_(self) -> str:
        facts = {name: value for name, value in self.spec().items() if value is not None}
        return views.facts(repr(self), facts | {"parameters": f"{self.parameters.size:,}"})

    @property
    def noise(self) -> int:
        """How many numbers of noise an image needs: Z for each draw of z."""
        return self.bound.samples * self.latent

    def __reduce__(self) -> Any:
        """Pickle a model as what makes it again, and its numbers."""
        numbers = self.backend.to_host(self.theta)
        made = type(self), self.spec(), self.dtype.name, self.backend.name
        return _again, (*made, numbers, self._codes)

    def __deepcopy__(self, memo: dict[int, Any]) -> VAE:
        """Copy a model with views that are its own; arrays that `memo` holds are taken from it."""
        if id(self.theta) not in memo:
            make, arguments = self.__reduce__()
            return make(*arguments)
        memo[id(self)] = again = type(self).__new__(type(self))
        vars(again).update(copy.deepcopy(vars(self), memo) | {"_idle": []})
        return again

    def plain(self, what: str, labels: bool = False) -> None:
        """Raise ArgumentError unless the networks are widths with ReLU between them.

        `what` names who knows no others: "the explorer's page"; `labels` whether it knows these.
        """
        widths = all(isinstance(one, int) for one in self.hidden)
        widths = widths and not self.dropout and (labels or not self.condition)
        if not (widths and self.activation == "relu" and self.norm == "none"):
            other = "is told labels" if self.condition and not labels else "has other layers"
            raise ArgumentError(
                f"{what} knows widths with ReLU between them alone, such as --hidden 256,128: this "
                f"model {other}"
            )

    # --- one step ------------------------------------------------------------------------------

    def step(self, x: Array, eps: Array) -> Terms:
        """Return the loss of a batch with this noise, and leave its gradient in `grads`.

        Parameters
        ----------
        x : array (B, D)
            Pixels in [0, 1].
        eps : array (B, K Z)
            Standard normal noise, one row an image, for as many draws as the bound takes.
        """
        x, eps = self._pixels(x), self._latents(eps)
        if len(x) != len(eps):
            raise ArgumentError(f"{len(x)} images and {len(eps)} rows of noise: give one row each")
        if self._learns:
            networks.learning(self)
        with Flushed():
            try:
                nll, kl = self.bound.step(self, x, eps, 1 / len(x), self.beta)
            finally:
                if self._learns:
                    networks.learning(self, False)
            self.gradients()
        return Terms(nll + self.beta * kl, nll, kl)

    def twin(self) -> VAE:
        """Return this model with buffers of its own, in the same parameters."""
        twin = super().twin()
        if hasattr(self.prior, "encoder"):  # not among the inner layers: its parameters are others'
            twin.prior.encoder = self.prior.encoder.twin()
        return twin

    def window(self, rows: slice) -> VAE:
        """Return this model for some images of the batch that it has passed."""
        k = self.bound.samples
        drawn = slice(rows.start * k, rows.stop * k)  # what follows z has k rows an image
        encoder = self.encoder
        return self._again(
            lambda layer: layer.window(rows if layer is encoder else drawn),
            self.buffers.window(rows),
        )

    # --- labels ----------------------------------------------------------------------------------

    def codes(self, labels: Any) -> np.ndarray:
        """Return the place of each label (n,) among those that the model knows, one at least.

        Raises
        ------
        ArgumentError
            If the model takes no labels, or was not trained with one of these.
        """
        if not self.condition:
            raise ArgumentError("the model takes no labels: it was trained without --condition")
        labels = np.atleast_1d(labels)
        if labels.dtype.kind not in "iu" or labels.ndim != 1 or not len(labels):
            raise ArgumentError(f"labels of type {labels.dtype} and shape {labels.shape}: "
                                "give one whole number for all images, or for each")  # fmt: skip
        known = np.array(self.condition)
        codes = np.minimum(np.searchsorted(known, labels), len(known) - 1)
        unseen = known[codes] != labels
        if unseen.any():
            raise ArgumentError(
                f"label {labels[unseen][0]} is none that the model was trained with: "
                f"{', '.join(map(str, self.condition[:20]))}{', ...' * (len(known) > 20)}"
            )
        return codes

    def given(self, labels: Any) -> VAE:
        """Return p(x|label): this model, with the same parameters, told one label or one an image.

        All methods are then what they are without labels: `vae.given(7).sample(64)`.

        Parameters
        ----------
        labels : int or array (n,) of int
            One for all images, or one for each of those that the methods are then given.
        """
        return self.told(self.codes(labels))

    @property
    def told_training(self) -> bool:
        """Whether layers do something else while training: dropout, batch norm."""
        kinds = networks.Dropout, networks.BatchNorm
        return any(isinstance(layer, kinds) for layer in self.leaves())

    def tell(self, rows: slice, n: int) -> None:
        """Let the layers pass those of n rows next: of a model that is given a label for each."""
        codes = self._codes
        if codes is None or len(codes) == 1:
            return
        if len(codes) != n:
            raise ArgumentError(f"{len(codes)} labels for {n} rows: give one each")
        networks.tell(self, codes[rows])

    def in_turn(self, n: int) -> VAE:
        """Return this model for n rows: told all labels in turn, where it takes any."""
        return self.told(np.arange(n) % len(self.condition)) if self.condition else self

    def told(self, codes: np.ndarray) -> VAE:
        """As `given`, for the places of the labels."""
        again = self.twin()
        again._codes, again._idle = codes, []
        networks.tell(again, codes)
        return again

    # --- what a model can do -------------------------------------------------------------------

    def encode(self, x: Array) -> tuple[np.ndarray, np.ndarray]:
        """Return mu and log variance of q(z|x), each (N, Z), for pixels x (N, D) in [0, 1].

        They are those of each dimension alone, where q does not let each stand alone.
        """
        stats = self._by_blocks("_stats", self._images(x))
        return self.posterior.marginals(stats)

    def decode(self, z: Array) -> np.ndarray:
        """Return the mean of p(x|z), (N, D), for points z (N, Z) of the latent space."""
        return self._by_blocks("_decode", checked(z, self.latent, "latent points"))

    def reconstruct(self, x: Array) -> np.ndarray:
        """Return decode(mu) for the mu of each image x (N, D): means (N, D)."""
        return self._by_blocks("_reconstruct", self._images(x))

    @typed
    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Return the mean of p(x|z), (n, D), for n draws of z from the prior."""
        if n < 1:
            raise ArgumentError(f"the number of samples must be at least 1, not {n}")
        affordable(8 * n * (self.pixels + self.latent), f"the number of samples, {n}")
        rng = generator(seed, "sample")
        return self.decode(self.twin().prior.draw(rng.standard_normal((n, self.latent)), rng))

    @typed
    def log_likelihood(self, x: Array, samples: int = 100, seed: int = 0) -> np.ndarray:
        """Return the importance-weighted bound on log p(x), (N,), in nats.

        log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x) with z_k drawn from q(z|x), K = `samples` (Burda,
        Grosse and Salakhutdinov 2016, equation 8). It lies below log p(x) on average, tends to it
        as K grows, and is the evidence lower bound (beta = 1) for K = 1.
        """
        if samples < 1:
            raise ArgumentError(f"the number of samples must be at least 1, not {samples}")
        x = self._images(x)
        affordable(8 * samples * min(len(x), 100), f"the number of samples, {samples}")
        rng, twin = generator(seed, "importance"), self.twin()
        return np.concatenate(
            [
                twin.weighted_bound(self._block(block), samples, rng)
                for block in twin._blocks(x, 100)
            ]
        )

    def weighted_bound(self, x: Array, samples: int, rng: np.random.Generator) -> np.ndarray:
        """Return what `log_likelihood` does, for a block of images, with that noise."""
        weights = np.empty((samples, len(x)))
        stats = self.encoder.forward(x).copy()
        for k in range(samples):
            eps = self._block(rng.standard_normal((len(x), self.latent), dtype=self.dtype))
            z, log_q = self.posterior.forward(stats, eps)
            log_p = self.likelihood.forward(self.decoder.forward(z), x)
            weights[k] = self.backend.to_host(log_p + self.prior.forward(z) - log_q)
        top = weights.max(axis=0)
        return top + np.log(np.exp(weights - top).mean(axis=0))

    def _stats(self, x: Array) -> Array:
        return self.encoder.forward(x)

    def _decode(self, z: Array) -> Array:
        return self.likelihood.mean(self.decoder.forward(z))

    def _reconstruct(self, x: Array) -> Array:
        mu, _ = self.posterior.marginals(self.encoder.forward(x))
        z = self.like("mu", mu)
        z[...] = mu
        return self._decode(z)

    # --- shapes --------------------------------------------------------------------------------

    def _block(self, rows: Array) -> Array:
        return self.backend.asarray(rows, self.dtype)

    def _pixels(self, x: Array) -> Array:
        """Return images for a step; any finite numbers, since who checks a derivative moves x."""
        scale = self.likelihood.support != COUNTS
        return self._block(checked(x, self.pixels, "images", scale=scale))

    def _latents(self, z: Array) -> Array:
        return self._block(checked(z, self.noise, "rows of noise"))

    def _images(self, x: Array) -> Array:
        """Return images as they came, but bytes scaled; refuse what p(x|z) is not for."""
        p = self.likelihood
        return checked(x, self.pixels, "images", p.outside, p.support, scale=p.support != COUNTS)

    def _by_blocks(self, way: str, rows: Array) -> np.ndarray:
        """Return a way through a twin, for rows of any number, on the host, in bounded memory.

        Threads may call it at the same time: each has a twin. Where rows are few, making one would
        take longer than using it, so it is kept for the next call.
        """
        try:
            twin = self._idle.pop()
        except IndexError:
            twin = self.twin()
            twin._idle = []
        function, few = getattr(twin, way), len(rows) <= FEW
        if few:
            twin.tell(slice(None), len(rows))
            made = np.array(self.backend.to_host(function(self._block(rows))))
            self._idle.append(twin)
            return made
        out: Any = None
        for i, block in enumerate(twin._blocks(rows, BLOCK)):
            part = self.backend.to_host(function(self._block(block)))
            if out is None:
                out = np.empty((len(rows), part.shape[1]), part.dtype)
            out[i * BLOCK : i * BLOCK + len(part)] = part
        return out

    def _blocks(self, rows: Array, size: int) -> Iterator[Any]:
        """Yield some rows at a time; the layers are told the labels of those."""
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            self.tell(part, len(rows))
            yield rows[part]


def _labels(condition: int | Sequence[int]) -> tuple[int, ...]:
    """Return the labels in order, each once."""
    try:
        labels: Sequence[int]
        if isinstance(condition, Iterable):
            labels = list(condition)
        else:
            labels = range(operator.index(condition))
        if len(labels) > MOST_LABELS:
            raise ArgumentError(
                f"condition of {len(labels):,} labels: a model takes {MOST_LABELS:,} at most"
            )
        found = tuple(sorted({operator.index(label) for label in labels}))
    except TypeError:
        raise ArgumentError(f"condition {condition!r:.50}: give whole numbers") from None
    return found


def _pieces(
    pixels: int,
    hidden: Sequence[int | str],
    latent: int,
    likelihood: str,
    posterior: str,
    prior: str,
    image_shape: Sequence[int] | None,
    activation: str,
    norm: str,
    classes: int,
    dropout: float,
    backend: Backend,
) -> dict[str, Layer]:
    """Return the layers that a model is made of, without memory for their parameters yet."""
    made, settings = spec.find(LIKELIHOODS, likelihood, "likelihood")
    ends = made(pixels, backend=backend, **settings)
    made, settings = spec.find(POSTERIORS, posterior, "posterior")
    stats = made(latent, backend=backend, **settings)
    encoder, decoder = networks.build(
        *(hidden, pixels, stats.columns, latent, ends.width),
        *(image_shape, activation, norm),
        classes=classes,
        dropout=dropout,
        backend=backend,
    )
    made, settings = spec.find(PRIORS, prior, "prior")
    z = made(latent, pixels, backend=backend, **settings)
    return {  # gradients are computed from the last to the first: a prior may add to the encoder's
        "prior": z,
        "encoder": encoder,
        "decoder": decoder,
        "likelihood": ends,
        "posterior": stats,
    }


def shapes(
    pixels: int,
    hidden: Sequence[int | str],
    latent: int,
    likelihood: str = "bernoulli",
    posterior: str = "gaussian",
    prior: str = "normal",
    bound: str = "elbo",
    image_shape: Sequence[int] | None = None,
    activation: str = "relu",
    norm: str = "none",
    condition: int | Sequence[int] = (),
    dropout: float = 0.0,
) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every parameter of such a model, without making one."""
    spec.find(BOUNDS, bound, "bound")
    kinds = likelihood, posterior, prior
    how = image_shape, activation, norm
    classes, hidden = len(_labels(condition)), networks.parse(hidden)
    pieces = _pieces(pixels, hidden, latent, *kinds, *how, classes, dropout, get_backend())
    return Layer(inner=pieces).shapes


def _again(
    kind: type[VAE],
    spec: dict[str, Any],
    dtype: str,
    backend: str,
    numbers: np.ndarray,
    codes: np.ndarray | None = None,
) -> VAE:
    """Return a model as it was pickled, told the labels that it was told."""
    vae = kind(**spec, dtype=dtype, backend=backend)
    vae.theta[...] = vae.backend.asarray(numbers)
    return vae if codes is None else vae.told(codes)
