"""What a user's own file prints stays out of the data on stdout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Call

NETWORK = """
from torch import nn

print("imported")

class Net(nn.Module):
    def __init__(self, classes: int = 10):
        super().__init__()
        print("built")
        self.head = nn.Linear(64, classes)

    def forward(self, x):
        print("called")
        return self.head(x.flatten(1))
"""
SMALL = ["--size", "8", "--epochs", "1", "--train-samples", "20", "--test-samples", "10", "--no-report"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["shapes", "net.py:Net", "--input", "1x8x8"],
        ["shapes", "net.py:Net", "--input", "1x8x8", "--verify"],
        ["growth", "net.py:Net", "--input", "1x8x8"],
        ["diff", "net.py:Net", "net.py:Net", "--input", "1x8x8"],
        ["train", "net.py:Net", *SMALL[:-1]],
        ["compare", "net.py:Net", "--lr", "0.1,0.2", "--seeds", "1", "--workers", "1", *SMALL],
    ],
    ids=lambda arguments: " ".join(arguments[:1] + arguments[4:5]),
)
def test_prints_go_to_stderr(archlab: Call, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "net.py").write_text(NETWORK)
    result = archlab(*arguments, "--json")
    assert json.loads(result.stdout)["schema"].startswith("archlab.")
    assert "imported" in result.stderr
