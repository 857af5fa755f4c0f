"""The command `minivae train`: a run from its options to its pictures.

The loop is training.py's, the run directory rundir.py's; here both are put together from what was
asked for, interruptions are answered, and pictures drawn at the end.
"""

from __future__ import annotations

import itertools
import os
import shlex
from collections import deque
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from minivae.cli.common import (
    Finite,
    Layers,
    PathName,
    backend_options,
    drawn,
    drop_option,
    image_size_option,
    of_images,
    open_backend,
    say,
    tell,
)
from minivae.cli.compare import show_compared
from minivae.cli.interrupt import Interrupts
from minivae.cli.progress import Progress
from minivae.errors import ArgumentError, DataError, MinivaeError, NotFiniteError, shown

# What makes a run this run: to go on with another value would be neither the old nor a new one.
# The learning rate may change: a smaller one is the remedy for numbers that went out of range.
FIXED = (
    "batch_size",
    "beta",
    "hidden",
    "activation",
    "norm",
    "dropout",
    "condition",
    "latent",
    "likelihood",
    "posterior",
    "prior",
    "bound",
    "binarize",
    "seed",
    "optimizer",
    "clip",
    "lr_schedule",
    "validation",
    "early_stop",
    "average_every",
)


STEPS = 3000  # that a table is trained for


class Weight(click.ParamType):
    """A number of 0 or larger, or how it changes: 0.1:1:20epochs."""

    name = "FLOAT|A:B:Nepochs"

    def convert(self, value: Any, param: Any, ctx: Any) -> float | str:
        """Return the number, or the schedule as it stands."""
        if ":" not in str(value):
            return Finite(0).convert(value, param, ctx)
        from minivae.training import schedules

        try:
            schedules.weight(value, 1)
        except ArgumentError as error:
            self.fail(str(error), param, ctx)
        return value


class Every(click.ParamType):
    """A number of epochs or steps: 1, 5epochs, 500steps."""

    name = "N[steps]"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the cadence."""
        from minivae.runs.directory import Cadence

        if isinstance(value, Cadence):
            return value
        try:
            return Cadence.parse(value)
        except ArgumentError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option(
    "--data",
    default="mnist",
    metavar="NAME|PATH",
    show_default=True,
    help="mnist, fashion-mnist, a folder (IDX files or pictures), .npz or .npy; a table: .csv, "
    ".tsv or .parquet.",
)
@image_size_option
@click.option(
    "--colour", is_flag=True, help="Keep red, green and blue of a folder's pictures. [grey]"
)
@click.option(
    "--scale",
    type=click.Choice(["standard", "minmax", "none"]),
    help="Arrays of any range: mean 0, deviation 1 (likelihood gaussian); 0 to 1; none: counts.",
)
@drop_option
@click.option(
    "--category",
    multiple=True,
    metavar="COLUMN",
    help="A table's column whose numbers are names of categories. Several times, if need be.",
)
@backend_options
@click.option(
    "--epochs",
    type=click.IntRange(1, 10**9),
    default=50,
    show_default=True,
    help="How often to pass through the training images.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=128,
    show_default=True,
    help="Images per step.",
)
@click.option(
    "--lr",
    type=Finite(0, min_open=True),
    default=1e-3,
    show_default=True,
    help="Learning rate: how far Adam moves a parameter in a step, at most about this much.",
)
@click.option(
    "--optimizer",
    default="adam",
    metavar="NAME",
    show_default=True,
    help="adam, adamw:0.01 (with its weight decay), sgd:0.9 (with its momentum).",
)
@click.option(
    "--lr-schedule",
    default="",
    metavar="TEXT",
    help="warmup:500steps, cosine:50epochs, steps:0.1:20epochs, or several with commas.",
)
@click.option("--clip", type=Finite(0, min_open=True), help="Cut the gradient's norm to this.")
@click.option(
    "--validation",
    type=Finite(0, 1, max_open=True),
    default=0.0,
    metavar="SHARE",
    show_default=True,
    help="Hold this share of the training images out, and end with the parameters of the epoch "
    "that explained them best. The test part has no say in it.",
)
@click.option(
    "--early-stop",
    type=click.IntRange(1),
    metavar="EPOCHS",
    help="End after so many epochs without gain on the validation part (--validation 0.1, if "
    "nothing else is said).",
)
@click.option(
    "--beta",
    type=Weight(),
    default=1.0,
    show_default=True,
    help="Weight of the KL. 1 is the bound; less: sharper pictures; more: fewer units in use. "
    "0.1:1:20epochs rises, 0:1:10epochs:cyclical begins again.",
)
@click.option(
    "--hidden",
    type=Layers(),
    default="256,128",
    show_default=True,
    help="The encoder's hidden layers, which the decoder mirrors: widths, and before them "
    "convolutions, such as c32, or c32k3s1 with 3x3 kernels and stride 1, and residual blocks, "
    "such as r32. An n at the end normalises: c32n.",
)
@click.option(
    "--activation",
    default="relu",
    metavar="NAME",
    show_default=True,
    help="After each hidden layer: relu, leaky-relu, silu, gelu, gelu-tanh, elu, softplus, prelu, "
    "sigmoid or tanh.",
)
@click.option(
    "--norm",
    type=click.Choice(["none", "layer", "group", "batch"]),
    default="none",
    show_default=True,
    help="Normalises what each hidden layer gives; batch: over all images of a batch.",
)
@click.option(
    "--dropout",
    type=Finite(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="The chance of what a hidden layer gives to be left out in training.",
)
@click.option(
    "--condition",
    type=click.Choice(["labels"]),
    help="Tell encoder and decoder each image's label: sample --label 7 then draws sevens.",
)
@click.option(
    "--latent",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Numbers that z has, from which the decoder makes an image.",
)
@click.option(
    "--likelihood",
    default="bernoulli",
    metavar="NAME",
    show_default=True,
    help="p(x|z): minivae info --parts lists what there is.",
)
@click.option("--posterior", default="gaussian", metavar="NAME", show_default=True, help="q(z|x).")
@click.option("--prior", default="normal", metavar="NAME", show_default=True, help="p(z).")
@click.option(
    "--bound",
    default="elbo",
    metavar="NAME",
    show_default=True,
    help="What is made small: elbo; iwae, stl or dreg, with --samples.",
)
@click.option(
    "--free-bits",
    type=Finite(0),
    metavar="NATS",
    help="Of KL that cost nothing, for each image and latent dimension: --bound freebits:NATS.",
)
@click.option("--samples", type=click.IntRange(1), help="Draws of z an image, for iwae, stl, dreg.")
@click.option(
    "--binarize",
    type=click.Choice(["none", "threshold", "sampled"]),
    default="none",
    show_default=True,
    help="Pixels as they are, cut at 0.5, or drawn anew each epoch.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Of initial weights, order and noise: the same seed, the same run.",
)
@click.option("--threads", type=click.IntRange(1, 1024), help="Default: the cores available.")
@click.option(
    "--products",
    type=click.Choice(["numpy", "onednn"]),
    help="What multiplies matrices, and updates by Adam, on the CPU. Default: what is quicker; "
    "onednn: minivae[fast].",
)
@click.option(
    "--ranks",
    type=click.Choice(["mpi"]),
    help="Share every batch with the ranks that mpiexec has started, on any machines.",
)
@click.option(
    "--accumulate",
    type=click.IntRange(1),
    default=1,
    metavar="PIECES",
    show_default=True,
    help="Pass a batch in so many pieces, one after another, in the memory of one.",
)
@click.option(
    "--average-every",
    type=click.IntRange(1),
    default=1,
    metavar="STEPS",
    show_default=True,
    help="With --ranks, for slow networks: each rank trains on its rows alone, and all take the "
    "mean every so many steps. 1: every step's gradient is summed, as in one process.",
)
@click.option(
    "--checkpoint-every",
    "every",
    type=Every(),
    default="1",
    show_default=True,
    help="Epochs, or steps (500steps), between checkpoints.",
)
@click.option(
    "--snapshots",
    is_flag=True,
    help="Decode the same noise after every epoch: snapshots.gif. A resumed run goes on with it.",
)
@click.option("--out", type=PathName(), help="Run directory. Default: runs/DATA.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="NAME=A,B",
    help="A run for each value of an option, such as --set lr=1e-3,3e-4 --set beta=1,4: all that "
    "go together. Values with commas in them are parted by semicolons. The same command again "
    "goes on.",
)
@click.option(
    "--log",
    "logs",
    type=click.Choice(["jsonl", "tensorboard"]),
    multiple=True,
    help="Write each epoch's numbers into the run's directory for other programs too.",
)
@click.option("--resume", is_flag=True, help="Go on with the run that is there, as it was set.")
@click.option("--overwrite", is_flag=True, help="Replace the run that is there.")
@click.pass_context
def train(
    ctx: click.Context,
    data: str,
    image_size: str | None,
    colour: bool,
    scale: str | None,
    drop: tuple[str, ...],
    category: tuple[str, ...],
    backend: str,
    device: int | None,
    precision: str,
    epochs: int,
    batch_size: int,
    lr: float,
    optimizer: str,
    lr_schedule: str,
    clip: float | None,
    validation: float,
    early_stop: int | None,
    beta: float | str,
    hidden: tuple[int | str, ...],
    activation: str,
    norm: str,
    dropout: float,
    condition: str | None,
    latent: int,
    likelihood: str,
    posterior: str,
    prior: str,
    bound: str,
    samples: int | None,
    free_bits: float | None,
    binarize: str,
    seed: int,
    threads: int | None,
    products: str | None,
    ranks: str | None,
    accumulate: int,
    average_every: int,
    every: Any,
    snapshots: bool,
    sets: tuple[str, ...],
    logs: tuple[str, ...],
    out: Path | None,
    resume: bool,
    overwrite: bool,
) -> None:
    """Train a VAE and write checkpoint, history and pictures into a run directory."""
    from minivae.data import NAMES, load_data
    from minivae.data.tables import Table
    from minivae.parts import BOUNDS
    from minivae.runs import checkpoint
    from minivae.runs.directory import Cadence, RunDirectory
    from minivae.runs.logs import open_log
    from minivae.runs.snapshots import FILE, Snapshots, discard
    from minivae.training import Training
    from minivae.training.remarks import remarks
    from minivae.vae import VAE

    if sets:
        return train_grid(ctx)
    shared = None if ranks is None else open_ranks()
    quiet = shared is not None and shared.rank > 0
    with nullcontext() if shared is None else shared.together(say):
        if resume and overwrite:
            raise click.UsageError("--resume and --overwrite exclude each other")
        if accumulate > 1 and backend != "numpy":
            raise click.UsageError(
                "--accumulate is for --backend numpy: a GPU passes a batch whole"
            )
        if average_every > 1 and shared is None:
            raise click.UsageError("--average-every is for --ranks: one process has nobody to meet")
        if samples is not None and free_bits is not None:
            raise click.UsageError("--samples and --free-bits are settings of different bounds")
        if samples is not None:
            several = [one.kind for one in BOUNDS if "samples" in getattr(one, "settings", ())]
            if bound not in several:
                those = f"{', '.join(several[:-1])} or {several[-1]}"
                raise click.UsageError(f"--samples is for --bound {those}, not {bound}")
            ctx.params["bound"] = f"{bound}:{samples}"
        elif free_bits is not None:
            ctx.params["bound"] = f"freebits:{free_bits}"
        chosen = open_backend(backend, device, precision)
        if resume:
            folder, loaded = find_run(out, ctx)
        else:
            loaded = load_data(
                data,
                image_size=image_size,
                scale=scale,
                drop=drop,
                category=category,
                notice=None if quiet else say,
                colour=colour,
                share=(0, 1) if shared is None else (shared.rank, shared.size),
            )
            folder = out or Path("runs") / loaded.name
            if isinstance(loaded.units, Table):
                if snapshots:
                    raise click.UsageError("--snapshots are pictures, and a table has none")
                hidden, latent, batch_size, epochs, threads = for_table(ctx, len(loaded.train))
                if not _given(ctx, "every"):  # an epoch takes less time than a checkpoint
                    every = Cadence(max(1, epochs // 20))
            if loaded.units is not None and not _given(ctx, "likelihood"):
                likelihood = loaded.units.likelihood
            schedule = beta if isinstance(beta, str) else ""
            vae = VAE(
                *(loaded.train.shape[1], hidden, latent, 1.0 if schedule else beta, seed),
                backend=chosen,
                likelihood=likelihood,
                posterior=posterior,
                prior=prior,
                bound=ctx.params["bound"],
                image_shape=loaded.image_shape,
                activation=activation,
                norm=norm,
                dropout=dropout,
                condition=labels_of(loaded) if condition else (),
            )
            training = Training(
                vae,
                loaded,
                batch_size=batch_size,
                lr=lr,
                seed=seed,
                binarize=binarize,
                optimizer=optimizer,
                clip=clip,
                lr_schedule=lr_schedule,
                beta_schedule=schedule,
                validation=validation,
                early_stop=early_stop,
                average_every=average_every,
                accumulate=accumulate,
            )
            checkpoint.judge(vae)
            training.products = products
            training.source = data if data in NAMES else os.path.abspath(data)
        training = resumed(folder, loaded, chosen, ctx) if resume else training
        if shared is not None:
            training.ranks = shared
            shared.agree(facts(training))
            if quiet:  # files and terminal are rank 0's
                stop = lambda training: shared.any(False)  # noqa: E731
                deque(training.run(training.epochs or epochs, after_step=stop), maxlen=0)
                return
        opened = [open_log(kind, folder) for kind in logs]
        # Only now: an option that cannot be leaves no directory behind.
        with RunDirectory(folder, say, every, opened) as run:
            if resume:
                epochs, threads = training.epochs or epochs, training.threads
                run.write_history(training.history)
                say(f"resuming {shown(folder)} after epoch {training.epoch}, step {training.step}")
            elif run.checkpoint.exists() and not overwrite:
                raise MinivaeError(
                    f"{shown(folder)} holds a run already: continue it with --resume, replace it "
                    "with --overwrite, or choose another directory with --out"
                )
            else:
                # A new one takes the old one's place now: no history stands beside other numbers.
                if run.checkpoint.exists() and not run.save(training):
                    raise run.failed
                discard(folder)
                for line in remarks(training):
                    say(f"note: {line}")
            film = None
            if snapshots or (resume and (folder / FILE).exists()):
                film = Snapshots(folder, training, say)
            train_into(run, training, epochs, threads, film)
            if film is not None:
                draw_snapshots(folder, film, loaded.image_shape)
            if training.history:
                draw_pictures(folder, training)
                last = training.history[-1]
                if training.best_epoch:
                    say(
                        f"the validation {loaded.noun}s were explained best after epoch "
                        f"{training.best_epoch}: the parameters are those of then"
                    )
                loss = f"{last.test_loss:.2f} nats per {loaded.noun}"
                tell(f"test loss {loss}; results in {shown(folder)}")


def for_table(ctx: click.Context, rows: int) -> tuple[Any, ...]:
    """Return hidden, latent, batch size, epochs and threads: those given, or what suits a table.

    The epochs make STEPS steps, since a table may have few rows; in each row is little to compute,
    so that one process is quickest.
    """
    suits = {"hidden": (64, 32), "latent": 5, "batch_size": 64, "epochs": 0, "threads": 1}
    found = {name: ctx.params[name] if _given(ctx, name) else suits[name] for name in suits}
    found["epochs"] = found["epochs"] or max(20, -(-STEPS // -(-rows // found["batch_size"])))
    asked = " ".join(
        f"--{name.replace('_', '-')} {','.join(map(str, value)) if name == 'hidden' else value}"
        for name, value in found.items()
        if not _given(ctx, name)
    )
    if asked:
        say(f"for a table, since nothing else was asked for: {asked}")
    return tuple(found.values())


def train_into(run: Any, training: Any, epochs: int, threads: int | None, film: Any = None) -> None:
    """Train, writing checkpoints and snapshots as they fall due; answer interruptions, failures."""
    from minivae.training.crew import CrewError
    from minivae.training.remarks import collapsed

    training.notice = say
    progress, lost = Progress(training, epochs), None
    notice, run.notice = run.notice, lambda line: (progress.clear(), notice(line))

    def after_step(training: Any) -> bool:
        if interrupts.status is None:
            run.step(training)
            progress.step(training)
        stop = interrupts.status is not None
        return stop if training.ranks is None else training.ranks.any(stop)

    told = False
    with Interrupts() as interrupts:
        try:
            for record in training.run(epochs, threads=threads, after_step=after_step):
                progress.epoch(record)
                run.epoch(training)
                due = record.epoch in (max(2, epochs // 10), epochs)
                if due and not told and (line := collapsed(record, training.vae.bound)):
                    told = True
                    say(line)
                if film is not None:
                    film.take(training)
                if interrupts.status is not None and training.ranks is None:
                    break
        except NotFiniteError as error:
            kept = (
                f"; {shown(run.path)} keeps the last checkpoint" if run.checkpoint.exists() else ""
            )
            raise NotFiniteError(f"{error}{kept}") from None
        except (CrewError, DataError) as error:
            lost = error
        finally:
            progress.clear()
        folder = run.finish(training)
    again = f"minivae train --resume --out {shlex.quote(shown(folder))}"
    if lost is not None:
        raise MinivaeError(
            f"{lost}; epoch {training.epoch}, step {training.step} is saved: go on with {again}"
        )
    if interrupts.status is not None:
        say(f"stopped after epoch {training.epoch}, step {training.step}: go on with\n  {again}")
        raise SystemExit(interrupts.status)
    if folder != run.path:
        raise MinivaeError(
            f"{run.failed}: the trained model is in {shown(folder)} instead; its pictures are "
            f"drawn with {again}"
        )


def train_grid(ctx: click.Context) -> None:
    """Train a run for each choice of the values that --set names; those that are there go on."""
    from minivae.runs import checkpoint

    if ctx.params["ranks"]:
        raise click.UsageError("--set trains one run after another: it goes without --ranks")
    chosen = dict(_values(text, ctx) for text in ctx.params["sets"])
    base = ctx.params["out"] or Path("runs") / f"{Path(ctx.params['data']).stem}-grid"
    folders, failed = [], False
    for values in itertools.product(*chosen.values()):
        texts, settings = [text for text, _ in values], [value for _, value in values]
        folder = base / ",".join(map("=".join, zip(chosen, texts, strict=True)))
        folders.append(folder)
        there = (folder / checkpoint.FILE).exists() and not ctx.params["overwrite"]
        if there:
            epoch = checkpoint.read(folder).config.get("training", {}).get("epoch", 0)
            if epoch >= ctx.params["epochs"]:
                say(f"{shown(folder)} has its {epoch} epochs")
                continue
        say(f"{'going on with' if there else 'training'} {shown(folder)}")
        again = click.Context(ctx.command, parent=ctx.parent, info_name=ctx.info_name)
        for name in ctx.params:
            source = ctx.get_parameter_source(name)
            assert source is not None
            again.set_parameter_source(name, source)
        for name in chosen:
            again.set_parameter_source(name, click.core.ParameterSource.COMMANDLINE)
        again.params = {
            **{**ctx.params, **dict(zip(chosen, settings, strict=True))},
            **{"sets": (), "out": folder, "resume": there, "overwrite": not there},
        }
        try:
            with again:
                again.invoke(ctx.command.callback, **again.params)
        except MinivaeError as error:  # of this run: the others may do
            failed = True
            say(f"Error: {error}")
    show_compared(folders, base / "curves.png")
    raise SystemExit(failed)


def _values(text: str, ctx: click.Context) -> tuple[str, list[tuple[str, Any]]]:
    """Return an option's name and its values, each as it was written and as it is meant."""
    name, equals, rest = text.partition("=")
    name = name.strip().lstrip("-").replace("-", "_")
    options = {option.name: option for option in ctx.command.params}
    choice = (*FIXED, "lr", "samples", "free_bits")
    if not equals or name not in choice:
        why = f"{name!r} is none of {', '.join(choice)}: " if equals and name else ""
        raise click.UsageError(f"--set {text!r}: {why}give an option and values, lr=1e-3,3e-4")
    texts = [part.strip() for part in rest.split(";" if ";" in rest else ",")]
    return name, [(part, options[name].type_cast_value(ctx, part)) for part in texts]


def labels_of(data: Any) -> list[int]:
    """Return the labels that a model of these data is told: those of the training part, each once.

    Raises
    ------
    DataError
        If there are none.
    """
    from minivae.errors import DataError

    if data.train_labels is None:
        raise DataError(
            f"{shown(data.name)} has no labels, as --condition labels needs them: give x_train and "
            "y_train in an .npz"
        )
    return sorted(set(data.train_labels.tolist()))


def open_ranks() -> Any:
    """Return the ranks that mpiexec has started."""
    from minivae.training.ranks import Ranks

    return Ranks()


def facts(training: Any) -> dict[str, Any]:
    """Return what all ranks of a run must have in common."""
    from minivae import __version__
    from minivae.runs.claims import OPTIONS

    settings = ("batch_size", "seed", "binarize", "epoch", "step", "epochs", "accumulate", *OPTIONS)
    return {
        "version": __version__,
        "data": training.data.fingerprint,
        "model": training.vae.spec(),
        "learning rate": training.adam.lr,
        **{name.replace("_", " "): getattr(training, name) for name in settings},
    }


def find_run(out: Path | None, ctx: click.Context) -> tuple[Path, Any]:
    """Return the directory of the run to resume and its data, by default those it was begun on."""
    from minivae.cli.common import load_run_data
    from minivae.data import load_data
    from minivae.runs import checkpoint

    data, size, colour = (ctx.params[name] for name in ("data", "image_size", "colour"))
    if out is None:
        options = {name: ctx.params[name] for name in ("scale", "drop", "category", "colour")}
        loaded = load_data(data, image_size=size, **options, notice=say)
        folder = Path("runs") / loaded.name
        saved = checkpoint.read(folder)  # says if there is none, before a directory is made
        return folder, loaded if saved.units is None else load_run_data(saved, data, size)
    data = data if _given(ctx, "data") else None
    return out, load_run_data(checkpoint.read(out), data, size, colour)


def resumed(folder: Path, loaded: Any, backend: Any, ctx: click.Context) -> Any:
    """Return the training to go on with; what was asked for now must be what it was begun with."""
    from minivae.runs import checkpoint
    from minivae.training.crew import available_cores

    training = checkpoint.resume(folder, loaded, backend)
    asked = {name: ctx.params[name] for name in FIXED if _given(ctx, name)}
    if "batch_size" in asked:
        asked["batch_size"] = min(asked["batch_size"], training.images)
    begun = {**training.vae.spec(), **vars(training)}
    begun["condition"] = "labels" if training.vae.condition else None
    begun["beta"] = training.beta_schedule or training.vae.beta
    for name, value in asked.items():
        known = begun[name]
        if value != known:
            option = "--" + name.replace("_", "-")
            both = [",".join(map(str, v)) if name == "hidden" else v for v in (known, value)]
            raise MinivaeError(
                f"{shown(folder)} was begun with {option} {both[0]}, not {both[1]}: leave {option} "
                "out, or begin another run with --out"
            )
    if _given(ctx, "lr"):
        training.adam.lr = ctx.params["lr"]
    if training.threads is not None:  # it may have been another machine's number
        training.threads = min(training.threads, available_cores())
    for name in ("epochs", "threads", "products", "accumulate"):
        if _given(ctx, name):
            setattr(training, name, ctx.params[name])
    return training


def _given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT


def draw_snapshots(folder: Path, film: Any, shape: tuple[int, int]) -> None:
    """Write the animation of a run's snapshots."""
    from minivae.looking import plots
    from minivae.runs.snapshots import PICTURE

    titles = [f"after epoch {epoch}" if epoch else "before training" for epoch in film.epochs]
    frames = [frame / 255 for frame in film.frames]
    plots.save_animation(folder / PICTURE, frames, titles, shape, 8)


def draw_pictures(folder: Path, training: Any) -> None:
    """Write the pictures of a run: of a table, loss and latent space alone."""
    from minivae.data.tables import Table
    from minivae.looking import plots

    vae, data, units = training.vae, training.data, training.data.units
    plots.save_loss(folder / "loss.png", training.history)
    if not isinstance(units, Table):
        x, given = data.pixels(rows=slice(32)), of_images(vae, data, slice(32))
        pair, shape = (drawn(x, units), drawn(given.reconstruct(x), units)), data.image_shape
        plots.save_grid(folder / "samples.png", drawn(vae.in_turn(64).sample(64), units), shape, 8)
        plots.save_pairs(folder / "reconstructions.png", *pair, shape, 8)
    given = of_images(vae, data, slice(10_000))
    mu, _ = given.encode(data.pixels(rows=slice(10_000)))
    labels = data.test_labels
    plots.save_latent(folder / "latent.png", mu, None if labels is None else labels[: len(mu)])
