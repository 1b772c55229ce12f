"""The diagram as a part of a page, and as a page of its own.

A fragment needs on its page: assets/diagram.css, `resources.diagram_script()` and a call of `startDiagrams()`, and its
data as `<script type="application/json" data-diagram-data="IDENTIFIER">` (`embedded_data`). Rows of a shape table that
carry `data-path` are found by the diagram, within the nearest element around the figure with `data-trace`, else in the
whole document. Going to a row dispatches `archlab:show-row` (cancelable, detail `path` and `diagram`) on the figure; an
event `archlab:show-node` on the document (detail `path`, and `diagram` where there are several) goes the other way, as
does a click into the first cell of such a row.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from html import escape
from typing import Any

from archlab.records import Trace
from archlab.reports import resources
from archlab.reports.diagram.colour import COLOURS, TITLES
from archlab.reports.diagram.drawing import embedded
from archlab.reports.diagram.layout import Plan
from archlab.reports.diagram.node import FACTS, Node
from archlab.reports.diagram.views import View, down_to, view
from archlab.reports.text import plain

HINT = (
    "Click a block to open it, a layer to see its row in the table. Drag to move the drawing, Ctrl and the wheel to "
    "zoom; by touch, one finger moves and two zoom. Keys: arrows, Enter opens, Escape closes, t goes to the row, "
    "/ searches, + - 0 zoom."
)


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
    scale: bool = False,
) -> Fragment:
    """The diagram as a part of a page; drawn already, so that it shows without a script.

    Args:
        trace: what is drawn.
        identifier: tells the diagrams of a page apart.
        only: the path of the layer that is drawn instead of the whole network.
        depth: blocks above it are open at first; None opens all.
        colour: what the colours say at first: `kind`, `parameters`, `macs`, `saved` or `receptive-field`.
        scale: whether boxes are as wide as their channels and as high as their spatial size at first.

    Raises:
        InputError: no layer has that path, or there is no such colouring.
    """
    shown = view(trace, only)
    is_open = down_to(shown.root, depth)
    scheme = shown.colours(colour)
    drawing = embedded(shown.scene(is_open, scale), scheme, shown.description)
    options = "".join(
        f'<option value="{name}"{" selected" if name == colour else ""}>{escape(TITLES[name])}</option>'
        for name in COLOURS
        if _measured(trace, name) or name == colour
    )
    options_set = [f"{option}={value}" for option, value in trace.options.items()]
    name, title = escape(identifier), escape(plain(" ".join([trace.network, *options_set])))
    html = (
        f'<figure class="diagram" id="{name}" data-diagram="{name}">'
        f'<form class="diagram-bar" hidden aria-label="Choices for the diagram of {title}">'
        f'<label>Search <input type="search" name="search" autocomplete="off" placeholder="path or kind"></label>'
        f'<label>Colour <select name="colour" autocomplete="off">{options}</select></label>'
        f'<label><input type="checkbox" name="scaled" autocomplete="off"{" checked" if scale else ""}> '
        f"Size by shape</label>"
        f'<span class="diagram-buttons">{_buttons()}</span>'
        f'<span class="diagram-status" role="status"></span></form>'
        f'<div class="diagram-view">{drawing}</div>'
        f'<aside class="diagram-card" aria-label="Chosen layer of {title}">Point at a layer to see its row of '
        f"the shape table here.</aside>"
        f'<ul class="diagram-legend" aria-label="{escape(scheme.title)}"></ul>'
        f'<figcaption class="diagram-hint">{HINT}</figcaption></figure>'
    )
    opened = [node.number for node in shown.root.walk() if is_open(node)]
    return Fragment(html, _data(shown, opened, colour, scale), shown.title, shown.failure)


def embedded_data(fragment: Fragment, identifier: str = "diagram") -> str:
    """The fragment's data as a script element that is never run; no text in it can end it."""
    text = json.dumps(fragment.data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" data-diagram-data="{escape(identifier)}">{text}</script>'


def document(fragment: Fragment) -> str:
    """A page with nothing but the diagram, that opens anywhere and asks nobody for anything."""
    name = escape(fragment.title)
    code = f"{resources.diagram_script()}startDiagrams();\n"
    style = (
        ":root { color-scheme: light dark; } body { margin: 1rem; font-family: system-ui, sans-serif; "
        "background: var(--diagram-paper); color: var(--diagram-text); } h1 { font-size: 1.2rem; margin: 0; "
        f"overflow-wrap: anywhere; }}\n{resources.asset('diagram.css')}"
    )
    policy = (
        f"default-src 'none'; script-src {_hash(code)}; style-src {_hash(style)}; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{style}</style></head><body><main>"
        f"<h1><bdi>{name}</bdi></h1>{_notice(fragment)}{fragment.html}</main>{embedded_data(fragment)}"
        f"<script>{code}</script></body></html>\n"
    )


def _notice(fragment: Fragment) -> str:
    return f'<p class="diagram-failure"><bdi>{escape(fragment.failure)}</bdi></p>' if fragment.failure else ""


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _buttons() -> str:
    words = {
        "open": ("Open all", 'title="Open every block"'),
        "close": ("Close all", 'title="Close every block"'),
        "smaller": ("−", 'title="Zoom out" aria-label="Zoom out"'),
        "larger": ("+", 'title="Zoom in" aria-label="Zoom in"'),
        "fit": ("Fit", 'title="Show the whole drawing"'),
    }
    return "".join(
        f'<button type="button" data-action="{action}" {attributes}>{text}</button>'
        for action, (text, attributes) in words.items()
    )


def _measured(trace: Trace, colour: str) -> bool:
    """Whether a colouring has something to say."""
    match colour:
        case "saved":
            return any(layer.saved_bytes is not None for layer in trace.layers)
        case "receptive-field":
            return any(layer.receptive_field is not None for layer in trace.layers)
    return True


def _data(shown: View, opened: list[int], colour: str, scale: bool) -> dict[str, Any]:
    nodes = sorted(shown.root.walk(), key=lambda node: node.number)
    schemes = {}
    for name in COLOURS:
        if not (_measured(shown.trace, name) or name == colour):
            continue
        scheme = shown.colours(name)
        styles = sorted(set(scheme.styles))
        schemes[name] = {
            "styles": styles,
            "of": [styles.index(scheme.styles[node.row]) if node.row >= 0 else 0 for node in nodes],
            "legend": [[key.style, key.text] for key in scheme.legend],
        }
    return {
        "nodes": [_node(node) for node in nodes],
        "names": list(shown.names),
        "schemes": schemes,
        "facts": list(FACTS),
        "open": opened,
        "colour": colour,
        "scaled": scale,
    }


def _node(node: Node) -> dict[str, Any]:
    values: dict[str, Any] = {
        "title": node.title,
        "subtitle": node.subtitle,
        "symbol": node.symbol,
        "label": node.label,
        "size": node.size,
        "scaled": node.scaled,
        "badge": node.badge,
        "unused": node.unused,
        "failed": node.failed,
        "repeats": node.repeats,
        "facts": node.facts,
        "children": [child.number for child in node.children],
        "plan": _plan(node.plan) if node.plan else None,
    }
    values = {key: value for key, value in values.items() if value}
    if node.plan:
        values |= {"entries": node.entries, "exits": node.exits}
    return values


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "rows": plan.rows,
        "homes": plan.homes,
        "segments": [(segment.column, segment.first, segment.last) for segment in plan.segments],
        "wires": [
            (wire.source, wire.target, wire.segment, wire.outlet, wire.inlet, wire.fork, wire.tap, wire.side)
            for wire in plan.wires
        ],
        "forks": plan.forks,
        "taps": plan.taps,
    }
