"""A trace's tree with repeated subtrees as one: twelve equal blocks become a row `x12`.

Counting semantics: a folded row stands for `count` equal subtrees. Its counts, and those of the rows beneath it, are
sums over all that it stands for, so that each level of the folded tree still sums to the network's totals; its shapes
are those of one. Two subtrees are equal if they agree in structure, kinds, shapes and every count; where a receptive
field was measured, it grows from block to block and so keeps them apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from archlab.records import Layer, Trace

COUNTS = ("parameters", "trainable_parameters", "buffers", "macs", "elementwise")
"""What a container holds and costs: the sum over what is inside it, if it adds nothing of its own."""
SUMS = (*COUNTS, "own_parameters", "output_bytes")


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


@dataclass(slots=True)
class Node:
    """A layer with the layers inside it."""

    layer: Layer
    children: list[Node] = field(default_factory=list)
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


def tree(layers: Sequence[Layer]) -> list[Node]:
    """The layers as the tree of calls that their depths describe."""
    roots: list[Node] = []
    open_nodes: list[Node] = []
    for layer in layers:
        while open_nodes and open_nodes[-1].layer.depth >= layer.depth:
            open_nodes.pop()
        node = Node(layer)
        (open_nodes[-1].children if open_nodes else roots).append(node)
        open_nodes.append(node)
    return roots


def own_name(path: str, parent: str) -> str:
    """The path beneath a parent's: `conv` of `stage.0.conv` beneath `stage.0`."""
    return path.removeprefix(parent + ".") if parent else path


def _has_modules(node: Node) -> bool:
    return any(_is_module(child) for child in node.children)


def _is_module(node: Node) -> bool:
    return not node.layer.operation and node.layer.kind != "Parameter"


def _sum_equals(node: Node, children: Sequence[Node]) -> bool:
    return all(getattr(node.layer, name) == sum(getattr(child.layer, name) for child in children) for name in COUNTS)


def _sign(roots: Sequence[Node]) -> None:
    """Give equal subtrees equal numbers, from the leaves upwards."""
    known: dict[object, int] = {}
    for node in reversed([*_walk(roots)]):
        layer = node.layer
        inner = tuple((own_name(child.layer.path, layer.path), child.signature) for child in node.children)
        likeness = replace(layer, path="", depth=0, call=min(layer.call, 1), inputs=())
        node.signature = known.setdefault((likeness, inner), len(known))


def _walk(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _walk(node.children)


def _rows(
    nodes: Sequence[Node], level: int, depth: int | None, times: int, renames: list[tuple[str, str]], parent: str = ""
) -> Iterator[Fold]:
    """The rows of neighbours that stand for `times` copies; `renames` are the series that they lie in."""
    start = 0
    while start < len(nodes):
        stop = start + 1
        while stop < len(nodes) and _continues(nodes[stop - 1], nodes[stop]):
            stop += 1
        node, count = nodes[start], stop - start
        series = _series([member.layer.path for member in nodes[start:stop]])
        inner = [*renames, (node.layer.path, series)] if count > 1 else renames
        while len(node.children) == 1 and _is_module(node.children[0]) and _sum_equals(node, node.children):
            node = node.children[0]
        path = _renamed(node.layer.path, inner)
        yield Fold(_multiplied(node.layer, path, times * count), level, count, own_name(path, parent))
        if depth is None or level < depth:
            yield from _rows(node.children, level + 1, depth, times * count, inner, path)
        start = stop


def _continues(node: Node, following: Node) -> bool:
    """Whether the neighbour repeats the node: equal, and numbered on (`blocks.3`, `blocks.4`) or called again."""
    if node.signature != following.signature:
        return False
    first, second = (re.fullmatch(r"(.*?)(\d+)", item.layer.path) for item in (node, following))
    if node.layer.path == following.layer.path:
        return True
    return first is not None and second is not None and first[1] == second[1] and int(second[2]) > int(first[2])


def _series(paths: Sequence[str]) -> str:
    """One path for a numbered series: `blocks.0-11`."""
    last = re.search(r"\d+$", paths[-1])
    return paths[0] if paths[0] == paths[-1] or last is None else f"{paths[0]}-{last[0]}"


def _renamed(path: str, renames: Sequence[tuple[str, str]]) -> str:
    """The path with each series that it lies in written as a series."""
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
    saved = None if layer.saved_bytes is None else times * layer.saved_bytes
    return replace(layer, path=path, saved_bytes=saved, **sums)
