"""Exercises: files with blanks to fill, and what tells a student whether they are filled rightly.

The tasks are in catalogue.py and tasks/, the checks in trials.py, the verdicts in verdict.py; the
commands that a student types are in cli/exercise.py.
"""
