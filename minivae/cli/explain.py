"""Commands that explain a model: trace, explore, traverse, manifold.

Each loads a run, calls one or two functions, and writes the result.
"""

from __future__ import annotations

from pathlib import Path

import click

from minivae.cli.common import (
    PathName,
    data_option,
    drawn,
    for_pictures,
    image_size_option,
    label_option,
    load_run,
    load_run_data,
    out_option,
    run_argument,
    seed_option,
    tell,
)
from minivae.cli.use import encode_part
from minivae.errors import shown


@click.command()
@click.argument("run", type=PathName(), required=False)
@data_option
@image_size_option
@click.option(
    "-n",
    "count",
    type=click.IntRange(1, 1000),
    default=2,
    show_default=True,
    help="Training images in the batch (of a RUN).",
)
@click.option(
    "--checks",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="Entries of each large gradient to compare with numeric derivatives.",
)
@seed_option
@click.option("--html", type=PathName(dir_okay=False), help="Write a page.")
@click.option("--png", type=PathName(dir_okay=False), help="Write a picture.")
def trace(
    run: Path | None,
    data: str | None,
    image_size: str | None,
    count: int,
    checks: int,
    seed: int,
    html: Path | None,
    png: Path | None,
) -> None:
    """Show one training step: every array, what made it, and the way back.

    Each gradient stands beside its numeric derivative and the line of the source that computes it.
    Without RUN the model is tiny: 4 pixels, 2 hidden units, 1 latent dimension. With RUN it is
    that model on its training images, in 64-bit floats; nothing of the run is changed. To change
    its numbers and see what follows: minivae play --step.
    """
    from minivae.looking.trace import tiny, trace_page, trace_step, trace_text
    from minivae.storage.files import replacing

    if run is None:
        if data is not None:
            raise click.UsageError("--data needs a RUN: without one the two tiny images are given")
        vae, x = tiny()
        title, shape = "One training step of a tiny VAE", None
    else:
        saved = load_run(run)
        loaded = load_run_data(saved, data, image_size)
        vae, title = saved.vae, f"One training step of {shown(run.resolve().stem)}"
        shape = saved.image_shape
        cut = saved.config.get("data", {}).get("binarize") == "threshold"
        binarize = "threshold" if cut else "none"
        x = loaded.pixels("train", slice(count), binarize=binarize, dtype=vae.dtype)
    traced = trace_step(vae, x, seed, checks)
    if html is not None:
        with replacing(html) as file:
            file.write(trace_page(traced, title, shape).encode())
        tell(f"{shown(html)}: open it in a browser")
    if png is not None:
        from minivae.looking import plots

        plots.save_step(png, traced, title)
        tell(f"{shown(png)}: the graph of the step")
    if html is None and png is None:
        tell(trace_text(traced), nl=False)


@click.command()
@run_argument
@data_option
@image_size_option
@out_option("explore.html", show_default=True)
def explore(run: Path, data: str | None, image_size: str | None, out: Path) -> None:
    """Write a page that runs the model in a browser: drag, draw, and look between images.

    One file without any network: open it, or send it to someone.
    """
    from minivae.errors import ArgumentError
    from minivae.looking.explore import explore_page
    from minivae.storage.files import replacing

    saved = load_run(run)
    for_pictures(saved)
    if saved.units is not None and saved.units.likelihood != "bernoulli":
        raise ArgumentError("the page draws numbers from 0 to 1: train with --scale minmax")
    loaded = load_run_data(saved, data, image_size)
    binarize = saved.config.get("data", {}).get("binarize", "none")
    page = explore_page(saved.vae, loaded, shown(run.resolve().stem), binarize).encode()
    with replacing(out) as file:
        file.write(page)
    tell(f"{shown(out)} ({len(page) / 1e6:.1f} MB): open it in a browser")


@click.command()
@run_argument
@data_option
@image_size_option
@click.option("--steps", type=click.IntRange(2, 51), default=13, show_default=True)
@click.option("--all", "everything", is_flag=True, help="Rows for unused units too.")
@label_option
@out_option("traverse.png", show_default=True)
def traverse(
    run: Path,
    data: str | None,
    image_size: str | None,
    steps: int,
    everything: bool,
    label: int | None,
    out: Path,
) -> None:
    """Draw what each unit does: a row from z = -3 to 3, with all other units at 0.

    Active units only, most used first: those whose mu varies over the test images by more than
    0.01.
    """
    import numpy as np

    from minivae.errors import ArgumentError
    from minivae.looking import plots
    from minivae.looking.latent import ACTIVE, by_use

    saved = load_run(run)
    for_pictures(saved)
    loaded = load_run_data(saved, data, image_size)
    order, variance = by_use(encode_part(saved.vae, loaded)[0])
    units = [unit for unit in order if everything or variance[unit] > ACTIVE]
    if not units:
        raise ArgumentError(
            f"no unit of {shown(run)} is active (variance of mu above {ACTIVE}): the decoder does "
            "without them; --all draws them nevertheless"
        )
    values = np.linspace(-3, 3, steps)
    z = np.zeros((len(units), steps, saved.vae.latent), np.float32)
    for row, unit in enumerate(units):
        z[row, :, unit] = values
    vae = saved.vae if label is None else saved.vae.given(label)
    images = drawn(vae.decode(z.reshape(-1, vae.latent)), saved.units)
    images = images.reshape(*z.shape[:2], -1)
    names = [f"z[{unit}]  {variance[unit]:.2f}" for unit in units]
    plots.save_traverse(out, images, loaded.image_shape, [float(f"{v:.3g}") for v in values], names)
    tell(
        f"{len(units)} of {saved.vae.latent} units from -3 to 3 in {shown(out)}; the number beside "
        "a unit is the variance of its mu"
    )


@click.command()
@run_argument
@click.option("-n", "count", type=click.IntRange(2, 60), default=20, show_default=True)
@label_option
@out_option("manifold.png", show_default=True)
def manifold(run: Path, count: int, label: int | None, out: Path) -> None:
    """Draw the whole plane of a model with two latent dimensions.

    The points are equally likely under the prior: quantiles of N(0, 1) in both directions.
    """
    from statistics import NormalDist

    import numpy as np

    from minivae.errors import ArgumentError
    from minivae.looking import plots

    saved = load_run(run)
    for_pictures(saved)
    latent = saved.vae.latent
    if latent != 2:
        raise ArgumentError(
            f"{shown(run)} has {latent} latent dimension{'s' * (latent > 1)}, a plane has 2: train "
            "with --latent 2, or see each unit with minivae traverse"
        )
    values = [NormalDist().inv_cdf((i + 0.5) / count) for i in range(count)]
    across, up = np.meshgrid(values, values)
    z = np.stack([across, up], axis=-1).reshape(-1, 2).astype(np.float32)
    vae = saved.vae if label is None else saved.vae.given(label)
    images = drawn(vae.decode(z), saved.units)
    plots.save_manifold(out, images.reshape(count, count, -1), saved.image_shape, values)
    tell(f"{count} x {count} points of the plane in {shown(out)}")
