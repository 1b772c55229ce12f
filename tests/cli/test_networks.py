from __future__ import annotations

import json

from archlab.networks import names
from tests.cli.command import run


def test_every_network_is_listed() -> None:
    lines = run("networks", "--format", "csv").out.splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == names()


def test_the_options_of_one() -> None:
    (network,) = json.loads(run("networks", "lenet", "--json").out)["networks"]
    assert network["input_shape"] == [1, 28, 28]
    assert network["options"]["norm"]["default"] == "batch"
    assert {"batch", "none", "scratch"} <= set(network["options"]["norm"]["choices"])
    assert network["options"]["classes"] == {"type": "int", "default": 10, "help": "outputs."}
    table = run("networks", "lenet").out
    assert table.startswith("lenet\n")
    assert "Paper: LeCun" in table


def test_an_unknown_name_is_refused() -> None:
    outcome = run("networks", "lnet")
    assert outcome.code == 2
    assert "did you mean lenet" in outcome.err


def test_the_options_of_a_source() -> None:
    table = run("networks", "torchvision:resnet18").out
    assert "By default" not in table  # its documentation has paragraphs, of which the first sentence is shown
    assert ":class:" not in table
    assert "The pretrained weights to use." in table
    assert "num_classes" in table
    assert "Made for inputs of 3x224x224." in table
    refused = run("networks", "lenet", "--option", "a=1")
    assert (refused.code, refused.out) == (2, "")
    assert "options are for a source" in refused.err
