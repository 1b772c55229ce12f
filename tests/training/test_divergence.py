from __future__ import annotations

import math

import numpy as np
import pytest

from archlab.training.divergence import divergence

BOUND = 10 * math.log(10)  # 23.03


@pytest.mark.parametrize(
    ("losses", "classes", "diverged"),
    [
        ([1.0] * 30, 10, False),
        ([1e9] * 27 + [1.0] * 3, 10, False),  # it came back: the last tenth of 30 steps are 3
        ([1e9] * 27 + [1.0] * 2 + [70.0], 10, True),  # 72 / 3 = 24 > 23.03
        ([1.0] * 27 + [1.0] * 2 + [67.0], 10, False),  # 69 / 3 = 23
        ([1.0] * 30 + [100.0], 10, True),  # a tenth of 31 steps is 4, rounded up: (3 + 100) / 4 = 25.75
        ([BOUND * 0.999] * 5, 10, False),
        ([BOUND * 1.001] * 5, 10, True),
        ([BOUND * 1.001] * 5, 100, False),  # 10 ln(100) = 46.05
        ([1.0, math.inf], 10, True),
        ([1.0, math.nan], 1, True),
        ([1e9], 1, False),  # nothing is to be guessed
        ([], 10, False),
    ],
)
def test_bound_by_hand(losses: list[float], classes: int, diverged: bool) -> None:
    assert bool(divergence(np.asarray(losses, dtype=np.float32), classes)) == diverged


def test_a_mean_of_float32_does_not_overflow() -> None:
    assert "is 3e+38," in divergence(np.full(30, 3e38, dtype=np.float32), 10)
