"""What a training reports while it runs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from archlab.records import Epoch, Run, TrainingConfig
from archlab.records.display import Shown

State = Literal[
    "waiting",
    "stacked",
    "started",
    "step",
    "measuring",
    "epoch",
    "landscape",
    "again",
    "stopping",
    "finished",
    "diverged",
    "failed",
    "reused",
]
"""`waiting`: another process trains the same run. `measuring`: between epochs, or before the first step. `again`: its
process hung and was ended, or died before it began, and another begins it. `stacked`: whether it and others are trained
as one program. `stopping`: it was asked to stop, and ends its step. `started`, of a run that goes on from a checkpoint,
has its epochs and steps."""


@dataclass(frozen=True, slots=True)
class Progress(Shown):
    """One event of one run."""

    config: TrainingConfig
    state: State
    key: str = ""
    """The run's name in the store; empty where it failed before it had one."""
    epoch: int = 0
    """Epochs that have ended."""
    step: int = 0
    """Optimiser steps so far; with `landscape`: points of it so far."""
    steps: int = 0
    """Optimiser steps in all; with `landscape`: points of it in all."""
    metrics: Epoch | None = None
    """With `epoch`: what was measured."""
    run: Run | None = None
    """With `finished`, `diverged`, `failed` and `reused`: what came of it."""
    error: str = ""
    """With `diverged`, `failed` and `again`: why; with `stacked`: what was chosen and why, without its full stop."""


class Pace:
    """Tells when so many seconds have passed.

    Args:
        seconds: from one time to the next, at least.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Whether they have passed since it last was so; then they are counted anew."""
        due = time.monotonic() - self._last >= self._seconds
        if due:
            self.restart()
        return due
