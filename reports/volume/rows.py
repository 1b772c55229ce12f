"""Networks from left to right, each in its row, over one axis of map sizes that falls from left to right.

Blocks of one map size stand together; below each group are its channels, the names of its blocks, and the size on the
axis. With several networks a size has one place for all of them, so that what stands above each other has the same
resolution. Where a network's sizes don't fall (or, alone, don't rise), each row has an axis of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import prod

from archlab.reports.text import shortened
from archlab.reports.volume.naming import short_names
from archlab.reports.volume.plan import (
    SMALL_LETTER,
    Block,
    Label,
    Plan,
    Point,
    Wire,
    block,
    label_width,
    map_text,
    written,
)
from archlab.reports.volume.scale import Scale
from archlab.reports.volume.tensors import Tensor

GAP, COLUMN_GAP = 5.0, 16.0
"""Between blocks of one map size, and between sizes."""
LINE = 15.0
ARC_STEP = 9.0
HEADING = 24.0


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbours that are equally large, with one label for all."""

    first: int
    count: int
    x: float
    """From the start of the group."""
    width: float


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbours with one map size."""

    key: str
    positions: int
    first: int
    count: int
    runs: tuple[Run, ...]
    width: float


def rows(networks: Sequence[tuple[str, tuple[Tensor, ...]]], scale: Scale) -> Plan:
    """The plan of networks below each other; their names are written where there are several."""
    groups = [_groups(tensors, scale) for _, tensors in networks]
    shared = _axis(groups) if len(networks) > 1 else None
    plan = Plan()
    for place, ((name, tensors), found) in enumerate(zip(networks, groups, strict=True)):
        last = place == len(networks) - 1
        columns = shared or [(group.key, group.width) for group in found]
        heading = name if len(networks) > 1 else ""
        drawn = _row(tensors, found, columns, scale, heading, shared is None or last)
        plan.add(drawn, plan.height + (14.0 if place else 0.0))
    return plan


def _groups(tensors: tuple[Tensor, ...], scale: Scale) -> list[Group]:
    result: list[Group] = []
    for key, members in groupby(range(len(tensors)), key=lambda place: map_text(tensors[place])):
        places = list(members)
        x, runs = 0.0, []
        for _, equal in groupby(places, key=lambda place: (tensors[place].channels, tensors[place].repeats)):
            same = list(equal)
            size = scale.width(tensors[same[0]])
            width = len(same) * size + (len(same) - 1) * GAP
            label = label_width(tensors[same[0]])
            runs.append(Run(same[0], len(same), x, max(width, label)))
            x += max(width, label) + GAP
        width = max(x - GAP + scale.depth(tensors[places[0]]), SMALL_LETTER * len(key))
        positions = prod(tensors[places[0]].positions) if tensors[places[0]].positions else 0
        result.append(Group(key, positions, places[0], len(places), tuple(runs), width))
    return result


def _axis(groups: Sequence[Sequence[Group]]) -> list[tuple[str, float]] | None:
    """The columns that all networks share; None where some network's sizes don't fall."""
    sizes: dict[str, int] = {}
    widths: dict[str, float] = {}
    for network in groups:
        falls = all(before.positions >= after.positions for before, after in pairwise(network))
        if not falls or len({group.key for group in network}) < len(network):
            return None
        for group in network:
            sizes[group.key] = group.positions
            widths[group.key] = max(widths.get(group.key, 0.0), group.width)
    return [(key, widths[key]) for key in sorted(sizes, key=lambda key: -sizes[key])]


def _row(
    tensors: tuple[Tensor, ...],
    groups: Sequence[Group],
    columns: Sequence[tuple[str, float]],
    scale: Scale,
    heading: str,
    with_axis: bool,
) -> Plan:
    starts, x = [], 0.0
    for _, width in columns:
        starts.append(x)
        x += width + COLUMN_GAP
    keys = [key for key, _ in columns]
    plan = Plan(width=x - COLUMN_GAP)
    floor = max(scale.height(tensor) for tensor in tensors)
    placed: list[Block] = []
    spots = []
    for place, group in enumerate(groups):
        column = keys.index(group.key) if len(set(keys)) == len(keys) else place
        spots.append((starts[column], columns[column][1]))
        for run in group.runs:
            taken = run.count * scale.width(tensors[run.first]) + (run.count - 1) * GAP
            at = starts[column] + run.x + (run.width - taken) / 2
            for member in range(run.first, run.first + run.count):
                height = scale.height(tensors[member])
                placed.append(block(tensors[member], scale, at, floor - height / 2))
                at += placed[-1].width + GAP
    plan.blocks = placed
    plan.wires = wires(tensors, placed)
    _label(plan, tensors, groups, spots, floor)
    if with_axis:
        _draw_axis(plan, columns, starts, plan.height + 4)
    top = min([item.top for item in placed] + [y for wire in plan.wires for _, y in wire.corners])
    result = Plan(width=plan.width)
    if heading:
        result.labels.append(Label(0.0, 12.0, heading, "heading", "start"))
    result.add(plan, (HEADING if heading else 0.0) - top)
    return result


def _label(
    plan: Plan, tensors: Sequence[Tensor], groups: Sequence[Group], spots: Sequence[Point], bottom: float
) -> None:
    """Channels below each run, how often it is repeated, and the names below each group."""
    repeats = any(tensor.repeats > 1 for tensor in tensors)
    y = bottom + (LINE + 2 if repeats else 0.0) + LINE
    names = short_names(tensors, [(group.first, group.count) for group in groups])
    for (start, width), group, found_names in zip(spots, groups, names, strict=True):
        plan.labels += _names(group, found_names, start, start + width + COLUMN_GAP - 5, y + LINE)
        for run in group.runs:
            text = written(tensors[run.first].channels)
            plan.labels.append(Label(start + run.x + run.width / 2, y, text, "size"))
        for times, members in groupby(group.runs, key=lambda run: tensors[run.first].repeats):
            found = list(members)
            if times > 1:
                left, right = start + found[0].x, start + found[-1].x + found[-1].width
                plan.rules += [((left, bottom + 4), (right, bottom + 4))]
                plan.labels.append(Label((left + right) / 2, bottom + LINE, f"×{times}", "times"))
    plan.height = y + LINE + 4


def _names(group: Group, names: Sequence[str], left: float, right: float, y: float) -> list[Label]:
    """The names below a group: that of most of its blocks, shortened if it must be, the others where they fit."""
    main = max(dict.fromkeys(names), key=lambda name: (names.count(name), names.index(name)))
    by_run = [(_most(names[run.first - group.first :][: run.count]), left + run.x) for run in group.runs]
    starts = [item for place, item in enumerate(by_run) if place == 0 or item[0] != by_run[place - 1][0]]
    spans = [(name, x, end - 5) for (name, x), (_, end) in zip(starts, [*starts[1:], ("", right + 5)], strict=True)]
    if any(name == main and SMALL_LETTER * len(name) > end - x for name, x, end in spans):
        equal = [name for name in dict.fromkeys(names) if names.count(name) == names.count(main)]
        ends = f"{equal[0]} … {equal[-1]}"
        main = ends if len(equal) > 1 and SMALL_LETTER * len(ends) <= right - left else main
        spans = [(main, left, right)]
    fitting = [(name, x, int((end - x) / SMALL_LETTER)) for name, x, end in spans]
    return [
        Label(x, y, shortened(name, letters), "name", "start")
        for name, x, letters in fitting
        if len(name) <= letters or (name == main and letters >= 4)
    ]


def _most(names: Sequence[str]) -> str:
    return max(dict.fromkeys(names), key=names.count)


def _draw_axis(plan: Plan, columns: Sequence[tuple[str, float]], starts: Sequence[float], y: float) -> None:
    """A bracket for each map size, and the size below it."""
    for (key, width), start in zip(columns, starts, strict=True):
        plan.rules += [((start, y), (start + width, y)), ((start, y), (start, y - 4))]
        plan.labels.append(Label(start, y + LINE - 1, key, "map", "start"))
    plan.height = y + LINE + 3


def wires(tensors: tuple[Tensor, ...], placed: Sequence[Block]) -> list[Wire]:
    """Arrows above the blocks for all that doesn't come from the block before, the longer the higher."""
    found: list[Wire] = []
    spans = [
        (source, target)
        for target, tensor in enumerate(tensors)
        for source in tensor.sources
        if (source < target - 1 and not _is_carried(tensors, source, target)) or source in tensor.skips
    ]
    heights: dict[tuple[int, int], float] = {}
    for source, target in sorted(spans, key=lambda span: (span[1] - span[0], span)):
        tops = [placed[place].top for place in range(source, target + 1)]
        inner = [y for (start, end), y in heights.items() if start < target and end > source]
        y = min([min(tops) - ARC_STEP, *(y - ARC_STEP for y in inner)])
        heights[source, target] = y
        (left, start), (right, end) = placed[source].lid, placed[target].lid
        corners = ((left + 2, start), (left + 2, y), (right - 2, y), (right - 2, end))
        found.append(Wire(corners, source in tensors[target].skips))
    return found


def _is_carried(tensors: Sequence[Tensor], source: int, target: int) -> bool:
    """Whether what comes from the source is in the block before the target already: a dense block adds to it."""
    before, now = tensors[target - 1], tensors[target]
    has_all = {band.origin for band in before.bands} < {band.origin for band in now.bands}
    return bool(before.bands) and has_all and source in before.sources
