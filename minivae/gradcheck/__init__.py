"""Checks derivatives written by hand, of any layer, and says what is wrong with a wrong one.

Only names are gathered here; check.py tells how a check goes.
"""

from minivae.gradcheck.check import assert_gradients, check, check_function
from minivae.gradcheck.contracts import check_contracts
from minivae.gradcheck.derivatives import check_second, hessian_vector, jacobian
from minivae.gradcheck.law import Contract, Contracts
from minivae.gradcheck.report import Entry, GradcheckError, Report

__all__ = [
    "Contract",
    "Contracts",
    "Entry",
    "GradcheckError",
    "Report",
    "assert_gradients",
    "check",
    "check_contracts",
    "check_function",
    "check_second",
    "hessian_vector",
    "jacobian",
]
