from __future__ import annotations

import json
from pathlib import Path

import pytest

from archlab.records import Graph
from tests.cli.command import run
from tests.traces import layer, trace


@pytest.fixture
def kept(tmp_path: Path) -> str:
    path = tmp_path / "net.json"
    path.write_text(
        trace(
            layer("conv", inputs=(-1,)),
            layer("block", "Block"),
            layer("block.fc", inputs=(0,)),
            layer("block.add", "add", inputs=(2, 0), operation=True),
        ).to_json()
    )
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        ([], 'digraph "net" {'),
        (["--format", "dot"], 'digraph "net" {'),
        (["--format", "mermaid"], "flowchart TB"),
        (["--format", "json"], '{\n  "schema": "archlab.graph/1"'),
        (["--json"], '{\n  "schema": "archlab.graph/1"'),
        (["--format", "model-explorer"], '{\n "label": "net"'),
    ],
)
def test_languages(kept: str, arguments: list[str], start: str) -> None:
    assert run("graph", kept, *arguments).out.startswith(start)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.dot", "digraph"),
        ("a.gv", "digraph"),
        ("a.mmd", "flowchart"),
        ("a.json", '{\n  "schema"'),
        ("a.svg", "<svg"),
        ("a.html", "<!doctype html"),
    ],
)
def test_the_suffix_decides(kept: str, tmp_path: Path, name: str, start: str) -> None:
    path = tmp_path / name
    outcome = run("graph", kept, "-o", str(path))
    assert (outcome.code, outcome.out) == (0, "")
    assert path.read_text(encoding="utf-8").lower().startswith(start)


def test_a_part_and_a_depth(kept: str) -> None:
    assert [node.path for node in Graph.from_json(run("graph", kept, "--json").out).nodes] == [
        "input",
        "conv",
        "block",
        "output",
    ]
    inner = Graph.from_json(run("graph", kept, "--only", "block", "--json").out)
    assert [node.path for node in inner.nodes] == ["conv", "block.fc", "block.add", "output"]
    whole = json.loads(run("graph", kept, "--depth", "all", "--json").out)
    assert [node["path"] for node in whole["nodes"] if node["role"] == "block"] == ["block"]


def test_a_skip_connection_of_the_course() -> None:
    found = Graph.from_json(run("graph", "resnet", "--only", "stage_2.0", "--json").out)
    names = {node.id: node.path for node in found.nodes}
    into_the_sum = [names[edge.source] for edge in found.edges if names[edge.target] == "stage_2.0.add"]
    assert into_the_sum == ["stage_2.0.norm_2", "stage_2.0.shortcut"]
    assert {edge.shapes for edge in found.edges if names[edge.target] == "stage_2.0.add"} == {((1, 128, 12, 12),)}


BROKEN = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(8, 8)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.stem(x))
"""


def test_a_network_that_fails_is_drawn_up_to_there(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(BROKEN)
    call = ["graph", f"{tmp_path / 'net.py'}:Net", "--input", "1x8", "-o", str(tmp_path / "net.svg")]
    outcome = run(*call)
    assert outcome.code == 2
    assert "expected 5; in_features=8 would fit" in outcome.err
    assert "failed: given 8 features (1x8); expected 5" in (tmp_path / "net.svg").read_text(encoding="utf-8")
    outcome = run(*call, "--only", "tail")
    assert outcome.code == 2
    assert "expected 5; in_features=8 would fit" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "blok"], "has no layer 'blok': did you mean block"),
        (["-o", "a.txt"], "has no suffix that says what to write"),
        (["-o", "a"], "has no suffix that says what to write"),
        (["--json", "--format", "dot"], "leave one of them out"),
        (["--depth", "none"], "is no depth"),
    ],
)
def test_a_wrong_call(kept: str, arguments: list[str], message: str) -> None:
    outcome = run("graph", kept, *arguments)
    assert outcome.code == 2
    assert message in outcome.err


def test_volumes_of_one_network_and_of_two(kept: str, tmp_path: Path) -> None:
    path = tmp_path / "net.svg"
    outcome = run("graph", kept, "--view", "volume", "-o", str(path))
    assert (outcome.code, outcome.out) == (0, "")
    one = path.read_text(encoding="utf-8")
    assert one.startswith('<svg class="volume-drawing')
    assert run("graph", kept, "--view", "volume").out == one  # without a file, the text
    both = run("graph", kept, kept, "--view", "volume").out
    assert both.count("<title>block.fc") == 2 * one.count("<title>block.fc") == 2
    closed = run("graph", kept, "--view", "volume", "--depth", "1").out
    assert "<title>block (" in closed
    assert "<title>block.fc" not in closed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["NET", "NET"], "a diagram is of one network"),
        (["NET", "--view", "volume", "-o", "x.html"], "x.html has no suffix that says what to write"),
        (["NET", "--view", "volume", "--json"], "--json says nothing about volumes"),
        (["NET", "--view", "volume", "--direction", "down"], "--direction says nothing about volumes"),
        (["NET", "--view", "volume", "--colour", "macs"], "--colour says nothing about volumes"),
        (["NET", "--view", "volume", "--depth", "0"], "--depth '0' is no depth"),
        (["NET", "--view", "volume", "--only", "fc"], "has no layer 'fc'"),
    ],
)
def test_volumes_refuse_what_says_nothing(kept: str, arguments: list[str], words: str) -> None:
    outcome = run("graph", *(kept if item == "NET" else item for item in arguments))
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err.replace("\n", " ")
