"""A trace as nested blocks, each with the wiring between its children.

The trace knows edges between leaf rows. A block's own graph is what a reader sees when it is open: its children as
nodes, an *entry* for what comes from outside, an *exit* for what leaves. An edge between two leaves therefore shows
once in the block that holds both, as an entry in every block around its target, and as an exit in every block around
its origin.

Neighbouring children that are one row of the shape table (`analysis.folding` says what is equal, and what a series)
become one block, if they are wired as a chain. A table may fold parallel branches, a picture may not: one box in their
place would say that each takes what its neighbour gives.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from archlab.analysis.folding import in_series, likeness
from archlab.analysis.skips import skip_edges
from archlab.errors import InputError, nearest
from archlab.records import Layer, Shape, Trace

NETWORK = -1
"""The row of the block that is the network itself."""
SEPARATE_ENTRIES = 4
"""Tensors that go to the same children have an entry each up to this number, and share one above it."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A connection between two nodes of a block's graph: entries first, then children, then exits."""

    source: int
    target: int
    outlet: int = 0
    """Which exit of the source it leaves by."""
    inlet: int = 0
    """Which entry of the target it arrives at."""
    skip: bool = False
    """Whether all that it carries to the target bypasses layers (`analysis.skips`)."""


@dataclass(frozen=True, slots=True)
class Block:
    """One node of the diagram; with children it can be opened."""

    row: int
    """Its place among the trace's layers, `NETWORK` for the whole."""
    name: str
    """Its path from the parent on."""
    layer: Layer | None
    """The row itself; None for the whole network."""
    children: tuple[Block, ...] = ()
    entries: tuple[tuple[int, ...], ...] = ()
    """The tensors that each entry brings, as the trace numbers them: rows, and -1 - k for the k-th input."""
    exits: tuple[tuple[int, ...], ...] = ()
    edges: tuple[Edge, ...] = ()
    repeats: tuple[int, ...] = ()
    """The rows of all equal siblings that it stands for, its own first; empty where it stands for itself alone."""
    signature: int = 0
    """Equal for blocks of equal structure and shapes."""

    @property
    def path(self) -> str:
        """The dotted name of its row, empty for the network."""
        return self.layer.path if self.layer else ""


def outermost_block(trace: Trace, only: str | None = None) -> Block:
    """The outermost block of the diagram: the network, or the layer whose path `only` names.

    Raises:
        InputError: no layer has that path.
    """
    wiring = _Wiring(trace)
    if only is None:
        return wiring.block(NETWORK)
    for row, layer in enumerate(trace.layers):
        if layer.path == only:
            return wiring.block(row) if wiring.children[row] else wiring.alone(row)
    raise InputError(f"no layer of {trace.network} has the path {only!r}; {nearest(only, wiring.paths())}")


class _Wiring:
    """The edges of a trace, lifted into the blocks that they touch.

    The trace has edges between leaf rows alone. Say that `a.conv` feeds `b.relu`, in two blocks of one network. The
    edge is filed three times: `leaving[a]` has it as an exit, `inner[network]` as an edge from a to b, `entering[b]` as
    an entry. `inner` of a block maps (child it comes from, child it goes to, origin), `entering` origin to the children
    that take it, `leaving` origin to the child that gives it; an origin is the row of a leaf, or -1 - k for the k-th
    input. The innermost values say whether all leaves that take it there take it as a skip connection.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        count = len(trace.layers)
        self.parents: list[int] = []
        self.children: dict[int, list[int]] = {row: [] for row in range(NETWORK, count)}
        self.inner: dict[int, dict[tuple[int, int, int], bool]] = {row: {} for row in self.children}
        self.entering: dict[int, dict[int, dict[int, bool]]] = {row: {} for row in self.children}
        self.leaving: dict[int, dict[int, int]] = {row: {} for row in self.children}
        self.likeness = likeness(trace.layers)
        self.skips = skip_edges(trace)
        self.signatures: dict[Hashable, int] = {}
        self._nest()
        self._lift()

    def paths(self) -> list[str]:
        return [layer.path for layer in self.trace.layers if not layer.operation]

    def _nest(self) -> None:
        ancestors: list[int] = []
        for row, layer in enumerate(self.trace.layers):
            while ancestors and self.trace.layers[ancestors[-1]].depth >= layer.depth:
                ancestors.pop()
            parent = ancestors[-1] if ancestors else NETWORK
            self.parents.append(parent)
            self.children[parent].append(row)
            ancestors.append(row)

    def _line(self, row: int) -> list[int]:
        """The row and what holds it, up to the network."""
        line = [row]
        while line[-1] != NETWORK:
            line.append(self.parents[line[-1]])
        return line

    def _lift(self) -> None:
        used: set[int] = set()
        for row, layer in enumerate(self.trace.layers):
            for origin in layer.inputs:
                if origin < row:
                    used.add(origin)
                    self._connect(origin, row)
        for row, layer in enumerate(self.trace.layers):
            if not self.children[row] and layer.inputs and layer.output_shapes and row not in used:
                line = self._line(row)
                for child, holder in pairwise(line):
                    self.leaving[holder][row] = child

    def _connect(self, origin: int, row: int) -> None:
        """File an edge in every block around one of its ends, up to the innermost that holds both."""
        line = self._line(row)
        sources = self._line(origin) if origin >= 0 else []
        skip = (origin, row) in self.skips
        shared = set(line) & set(sources)
        if row in shared or origin in shared:  # a block and a part of it
            return
        for child, holder in pairwise(line):
            if holder in shared:
                break
            takers = self.entering[holder].setdefault(origin, {})
            takers[child] = takers.get(child, True) and skip
        for child, holder in pairwise(sources):
            if holder in shared:
                key = child, line[line.index(holder) - 1], origin
                self.inner[holder][key] = self.inner[holder].get(key, True) and skip
                break
            self.leaving[holder][origin] = child

    def alone(self, row: int) -> Block:
        """A leaf with what it takes and gives, as the only child of a block."""
        block = self.block(row)
        inputs = self.trace.layers[row].inputs or ()
        edges = [Edge(place, len(inputs)) for place in range(len(inputs))]
        edges.append(Edge(len(inputs), len(inputs) + 1))
        return Block(
            row, block.name, block.layer, (block,), tuple((origin,) for origin in inputs), ((row,),), tuple(edges)
        )

    def block(self, row: int) -> Block:
        layers = self.trace.layers
        layer = None if row == NETWORK else layers[row]
        name = _relative(layer.path, self._path(self.parents[row])) if layer else self.trace.network
        if not self.children[row]:
            leaf = Block(row, name, layer)
            return replace(leaf, signature=self._signature(leaf))
        children = [self.block(child) for child in self.children[row]]
        entries = _gathered(self.entering[row], apart=row == NETWORK)
        if row == NETWORK:  # an input that nothing takes is still an input
            taken = {origin for group in entries for origin in group}
            unused = [(-1 - place,) for place in range(len(self.trace.inputs)) if -1 - place not in taken]
            entries = sorted([*entries, *unused], reverse=True)
        exits: dict[int, list[int]] = {}
        for origin, child in self.leaving[row].items():
            exits.setdefault(child, []).append(origin)
        block = Block(
            row=row,
            name=name,
            layer=layer,
            children=tuple(children),
            entries=tuple(entries),
            exits=tuple(tuple(origins) for origins in exits.values()),
            edges=self._edges(row, children, entries, list(exits)),
        )
        block = _folded(block)
        return replace(block, signature=self._signature(block))

    def _path(self, row: int) -> str:
        return "" if row == NETWORK else self.trace.layers[row].path

    def _edges(
        self, row: int, children: list[Block], entries: list[tuple[int, ...]], exits: list[int]
    ) -> tuple[Edge, ...]:
        first = len(entries)
        places = {child.row: first + place for place, child in enumerate(children)}
        by_row = {child.row: child for child in children}
        edges: list[Edge] = []
        for place, origins in enumerate(entries):
            for origin in origins:
                for child, skip in self.entering[row].get(origin, {}).items():
                    edges.append(Edge(place, places[child], 0, _port(by_row[child].entries, origin), skip))
        for (source, target, origin), skip in self.inner[row].items():
            outlet, inlet = _port(by_row[source].exits, origin), _port(by_row[target].entries, origin)
            edges.append(Edge(places[source], places[target], outlet, inlet, skip))
        for place, child in enumerate(exits):
            for origin, holder in self.leaving[row].items():
                if holder == child:
                    outlet = _port(by_row[child].exits, origin)
                    edges.append(Edge(places[child], first + len(children) + place, outlet))
        return _merged(edges)

    def _signature(self, block: Block) -> int:
        key: Hashable = (
            self.likeness[block.row] if block.layer else NETWORK,
            tuple((child.signature, len(child.repeats)) for child in block.children),
            block.edges,
        )
        return self.signatures.setdefault(key, len(self.signatures))


def _relative(path: str, parent: str) -> str:
    return path.removeprefix(f"{parent}.") if parent else path


def _port(ports: Sequence[tuple[int, ...]], origin: int) -> int:
    return next((place for place, origins in enumerate(ports) if origin in origins), 0)


def _gathered(entering: dict[int, dict[int, bool]], apart: bool) -> list[tuple[int, ...]]:
    """The entries: one per tensor, many with the same consumers together."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for origin, consumers in entering.items():
        groups.setdefault(tuple(consumers), []).append(origin)
    entries: list[tuple[int, ...]] = []
    for origins in groups.values():
        if len(origins) > SEPARATE_ENTRIES and not apart:
            entries.append(tuple(origins))
        else:
            entries.extend((origin,) for origin in origins)
    return entries


def _folded(block: Block) -> Block:
    """The block with every chain of equal neighbours among its children drawn as one."""
    first, children = len(block.entries), block.children
    sources: dict[int, set[tuple[int, int]]] = {}
    targets: dict[int, set[int]] = {}
    for edge in block.edges:
        sources.setdefault(edge.target, set()).add((edge.source, edge.inlet))
        targets.setdefault(edge.source, set()).add(edge.target)

    def follows(place: int, start: int) -> bool:
        """Whether a child continues the run: equal, fed by its neighbour, and by what all the others share."""
        left, right, opening = children[place - 1], children[place], first + start
        node = first + place
        if left.signature != right.signature or targets.get(node - 1, set()) != {node}:
            return False
        if not in_series(left.path, right.path):
            return False
        if not (left.children or (left.layer and left.layer.parameters and not left.layer.operation)):
            return False
        shared = {source for source in sources[node] if source[0] != node - 1}
        earlier = {source for source in sources[node - 1] if source[0] != node - 2 or node - 1 == opening}
        return shared == earlier if node - 1 != opening else shared <= earlier

    kept: list[Block] = []
    places = list(range(first))
    start = 0
    for place, child in enumerate(children):
        if place and follows(place, start):
            kept[-1] = replace(kept[-1], repeats=(*(kept[-1].repeats or (kept[-1].row,)), child.row))
        else:
            kept.append(child)
            start = place
        places.append(first + len(kept) - 1)
    if len(kept) == len(children):
        return block
    places.extend(first + len(kept) + place for place in range(len(block.exits)))
    edges = _merged(
        replace(edge, source=places[edge.source], target=places[edge.target])
        for edge in block.edges
        if places[edge.source] != places[edge.target]
    )
    return replace(block, children=tuple(kept), edges=edges)


def _merged(edges: Iterable[Edge]) -> tuple[Edge, ...]:
    """Each edge once; a skip connection where nothing else runs from the same end to the same end."""
    skips: dict[Edge, bool] = {}
    for edge in edges:
        plain = replace(edge, skip=False)
        skips[plain] = skips.get(plain, True) and edge.skip
    return tuple(replace(edge, skip=skip) for edge, skip in skips.items())


def shapes_of(trace: Trace, origins: Sequence[int]) -> tuple[Shape, ...]:
    """The shapes that a trace's rows or inputs give."""
    found: list[Shape] = []
    for origin in origins:
        if origin >= 0:
            found.extend(trace.layers[origin].output_shapes)
        elif -1 - origin < len(trace.inputs):
            found.append(trace.inputs[-1 - origin])
    return tuple(found)
