from __future__ import annotations

import json

from tests.cli.command import run


def test_the_stages_of_densenet() -> None:
    document = json.loads(run("growth", "densenet", "--input", "96", "--json").out)
    assert document["schema"] == "archlab.growth/1"
    assert [(stage["paths"][0], stage["shape"][0]) for stage in document["stages"]] == [
        ("conv", 64),
        ("maxpool", 64),
        ("dense_block_0", 192),  # 64 + 4 * 32
        ("transition_0", 96),
        ("dense_block_1", 224),  # 96 + 4 * 32
        ("transition_1", 112),
        ("dense_block_2", 240),  # 112 + 4 * 32
        ("transition_2", 120),
        ("dense_block_3", 248),  # 120 + 4 * 32
        ("final_norm", 248),
        ("pool", 248),
        ("linear", 10),
    ]
    assert sum(stage["parameters"] for stage in document["stages"]) == 758226


def test_bars() -> None:
    lines = run("growth", "densenet", "--input", "96").out.splitlines()
    (largest,) = [line for line in lines if line.startswith("dense_block_3")]
    assert "#" * 24 in largest
