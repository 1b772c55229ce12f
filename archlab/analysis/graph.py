"""The layers of a trace as a graph, and the graph in the languages of other tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from archlab.analysis.folding import own_name, parent_rows
from archlab.analysis.wording import shape_text
from archlab.errors import InputError, nearest
from archlab.records import Graph, GraphEdge, GraphNode, Layer, Shape, Trace


def graph(trace: Trace, only: str = "", depth: int | None = 1) -> Graph:
    """The layers down to a depth, joined by the tensors that go between them.

    Args:
        trace: the network.
        only: path of the one layer whose inside is wanted; depths count from there.
        depth: levels to show; None for all.

    Raises:
        InputError: there is no layer of that path.
    """
    rows = _rows_of(trace, only)
    top = trace.layers[rows.start].depth if only else 1
    shown = [i for i in rows if depth is None or trace.layers[i].depth - top < depth]
    parents = parent_rows(layer.depth for layer in trace.layers)
    home: dict[int, int] = {}  # any row -> the shown row that it lies in
    visible = set(shown)
    for index in rows:
        home[index] = index if index in visible else home[parents[index]]
    blocks = {parents[index] for index in shown}
    edges = _edges(trace, rows, home, blocks)
    nodes = [
        _node(trace.layers[index], index, parents[index] if parents[index] in visible else -1, index in blocks)
        for index in shown
    ]
    sources = dict.fromkeys(edge.source for edge in edges)
    inputs = [_input(trace, name) for name in sources if name.startswith(("input", "from"))]
    ends = [node for node in nodes if node.role == "layer" and node.id not in sources and node.output_shapes]
    ends = [node for node in ends if trace.layers[int(node.id[1:])].call]
    outputs = [
        GraphNode(f"output{k}", "output", "output", "output", output_shapes=node.output_shapes)
        for k, node in enumerate(ends)
    ]
    edges += [GraphEdge(node.id, end.id, node.output_shapes) for node, end in zip(ends, outputs, strict=True)]
    return Graph(trace.network, (*inputs, *nodes, *outputs), tuple(edges))


def _rows_of(trace: Trace, only: str) -> range:
    """The rows of the whole network, or of what one layer holds (of the layer itself, where it holds nothing)."""
    if not only:
        return range(len(trace.layers))
    paths = [layer.path for layer in trace.layers]
    if only not in paths:
        raise InputError(f"{trace.network} has no layer {only!r}: {nearest(only, dict.fromkeys(paths))}")
    start = paths.index(only)
    stop = start + 1
    while stop < len(paths) and trace.layers[stop].depth > trace.layers[start].depth:
        stop += 1
    return range(start + 1, stop) if stop > start + 1 else range(start, stop)


def _edges(trace: Trace, rows: range, home: dict[int, int], blocks: set[int]) -> list[GraphEdge]:
    found: dict[tuple[str, str], list[Shape]] = {}
    for index in rows:
        target = home[index]
        for origin in trace.layers[index].inputs:
            if origin < 0:
                name, shapes = f"input{-1 - origin}", trace.inputs[-1 - origin : -origin]
            else:
                name = f"n{home[origin]}" if origin in home else f"from{origin}"
                shapes = _taken(trace.layers[origin], trace.layers[index])
            if name != f"n{target}" and target not in blocks:
                kept = found.setdefault((name, f"n{target}"), [])
                kept += [shape for shape in shapes if shape not in kept]
    return [GraphEdge(source, target, tuple(shapes)) for (source, target), shapes in found.items()]


def _taken(origin: Layer, target: Layer) -> tuple[Shape, ...]:
    """Those results of the origin that the target takes, as far as their shapes tell."""
    taken = tuple(shape for shape in origin.output_shapes if shape in target.input_shapes)
    return taken or origin.output_shapes


def _node(layer: Layer, index: int, parent: int, is_block: bool) -> GraphNode:
    return GraphNode(
        f"n{index}",
        layer.path,
        layer.kind,
        "block" if is_block else "layer",
        f"n{parent}" if parent >= 0 else "",
        layer.detail,
        layer.output_shapes,
        layer.parameters,
        layer.macs,
    )


def _input(trace: Trace, name: str) -> GraphNode:
    """The node of a network's input, or of a layer outside the part that is shown."""
    if name.startswith("from"):
        layer = trace.layers[int(name.removeprefix("from"))]
        return GraphNode(name, layer.path, layer.kind, "input", output_shapes=layer.output_shapes)
    number = int(name.removeprefix("input"))
    keyword = number - (len(trace.inputs) - len(trace.input_names))
    label = trace.input_names[keyword] if keyword >= 0 else "input"
    return GraphNode(name, label, "input", "input", output_shapes=trace.inputs[number : number + 1])


def dot(graph: Graph) -> str:
    """The graph in the DOT language of Graphviz: blocks are clusters, edges carry shapes."""
    lines = [
        f"digraph {_quoted(graph.network)} {{",
        "  rankdir=TB;",
        '  node [shape=box, style=rounded, fontname="sans-serif"];',
    ]
    lines += ['  edge [fontname="sans-serif", fontsize=10];']

    def draw(node: GraphNode, inner: list[str]) -> list[str]:
        if node.role == "block":
            return [f"subgraph cluster_{node.id} {{", f"  label={_quoted(_title(node))};", *inner, "}"]
        style = "" if node.role == "layer" else ", shape=plaintext"
        return [f"{node.id} [label={_quoted(_label(node))}{style}];"]

    lines += _nested(graph, draw)
    lines += [f"  {edge.source} -> {edge.target} [label={_quoted(_shapes(edge.shapes))}];" for edge in graph.edges]
    return "\n".join([*lines, "}"])


def mermaid(graph: Graph) -> str:
    """The graph as a Mermaid flowchart: blocks are subgraphs, edges carry shapes."""

    def draw(node: GraphNode, inner: list[str]) -> list[str]:
        if node.role == "block":
            return [f"subgraph {node.id}[{_entities(_title(node))}]", *inner, "end"]
        opening, closing = ("[", "]") if node.role == "layer" else ("([", "])")
        return [f"{node.id}{opening}{_entities(_label(node))}{closing}"]

    lines = ["flowchart TB", *_nested(graph, draw)]
    lines += [f"  {edge.source} -->|{_entities(_shapes(edge.shapes))}| {edge.target}" for edge in graph.edges]
    return "\n".join(lines)


def model_explorer(graph: Graph) -> str:
    """The graph as a JSON collection for Google's Model Explorer, which shows blocks as layers to open.

    The format is that of the classes of `model_explorer.graph_builder`: GraphCollection, Graph, GraphNode.
    """
    by_id = {node.id: node for node in graph.nodes}
    incoming: dict[str, list[dict[str, str]]] = {}
    for edge in graph.edges:
        edges = incoming.setdefault(edge.target, [])
        edges.append({"sourceNodeId": edge.source, "sourceNodeOutputId": "0", "targetNodeInputId": str(len(edges))})
    nodes = [
        {
            "id": node.id,
            "label": _own(node, by_id),
            "namespace": _namespace(node, by_id),
            "attrs": [{"key": key, "value": value} for key, value in _facts(node).items()],
            "incomingEdges": incoming.get(node.id, []),
            "outputsMetadata": [
                {"id": str(number), "attrs": [{"key": "shape", "value": _shapes([shape])}]}
                for number, shape in enumerate(node.output_shapes)
            ],
        }
        for node in graph.nodes
        if node.role != "block"
    ]
    blocks = [node for node in graph.nodes if node.role == "block"]
    attributes = {"/".join(filter(None, (_namespace(node, by_id), _own(node, by_id)))): _facts(node) for node in blocks}
    only = {"id": graph.network, "nodes": nodes, "groupNodeAttributes": attributes}
    return json.dumps({"label": graph.network, "graphs": [only]}, indent=1)


def _nested(graph: Graph, draw: Callable[[GraphNode, list[str]], list[str]]) -> list[str]:
    """The nodes' lines, those inside a block between its own, indented."""
    children: dict[str, list[GraphNode]] = {}
    for node in graph.nodes:
        children.setdefault(node.parent, []).append(node)

    def level(parent: str) -> list[str]:
        return [f"  {line}" for node in children.get(parent, []) for line in draw(node, level(node.id))]

    return level("")


def _facts(node: GraphNode) -> dict[str, str]:
    facts: dict[str, Any] = {"path": node.path, "kind": node.kind, "detail": node.detail}
    facts |= {"parameters": f"{node.parameters:,}", "MACs": f"{node.macs:,}"} if node.role in ("layer", "block") else {}
    return {key: value for key, value in facts.items() if value}


def _own(node: GraphNode, by_id: dict[str, GraphNode]) -> str:
    return own_name(node.path, by_id[node.parent].path) if node.parent else node.path


def _namespace(node: GraphNode, by_id: dict[str, GraphNode]) -> str:
    names: list[str] = []
    while node.parent:
        node = by_id[node.parent]
        names.append(_own(node, by_id))
    return "/".join(reversed(names))


def _title(node: GraphNode) -> str:
    return f"{node.path} ({node.kind})"


def _label(node: GraphNode) -> str:
    if node.role != "layer":
        return node.path
    kind = f"{node.kind} {node.detail}" if node.detail else node.kind
    return f"{node.path}\n{kind}"


def _shapes(shapes: Iterable[Shape]) -> str:
    return ", ".join(map(shape_text, shapes))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _entities(text: str) -> str:
    """The text in quotes with all that Mermaid or HTML would read written as a numbered entity."""
    written = "".join(c if c.isalnum() or c in " ._-+,/:()\n" else f"#{ord(c)};" for c in text)
    return '"' + written.replace("\n", "<br/>") + '"'
