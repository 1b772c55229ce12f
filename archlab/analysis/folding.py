"""A trace's tree with repeated subtrees as one: twelve equal blocks become a row `x12`.

Counting semantics: a folded row stands for `count` equal subtrees. Its counts, and those of the rows beneath it, are
sums over all that it stands for, so that each level of the folded tree still sums to the network's totals; its shapes
are those of one. Two subtrees are equal if they agree in structure, kinds, shapes and every count; where a receptive
field was measured, it grows from block to block and so keeps them apart. Times don't, though no two are equal: a folded
row has the sum of those that it stands for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from archlab.records import Layer, Trace

COUNTS = ("parameters", "trainable_parameters", "buffers", "macs", "elementwise", "uncounted")
"""What a container holds and costs: the sum over what is inside it, if it adds nothing of its own."""
SUMS = (*COUNTS, "own_parameters", "output_bytes")
MEASURED_SUMS = ("saved_bytes", "backward_macs", "recomputed_macs", "seconds")
"""Sums that a trace has only where they were asked for, and else None."""

Renamed = tuple[str, str]
"""The path of a series' first layer, and that of the series: `blocks.0`, `blocks.0-11`."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One row of the folded tree."""

    layer: Layer
    """The first of the layers that it stands for, with the counts of all of them and the path of the whole series."""
    depth: int = 1
    """From 1, without the levels of containers that hold a single module."""
    count: int = 1
    """How many neighbours it stands for."""
    name: str = ""
    """What it is called beneath its parent."""


@dataclass(frozen=True, slots=True)
class OutlineRow:
    """One row of a tree whose series of repeats open and close."""

    layer: Layer
    """As in a `Fold`; its depth is that of the trace."""
    path: str
    """The path of the first layer that it stands for."""
    count: int = 1
    """How many neighbours it stands for: more than one for the row of a series."""
    series: int = -1
    """The place of the innermost series that it lies in; -1 for none."""
    member: bool = False
    """Whether it shows while that series is open, as a row of one of its members; else it shows while it is closed."""


@dataclass(slots=True)
class Subtree:
    """A layer with the layers inside it."""

    layer: Layer
    children: list[Subtree] = field(default_factory=list)
    signature: int = 0
    """Equal for equal subtrees, whatever their own names are."""


def fold(trace: Trace, depth: int | None = None) -> tuple[Fold, ...]:
    """The rows of the folded tree down to a depth; all of them for None.

    >>> from archlab.records import Totals
    >>> block = dict(kind="Linear", depth=1, input_shapes=((1, 8),), output_shapes=((1, 8),), parameters=72)
    >>> layers = tuple(Layer(path=f"blocks.{number}", **block) for number in range(12))
    >>> row = fold(Trace("stack", (), layers, Totals(864, 0, 0, 0, 0)))[0]
    >>> row.layer.path, row.count, row.layer.parameters
    ('blocks.0-11', 12, 864)
    """
    roots = tree(trace.layers)
    _sign(roots)
    while len(roots) == 1 and _has_modules(roots[0]) and _sum_equals(roots[0], roots[0].children):
        roots = roots[0].children  # the network is a container of one: its level says nothing
    return tuple(_rows(roots, 1, depth, 1, []))


def outline(trace: Trace) -> tuple[OutlineRow, ...]:
    """All rows that a table of the trace can show, the rows inside closed series and those of their members alike.

    Unlike those of `fold`, its levels are the trace's own, so that each layer has its row.

    >>> from archlab.records import Totals
    >>> block = dict(kind="Linear", depth=1, input_shapes=((1, 8),), output_shapes=((1, 8),), parameters=72)
    >>> stack = Trace("stack", (), tuple(Layer(path=f"blocks.{k}", **block) for k in range(2)), Totals(144, 0, 0, 0, 0))
    >>> [(line.layer.path, line.count, line.member) for line in outline(stack)]
    [('blocks.0-1', 2, False), ('blocks.0', 1, True), ('blocks.1', 1, True)]
    """
    roots = tree(trace.layers)
    _sign(roots)
    lines: list[OutlineRow] = []

    def add(nodes: Sequence[Subtree], times: int, renames: Sequence[Renamed], series: int, member: bool) -> None:
        for group in _groups(nodes):
            place, count, first = len(lines), len(group), _typical(group)
            if count > 1:
                inner = [*renames, (first.layer.path, _series([node.layer.path for node in group]))]
                total = _multiplied(first.layer, _renamed(first.layer.path, inner), times * count)
                lines.append(OutlineRow(total, first.layer.path, count, series, member))
                add(first.children, times * count, inner, place, False)
            holder, single = (place, True) if count > 1 else (series, member)
            for node in group:
                one = _multiplied(node.layer, _renamed(node.layer.path, renames), times)
                lines.append(OutlineRow(one, node.layer.path, 1, holder, single))
                add(node.children, times, renames, holder, single)

    add(roots, 1, [], -1, False)
    return tuple(lines)


def likeness(layers: Sequence[Layer]) -> list[int]:
    """A number for each row, equal for rows with equal subtrees."""
    roots = tree(layers)
    _sign(roots)
    return [node.signature for node in _walk(roots)]


def in_series(path: str, following: str) -> bool:
    """Whether the second name follows the first: numbered on (`blocks.3`, `blocks.4`), or the same, called again."""
    first, second = (re.fullmatch(r"(.*?)(\d+)", item) for item in (path, following))
    if path == following:
        return True
    return first is not None and second is not None and first[1] == second[1] and int(second[2]) > int(first[2])


def failed_rows(trace: Trace) -> tuple[int, ...]:
    """The rows in which a failed forward pass ended: its blocks from the outermost, then the layer itself.

    They end at the innermost block around the layer where the trace is cut above it, and are empty for a trace that
    did not fail, or failed in the network's own code.
    """
    if trace.failure is None:
        return ()
    path, layers = trace.failure.path, trace.layers
    around = [row for row, layer in enumerate(layers) if layer.call and f"{path}.".startswith(f"{layer.path}.")]
    rows: list[int] = []
    for row in range(max(around, key=lambda row: (len(layers[row].path), row), default=-1), -1, -1):
        if not rows or layers[row].depth < layers[rows[-1]].depth:
            rows.append(row)
    return tuple(reversed(rows))


def tree(layers: Sequence[Layer]) -> list[Subtree]:
    """The layers as the tree of calls that their depths describe."""
    roots: list[Subtree] = []
    nodes = [Subtree(layer) for layer in layers]
    for node, parent in zip(nodes, parent_rows(layer.depth for layer in layers), strict=True):
        (nodes[parent].children if parent >= 0 else roots).append(node)
    return roots


def parent_rows(depths: Iterable[int]) -> list[int]:
    """The row that each row of a tree lies in, by the depths of all; -1 for none.

    >>> parent_rows([1, 2, 2, 1, 2])
    [-1, 0, 0, -1, 3]
    """
    parents: list[int] = []
    ancestors: list[tuple[int, int]] = []  # (depth, row) of the open ones
    for row, depth in enumerate(depths):
        while ancestors and ancestors[-1][0] >= depth:
            ancestors.pop()
        parents.append(ancestors[-1][1] if ancestors else -1)
        ancestors.append((depth, row))
    return parents


def own_name(path: str, parent: str) -> str:
    """The path beneath a parent's: `conv` of `stage.0.conv` beneath `stage.0`."""
    return path.removeprefix(parent + ".") if parent else path


def _has_modules(node: Subtree) -> bool:
    return any(_is_module(child) for child in node.children)


def _is_module(node: Subtree) -> bool:
    return not node.layer.operation and node.layer.kind != "Parameter"


def _sum_equals(node: Subtree, children: Sequence[Subtree]) -> bool:
    return all(getattr(node.layer, name) == sum(getattr(child.layer, name) for child in children) for name in COUNTS)


def _sign(roots: Sequence[Subtree]) -> None:
    """Give equal subtrees equal numbers, from the leaves upwards."""
    known: dict[object, int] = {}
    for node in reversed([*_walk(roots)]):
        layer = node.layer
        inner = tuple((own_name(child.layer.path, layer.path), child.signature) for child in node.children)
        likeness = replace(layer, path="", depth=0, call=min(layer.call, 1), inputs=(), seconds=None)
        node.signature = known.setdefault((likeness, inner), len(known))


def _walk(nodes: Sequence[Subtree]) -> Iterator[Subtree]:
    for node in nodes:
        yield node
        yield from _walk(node.children)


def _rows(
    nodes: Sequence[Subtree], level: int, depth: int | None, times: int, renames: Sequence[Renamed], parent: str = ""
) -> Iterator[Fold]:
    """The rows of neighbours that stand for `times` copies; `renames` are the series that they lie in."""
    for group in _groups(nodes):
        node, count = _typical(group), len(group)
        series = _series([member.layer.path for member in group])
        inner = [*renames, (node.layer.path, series)] if count > 1 else renames
        while len(node.children) == 1 and _is_module(node.children[0]) and _sum_equals(node, node.children):
            node = node.children[0]
        path = _renamed(node.layer.path, inner)
        yield Fold(_multiplied(node.layer, path, times * count), level, count, own_name(path, parent))
        if depth is None or level < depth:
            yield from _rows(node.children, level + 1, depth, times * count, inner, path)


def _typical(group: Sequence[Subtree]) -> Subtree:
    """The first of some equal subtrees, with the mean of all their times in each row."""
    first = group[0]
    if len(group) == 1 or first.layer.seconds is None:
        return first
    times = [node.layer.seconds for node in group if node.layer.seconds is not None]
    children = [_typical(copies) for copies in zip(*(node.children for node in group), strict=True)]
    return Subtree(replace(first.layer, seconds=sum(times) / len(times)), children, first.signature)


def _groups(nodes: Sequence[Subtree]) -> Iterator[list[Subtree]]:
    """The nodes, equal neighbours of one series together."""
    group: list[Subtree] = []
    for node in nodes:
        if group and not (group[-1].signature == node.signature and in_series(group[-1].layer.path, node.layer.path)):
            yield group
            group = []
        group.append(node)
    if group:
        yield group


def _series(paths: Sequence[str]) -> str:
    """One path for a numbered series: `blocks.0-11`."""
    last = re.search(r"\d+$", paths[-1])
    return paths[0] if paths[0] == paths[-1] or last is None else f"{paths[0]}-{last[0]}"


def _renamed(path: str, renames: Sequence[Renamed]) -> str:
    """The path with each series that it lies in written as a series.

    >>> _renamed("stages.0.blocks.0.conv", [("stages.0", "stages.0-3"), ("stages.0.blocks.0", "stages.0.blocks.0-5")])
    'stages.0-3.blocks.0-5.conv'
    """
    done = 0
    result = ""
    for given, series in renames:
        if path == given or path.startswith(given + "."):
            result += given[done:] + series.removeprefix(given)
            done = len(given)
    return result + path[done:]


def _multiplied(layer: Layer, path: str, times: int) -> Layer:
    if times == 1:
        return replace(layer, path=path)
    sums = {name: times * getattr(layer, name) for name in SUMS}
    measured = {name: getattr(layer, name) for name in MEASURED_SUMS}
    sums |= {name: times * value for name, value in measured.items() if value is not None}
    return replace(layer, path=path, **sums)
