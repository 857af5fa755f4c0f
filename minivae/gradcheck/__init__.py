"""Checks derivatives written by hand, of any layer, and says what is wrong with a wrong one.

Only names are gathered here; check.py tells how a check goes.
"""

from minivae.gradcheck.check import assert_gradients, check, check_function
from minivae.gradcheck.report import Entry, GradcheckError, Report

__all__ = [
    "Entry",
    "GradcheckError",
    "Report",
    "assert_gradients",
    "check",
    "check_function",
]
