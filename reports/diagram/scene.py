"""A diagram with some of its blocks open, as boxes, wires and labels at their places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from archlab.reports.diagram.geometry import Placed, Point, Size, place
from archlab.reports.diagram.node import LETTER_WIDTH, DiagramNode

HEADER_HEIGHT, SIDE_PADDING, FOOT_HEIGHT = 30.0, 16.0, 14.0
"""Height of an open block's title, the space at its sides, and under what doesn't leave it."""
TITLE_LETTER_WIDTH, SUBTITLE_LETTER_WIDTH = 7.7, 5.9
"""The widths of the letters on a node."""
WIDEST_HEADER = 460.0
"""How much a title may widen an open block."""
TERMINAL_SIZE = (118.0, 26.0)
"""Size of an input or output of the whole diagram."""


@dataclass(frozen=True, slots=True)
class Box:
    """A node at its place."""

    node: DiagramNode
    x: float
    y: float
    width: float
    height: float
    open: bool
    level: int
    """1 for the outermost nodes."""


@dataclass(frozen=True, slots=True)
class Connector:
    """A wire at its place; `source` and `target` are the drawn ends' rectangles, where it has them."""

    corners: tuple[Point, ...]
    skip: bool
    """Whether it is a skip connection."""
    arrow: bool
    thick: bool = False


@dataclass(frozen=True, slots=True)
class Label:
    """A shape beside a wire, or a failure under a layer."""

    text: str
    x: float
    y: float
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Terminal:
    """An input or output of the whole diagram."""

    text: str
    x: float
    y: float


@dataclass(slots=True)
class Scene:
    """All that is drawn, in drawing order within each list; x runs from `left` to `right`, y from 0 to `height`."""

    boxes: list[Box] = field(default_factory=list)
    frames: list[Box] = field(default_factory=list)
    """Where an open block goes on in a further column."""
    connectors: list[Connector] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    terminals: list[Terminal] = field(default_factory=list)
    left: float = 0.0
    right: float = 0.0
    height: float = 0.0


@dataclass(frozen=True, slots=True)
class _Measured:
    node: DiagramNode
    size: Size
    placed: Placed | None = None
    children: tuple[_Measured, ...] = ()


def composed(root: DiagramNode, names: Sequence[str], is_open: Callable[[DiagramNode], bool]) -> Scene:
    """The scene of a root node with its inputs named, and those blocks open that `is_open` says."""
    measured = _measured(root, is_open, outermost=True)
    scene = Scene()
    assert measured.placed is not None
    placed = measured.placed
    _draw_inside(scene, measured, 0.0, 0.0, 1)
    total, outputs = len(placed.nodes), root.exits
    for number, (x, y) in enumerate(placed.nodes):
        if number < len(root.entries):
            scene.terminals.append(Terminal(names[number], x, y))
        elif number >= total - outputs:
            scene.terminals.append(
                Terminal("output" if outputs == 1 else f"output {number - total + outputs + 1}", x, y)
            )
    scene.left, scene.right, scene.height = placed.left, placed.right, placed.height
    return scene


def _measured(node: DiagramNode, is_open: Callable[[DiagramNode], bool], outermost: bool = False) -> _Measured:
    label = _label_width(node.label)
    if not node.plan or not (outermost or is_open(node)):
        width, height = node.size
        return _Measured(node, Size(width / 2, width / 2, height, label))
    children = tuple(_measured(child, is_open) for child in node.children)
    width, height = TERMINAL_SIZE if outermost else (0.0, 0.0)
    sizes = [
        *(Size(width / 2, width / 2, height, _label_width(text)) for text in _entry_labels(node, outermost)),
        *(child.size for child in children),
        *[Size(width / 2, width / 2, height)] * node.exits,
    ]
    placed = place(node.plan, sizes)
    first, total = len(node.entries), len(placed.nodes)
    size = Size(
        left=(left := max(SIDE_PADDING - placed.left, node.size[0] / 2)),
        right=max(SIDE_PADDING + placed.right, node.size[0] / 2, header_width(node) - left),
        height=HEADER_HEIGHT + placed.height + (0.0 if node.exits else FOOT_HEIGHT),
        label=0.0 if node.exits or node.failed else label,
        outlets=tuple(x for x, _ in placed.nodes[total - node.exits :]) or (0.0,),
        inlets=tuple(x for x, _ in placed.nodes[:first]) or (0.0,),
    )
    return _Measured(node, size, placed, children)


def _entry_labels(node: DiagramNode, outermost: bool) -> Sequence[str]:
    """What is written under its entries: a block within others has its only input's shape above it already."""
    return node.entries if outermost or len(node.entries) > 1 else [""] * len(node.entries)


def header_width(node: DiagramNode) -> float:
    """What the title of an open block takes, with its kind and its parameters."""
    said = ", ".join(filter(None, (node.subtitle, node.amount)))
    badge = 8 * len(node.badge) + 18 if node.badge else 0
    wide = 46 + TITLE_LETTER_WIDTH * len(node.title) + SUBTITLE_LETTER_WIDTH * len(said) + badge
    return min(wide, WIDEST_HEADER)


def _label_width(text: str) -> float:
    return 8.0 + LETTER_WIDTH * len(text) if text else 0.0


def _draw_inside(scene: Scene, measured: _Measured, x: float, y: float, level: int) -> None:
    """Draw an open block's inside with the spine at x and the first row at y."""
    node, placed = measured.node, measured.placed
    if placed is None or node.plan is None:
        return
    plan, first = node.plan, len(node.entries)
    leaving = len(placed.nodes) - node.exits
    for wire, corners in zip(plan.wires, placed.wires, strict=True):
        at = tuple((x + across, y + down) for across, down in corners)
        arrow = wire.target >= 0 and (wire.target < leaving or level == 1)
        line = Connector(at, wire.skip, arrow)
        if line not in scene.connectors[-len(placed.wires) :]:
            scene.connectors.append(line)
    for top, bottom in placed.buses:
        ends = ((x + top[0], y + top[1]), (x + bottom[0], y + bottom[1]))
        scene.connectors.append(Connector(ends, skip=True, arrow=False, thick=True))
    labels = _entry_labels(node, level == 1)
    for number, (across, down) in enumerate(placed.nodes):
        text, failed = labels[number] if number < first else "", False
        if first <= number < leaving:
            child = measured.children[number - first]
            size = child.size
            text, failed = child.node.label if size.label else "", child.node.failed
            left, upper = x + across - size.left, y + down
            scene.boxes.append(
                Box(child.node, left, upper, size.left + size.right, size.height, child.placed is not None, level)
            )
            _draw_inside(scene, child, x + across, upper + HEADER_HEIGHT, level + 1)
        if text:
            scene.labels.append(Label(text, x + across + 6.0, y + placed.labels[plan.rows[number]], failed))
