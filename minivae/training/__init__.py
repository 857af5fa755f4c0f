"""Training: the loop, the steps of an epoch, and who computes which part of a step.

Only names are gathered here; loop.py tells how a run goes.
"""

from minivae.training.evaluation import evaluate, log_likelihood
from minivae.training.history import History, Record
from minivae.training.loop import Training
from minivae.training.session import Epochs, train

__all__ = ["Epochs", "History", "Record", "Training", "evaluate", "log_likelihood", "train"]
