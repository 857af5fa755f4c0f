"""The gallery: layers with one planted fault each, and what the checker must call it.

run.py runs it; the faults are listed in faults.py and written in linear.py, other.py and vae.py.
"""
