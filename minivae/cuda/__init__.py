"""The CUDA half of minivae: kernels, their launches, and the epoch that stays on the device.

Only minivae.backend imports from here, and only when CuPy is asked for.
"""
