"""The diagram as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from archlab import files
from archlab.errors import InputError
from archlab.records import Trace
from archlab.reports.diagram.drawing import standalone
from archlab.reports.diagram.page import document, render
from archlab.reports.diagram.views import Depth, opened, view

FORMATS = (".svg", ".html", ".png")


def save(
    path: str | Path,
    trace: Trace,
    *,
    only: str | None = None,
    depth: Depth = "auto",
    colour: str = "kind",
    direction: str = "",
) -> Path:
    """The path of the file that the diagram was written to: `.svg`, `.html` or `.png`, by its ending.

    The HTML file opens and closes its blocks, and has the shape table beside them; an SVG or PNG file shows those of
    `depth` open. A PNG is twice as
    large as the drawing, and needs Chromium or Chrome.

    Args:
        path: where to.
        trace: what is drawn.
        only: the path of the layer that is drawn instead of the whole network.
        depth: blocks above it are open; None opens all, and `auto` what is worth seeing.
        colour: what the colours say: `kind`, `parameters`, `macs`, `saved`, `receptive-field` or `time`.
        direction: `down` for one column, `columns` for as many as fill a page best; by itself `down` in an HTML file,
            which scrolls, and `columns` else.

    Raises:
        InputError: the ending, the path of the layer or the colouring is unknown, the folder is missing, or there is
            no browser for a PNG.
        StoreError: the file can't be written.
    """
    target = Path(path)
    ending = target.suffix.lower()
    if ending not in FORMATS:
        raise InputError(f"{target} has an ending that the diagram can't be written as; expected {', '.join(FORMATS)}")
    choices: dict[str, Any] = {"only": only, "depth": depth, "colour": colour}
    choices["direction"] = direction or ("down" if ending == ".html" else "columns")
    text = document(render(trace, **choices), trace) if ending == ".html" else svg(trace, **choices)
    if ending != ".png":
        return files.save(target, text)
    from archlab.reports.diagram.picture import png

    return files.save(target, png(text))


def svg(
    trace: Trace,
    *,
    only: str | None = None,
    depth: Depth = "auto",
    colour: str = "kind",
    direction: str = "columns",
) -> str:
    """The diagram as the text of an SVG file; arguments and errors as `save` has them.

    >>> from archlab.records import Layer, Totals
    >>> layer = Layer("fc", "Linear", 1, ((1, 4),), ((1, 2),), 10, 8, inputs=(-1,))
    >>> svg(Trace("tiny", ((1, 4),), (layer,), Totals(10, 10, 0, 8, 16)))[:4]
    '<svg'
    """
    shown = view(trace, only)
    scene = shown.scene(opened(shown.root, depth), direction)
    return standalone(scene, shown.colours(colour), shown.title, shown.description, shown.failure)
