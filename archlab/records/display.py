"""A record that shows itself: as a table in a notebook, though records import nothing that draws.

Tables are made of records, so `archlab.tables` imports this room and never the other way round. Still a notebook shows
a trace that was the only thing imported:

    from archlab import Trace
    Trace.read("trace.json")     # IPython calls _repr_html_(), which loads archlab.tables.display and asks its `html`

So the drawing room is loaded by its name, here alone, when somebody looks for the first time. A class that derives
from `Displayed` has an implementation of `html` there.
"""

from __future__ import annotations

import importlib
from typing import Any

from archlab.records.document import Document


class Displayed(Document):
    """A document that a notebook shows as `archlab.tables.display.html` draws it."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        """The record as HTML, by the protocol of IPython and Jupyter."""
        html: str = drawing().html(self)
        return html


def drawing() -> Any:
    """The module `archlab.tables.display`, with a function for each form that a record is shown in."""
    return importlib.import_module("archlab.tables.display")
