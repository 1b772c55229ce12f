from __future__ import annotations

from pathlib import Path

import pytest

from archlab.cli.common.options import depth_limit, network_options, traced
from archlab.errors import InputError
from tests.traces import layer, trace


@pytest.mark.parametrize(
    ("options", "bn", "skip", "chosen"),
    [
        (None, None, None, {}),
        (["depth=56", "blocks=2,2"], None, None, {"depth": "56", "blocks": "2,2"}),
        (["name=a=b"], None, None, {"name": "a=b"}),
        ([], "off", None, {"norm": "none"}),
        ([], "on", "off", {"norm": "batch", "skip": "off"}),
        (None, "scratch", "on", {"norm": "scratch", "skip": "on"}),
    ],
)
def test_options(options: list[str] | None, bn: str | None, skip: str | None, chosen: dict[str, str]) -> None:
    assert network_options(options, bn, skip) == chosen


@pytest.mark.parametrize(
    ("options", "bn", "skip", "message"),
    [
        (["depth"], None, None, "'depth' is no K=V"),
        (["=5"], None, None, "is no K=V"),
        (["a=1", "a=2"], None, None, "'a' is given twice"),
        (["norm=group"], "off", None, "'norm' is given twice"),
        (None, "maybe", None, "--bn 'maybe' is none of on, off, scratch"),
        (None, None, "maybe", "--skip 'maybe' is none of on, off"),
    ],
)
def test_wrong_options_are_refused(options: list[str] | None, bn: str | None, skip: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        network_options(options, bn, skip)


@pytest.mark.parametrize(("text", "limit"), [("1", 1), ("12", 12), ("all", None)])
def test_depths(text: str, limit: int | None) -> None:
    assert depth_limit(text) == limit


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "deep", "", "²"])
def test_wrong_depths_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"expected 1, 2, \.\.\. or all"):
        depth_limit(text)


def test_a_trace_that_was_kept_stands_for_its_network(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_text(trace(layer("fc")).to_json())
    assert traced(str(path)) == trace(layer("fc"))
    with pytest.raises(InputError, match="is a trace: its inputs and options can't be chosen any more"):
        traced(str(path), ["96"])


def test_a_file_that_is_no_trace_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_text("{}")
    with pytest.raises(InputError, match=r"expected .archlab\.trace/1."):
        traced(str(path))


@pytest.mark.parametrize("name", ["network", "batch", "inputs", "columns", "strict"])
def test_an_option_may_be_called_like_an_argument_of_trace(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"from torch import nn\n\ndef build({name}=1):\n    return nn.Linear(2, {name})\n")
    found = traced(f"{path}:build", ["5x2"], options={name: "3"})
    assert found.totals.parameters == 9  # 2 * 3 + 3
    assert found.layers[0].output_shapes == ((5, 3),)
    with pytest.raises(InputError, match=f"lenet has no option '{name}'"):
        traced("lenet", options={name: "3"})
