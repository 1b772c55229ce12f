"""Which runs may be trained as one program, from their configurations alone. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from typing import Any

from archlab.records import TrainingConfig

APART = (
    *("seed", "variant", "learning_rate", "schedule", "warmup", "optimizer", "sgd_momentum", "weight_decay"),
    *("momentum", "until"),
)
"""Settings in which the runs of a stack may differ: those of the first weights, of the updates, of the averages that
BatchNorm keeps, and of the end."""
_DEFAULTS: dict[str, Any] = {item.name: item.default for item in fields(TrainingConfig) if item.name in APART}


def may_stack(one: TrainingConfig, other: TrainingConfig) -> bool:
    """Whether two runs differ in nothing that keeps them from being trained as one program.

    >>> first = TrainingConfig(seed=0)
    >>> may_stack(first, replace(first, seed=1)), may_stack(first, replace(first, batch_size=32))
    (True, False)
    """
    return _common(one) == _common(other)


def _common(config: TrainingConfig) -> TrainingConfig:
    return replace(config, **_DEFAULTS)


def by_update(config: TrainingConfig) -> tuple[object, ...]:
    """What to sort the runs of a stack by, so that those whose optimisers update alike are neighbours."""
    return tuple(getattr(config, name) for name in APART[2:8])


def share(first: int, free: Collection[int], configs: Sequence[TrainingConfig], workers: int) -> list[int]:
    """The jobs that a worker is given with its first one: its part of those that may be trained as one program.

    Args:
        first: its first job.
        free: jobs that no worker has yet.
        configs: of all jobs.
        workers: how many there are to share them.

    >>> seeds = [TrainingConfig(seed=seed) for seed in range(6)]
    >>> share(0, [1, 2, 3, 4, 5], seeds, workers=2), share(3, [4, 5], seeds, workers=2)
    ([1, 2], [4, 5])
    """
    alike = [job for job in range(len(configs)) if may_stack(configs[first], configs[job])]
    most = math.ceil(len(alike) / workers)
    return [job for job in alike if job in free][: most - 1]
