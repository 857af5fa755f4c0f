"""What all tests share: Hypothesis draws the same examples in every run; bench/ can be imported."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.append(str(Path(__file__).parents[1]))  # last: minivae is the one that is installed

settings.register_profile("minivae", deadline=None, max_examples=30, derandomize=True)
settings.load_profile("minivae")
