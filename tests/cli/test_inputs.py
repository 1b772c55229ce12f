"""`--input` as people type it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import run

NETWORKS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.heads = nn.ModuleDict({"a": nn.Linear(4, 5), "b": nn.Linear(4, 6)})

    def forward(self, x, t, head="a", scale=None):
        y = self.conv(x).mean((2, 3)) + t[:, None]
        return self.heads[head](y) if scale is None else self.heads[head](y * scale)

class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.rows = nn.Parameter(torch.zeros(3, 5))

    def forward(self, scale=1.0):
        return self.rows * scale
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETWORKS)


def inputs(*texts: str) -> list[str]:
    return [part for text in texts for part in ("--input", text)]


@pytest.mark.parametrize(
    ("texts", "heading", "macs"),
    [
        (["5", "1:int64"], "on 1x3x5x5, 1", 992),  # 9 * 4 * 27 = 972 and 4 * 5 = 20
        (["3x5x6", "t=1:int64=7"], "on 1x3x5x6, 1", 1_316),  # 12 * 4 * 27 = 1,296 and 20
        (["2x3x5x5", "t=6,4", "head=b", "scale=0.5"], "on 2x3x5x5, 2", 1_992),  # 1,944 and 2 * 4 * 6 = 48
        (["2x3x5x5", "2", "b", "+2"], "on 2x3x5x5, 2", 1_992),
    ],
)
def test_the_heading_shows_the_whole_shapes(texts: list[str], heading: str, macs: int) -> None:
    lines = run("shapes", "nets.py:Net", *inputs(*texts)).out.splitlines()
    assert lines[0].endswith(heading)
    assert json.loads(run("shapes", "nets.py:Net", *inputs(*texts), "--json").out)["totals"]["macs"] == macs


def test_a_network_without_input() -> None:
    for command in ("shapes", "growth", "graph", "diff"):
        networks = ["nets.py:Table"] * (2 if command == "diff" else 1)
        output = ["--format", "dot"] if command == "graph" else []
        outcome = run(command, *networks, *inputs("none"), *output)
        assert outcome.code == 0
        assert " on " not in outcome.out.splitlines()[0]


@pytest.mark.parametrize(
    ("network", "texts"),
    [("nets.py:Table", ["none"]), ("nets.py:Net", ["5", "t=1:int64"]), ("nets.py:Net", ["5", "t=1", "head=a"])],
)
def test_a_check_goes_on_with_the_inputs_that_were_kept(network: str, texts: list[str]) -> None:
    assert run("check", network, *inputs(*texts), "--save", "kept.json").code == 0
    assert run("check", network, "--against", "kept.json").code == 0


@pytest.mark.parametrize("text", ["t=4x:int64", "t=(4):int64", "t=2=1,2,3", "t=@none.npy", "t=ones"])
def test_a_wrong_input_is_one_message_that_quotes_it(text: str) -> None:
    outcome = run("shapes", "nets.py:Net", *inputs("5", text))
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: the input ")
    assert repr(text) in outcome.err
    assert outcome.err.count("error") == 1
