"""A training step of a multilayer perceptron in six launches after its batch is gathered.

Between the three large products (the first layer, the last, the way back through the last) all is
small, and a launch costs more than its arithmetic; so one kernel passes a few images through all of
it, another takes them back, and a last one makes every gradient and moves the parameters. What each
computes is in kernels.cu; any other model, and a larger batch, goes the general way of
device_steps.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.cuda.products import plan
from minivae.layers import Linear, ReLU, Sequential
from minivae.parts.elbo import Elbo

THREADS = 256
ROWS, WIDEST = 2, 1024  # images of a block, and the widest layer in between: as in kernels.cu
# Above this many images the weights, read once for each two, cost more than launches (an estimate).
LARGEST_BATCH = 512
LIKELIHOODS = ("bernoulli", "continuous-bernoulli")  # those that end a product in kernels.cu
BUSY = 96  # blocks that leave few multiprocessors without one


class FusedStep:
    """The step, for one model and its optimizer; `fits` says whether there is one.

    Parameters
    ----------
    model : VAE
        On a device; the inputs of its layers are left where its own step leaves them.
    adam : Adam
        Its theta, grad, m and v are read and written.
    x, eps : array (B, D), (B, Z)
        Where batches and their noise are found.
    state, constants : array
        The numbers of the run that lie on the device, and those of them for Adam.
    """

    def __init__(self, model: Any, adam: Any, x: Any, eps: Any, state: Any, constants: Any) -> None:
        self.model, self.adam, self.x, self.eps = model, adam, x, eps
        self.state, self.constants = state, constants
        self.device, self.formulas = model.backend.device, model.backend.formulas
        self.products = self.formulas.products
        self.name = model.likelihood.kind.replace("-", "_")
        device, dtype, batch = self.device, model.dtype, len(x)
        empty = device.empty
        self.encoder, self.decoder = (
            [layer for layer in network.layers if type(layer) is Linear]
            for network in (model.encoder, model.decoder)
        )
        self.layers = layers = [*self.encoder, *self.decoder]
        self.made = [empty((batch, layer.outputs), dtype) for layer in layers[:-1]]
        self.slopes = [empty((batch, layer.outputs), dtype) for layer in layers]
        self.noise, self.z = empty(eps.shape, dtype), empty(eps.shape, dtype)
        e = len(self.encoder)
        self.inputs = [x, *self.made[: e - 1], self.z, *self.made[e:]]
        # What a product makes before something follows, and nobody else needs.
        self.before = empty(self.made[0].shape, dtype)
        self.dx = empty(self.made[-1].shape, dtype)
        self.eta = empty(x.shape, dtype) if self.products.precision == "tf32" else None
        tiles = -(-batch // 32) * -(-model.pixels // 32)
        self.partials = device.zeros((max(tiles, batch),), np.float64)
        self.arrived = device.zeros((1,), np.uint32)
        self.nll, self.kl = empty((), np.float64), empty((), np.float64)

        # Larger tiles do more for each number that they read, if there are enough of them.
        count = sum(-(-layer.outputs // 64) * -(-layer.inputs // 64) for layer in layers)
        self.side = 4 if count >= BUSY else 2
        self.blocks, rows = 0, []
        for i, layer in enumerate(layers):
            made = self.made[i] if i < len(self.made) else self.slopes[i]  # the last is not asked
            views = *layer.params.values(), made, self.slopes[i], self.inputs[i]
            across = -(-layer.inputs // (16 * self.side))
            places = [place.start for place in layer.places]
            rows.append([*map(device.address, views), layer.inputs, layer.outputs, *places])
            rows[-1] += [self.blocks, across]
            self.blocks += across * -(-layer.outputs // (16 * self.side))
        self.table = device.asarray(np.array(rows, np.int64))

    @staticmethod
    def fits(model: Any, adam: Any, batch: int) -> bool:
        """Whether the step of this model can be taken so, at this batch size."""
        networks = model.encoder, model.decoder
        if not all(type(n) is Sequential and _perceptron(n.layers) for n in networks):
            return False
        layers = [layer for n in networks for layer in n.layers if type(layer) is Linear]
        widths = [layer.outputs for layer in layers[:-1]]
        parts = model.posterior.kind, model.prior.kind
        return (
            batch <= LARGEST_BATCH
            and max(widths) <= WIDEST
            and type(model.bound) is Elbo
            and parts == ("gaussian", "normal")
            and model.likelihood.kind in LIKELIHOODS
            and not adam.decay
        )

    def launch(self, n: int) -> None:
        """Launch a step of the first n images, which ends with the sums and the step's number."""
        for layer, given in zip(self.layers, self.inputs, strict=True):
            layer.x = given[:n]  # for whoever looks for them (watch.py)
        self.device.hold((*self.made, *self.slopes))  # the table points to them
        scale, blocks, adam = 1 / n, -(-n // ROWS), self.adam
        sums = self.partials, self.arrived
        middle = n, self.z.shape[1], len(self.encoder), len(self.decoder) - 1, self.table

        self._first(n)
        noise = self.eps, self.noise, self.z
        self._launch("middle_forward", blocks, *middle, *noise, scale, *sums, self.kl)
        nll = self._last(n, scale) if self.eta is None else self._last_by_library(n, scale)
        self._back(n)
        ends = self.noise, scale, self.state, nll, self.kl
        self._launch("middle_backward", blocks + 1, *middle, *ends)
        vectors = adam.theta, adam.grad, adam.m, adam.v
        arguments = n, len(self.layers), self.table, *vectors, self.constants
        self._launch(f"gradients_{self.side}", self.blocks, *arguments)

    def _launch(self, kernel: str, grid: int | tuple[int, ...], *arguments: Any) -> None:
        grid = grid if isinstance(grid, tuple) else (grid,)
        self.device.launch(kernel, grid, (THREADS,), arguments, self.model.dtype)

    # --- The three large products, by our own kernel or by the library ---------------------------

    def _first(self, n: int) -> None:
        """Pass the batch through the first layer and ReLU."""
        weight, bias = self.layers[0].params.values()
        before, made = self.before[:n], self.made[0][:n]
        if self.eta is None:
            following = None, 0, made, self.layers[0].outputs
            self.products(self.x[:n], weight.T, before, bias, following)
        else:
            self.products(self.x[:n], weight.T, before, bias)
            self.formulas.relu(before, made)

    def _last(self, n: int, scale: float) -> Any:
        """Pass the last hidden layer on to eta, which nobody needs but for the likelihood."""
        layer = self.layers[-1]
        cut = plan(n, layer.outputs, layer.inputs)
        if cut.side > 4:
            cut = plan(n, layer.outputs, layer.inputs, 4)
        room = (None, None)
        if cut.splits > 1:
            room = self.products.room(cut.side, self.model.dtype)
        sizes = n, layer.outputs, layer.inputs, self.made[-1], *layer.params.values()
        ends = self.x, scale, self.slopes[-1], self.partials, self.arrived, self.nll
        kernel = f"{self.name}_product_{cut.side}"
        self._launch(kernel, cut.grid, *sizes, cut.splits, cut.chunk, *room, *ends)
        return self.nll

    def _last_by_library(self, n: int, scale: float) -> Any:
        weight, bias = self.layers[-1].params.values()
        eta, deta = self.eta[:n], self.slopes[-1][:n]
        self.products(self.made[-1][:n], weight.T, eta, bias)
        return getattr(self.formulas, f"{self.name}_nll")(eta, self.x[:n], scale, deta)

    def _back(self, n: int) -> None:
        """Pass the slope by eta back through the last layer, and through ReLU before it."""
        layer, weight = self.layers[-1], self.layers[-1].params["weight"]
        made, dx, slope = self.made[-1][:n], self.dx[:n], self.slopes[-2][:n]
        if self.eta is None:
            following = made, layer.inputs, slope, layer.inputs
            self.products(self.slopes[-1][:n], weight, dx, None, following)
        else:
            self.products(self.slopes[-1][:n], weight, dx)
            self.formulas.relu_backward(made, dx, slope)


def _perceptron(layers: list[Any]) -> bool:
    """Whether these are Linear, ReLU, Linear, ..., Linear: one hidden layer or more."""
    kinds = [type(layer) for layer in layers]
    return kinds == [Linear, *[ReLU, Linear] * (len(kinds) // 2)] and len(kinds) > 1
