"""A network as nodes and edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from archlab.records.display import Displayed, Shown
from archlab.records.trace import Shape


@dataclass(frozen=True, slots=True)
class GraphNode(Shown):
    """A layer, a block that holds layers, or an end of the network."""

    id: str
    path: str
    kind: str
    role: Literal["layer", "block", "input", "output"]
    """Edges join layers, inputs and outputs; a block holds the nodes that name it as `parent`."""
    parent: str = ""
    """Id of the block that it lies in."""
    detail: str = ""
    output_shapes: tuple[Shape, ...] = ()
    parameters: int = 0
    macs: int = 0


@dataclass(frozen=True, slots=True)
class GraphEdge(Shown):
    """Tensors that go from one node to another."""

    source: str
    target: str
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Graph(Displayed):
    """The layers of a network down to a depth, and what goes between them."""

    SCHEMA: ClassVar[str] = "archlab.graph/1"

    network: str
    nodes: tuple[GraphNode, ...]
    """Inputs, then blocks and layers in the order of execution, parents first, then outputs."""
    edges: tuple[GraphEdge, ...]
