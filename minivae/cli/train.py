"""The command `minivae train`: a run from its options to its pictures.

The loop is training.py's; here a run directory is chosen, progress shown, and results written.
"""

from __future__ import annotations

import csv
import io
import sys
import time
from pathlib import Path
from typing import Any

import click

from minivae.cli.common import Widths, backend_option, image_size_option, say
from minivae.errors import MinivaeError


@click.command()
@click.option(
    "--data",
    default="mnist",
    metavar="NAME|PATH",
    show_default=True,
    help="mnist, fashion-mnist, a folder (IDX files or pictures), .npz or .npy.",
)
@image_size_option
@backend_option
@click.option("--epochs", type=click.IntRange(1), default=50, show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=128, show_default=True)
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=1e-3, show_default=True)
@click.option("--beta", type=click.FloatRange(0), default=1.0, show_default=True)
@click.option("--hidden", type=Widths(), default="256,128", show_default=True)
@click.option("--latent", type=click.IntRange(1), default=20, show_default=True)
@click.option(
    "--binarize",
    type=click.Choice(["none", "threshold", "sampled"]),
    default="none",
    show_default=True,
    help="Pixels as they are, cut at 0.5, or drawn anew each epoch.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--threads", type=click.IntRange(1), help="Default: the cores available.")
@click.option("--out", type=click.Path(path_type=Path), help="Run directory. Default: runs/DATA.")
@click.option("--resume", is_flag=True, help="Go on with the run that is there.")
@click.option("--overwrite", is_flag=True, help="Replace the run that is there.")
def train(
    data: str,
    image_size: str | None,
    backend: str,
    epochs: int,
    batch_size: int,
    lr: float,
    beta: float,
    hidden: tuple[int, ...],
    latent: int,
    binarize: str,
    seed: int,
    threads: int | None,
    out: Path | None,
    resume: bool,
    overwrite: bool,
) -> None:
    """Train a VAE and write checkpoint, history and pictures into a run directory."""
    from minivae import checkpoint
    from minivae.backend import get_backend
    from minivae.data import load_data
    from minivae.training import Training
    from minivae.vae import VAE

    if resume and overwrite:
        raise click.UsageError("--resume and --overwrite exclude each other")
    device = get_backend(backend)
    loaded = load_data(data, image_size=image_size, notice=say)
    folder = out or Path("runs") / loaded.name
    existing = folder / checkpoint.FILE
    if existing.exists() and not (resume or overwrite):
        raise MinivaeError(
            f"{folder} holds a run already: continue it with --resume, replace it with "
            "--overwrite, or choose another directory with --out"
        )
    if resume:
        training = checkpoint.resume(folder, loaded, device)
        say(f"resuming {folder} after epoch {training.epoch}")
    else:
        vae = VAE(loaded.train.shape[1], hidden, latent, beta, seed, backend=device)
        training = Training(vae, loaded, batch_size=batch_size, lr=lr, seed=seed, binarize=binarize)
    progress = Progress(training, epochs)
    for record in training.run(epochs, threads=threads, after_step=progress.step):
        progress.epoch(record)
        checkpoint.save(existing, training.vae, training)
        write_history(folder / "history.csv", training.history)
    if training.history:
        draw_pictures(folder, training)
        last = training.history[-1]
        click.echo(f"test loss {last.test_loss:.2f} nats per image; results in {folder}")


class Progress:
    """A bar with the loss and the remaining time on a terminal; one line an epoch otherwise."""

    def __init__(self, training: Any, epochs: int) -> None:
        self.training, self.epochs = training, epochs
        self.bar = sys.stderr.isatty()
        self.start, self.drawn = time.perf_counter(), 0.0
        self.first = training.epoch * training.steps_per_epoch + training.step

    def step(self, training: Any) -> None:
        """Redraw the bar, ten times a second."""
        now = time.perf_counter()
        if not self.bar or now - self.drawn < 0.1:
            return
        self.drawn = now
        done = training.epoch * training.steps_per_epoch + training.step
        total = self.epochs * training.steps_per_epoch
        left = (total - done) * (now - self.start) / max(1, done - self.first)
        width = 24
        filled = width * training.step // training.steps_per_epoch
        loss = f"test loss {training.history[-1].test_loss:.2f}" if training.history else ""
        click.echo(
            f"\r\033[Kepoch {training.epoch + 1}/{self.epochs} "
            f"[{'#' * filled}{'.' * (width - filled)}] {_clock(left)} left  {loss}",
            nl=False,
            err=True,
        )

    def epoch(self, record: Any) -> None:
        """Print what an epoch gave."""
        if self.bar:
            click.echo("\r\033[K", nl=False, err=True)
        say(
            f"epoch {record.epoch}/{self.epochs}  train {record.train_loss:.2f}  "
            f"test {record.test_loss:.2f} (nll {record.test_nll:.2f}, kl {record.test_kl:.2f})  "
            f"{record.seconds:.2f} s  {record.images_per_second:,.0f} images/s"
        )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"


def write_history(path: Path, history: list[Any]) -> None:
    """Write one line an epoch as comma-separated values, under a line of names."""
    from minivae.files import replacing

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(history[0]._fields)
    writer.writerows(history)
    with replacing(path) as file:
        file.write(text.getvalue().encode())


def draw_pictures(folder: Path, training: Any) -> None:
    """Write the four pictures of a run."""
    import numpy as np

    from minivae import plots
    from minivae.data import gather

    vae, data = training.vae, training.data

    def pixels(n: int) -> Any:
        out = np.empty((n, vae.pixels), vae.dtype)
        return gather(data.test, np.arange(n), out)

    x = pixels(min(32, len(data.test)))
    plots.save_loss(folder / "loss.png", training.history)
    plots.save_grid(folder / "samples.png", vae.sample(64), data.image_shape, 8)
    plots.save_pairs(folder / "reconstructions.png", x, vae.reconstruct(x), data.image_shape, 8)
    mu, _ = vae.encode(pixels(min(10_000, len(data.test))))
    labels = data.test_labels
    plots.save_latent(folder / "latent.png", mu, None if labels is None else labels[: len(mu)])
