from __future__ import annotations

import json
from pathlib import Path

import pytest

from archlab.records import Diff
from tests.cli.command import run
from tests.traces import block, layer, trace


@pytest.fixture
def kept(tmp_path: Path) -> tuple[str, str]:
    paths = tmp_path / "a.json", tmp_path / "b.json"
    paths[0].write_text(trace(*block("stem"), layer("head")).to_json())
    paths[1].write_text(trace(*block("stem", 90), layer("head")).to_json())
    return str(paths[0]), str(paths[1])


def test_the_exit_code_tells_on_request(kept: tuple[str, str]) -> None:
    assert run("diff", *kept).code == 0
    assert run("diff", *kept, "--exit-code").code == 1
    assert run("diff", kept[0], kept[0], "--exit-code").code == 0


def test_forms(kept: tuple[str, str]) -> None:
    found = Diff.from_json(run("diff", *kept, "--json").out)
    assert [item.change for item in found.layers] == ["changed", "changed", "equal", "equal"]
    assert "+18" in run("diff", *kept).out  # 90 - 72
    assert "head" not in run("diff", *kept).out
    assert "head" in run("diff", *kept, "--all").out
    assert "stem.fc" not in run("diff", *kept, "--depth", "1").out


def test_options_of_either_side() -> None:
    outcome = run("diff", "lenet", "lenet", "--after", "norm=none", "--input", "28", "--json")
    document = json.loads(outcome.out)
    assert [row["before"]["path"] for row in document["layers"] if row["change"] == "removed"] == [
        "norm_1",
        "norm_2",
        "norm_3",
        "norm_4",
    ]
    assert (document["before"]["totals"]["parameters"], document["after"]["totals"]["parameters"]) == (44878, 44426)


def test_a_page_has_both_networks_side_by_side(tmp_path: Path) -> None:
    page = tmp_path / "pair.html"
    outcome = run("diff", "lenet", "lenet", "--after", "norm=none", "--depth", "1", "-o", str(page))
    assert (outcome.code, outcome.out) == (0, "")
    assert f"wrote {page}" in outcome.err
    html = page.read_text(encoding="utf-8")
    assert html.count("<figure") == 2
    assert "norm_1" in html.partition("diagram-differences")[2]
    assert "<figure" not in run("diff", "lenet", "lenet", "--format", "html").out
