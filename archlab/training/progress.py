"""What a training reports while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from archlab.records import Epoch, Run, TrainingConfig

State = Literal["started", "step", "epoch", "landscape", "finished", "diverged", "failed", "reused"]


@dataclass(frozen=True, slots=True)
class Progress:
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
    """With `diverged` and `failed`: why."""
