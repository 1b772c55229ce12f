"""Where the nodes of a block's graph go: rows, columns and the tracks of its wires, without a single coordinate.

What was compared. The diagram must be laid out in Python (an SVG without a browser) and again in the browser whenever
a block opens, from one offline install. Five graphs were given to each engine: a residual block (8 nodes), an
inception block (10), a U-Net (10), a chain of 80 with one tensor shared by all, and a DenseNet block of 48 layers in
which each takes the results of all before it (1,225 edges).

- Graphviz: a system binary; its wheels (pygraphviz) carry 15 MB of libraries, its WebAssembly build (npm) 1.3 MB, and
  the page would have to allow WebAssembly. No answer for the DenseNet block within 90 seconds.
- ELK (elkjs, EPL-2.0, 1.6 MB of script, npm alone; pyelk, a young port of it): the DenseNet block in 17 seconds, 13,600
  by 14,800 pixels; the chain of 80 in 2,400 by 4,700.
- dagre (MIT, 49 kB, npm alone; Python would need V8 beside it): 24 seconds and 24,400 pixels wide; 4,500 wide.
- grandalf (GPL or EPL, pure Python, last release January 2023): 7 seconds; not for the browser.
- graphlay (Rust, new): 52 seconds; not for the browser. fast-sugiyama and igraph place points without a size;
  networkx has no layered layout of its own.

Each engine draws the first three well, and none the last two: they take an edge for a line of its own, where the
picture that everybody knows has one rail that gathers. And none runs both in Python and in a page without a second
runtime. The graphs themselves are easy: a block of a network is a chain with a few branches and detours. Of the 965
blocks of 17 torchvision networks (AlexNet to MaxViT), 758 need one column, 937 three at most, and none more than six;
a test holds the built-in networks to that. So the placement is this module's own:

1. a node's row is its longest path from an entry (Sugiyama, Tagawa and Toda 1981, step 1);
2. the longest path is the spine, column 0; what is left falls into chains, longest first, each a column of its own;
3. an edge over several rows becomes a rail, a column without nodes; edges from one node share theirs;
4. targets that each take all that came before (DenseNet) tap one bus;
5. columns are packed outwards from the spine, short spans inside long ones, so that nested skips nest;
6. where wires run sideways between two rows, those that would overlap get tracks.

All nodes and rails of a column share one vertical line, so chains and skips are straight, and coordinates follow from
sizes by adding up (`geometry`): that is all that is repeated when a block opens. No step depends on chance.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from archlab.reports.diagram.block import Edge
from archlab.reports.diagram.ranking import ranked

SPINE = 0
"""The segment in column 0."""


@dataclass(frozen=True, slots=True)
class WireSegment:
    """A vertical line that nodes or a rail lie on. Row r is 2r, the gap under it 2r + 1."""

    column: int
    """0 for the spine, positive to its right, negative to its left."""
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Wire:
    """An edge as drawn: down from its source, sideways to a segment, down, sideways to its target, down."""

    source: int
    """The node that it leaves; -1 where it taps a bus."""
    target: int
    """The node that it ends at; -1 where it joins a bus."""
    segment: int
    outlet: int = 0
    inlet: int = 0
    fork: int = 0
    """The track under the source that it runs sideways on."""
    tap: int = 0
    """The track above the target that it runs sideways on."""
    side: int = 0
    """-1 or 1 where it enters its target from the left or the right, 0 from above."""
    skip: bool = False
    """Whether it is a skip connection."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A block's graph, placed."""

    rows: tuple[int, ...]
    """The row of each node."""
    homes: tuple[int, ...]
    """The segment of each node."""
    segments: tuple[WireSegment, ...]
    wires: tuple[Wire, ...]
    forks: tuple[int, ...]
    """Tracks at the top of the gap under each row."""
    taps: tuple[int, ...]
    """Tracks at its bottom."""


def placed(
    count: int,
    edges: Sequence[Edge],
    entries: int,
    exits: int,
    joints: Collection[int] = (),
    ported: Collection[int] = (),
) -> Plan:
    """The plan of a graph whose nodes are numbered entries first, exits last, children by execution between.

    Wires that meet a joint (an addition, a concatenation) enter it from the side where nothing stands between. Those
    of a ported node, a block with an entry or exit beside its spine, may run sideways to get there.
    """
    return _Placement(count, edges, entries, exits, frozenset(joints), frozenset(ported)).plan()


class _Placement:
    def __init__(
        self,
        count: int,
        edges: Sequence[Edge],
        entries: int,
        exits: int,
        joints: frozenset[int],
        ported: frozenset[int],
    ) -> None:
        self.count, self.entries, self.joints, self.ported = count, entries, joints, ported
        self.edges = [edge for edge in dict.fromkeys(edges) if edge.source < edge.target]
        pairs = sorted({(edge.source, edge.target) for edge in self.edges})
        self.before: list[list[int]] = [[] for _ in range(count)]
        self.after: list[list[int]] = [[] for _ in range(count)]
        for source, target in pairs:
            self.before[target].append(source)
            self.after[source].append(target)
        self.rows = ranked(self.before, self.after, entries, exits)
        self.homes = [-1] * count
        self.spans: list[tuple[int, int]] = []
        self.columns: list[int] = []
        self.rails: set[int] = set()
        self.heads: set[int] = set()
        self.tails: set[int] = set()
        self.occupied: set[tuple[int, int]] = set()

    def plan(self) -> Plan:
        self._lay_chains()
        buses = self._buses()
        bused = {(source, target) for sources, targets, _ in buses for target in targets for source in sources[target]}
        wires = [*self._bus_wires(buses), *self._wires(bused)]
        self._choose_columns(wires)
        self.occupied = set(zip(self.homes, self.rows, strict=True))
        meeting: dict[int, set[int]] = {}
        for wire in wires:
            meeting.setdefault(wire.target, set()).add(wire.segment)
        wires = [self._sided(wire, meeting[wire.target]) for wire in wires]
        height = max(self.rows, default=0) + 1
        forks = self._tracks(wires, height, at_source=True)
        taps = self._tracks(wires, height, at_source=False)
        tracked = [replace(wire, fork=forks[1].get(wire.source, 0), tap=taps[1].get(wire.target, 0)) for wire in wires]
        segments = [WireSegment(column, *span) for column, span in zip(self.columns, self.spans, strict=True)]
        return Plan(tuple(self.rows), tuple(self.homes), tuple(segments), tuple(tracked), forks[0], taps[0])

    # Chains

    def _lay_chains(self) -> None:
        """Give every node a segment: the spine first, then the longest chain of what is left, again and again."""
        loose = [node for node in range(self.count) if not self.before[node] and not self.after[node]]
        free = set(range(self.count)) - set(loose)
        while free:
            chain = self._longest(free)
            free.difference_update(chain)
            self._add_segment(chain)
        for node in loose:
            if node < self.entries:
                self._add_segment([node])
        if under := [node for node in loose if node >= self.entries]:
            self._add_segment(under)

    def _longest(self, free: set[int]) -> list[int]:
        best: dict[int, tuple[int, int]] = {}  # node: (length of the longest path down from it, next node)
        for node in sorted(free, reverse=True):
            steps = [(best[follower][0], -follower) for follower in self.after[node] if follower in free]
            length, follower = max(steps, default=(0, 1))
            best[node] = (length + 1, -follower)
        node = min(free, key=lambda candidate: (-best[candidate][0], candidate))
        chain = []
        while node >= 0:
            chain.append(node)
            node = best[node][1]
        return chain

    def _add_segment(self, chain: list[int]) -> None:
        first, last = self.rows[chain[0]], self.rows[chain[-1]]
        span = (2 * first - 1, 2 * last + 1)
        if not self.spans:
            span = (-1, 2 * max(self.rows) + 1)
        else:  # its own edges run on its line, up to where they come from and down to where they go
            origins = [2 * self.rows[node] + 1 for node in self.before[chain[0]]]
            goals = [2 * self.rows[node] - (node not in self.joints) for node in self.after[chain[-1]]]
            span = (min([span[0], *origins]), max([span[1], *goals]))
        self.heads.add(chain[0])
        self.tails.add(chain[-1])
        for node in chain:
            self.homes[node] = len(self.spans)
        self.spans.append(span)

    # Buses

    def _buses(self) -> list[tuple[dict[int, list[int]], list[int], int]]:
        """Rows of targets that each take all that came before: (sources of each target, targets, segment)."""
        buses = []
        left = {node for node in range(self.count) if len(self.before[node]) > 1}
        while chain := self._nested(left):
            left.difference_update(chain)
            sources = {target: self.before[target] for target in chain}
            rows = [self.rows[node] for node in sources[chain[-1]]]
            end = 2 * self.rows[chain[-1]] - (chain[-1] not in self.joints)
            self.spans.append((2 * min(rows) + 1, end))
            self.rails.add(len(self.spans) - 1)
            buses.append((sources, chain, len(self.spans) - 1))
        return buses

    def _nested(self, candidates: set[int]) -> list[int]:
        """The longest chain of targets whose sources contain one another, three at least.

        In a DenseNet block layers take {0, 1}, {0, 1, 2}, {0, 1, 2, 3} and so on.
        """
        found: list[int] = []
        for node in sorted(candidates, key=lambda node: (len(self.before[node]), node)):
            sources = set(self.before[node])
            if not found:
                found = [node]
                continue
            earlier = set(self.before[found[-1]])
            # A source that joins the bus above an earlier tap would seem to feed that tap too.
            late = all(self.rows[source] >= self.rows[found[-1]] for source in sources - earlier)
            if earlier < sources and late:
                found.append(node)
            elif len(found) < 3:
                found = [node]
            else:
                break
        return found if len(found) >= 3 else []

    def _bus_wires(self, buses: list[tuple[dict[int, list[int]], list[int], int]]) -> list[Wire]:
        wires: dict[Wire, None] = {}
        for sources, targets, segment in buses:
            for edge in self.edges:
                if edge.source in sources[targets[-1]] and edge.target in sources:
                    wires[Wire(edge.source, -1, segment, edge.outlet, skip=True)] = None
                    wires[Wire(-1, edge.target, segment, 0, edge.inlet, skip=True)] = None
        return list(wires)

    # Wires

    def _wires(self, bused: set[tuple[int, int]]) -> list[Wire]:
        wires = []
        shared: dict[int, int] = {}  # source: its rail
        for edge in self.edges:
            if (edge.source, edge.target) in bused:
                continue
            segment = self._own_line(edge)
            if segment is None:
                end = 2 * self.rows[edge.target] - (edge.target not in self.joints)
                if edge.source not in shared:
                    shared[edge.source] = len(self.spans)
                    self.rails.add(len(self.spans))
                    self.spans.append((2 * self.rows[edge.source] + 1, end))
                segment = shared[edge.source]
                self.spans[segment] = (self.spans[segment][0], max(end, self.spans[segment][1]))
            wires.append(Wire(edge.source, edge.target, segment, edge.outlet, edge.inlet, skip=edge.skip))
        return wires

    def _own_line(self, edge: Edge) -> int | None:
        """The segment of one of its ends, where the edge can run on it; None where it needs a rail."""
        source, target = edge.source, edge.target
        home, goal = self.homes[source], self.homes[target]
        if home == goal:
            between = (
                node
                for node in range(source + 1, target)
                if self.homes[node] == home and self.rows[source] < self.rows[node] < self.rows[target]
            )
            return home if next(between, None) is None else None
        if target in self.heads and goal != SPINE:
            return goal
        if source in self.tails and home != SPINE:
            return home
        return None

    # Columns

    def _choose_columns(self, wires: Sequence[Wire]) -> None:
        self.columns = [0] * len(self.spans)
        users: dict[int, list[int]] = {}
        for wire in wires:
            users.setdefault(wire.segment, []).extend(
                self.homes[node] for node in (wire.source, wire.target) if node >= 0
            )
        firsts = {home: node for node, home in reversed(list(enumerate(self.homes)))}
        spine = {self.rows[node]: node for node in range(self.count) if self.homes[node] == SPINE}

        def precedes(segment: int) -> bool:
            """Whether its nodes run before those of the spine beside them."""
            node = firsts.get(segment)
            return node is not None and node < spine.get(self.rows[node], -1)

        def turn(segment: int) -> tuple[int, int]:
            first, last = self.spans[segment]
            return last - first, -segment if precedes(segment) else segment

        taken: dict[int, list[tuple[int, int]]] = {}
        for segment in sorted(range(1, len(self.spans)), key=turn):
            span = self.spans[segment]
            right, left = _innermost(taken, span, 1), _innermost(taken, span, -1)
            if segment in self.rails:
                sides = {self.columns[home] for home in users.get(segment, ())} - {0}
                column = left if sides and max(sides) < 0 else right
            else:  # in the order of execution, unless that puts nearly all on one side
                lean = 2 if precedes(segment) else -1
                column = left if -left < right + lean else right
            self.columns[segment] = column
            taken.setdefault(column, []).append(span)

    def _sided(self, wire: Wire, meeting: set[int]) -> Wire:
        """The wire, entering its target from the side where that is a joint with nothing between."""
        target = wire.target
        if target not in self.joints or wire.segment == self.homes[target]:
            return wire
        here, goal = self.columns[wire.segment], self.columns[self.homes[target]]
        level = 2 * self.rows[target]
        if here == goal or not self.spans[wire.segment][0] <= level <= self.spans[wire.segment][1]:
            return wire
        if (wire.segment, self.rows[target]) in self.occupied:
            return wire
        low, high = min(here, goal), max(here, goal)
        for segment, (first, last) in enumerate(self.spans):
            between = low < self.columns[segment] < high and first <= level <= last
            if between and not (segment in meeting and last == level):
                return wire
        return replace(wire, side=1 if here > goal else -1)

    # Tracks

    def _tracks(self, wires: Sequence[Wire], height: int, at_source: bool) -> tuple[tuple[int, ...], dict[int, int]]:
        """How many tracks each gap needs, and the track of each node whose wires run sideways there.

        Wires of one node share a track, those of nodes whose stretches overlap must not: the shortest stretch takes the
        first track, each further one the first that is free all along. Columns 0 to 1, 1 to 2 and 3 to 4 get the tracks
        0, 1 and 0.
        """
        reach: dict[int, list[int]] = {}
        for wire in wires:
            node = wire.source if at_source else wire.target
            if node < 0 or (wire.side and not at_source):
                continue
            if wire.segment != self.homes[node] or node in self.ported:
                home, column = self.columns[self.homes[node]], self.columns[wire.segment]
                reach.setdefault(node, [home]).append(column)
        gaps: list[list[tuple[int, int, int]]] = [[] for _ in range(height)]
        tracks: dict[int, int] = {}
        for node in sorted(reach, key=lambda node: (max(reach[node]) - min(reach[node]), node)):
            low, high = min(reach[node]), max(reach[node])
            row = self.rows[node] - (not at_source)
            used = {track for first, last, track in gaps[row] if first <= high and low <= last}
            track = next(number for number in range(len(used) + 1) if number not in used)
            gaps[row].append((low, high, track))
            tracks[node] = track
        return tuple(1 + max((track for *_, track in gap), default=-1) for gap in gaps), tracks


def _innermost(taken: dict[int, list[tuple[int, int]]], span: tuple[int, int], side: int) -> int:
    """The column nearest to the spine, on a side, in which a span is free."""
    column = side
    while any(first <= span[1] and span[0] <= last for first, last in taken.get(column, ())):
        column += side
    return column
