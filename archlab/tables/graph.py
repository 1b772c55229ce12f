"""A network's graph as a table: each node, and where its input comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archlab.analysis.wording import counted
from archlab.tables.columns import count_column, shapes_text
from archlab.tables.table import Column, Row, Table

if TYPE_CHECKING:
    from archlab.records import Graph


def graph_table(graph: Graph) -> Table:
    """One row per node, in the order of execution, blocks around what lies in them."""
    paths = {node.id: node.path or node.id for node in graph.nodes}
    parents = {node.id: node.parent for node in graph.nodes}
    sources: dict[str, list[str]] = {}
    for edge in graph.edges:
        sources.setdefault(edge.target, []).append(paths.get(edge.source, edge.source))

    def depth(node: str) -> int:
        return 1 + depth(parents[node]) if parents.get(node) else 0

    return Table(
        columns=(
            Column("path", "path", shrinks=True),
            Column("kind", "kind"),
            Column("output_shapes", "output shape"),
            count_column("parameters", "parameters", blank_zero=True),
            Column("from", "from", shrinks=True),
        ),
        rows=tuple(
            Row(
                (
                    node.path or node.id,
                    node.kind if node.role in ("layer", "block") else node.role,
                    shapes_text(node.output_shapes),
                    node.parameters,
                    ", ".join(dict.fromkeys(sources.get(node.id, ()))),
                ),
                depth=depth(node.id),
            )
            for node in graph.nodes
        ),
        title=f"Graph of {graph.network}",
        footer=(f"{counted(len(graph.nodes), 'node')}, {counted(len(graph.edges), 'edge')}.",),
    )
