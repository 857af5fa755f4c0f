"""Networks: from what a user writes down, "c32,c64,256", to the layers of encoder and decoder.

plan.py reads what is written; the other files own the layers, each forward with its backward under
it. Every layer stands in the list, and what is listed is tested.
"""

from minivae.networks.convolution import Conv2d, ConvTranspose2d
from minivae.networks.plan import build, parse, picture
from minivae.networks.planes import Planes

LAYERS = (Conv2d, ConvTranspose2d, Planes)

__all__ = ["LAYERS", "build", "parse", "picture", *(layer.__name__ for layer in LAYERS)]
