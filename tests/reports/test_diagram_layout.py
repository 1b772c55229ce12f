"""Rows, columns and tracks of a single graph."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archlab.reports.diagram.block import Edge
from archlab.reports.diagram.geometry import Placed, Point, Size, place
from archlab.reports.diagram.layout import SPINE, Plan, placed
from archlab.reports.diagram.ranking import ranked

Graph = tuple[int, list[tuple[int, int]], int, int, frozenset[int]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Entries, children and exits, with edges that lead to higher numbers."""
    entries, children, exits = draw(st.integers(0, 3)), draw(st.integers(1, 12)), draw(st.integers(0, 2))
    inner = range(entries, entries + children)
    edges = set()
    for node in inner:
        for source in draw(st.lists(st.integers(0, max(node - 1, 0)), max_size=3)):
            if source < node:
                edges.add((source, node))
    for place_ in range(exits):
        edges.add((draw(st.sampled_from(list(inner))), entries + children + place_))
    joints = draw(st.sets(st.sampled_from(list(inner))))
    return entries + children + exits, sorted(edges), entries, exits, frozenset(joints)


def planned(graph: Graph) -> Plan:
    count, edges, entries, exits, joints = graph
    return placed(count, [Edge(*edge) for edge in edges], entries, exits, joints)


def coordinates(plan: Plan) -> Placed:
    sizes = [
        Size(40.0 + 7 * (node % 4), 40.0 + 7 * (node % 4), 20.0 + 5 * (node % 3), 30.0)
        for node in range(len(plan.rows))
    ]
    return place(plan, sizes)


def chain(length: int) -> list[tuple[int, int]]:
    return [(node, node + 1) for node in range(length - 1)]


@settings(deadline=None, max_examples=100)
@given(graphs())
def test_every_edge_leads_down(graph: Graph) -> None:
    plan = planned(graph)
    assert all(plan.rows[source] < plan.rows[target] for source, target in graph[1])


@settings(deadline=None, max_examples=100)
@given(graphs())
def test_every_edge_is_a_wire_or_runs_over_a_bus(graph: Graph) -> None:
    plan = planned(graph)
    direct = [(wire.source, wire.target) for wire in plan.wires if wire.source >= 0 and wire.target >= 0]
    bused = [
        (joining.source, leaving.target)
        for joining in plan.wires
        for leaving in plan.wires
        if joining.target < 0
        and leaving.source < 0
        and joining.segment == leaving.segment
        # what joins the bus above a tap feeds that tap
        and plan.rows[joining.source] < plan.rows[leaving.target]
    ]
    assert sorted(direct + bused) == graph[1]


@settings(deadline=None, max_examples=100)
@given(graphs())
def test_nodes_of_a_column_share_no_level(graph: Graph) -> None:
    plan = planned(graph)
    places = [(plan.segments[home].column, row) for home, row in zip(plan.homes, plan.rows, strict=True)]
    assert len(places) == len(set(places))
    spans = [(segment.column, segment.first, segment.last) for segment in plan.segments]
    for number, (column, first, last) in enumerate(spans):
        for other_column, other_first, other_last in spans[:number]:
            assert column != other_column or other_last < first or last < other_first


@settings(deadline=None, max_examples=150)
@given(graphs())
def test_wires_that_share_a_piece_share_an_end(graph: Graph) -> None:
    plan = planned(graph)
    corners = coordinates(plan).wires
    for number, wire in enumerate(plan.wires):
        for other_number, other in enumerate(plan.wires[:number]):
            ends = wire.source == other.source >= 0 or wire.target == other.target >= 0
            bus = wire.segment == other.segment and -1 in (wire.source, wire.target)
            assert ends or bus or not overlap(corners[number], corners[other_number]), (wire, other)


def overlap(one: tuple[Point, ...], other: tuple[Point, ...]) -> bool:
    """Whether two wires run along one another for more than a point."""
    for axis in (0, 1):
        for start, end in pieces(one, axis):
            for other_start, other_end in pieces(other, axis):
                if start[axis] == other_start[axis]:
                    low = max(min(start[1 - axis], end[1 - axis]), min(other_start[1 - axis], other_end[1 - axis]))
                    high = min(max(start[1 - axis], end[1 - axis]), max(other_start[1 - axis], other_end[1 - axis]))
                    if high > low:
                        return True
    return False


def pieces(corners: tuple[Point, ...], axis: int) -> list[tuple[Point, Point]]:
    return [(a, b) for a, b in pairwise(corners) if a[axis] == b[axis] and a != b]


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        (chain(5), [0, 1, 2, 3, 4]),
        ([(0, 1), (1, 2), (2, 4), (0, 3), (3, 4)], [0, 1, 2, 1, 3]),  # a short branch starts right after its source
        ([(0, 1), (1, 2), (2, 4), (3, 4)], [0, 1, 2, 2, 3]),  # a constant stands right above what takes it
    ],
)
def test_rows(edges: list[tuple[int, int]], expected: list[int]) -> None:
    count = len(expected)
    before = [[source for source, target in edges if target == node] for node in range(count)]
    after = [[target for source, target in edges if source == node] for node in range(count)]
    assert ranked(before, after, 1, 1) == expected


def test_a_chain_is_the_spine() -> None:
    plan = planned((5, chain(5), 1, 1, frozenset()))
    assert set(plan.homes) == {SPINE}
    assert len(plan.segments) == 1


def test_nested_skips_nest() -> None:
    plan = planned((8, [*chain(8), (0, 6), (1, 5), (2, 4)], 1, 1, frozenset()))
    columns = {wire.source: plan.segments[wire.segment].column for wire in plan.wires if wire.target - wire.source > 1}
    assert columns == {2: 1, 1: 2, 0: 3}


def test_branches_stand_in_the_order_of_execution() -> None:
    # 0 feeds 1, 2-3 and 4; all meet in 5
    edges = [(0, 1), (0, 2), (2, 3), (0, 4), (1, 5), (3, 5), (4, 5)]
    plan = planned((6, edges, 1, 0, frozenset({5})))
    columns = [plan.segments[plan.homes[node]].column for node in (1, 2, 4)]
    assert columns == [-1, 0, 1]
    assert {wire.side for wire in plan.wires if wire.target == 5} == {-1, 0, 1}


def test_a_tensor_that_all_take_has_one_rail() -> None:
    edges = [*chain(82), *((0, node) for node in range(2, 82))]
    plan = planned((82, edges, 1, 0, frozenset()))
    assert len(plan.segments) == 2
