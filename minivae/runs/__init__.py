"""A run on the disk: its checkpoint, its directory, its snapshots; nothing in them is believed.

How a file is written and read safely is for storage/.
"""
