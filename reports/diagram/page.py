"""The diagram as a part of a page, and as a page of its own.

A fragment needs on its page: assets/diagram.css, `resources.diagram_script()` and a call of `startDiagrams()`, and its
data as `<script type="application/json" data-diagram-data="IDENTIFIER">` (`embedded_data`). Rows of a shape table that
carry `data-path` are found by the diagram, within the nearest element around the figure with `data-trace`, else in the
whole document. Going to a row dispatches `archlab:show-row` (cancelable, detail `path` and `diagram`) on the figure; an
event `archlab:show-node` on the document (detail `path`, and `diagram` where there are several) goes the other way, as
does a click into the first cell of such a row.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape
from typing import Any

from archlab.records import Trace
from archlab.reports import resources, templating
from archlab.reports.diagram.colour import COLOURS, TITLES
from archlab.reports.diagram.data import script_data
from archlab.reports.diagram.drawing import embedded
from archlab.reports.diagram.views import down_to, view
from archlab.reports.text import visible


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a page: its HTML, and the data that the page's script draws it from."""

    html: str
    data: dict[str, Any]
    title: str
    """What it shows, as plain text."""
    failure: str = ""
    """Where and why the forward pass failed, as plain text."""


def render(
    trace: Trace,
    *,
    identifier: str = "diagram",
    only: str | None = None,
    depth: int | None = 1,
    colour: str = "kind",
) -> Fragment:
    """The diagram as a part of a page; drawn already, so that it shows without a script.

    Args:
        trace: what is drawn.
        identifier: tells the diagrams of a page apart.
        only: the path of the layer that is drawn instead of the whole network.
        depth: blocks above it are open at first; None opens all.
        colour: what the colours say at first: `kind`, `parameters`, `macs`, `saved`, `receptive-field` or `time`.

    Raises:
        InputError: no layer has that path, or there is no such colouring.
    """
    from markupsafe import Markup

    shown = view(trace, only)
    is_open = down_to(shown.root, depth)
    scheme = shown.colours(colour)
    colours = [name for name in COLOURS if _measured(trace, name) or name == colour]
    html = templating.render(
        "diagram.html",
        identifier=identifier,
        title=visible(" ".join([trace.network, *(f"{option}={value}" for option, value in trace.options.items())])),
        colours=[(name, TITLES[name]) for name in colours],
        colour=colour,
        drawing=Markup(embedded(shown.scene(is_open), scheme, shown.description)),
        legend=scheme.title,
    )
    opened = [node.number for node in shown.root.walk() if is_open(node)]
    return Fragment(str(html), script_data(shown, colours, opened, colour), shown.title, shown.failure)


def embedded_data(fragment: Fragment, identifier: str = "diagram") -> str:
    """The fragment's data as a script element that is never run; no text in it can end it."""
    text = json.dumps(fragment.data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" data-diagram-data="{escape(identifier)}">{text}</script>'


def document(fragment: Fragment) -> str:
    """A page with nothing but the diagram, that opens anywhere and asks nobody for anything."""
    from markupsafe import Markup

    code = f"{resources.diagram_script()}startDiagrams();\n"
    style = resources.style(("diagram-page", "diagram"))
    hashes = f"script-src {resources.hashed(code)}; style-src {resources.hashed(style)}"
    page = templating.render(
        "diagram-page.html",
        policy=Markup(f"default-src 'none'; {hashes}; base-uri 'none'; form-action 'none'"),
        title=fragment.title,
        style=Markup(style),
        failure=fragment.failure,
        diagram=Markup(fragment.html),
        data=Markup(embedded_data(fragment)),
        script=Markup(code),
    )
    return f"{page}\n"


def _measured(trace: Trace, colour: str) -> bool:
    """Whether a colouring has something to say."""
    match colour:
        case "saved":
            return any(layer.saved_bytes is not None for layer in trace.layers)
        case "receptive-field":
            return any(layer.receptive_field is not None for layer in trace.layers)
        case "time":
            return any(layer.seconds is not None for layer in trace.layers)
    return True
