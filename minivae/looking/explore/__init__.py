"""The explorer: a page that runs a model in the browser.

Only names are gathered here; page.py packs the page, the JavaScript beside it runs it.
"""

from minivae.looking.explore.page import explore_page

__all__ = ["explore_page"]
