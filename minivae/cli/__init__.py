"""The command line: parse, call one function, print; one module for each family of commands.

Nothing is imported before a command needs it, so that `minivae --help` is quick.
"""

from __future__ import annotations

import click

from minivae import __version__
from minivae.cli.common import Commands, Lazy

__all__ = ["main"]

# By name: its module in this folder, and the first sentence of its help.
COMMANDS = {
    "train": (
        "train",
        "Train a VAE and write checkpoint, history and pictures into a run directory.",
    ),
    "evaluate": ("use", "Print a model's loss on a data set, with the conditions of the number."),
    "compare": (
        "compare",
        "Lay RUNS side by side: the settings in which they differ, and their losses.",
    ),
    "sample": (
        "use",
        "Draw z from the prior and write what it decodes to, as a picture or in the data's units.",
    ),
    "reconstruct": ("use", "Write test images with their reconstructions below them as a picture."),
    "interpolate": (
        "use",
        "Walk in latent space from one test image to another, a row for each pair.",
    ),
    "encode": (
        "use",
        "Write mu and log variance of every image, its row in the data, and its label, to an .npz.",
    ),
    "anomalies": (
        "jobs",
        "Score each row by how improbable it is, and name the columns that weigh most.",
    ),
    "impute": ("jobs", "Fill what is missing in a table with what the model expects there."),
    "similar": ("jobs", "Find the rows that lie nearest to one in latent space."),
    "combine": ("jobs", "Add and take away rows in latent space: --plus 3 --minus 7 --plus 9."),
    "export": (
        "export",
        "Write a model for those who have no minivae: PyTorch, ONNX, safetensors, NumPy, a page.",
    ),
    "trace": ("explain", "Show one training step: every array, what made it, and the way back."),
    "explore": (
        "explain",
        "Write a page that runs the model in a browser: drag, draw, and look between images.",
    ),
    "traverse": (
        "explain",
        "Draw what each unit does: a row from z = -3 to 3, with all other units at 0.",
    ),
    "manifold": ("explain", "Draw the whole plane of a model with two latent dimensions."),
    "learn": ("learn", "Write the lessons as pages with live figures, and open them."),
    "play": (
        "learn",
        "Write a page that trains a VAE while you watch: set it, break it, find what is broken.",
    ),
    "exercise": (
        "exercise",
        "Write the derivatives yourself: 27 exercises, each checked and its faults named.",
    ),
    "course": (
        "course",
        "Teach a class: hand out exercises that differ by student, and mark what comes back.",
    ),
    "gradcheck": (
        "gradcheck",
        "Compare gradients with numeric derivatives, and say what is wrong with wrong ones.",
    ),
    "info": ("use", "Say what a run holds; without RUN, what this machine offers."),
    "check": ("use", "Say whether a run is whole: its files, and the data that it was trained on."),
}


@click.group(
    cls=Commands, commands=Lazy(COMMANDS), context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="minivae")
def main() -> None:
    """Variational autoencoders trained with derivatives written by hand.

    Begin with `minivae train`: it learns MNIST, which comes with the package.
    RUN is a run directory, such as runs/mnist, or a checkpoint file.
    """
