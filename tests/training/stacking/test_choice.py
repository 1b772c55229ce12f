"""The choice between a stack and one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archlab.records import TrainingConfig
from archlab.training import seeding
from archlab.training.stacking.choice import choose
from archlab.training.stacking.stack import Stack
from archlab.training.step import Step, Taken
from tests.training.tiny import make_data, make_network

DATA = make_data(80, 20)
CONFIGS = [TrainingConfig(batch_size=8, seed=seed) for seed in range(4)]


def networks(make: Callable[[], nn.Module] = make_network) -> list[nn.Module]:
    return [seeding.build(make, config.seed) for config in CONFIGS]


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A clock that moves in steps alone, and by how much: `alone` for one, `together` for all as one program."""
    clock, seconds = [0.0], {"alone": 1.0, "together": 1.0}
    take, take_together = Step.take, Stack.take

    def alone(step: Step) -> Taken:
        clock[0] += seconds["alone"]
        return take(step)

    def together(stack: Stack, steps: Sequence[Step]) -> list[Taken]:
        clock[0] += seconds["together"]
        return take_together(stack, steps)

    monkeypatch.setattr(Step, "take", alone)
    monkeypatch.setattr(Stack, "take", together)
    monkeypatch.setattr(time, "process_time", lambda: clock[0])
    return seconds


def test_the_quicker_way_is_chosen(costs: dict[str, float]) -> None:
    costs["together"] = 2.5  # for what takes 4 x 1 one after the other
    chosen = choose(networks(), CONFIGS, DATA)
    assert (chosen.most, chosen.ratio) == (4, 1.6)
    assert chosen.words == "4 runs are trained as one program: 1.60 times as quick as one after the other"
    costs["together"] = 5.0
    chosen = choose(networks(), CONFIGS, DATA)
    assert (chosen.most, chosen.ratio) == (1, 0.8)
    assert chosen.words == ("4 runs are trained one after the other: as one program they would be 0.80 times as quick")


def test_a_gain_that_is_too_small_is_none(costs: dict[str, float]) -> None:
    costs["together"] = 3.9
    assert choose(networks(), CONFIGS, DATA).most == 1


def test_what_is_asked_for_is_not_measured(costs: dict[str, float]) -> None:
    costs["together"] = 100.0
    chosen = choose(networks(), CONFIGS, DATA, 2, measured=False)
    assert (chosen.most, chosen.ratio) == (2, None)
    assert chosen.words == "4 runs are trained as one program, 2 at a time"


def test_nothing_is_changed() -> None:
    made = [network.eval() for network in networks()]
    before = [{name: value.clone() for name, value in network.state_dict().items()} for network in made]
    torch.manual_seed(5)
    np.random.seed(5)
    choose(made, CONFIGS, DATA)
    drawn, expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(5)
    np.random.seed(5)
    assert torch.equal(drawn, torch.rand(3))
    assert np.array_equal(expected, np.random.rand(3))
    for network, kept in zip(made, before, strict=True):
        assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())
        assert not any(module.training for module in network.modules())
        assert all(parameter.grad is None for parameter in network.parameters())


class Linear(nn.Module):
    """A linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.change(x).flatten(1))
        return result

    def change(self, x: Tensor) -> Tensor:
        return x


class Drawing(Linear):
    """Drops without a layer for it."""

    def change(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, self.training)


class Across(Linear):
    """Looks at the whole batch outside a layer."""

    def change(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class Counting(Linear):
    """Counts its steps."""

    steps = 0

    def change(self, x: Tensor) -> Tensor:
        self.steps += 1
        return x


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Drawing, "their networks draw random numbers"),
        (Across, "as one program they give something else"),
        (Counting, "each step changes steps of the network, which is no parameter or buffer"),
    ],
)
def test_what_only_a_step_shows_keeps_runs_apart(kind: type[nn.Module], reason: str) -> None:
    chosen = choose(networks(kind), CONFIGS, DATA, measured=False)
    assert (chosen.most, chosen.words) == (1, f"4 runs are trained one after the other: {reason}")


def test_what_cannot_be_stacked_keeps_runs_apart() -> None:
    chosen = choose(networks(lambda: make_network(dropout=0.5)), CONFIGS, DATA)
    assert chosen.words == "4 runs are trained one after the other: dropout (Dropout) draws random numbers"


def test_without_the_memory_for_all_fewer_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    take = Stack.take

    def refuse(most: int) -> None:
        def narrow(stack: Stack, steps: Sequence[Step]) -> list[Taken]:
            if len(steps) > most:
                raise torch.OutOfMemoryError("no room")
            return take(stack, steps)

        monkeypatch.setattr(Stack, "take", narrow)

    refuse(2)
    chosen = choose(networks(), CONFIGS, DATA, measured=False)
    assert chosen.most == 2
    assert chosen.words == (
        "4 runs are trained as one program, 2 at a time (the memory is not enough for 4 as one program)"
    )
    refuse(1)
    chosen = choose(networks(), CONFIGS, DATA, measured=False)
    assert chosen.words == ("4 runs are trained one after the other: the memory is not enough for 2 as one program")


def test_momenta_of_batchnorm_may_differ() -> None:
    configs = [replace(config, momentum=0.1 * (1 + config.seed)) for config in CONFIGS]
    assert choose(networks(), configs, DATA, measured=False).most == 4
