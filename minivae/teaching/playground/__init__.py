"""Pages to play with: a small VAE that trains in the browser, and one step of a tiny one.

The model in JavaScript is that of looking/explore; here are data, faults, checks and the page.
"""

from minivae.teaching.playground.page import digits, play_page, step_page

__all__ = ["digits", "play_page", "step_page"]
