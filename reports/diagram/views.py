"""What can be drawn of a trace: the chosen part, its colours, the blocks that are open, a sentence about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from archlab.records import Trace
from archlab.reports.diagram.block import Block, outermost_block
from archlab.reports.diagram.colour import Scheme, scheme
from archlab.reports.diagram.node import DiagramNode, diagram_node, input_name
from archlab.reports.diagram.scene import Scene, composed
from archlab.reports.text import brief, failure_text, visible


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

    def scene(self, is_open: Callable[[DiagramNode], bool]) -> Scene:
        """The boxes and wires with some blocks open."""
        return composed(self.root, self.names, is_open)

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


def down_to(root: DiagramNode, depth: int | None) -> Callable[[DiagramNode], bool]:
    """A predicate that opens the blocks above a depth, the root's children being at 1, and those that fail inside.

    None opens all.
    """
    levels: dict[int, int] = {}

    def note(node: DiagramNode, level: int) -> None:
        levels[node.number] = level
        for child in node.children:
            note(child, level + 1)

    note(root, 0)
    return lambda node: depth is None or levels[node.number] < depth or node.failed
