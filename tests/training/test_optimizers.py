"""A training equals, bit for bit on the CPU, a plain loop of torch's own optimisers, schedulers and losses."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, MultiStepLR

from archlab.records import Epoch, TrainingConfig
from archlab.training import seeding
from archlab.training.loop import Trainer
from tests.training.tiny import make_data, make_network

DATA = make_data(50, 20)
CONFIG = TrainingConfig(batch_size=16, epochs=3, learning_rate=0.01, precise_images=48, kernels="plain")
STEPS = 12  # 3 epochs of 50 / 16 = 3 batches and one of 2


def constant(optimizer: Optimizer) -> LRScheduler:
    return LambdaLR(optimizer, lambda step: 1.0)


def dropping(optimizer: Optimizer) -> LRScheduler:
    return MultiStepLR(optimizer, [6, 9])  # 12 / 2, 12 * 3 / 4


def cosine(optimizer: Optimizer) -> LRScheduler:
    return LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * step / STEPS)) / 2)


def warm_cosine(optimizer: Optimizer) -> LRScheduler:
    """Two steps of warm-up: half an epoch of 4."""
    return LambdaLR(
        optimizer, lambda step: (step + 1) / 2 if step < 2 else (1 + math.cos(math.pi * (step - 2) / 10)) / 2
    )


def plain(
    network: nn.Module, optimizer: Optimizer, scheduler: LRScheduler, smoothing: float, seed: int = 0
) -> list[float]:
    """The losses of a loop as torch's documentation has it."""
    losses = []
    for epoch in range(1, CONFIG.epochs + 1):
        for indices in torch.split(seeding.order(seed, epoch, len(DATA.train)), CONFIG.batch_size):
            logits = network(DATA.train.images[indices] / 255)
            loss = F.cross_entropy(logits, DATA.train.labels[indices], label_smoothing=smoothing)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
    return losses


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize(
    ("settings", "theirs", "schedule"),
    [
        ({}, lambda weights: Adam(weights, 0.01, fused=True), constant),
        ({"weight_decay": 0.01}, lambda weights: Adam(weights, 0.01, weight_decay=0.01, fused=True), constant),
        (
            {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine"},
            lambda weights: AdamW(weights, 0.01, weight_decay=0.1, fused=True),
            cosine,
        ),
        ({"optimizer": "adamw"}, lambda weights: AdamW(weights, 0.01, weight_decay=0, fused=True), constant),
        ({"optimizer": "sgd"}, lambda weights: SGD(weights, 0.01), constant),
        ({"optimizer": "sgd", "learning_rate": 0.3}, lambda weights: SGD(weights, 0.3), constant),
        (
            {"optimizer": "sgd", "sgd_momentum": 0.9, "weight_decay": 1e-4, "schedule": "step", "learning_rate": 0.1},
            lambda weights: SGD(weights, 0.1, momentum=0.9, weight_decay=1e-4),
            dropping,
        ),
        (
            {"optimizer": "nesterov", "sgd_momentum": 0.9, "weight_decay": 1e-4, "label_smoothing": 0.1},
            lambda weights: SGD(weights, 0.01, momentum=0.9, weight_decay=1e-4, nesterov=True),
            constant,
        ),
        ({"schedule": "cosine", "warmup": 0.5}, lambda weights: Adam(weights, 0.01, fused=True), warm_cosine),
        ({"label_smoothing": 0.2, "schedule": "step"}, lambda weights: Adam(weights, 0.01, fused=True), dropping),
    ],
)
def test_equals_a_plain_torch_loop_bit_for_bit(
    norm: str,
    settings: dict[str, Any],
    theirs: Callable[[Any], Optimizer],
    schedule: Callable[[Optimizer], LRScheduler],
) -> None:
    ours, others = (seeding.build(lambda: make_network(norm), 0) for _ in range(2))
    trainer = Trainer(ours, DATA, replace(CONFIG, **settings))
    list(trainer.epochs())
    optimizer = theirs(others.parameters())
    losses = plain(others, optimizer, schedule(optimizer), settings.get("label_smoothing", 0.0))
    assert trainer.curves()["train_loss"].tolist() == losses
    for (name, one), (_, other) in zip(ours.state_dict().items(), others.state_dict().items(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "nesterov"])
def test_weights_without_a_gradient_stay(optimizer: str) -> None:
    network = seeding.build(make_network, 0)
    weight = network.get_parameter("head.weight").requires_grad_(False)
    before = weight.clone()
    momentum = 0.9 if optimizer == "nesterov" else 0.0
    list(Trainer(network, DATA, replace(CONFIG, optimizer=optimizer, sgd_momentum=momentum)).epochs())
    assert torch.equal(weight, before)


def test_label_smoothing_is_in_the_training_loss_alone() -> None:
    """With a learning rate of next to nothing, only the training loss is another."""
    epochs: list[Epoch] = []
    for share in (0.0, 0.5):
        config = replace(CONFIG, learning_rate=1e-30, epochs=1, label_smoothing=share)
        epochs += Trainer(seeding.build(make_network, 0), DATA, config).epochs()
    plainly, smoothed = epochs
    assert plainly.test_loss == smoothed.test_loss
    assert plainly.train_loss != smoothed.train_loss
