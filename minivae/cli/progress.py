"""How far a training has come, on standard error.

What is trained, and when, is decided elsewhere: this only looks and prints.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any

import click

from minivae.cli.common import say


class Progress:
    """A bar with the loss and the remaining time on a terminal; a line an epoch, of many some."""

    def __init__(self, training: Any, epochs: int) -> None:
        self.training, self.epochs = training, epochs
        self.bar = sys.stderr is not None and sys.stderr.isatty()
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
        self._draw(
            f"\r\033[Kepoch {training.epoch + 1}/{self.epochs} "
            f"[{'#' * filled}{'.' * (width - filled)}] {_clock(left)} left  {loss}"
        )

    def epoch(self, record: Any) -> None:
        """Print what an epoch gave: of more than 100 the first three and some fifty."""
        every = self.epochs // 50 if self.epochs > 100 else 1
        if record.epoch % every and 3 < record.epoch < self.epochs:
            return
        self.clear()
        held = self.training.validation_loss
        held = "" if held is None else f"validation {held:.2f}  "
        say(
            f"epoch {record.epoch}/{self.epochs}  train {record.train_loss:.2f}  {held}"
            f"test {record.test_loss:.2f} (nll {record.test_nll:.2f}, kl {record.test_kl:.2f})  "
            f"{record.seconds:.2f} s  {record.images_per_second:,.0f} {self.training.data.noun}s/s"
        )

    def clear(self) -> None:
        """Make the bar's line free for other messages."""
        if self.bar:
            self._draw("\r\033[K")

    def _draw(self, text: str) -> None:
        with suppress(OSError):  # the terminal may have gone away
            click.echo(text, nl=False, err=True)


class Count:
    """How many of some things are done: a line redrawn on a terminal, else one in 30 seconds."""

    def __init__(self, what: str) -> None:
        self.what, self.start, self.drawn = what, time.perf_counter(), time.perf_counter()
        self.bar = sys.stderr is not None and sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        """Print how far it has come, if it is time to."""
        now = time.perf_counter()
        if now - self.drawn < (0.1 if self.bar else 30):
            return
        self.drawn = now
        line = f"{done:,} of {total:,} {self.what}"
        if not self.bar:
            return say(line)
        left = (total - done) * (now - self.start) / done
        with suppress(OSError):
            click.echo(f"\r\033[K{line}, {_clock(left)} left", nl=False, err=True)

    def __enter__(self) -> Count:
        """Return this."""
        return self

    def __exit__(self, *_: Any) -> None:
        """Make the line free for the result."""
        if self.bar:
            with suppress(OSError):
                click.echo("\r\033[K", nl=False, err=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
