"""What came of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from archlab.records.config import TrainingConfig, Value
from archlab.records.data import DataSummary
from archlab.records.display import Displayed, Shown
from archlab.records.norm_use import NormUse
from archlab.records.watched import Watched

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

Status = Literal["running", "finished", "diverged", "interrupted", "failed"]
RESULTS: tuple[Status, ...] = ("finished", "diverged")
"""What a run can come to: such a run is not trained again. One that diverged is counted, and in no mean."""


@dataclass(frozen=True, slots=True)
class Epoch(Shown):
    """Measurements at the end of one epoch. Accuracies are fractions, losses mean cross-entropy in nats."""

    epoch: int
    """From 1."""
    step: int
    """Optimiser steps so far."""
    seconds: float
    """Training time of all epochs up to this one, evaluation left out; the other two times are this epoch's alone."""
    train_loss: float | None = None
    """Mean over the epoch's batches as they were trained on: with label smoothing, where there was any. This and the
    next three are None where a watched training did not tell them."""
    train_accuracy: float | None = None
    test_loss: float | None = None
    """With precise statistics where the network has BatchNorm; of a watched training, as it told it."""
    test_accuracy: float | None = None
    test_loss_running: float | None = None
    """With running statistics, as `model.eval()` gives it; None where there is no BatchNorm, or that is infinite."""
    test_accuracy_running: float | None = None
    evaluation_seconds: float = 0.0
    """Time of this epoch's evaluations."""
    precise_seconds: float = 0.0
    """Time this epoch for the precise statistics, apart from `evaluation_seconds`."""
    test_batch: int | None = None
    """Images per batch of the test, where some BatchNorm layer normalised by that batch, so that another size gives
    another accuracy; None where an image's output does not depend on the images beside it."""
    peak_memory_bytes: int | None = None
    """The most memory that was in use at a time since the process began: of the accelerator that torch allocated, else
    of the process."""

    @property
    def best_accuracy(self) -> float | None:
        """The higher of the test accuracies, with precise and with running statistics; None where there is none."""
        known = (self.test_accuracy, self.test_accuracy_running)
        return max((accuracy for accuracy in known if accuracy is not None), default=None)


@dataclass(frozen=True, slots=True)
class NormRecording(Shown):
    """What the BatchNorm layers held while training.

    Steps are optimiser steps done; row i of each array belongs to `steps[i]`.
    """

    steps: tuple[int, ...]
    layers: Mapping[str, Mapping[str, Array]]
    """Path -> quantity -> float32 array (steps, channels); the quantities are `QUANTITIES`."""
    population: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    """Path -> `mean`, `variance` -> array (epochs, channels): precise statistics at the end of each epoch."""
    uses: tuple[NormUse, ...] = ()
    """How each BatchNorm layer was used, also those that keep no statistics and are not in `layers`."""

    QUANTITIES: ClassVar[tuple[str, ...]] = ("running_mean", "running_var", "batch_mean", "batch_var", "gamma", "beta")


@dataclass(frozen=True, slots=True)
class Run(Displayed):
    """One training: a variant and a seed."""

    SCHEMA: ClassVar[str] = "archlab.run/1"

    key: str
    """Name in the store, made from configuration, seed and environment."""
    config: TrainingConfig
    status: Status
    epochs: tuple[Epoch, ...] = ()
    environment: dict[str, Value] = field(default_factory=dict)
    """Versions, processor, threads, device, command, data hash."""
    created: str = ""
    """Start as ISO 8601 with time zone."""
    parameters: int = 0
    error: str = ""
    """Why it failed or diverged."""
    data: DataSummary | None = None
    """What it was trained on and tested with; None where nobody looked."""
    predicted: tuple[int, ...] = ()
    """How many test images the network puts into each class in its last evaluation, the one that `test_accuracy` is
    of; empty where nobody counted."""
    trace: str = ""
    """Under which name the store keeps the trace of its network, as it was when it was trained; empty without one."""
    resumed: int = 0
    """How often it was stopped and gone on with, from a checkpoint."""
    watched: Watched | None = None
    """Of a training in somebody else's loop. Its configuration then names its network and its data, and no settings."""

    def conflict(self) -> str:
        """Steps that are no count, or what its data says of other classes or channels than there are."""
        for epoch in self.epochs:
            if not 0 <= epoch.step < 2**63:
                return f"its epoch {epoch.epoch} ends at step {epoch.step}"
        return "" if self.data is None else self.data.conflict()

    @property
    def deciding(self) -> dict[str, Value]:
        """What was chosen of all that decides the training, as far as it is known; no seed, no None."""
        if self.watched is None:
            return self.config.deciding
        return {"network": self.config.network, "dataset": self.config.dataset, **self.watched.settings}

    def metric(self, name: str) -> float | None:
        """A measurement at the end of the last epoch: a field of `Epoch`; None where there is none."""
        return getattr(self.epochs[-1], name) if self.epochs else None
