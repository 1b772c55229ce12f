"""A record that shows itself: as a table in a notebook, though records import nothing that draws.

Tables are made of records, so `archlab.tables` imports this room and never the other way round. Still a notebook shows
a trace that was the only thing imported:

    from archlab import Trace
    Trace.read("trace.json")     # IPython calls _repr_html_(), which asks archlab for what draws

So records ask the package's front, `archlab/__init__.py`, which knows every room and loads the one that draws,
`archlab.tables.display`, when somebody looks for the first time. A class that derives from `Displayed` has an
implementation of `html` there.
"""

from __future__ import annotations

from typing import Any

import archlab
from archlab.records.document import Document


class Displayed(Document):
    """A document that a notebook shows as `archlab.tables.display.html` draws it."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        """The record as HTML, by the protocol of IPython and Jupyter."""
        html: str = drawing().html(self)
        return html


def drawing() -> Any:
    """The module that draws records, with a function for each form that they are shown in."""
    return archlab._drawing
