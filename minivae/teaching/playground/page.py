"""The pages "Train" and "A step to play": their data, and the scripts that they are made of.

What happens on the page is in the scripts beside this file; where it is written is for others.
"""

from __future__ import annotations

import base64
import runpy
from importlib.resources import files

import numpy as np

from minivae.data import load_data
from minivae.looking.pages import asset, fill, page

HERE = "minivae.teaching.playground"
LESSON = "08-the-whole-step.py"
SIDE = 14
COUNT = 4000  # digits in the page; the last 500 of them are its test images
TWIN = ("formulas", "random", "vae", "screen")
SCRIPTS = ("data", "faults", "check", "views", "train")


def play_page(navigation: str = "") -> str:
    """Return the page as HTML; `navigation` is HTML to stand above it."""
    levels, labels = digits()
    packed = (levels[:, ::2] | levels[:, 1::2] << 4).tobytes()  # two pixels in a byte
    words = {"navigation": navigation, "digits": base64.b64encode(packed).decode("ascii")}
    scripts = [asset("minivae.looking.explore", f"{name}.js") for name in TWIN]
    scripts += [asset(HERE, f"{name}.js") for name in SCRIPTS]
    styles = [asset("minivae.looking.explore", "style.css"), asset(HERE, "play.css")]
    facts = {"side": SIDE, "labels": "".join(map(str, labels))}
    body = fill(asset(HERE, "body.html"), words)
    return page("Train a VAE in this page", body, styles, scripts, facts, "play")


def step_page(navigation: str = "") -> str:
    """Return the page of one step, that of lesson 8, as HTML."""
    lesson = runpy.run_path(str(files("minivae.teaching") / "lessons" / LESSON))["live"]()
    scripts = [asset("minivae.looking.explore", f"{name}.js") for name in TWIN]
    scripts += [asset(HERE, f"{name}.js") for name in ("graph", "stage")]
    styles = [asset("minivae.looking.explore", "style.css"), asset(HERE, "step.css")]
    body = fill(asset(HERE, "step.html"), {"navigation": navigation})
    return page("A step to play", body, styles, scripts, lesson, "step")


def digits(count: int = COUNT) -> tuple[np.ndarray, np.ndarray]:
    """Return the first digits of MNIST, half as wide and high: (count, 196) in 0 .. 15, labels."""
    data = load_data("mnist")
    blocks = np.asarray(data.train[:count]).reshape(count, SIDE, 2, SIDE, 2)
    levels = np.rint(blocks.mean(axis=(2, 4)) / 17).astype(np.uint8)
    return levels.reshape(count, -1), data.train_labels[:count]
