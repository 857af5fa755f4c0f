"""One page that trains a small VAE in the browser, on small digits and on points of a plane.

The model in JavaScript is that of looking/explore; here are data, faults, checks and the page.
"""

from minivae.teaching.playground.page import digits, play_page

__all__ = ["digits", "play_page"]
