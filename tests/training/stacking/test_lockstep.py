"""Trainings side by side: each ends as it would by itself, whatever the others do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from archlab.errors import DivergedError, RunError
from archlab.records import Epoch, TrainingConfig
from archlab.training import seeding
from archlab.training.loop import Trainer
from archlab.training.stacking import lockstep
from archlab.training.stacking.lockstep import is_out_of_memory
from archlab.training.stacking.stack import Stack
from archlab.training.step import Course, Step, Taken
from tests.training.tiny import make_data, make_network

DATA = make_data(80, 20)
CONFIG = TrainingConfig(batch_size=8, epochs=2, learning_rate=0.001, precise_images=48)


def whole(trainer: Trainer) -> Course[list[Epoch]]:
    while not trainer.has_ended:
        yield from trainer.epoch(lambda step: None, lambda: None)
    return trainer.ended


def trainers(configs: Sequence[TrainingConfig], norm: str = "batch") -> list[Trainer]:
    return [Trainer(seeding.build(lambda: make_network(norm), config.seed), DATA, config) for config in configs]


def losses(epochs: Sequence[Epoch] | None) -> list[float | None]:
    assert epochs is not None
    return [value for epoch in epochs for value in (epoch.train_loss, epoch.test_loss)]


def test_all_steps_but_those_that_are_looked_at_are_taken_together(taken: list[int]) -> None:
    configs = [replace(CONFIG, seed=seed) for seed in range(3)]
    outcomes = lockstep.in_lockstep([whole(trainer) for trainer in trainers(configs)])
    assert taken == [3] * (20 - 2 - 2)  # 2 epochs of 10 steps, without the first two and the last of each epoch
    for outcome, trainer in zip(outcomes, trainers(configs), strict=True):
        assert losses(outcome.value) == pytest.approx(losses(list(trainer.epochs())), abs=1e-4)


def test_who_ends_earlier_leaves_the_others(taken: list[int]) -> None:
    configs = [replace(CONFIG, seed=0, epochs=1), replace(CONFIG, seed=1), replace(CONFIG, seed=2)]
    outcomes = lockstep.in_lockstep([whole(trainer) for trainer in trainers(configs)])
    assert taken == [3] * 7 + [2] * 9
    for outcome, trainer in zip(outcomes, trainers(configs), strict=True):
        assert losses(outcome.value) == pytest.approx(losses(list(trainer.epochs())), abs=1e-4)


def test_who_diverges_is_alone_in_it(taken: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archlab.training.loop.CHECK_STEPS", 5)
    configs = [CONFIG, replace(CONFIG, seed=1, optimizer="sgd", learning_rate=1e30), replace(CONFIG, seed=2)]
    one, diverged, other = lockstep.in_lockstep([whole(trainer) for trainer in trainers(configs, "none")])
    assert isinstance(diverged.error, DivergedError)
    assert set(taken) == {2, 3}
    for outcome, config in ((one, CONFIG), (other, configs[2])):
        (trainer,) = trainers([config], "none")
        assert losses(outcome.value) == pytest.approx(losses(list(trainer.epochs())), abs=1e-4)


def test_where_the_memory_is_not_enough_stacks_are_halved(monkeypatch: pytest.MonkeyPatch, taken: list[int]) -> None:
    take = Stack.take

    def refuse(stack: Stack, steps: Sequence[Step]) -> list[Taken]:
        if len(steps) > 2:
            raise RunError("step 3: the network failed") from torch.OutOfMemoryError("no room")
        return take(stack, steps)

    monkeypatch.setattr(Stack, "take", refuse)
    configs = [replace(CONFIG, seed=seed) for seed in range(5)]
    said: list[str] = []
    outcomes = lockstep.in_lockstep([whole(trainer) for trainer in trainers(configs)], tell=said.append)
    assert said == ["the memory is not enough for 5 runs as one program: they go on 2 at a time"]
    assert taken == [2, 2] * 15  # of five: two, two and one by itself
    for outcome, trainer in zip(outcomes, trainers(configs), strict=True):
        assert losses(outcome.value) == pytest.approx(losses(list(trainer.epochs())), abs=1e-4)


class Growing(nn.Module):
    """Fails in its fifth step."""

    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.steps += 1
            if self.steps == 5:
                raise ArithmeticError("no luck today")
        result: Tensor = self.head(x.flatten(1))
        return result


def test_a_network_that_fails_says_so_by_itself() -> None:
    """Its own buffer keeps it from being stacked; were it not so, it would fail in the stack and then by itself."""
    failing = Trainer(Growing(), DATA, CONFIG)
    said: list[str] = []
    courses = [whole(failing), *(whole(trainer) for trainer in trainers([CONFIG, replace(CONFIG, seed=1)]))]
    failed, *others = lockstep.in_lockstep(courses, tell=said.append)
    assert isinstance(failed.error, RunError)
    assert "no luck today" in str(failed.error)
    assert [outcome.error for outcome in others] == [None, None]
    (sentence,) = said
    assert sentence == (
        "3 runs can't be trained as one program (the network (Growing) holds parameters or buffers, and is no layer "
        "that can be stacked): they go on one after the other"
    )


def test_times_are_shares_of_what_all_took() -> None:
    configs = [replace(CONFIG, seed=seed) for seed in range(4)]
    outcomes = lockstep.in_lockstep([whole(trainer) for trainer in trainers(configs)])
    seconds = [outcome.value[-1].seconds for outcome in outcomes if outcome.value]
    assert len(seconds) == 4
    assert min(seconds) > 0


def test_a_training_does_not_count_the_time_in_which_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that moves in steps alone: 1 second by itself, 2 seconds for a stack of two."""
    clock = [0.0]
    take, take_together = Step.take, Stack.take

    def alone(step: Step) -> Taken:
        clock[0] += 1.0
        return take(step)

    def together(stack: Stack, steps: Sequence[Step]) -> list[Taken]:
        clock[0] += 2.0
        return take_together(stack, steps)

    monkeypatch.setattr(Step, "take", alone)
    monkeypatch.setattr(Stack, "take", together)
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    outcomes = lockstep.in_lockstep([whole(trainer) for trainer in trainers([CONFIG, replace(CONFIG, seed=1)])])
    # 20 steps, each a second: 4 by itself, 16 as its half of two seconds.
    assert [outcome.value[-1].seconds for outcome in outcomes if outcome.value] == [20.0, 20.0]


def test_memory_that_is_not_enough_is_known_by_its_cause() -> None:
    cause = RunError("wrapped")
    cause.__cause__ = torch.OutOfMemoryError("no room")
    assert is_out_of_memory(cause)
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not is_out_of_memory(RuntimeError("shapes don't fit"))
