"""The learning rate of each step."""

from __future__ import annotations

import math

from archlab.records import TrainingConfig

DROPS = (1 / 2, 3 / 4)
"""Shares of all steps after which `step` divides the rate; 32,000 and 48,000 of 64,000 (He et al. 2016, 4.2)."""
DROP_FACTOR = 0.1


def learning_rates(config: TrainingConfig, steps_per_epoch: int) -> list[float]:
    """The learning rate of every step of a training, in order.

    With T steps in all, of which the first W = warm-up are those of the warm-up, step t (from 0) has

        t < W       lr (t + 1) / W
        constant    lr
        cosine      lr (1 + cos(pi (t - W) / (T - W))) / 2
        step        lr, divided by 10 from step T / 2 on, and again from 3 T / 4 on, each rounded down

    For example: `lr=0.1`, `schedule="step"` and 8 steps are 0.1 four times, 0.01 twice, 0.001 twice.

    >>> learning_rates(TrainingConfig(epochs=2, learning_rate=1.0, schedule="cosine"), 2)[::2]
    [1.0, 0.5]
    """
    base, steps = config.learning_rate, config.epochs * steps_per_epoch
    warm = round(config.warmup * steps_per_epoch)
    drops = [int(steps * share) for share in DROPS]

    def rate(step: int) -> float:
        if step < warm:
            return base * ((step + 1) / warm)
        if config.schedule == "cosine":
            return base * ((1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2)
        found = base
        if config.schedule == "step":
            for drop in drops:
                found *= DROP_FACTOR if step >= drop else 1
        return found

    return [rate(step) for step in range(steps)]
