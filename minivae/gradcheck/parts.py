"""Checks the layers inside a model one by one, so that a failure is laid at the right door.

It knows a model only by its `layers`, or `encoder` and `decoder`; checking is for check.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minivae.errors import MinivaeError
from minivae.gradcheck.report import Report
from minivae.gradcheck.subject import Array, StepLayer, Subject


def failing_parts(subject: Subject, check: Callable[..., Report], seed: int) -> list[Report]:
    """Return the reports of those layers inside that fail on their own, in the forward's order."""
    reports = []
    try:
        for name, layer, x in _parts(subject.fresh(), subject.inputs):
            report = check(layer, x, seed=seed)
            if not report.passed:
                report.title = f"{name} ({report.title}) alone"
                reports.append(report)
    except (MinivaeError, AttributeError, TypeError):  # no parts that can be run alone
        return []
    return reports


def _parts(layer: Any, inputs: list[Array]) -> Iterator[tuple[str, Any, Array]]:
    """Yield name, layer and input of each layer inside."""
    if isinstance(layer, StepLayer):
        vae, (x, eps) = layer.vae, inputs
        mu, _ = vae.encode(x)  # which tells the layers of labels, if there are any
        stats = np.array(vae.encoder.forward(x.astype(mu.dtype)))
        eps = eps[:, : vae.latent].astype(mu.dtype)  # of several draws the first
        z = vae.posterior.draw(stats, eps).copy()
        for name, network, given in (("encoder", vae.encoder, x), ("decoder", vae.decoder, z)):
            for inner, part, one in _parts(network, [given.astype(mu.dtype)]):
                yield f"{name}.{inner}", part, one
    elif isinstance(getattr(layer, "layers", None), list | tuple) and len(inputs) == 1:
        x = inputs[0]
        for position, part in enumerate(layer.layers):
            yield str(position), part, x
            x = part.forward(x).copy()
