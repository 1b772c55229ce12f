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
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from archlab.analysis.folding import outline, own_name, parent_rows
from archlab.records import Trace
from archlab.reports import resources, templating
from archlab.reports.diagram.colour import COLOURS, TITLES
from archlab.reports.diagram.data import script_data
from archlab.reports.diagram.drawing import embedded
from archlab.reports.diagram.views import Depth, opened, view
from archlab.reports.text import count, times, visible
from archlab.tables.columns import COLUMNS
from archlab.tables.trace import FOLDING_NOTE, marked

TABLE_COLUMNS = ("kind", "layer", "output-shape", "parameters", "macs")
"""The columns of the table beside a diagram."""


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
    depth: Depth = "auto",
    colour: str = "kind",
    direction: str = "down",
) -> Fragment:
    """The diagram as a part of a page; drawn already, so that it shows without a script.

    Args:
        trace: what is drawn.
        identifier: tells the diagrams of a page apart.
        only: the path of the layer that is drawn instead of the whole network.
        depth: blocks above it are open at first; None opens all, and `auto` what is worth seeing.
        colour: what the colours say at first: `kind`, `parameters`, `macs`, `saved`, `receptive-field` or `time`.
        direction: `down` for one column at first, `columns` for as many as fill a page best.

    Raises:
        InputError: no layer has that path, or there is no such colouring.
    """
    from markupsafe import Markup

    shown = view(trace, only)
    is_open = opened(shown.root, depth)
    scheme = shown.colours(colour)
    colours = [name for name in COLOURS if _measured(trace, name) or name == colour]
    html = templating.render(
        "diagram.html",
        identifier=identifier,
        title=visible(" ".join([trace.network, *(f"{option}={value}" for option, value in trace.options.items())])),
        colours=[(name, TITLES[name]) for name in colours],
        colour=colour,
        drawing=Markup(embedded(shown.scene(is_open, direction), scheme, shown.description)),
        legend=scheme.title,
        in_columns=direction == "columns",
        linked=False,
    )
    numbers = [node.number for node in shown.root.walk() if is_open(node)]
    data = script_data(shown, colours, numbers, colour, direction)
    return Fragment(str(html), data, shown.title, shown.failure)


def embedded_data(fragment: Fragment, identifier: str = "diagram") -> str:
    """The fragment's data as a script element that is never run; no text in it can end it."""
    text = json.dumps(fragment.data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" data-diagram-data="{escape(identifier)}">{text}</script>'


def document(fragment: Fragment, trace: Trace | None = None) -> str:
    """A page of the diagram, with the shape table of a trace beside it; it asks nobody for anything."""
    from markupsafe import Markup

    return standalone(
        "diagram-page.html",
        fragment.title,
        lambda style: f"style-src {style}",
        failure=fragment.failure,
        diagram=Markup(fragment.html),
        rows=_table_rows(trace) if trace else [],
        columns=[(name, COLUMNS[name].column) for name in TABLE_COLUMNS],
        note=FOLDING_NOTE,
        data=Markup(embedded_data(fragment)),
    )


def standalone(template: str, title: str, styles: Callable[[str], str], **shown: Any) -> str:
    """A whole page of diagrams.

    Args:
        template: of the page, which extends `diagram-document.html`.
        title: its heading and title.
        styles: the hash of its style sheet -> what its policy allows of styles.
        shown: what the template names.
    """
    from markupsafe import Markup

    code = f"{resources.diagram_script()}startDiagrams();\n"
    style = resources.style(("diagram-page", "diagram"))
    allowed = f"script-src {resources.hashed(code)}; {styles(resources.hashed(style))}"
    page = templating.render(
        template,
        policy=Markup(f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"),
        title=title,
        style=Markup(style),
        script=Markup(code),
        **shown,
    )
    return f"{page}\n"


def _table_rows(trace: Trace) -> list[dict[str, Any]]:
    """The rows of the shape table, those of a series of equal layers as one."""
    rows: list[dict[str, Any]] = []
    lines = [line for line in outline(trace) if not line.member]
    parents = parent_rows(line.layer.depth for line in lines)
    for line, parent in zip(lines, parents, strict=True):
        name = own_name(line.layer.path, lines[parent].layer.path if parent >= 0 else "")
        values = (COLUMNS[name].value(line.layer, trace.totals) for name in TABLE_COLUMNS)
        rows.append(
            {
                "path": visible(line.path),
                "name": marked(visible(name), line.count),
                "level": min(line.layer.depth, 8),
                "count": line.count,
                "cells": [
                    count(value) if isinstance(value, int) else times(visible(str(value or ""))) for value in values
                ],
            }
        )
    return rows


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
