"""What all tests share: Hypothesis draws the same examples in every run."""

from hypothesis import settings

settings.register_profile("minivae", deadline=None, max_examples=30, derandomize=True)
settings.load_profile("minivae")
