from __future__ import annotations

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from archlab.records import TrainingConfig
from archlab.training.schedules import learning_rates


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("constant", 0.0, [1] * 8),
        ("constant", 0.5, [1 / 2, 1, 1, 1, 1, 1, 1, 1]),  # half an epoch of 4 steps: 1/2, 2/2
        ("constant", 1.0, [1 / 4, 2 / 4, 3 / 4, 1, 1, 1, 1, 1]),
        ("step", 0.0, [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]),  # 8 / 2 = 4, 8 * 3 / 4 = 6
        ("step", 0.5, [1 / 2, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]),
        # (1 + cos(pi t / 4)) / 2 for t = 0 to 3, after 4 steps of warm-up
        ("cosine", 1.0, [1 / 4, 2 / 4, 3 / 4, 1, 1, 0.853553, 0.5, 0.146447]),
    ],
)
def test_rates_by_hand(schedule: str, warmup: float, expected: list[float]) -> None:
    config = TrainingConfig(epochs=2, learning_rate=1.0, schedule=schedule, warmup=warmup)
    assert learning_rates(config, 4) == pytest.approx(expected, abs=1e-6)


def test_cosine_is_torch_s() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = CosineAnnealingLR(optimizer, T_max=30)
    theirs = []
    for _ in range(30):
        theirs.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    ours = learning_rates(TrainingConfig(epochs=3, learning_rate=0.3, schedule="cosine"), 10)
    assert ours == pytest.approx(theirs, rel=1e-12)  # torch's is worked out from step to step, and rounds so
