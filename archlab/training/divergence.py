"""When a training counts as diverged. Torch-free."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int, ...], np.dtype[Any]]

GUESSES = 10
"""Times the loss of guessing, ln(classes), above which a training loss is that of a diverged run."""
LAST_SHARE = 0.1
"""Share of the steps, at the end, whose mean loss is looked at: a loss that came back has not diverged."""


def divergence(losses: Array, classes: int) -> str:
    """Why a training that came to its end has diverged; empty where it hasn't.

    *Counting semantics.* The mean training loss over the last tenth of the steps, rounded up, is above ten times that
    of guessing, ln(classes), or not finite. (One whose loss stops being finite is stopped there, and has diverged too.)
    For example: 30 steps on 10 classes have diverged if the mean of the last 3 is above 10 ln(10) = 23.03.

    Args:
        losses: training loss by step, (steps,) in nats.
        classes: of the data set, 2 or more; with fewer only the second holds.

    >>> import numpy as np
    >>> divergence(np.full(30, 6.7e9), 10)
    'the mean training loss of the last 3 steps is 6.7e+09, above 23.03: ten times that of guessing, ln(10)'
    >>> divergence(np.full(30, 20.0), 10)
    ''
    """
    count = math.ceil(LAST_SHARE * len(losses))
    mean = float(losses[len(losses) - count :].mean(dtype="float64")) if count else 0.0
    bound = GUESSES * math.log(classes) if classes > 1 else math.inf
    if math.isfinite(mean) and mean <= bound:
        return ""
    steps = "step" if count == 1 else f"{count} steps"
    return (
        f"the mean training loss of the last {steps} is {mean:.4g}, above {bound:.2f}: ten times that of "
        f"guessing, ln({classes})"
    )
