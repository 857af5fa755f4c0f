"""Arrays to pictures: figures, or files written; the only package that knows matplotlib.

Which arrays are worth a picture, and where the files go, is decided by the callers.
"""

from minivae.looking.plots.animation import save_animation
from minivae.looking.plots.jacobian import save_jacobian
from minivae.looking.plots.pictures import (
    curves,
    dots,
    grid,
    latent,
    loss,
    reconstructions,
    samples,
    save_figure,
    save_grid,
    save_latent,
    save_loss,
    save_pairs,
)
from minivae.looking.plots.step import save_step
from minivae.looking.plots.valley import save_valley
from minivae.looking.plots.walks import save_manifold, save_traverse

__all__ = [
    "curves",
    "dots",
    "grid",
    "latent",
    "loss",
    "reconstructions",
    "samples",
    "save_animation",
    "save_figure",
    "save_grid",
    "save_jacobian",
    "save_latent",
    "save_loss",
    "save_manifold",
    "save_pairs",
    "save_step",
    "save_traverse",
    "save_valley",
]
