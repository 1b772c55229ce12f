"""What holds of every drawing, whatever the network."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archlab.records import Trace
from archlab.reports.diagram.drawing import bounds
from archlab.reports.diagram.geometry import Point
from archlab.reports.diagram.scene import HEADER_HEIGHT, TERMINAL_SIZE, Box, Connector, Scene
from archlab.reports.diagram.views import View, opened, view
from tests.reports.diagrams import dense, nested, residual, stack, trace

KNOWN = {
    "residual": trace(*residual("block", 1, 0, -1)),
    "stack": stack(12),
    "dense": dense(12),
}


def scenes(network: Trace) -> list[Scene]:
    shown = view(network)
    return [shown.scene(opened(shown.root, depth)) for depth in (1, 2, None)]


def inside(inner: Box, outer: Box) -> bool:
    return (
        inner.x >= outer.x
        and inner.y >= outer.y
        and inner.x + inner.width <= outer.x + outer.width
        and inner.y + inner.height <= outer.y + outer.height
    )


def apart(one: Box, other: Box) -> bool:
    across = one.x + one.width < other.x or other.x + other.width < one.x
    return across or one.y + one.height < other.y or other.y + other.height < one.y


def holds(shown: View, outer: Box, inner: Box) -> bool:
    return inner.node.number in {node.number for node in outer.node.walk()} - {outer.node.number}


def check_boxes(shown: View, scene: Scene) -> None:
    for one, other in combinations(scene.boxes, 2):
        if holds(shown, one, other):
            assert one.open
            assert inside(other, one)
            assert other.y >= one.y + HEADER_HEIGHT
        else:
            assert apart(one, other), (one, other)


def on_edge(point: Point, scene: Scene) -> bool:
    """Whether a wire's end is where it may be: on a box, a terminal, a bus, or under the title of an open block."""
    x, y = point
    for box in scene.boxes:
        within = box.x <= x <= box.x + box.width
        if within and y in (box.y, box.y + box.height):
            return True
        if box.open and within and y == box.y + HEADER_HEIGHT:
            return True
        if box.y <= y <= box.y + box.height and x in (box.x, box.x + box.width):
            return True
    for end in scene.terminals:
        if abs(end.x - x) <= TERMINAL_SIZE[0] / 2 and y in (end.y, end.y + TERMINAL_SIZE[1]):
            return True
    for line in scene.connectors:
        if line.thick and x == line.corners[0][0] and line.corners[0][1] <= y <= line.corners[1][1]:
            return True
    return False


def crosses(line: Connector, box: Box) -> bool:
    for (x, y), (to_x, to_y) in pairwise(line.corners):
        across = max(x, to_x) > box.x and min(x, to_x) < box.x + box.width
        if across and max(y, to_y) > box.y and min(y, to_y) < box.y + box.height:
            return True
    return False


def check_lines(scene: Scene) -> None:
    for line in scene.connectors:
        for point in (line.corners[0], line.corners[-1]):
            assert line.thick or on_edge(point, scene), line
        for (x, y), (to_x, to_y) in pairwise(line.corners):
            assert x == to_x or y == to_y, "a wire runs straight down or sideways"
        for box in scene.boxes:
            assert box.open or not crosses(line, box), (line, box)


def check_ports(scene: Scene) -> None:
    """What enters an open block goes on inside, and what leaves it comes from there."""
    starts = {line.corners[0] for line in scene.connectors}
    ends = {line.corners[-1] for line in scene.connectors}
    for box in scene.boxes:
        within = [x for x, y in starts if y == box.y + HEADER_HEIGHT and box.x < x < box.x + box.width]
        assert box.open or not within
        assert all((x, box.y) in ends for x in within), box
        bottom = box.y + box.height
        if box.open:
            leaving = [x for x, y in ends if y == bottom and box.x < x < box.x + box.width]
            assert all((x, bottom) in starts for x in leaving), box


def check_bounds(scene: Scene) -> None:
    left, top, width, height = bounds(scene)
    corners = [corner for line in scene.connectors for corner in line.corners]
    corners += [(box.x, box.y) for box in scene.boxes]
    corners += [(box.x + box.width, box.y + box.height) for box in scene.boxes]
    corners += [(end.x + side * TERMINAL_SIZE[0] / 2, end.y) for end in scene.terminals for side in (-1, 1)]
    corners += [(at.x + 6 * len(at.text), at.y) for at in scene.labels]
    assert all(left <= x <= left + width and top <= y <= top + height for x, y in corners)


def check_rows(shown: View, scene: Scene, network: Trace) -> None:
    drawn = [box.node.row for box in scene.boxes]
    assert len(drawn) == len(set(drawn))
    folded = {path for box in scene.boxes for path in box.node.repeats}
    for row, layer in enumerate(network.layers):
        stands = any(layer.path == path or layer.path.startswith(f"{path}.") for path in folded)
        assert row in drawn or stands, layer.path


@pytest.mark.parametrize("name", KNOWN)
def test_known_networks_keep_the_laws(name: str) -> None:
    shown = view(KNOWN[name])
    for scene in scenes(KNOWN[name]):
        check_boxes(shown, scene)
        check_lines(scene)
        check_ports(scene)
        check_bounds(scene)
    check_rows(shown, shown.scene(opened(shown.root, None)), KNOWN[name])


@settings(deadline=None, max_examples=60)
@given(nested())
def test_random_networks_keep_the_laws(network: Trace) -> None:
    shown = view(network)
    for scene in scenes(network):
        check_boxes(shown, scene)
        check_lines(scene)
        check_ports(scene)
        check_bounds(scene)
    check_rows(shown, shown.scene(opened(shown.root, None)), network)


@settings(deadline=None, max_examples=30)
@given(nested(), st.data())
def test_opening_a_block_adds_its_children_and_nothing_else(network: Trace, data: st.DataObject) -> None:
    shown = view(network)
    blocks = [node for node in shown.root.children if node.plan]
    if not blocks:
        return
    block = data.draw(st.sampled_from(blocks))
    closed = {box.node.number for box in shown.scene(lambda node: False).boxes}
    opened = {box.node.number for box in shown.scene(lambda node: node is block).boxes}
    assert opened - closed == {child.number for child in block.children}
    assert closed <= opened


@settings(deadline=None, max_examples=30)
@given(nested())
def test_the_same_trace_is_drawn_the_same(network: Trace) -> None:
    again = Trace.from_json(network.to_json())
    assert [repr(scene) for scene in scenes(network)] == [repr(scene) for scene in scenes(again)]


def test_a_skip_runs_around_its_block() -> None:
    shown = view(KNOWN["residual"], "block")
    scene = shown.scene(opened(shown.root, 1))
    (skip,) = (line for line in scene.connectors if line.skip)
    right = max(box.x + box.width for box in scene.boxes)
    (joint,) = (box for box in scene.boxes if box.node.symbol == "+")
    assert max(x for x, _ in skip.corners) > right
    assert skip.corners[-1] == (joint.x + joint.width, joint.y + joint.height / 2)


def test_dense_layers_share_one_bus() -> None:
    shown = view(dense(48))
    scene = shown.scene(opened(shown.root, 1))
    assert [line.thick for line in scene.connectors].count(True) == 1
    # 1,225 edges: the input's own to the first layer, 49 that join the bus, 48 that leave it, and the one to the output
    assert len(scene.connectors) == 1 + 1 + 49 + 48 + 1
    assert scene.right - scene.left < 400
