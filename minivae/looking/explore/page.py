"""One self-contained page that runs a model in the browser: the weights, a map, test images.

Here the page's data are chosen and packed; what the page does with them is in explorer/. Training,
commands and the files' places are left to others.
"""

from __future__ import annotations

import base64
import html
from typing import Any

import numpy as np

from minivae.data import Dataset
from minivae.errors import ArgumentError, shown
from minivae.looking.latent import Plane, by_use, main_plane
from minivae.looking.pages import asset, fill, page
from minivae.vae import VAE

HERE = "minivae.looking.explore"
LIMIT = 3_000_000  # bytes of a page
IMAGES = 10_000  # test images that the map's directions and the variances are taken from
DRAWS = 16  # of z, for the nll that the page shows
INK = '<label>Colour <input type="color" id="ink" value="#ffffff"></label>'  # of the brush
SCRIPTS = ("formulas", "random", "screen", "model", "picture", "latent", "drawing", "between")


def explore_page(vae: VAE, data: Dataset, title: str, binarize: str = "none") -> str:
    """Return the page of a model as HTML, below 3 MB.

    Parameters
    ----------
    vae : VAE
        The model to look into.
    data : Dataset
        Its test images become dots of the map and the images to start from.
    title : str
        Shown as text, whatever is in it.
    binarize : str
        "threshold" cuts the test images at 0.5, as the training did; "sampled" leaves them grey.

    Raises
    ------
    ArgumentError
        If images and model do not fit, a weight is no finite number, or the page would grow past
        3 MB.
    """
    vae.plain("the explorer's page", labels=True)
    if data.test.shape[1] != vae.pixels:
        raise ArgumentError(
            f"the model takes images of {vae.pixels} pixels, those of {shown(data.name)} have "
            f"{data.test.shape[1]}: give the data that it was trained on with --data"
        )
    binarize = binarize if binarize == "threshold" else "none"
    weights = {name: vae.backend.to_host(view) for name, view in vae.params.items()}
    rows = _spread(len(data.test), IMAGES)
    x = data.pixels(rows=rows, binarize=binarize)
    if vae.condition and data.test_labels is None:
        raise ArgumentError(f"{shown(data.name)} has no labels, and the model is told them")
    told = vae.given(data.test_labels[rows]) if vae.condition else vae
    mu, logvar = told.encode(x)
    finite = [np.isfinite(array).all() for array in (*weights.values(), mu, logvar)]
    if not all(finite):
        raise ArgumentError("the model's weights or its mu are no finite numbers: train it anew")
    labels = np.full(len(rows), -1) if data.test_labels is None else data.test_labels[rows]

    dots = _spread(len(mu), max(50, min(1000, 40_000 // vae.latent)))
    chosen = _pictures(labels, max(2, min(20, 100_000 // vae.pixels)))
    pictures = np.round(255 * x[chosen]).astype(np.uint8)
    plane = main_plane(mu) if vae.latent != 2 else Plane(np.zeros(2), np.eye(2), np.zeros(2))
    if (vae.posterior.kind, vae.prior.kind) != ("gaussian", "normal"):
        raise ArgumentError(
            f"the explorer's page knows a gaussian posterior and the prior normal, not "
            f"{vae.posterior.kind} and {vae.prior.kind}: see minivae sample, reconstruct, traverse"
        )
    facts = {
        "image_shape": list(data.image_shape),
        "latent": vae.latent,
        "labels": list(vae.condition),
        "encoder": [vae.pixels, *vae.hidden, 2 * vae.latent],
        "decoder": [vae.latent, *reversed(vae.hidden), vae.likelihood.width * vae.pixels],
        "draws": DRAWS,
        "dot_labels": labels[dots].tolist(),
        "picture_labels": labels[chosen].tolist(),
        **_map(mu, plane),
    }
    words = {
        "title": html.escape(title := shown(title)),
        "facts": html.escape(_summary(vae, data)),
        "by_label": "" if data.test_labels is None else ", coloured by label",
        "told": _switch(vae.condition),
        "axes": _axes_line(plane),
        "ink": INK if len(data.image_shape) == 3 else "",
        "draws": str(DRAWS),
        "mus": _base64(mu[dots].astype("<f4")),
        "pictures": _base64(pictures),
    }
    for storage in ("float32", "int20"):
        packed, kept = _pack(weights, storage)
        body = fill(
            asset(HERE, "page.html"),
            words
            | {
                "weights": base64.b64encode(packed).decode("ascii"),
                "storage": _storage_line(vae, kept, storage, x[:200]),
            },
        )
        mean, nll = vae.likelihood.page()
        likelihood = (
            f"const pixelMean = (l, d, e) => {mean};\nconst pixelNll = (l, x, d, e) => {nll};"
        )
        scripts = [likelihood, *(asset(HERE, f"{name}.js") for name in SCRIPTS)]
        whole = page(
            f"{title}: its latent space",
            body,
            [asset(HERE, "style.css")],
            scripts,
            facts | {"storage": storage},
        )
        if len(whole.encode()) < LIMIT:
            return whole
    raise ArgumentError(
        f"a page of this model would have {len(whole.encode()) / 1e6:.1f} MB, the limit is "
        f"{LIMIT / 1e6:.0f} MB (about 850,000 parameters; this model has "
        f"{vae.parameters.size:,}): train a narrower one with --hidden"
    )


def _map(mu: np.ndarray, plane: Plane) -> dict[str, Any]:
    """Return the facts of the map and the sliders; the map reaches almost every dot."""
    order, variance = by_use(mu)
    return {
        "centre": plane.centre.tolist(),
        "directions": plane.directions.tolist(),
        "reach": max(1.0, 1.08 * float(np.quantile(abs(plane.of(mu)), 0.998))),
        "flat": mu.shape[1] == 1,
        "order": order.tolist(),
        "variance": variance.tolist(),
    }


def _switch(labels: tuple[int, ...]) -> str:
    """Return the choice of the label that a model is told, if it takes any."""
    if not labels:
        return ""
    options = "".join(f"<option>{label}</option>" for label in labels)
    return (
        '\n      <p><label for="told">Label told to encoder and decoder</label> '
        f'<select id="told">{options}</select></p>'
    )


def _axes_line(plane: Plane) -> str:
    if len(plane.centre) == 1:
        return "Across: z[0]. The height of a dot means nothing, it only keeps dots apart."
    if len(plane.centre) == 2:
        return "Across: z[0]; up: z[1], as in the picture of <code>minivae manifold</code>."
    first, second = plane.shares
    return (
        f"Across: the direction along which &mu; varies most ({first:.0%} of its variance); up: "
        f"the next one ({second:.0%})."
    )


def _spread(length: int, count: int) -> np.ndarray:
    """Return up to `count` different numbers below `length`, at even distances."""
    return np.unique(np.linspace(0, length - 1, count).astype(int))


def _pictures(labels: np.ndarray, count: int) -> np.ndarray:
    """Choose images to start from: the first of each label, then the second of each, ..."""
    if labels.max(initial=-1) < 0:
        return _spread(len(labels), count)
    turn = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turn[members] = np.arange(len(members))
    return np.lexsort((labels, turn))[:count]


def _pack(weights: dict[str, np.ndarray], storage: str) -> tuple[bytes, dict[str, np.ndarray]]:
    """Return the bytes of all layers, weight then bias, and the weights that they stand for.

    "float32" is exact. "int20" takes 5/8 of it: one scale a row, and whole numbers of 20 bits, the
    upper 16 of all weights first, then the lower 4, two in a byte.
    """
    parts, kept = [], {}
    for name, view in weights.items():
        array = view.astype("<f4")
        if storage == "int20" and array.ndim == 2:
            scale = np.maximum(abs(array).max(axis=1, keepdims=True) / 524_287, 1e-30)
            scale = scale.astype("<f4")
            whole = np.rint(array / scale.astype(np.float64)).astype(np.int32)
            low = np.append((whole & 15).astype(np.uint8), np.zeros(array.size % 2, np.uint8))
            parts += [scale.tobytes(), (whole >> 4).astype("<i2").tobytes()]
            parts.append((low[::2] | low[1::2] << 4).tobytes())
            array = (whole * scale.astype(np.float64)).astype(np.float32)
        else:
            parts.append(array.tobytes())
        kept[name] = array
    return b"".join(parts), kept


def _storage_line(vae: VAE, kept: dict[str, np.ndarray], storage: str, x: np.ndarray) -> str:
    if storage == "float32":
        return "The weights are stored as they were trained, as 32-bit floats."
    copy = VAE(vae.pixels, vae.hidden, vae.latent, condition=vae.condition)
    for name, array in kept.items():
        copy.params[name][...] = array
    vae, copy = vae.in_turn(len(x)), copy.in_turn(len(x))
    mu = vae.encode(x)[0]
    off_mu = abs(copy.encode(x)[0] - mu).max()
    off_pixel = abs(copy.decode(mu) - vae.decode(mu)).max()
    return (
        "The weights are stored as 20-bit numbers, to keep the page below 3 MB: on "
        f"{len(x)} test images \u03bc differs from the model's by at most {off_mu:.0e}, a pixel by "
        f"{off_pixel:.0e}."
    )


def _summary(vae: VAE, data: Dataset) -> str:
    widths = " \u2192 ".join(map(str, [vae.pixels, *vae.hidden, vae.latent]))
    rows, columns = data.image_shape[:2]
    colour = " in colour" * (len(data.image_shape) == 3)
    return (
        f"{shown(data.name)}, {rows}\u00d7{columns}{colour} \u00b7 {widths} \u00b7 "
        f"{vae.parameters.size:,} parameters \u00b7 \u03b2 = {vae.beta:g}"
    )


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")
