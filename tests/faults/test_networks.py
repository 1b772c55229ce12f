"""Networks with planted faults end in one message or a result, and leave nothing behind: a share of the fuzzer."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import archlab
from archlab.errors import InputError, RunError, SourceError
from archlab.networks import members
from archlab.networks.strangers import contained, described, module_of, words
from tests.faults import deeds, leftovers, planting
from tests.faults.networks import Try, drawn, prepare, tried

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no copies of processes")
SHARE = (
    ("a cycle of modules", "trace module"),
    ("a cycle of modules", "train module"),
    ("a module that is no module", "command"),
    ("__repr__ that fails", "train name"),
    ("state_dict that ends the program", "train module"),
    ("train that ends the program", "trace name"),
    ("a layer raises an error whose words end the program", "trace name"),
    ("a layer raises controls", "command"),
    ("a layer enters a dispatch mode", "train name"),
    ("a layer hooks every module", "trace module"),
    ("a layer sets the default device", "train name"),
    ("the network gives integers", "train name"),
    ("weights that can't be changed", "train module"),
    (planting.ENDLESS, "command"),
)
"""What the fuzzer found once, and a fault that only a time limit ends."""


@pytest.fixture(autouse=True, scope="module")
def prepared() -> Iterator[None]:
    threads = torch.get_num_threads()
    prepare()
    yield
    torch.set_num_threads(threads)


@forks
@pytest.mark.parametrize(("plant", "way"), SHARE)
def test_what_was_found_stays_mended(plant: str, way: str, tmp_path: Path) -> None:
    assert tried(Try(plant, way, 1), tmp_path / "try") == []


@forks
def test_a_share_of_the_fuzzer(tmp_path: Path) -> None:
    for place in range(4):
        one = drawn(2026, place)
        assert tried(one, tmp_path / str(place)) == [], one


@forks
def test_the_fuzzer_sees_what_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(*_: object, **__: object) -> None:
        os.environ["LEFT"] = "1"
        raise ValueError("no message of archlab's")

    monkeypatch.setattr(archlab, "trace", careless)
    found = tried(Try("a shared module", "trace module", 1), tmp_path / "try")
    assert any("ValueError out of archlab" in item for item in found)
    assert "left behind: environment" in found


def test_a_network_is_compared_with_what_it_was() -> None:
    network = nn.Sequential(nn.Linear(2, 2))
    before = leftovers.network(network)
    assert leftovers.changed(before, leftovers.network(network)) == ""
    next(network.parameters()).data.add_(1)
    network.eval()
    assert leftovers.changed(before, leftovers.network(network)) == ": training, .0: training, .0.weight"


@pytest.mark.parametrize(
    ("table", "name", "value", "wrong"),
    [
        ("_modules", "odd", 3, "has a module 'odd' of type int"),
        ("_modules", 3, nn.ReLU(), "has a module named 3"),
        ("_parameters", "odd", "w", "has a parameter 'odd' of type str"),
        ("_buffers", "a\nb", torch.zeros(1), "has a buffer named"),
    ],
)
def test_modules_that_hold_something_else_are_refused(table: str, name: Any, value: object, wrong: str) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    getattr(network[1], table)[name] = value
    for use in (lambda: archlab.trace(network, "1x1x8x8"), lambda: archlab.train(network, epochs=1, progress=False)):
        with pytest.raises(InputError, match=rf"1 \(Linear\) {wrong}"):
            use()


def test_a_module_that_was_never_begun_is_refused() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            self.size = 3

    with pytest.raises(InputError, match=r"calls super\(\).__init__\(\) first"):
        archlab.trace(Bare(), "1x2")


def test_a_scripted_module_holds_its_tables_elsewhere() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch itself advises against it
        scripted = torch.jit.script(nn.Sequential(nn.Linear(3, 2)))
    members.refuse_unsound(scripted)
    assert [name for name, _ in members.named_parameters(scripted)] == ["0.weight", "0.bias"]


def test_each_place_of_a_module_is_named_once() -> None:
    shared = nn.Linear(2, 2)
    network = nn.Sequential(shared, nn.Sequential(shared))
    network[1].above = network
    assert [name for name, _ in members.every_named_module(network)] == ["", "0", "1", "1.0"]


@pytest.mark.parametrize(
    ("network", "wrong"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(9, 10)), r"failed on a batch of shape .* in 1 \(Linear\)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 10).requires_grad_(False)), "depends on no parameter"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 9)), r"gave \(20, 9\) for a batch of 20"),
    ],
)
def test_a_training_names_the_layer_that_failed(network: nn.Module, wrong: str) -> None:
    with pytest.raises(RunError, match=wrong):
        archlab.train(network, epochs=1, batch_size=20, train_samples=20, test_samples=10, progress=False)


def test_what_cannot_be_copied_is_told() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    vars(network)["held"] = (number for number in range(3))
    with pytest.raises(SourceError, match="can't be copied, as each run trains a copy: TypeError"):
        archlab.train(network, epochs=1, progress=False)


def test_an_error_is_told_in_few_lines() -> None:
    assert words(ValueError("line\n" * 500)).count("\n") == 5
    assert described(deeds.MuteError()) == "MuteError: (its message can't be shown)"
    assert module_of(ValueError(), nn.ReLU()) == ""


def test_modes_that_are_left_on_are_taken_off() -> None:
    before = leftovers.process()
    for deed in ("enters a function mode", "enters a dispatch mode", "hooks saved tensors"):
        with contained():
            deeds.DEEDS[deed](None, None)
        assert leftovers.changed(before, leftovers.process()) == ""
