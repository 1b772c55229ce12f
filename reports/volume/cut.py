"""Where the tree of layers is cut: the layers and closed blocks whose results a picture may show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from archlab.analysis.folding import in_series, likeness, parent_rows
from archlab.errors import InputError, nearest
from archlab.records import Trace

FEWEST_EQUAL = 6
"""Equal blocks that follow each other, from which on one stands for all: twelve alike say no more than one and x12."""


class Tree:
    """What every cut of a trace needs of its tree of layers: read once, however often it is cut."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        parents = parent_rows(layer.depth for layer in trace.layers)
        self.holders = set(parents)
        """Rows that hold others."""
        self.children: dict[int, list[int]] = {}
        for row, parent in enumerate(parents):
            self.children.setdefault(parent, []).append(row)
        self.ends = _ends([layer.depth for layer in trace.layers])
        """For each row the one behind the last inside it."""
        self.paths = [layer.path for layer in trace.layers]
        self.likeness = likeness([replace(layer, input_shapes=layer.input_shapes[:1]) for layer in trace.layers])
        """Of what else a block is given, a decoder's cache grows from block to block."""

    def start(self, only: str) -> list[int]:
        """The outermost rows, or those inside one layer.

        Raises:
            InputError: no layer has that path.
        """
        if only and only not in self.paths:
            raise InputError(f"{self.trace.network} has no layer {only!r}: {nearest(only, dict.fromkeys(self.paths))}")
        top = self.paths.index(only) if only else -1
        return self.children.get(top) or [row for row in [top] if row >= 0]


class Cut:
    """The rows of a trace, or of what one of its layers holds, with some blocks open.

    Attributes:
        rows: the nodes, in order of execution.
        shown: the same as a set.
        home: any row -> the node that it lies in; of equal blocks all lie in the first.
        repeats: node -> how many equal ones it stands for.
    """

    def __init__(self, tree: Tree, only: str, is_open: Callable[[int], bool]) -> None:
        self.rows: list[int] = []
        self.home: dict[int, int] = {}
        self.repeats: dict[int, int] = {}
        self._tree = tree
        self._show(tree.start(only), is_open, 1)
        self.shown = set(self.rows)

    def inside(self, row: int) -> range:
        """A node's own row and those in it."""
        return range(row, self._tree.ends[row])

    def _show(self, rows: Sequence[int], is_open: Callable[[int], bool], times: int) -> None:
        for group in self._series(rows):
            first = group[0]
            if first in self._tree.holders and is_open(first):
                before = len(self.rows)
                self._show(self._tree.children[first], is_open, times * len(group))
                self.home[first] = self.rows[-1] if len(self.rows) > before else first
            else:
                self.rows.append(first)
                self.repeats[first] = times * len(group)
                self.home |= dict.fromkeys(self.inside(first), first)
            for copy in group[1:]:
                for row in self.inside(first):
                    self.home[row - first + copy] = self.home[row]

    def _series(self, rows: Sequence[int]) -> list[list[int]]:
        """The rows, equal blocks that follow each other together where they are many."""
        tree = self._tree
        groups: list[list[int]] = []
        for row in rows:
            last = groups[-1][-1] if groups else row
            is_equal = last != row and row in tree.holders and tree.likeness[last] == tree.likeness[row]
            if is_equal and in_series(tree.paths[last], tree.paths[row]):
                groups[-1].append(row)
            else:
                groups.append([row])
        return [part for group in groups for part in ([group] if len(group) >= FEWEST_EQUAL else [[r] for r in group])]


def opened_to(trace: Trace, depth: int | None) -> Callable[[int], bool]:
    """A predicate that opens the blocks above a depth; all for None."""
    return lambda row: depth is None or trace.layers[row].depth < depth


def automatic(trace: Trace, depth: int) -> Callable[[int], bool]:
    """A predicate that opens the blocks above a depth, but not those that multiply on their own, as attention does.

    Their inside (heads, transposes, scores) is another picture.
    """
    layers = trace.layers
    modules = [0] * len(layers)
    for row, parent in enumerate(parent_rows(layer.depth for layer in layers)):
        if parent >= 0 and not layers[row].operation:
            modules[parent] += layers[row].macs
    return lambda row: layers[row].depth < depth and modules[row] == layers[row].macs


def _ends(depths: Sequence[int]) -> list[int]:
    """For each row the one behind the last inside it."""
    ends = [len(depths)] * len(depths)
    open_rows: list[int] = []
    for row, depth in enumerate(depths):
        while open_rows and depths[open_rows[-1]] >= depth:
            ends[open_rows.pop()] = row
        open_rows.append(row)
    return ends
