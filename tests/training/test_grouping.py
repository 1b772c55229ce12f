"""Which runs may be trained as one program, and who is given which."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archlab.records import TrainingConfig
from archlab.training.grouping import may_stack, share

CONFIG = TrainingConfig(network="lenet", options={"norm": "batch"})


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1, "variant": "lr=0.1"},
        {"learning_rate": 0.1, "schedule": "cosine", "warmup": 1.0},
        {"optimizer": "sgd", "sgd_momentum": 0.9, "weight_decay": 0.1},
        {"momentum": 0.5, "until": "accuracy=0.9"},
    ],
)
def test_weights_updates_and_ends_may_differ(changes: dict[str, object]) -> None:
    assert may_stack(CONFIG, replace(CONFIG, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "resnet"},
        {"options": {"norm": "none"}},
        {"dataset": "mnist"},
        {"batch_size": 32},
        {"train_samples": 100},
        {"precision": "bf16"},
        {"label_smoothing": 0.1},
        {"normalise": "data"},
        {"size": 32},
    ],
)
def test_nothing_else_may(changes: dict[str, object]) -> None:
    assert not may_stack(CONFIG, replace(CONFIG, **changes))  # type: ignore[arg-type]


def test_each_worker_is_given_its_part_of_what_belongs_together() -> None:
    others = replace(CONFIG, options={"norm": "none"})
    configs = [replace(config, seed=seed) for seed in range(5) for config in (CONFIG, others)]
    assert share(0, range(1, 10), configs, workers=2) == [2, 4]  # three of the five
    assert share(6, [1, 3, 5, 7, 8, 9], configs, workers=2) == [8]  # the other two
    assert share(1, [3, 5, 7, 9], configs, workers=1) == [3, 5, 7, 9]
    assert share(1, [3, 5, 7, 9], configs, workers=8) == []
