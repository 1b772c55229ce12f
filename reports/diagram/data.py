"""What the page's script draws a diagram from: all nodes, colourings and plans, as JSON types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archlab.reports.diagram.colour import MARKS
from archlab.reports.diagram.layout import Plan
from archlab.reports.diagram.node import FACTS, DiagramNode
from archlab.reports.diagram.views import View
from archlab.reports.diagram.wrapping import PAGE_RATIO


def script_data(
    shown: View, colours: Sequence[str], opened: Sequence[int], colour: str, direction: str
) -> dict[str, Any]:
    """The data of a diagram.

    Args:
        shown: what is drawn.
        colours: that a reader can choose from.
        opened: the numbers of the nodes that are open at first.
        colour: what the colours say at first.
        direction: whether it is drawn in columns at first.
    """
    nodes = sorted(shown.root.walk(), key=lambda node: node.number)
    schemes = {}
    for name in colours:
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
        "marks": MARKS,
        "open": list(opened),
        "colour": colour,
        "ratio": PAGE_RATIO if direction == "columns" else 0,
    }


def _node(node: DiagramNode) -> dict[str, Any]:
    values: dict[str, Any] = {
        "title": node.title,
        "subtitle": node.subtitle,
        "symbol": node.symbol,
        "label": node.label,
        "amount": node.amount,
        "size": node.size,
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
            (
                wire.source,
                wire.target,
                wire.segment,
                wire.outlet,
                wire.inlet,
                wire.fork,
                wire.tap,
                wire.side,
                int(wire.skip),
            )
            for wire in plan.wires
        ],
        "forks": plan.forks,
        "taps": plan.taps,
    }
