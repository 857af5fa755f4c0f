"""Data sets: where they lie, how their pixels are read, and the parts to train and test on.

Only names are gathered here; dataset.py tells what a data set is.
"""

from minivae.data.dataset import Dataset, load_data, parse_size
from minivae.data.pixels import BINARIZE, RowSubset, Source, gather, to_pixels
from minivae.data.sources import NAMES

__all__ = [
    "BINARIZE",
    "NAMES",
    "Dataset",
    "RowSubset",
    "Source",
    "gather",
    "load_data",
    "parse_size",
    "to_pixels",
]
