"""What a training is to reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from archlab.records.display import Shown

if TYPE_CHECKING:
    from archlab.records.run import Epoch

METRICS = {"accuracy": "test_accuracy", "test_accuracy": "test_accuracy", "train_accuracy": "train_accuracy"}
"""What may be aimed at -> the field of `Epoch`; an accuracy is one of the test images unless it says otherwise."""


@dataclass(frozen=True, slots=True)
class Target(Shown):
    """An accuracy at which a training ends."""

    metric: str
    """The field of `Epoch`."""
    value: float
    """A fraction, above 0 and at most 1."""

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The target that a text names; None where it names none.

        >>> Target.read("accuracy=0.9")
        Target(metric='test_accuracy', value=0.9)
        """
        name, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            return None
        field = METRICS.get(name.strip())
        return cls(field, value) if field and 0 < value <= 1 else None

    def is_reached(self, epoch: Epoch) -> bool:
        """Whether an epoch ended there or above."""
        value: float = getattr(epoch, self.metric)
        return value >= self.value

    def __str__(self) -> str:
        """In words: `test accuracy of 90 %`."""
        return f"{self.metric.replace('_', ' ')} of {100 * self.value:g} %"
