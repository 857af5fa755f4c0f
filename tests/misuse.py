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
    """Make what is no file to read or to write in an empty folder; return its names."""
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "dangling").symlink_to("nowhere")
    (folder / "circle").symlink_to("circle")
    (folder / "garbage.npz").write_bytes(b"garbage")
    (folder / "empty.npz").write_bytes(b"")
    return names_of(folder)


def names_of(folder):
    """Return the names of `paths`, made or not."""
    names = "missing", "missing.npz", "folder", "pipe", "dangling", "circle", "garbage.npz"
    found = {name: folder / name for name in (*names, "empty.npz")}
    return found | {
        "a device": "/dev/null", "below a file": folder / "empty.npz" / "x", "no name": "",
        "NUL": "a\0b", "markup": MARKUP, "too long": "x" * 5000,
        "undecodable": os.fsdecode(b"\xff\xfe"),
    }  # fmt: skip


def tree(folder):
    """Return what lies below a folder: names, and what is in the files, but for Python's own."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if "__pycache__" in path.parts:
            continue
        plain = path.is_file() and not path.is_symlink()
        found[str(path.relative_to(folder))] = path.read_bytes() if plain else None
    return found


# --- the Python interface ------------------------------------------------------------------------

# Called in every step, where nothing is looked at twice; what reaches them has been checked.
ENGINE = {"window", "weighted_bound", "twin", "leaves", "spec", "plain", "noise"}
# Of a model with labels.
ENGINE |= {"codes", "given", "told", "tell", "in_turn"}


# Right values of one function alone.
OWN = {
    "anomalies": lambda x: {"data": x},
    "similar": lambda x: {"data": x, "row": 0},
    "combine": lambda x: {"data": x, "plus": (0,)},
}


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
        "to": "numpy", "run": folder / "right.npz", "n": 2, "inputs": 4,
        "outputs": 3, "epochs": 1, "samples": 2,
        "path": folder / "right.npz", "source": folder / "x.npz", "params": vae.parameters,
        "backend": vae.backend, "layers": [minivae.Linear(4, 3)],
        "value": lambda x: (x**2).sum(), "gradient": lambda x: 2 * x,
        "hessian_product": lambda x, v: 2 * v,
    }  # fmt: skip
    things = {name: getattr(minivae, name) for name in minivae.__all__}
    del things["impute"]  # the run is no table's, and that is said whatever comes
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
        known = right | OWN.get(name, lambda x: {})(x)
        given = {p.name: known[p.name] for p in parameters if p.default is p.empty}
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


# --- the command line ----------------------------------------------------------------------------

LAYER = """
import numpy as np

class Square:
    def forward(self, x):
        self.x = x
        return x * x

    def backward(self, dy):
        return 2 * self.x * dy
"""


def commands(group=None, path=()):
    """Yield (words, command) of every command, those within groups too."""
    from minivae.cli import main

    for name, command in (group or main).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def prepare(folder):
    """Write what the commands are given, a run, data, a layer; return the words for each."""
    import runs
    from click.testing import CliRunner

    from minivae.cli import main

    (folder / "layer.py").write_text(LAYER)
    run, data = folder / "run", runs.npz(folder)
    small = ("--hidden", "3", "--latent", "2", "--epochs", "1", "--threads", "1")
    result = CliRunner().invoke(main, ["train", "--data", str(data), *small, "--out", str(run)])
    assert result.exit_code == 0, result.output
    # By the name of an argument; then what else a command needs to be quick and do no harm.
    given = {
        "run": run,
        "runs": run,
        "data": data,
        "to": "numpy",
        "out": "out.npz",
        "row": 0,
        "plus": 0,
        "folder": "course",
        "seed": 0,
        "number": 1,
        "target": f"{folder / 'layer.py'}:Square",
    }
    needs = {("train",): ["--data", data, *small], ("learn",): ["--no-open"],
             ("exercise", "build"): ["--no-open"], ("course", "new"): ["--count", 1],
             ("evaluate",): ["--threads", 1], ("interpolate",): ["-n", 3]}  # fmt: skip
    return given, needs


def line(words, command, option, text, right, needs):
    """Return the words of a command in which one option or argument has that text."""
    first, last = [*words, *map(str, needs.get(words, ()))], []
    for one in command.params:
        argument = one.param_type_name == "argument"
        needed = one.required or (argument and one.name in right)
        value = text if one is option else str(right[one.name]) if needed else None
        if value is not None and argument:
            last.append(value)
        elif value is not None:
            first.append(one.opts[0] + "=" * one.opts[0].startswith("--") + value)
    return [*first, "--", *last]


def spoiled(option, folder=None):
    """Return {name: text} of wrong values for an option or argument of click.

    Of paths in that folder, where `paths` has made them; without one the names alone are right.
    """
    kind = option.type
    name = type(kind).__name__
    texts = {"no text": "", "markup": MARKUP, "text": "nonsense", "dashes": "--",
             "undecodable": os.fsdecode(b"\xff\xfe")}  # fmt: skip
    if getattr(option, "is_flag", False) or name == "BoolParamType":
        return {}
    if name == "Choice":
        return texts
    if "Int" in name or "Float" in name or name == "Finite":
        least, most = getattr(kind, "min", None), getattr(kind, "max", None)
        texts |= {} if least is None else {"too small": str(least - 1)}
        texts |= {} if most is None else {"too large": str(most + 1)}
        return texts | {
            "NaN": "nan", "inf": "inf", "-inf": "-inf", "beyond float": "1e999", "-1": "-1",
            "0": "0", "1.5": "1.5", "huge": str(HUGE), "5000 digits": "9" * 5000,
        }  # fmt: skip
    texts |= {"digits": "3", "list": "1,,2", "colon": ":", "equals": "=", "huge": str(HUGE),
              "NaN": "nan", "NUL": "a\0b", "long": "x" * 5000}  # fmt: skip
    if "Path" in name or "PATH" in (option.metavar or ""):
        found = names_of(folder or Path())
        texts |= {name: str(path) for name, path in found.items() if name not in texts}
    return texts
