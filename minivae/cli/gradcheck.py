"""`minivae gradcheck`: derivatives of what is built in, of a user's layer, or of a trained model.

The checking is done in minivae/gradcheck/; here options are read and outcomes printed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from minivae.cli.common import (
    PathName,
    data_option,
    image_size_option,
    load_run,
    load_run_data,
    of_images,
    print_json,
    say,
    tell,
)

ROWS = 8  # real images on which a trained model is checked


class InputShape(click.ParamType):
    """A shape, and for whole numbers the number that they lie below: 8,5 or 8,5<10."""

    name = "N,N,...[<TOP]"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[tuple[int, ...], int | None]:
        """Return the shape and the bound."""
        text, _, top = value.partition("<")
        try:
            shape = tuple(int(part) for part in text.split(",") if part.strip())
            bound = int(top) if top else None
        except ValueError:
            shape, bound = (0,), None
        if min(shape, default=1) < 1 or (bound is not None and bound < 1):
            self.fail(f"{value!r}: give a shape such as 8,5, or 8,5<10 for whole numbers", param)
        return shape, bound


@click.command()
@click.argument("target", required=False)
@click.option(
    "--input-shape",
    "shapes",
    type=InputShape(),
    multiple=True,
    help="Shape of forward's input, such as 8,5, or 8,5<10 for whole numbers below 10; once for "
    "each input of a layer. Guessed if left out.",
)
@click.option("--init", default="", metavar="A,B,K=V", help="Arguments of the class.")
@click.option(
    "--constants", default="", metavar="NAME,...", help="Inputs that have no gradient: targets."
)
@click.option(
    "--dtype",
    type=click.Choice(["float64", "float32"]),
    default="float64",
    show_default=True,
    help="Of a layer's inputs.",
)
@click.option("--positive", is_flag=True, help="Draw a layer's inputs between 0.1 and 2.")
@data_option
@image_size_option
@click.option("--gallery", "faults", is_flag=True, help="Show which check catches which mistake.")
@click.option(
    "--plot",
    type=PathName(dir_okay=False),
    metavar="FILE.png",
    help="Draw the error of differences against their step.",
)
@click.option(
    "--jacobian",
    type=PathName(dir_okay=False),
    metavar="FILE.png",
    help="Draw the Jacobian of a layer's first input, analytic and numeric.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def gradcheck(
    target: str | None,
    shapes: tuple[tuple[tuple[int, ...], int | None], ...],
    init: str,
    constants: str,
    dtype: str,
    positive: bool,
    data: str | None,
    image_size: str | None,
    faults: bool,
    plot: Path | None,
    jacobian: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Compare gradients with numeric derivatives, and say what is wrong with wrong ones.

    Without TARGET: every built-in layer and formula, a whole VAE and its contracts. TARGET is
    FILE.py:CLASS, a layer of your own with forward and backward (the file is run), or a run or
    checkpoint, checked on real data. Exit status 1 if a check fails.
    """
    if (data is not None or image_size is not None) and (target is None or ".py" in target):
        raise click.UsageError("--data and --image-size are for a run: name one as TARGET")
    if faults and target:
        raise click.UsageError("--gallery takes no target")
    if faults:
        passed = _gallery(seed, as_json)
    elif target is None:
        passed = _suite(seed, as_json)
        layer, inputs = _example(seed) if plot else (None, [])
    elif ".py" in target:
        layer, inputs = _layer(target, shapes, init, dtype, positive, seed)
        named = [one.strip() for one in constants.split(",")] if constants else None
        passed = _report(target, layer, inputs, seed, as_json, named)
        if jacobian:
            _draw_jacobian(jacobian, layer, inputs, seed)
    else:
        layer, inputs = _trained(Path(target), data, image_size, seed)
        passed = _report(target, layer, inputs, seed, as_json)
    if plot and not faults:
        from minivae.gradcheck.valley import STEPS, valley
        from minivae.looking.plots import save_valley

        save_valley(plot, STEPS, valley(layer, inputs, seed))
        say(f"wrote {plot}")
    if not passed:
        raise SystemExit(1)


def _suite(seed: int, as_json: bool) -> bool:
    from minivae.gradcheck.suite import suite, summary

    outcomes = list(suite(seed))
    if as_json:
        print_json({name: outcome.to_dict() for name, outcome in outcomes})
    else:
        tell(summary(outcomes))
    return all(outcome.passed for _, outcome in outcomes)


def _gallery(seed: int, as_json: bool) -> bool:
    from minivae.gradcheck.gallery.run import gallery, print_gallery

    findings = list(gallery(seed))
    if as_json:
        print_json({"faults": [{**vars(one), "named": one.named} for one in findings]})
    else:
        tell(print_gallery(findings))
    return all(one.caught for one in findings)


def _example(seed: int) -> tuple[Any, list[Any]]:
    """Return the small VAE whose valley is drawn when no target is named."""
    import numpy as np

    from minivae.vae import VAE

    rng = np.random.default_rng(seed)
    vae = VAE(12, hidden=(7, 5), latent=3, seed=seed, dtype="float64")
    return vae, [rng.uniform(size=(5, 12)), rng.standard_normal((5, 3))]


def _draw_jacobian(path: Path, layer: Any, inputs: list[Any], seed: int) -> None:
    from minivae.gradcheck.derivatives import jacobian
    from minivae.looking.plots import save_jacobian

    name, found = next(iter(jacobian(layer, *inputs, seed=seed).items()))
    save_jacobian(path, found.analytic, found.numeric, name)
    say(f"wrote {path}")


def _layer(
    target: str,
    shapes: tuple[tuple[tuple[int, ...], int | None], ...],
    init: str,
    dtype: str,
    positive: bool,
    seed: int,
) -> tuple[Any, list[Any]]:
    from minivae.errors import MinivaeError
    from minivae.gradcheck.target import arguments, draw, guess, load_class, make

    if ":" not in target:
        raise click.UsageError(f"name the class in {target}: {target}:CLASS")
    try:
        layer = make(load_class(target), *arguments(init))
        if not shapes:
            inputs = guess(layer, seed, dtype, positive)
            say(f"guessed --input-shape {','.join(map(str, inputs[0].shape))} for each input")
            return layer, inputs
    except MinivaeError as error:
        _show_own(error, target)
        raise
    sizes, bounds = [one for one, _ in shapes], [top for _, top in shapes]
    return layer, draw(tuple(sizes), seed, dtype, positive, tuple(bounds))


def _trained(
    run: Path, data: str | None, image_size: str | None, seed: int
) -> tuple[Any, list[Any]]:
    """Return the model in float64 with real images and noise."""
    import numpy as np

    from minivae.gradcheck.clone import clone
    from minivae.gradcheck.target import real_rows

    saved = load_run(run)
    loaded = load_run_data(saved, data, image_size)
    x = real_rows(loaded, "float64", ROWS)
    eps = np.random.default_rng(seed).standard_normal((len(x), saved.vae.noise))
    return of_images(clone(saved.vae, np.float64), loaded, slice(len(x))), [x, eps]


def _report(
    target: str,
    layer: Any,
    inputs: list[Any],
    seed: int,
    as_json: bool,
    constants: list[str] | None = None,
) -> bool:
    import numpy as np

    from minivae.errors import MinivaeError
    from minivae.gradcheck import check, check_contracts

    try:
        outcomes = {"gradients": check(layer, *inputs, seed=seed, constants=constants)}
    except MinivaeError as error:
        _show_own(error, target)
        raise
    if hasattr(layer, "step"):
        one = layer.told(np.zeros(1, np.int64)) if getattr(layer, "condition", ()) else layer
        outcomes["contracts"] = check_contracts(one, inputs[0], seed)
    if as_json:
        print_json({name: outcome.to_dict() for name, outcome in outcomes.items()})
    else:
        tell("\n".join(map(str, outcomes.values())))
    return all(outcome.passed for outcome in outcomes.values())


def _show_own(error: Exception, target: str) -> None:
    """Print the traceback of the user's own code, where theirs is what failed."""
    from minivae.gradcheck.target import own_frames

    if error.__cause__ is not None and (frames := own_frames(error.__cause__, target)):
        say(frames)
