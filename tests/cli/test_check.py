from __future__ import annotations

import json
from pathlib import Path

import pytest

from archlab.cli.check import whole_number
from archlab.errors import InputError
from tests.cli.command import run


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2500000", 2_500_000),
        ("2,500,000", 2_500_000),
        ("2_500_000", 2_500_000),
        ("2.5M", 2_500_000),
        ("2.5m", 2_500_000),
        ("44.878K", 44_878),
        ("1G", 10**9),
        (".5T", 5 * 10**11),
        ("0", 0),
    ],
)
def test_numbers(text: str, number: int) -> None:
    assert whole_number("--max-macs", text) == number


@pytest.mark.parametrize("text", ["", "M", "-1", "1 2", "1e9", "1Gi", "many"])
def test_other_texts_are_no_numbers(text: str) -> None:
    with pytest.raises(InputError, match=r"--max-macs .* is no number: expected 2500000, 2.5M or 1G"):
        whole_number("--max-macs", text)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--max-parameters", "44878"], 0, "44,878 parameters, at the limit of 44,878"),
        (["--max-parameters", "44.877K"], 1, "44,878 parameters, 1 over the limit of 44,877"),
        (["--max-macs", "281640"], 0, "281,640 MACs, at the limit"),
        (["--max-macs", "200K", "--max-parameters", "1M"], 1, "281,640 MACs, 81,640 over the limit of 200,000"),
    ],
)
def test_limits(arguments: list[str], code: int, text: str) -> None:
    outcome = run("check", "lenet", *arguments)
    assert outcome.code == code
    assert text in outcome.out


def test_a_network_is_held_to_what_was_kept(tmp_path: Path) -> None:
    path = str(tmp_path / "shapes.json")
    saved = run("check", "resnet20", "--input", "3x16x16", "--save", path)
    assert (saved.code, saved.out) == (0, "")
    assert json.loads(Path(path).read_text())["schema"] == "archlab.trace/1"
    assert run("check", "resnet20", "--against", path).code == 0  # on the inputs that were kept
    outcome = run("check", "resnet20", "--option", "classes=11", "--against", path)
    assert outcome.code == 1
    assert "changed: output shapes 1x10 -> 1x11, parameters 650 -> 715 (+65)" in outcome.out  # 64 weights and a bias


def test_json_says_what_failed() -> None:
    document = json.loads(run("check", "lenet", "--max-parameters", "44000", "--json").out)
    assert document["schema"] == "archlab.check/1"
    assert document["findings"] == [
        {
            "subject": "parameters",
            "passed": False,
            "text": "44,878 parameters, 878 over the limit of 44,000",
            "found": 44878,
            "limit": 44000,
        }
    ]


@pytest.mark.parametrize(("limit", "code", "side"), [("1GB", 0, "under"), ("2MB", 1, "over")])
def test_memory_of_a_training_step_is_held_to_a_limit(limit: str, code: int, side: str) -> None:
    outcome = run("check", "lenet", "--batch", "64", "--max-memory", limit, "--json")
    assert outcome.code == code
    (finding,) = json.loads(outcome.out)["findings"]
    # Weights, gradients and Adam's two moments: 4 x 4 bytes x 44,878 parameters, before any activation.
    assert finding["found"] > 16 * 44_878
    assert finding["limit"] == {"1GB": 10**9, "2MB": 2 * 10**6}[limit]
    assert "bytes at the peak of a training step (batch 64, adam, fp32)" in finding["text"]
    assert side in finding["text"]


@pytest.mark.parametrize(
    ("network", "code", "subjects"),
    [("lenet", 1, ["conv_1", "conv_2", "linear_1", "linear_2"]), ("torchvision:mobilenet_v2", 0, ["lint"])],
)
def test_lint_names_layers_and_leaves_with_1_where_there_are_any(network: str, code: int, subjects: list[str]) -> None:
    outcome = run("check", network, "--lint", "--json")
    assert outcome.code == code
    findings = json.loads(outcome.out)["findings"]
    assert [finding["subject"] for finding in findings][: len(subjects)] == subjects


def test_memory_of_a_kept_trace_cannot_be_known() -> None:
    outcome = run("check", "kept.json", "--max-memory", "1GB")
    assert (outcome.code, outcome.out) == (2, "")
    assert "--max-memory needs the network itself, and kept.json is a trace" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to check"),
        (["--max-macs", "x"], "is no number"),
        (["--max-memory", "much"], "'much' is no size of memory"),
        (["--against", "missing.json"], "missing.json can't be read"),
    ],
)
def test_a_wrong_call(arguments: list[str], message: str) -> None:
    outcome = run("check", "lenet", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
