"""Networks: from what a user writes down, "c32,c64,256", to the layers of encoder and decoder.

plan.py reads what is written; the other files own the layers, each forward with its backward under
it. Every layer stands in the list, and what is listed is tested.
"""

from minivae.networks.activations import ELU, GELU, LeakyReLU, PReLU, SiLU, Softplus
from minivae.networks.convolution import Conv2d, ConvTranspose2d
from minivae.networks.dropout import Dropout, dropout_mask
from minivae.networks.labels import Label, tell
from minivae.networks.normalisation import BatchNorm, GroupNorm, LayerNorm, learning
from minivae.networks.plan import build, parse, picture
from minivae.networks.planes import Planes
from minivae.networks.pooling import AvgPool2d, MaxPool2d, Upsample
from minivae.networks.residual import Residual

LAYERS = (
    *(Conv2d, ConvTranspose2d, Residual, GroupNorm, LayerNorm, BatchNorm),
    *(AvgPool2d, MaxPool2d, Upsample, Planes, Label, Dropout),
    *(LeakyReLU, SiLU, GELU, ELU, Softplus, PReLU),
)

__all__ = [
    "LAYERS",
    "build",
    "dropout_mask",
    "learning",
    "parse",
    "picture",
    "tell",
    *(layer.__name__ for layer in LAYERS),
]
