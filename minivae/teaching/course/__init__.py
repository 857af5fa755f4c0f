"""A course of five days: files that differ by student, marks for what comes back, plan and rubrics.

The exercises and their verdicts are in teaching/exercises; the commands in cli/course.py.
"""
