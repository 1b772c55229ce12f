"""`--bn` and `--skip` on networks whose factories have no such option."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archlab.records import Comparison, Diff, Trace
from tests.cli.command import run
from tests.networks.test_operating import NET


@pytest.fixture(name="file")
def net_file(tmp_path: Path) -> str:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return str(path)


def test_a_network_without_skip_connections_adds_nothing() -> None:
    command = ("shapes", "torchvision:resnet18", "--input", "64", "--depth", "all", "--json")
    before, after = (Trace.from_json(run(*command, *more).out) for more in ((), ("--skip", "off")))
    assert [layer.kind for layer in before.layers].count("add") == 8
    assert [layer.kind for layer in after.layers].count("add") == 0
    assert after.options == {"skip": "off"}
    assert "8 residual skip connections were switched off" in after.notes[-1]
    # The projections: 64 * 128 + 2 * 128, 128 * 256 + 2 * 256, 256 * 512 + 2 * 512.
    assert before.totals.parameters - after.totals.parameters == 8_448 + 33_280 + 132_096


def test_a_diff_of_one_network_shows_what_changes(file: str) -> None:
    found = Diff.from_json(run("diff", f"{file}:build", "--bn", "group", "--input", "3x8x8", "--json").out)
    changed = {
        layer.layer.path: (layer.before.kind, layer.after.kind)
        for layer in found.layers
        if layer.before and layer.after
    }
    assert changed["bn"] == ("BatchNorm2d", "GroupNorm")
    assert run("diff", f"{file}:build", "--skip", "off", "--input", "3x8x8", "--exit-code").code == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("diff", "{file}:build"), "one network was given"),
        (("shapes", "{file}:build", "--bn", "bath"), "--bn 'bath' is none of on, off, scratch, group"),
        (("shapes", "torchvision:vgg11", "--bn", "off"), "VGG has no BatchNorm layer"),
        (("shapes", "torchvision:densenet121", "--skip", "off"), "its 58 skip connections are concatenations"),
        (("train", "lenet", "--normalise", "imagenet"), "--normalise data"),
        (("train", "lenet", "--normalise", "often"), "expected one of none, data, imagenet"),
    ],
)
def test_what_can_not_be_meant_leaves_with_2(arguments: tuple[str, ...], says: str, file: str) -> None:
    outcome = run(*(argument.format(file=file) for argument in arguments))
    assert outcome.code == 2
    assert says in " ".join(outcome.err.split())


def test_variants_by_surgery_are_compared_in_other_processes(file: str, tmp_path: Path) -> None:
    short = ("--size", "8", "--epochs", "1", "--train-samples", "48", "--test-samples", "24", "--seeds", "1")
    command = ("compare", f"{file}:build", "--skip", "off", "--option", "norm=group", "--workers", "2", "--no-report")
    outcome = run(*command, *short, "--store", str(tmp_path / "store"), "--json")
    assert outcome.code == 0, outcome.err
    found = Comparison.from_json(outcome.out)
    assert [variant.name for variant in found.variants] == ["skip=on", "skip=off"]
    assert len(set(found.runs)) == 2
    said = " ".join(outcome.err.split())
    assert "1 BatchNorm layer was replaced by GroupNorm (norm=group)." in said
    assert "1 residual skip connection was switched off (skip=off)." in said
    assert "The grey images of digits are repeated in the 3 channels" in said
    assert json.loads(outcome.out)["network"] == f"{file}:build"
