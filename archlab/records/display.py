"""A record that shows itself: as a table, printed and in a notebook, though records import nothing that draws.

Tables are made of records, so `archlab.tables` imports this room and never the other way round. Still a notebook shows
a trace that was the only thing imported:

    from archlab import Trace
    Trace.read("trace.json")     # IPython calls _repr_html_(), which asks archlab for what draws

So records ask the package's front, `archlab/__init__.py`, which knows every room and loads the one that draws,
`archlab.tables.display`, when somebody looks for the first time. A record that derives from `Shown` or `Displayed` has
a line there, or is shown field by field.
"""

from __future__ import annotations

from typing import Any

import archlab
from archlab.records.document import Document


class Shown:
    """Mixed into a record: `print` and a notebook show it as `archlab.tables.display` draws it; `repr` stays."""

    __slots__ = ()

    def _drawn(self) -> object:
        """The record that is drawn: itself, or one that says the same as data."""
        return self

    def __str__(self) -> str:
        """The record as tables of text."""
        text: str = drawing().text(self._drawn())
        return text

    def _repr_html_(self) -> str:
        """The record as HTML, by the protocol of IPython and Jupyter."""
        html: str = drawing().html(self._drawn())
        return html

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """The record as text for IPython, which asks for HTML too; inside a list or the like it shows the `repr`."""
        return {"text/plain": str(self)}


class Displayed(Shown, Document):
    """A document that shows itself."""

    __slots__ = ()


def drawing() -> Any:
    """The module that draws records, with a function for each form that they are shown in."""
    return archlab._drawing
