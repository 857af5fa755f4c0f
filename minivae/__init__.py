"""minivae: variational autoencoders trained with derivatives written by hand."""

__version__ = "0.1.0"
