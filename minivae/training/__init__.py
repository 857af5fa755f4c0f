"""Training: the loop, the steps of an epoch, and who computes which part of a step.

Only names are gathered here; loop.py tells how a run goes.
"""

from minivae.training.loop import Record, Training, evaluate, train

__all__ = ["Record", "Training", "evaluate", "train"]
