"""Wrong values for every parameter of the public interface, found from signatures and click.

Which answers are right is in test_misuse.py; a new function, parameter or option is covered as soon
as it is there.
"""

import inspect
import os
import re
from pathlib import Path

import numpy as np

import minivae
from minivae import gradcheck
from minivae.data import Dataset
from minivae.training import Training

MARKUP = "<b>\x1b[31m\n=1+1"
HUGE = 10**30

# Wrong for a parameter of that kind; what is right for some is in FINE of test_misuse.py.
NOTHING = {"None": None, "an object": object(), "a function": len}
TEXTS = {"text": "text", "no text": "", "markup": MARKUP, "bytes": b"1", "digits": "3"}
ODD = {
    "NaN": np.nan, "inf": np.inf, "-inf": -np.inf, "complex": 1j, "a list": [1],
    "an empty list": [], "an array": np.ones(2), "no array": np.zeros(0), "a table": {},
}  # fmt: skip
NUMBERS = {"-1": -1, "0": 0, "large": 10**12, "huge": HUGE, "5000 digits": 10**5000, "-huge": -HUGE}
ARRAYS = {
    "NaN in it": lambda a: np.where(np.arange(len(a))[:, None] == 1, np.nan, a),
    "inf in it": lambda a: a + np.inf,
    "huge in it": lambda a: a + 1e300,
    "beyond float": lambda a: [[10**400] * a.shape[1]],
    "no rows": lambda a: a[:0],
    "no columns": lambda a: a[:, :0],
    "one row alone": lambda a: a[0],
    "images": lambda a: a[:, :, None],
    "too wide": lambda a: np.hstack([a, a]),
    "too narrow": lambda a: a[:, :-1],
    "a number": lambda a: 1.0,
    "text in it": lambda a: a.astype(str),
    "objects in it": lambda a: a.astype(object),
    "complex in it": lambda a: a + 1j,
    "dates in it": lambda a: a.astype("datetime64[s]"),
    "records": lambda a: np.zeros(len(a), [("a", "f4")]),
    "uneven": lambda a: [[0.0], [0.0, 1.0]],
    "itself in it": lambda a: _circle(),
}


def _circle():
    circle = []
    circle.append(circle)
    return circle


def wrong(kind, right, folder):
    """Yield (name, value) of wrong values for a parameter of that annotation."""
    values = dict(NOTHING)
    if "PathLike" in kind or isinstance(right, Path):
        values |= ODD | NUMBERS | paths(folder) | {"a number": 7, "bytes": b"nothing"}
    elif "Array" in kind or kind == "Any":
        values |= TEXTS | {"a table": {}}
        if isinstance(right, np.ndarray):
            values |= {name: spoil(right) for name, spoil in ARRAYS.items()}
    elif re.match(r"(int|float)\b", kind):
        values |= TEXTS | ODD | NUMBERS
        if kind.startswith("int"):
            values["1.5"] = 1.5
    else:
        values |= TEXTS | ODD | NUMBERS | {"1.5": 1.5}
    return [
        (name, value)
        for name, value in values.items()
        if not (value is None and "None" in kind)
        and not (name == "a function" and "Callable" in kind)
    ]


def paths(folder):
    """Return names under which no file can be read or written, in an empty folder."""
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "dangling").symlink_to("nowhere")
    (folder / "circle").symlink_to("circle")
    (folder / "garbage.npz").write_bytes(b"garbage")
    (folder / "empty.npz").write_bytes(b"")
    names = "missing", "missing.npz", "folder", "pipe", "dangling", "circle", "garbage.npz"
    found = {name: folder / name for name in (*names, "empty.npz")}
    return found | {
        "a device": "/dev/null", "below a file": folder / "empty.npz" / "x", "no name": "",
        "the root": "/", "NUL": "a\0b", "markup": MARKUP, "too long": "x" * 5000,
        "undecodable": os.fsdecode(b"\xff\xfe"),
    }  # fmt: skip


def tree(folder):
    """Return what lies below a folder: names, and what is in the files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        plain = path.is_file() and not path.is_symlink()
        found[str(path.relative_to(folder))] = path.read_bytes() if plain else None
    return found


# --- the Python interface ------------------------------------------------------------------------

# Called in every step, where nothing is looked at twice; what reaches them has been checked.
ENGINE = {"window", "weighted_bound", "twin", "leaves", "spec", "plain", "noise"}


def python_things(folder):
    """Return {name: (callable, arguments it needs, kinds of its parameters)}, and right values.

    A required parameter of a new name fails here: give it a right value in the table below.
    """
    x = np.random.default_rng(0).uniform(size=(12, 4)).astype(np.float32)
    data = Dataset("x", x, x[:3] / 2, None, None, (2, 2))
    vae = minivae.VAE(4, (3,), 2)
    minivae.save(folder / "right.npz", vae)
    np.savez(folder / "x.npz", x_train=x)
    training = Training(vae, data)
    right = {
        "vae": vae, "data": data, "training": training, "layer": minivae.Sigmoid(),
        "x": x, "rows": x, "X": x, "v": x.astype(float),
        "z": x[:, :2], "Z": x[:, :2], "eps": x[:, :2],
        "to": "numpy", "n": 2, "inputs": 4, "outputs": 3, "epochs": 1, "samples": 2,
        "path": folder / "right.npz", "source": folder / "x.npz", "params": vae.parameters,
        "backend": vae.backend, "layers": [minivae.Linear(4, 3)],
        "value": lambda x: (x**2).sum(), "gradient": lambda x: 2 * x,
        "hessian_product": lambda x, v: 2 * v,
    }  # fmt: skip
    things = {name: getattr(minivae, name) for name in minivae.__all__}
    things |= {f"gradcheck.{name}": getattr(gradcheck, name) for name in gradcheck.__all__}
    things = {name: thing for name, thing in things.items() if not _is_record(thing)}
    things |= {f"VAE.{name}": getattr(vae, name) for name in _own(minivae.VAE) - ENGINE}
    things |= {"Training": Training, "Training.run": training.run, "Dataset.pixels": data.pixels}
    things["log_likelihood"] = __import__("minivae.training").training.log_likelihood
    things |= estimator_things(x)
    cases = {}
    for name, thing in things.items():
        parameters = inspect.signature(thing).parameters.values()
        parameters = [p for p in parameters if p.kind != p.VAR_KEYWORD]
        given = {p.name: right[p.name] for p in parameters if p.default is p.empty}
        given |= {p.name: x.astype(float) for p in parameters if p.kind == p.VAR_POSITIONAL}
        cases[name] = thing, given, {p.name: _kind(p) for p in parameters}
    return cases, right


def estimator_things(x):
    try:
        from minivae.estimator import VAE
    except ImportError:  # the extra is not installed
        return {}
    fitted = VAE(2, hidden=(3,), epochs=1, random_state=0).fit(x)

    def fit(**settings):
        return VAE(**{"epochs": 1, "hidden": (3,)} | settings).fit(x)

    fit.__signature__ = inspect.signature(VAE)
    names = _own(VAE) - {"score"}
    return {"estimator": fit} | {f"estimator.{name}": getattr(fitted, name) for name in names}


def _own(kind):
    return {name for name, one in vars(kind).items() if name[0] != "_" and inspect.isfunction(one)}


def _is_record(thing):
    return inspect.isclass(thing) and (
        issubclass(thing, Exception) or hasattr(thing, "__dataclass_fields__")
    )


def _kind(parameter):
    note = parameter.annotation
    if note is parameter.empty:
        return "Any"
    return note if isinstance(note, str) else getattr(note, "__name__", str(note))
