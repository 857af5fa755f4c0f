"""The lessons as a site that works without a network, and as notebooks.

The lessons themselves are Markdown in lessons/; here they are turned into pages.
"""

from minivae.teaching.book.site import book, notebooks

__all__ = ["book", "notebooks"]
