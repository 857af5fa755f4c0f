"""The command line: parse, call one function, print; one module for each family of commands.

Nothing heavy is imported before a command needs it, so that `minivae --help` is quick.
"""

from __future__ import annotations

import click

from minivae import __version__
from minivae.cli.common import Commands
from minivae.cli.compare import compare
from minivae.cli.course import course
from minivae.cli.exercise import exercise
from minivae.cli.explain import explore, manifold, trace, traverse
from minivae.cli.export import export
from minivae.cli.gradcheck import gradcheck
from minivae.cli.jobs import anomalies, combine, impute, similar
from minivae.cli.learn import learn, play
from minivae.cli.train import train
from minivae.cli.use import check, encode, evaluate, info, interpolate, reconstruct, sample

__all__ = ["main"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="minivae")
def main() -> None:
    """Variational autoencoders trained with derivatives written by hand.

    Begin with `minivae train`: it learns MNIST, which comes with the package.
    RUN is a run directory, such as runs/mnist, or a checkpoint file.
    """


for command in (
    train,
    evaluate,
    compare,
    sample,
    reconstruct,
    interpolate,
    encode,
    anomalies,
    impute,
    similar,
    combine,
    export,
    trace,
    explore,
    traverse,
    manifold,
    learn,
    play,
    exercise,
    course,
    gradcheck,
    info,
    check,
):
    main.add_command(command)
