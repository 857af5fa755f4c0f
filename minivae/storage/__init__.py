"""Bytes on a disk: files written whole, locks, arrays read without trust, sealed checkpoints.

What the bytes mean is for the wings above.
"""
