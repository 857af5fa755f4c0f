"""An epoch of training steps that stays on the device: images, noise and sums lie there.

A step is one captured graph where that gives the same bits as launching it piece by piece, which is
tried before the first epoch (see `_try_capture`). Order and noise are drawn on the host, from the
generators that the NumPy run draws from.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from minivae.cuda.detect import one_line
from minivae.layers import Linear
from minivae.noise import RowNoise
from minivae.training.fused_step import FusedStep

# Places in the numbers that lie on the device, as in kernels.cu.
STEP, LR, EPS, BETA, BETA1, BETA2, RATE, FLOOR, CURSOR, NLL_SUM, KL_SUM = range(11)
THREADS = 256
BLOCK_BYTES = 8 << 20  # of noise (and images that do not fit) copied at a time ...
BLOCK_STEPS = 64  # ... for at most this many steps: the host draws while the device computes
CHUNK_BYTES = 64 << 20  # of images copied at a time before the first epoch
SHARE = 0.7  # of the free memory that the images may take
KINDS = {"uint8": 0, "float32": 1, "float64": 2}
BINARIZE = {"none": 0, "threshold": 1, "sampled": 2}


class DeviceSteps:
    """The training steps of an epoch on a device; used as `steps.Steps` is.

    Parameters
    ----------
    vae, adam
        The model and its optimizer, of one `CupyBackend`: it says where and with what is computed,
        whether to capture the step, and whom to tell when the captured step cannot be used.
    source
        `rows` (N, D), and how they become pixels: `binarize`, `sampled`.
    batch_size : int
        Images per step; the last batch of an epoch may be smaller.

    Attributes
    ----------
    captured : bool
        Whether full batches run as a captured graph.
    resident : bool
        Whether all images lie on the device; otherwise they are copied in blocks, each epoch.
    """

    asynchronous = True  # a step goes on after it returns: to look at its numbers is to wait

    def __init__(
        self,
        vae: Any,
        adam: Any,
        source: Any,
        batch_size: int,
    ) -> None:
        backend = vae.backend
        self.device, self.formulas, self.notice = backend.device, backend.formulas, backend.notice
        device, self.vae, self.adam = backend.device, vae, adam
        self.source, self.batch_size = source, batch_size
        self._try = backend.capture
        self._graph: Any = None
        self._inputs: list[tuple[Any, Any]] = []
        dtype, pixels, latent = vae.dtype, vae.pixels, vae.noise
        self._x = device.empty((batch_size, pixels), dtype)
        self._eps = device.empty((batch_size, latent), dtype)
        self.model = vae.twin()
        self._state = device.zeros((KL_SUM + 1,), np.float64)
        self._beta = self._state[BETA : BETA + 1]
        self._constants = self._state[BETA1 : FLOOR + 1]
        self._early: list[Any] = []
        for layer in self.model.leaves():
            if type(layer) is Linear:
                self._do_early(layer)
        fused = FusedStep.fits(self.model, adam, batch_size)
        where = self._x, self._eps, self._state, self._constants
        self._fused = FusedStep(self.model, adam, *where) if fused else None
        self._known: dict[int, float] = {}

        rows = source.rows
        stored = np.dtype(rows.dtype if rows.dtype.name in KINDS else np.float32)
        self._kind, size = KINDS[stored.name], len(rows) * pixels * stored.itemsize
        self.resident = size <= SHARE * device.free_memory()
        per_image = latent * dtype.itemsize + 8
        per_image += 4 * pixels if source.sampled else 0
        per_image += 0 if self.resident else pixels * stored.itemsize
        steps = max(1, min(BLOCK_STEPS, BLOCK_BYTES // (per_image * batch_size)))
        self._block = min(steps * batch_size, -(-len(rows) // batch_size) * batch_size)
        self._order_part = device.empty((self._block,), np.int64)
        self._noise = device.empty((self._block, latent), dtype)
        shape = (self._block, pixels)
        self._uniform = device.empty(shape, np.float32) if source.sampled else None
        self._data = device.empty((len(rows), pixels) if self.resident else shape, stored)
        if self.resident:
            self._upload_all(rows)

    @property
    def captured(self) -> bool:
        """Whether full batches run as a captured graph."""
        return self._graph is not None

    def _upload_all(self, rows: Any) -> None:
        count = max(1, CHUNK_BYTES // (self._data.shape[1] * self._data.itemsize))
        for start in range(0, len(rows), count):
            part = np.ascontiguousarray(rows[start : start + count], self._data.dtype)
            self.device.upload("images", part, self._data[start : start + len(part)])
        self.device.forget_uploads()

    def begin(
        self,
        order: np.ndarray,
        eps: RowNoise,
        uniform: RowNoise,
        first: int = 0,
        totals: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Start an epoch over the images in that order, at batch `first` with those sums so far."""
        self.device.use()
        self._order, self._eps_noise, self._uniform_noise = order, eps, uniform
        start = min(first * self.batch_size, len(order))
        self._end = start  # of the images that are on the device, as places in the order
        self._known.clear()
        self._put({STEP: self.adam.steps, NLL_SUM: totals[0], KL_SUM: totals[1]})
        if self._try and len(order) - start >= self.batch_size:
            self._try = False
            self._load()
            self._try_capture(min(2, (self._end - start) // self.batch_size))

    def step(self, i: int) -> None:
        """Launch step i of the epoch; nothing is read back."""
        start = i * self.batch_size
        if start >= self._end:
            self._load()
        n = min(self.batch_size, len(self._order) - start)
        self._settings()
        if n == self.batch_size and self._graph is not None:
            self._graph.launch()
            for layer, x in self._inputs:  # where whoever looks for them (watch.py) finds them
                layer.x = x
        else:
            self._launch(n)
        self.adam.advance()  # the host's own count, for checkpoints

    def totals(self) -> tuple[float, float]:
        """Return the sums of nll and kl over the images of this epoch so far; waits for them."""
        state = self.device.to_host(self._state)
        return float(state[NLL_SUM]), float(state[KL_SUM])

    def close(self) -> None:
        """Wait for the device and let go of graph and staging memory.

        What went wrong on the device was raised where its numbers were asked for; it would be
        raised here again, in place of the error that led here.
        """
        with suppress(Exception):
            self.device.forget_uploads()
        self._graph = None

    # --- One step ------------------------------------------------------------------------------

    def _launch(self, n: int, spread: bool = False) -> None:
        """Launch a step of n images; `spread`: what can be at the same time is."""
        device, vae, adam = self.device, self.vae, self.adam
        x, eps = self._x, self._eps
        if n < self.batch_size:
            x, eps = x[:n], eps[:n]
        device.launch(
            "gather",
            (n,),
            (THREADS,),
            (
                *(vae.pixels, vae.noise, self._data, self._kind, self._order_part, self._state),
                *(BINARIZE[self.source.binarize], self._uniform, self._noise, x, eps),
            ),
            vae.dtype,
        )
        if self._fused is not None:
            self._fused.launch(n, device.fork if spread else _now)
            return
        self._aside = device.fork if spread else _now
        # beta as an array: a graph must read it on the device.
        nll, kl = self.model.bound.step(self.model, x, eps, 1 / n, self._beta)
        for layer in self.model.leaves():
            if layer.shapes and layer not in self._early:
                self._aside(layer.gradients)
        self._aside(
            lambda: device.launch("finish", (1,), (1,), (self._state, n, nll, kl), vae.dtype)
        )
        if spread:
            device.join()
        self.formulas.adam_on_device(adam.theta, adam.grad, adam.m, adam.v, self._constants)

    def _do_early(self, layer: Linear) -> None:
        """Let a layer compute its gradients beside the way back, as soon as its dy is there."""

        def keep(dy: Any) -> None:
            layer.dy = dy
            self._aside(layer.gradients)

        def backward_input(dy: Any) -> Any:
            keep(dy)
            return Linear.backward_input(layer, dy)

        layer.keep, layer.backward_input = keep, backward_input
        self._early.append(layer)

    def _settings(self) -> None:
        """Bring what may change between steps to the device, if it has changed."""
        adam = self.adam
        self._put(
            {
                LR: adam.rate,
                BETA1: adam.beta1,
                BETA2: adam.beta2,
                EPS: adam.eps,
                BETA: self.vae.beta,
            }
        )

    def _put(self, values: dict[int, float]) -> None:
        for place, value in values.items():
            if self._known.get(place) != value:
                self.device.launch(
                    "put", (1,), (1,), (self._state, place, float(value)), self.vae.dtype
                )
                if place in (LR, BETA1, BETA2, EPS, BETA):  # the others change on the device
                    self._known[place] = value

    # --- Blocks of the epoch -------------------------------------------------------------------

    def _load(self) -> None:
        """Bring the next block of the epoch to the device: order, noise, and images if need be."""
        start = self._end
        self._end = min(start + self._block, len(self._order))
        indices = np.asarray(self._order[start : self._end], np.int64)
        n = len(indices)
        noise, uniform = self._draw(start, n)
        upload = self.device.upload
        if not self.resident:
            rows = np.ascontiguousarray(self.source.rows[indices], self._data.dtype)
            upload("images", rows, self._data[:n])
            indices = np.arange(n)
        upload("order", indices, self._order_part[:n])
        upload("noise", noise, self._noise[:n])
        if uniform is not None:
            upload("uniform", uniform, self._uniform[:n])
        self._put({CURSOR: 0})

    def _draw(self, first: int, n: int) -> tuple[np.ndarray, np.ndarray | None]:
        noise = np.empty((n, self.vae.noise), self.vae.dtype)
        self._eps_noise.normal(first, noise)
        if not self.source.sampled:
            return noise, None
        uniform = np.empty((n, self.vae.pixels), np.float32)
        return noise, self._uniform_noise.uniform(first, uniform)

    # --- Capturing -----------------------------------------------------------------------------

    def _try_capture(self, steps: int) -> None:
        """Capture the step and use it if it leaves the same bits as the launched one.

        Both take the first `steps` of the block, two if there are so many: what a graph wrongly
        keeps from the capture shows in the second. Everything they change is put back.
        """
        self._settings()
        before = self._snapshot()
        try:
            self._launch(self.batch_size, spread=True)  # allocates all that a step needs
            self._restore(before)
            for _ in range(steps):
                self._launch(self.batch_size)
            launched = self._snapshot()
            self._restore(before)
            graph = self.device.capture(lambda: self._launch(self.batch_size, spread=True))
            inputs = [(layer, layer.x) for layer in self.model.leaves() if "x" in layer.kept]
            for _ in range(steps):
                graph.launch()
            captured = self._snapshot()
        except Exception as error:
            with suppress(Exception):
                self.device.join()  # what was forked before it went wrong
            self._restore(before)
            self.notice(
                f"the step cannot be captured as a CUDA graph ({one_line(error)}): going on "
                "without, slower, with the same results"
            )
            return
        self._restore(before)
        if [a.tobytes() for a in launched] == [a.tobytes() for a in captured]:
            self._graph = graph
            self._inputs = inputs
        else:
            self.notice(
                "the captured step gives other numbers than the launched one and is not used: "
                "going on without, slower; please report this with the output of minivae info"
            )

    def _snapshot(self) -> list[np.ndarray]:
        return [np.array(self.device.to_host(array)) for array in self._changing()]

    def _restore(self, snapshot: list[np.ndarray]) -> None:
        for array, values in zip(self._changing(), snapshot, strict=True):
            array[...] = self.device.asarray(values)

    def _changing(self) -> tuple[Any, ...]:
        adam = self.adam
        return adam.theta, adam.grad, adam.m, adam.v, self._state


def _now(function: Callable[[], None]) -> None:
    function()
