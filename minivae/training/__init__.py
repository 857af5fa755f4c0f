"""Training: the loop, the steps of an epoch, and who computes which part of a step.

Only names are gathered here; loop.py tells how a run goes.
"""

from minivae.training.evaluation import evaluate, log_likelihood
from minivae.training.loop import Record, Training, train

__all__ = ["Record", "Training", "evaluate", "log_likelihood", "train"]
