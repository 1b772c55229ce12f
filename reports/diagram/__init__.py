"""The architecture diagram, drawn from a trace alone.

`save` writes it to a file, `render` gives it as a part of a page, `svg` as text.
"""

from archlab.reports.diagram.page import Fragment, embedded_data, render
from archlab.reports.diagram.saving import save, svg

__all__ = ["Fragment", "embedded_data", "render", "save", "svg"]
