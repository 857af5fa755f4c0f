"""Arrays to pictures, each function writing one file; the only package that knows matplotlib.

Which arrays are worth a picture, and where the files go, is decided by the callers.
"""

from minivae.looking.plots.animation import save_animation
from minivae.looking.plots.jacobian import save_jacobian
from minivae.looking.plots.pictures import save_grid, save_latent, save_loss, save_pairs
from minivae.looking.plots.step import save_step
from minivae.looking.plots.valley import save_valley
from minivae.looking.plots.walks import save_manifold, save_traverse

__all__ = [
    "save_animation",
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
