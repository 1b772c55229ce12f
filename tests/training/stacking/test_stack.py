"""Stacked and sequential trainings agree, on every network of the course."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archlab.networks import resolve
from archlab.networks.batchnorm import BatchNorm
from archlab.records import TrainingConfig
from archlab.training import datasets, images, seeding
from archlab.training.loop import Trainer
from archlab.training.optimizers import optimizer
from archlab.training.stacking.lockstep import in_lockstep
from archlab.training.stacking.stack import Stack
from archlab.training.step import Course, Step, Taken, driven
from tests.training.tiny import make_network

SMALL: dict[str, dict[str, Any]] = {
    "lenet": {"size": 16, "width": 0.5},
    "resnet": {"width": 4, "blocks": (1, 1), "stem": "3x3"},
    "densenet": {"width": 8, "growth_rate": 4, "blocks": (2, 1), "stem": "3x3"},
}
"""The course's networks, with few channels."""
# At rates from 0.01 on, 50 steps of the networks with ReLU make 1e-2 of one rounding of one weight, stacked or not: a
# unit at its threshold is on in one training and off in the other. Double precision is held to more below.
CONFIG = TrainingConfig(
    batch_size=8, epochs=1, optimizer="sgd", learning_rate=0.001, precise_images=48, train_samples=400
)
STEPS = 50  # 400 / 8
COUNT = 2


@pytest.fixture(scope="module")
def data() -> datasets.Dataset:
    return datasets.prepare(images.load_images("digits"), 16, train_samples=400, test_samples=40)


def whole(trainer: Trainer) -> Course[None]:
    """All epochs of a training."""
    while not trainer.has_ended:
        yield from trainer.epoch(lambda step: None, lambda: None)


def make(name: str, norm: str, seed: int) -> nn.Module:
    return seeding.build(lambda: resolve(name, {**SMALL[name], "norm": norm}).build(), seed)


def logits(networks: Sequence[nn.Module], x: Tensor) -> Tensor:
    """In training and in evaluation mode, in which running statistics normalise."""
    with torch.no_grad():
        return torch.stack([network.train(mode)(x) for network in networks for mode in (True, False)])


@pytest.mark.parametrize("norm", ["batch", "scratch", "none"])
@pytest.mark.parametrize("name", SMALL)
def test_agrees_with_one_after_the_other_over_50_steps(name: str, norm: str, data: datasets.Dataset) -> None:
    configs = [replace(CONFIG, seed=seed) for seed in range(COUNT)]
    alone, together = ([Trainer(make(name, norm, config.seed), data, config) for config in configs] for _ in range(2))
    said: list[str] = []
    for trainer in alone:
        driven(whole(trainer))
    outcomes = in_lockstep([whole(trainer) for trainer in together], tell=said.append)
    assert [outcome.error for outcome in outcomes] == [None] * COUNT
    assert said == []
    assert [trainer.steps_done for trainer in together] == [STEPS] * COUNT
    x, _ = data.test.batch(torch.arange(40))
    one, other = ([trainer.state()["network"]["tensors"] for trainer in trainers] for trainers in (alone, together))
    for expected, found in zip(one, other, strict=True):
        for path, value in expected.items():  # the weights, and what BatchNorm keeps
            torch.testing.assert_close(found[path], value, rtol=0, atol=1e-4, msg=path)
    torch.testing.assert_close(
        logits([trainer._network for trainer in together], x),
        logits([trainer._network for trainer in alone], x),
        rtol=0,
        atol=1e-4,
    )
    for expected_trainer, trainer in zip(alone, together, strict=True):
        same_records(expected_trainer, trainer)


def same_records(alone: Trainer, together: Trainer) -> None:
    for name, values in alone.curves().items():
        np.testing.assert_allclose(together.curves()[name], values, rtol=0, atol=1e-4, err_msg=name)
    for expected, epoch in zip(alone.ended, together.ended, strict=True):
        assert epoch.test_accuracy == expected.test_accuracy
        assert epoch.test_loss == pytest.approx(expected.test_loss, abs=1e-4)
        assert epoch.train_loss == pytest.approx(expected.train_loss, abs=1e-4)
    one, other = alone.recording(), together.recording()
    assert (one is None) == (other is None)
    if one is None or other is None:
        return
    assert one.steps == other.steps
    assert [(use.path, use.in_training, use.in_evaluation, use.steps, use.updates) for use in one.uses] == [
        (use.path, use.in_training, use.in_evaluation, use.steps, use.updates) for use in other.uses
    ]
    for path, quantities in one.layers.items():
        for quantity, values in quantities.items():
            found = other.layers[path][quantity]
            np.testing.assert_allclose(found, values, rtol=1e-3, atol=1e-3, err_msg=f"{path} {quantity}")
    for path, moments in one.population.items():
        for quantity, values in moments.items():
            np.testing.assert_allclose(other.population[path][quantity], values, rtol=1e-3, atol=1e-4)


def steps_of(
    networks: Sequence[nn.Module], configs: Sequence[TrainingConfig], dtype: torch.dtype
) -> Callable[[int], list[Step]]:
    """A function that gives the steps of a number: each network's own images and optimiser."""
    updates = [optimizer(config, network.parameters()) for network, config in zip(networks, configs, strict=True)]

    def give(number: int) -> list[Step]:
        found = []
        for place, (network, config) in enumerate(zip(networks, configs, strict=True)):
            generator = torch.Generator().manual_seed(1000 * place + number)
            x = torch.rand(6, 1, 16, 16, generator=generator).to(dtype)
            y = torch.randint(0, 10, (6,), generator=generator)
            found.append(Step(network, updates[place], x, y, number, config.learning_rate, 10, 0.1))
        return found

    return give


def trained(
    configs: Sequence[TrainingConfig],
    norm: str = "batch",
    *,
    stacked: bool,
    momenta: Sequence[float] = (),
    make: Callable[[str, int], nn.Module] = lambda norm, seed: seeding.build(lambda: make_network(norm), seed),
) -> tuple[list[nn.Module], list[Taken]]:
    """Networks in double precision after 12 steps, the first and the seventh of which each takes by itself."""
    networks = [make(norm, config.seed).double().train() for config in configs]
    for network, momentum in zip(networks, momenta, strict=False):
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | BatchNorm):
                layer.momentum = momentum
    give, stack, taken = steps_of(networks, configs, torch.float64), None, []
    for number in range(1, 13):
        steps = give(number)
        if stacked and number not in (1, 7):
            stack = stack or Stack(steps)
            taken = stack.take(steps)
        else:
            taken = [step.take() for step in steps]
    return networks, taken


def assert_same(configs: Sequence[TrainingConfig], norm: str = "batch", **changes: Any) -> None:
    (alone, expected), (together, found) = (trained(configs, norm, stacked=flag, **changes) for flag in (False, True))
    for one, other in zip(alone, together, strict=True):
        for name, value in one.state_dict().items():
            torch.testing.assert_close(other.state_dict()[name], value, rtol=1e-9, atol=1e-9, msg=name)
    for first, second in zip(expected, found, strict=True):
        assert torch.equal(first.predictions, second.predictions)
        torch.testing.assert_close(first.loss, second.loss, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("norm", ["batch", "scratch", "none", "group", "layer", "instance"])
@pytest.mark.parametrize("name", SMALL)
def test_in_double_precision_nothing_is_left_but_its_rounding(name: str, norm: str) -> None:
    configs = [TrainingConfig(seed=seed, optimizer="sgd", learning_rate=0.1) for seed in range(3)]
    assert_same(configs, norm, make=lambda norm, seed: make(name, norm, seed))


@pytest.mark.parametrize(
    "changes",
    [
        [{"learning_rate": 0.01}, {"learning_rate": 0.1}, {"learning_rate": 0.1}],
        [{"weight_decay": 0.1}, {"weight_decay": 0.1}, {}],
        [{"optimizer": "sgd", "sgd_momentum": 0.9}, {"optimizer": "sgd", "sgd_momentum": 0.5}, {}],
        [{"optimizer": "nesterov", "sgd_momentum": 0.9}, {"optimizer": "nesterov", "sgd_momentum": 0.9}, {}],
        [{"optimizer": "adamw", "weight_decay": 0.1}, {"optimizer": "adamw", "weight_decay": 0.1}, {}],
    ],
    ids=["rates", "weight decay", "momentum of SGD", "Nesterov", "AdamW"],
)
def test_each_network_is_updated_by_its_own_optimiser(changes: list[dict[str, Any]]) -> None:
    # Without a bias in front of BatchNorm, whose gradient is rounding, of which Adam makes whole steps.
    configs = [TrainingConfig(seed=seed, learning_rate=0.01) for seed in range(3)]
    assert_same([replace(config, **change) for config, change in zip(configs, changes, strict=True)], "none")


@pytest.mark.parametrize("norm", ["batch", "scratch"])
def test_each_batchnorm_follows_by_its_own_momentum(norm: str) -> None:
    configs = [TrainingConfig(seed=seed, optimizer="sgd", learning_rate=0.1) for seed in range(3)]
    assert_same(configs, norm, momenta=[0.1, 0.5, 0.9])


def test_a_network_learns_the_same_in_whatever_company() -> None:
    def first_of(count: int) -> dict[str, Tensor]:
        configs = [TrainingConfig(seed=seed, optimizer="sgd", learning_rate=0.1) for seed in range(count)]
        networks, _ = trained(configs, stacked=True)
        return networks[0].state_dict()

    few, many = first_of(2), first_of(5)
    for name, value in few.items():
        torch.testing.assert_close(many[name], value, rtol=1e-9, atol=1e-9)


def test_a_step_that_fails_leaves_all_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [TrainingConfig(seed=seed, learning_rate=0.01) for seed in range(3)]
    networks = [seeding.build(make_network, config.seed).train() for config in configs]
    give = steps_of(networks, configs, torch.float32)
    stack = Stack(steps := give(1))
    before = [{name: value.clone() for name, value in network.state_dict().items()} for network in networks]
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "backward", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("no room")))
        with pytest.raises(torch.OutOfMemoryError):
            stack.take(steps)
    for network, kept in zip(networks, before, strict=True):
        assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())
    stack.take(steps)
    assert not torch.equal(networks[0].state_dict()["norm_1.running_mean"], before[0]["norm_1.running_mean"])
