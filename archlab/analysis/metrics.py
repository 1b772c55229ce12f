"""What is compared: measurements of a run, their titles and their units."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from archlab.errors import InputError, cut
from archlab.records import Difference, Estimate, Run

Bounded = TypeVar("Bounded", Estimate, Difference)
Sign = Literal["", "+"]
"""Whether a positive number has its sign."""


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
    margin: float | None = None
    """Differences up to this count as equal, unless a comparison states another."""

    def number(self, value: float, sign: Sign = "") -> str:
        """The value in this unit, which is left out: `96.85` for 0.9685 as a share."""
        return f"{self.scale * value:{sign},.{self.digits}f}"

    def interval(self, found: Estimate | Difference, sign: Sign = "") -> str:
        """The 95 % interval in this unit, which is left out: `95.10 to 97.30`; empty where there is none.

        >>> SHARE.interval(Difference(6, 0.01, -0.002, 0.022, 0.2, 0.5), "+")
        '-0.20 to +2.20'
        """
        if found.low is None or found.high is None:
            return ""
        return f"{self.number(found.low, sign)} to {self.number(found.high, sign)}"

    def limited(self, found: Bounded) -> Bounded:
        """The same with its interval cut to what is possible: no accuracy is above 100 %, no difference beyond 100.

        >>> SHARE.limited(Estimate(2, 0.98, 0.9, 1.06)).high
        1.0
        """
        if found.low is None or found.high is None:
            return found
        least = -self.most if isinstance(found, Difference) else 0.0
        return replace(found, low=max(found.low, least), high=min(found.high, self.most))


SHARE = Unit("%", "points", 100, 2, 1.0, margin=0.01)
"""Differences of percentages are percentage points."""
NATS = Unit("", "", 1, 4, math.inf, margin=0.02)
SECONDS = Unit("s", "s", 1, 2, math.inf)
STEPS = Unit("", "", 1, 1, math.inf)


EVALUATION, PRECISE = "evaluation (running statistics)", "precise statistics"
"""The two ways to test a network with BatchNorm: as `model.eval()` does, by the averages that training kept; and by the
mean and variance over training images with the weights as they are."""
STATISTICS_NOTE = (
    f"{PRECISE.capitalize()}: BatchNorm's mean and variance over training images, with the weights frozen. "
    f"{EVALUATION.capitalize()}: its running averages, as model.eval() uses them."
)


@dataclass(frozen=True, slots=True)
class Metric:
    """One measurement of a run. Its name is the one in the JSON."""

    name: str
    title: str
    """What people call it."""
    unit: Unit
    field: str
    """The field or property of `Epoch` that holds it."""
    first_epoch: bool = False
    """Taken at the end of the first epoch, not of the last."""
    can_be_claimed: bool = True
    """Whether a difference in it may be called one: training time depends on what else the machine did."""
    to_target: bool = False
    """What a run took to the target that its configuration names, where it ended; one that did not reach it has what it
    took in all, which is less than it would have taken (`archlab.analysis.targets`)."""

    def titled(self, has_running: bool) -> str:
        """The title beside what running statistics give, from which it must be told apart, or alone.

        >>> BY_NAME["test_accuracy"].titled(has_running=True)
        'test accuracy (precise statistics)'
        """
        return (
            f"{self.title} ({PRECISE})" if has_running and self.field in ("test_accuracy", "test_loss") else self.title
        )

    def of(self, run: Run) -> float | None:
        """The measurement of a run; None where it has none, and for the first epoch where that is the last too."""
        if self.to_target and run.config.target is None:
            return None
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
    Metric("test_accuracy_running", f"test accuracy in {EVALUATION}", SHARE, "test_accuracy_running"),
    Metric("test_accuracy_first_epoch", "epoch-1 test accuracy", SHARE, "test_accuracy", first_epoch=True),
    Metric("train_accuracy", "train accuracy", SHARE, "train_accuracy"),
    Metric("test_loss", "test loss", NATS, "test_loss"),
    Metric("test_loss_running", f"test loss in {EVALUATION}", NATS, "test_loss_running"),
    Metric("train_loss", "train loss", NATS, "train_loss"),
    Metric("seconds", "training time", SECONDS, "seconds", can_be_claimed=False),
    Metric("steps_to_target", "steps to the target", STEPS, "step", to_target=True),
    Metric("seconds_to_target", "time to the target", SECONDS, "seconds", to_target=True, can_be_claimed=False),
)
"""All that is compared, the most telling first. All but the first epoch's are of the last epoch."""


class _Known(dict[str, Metric]):
    """Metrics by name; one that there is not comes from a record that is damaged, or that a newer archlab wrote."""

    def __missing__(self, name: str) -> Metric:
        raise InputError(
            f"the record names a metric {cut(repr(name))}, expected one of {', '.join(self)}: is it damaged?"
        )


BY_NAME = _Known({metric.name: metric for metric in METRICS})
