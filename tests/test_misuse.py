"""Every parameter of the public interface and every option, given what it is not for.

The answer is one line that names the thing: a MinivaeError, or a TypeError or ValueError of Python;
never another exception, never silent nonsense, and nothing is written. What is tried is generated
from signatures and from click: see misuse.py.
"""

import copy
import inspect
import os
import re
from collections.abc import Iterator

import misuse
import pytest
from click.testing import CliRunner

from minivae.cli import main
from minivae.errors import MinivaeError

# What is right after all, by parameter. Any finite number will do for a rate or a weight; training
# says when the numbers grow too large.
FINE = {
    ("0",): "seed random_state beta beta1 beta2 eps decay rtol iterations row quantile dropout "
    "validation",
    ("large",): "seed random_state epochs batch_size early_stop inputs outputs iterations "
    "n_samples average_every n accumulate",
    ("large", "huge"): "lr learning_rate eps decay beta clip rtol",
    ("no text",): "lr_schedule beta_schedule",  # no schedule
    ("a list", "an empty list", "no array", "digits"): "hidden",  # a layer, or none at all
    ("an empty list", "no array"): "constants drop category callbacks minus",
    ("a list",): "plus minus",
    ("a table",): "shapes inner",
    ("a list", "an empty list", "no array", "0"): "condition",
    ("None",): "random_state labels",
}
FINE_AT = {
    # The folder is empty, so these can be written.
    "save": {"missing", "missing.npz", "garbage.npz", "empty.npz", "markup", "undecodable"},
    "export": {"missing", "missing.npz", "folder", "no name", "digits", "text", "no text", "markup",
               "undecodable"},
    # Functions of arrays of any shape.
    "gradcheck.check_function": {"no rows", "no columns", "one row alone", "images", "too wide",
                                 "too narrow", "a number"},
    "gradcheck.check_contracts": {"None"},
    "gradcheck.hessian_vector": {"huge in it"},
    "estimator.fit": {"too wide", "too narrow"},  # other columns, as the first fit has them
    "estimator.impute": {"NaN in it"},
}  # fmt: skip
for name in ("check", "assert_gradients", "check_second", "jacobian"):
    FINE_AT[f"gradcheck.{name}"] = FINE_AT["gradcheck.check_function"] | {"huge in it"}
FINE_AT["gradcheck.jacobian"] |= {"complex in it"}
# What `save` and `export` were asked to write.
SAVED = {misuse.MARKUP, os.fsdecode(b"\xff\xfe"), "export", "text", "3"}
SAVED |= {"numpy_vae.py", "numpy_vae.npz"}
FINE_AT["anomalies"] = FINE_AT["similar"] = FINE_AT["combine"] = {"images"}
UNUSED = {"y"}  # taken and not looked at, as scikit-learn has it
SKIPPED = {("estimator", "epochs", "large")}  # trains for ever
# How messages call a parameter, where that is not its name.
CALLED = {
    "lr": "learning rate", "n": "number of samples", "x": "images|no array|forward|inputs",
    "eps": "rows of noise", "z": "latent points", "layer": "nothing to check",
    "lr_schedule": "learning rate schedule",
    "inputs": "forward",
    "beta_schedule": "beta", "early_stop": "early stopping", "n_jobs": "threads",
    "n_components": "latent", "random_state": "seed", "path": ".*", "run": ".*",
    "source": ".*", "folder": ".*",
    "drop": "columns", "category": "columns", "data": "array|folder|images",
    "X": ".*",  # scikit-learn's own words
}  # fmt: skip


def fine(thing, parameter, how):
    return (
        parameter in UNUSED
        or how in FINE_AT.get(thing, ())
        or any(how in hows and parameter in names.split() for hows, names in FINE.items())
        or (thing.startswith("estimator.") and how == "objects in it")
    )


def fault_of(error, thing, parameter):
    """Say what is wrong with an answer; nothing if it is right."""
    text = str(error)
    if not isinstance(error, MinivaeError | TypeError | ValueError):
        return f"{type(error).__name__}: {text[:100]}"
    own = thing.startswith("estimator") and parameter == "X"  # scikit-learn has several lines
    if not (text.isprintable() or own) or len(text) > 6000:
        return f"no line: {text[:100]!r}"
    name = CALLED.get(parameter, parameter) + "|" + parameter
    if not re.search(rf"(?<!\w)({name.replace('_', '[ _-]')})(?!\w)", text, re.IGNORECASE | re.S):
        return f"{type(error).__name__} does not name it: {text[:100]}"
    return None


@pytest.mark.filterwarnings("ignore")  # of NumPy, about numbers that are too large
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_every_parameter_of_the_python_interface(tmp_path, monkeypatch, every):
    folder, given_folder = tmp_path / "here", tmp_path / "right"
    for each in (folder, given_folder):
        each.mkdir()
    things, right = misuse.python_things(given_folder)
    monkeypatch.chdir(folder)
    before, number, tried, accepted, faults = misuse.tree(given_folder), 0, 0, 0, []
    for name, (thing, given, kinds) in things.items():
        for parameter, kind in kinds.items():
            place = tmp_path / f"{name} {parameter}"
            place.mkdir()
            model = given.get(parameter, right.get(parameter))
            for how, value in misuse.wrong(kind, model, place):
                number += 1
                if number % every or (name, parameter, how) in SKIPPED:
                    continue
                tried += 1
                there = misuse.tree(place)
                try:
                    call(thing, (fresh(given) if name == "train" else given) | {parameter: value})
                except BaseException as error:
                    fault = fault_of(error, name, parameter)
                    if parameter == "path" and misuse.tree(place) != there:
                        fault = "something was written"
                else:
                    accepted += 1
                    fault = None if fine(name, parameter, how) else "accepted"
                if fault:
                    faults.append(f"{name}({parameter}={how}): {fault}")
    assert misuse.tree(given_folder) == before and set(os.listdir(folder)) <= SAVED
    print(f"{tried} cases of {len(things)} functions, {accepted} of them right after all")
    assert not faults, "\n".join(faults)
    assert tried > 3000 / every


# --- the command line ----------------------------------------------------------------------------

# Names under which a file or folder can be written.
WRITABLE = {"markup", "text", "dashes", "undecodable", "digits", "list", "colon", "equals", "huge",
            "NaN", "missing", "missing.npz", "garbage.npz", "empty.npz", "folder"}  # fmt: skip
CLI_FINE = {
    "out html png plot jacobian folder": WRITABLE,
    "seed": {"0", "huge"},
    "row plus minus quantile free_bits beta validation dropout": {"0", "digits"},
    "free_bits clip lr": {"1.5", "huge"},  # what comes of it is said in training
    "beta": {"huge"},
    "limit count": {"huge"},  # as many as there are
    "hidden every exercises shapes condition label": {"digits", "list", "no text"},
    "lr_schedule init constants": {"no text"},
}
EVERY = 24  # in the quick form: this one of so many cases


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    return folder, *misuse.prepare(folder)


@pytest.mark.parametrize("every", [EVERY, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("words", [words for words, _ in misuse.commands()], ids=" ".join)
def test_every_option_of_every_command(given, tmp_path, monkeypatch, words, every):
    folder, right, needs = given
    command = dict(misuse.commands())[words]
    before, tried, faults = misuse.tree(folder), 0, []
    number = len(words[0])
    place = tmp_path / "0"
    for option in command.params:
        for how in misuse.spoiled(option):
            fine = any(
                how in hows and option.name in names.split() for names, hows in CLI_FINE.items()
            )
            number += 1
            if every > 1 and (fine or number % every):
                continue
            tried += 1
            if not place.exists():
                for each in (place / "here", place / "there"):
                    each.mkdir(parents=True)
                misuse.paths(place / "there")
            monkeypatch.chdir(place / "here")
            text = misuse.spoiled(option, place / "there")[how]
            there = misuse.tree(place)
            result = CliRunner().invoke(
                main, misuse.line(words, command, option, text, right, needs)
            )
            changed = misuse.tree(place) != there
            fault = cli_fault(result, option, text, changed)
            if fault and not (fine and result.exit_code == 0):
                faults.append(f"{' '.join(words)} {option.opts[0]}={how}: {fault}")
            if changed:
                place = tmp_path / str(number)
    assert misuse.tree(folder) == before
    print(f"{tried} cases of {' '.join(words)}")
    assert not faults, "\n".join(faults)


def cli_fault(result, option, text, changed):
    """Say what is wrong with the answer of a command; nothing if it is right."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return f"{type(result.exception).__name__}: {str(result.exception)[:100]}"
    if result.exit_code == 0:
        return "accepted"
    if not all(line.isprintable() for line in result.output.splitlines()):
        return "unprintable"
    said = [line for line in result.output.splitlines() if line.startswith(("Error: ", "FAULT "))]
    if len(said) != 1 and text not in said:
        return f"no line: {result.output[-200:]}"
    return "something was written" if changed and "finite" not in said[0] else None


def fresh(given):
    """Return the arguments with a model of their own, since a training changes it."""
    return given | {"vae": copy.deepcopy(given["vae"])}


def call(thing, given):
    """Call a function; of an iterator the first step is taken."""
    parameters = inspect.signature(thing).parameters.values()
    several = [p.name for p in parameters if p.kind == p.VAR_POSITIONAL]
    first = [given.pop(name) for name in ("layer",) if several]
    for name in several:
        first.append(given.pop(name))
    result = thing(*first, **given)
    if isinstance(result, Iterator):
        next(result, None)
