"""A network whose maps shrink and grow again, as a U: a level for each map size, the smallest at the bottom.

What goes from one level's left side to its right side is a skip connection, drawn straight across.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import prod

from archlab.reports.volume.plan import (
    SMALL_LETTER,
    Block,
    Label,
    Plan,
    Wire,
    block,
    label_width,
    map_text,
    written,
)
from archlab.reports.volume.rows import ARC_STEP, GAP, LINE
from archlab.reports.volume.scale import Scale
from archlab.reports.volume.tensors import Tensor

STEP = 16.0
"""Between the end of one level's blocks and the next one's."""
LEVEL_GAP = 12.0


def is_u(tensors: Sequence[Tensor]) -> bool:
    """Whether maps shrink along an edge and grow along a later one; single positions are no maps."""
    shrinks = False
    for tensor in tensors:
        for source in tensor.sources:
            before, after = tensors[source].positions, tensor.positions
            if len(before) != len(after) or not before or prod(before) == 1 or prod(after) == 1:
                continue
            if shrinks and prod(after) > prod(before):
                return True
            shrinks = shrinks or prod(after) < prod(before)
    return False


def levels(tensors: tuple[Tensor, ...], scale: Scale) -> Plan:
    """The plan of one network."""
    sizes = {map_text(tensor): prod(tensor.positions) if tensor.positions else 0 for tensor in tensors}
    keys = sorted(sizes, key=lambda key: -sizes[key])
    margin = SMALL_LETTER * max(map(len, keys)) + 14
    middles, y = {}, 0.0
    for key in keys:
        members = [tensor for tensor in tensors if map_text(tensor) == key]
        height, depth = max(map(scale.height, members)), max(map(scale.depth, members))
        middles[key] = y + LINE + depth + height / 2
        y += LINE + depth + height + LEVEL_GAP
    plan = Plan(height=y)
    x, before = margin, ""
    for (key, channels), run in groupby(tensors, key=lambda tensor: (map_text(tensor), tensor.channels)):
        members = list(run)
        if before and key != before:
            x += plan.blocks[-1].depth + STEP
        width = len(members) * scale.width(members[0]) + (len(members) - 1) * GAP
        label = label_width(members[0])
        room = max(width, label)
        at = x + (room - width) / 2
        for tensor in members:
            plan.blocks.append(block(tensor, scale, at, middles[key]))
            at += plan.blocks[-1].width + GAP
        last = plan.blocks[-1]
        plan.labels.append(Label(x + room / 2 + last.depth, last.top - 4, written(channels), "size"))
        x, before = x + room + GAP, key
    plan.width = max(item.right for item in plan.blocks)
    for key in keys:
        first = next(place for place, item in enumerate(plan.blocks) if map_text(item.tensor) == key)
        left = min(plan.blocks[max(0, first - 1)].bottom[0], plan.blocks[first].x)
        plan.labels.append(Label(0.0, middles[key] + 4, key, "map", "start"))
        if left - margin > STEP:
            plan.rules.append(((SMALL_LETTER * len(key) + 8, middles[key]), (left - 6, middles[key])))
    plan.wires = _wires(tensors, plan.blocks)
    top = min([0.0, *(y for wire in plan.wires for _, y in wire.corners)])
    result = Plan()
    result.add(plan, -top)
    return result


def _wires(tensors: tuple[Tensor, ...], placed: Sequence[Block]) -> list[Wire]:
    found: list[Wire] = []
    for target, tensor in enumerate(tensors):
        for source in tensor.sources:
            start, end = placed[source], placed[target]
            skip = source in tensor.skips
            if map_text(tensors[source]) != map_text(tensor):
                found.append(Wire(_elbow(start, end), skip))
            elif source < target - 1 or source in tensor.skips:
                found.append(Wire(_across(placed, source, target), skip))
    return found


def _elbow(start: Block, end: Block) -> tuple[tuple[float, float], ...]:
    """Down from the source and to the right, or to the right and up into the target."""
    if end.entry[1] > start.entry[1]:
        x = min(start.bottom[0], end.x - 8)
        return (x, start.y + start.height), (x, end.entry[1]), end.entry
    return start.side, (end.bottom[0], start.side[1]), end.bottom


def _across(placed: Sequence[Block], source: int, target: int) -> tuple[tuple[float, float], ...]:
    start, end = placed[source], placed[target]
    between = [
        item
        for item in placed[source + 1 : target]
        if item.y < start.y + start.height and start.y < item.y + item.height
    ]
    if not between:
        y = start.entry[1]
        return (start.right - start.depth / 2, y), (end.x, y)
    y = min(item.top for item in (start, end, *between)) - LINE - ARC_STEP / 2
    return start.lid, (start.lid[0], y), (end.lid[0], y), end.lid
