"""A training step of a multilayer perceptron in six launches after the gathering of its batch.

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
        self.device, self.products = model.backend.device, model.backend.formulas.products
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
        # What a product makes before ReLU, and nobody needs.
        self.before = empty(self.made[0].shape, dtype)
        self.dx = empty(self.made[-1].shape, dtype)
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
            and model.backend.formulas.products.precision == "float32"
            and not adam.decay
        )

    def launch(self, n: int) -> None:
        """Launch a step of the first n images, which ends with the sums and the step's number."""
        device, dtype, products, adam = self.device, self.model.dtype, self.products, self.adam
        x, scale, e, d = self.x[:n], 1 / n, len(self.encoder), len(self.decoder) - 1
        for layer, given in zip(self.layers, self.inputs, strict=True):
            layer.x = given[:n]  # for whoever looks for them (watch.py)
        device.hold((*self.made, *self.slopes))  # the table points to them
        first, last = self.layers[0], self.layers[-1]
        weight, bias = first.params.values()
        following = None, 0, self.made[0], first.outputs
        products(x, weight.T, self.before[:n], bias, following)

        value = self.partials, self.arrived
        blocks = -(-n // ROWS)
        device.launch(
            "middle_forward",
            (blocks,),
            (THREADS,),
            (
                *(n, self.z.shape[1], e, d, self.table, self.eps, self.noise, self.z),
                *(scale, *value, self.kl),
            ),
            dtype,
        )

        weight, bias = last.params.values()
        cut = plan(n, last.outputs, last.inputs)
        if cut.side > 4:
            cut = plan(n, last.outputs, last.inputs, 4)
        room = products.room(cut.side, dtype) if cut.splits > 1 else (None, None)
        device.launch(
            f"{self.model.likelihood.kind.replace('-', '_')}_product_{cut.side}",
            cut.grid,
            (THREADS,),
            (
                *(n, last.outputs, last.inputs, self.made[-1], weight, bias),
                *(cut.splits, cut.chunk, *room, x, scale, self.slopes[-1], *value, self.nll),
            ),
            dtype,
        )
        following = self.made[-1], last.inputs, self.slopes[-2], last.inputs
        products(self.slopes[-1][:n], weight, self.dx[:n], None, following)

        device.launch(
            "middle_backward",
            (blocks + 1,),
            (THREADS,),
            (
                *(n, self.z.shape[1], e, d, self.table, self.noise, scale, self.state),
                *(self.nll, self.kl),
            ),
            dtype,
        )
        device.launch(
            f"gradients_{self.side}",
            (self.blocks,),
            (THREADS,),
            (
                *(n, len(self.layers), self.table, adam.theta, adam.grad, adam.m, adam.v),
                self.constants,
            ),
            dtype,
        )


def _perceptron(layers: list[Any]) -> bool:
    """Whether these are Linear, ReLU, Linear, ..., Linear: one hidden layer or more."""
    kinds = [type(layer) for layer in layers]
    return kinds == [Linear, *[ReLU, Linear] * (len(kinds) // 2)] and len(kinds) > 1
