from __future__ import annotations

import json
import re

import pytest

from archlab.analysis.graph import dot, graph, mermaid, model_explorer
from archlab.errors import InputError
from archlab.records import Graph
from tests.traces import layer, trace

# input -> conv -> block(fc -> relu -> add with conv) -> head
NETWORK = trace(
    layer("conv", "Conv2d", parameters=9, macs=7, inputs=(-1,)),
    layer("block", "Residual", parameters=72),
    layer("block.fc", parameters=72, inputs=(0,), output_shapes=((1, 4),)),
    layer("block.relu", "ReLU", inputs=(2,), input_shapes=((1, 4),)),
    layer("block.add", "add", inputs=(3, 0), operation=True, detail="8+8"),
    layer("head", inputs=(4,), output_shapes=((1, 10),)),
    layer("unused", call=0),
)


def edges(found: Graph) -> list[tuple[str, str, str]]:
    names = {node.id: node.path for node in found.nodes}
    return [(names[edge.source], names[edge.target], "x".join(map(str, edge.shapes[0]))) for edge in found.edges]


def test_edges_join_the_rows_that_are_shown() -> None:
    assert edges(graph(NETWORK)) == [
        ("input", "conv", "1x8"),
        ("conv", "block", "1x8"),
        ("block", "head", "1x8"),
        ("head", "output", "1x10"),
    ]


def test_a_skip_connection_is_an_edge() -> None:
    found = graph(NETWORK, depth=None)
    assert edges(found) == [
        ("input", "conv", "1x8"),
        ("conv", "block.fc", "1x8"),
        ("block.fc", "block.relu", "1x4"),
        ("block.relu", "block.add", "1x8"),
        ("conv", "block.add", "1x8"),
        ("block.add", "head", "1x8"),
        ("head", "output", "1x10"),
    ]
    roles = {node.path: (node.role, node.parent) for node in found.nodes}
    assert roles["block"] == ("block", "")
    assert roles["block.add"] == ("layer", "n1")


def test_a_part_of_the_network_with_what_comes_in_from_outside() -> None:
    found = graph(NETWORK, "block")
    assert [(node.path, node.role) for node in found.nodes] == [
        ("conv", "input"),
        ("block.fc", "layer"),
        ("block.relu", "layer"),
        ("block.add", "layer"),
        ("output", "output"),
    ]
    assert ("conv", "block.add", "1x8") in edges(found)


def test_a_leaf_alone() -> None:
    assert [node.path for node in graph(NETWORK, "head").nodes] == ["block.add", "head", "output"]


def test_keyword_inputs_keep_their_names() -> None:
    network = trace(
        layer("a", inputs=(-1,)),
        layer("b", inputs=(-2,)),
        inputs=((1, 8), (2, 8)),
        input_names=("mask",),
    )
    assert edges(graph(network))[:2] == [("input", "a", "1x8"), ("mask", "b", "2x8")]


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(InputError, match="no layer 'blok': did you mean block"):
        graph(NETWORK, "blok")


def test_json() -> None:
    found = graph(NETWORK, depth=None)
    assert Graph.from_json(found.to_json()) == found


def test_dot() -> None:
    assert dot(graph(NETWORK, depth=None)).splitlines() == [
        'digraph "net" {',
        "  rankdir=TB;",
        '  node [shape=box, style=rounded, fontname="sans-serif"];',
        '  edge [fontname="sans-serif", fontsize=10];',
        '  input0 [label="input", shape=plaintext];',
        '  n0 [label="conv\\nConv2d"];',
        "  subgraph cluster_n1 {",
        '    label="block (Residual)";',
        '    n2 [label="block.fc\\nLinear"];',
        '    n3 [label="block.relu\\nReLU"];',
        '    n4 [label="block.add\\nadd 8+8"];',
        "  }",
        '  n5 [label="head\\nLinear"];',
        '  n6 [label="unused\\nLinear"];',
        '  output0 [label="output", shape=plaintext];',
        '  input0 -> n0 [label="1x8"];',
        '  n0 -> n2 [label="1x8"];',
        '  n2 -> n3 [label="1x4"];',
        '  n3 -> n4 [label="1x8"];',
        '  n0 -> n4 [label="1x8"];',
        '  n4 -> n5 [label="1x8"];',
        '  n5 -> output0 [label="1x10"];',
        "}",
    ]


def test_mermaid() -> None:
    assert mermaid(graph(NETWORK)).splitlines() == [
        "flowchart TB",
        '  input0(["input"])',
        '  n0["conv<br/>Conv2d"]',
        '  n1["block<br/>Residual"]',
        '  n5["head<br/>Linear"]',
        '  n6["unused<br/>Linear"]',
        '  output0(["output"])',
        '  input0 -->|"1x8"| n0',
        '  n0 -->|"1x8"| n1',
        '  n1 -->|"1x8"| n5',
        '  n5 -->|"1x10"| output0',
    ]
    inner = mermaid(graph(NETWORK, depth=None)).splitlines()
    assert inner[3:8] == [
        '  subgraph n1["block (Residual)"]',
        '    n2["block.fc<br/>Linear"]',
        '    n3["block.relu<br/>ReLU"]',
        '    n4["block.add<br/>add 8+8"]',
        "  end",
    ]


def test_model_explorer() -> None:
    document = json.loads(model_explorer(graph(NETWORK, depth=None)))
    assert document["label"] == "net"
    (only,) = document["graphs"]
    nodes = {node["id"]: node for node in only["nodes"]}
    add = nodes["n4"]
    assert (add["label"], add["namespace"]) == ("add", "block")
    assert add["incomingEdges"] == [
        {"sourceNodeId": "n3", "sourceNodeOutputId": "0", "targetNodeInputId": "0"},
        {"sourceNodeId": "n0", "sourceNodeOutputId": "0", "targetNodeInputId": "1"},
    ]
    assert add["outputsMetadata"] == [{"id": "0", "attrs": [{"key": "shape", "value": "1x8"}]}]
    assert "n1" not in nodes
    assert only["groupNodeAttributes"]["block"]["parameters"] == "72"
    assert {edge["sourceNodeId"] for node in nodes.values() for edge in node["incomingEdges"]} <= set(nodes)


@pytest.mark.parametrize("name", ['a"];b', "a\\", 'x"] --> y["</script>', "line\nbreak", "#quot;"])
def test_names_cannot_leave_their_label(name: str) -> None:
    hostile = graph(trace(layer(name, depth=1, inputs=(-1,)), network=name))
    label = re.compile(r'"(?:[^"\\]|\\.)*"')
    assert '"' not in label.sub("", dot(hostile))
    for line in mermaid(hostile).splitlines()[1:]:
        assert re.fullmatch(r'  [\w>| -]*(\(\[|\[|\|)?("[^"]*")?(\]\)|\]|\|)?( \w+)?', line)
        assert "<" not in line.replace("<br/>", "")
    assert json.loads(model_explorer(hostile))["label"] == name
