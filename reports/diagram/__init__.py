"""The architecture diagram, drawn from a trace alone.

`save` writes it to a file, `render` gives it as a part of a page, `svg` as text. `save_pair` and `render_pair` do so
for two networks side by side.
"""

from archlab.reports.diagram.page import Fragment, embedded_data, render
from archlab.reports.diagram.pair import pair_html, render_pair, save_pair
from archlab.reports.diagram.saving import save, svg

__all__ = ["Fragment", "embedded_data", "pair_html", "render", "render_pair", "save", "save_pair", "svg"]
