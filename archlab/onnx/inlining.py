"""Functions that a model defines itself, written out where they are called.

torch's exporter and others put a module or an operation into a function of the model. Written out, its nodes lie below
the node that calls it: their names begin with its path, as names of a module's operations do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archlab.errors import SourceError

if TYPE_CHECKING:
    import onnx

LARGEST_GRAPH = 1_000_000
"""Nodes after writing out: functions that call each other twice, thirty deep, would be a billion."""

DOMAINS = ("", "ai.onnx")
"""Names of ONNX's own domain."""
Key = tuple[str, str, str]


@dataclass(slots=True)
class _Call:
    """Where a function's body is written out."""

    prefix: str = ""
    """In front of the body's node names; empty for the graph itself."""
    values: dict[str, str] = field(default_factory=dict)
    """Names in the body -> names outside."""
    arguments: dict[str, onnx.AttributeProto] = field(default_factory=dict)
    """Attributes that the call gives, and the function's defaults."""
    names: str = ""
    """In front of the names of values that the body makes; unique."""
    open: tuple[Key, ...] = ()
    """The functions that this one is called from."""


def inline(model: onnx.ModelProto, source: str) -> None:
    """Replaces the calls of the model's own functions by their bodies, in place.

    Raises:
        SourceError: a function calls itself, or written out they are more than can be measured.
    """
    if not model.functions:
        return
    versions = {item.domain: item.version for item in model.opset_import}
    _Inliner(model, source).graph(model.graph, _Call())
    for function in model.functions:
        for item in function.opset_import:
            if versions.setdefault(item.domain, item.version) == item.version:
                continue
            if item.domain in DOMAINS:
                raise SourceError(
                    f"{source} mixes versions {versions[item.domain]} and {item.version} of ONNX's operators, in its "
                    f"function {function.name}: convert it to one with onnx.version_converter"
                )
    del model.opset_import[:]
    for domain, version in versions.items():
        model.opset_import.add(domain=domain, version=version)
    del model.functions[:]


class _Inliner:
    def __init__(self, model: onnx.ModelProto, source: str) -> None:
        self.source = source
        self.functions: dict[Key, onnx.FunctionProto] = {
            (function.domain, function.name, function.overload): function for function in model.functions
        }
        self.count = 0
        self.calls = 0

    def graph(self, graph: onnx.GraphProto, call: _Call) -> None:
        """Writes out what a graph calls."""
        nodes = list(self.nodes(graph.node, call))
        del graph.node[:]
        graph.node.extend(nodes)

    def nodes(self, nodes: Iterable[onnx.NodeProto], call: _Call) -> Iterator[onnx.NodeProto]:
        """The nodes of a body with the names that they have outside, calls written out."""
        import onnx

        for number, given in enumerate(nodes):
            self.count += 1
            if self.count > LARGEST_GRAPH:
                raise SourceError(f"{self.source} has more than {LARGEST_GRAPH:,} nodes with its functions written out")
            node = onnx.NodeProto()
            node.CopyFrom(given)
            if call.names:
                self._rename(node, call)
            name = node.name or f"{node.op_type}_{number}"
            node.name = f"{call.prefix}/{name.removeprefix('/')}" if call.prefix else node.name
            for attribute in node.attribute:
                for graph in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                    self._subgraph(graph, call)
            key = (node.domain, node.op_type, node.overload)
            function = self.functions.get(key)
            if function is None:
                yield node
                continue
            if key in call.open:
                raise SourceError(f"{self.source} is damaged: its function {node.op_type} calls itself")
            yield from self._body(node, function, call, key, name)

    def _body(
        self, node: onnx.NodeProto, function: onnx.FunctionProto, call: _Call, key: Key, name: str
    ) -> Iterator[onnx.NodeProto]:
        self.calls += 1
        prefix = f"{call.prefix}/{name.removeprefix('/')}"
        inner = _Call(prefix, names=f"{prefix}#{self.calls}/", open=(*call.open, key))
        inner.values = dict.fromkeys(function.input, "")
        inner.values |= dict(zip(function.input, node.input, strict=False))
        inner.values |= {
            inside: outside for inside, outside in zip(function.output, node.output, strict=False) if outside
        }
        inner.arguments = {item.name: item for item in (*function.attribute_proto, *node.attribute)}
        yield from self.nodes(function.node, inner)

    def _subgraph(self, graph: onnx.GraphProto, call: _Call) -> None:
        """A body of a loop or a branch, whose own values are renamed too, since it may stand in a function."""
        if call.names:
            for item in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
                item.name = call.values.setdefault(item.name, call.names + item.name)
        self.graph(graph, call)

    def _rename(self, node: onnx.NodeProto, call: _Call) -> None:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name:
                    names[place] = call.values.setdefault(name, call.names + name)
        kept = []
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                found = call.arguments.get(attribute.ref_attr_name)
                if found is None:
                    continue  # not given, and without a default: the operator's own holds
                name = attribute.name
                attribute.CopyFrom(found)
                attribute.name = name
            kept.append(attribute)
        del node.attribute[:]
        node.attribute.extend(kept)
