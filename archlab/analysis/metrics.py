"""What is compared: measurements of a run, their titles and their units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from archlab.records import Run


@dataclass(frozen=True, slots=True)
class Unit:
    """How values of a kind are written for people."""

    name: str
    difference: str
    """The unit of a difference."""
    scale: float
    digits: int
    most: float
    """The largest value there can be; the smallest is 0."""

    def number(self, value: float, sign: Literal["", "+"] = "") -> str:
        """The value in this unit, which is left out: `96.85` for 0.9685 as a share."""
        return f"{self.scale * value:{sign},.{self.digits}f}"


SHARE = Unit("%", "points", 100, 2, 1.0)
"""Differences of percentages are percentage points."""
NATS = Unit("", "", 1, 4, math.inf)
SECONDS = Unit("s", "s", 1, 2, math.inf)


@dataclass(frozen=True, slots=True)
class Metric:
    """One measurement of a run. Its name is the one in the JSON."""

    name: str
    title: str
    """What people call it."""
    unit: Unit
    field: str
    """The field of `Epoch` that holds it."""
    first_epoch: bool = False
    """Taken at the end of the first epoch, not of the last."""

    def of(self, run: Run) -> float | None:
        """The measurement of a run; None where it has none, and for the first epoch where that is the last too."""
        if self.first_epoch and len(run.epochs) < 2:
            return None
        value: float | None = getattr(run.epochs[0 if self.first_epoch else -1], self.field)
        return value

    def written(self, value: float) -> str:
        """The value with its unit: `96.85 %`, `0.1234`, `2.31 s`."""
        return f"{self.unit.number(value)} {self.unit.name}".rstrip()

    def difference(self, value: float) -> str:
        """A difference of two values with its unit: `+1.20 points`."""
        return f"{self.unit.number(value, '+')} {self.unit.difference}".rstrip()


METRICS = (
    Metric("test_accuracy", "test accuracy", SHARE, "test_accuracy"),
    Metric("test_accuracy_running", "test accuracy, running", SHARE, "test_accuracy_running"),
    Metric("test_accuracy_first_epoch", "epoch-1 test accuracy", SHARE, "test_accuracy", first_epoch=True),
    Metric("train_accuracy", "train accuracy", SHARE, "train_accuracy"),
    Metric("test_loss", "test loss", NATS, "test_loss"),
    Metric("test_loss_running", "test loss, running", NATS, "test_loss_running"),
    Metric("train_loss", "train loss", NATS, "train_loss"),
    Metric("seconds", "training time", SECONDS, "seconds"),
)
"""All that is compared, the most telling first. All but the first epoch's are of the last epoch."""

BY_NAME = {metric.name: metric for metric in METRICS}
