"""Arrays to pictures, each function writing one file; the only package that knows matplotlib.

Which arrays are worth a picture, and where the files go, is decided by the callers.
"""

from minivae.plots.animation import save_animation
from minivae.plots.pictures import save_grid, save_latent, save_loss, save_pairs
from minivae.plots.step import save_step
from minivae.plots.valley import save_valley
from minivae.plots.walks import save_manifold, save_traverse

__all__ = [
    "save_animation",
    "save_grid",
    "save_latent",
    "save_loss",
    "save_manifold",
    "save_pairs",
    "save_step",
    "save_traverse",
    "save_valley",
]
