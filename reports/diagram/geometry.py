"""Coordinates: a plan's columns and rows, given the sizes of the nodes.

The browser does the same sums when a block opens (assets/diagram-places.js); a test holds that both
come to the same drawing. Lengths are pixels at zoom 1. A node lies around its anchor, the line of its segment; the
spine is at x = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archlab.reports.diagram.layout import Plan, Wire

Point = tuple[float, float]

COLUMN_SPACING = 18.0
"""Between neighbouring columns."""
ROW_GAP = 24.0
"""Between two rows, without labels and tracks."""
TRACK_SPACING = 8.0
"""Between neighbouring tracks."""
LABEL_HEIGHT = 15.0
"""Height of the label under a node."""
TRACK_LEAD = 8.0
"""From a row to its first track."""
ARROW_LENGTH = 14.0
"""From the last track to the next row."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a node takes up: to the left and right of its anchor, in height, and under it for its label."""

    left: float
    right: float
    height: float
    label: float = 0.0
    outlets: tuple[float, ...] = (0.0,)
    """Where its exits are, from the anchor."""
    inlets: tuple[float, ...] = (0.0,)


@dataclass(frozen=True, slots=True)
class Placed:
    """A plan with coordinates."""

    nodes: tuple[Point, ...]
    """Each node's anchor and top."""
    wires: tuple[tuple[Point, ...], ...]
    """The corners of each wire, in the plan's order."""
    buses: tuple[tuple[Point, Point], ...]
    """The thick line of each bus."""
    labels: tuple[float, ...]
    """The baseline of the label under each row."""
    left: float
    right: float
    height: float


def place(plan: Plan, sizes: Sequence[Size]) -> Placed:
    """The plan's nodes and wires in coordinates, from the spine's top."""
    tops, bottoms, baselines, height = _heights(plan, sizes)
    lines, left, right = _columns(plan, sizes)
    nodes = []
    for node, size in enumerate(sizes):
        row = plan.rows[node]
        nodes.append((lines[plan.homes[node]], (tops[row] + bottoms[row] - size.height) / 2))
    wires = tuple(_corners(wire, plan, sizes, nodes, lines, tops, bottoms) for wire in plan.wires)
    ends: dict[int, list[float]] = {}
    for wire, corners in zip(plan.wires, wires, strict=True):
        if wire.target < 0:
            ends.setdefault(wire.segment, []).append(corners[-1][1])
        if wire.source < 0:
            ends.setdefault(wire.segment, []).append(corners[0][1])
    buses = tuple(((lines[segment], min(ys)), (lines[segment], max(ys))) for segment, ys in ends.items())
    return Placed(tuple(nodes), wires, buses, tuple(baselines), left, right, height)


def _heights(plan: Plan, sizes: Sequence[Size]) -> tuple[list[float], list[float], list[float], float]:
    rows = len(plan.forks)
    heights, labelled = [0.0] * rows, [False] * rows
    for row, size in zip(plan.rows, sizes, strict=True):
        heights[row] = max(heights[row], size.height)
        labelled[row] = labelled[row] or size.label > 0
    tops, bottoms, baselines, y = [], [], [], 0.0
    for row in range(rows):
        tops.append(y)
        y += heights[row]
        bottoms.append(y)
        baselines.append(y + TRACK_SPACING * plan.forks[row] + LABEL_HEIGHT)
        if row < rows - 1:
            y += ROW_GAP + TRACK_SPACING * (plan.forks[row] + plan.taps[row]) + (LABEL_HEIGHT if labelled[row] else 0)
        elif labelled[row]:
            y += LABEL_HEIGHT + TRACK_LEAD
    return tops, bottoms, baselines, y


def _columns(plan: Plan, sizes: Sequence[Size]) -> tuple[list[float], float, float]:
    """The x of each segment, and how far the drawing reaches; packed outwards from the spine.

    Row r is level 2r, the gap under it 2r + 1. `edges` holds, for each side and level, how far out it is taken already.
    A segment is put outside whatever is taken on the levels that it spans, and takes them in its turn: a skip over rows
    1 to 2 lies close to the spine, one over rows 0 to 5 outside it, and one over rows 4 to 5 close to the spine again.
    """
    levels = 2 * len(plan.forks) + 1
    wide: list[dict[int, tuple[float, float]]] = [{} for _ in plan.segments]
    for node, size in enumerate(sizes):
        level = 2 * plan.rows[node]
        wide[plan.homes[node]][level] = (size.left, size.right)
        if size.label:
            wide[plan.homes[node]][level + 1] = (0.0, size.label)
    lines = [0.0] * len(plan.segments)
    edges = {-1: [0.0] * levels, 1: [0.0] * levels}
    order = sorted(range(len(plan.segments)), key=lambda number: abs(plan.segments[number].column))
    for number in order:
        segment = plan.segments[number]
        span = range(max(segment.first, 0), min(segment.last, levels - 1) + 1)
        for side in (-1, 1):
            if segment.column * side < 0:
                continue
            near, far = (0, 1) if side > 0 else (1, 0)
            if segment.column:
                reach = (edges[side][level] + wide[number].get(level, (0.0, 0.0))[near] for level in span)
                lines[number] = side * (max(reach, default=0.0) + COLUMN_SPACING)
            for level in span:
                edges[side][level] = side * lines[number] + wide[number].get(level, (0.0, 0.0))[far]
    return lines, -max(edges[-1], default=0.0), max(edges[1], default=0.0)


def _corners(
    wire: Wire,
    plan: Plan,
    sizes: Sequence[Size],
    nodes: Sequence[Point],
    lines: Sequence[float],
    tops: Sequence[float],
    bottoms: Sequence[float],
) -> tuple[Point, ...]:
    line = lines[wire.segment]
    corners: list[Point] = []
    if wire.source >= 0:
        size, (x, y) = sizes[wire.source], nodes[wire.source]
        x += _port(size.outlets, wire.outlet)
        corners.append((x, y + size.height))
        if x != line:
            fork = bottoms[plan.rows[wire.source]] + TRACK_LEAD + TRACK_SPACING * wire.fork
            corners += [(x, fork), (line, fork)]
        elif wire.target < 0:
            corners.append((line, bottoms[plan.rows[wire.source]] + TRACK_LEAD))
    if wire.target >= 0:
        size, (x, y) = sizes[wire.target], nodes[wire.target]
        if wire.side:
            middle = y + size.height / 2
            corners += [(line, middle), (x + (size.right if wire.side > 0 else -size.left), middle)]
        else:
            x += _port(size.inlets, wire.inlet)
            if x != line or wire.source < 0:
                tap = tops[plan.rows[wire.target]] - ARROW_LENGTH - TRACK_SPACING * wire.tap
                corners += [(line, tap), (x, tap)]
            corners.append((x, y))
    return tuple(corners)


def _port(ports: Sequence[float], number: int) -> float:
    return ports[number] if number < len(ports) else 0.0
