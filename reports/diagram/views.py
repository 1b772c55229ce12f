"""What can be drawn of a trace: the chosen part, its colours, the blocks that are open, a sentence about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from archlab.errors import InputError
from archlab.records import Trace
from archlab.reports.diagram.block import Block, outermost_block
from archlab.reports.diagram.colour import Scheme, scheme
from archlab.reports.diagram.node import DiagramNode, diagram_node, input_name
from archlab.reports.diagram.scene import Scene, composed
from archlab.reports.diagram.wrapping import wrapped
from archlab.reports.text import brief, failure_text, visible

DIRECTIONS = ("down", "columns")


@dataclass(frozen=True, slots=True)
class View:
    """A trace, or one layer of it, ready to be drawn."""

    trace: Trace
    block: Block
    root: DiagramNode
    names: tuple[str, ...]
    """What its inputs are called."""
    rows: tuple[bool, ...]
    """Which rows hold others."""

    def colours(self, colour: str) -> Scheme:
        """The styles of the rows under one colouring."""
        return scheme(self.trace, colour, self.rows)

    def scene(self, is_open: Callable[[DiagramNode], bool], direction: str = "down") -> Scene:
        """The boxes and wires with some blocks open.

        Args:
            is_open: which are.
            direction: `down` for one column, `columns` for as many as fill a page best.

        Raises:
            InputError: there is no such direction.
        """
        if direction not in DIRECTIONS:
            raise InputError(f"a diagram has no direction {direction!r}; expected one of {', '.join(DIRECTIONS)}")
        scene = composed(self.root, self.names, is_open)
        return wrapped(scene) if direction == "columns" else scene

    @property
    def title(self) -> str:
        """What is drawn: the network, or the layer and its kind."""
        whole = visible(self.trace.network)
        return f"{whole}: {self.root.path} ({visible(self.block.layer.kind)})" if self.block.layer else whole

    @property
    def description(self) -> str:
        """The picture in words."""
        totals = self.block.layer or self.trace.totals
        rows = sum(1 for node in self.root.walk()) - 1
        outermost = ", ".join(child.title for child in self.root.children[:40])
        more = ", ..." if len(self.root.children) > 40 else ""
        return (
            f"Diagram of {self.title}: {brief(totals.parameters)} parameters, {brief(totals.macs)} MACs, "
            f"{rows} layers drawn. In order: {outermost}{more}.{f' {self.failure}' if self.failure else ''}"
        )

    @property
    def failure(self) -> str:
        """Where and why the forward pass failed, empty where it did not, or elsewhere than in what is drawn."""
        failure = self.trace.failure
        if failure is None or (self.block.layer and not any(node.failed for node in self.root.walk())):
            return ""
        kind = f" ({visible(failure.kind)})" if failure.path and failure.kind else ""
        where = f"{visible(failure.path) or 'the network itself'}{kind}"
        return f"The forward pass failed at {where}: {failure_text(failure)}."


def view(trace: Trace, only: str | None = None) -> View:
    """The view of a trace, or of the layer whose path `only` names.

    Raises:
        InputError: no layer has that path.
    """
    block = outermost_block(trace, only)
    names = tuple(
        input_name(trace, origins, place, len(block.entries), block.layer is None)
        for place, origins in enumerate(block.entries)
    )
    layers = trace.layers
    rows = [row + 1 < len(layers) and layers[row + 1].depth > layer.depth for row, layer in enumerate(layers)]
    return View(trace, block, diagram_node(block, trace), names, tuple(rows))


Depth = int | Literal["auto"] | None
"""How much of a diagram is open: the blocks above a depth, what is worth seeing, or all."""
FEW_BOXES, MANY_BOXES = 3, 40
"""A level of so few boxes says nothing, so those are opened; more boxes than the second are never shown at first."""


def opened(root: DiagramNode, depth: Depth) -> Callable[[DiagramNode], bool]:
    """A predicate that says which blocks are open, those that fail inside always among them.

    Args:
        root: the outermost node.
        depth: blocks above it are open, the root's children being at 1; None opens all, and `auto` what is worth
            seeing: levels of a few boxes, and the first block that a skip connection bypasses the layers of.
    """
    if depth == "auto":
        numbers = _worth_seeing(root)
        return lambda node: node.number in numbers or node.failed
    levels: dict[int, int] = {}

    def note(node: DiagramNode, level: int) -> None:
        levels[node.number] = level
        for child in node.children:
            note(child, level + 1)

    note(root, 0)
    return lambda node: depth is None or levels[node.number] < depth or node.failed


def _worth_seeing(root: DiagramNode) -> set[int]:
    numbers: set[int] = set()
    shown = [*root.children]
    while len(shown) <= FEW_BOXES and any(node.plan for node in shown):
        numbers |= {node.number for node in shown if node.plan}
        shown = [inner for node in shown for inner in (node.children if node.plan else (node,))]
    line = _line_to_skip(root)
    if len(shown) + sum(len(node.children) for node in line) <= MANY_BOXES:
        numbers |= {node.number for node in line}
    return numbers


def _line_to_skip(root: DiagramNode) -> list[DiagramNode]:
    """The first block with a skip connection inside, after the blocks around it; empty if the root has one, or none."""

    def has_skip(node: DiagramNode) -> bool:
        return node.plan is not None and any(wire.skip for wire in node.plan.wires)

    def find(node: DiagramNode) -> list[DiagramNode]:
        for child in node.children:
            if has_skip(child):
                return [child]
            if line := find(child):
                return [child, *line]
        return []

    return [] if has_skip(root) else find(root)
