"""Networks: from what a user writes down, (256, 128), to the layers of encoder and decoder.

dense.py knows the layers of widths alone; what a layer computes is for layers.py and its kin.
"""

from minivae.networks.dense import build

__all__ = ["build"]
