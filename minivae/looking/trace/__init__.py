"""One training step of the real engine, watched: every array, what made it, and each gradient.

`trace_step` takes the step, report.py writes it as text, page.py as HTML; a picture of it is for
plots.
"""

from minivae.looking.trace.page import trace_page
from minivae.looking.trace.report import trace_text
from minivae.looking.trace.steps import Trace, tiny, trace_step
from minivae.looking.trace.writer import Check, Made

__all__ = ["Check", "Made", "Trace", "tiny", "trace_page", "trace_step", "trace_text"]
