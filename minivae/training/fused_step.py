"""A training step of a multilayer perceptron in six launches after its batch is gathered.

Between the three large products (the first layer, the last, the way back through the last) all is
small, and a launch costs more than its arithmetic; so one kernel passes a few images through all of
it, another takes them back, and a last one makes every gradient and moves the parameters. What each
computes is in kernels.cu; any other model, and a larger batch, goes the general way of
device_steps.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minivae.cuda.products import plan
from minivae.layers import Linear, ReLU, Sequential
from minivae.parts.elbo import Elbo

THREADS = 256
ROOM = 2048  # numbers of a layer in between that a block can keep, of all its images: kernels.cu
BLOCKS = 128  # about as many as a large device has multiprocessors: more images a block from there
# Above this many images a layer's dW is worth more blocks than it has tiles (an estimate).
GROUPED = 1024
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

    @property
    def _rows(self) -> int:
        return images_a_block(len(self.x), max(layer.outputs for layer in self.layers[:-1]))

    @staticmethod
    def fits(model: Any, adam: Any, batch: int) -> bool:
        """Whether the step of this model can be taken so, at this batch size."""
        networks = model.encoder, model.decoder
        if not all(type(n) is Sequential and _perceptron(n.layers) for n in networks):
            return False
        layers = [layer for n in networks for layer in n.layers if type(layer) is Linear]
        widths = [layer.outputs for layer in layers[:-1]]
        parts = model.posterior.kind, model.prior.kind
        rows = images_a_block(batch, max(widths))
        return (
            # Every block reads all weights: no more than two blocks a multiprocessor, or eight
            # images for each reading.
            (rows == 8 or batch <= 2 * BLOCKS * rows)
            and type(model.bound) is Elbo
            and parts == ("gaussian", "normal")
            and model.likelihood.kind in LIKELIHOODS
            and not adam.decay
        )

    def launch(self, n: int, aside: Callable[[Callable[[], None]], None]) -> None:
        """Launch a step of the first n images, which ends with the sums and the step's number.

        `aside` takes what may run beside what follows, until the device's `join`.
        """
        for layer, given in zip(self.layers, self.inputs, strict=True):
            layer.x = given[:n]  # for whoever looks for them (watch.py)
        self.device.hold((*self.made, *self.slopes))  # the table points to them
        grouped, adam = n <= GROUPED, self.adam
        scale, rows = 1 / n, self._rows
        blocks = -(-n // rows)
        sums = self.partials, self.arrived
        middle = n, self.z.shape[1], len(self.encoder), len(self.decoder) - 1, self.table

        self._first(n)
        noise = self.eps, self.noise, self.z
        self._launch(f"middle_forward_{rows}", blocks, *middle, *noise, scale, *sums, self.kl)
        nll = self._last(n, scale) if self.eta is None else self._last_by_library(n, scale)
        if not grouped:
            self._gradients(n, len(self.layers) - 1, aside)
        self._back(n)
        ends = self.noise, scale, self.state, nll, self.kl
        self._launch(f"middle_backward_{rows}", blocks + 1, *middle, *ends)
        vectors = adam.theta, adam.grad, adam.m, adam.v
        if grouped:
            arguments = n, len(self.layers), self.table, *vectors, self.constants
            self._launch(f"gradients_{self.side}", self.blocks, *arguments)
            return
        for i in reversed(range(len(self.layers) - 1)):
            self._gradients(n, i, aside)
        self.device.join()
        self.formulas.adam_on_device(*vectors, self.constants)

    def _gradients(self, n: int, i: int, aside: Callable[[Callable[[], None]], None]) -> None:
        self.layers[i].dy = self.slopes[i][:n]
        aside(self.layers[i].gradients)

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


def images_a_block(batch: int, widest: int) -> int:
    """Return how many images a block passes through the middle; 0 if a layer is too wide."""
    fitting = [rows for rows in (2, 4, 8) if widest <= ROOM // rows]
    enough = [rows for rows in fitting if batch <= BLOCKS * rows]
    return enough[0] if enough else max(fitting, default=0)


def _perceptron(layers: list[Any]) -> bool:
    """Whether these are Linear, ReLU, Linear, ..., Linear: one hidden layer or more."""
    kinds = [type(layer) for layer in layers]
    return kinds == [Linear, *[ReLU, Linear] * (len(kinds) // 2)] and len(kinds) > 1
