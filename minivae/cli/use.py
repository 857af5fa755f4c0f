"""Commands that use a trained model: evaluate, sample, reconstruct, interpolate, encode, info.

Each loads a run, calls one or two functions, and prints or writes the result.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from minivae.cli.common import (
    PathName,
    backend_options,
    data_option,
    drawn,
    image_size_option,
    json_option,
    label_option,
    load_run,
    load_run_data,
    of_images,
    open_backend,
    out_option,
    print_json,
    run_argument,
    seed_option,
    tell,
)
from minivae.errors import ArgumentError, shown


@click.command()
@run_argument
@data_option
@image_size_option
@click.option(
    "--split",
    "--part",
    "part",
    type=click.Choice(["test", "validation", "train"]),
    default="test",
    show_default=True,
    help="validation: what train --validation held out, which is then not in train.",
)
@click.option("--limit", type=click.IntRange(1), help="Only that many images, the first ones.")
@click.option(
    "--samples",
    type=click.IntRange(1),
    help="Estimate log p(x) too, from that many draws of z an image (the literature: 5000).",
)
@click.option("--threads", type=click.IntRange(1, 1024), help="Default: the cores available.")
@seed_option
@backend_options
@json_option
def evaluate(
    run: Path,
    data: str | None,
    image_size: str | None,
    part: str,
    limit: int | None,
    samples: int | None,
    threads: int | None,
    seed: int,
    backend: str,
    device: int | None,
    precision: str,
    as_json: bool,
) -> None:
    """Print a model's loss on a data set, with the conditions of the number."""
    from minivae.cli.progress import Count
    from minivae.data.tables import Table
    from minivae.looking.latent import active_units
    from minivae.runs.run import elbo, settings
    from minivae.training import evaluate as evaluate_rows
    from minivae.training import log_likelihood

    saved = load_run(run, open_backend(backend, device, precision))
    loaded, name = parted(saved, load_run_data(saved, data, image_size), part), part
    part = "train" if part == "train" else "test"
    rows = getattr(loaded, part) if limit is None else getattr(loaded, part)[:limit]
    binarize = saved.config.get("data", {}).get("binarize", "none")
    conditions = {"binarize": binarize, "seed": seed, "threads": threads}
    vae = of_images(saved.vae, loaded, slice(len(rows)), part)
    terms = evaluate_rows(vae, rows, **conditions)
    active = active_units(encode_part(saved.vae, loaded, part, limit)[0])
    draws = saved.vae.bound.samples
    what = "row" if isinstance(saved.units, Table) else "image"
    result: dict[str, Any] = {
        "run": shown(run),
        "settings": settings(saved.config),
        "loss": terms.loss,
        "elbo": elbo(saved.vae, terms.nll, terms.kl),
        "nll": terms.nll,
        "kl": terms.kl,
        "unit": f"nats per {what}",
        "likelihood": saved.vae.spec()["likelihood"],
        "beta": saved.vae.beta,
        "data": loaded.name,
        "part": name,
        "images": len(rows),
        "binarize": binarize,
        "draws_of_z": draws,
        "seed": seed,
        "active_units": active,
        "latent": saved.vae.latent,
    }
    if samples is not None:
        with Count("images") as count:
            values = log_likelihood(vae, rows, samples, progress=count, **conditions)
        error = float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else None
        result["log_likelihood"] = {
            "mean": float(values.mean()), "standard_error": error, "samples": samples
        }  # fmt: skip
    unit, coloured = result["unit"], len(loaded.image_shape) == 3
    if saved.vae.likelihood.unit == "bits a pixel":
        each = "number" if coloured else "pixel"  # of colours a pixel has three
        bits = result[f"bits_per_{each}"] = terms.loss / saved.vae.pixels / math.log(2)
        unit += f" ({bits:.3f} bits a {each})"
    if as_json:
        print_json(result)
        return
    unit += "" if saved.vae.likelihood.discrete else " (a density's: may be negative)"
    pixels = {
        "none": f"{'colour' if coloured else 'grey'} pixels" if what == "image" else "standardised",
        "threshold": "pixels cut at 0.5",
        "sampled": "sampled pixels",
    }
    tell(
        f"loss {terms.loss:.2f}  nll {terms.nll:.2f}  kl {terms.kl:.2f}  {unit}\n"
        f"on {len(rows):,} {name} {what}s of {shown(loaded.name)}, {pixels[binarize]}, "
        f"beta {saved.vae.beta:g}, {'one draw' if draws == 1 else f'{draws} draws'} of z each "
        f"(seed {seed})\n"
        f"{active} of {saved.vae.latent} latent units active (variance of mu above 0.01)"
    )
    if samples is not None:
        spread = "" if error is None else f" ± {error:.2f} (standard error over {what}s)"
        tell(
            f"log p(x) {values.mean():.2f}{spread} nats per {what}, by importance sampling with "
            f"{samples:,} draws of z each"
        )


@click.command()
@run_argument
@click.option(
    "-n", "--n", "count", type=click.IntRange(1, 10_000_000), default=64, show_default=True
)
@seed_option
@label_option
@out_option(None, help="A .png, .npz or .csv file. [samples.png; of a table samples.csv]")
def sample(run: Path, count: int, seed: int, label: int | None, out: Path | None) -> None:
    """Draw z from the prior and write what it decodes to, as a picture or in the data's units.

    A model that is told labels draws all in turn, or with --label that one.
    """
    from minivae import jobs
    from minivae.cli.jobs import write_rows

    saved = load_run(run)
    rows = jobs.sample(saved, count, seed, label)
    out = out or Path(f"samples.{'csv' if isinstance(rows, dict) else 'png'}")
    write_rows(out, rows, saved)
    tell(f"{count} samples in {shown(out)}")


@click.command()
@run_argument
@data_option
@image_size_option
@click.option("-n", "count", type=click.IntRange(1, 10_000), default=32, show_default=True)
@label_option
@out_option(None, help="[reconstructions.png; of a table reconstructions.csv]")
def reconstruct(
    run: Path,
    data: str | None,
    image_size: str | None,
    count: int,
    label: int | None,
    out: Path | None,
) -> None:
    """Write test images with their reconstructions below them as a picture.

    Of a table the reconstructions of its test rows are written, in the columns' own units. A model
    that is told labels is told the rows' own; with --label the decoder that one: the same z as
    another digit.
    """
    from minivae.cli.jobs import write_rows
    from minivae.data.tables import Table
    from minivae.looking import plots

    saved = load_run(run)
    loaded = load_run_data(saved, data, image_size)
    x = loaded.pixels(rows=slice(count), dtype=saved.vae.dtype)
    vae = of_images(saved.vae, loaded, slice(count))
    means = vae.reconstruct(x) if label is None else vae.given(label).decode(vae.encode(x)[0])
    if isinstance(saved.units, Table):
        out = out or Path("reconstructions.csv")
        write_rows(out, saved.units.cells(means), saved)
        tell(f"reconstructions of {len(x)} test rows in {shown(out)}")
        return
    out = out or Path("reconstructions.png")
    pair = drawn(x, saved.units), drawn(means, saved.units)
    plots.save_pairs(out, *pair, loaded.image_shape, min(8, len(x)))
    tell(f"{len(x)} images and their reconstructions in {shown(out)}")


@click.command()
@run_argument
@data_option
@image_size_option
@click.option("-n", "count", type=click.IntRange(2, 1000), default=12, show_default=True)
@click.option("--pairs", type=click.IntRange(1, 1000), default=8, show_default=True)
@click.option("--from", "first", type=click.IntRange(0), help="A test row, counted from 0, ...")
@click.option("--to", "last", type=click.IntRange(0), help="... and another: one walk from it.")
@seed_option
@label_option
@out_option(None, help="[interpolation.png; of a table interpolation.csv]")
def interpolate(
    run: Path,
    data: str | None,
    image_size: str | None,
    count: int,
    pairs: int,
    first: int | None,
    last: int | None,
    seed: int,
    label: int | None,
    out: Path | None,
) -> None:
    """Walk in latent space from one test image to another, a row for each pair.

    At the ends of a row stand the two images themselves. Of a table it is one walk, in the
    columns' own units. A model that is told labels draws each half of a walk with the label of its
    end, or with --label all of it with that one.
    """
    import numpy as np

    from minivae import jobs
    from minivae.cli.jobs import write_rows
    from minivae.data.tables import Table
    from minivae.looking import plots
    from minivae.noise import generator

    if (first is None) != (last is None):
        raise click.UsageError("--from and --to name the two ends of a walk: give both")
    saved = load_run(run)
    loaded = load_run_data(saved, data, image_size)
    pairs = 1 if first is not None or isinstance(saved.units, Table) else pairs
    if first is not None:
        chosen = np.array([jobs.numbered(i, loaded.test) for i in (first, last)])
    else:
        rng = generator(seed, "interpolate")
        chosen = rng.choice(len(loaded.test), 2 * pairs, replace=2 * pairs > len(loaded.test))
    x = loaded.pixels(rows=chosen, dtype=saved.vae.dtype)
    vae = of_images(saved.vae, loaded, chosen)
    mu, _ = vae.encode(x)
    share = np.linspace(0, 1, count, dtype=mu.dtype)[None, :, None]
    walk = mu[:pairs, None] * (1 - share) + mu[pairs:, None] * share
    if label is not None:
        vae = vae.given(label)
    elif vae.condition:
        ends = np.where(share[..., 0] < 0.5, chosen[:pairs, None], chosen[pairs:, None])
        vae = of_images(vae, loaded, ends.ravel())
    images = vae.decode(walk.reshape(-1, vae.latent)).reshape(pairs, count, -1)
    rows = np.concatenate([x[:pairs, None], images, x[pairs:, None]], axis=1)
    rows = rows.reshape(-1, x.shape[1])
    if isinstance(saved.units, Table):
        out = out or Path("interpolation.csv")
        write_rows(out, saved.units.cells(rows), saved)
        tell(f"a walk of {count} rows in {shown(out)}, between two test rows")
        return
    out = out or Path("interpolation.png")
    plots.save_grid(out, drawn(rows, saved.units), loaded.image_shape, count + 2)
    tell(f"{pairs} walks of {count} images in {shown(out)}, between the two test images of each")


@click.command()
@run_argument
@data_option
@image_size_option
@out_option(None, required=True, help="The .npz file to write.")
def encode(run: Path, data: str | None, image_size: str | None, out: Path) -> None:
    """Write mu and log variance of every image, its row in the data, and its label, to an .npz.

    Of a folder of pictures also the names of the files.
    """
    import numpy as np

    from minivae.data.pictures import find_pictures
    from minivae.storage.files import replacing

    saved = load_run(run)
    loaded = load_run_data(saved, data, image_size)
    folder = Path(data or saved.config.get("data", {}).get("source") or "mnist")
    names = np.array([file.name for file in find_pictures(folder)] if folder.is_dir() else [])
    arrays: dict[str, Any] = {}
    for k, part in enumerate(("train", "test")):
        mu, logvar = encode_part(saved.vae, loaded, part)
        rows = np.arange(len(mu)) if loaded.places is None else loaded.places[k]
        arrays |= {f"{part}_mu": mu, f"{part}_logvar": logvar, f"{part}_rows": rows}
        if len(names) == len(loaded.train) + len(loaded.test):  # none was skipped
            arrays[f"{part}_files"] = names[rows]
        labels = getattr(loaded, f"{part}_labels")
        if labels is not None:
            arrays[f"{part}_labels"] = labels
    with replacing(out) as file:
        np.savez(file, **arrays)
    tell(f"{', '.join(arrays)} in {shown(out)}")


@click.command()
@click.argument("run", type=PathName(), required=False)
@click.option("--parts", is_flag=True, help="List likelihoods, posteriors, priors and bounds.")
@json_option
def info(run: Path | None, parts: bool, as_json: bool) -> None:
    """Say what a run holds; without RUN, what this machine offers."""
    if parts:
        from minivae.cli.parts import lines, table

        if as_json:
            print_json({"parts": table()})
        else:
            tell("\n".join(lines()))
        return
    facts = machine_facts() if run is None else run_facts(run)
    if as_json:
        if run is not None:
            from minivae.runs.run import Run

            one = Run(run)
            facts |= {"run": shown(run), "settings": one.settings, "result": one.result}
        print_json(facts)
        return
    if run is None:
        facts |= in_words(facts.pop("cupy"))
    width = max(map(len, facts))
    for name, value in facts.items():
        tell(f"{name:<{width}}  {value}")


@click.command()
@run_argument
@json_option
def check(run: Path, as_json: bool) -> None:
    """Say whether a run is whole: its files, and the data that it was trained on.

    The exit status is 1 if anything is damaged, missing or changed.
    """
    from minivae.runs.check import check as look

    findings = list(look(run))
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            tell(f"{'FAULT' if finding.fault else 'ok':<6}{finding.thing}: {finding.said}")
    raise SystemExit(any(finding.fault for finding in findings))


def parted(saved: Any, data: Any, part: str) -> Any:
    """Return data for one of their parts; the validation part stands in the test part's place.

    Where a run held some rows out of its training, its training part is what it was trained on.
    """
    state = saved.config.get("training", {})
    share = state.get("validation") or (0.1 if state.get("early_stop") else 0.0)
    if part == "test" or (part == "train" and not share):
        return data
    if not share:
        raise ArgumentError("this run held no validation part out: train with --validation 0.1")
    return data.validating(share, state["seed"])


def machine_facts() -> dict[str, Any]:
    """Return versions, threads and backends of this machine."""
    import platform

    import numpy as np
    from threadpoolctl import threadpool_info

    from minivae import __version__, products
    from minivae.backend import describe_cupy
    from minivae.training.crew import available_cores

    blas = next((pool for pool in threadpool_info() if pool["user_api"] == "blas"), {})
    return {
        "minivae": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas.get('internal_api', 'unknown')} {blas.get('version') or ''}".strip(),
        "products": products.describe(),
        "cores": available_cores(),
        "cupy": describe_cupy(),
    }


def in_words(cupy: dict[str, Any]) -> dict[str, str]:
    """Return what is known of the cupy backend as lines to print."""
    if not cupy["available"]:
        return {"cupy": f"not available: {cupy['reason']}"}
    lines = {
        "cupy": f"{cupy['version']}, CUDA {cupy['cuda runtime']}, driver for {cupy['cuda driver']}"
    }
    for found in cupy["devices"]:
        lines[f"device {found['device']}"] = (
            f"{found['name']}, compute capability {found['compute capability']}, "
            f"{found['memory free']} of {found['memory']} free"
        )
    return lines


def run_facts(run: Path) -> dict[str, Any]:
    """Return what a checkpoint says of its model, data and training."""
    saved = load_run(run)
    facts = {"file": shown(run), "written by": f"minivae {saved.config.get('minivae', '?')}"}
    facts |= saved.config["model"]
    facts["parameters"] = int(saved.vae.theta.size)
    facts |= {key: saved.config["data"][key] for key in ("name", "image_shape", "binarize")
              if key in saved.config.get("data", {})}  # fmt: skip
    facts |= {key: saved.config["training"][key]
              for key in ("epoch", "batch_size", "lr", "products")
              if key in saved.config.get("training", {})}  # fmt: skip
    if saved.config.get("history"):
        facts["test loss"] = saved.config["history"][-1][4]
    return facts


def encode_part(
    vae: Any, data: Any, part: str = "test", limit: int | None = None
) -> tuple[Any, Any]:
    """Return mu and log variance (N, Z) of a part's rows, a block of pixels at a time."""
    import numpy as np

    n, size = len(getattr(data, part)), 1000
    n = n if limit is None else min(n, limit)
    blocks = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    parts = [
        of_images(vae, data, block, part=part).encode(data.pixels(part, block, dtype=vae.dtype))
        for block in blocks
    ]
    return tuple(np.concatenate(halves) for halves in zip(*parts, strict=True))
