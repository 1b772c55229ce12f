"""The recorder of one training: what is recorded of it, when it is written to the store, and how it ends there.

archlab's own loop and `archlab.watch` tell it of each step and each epoch; whatever they share is here alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from archlab.records import Epoch, NormRecording, Probes, Run
from archlab.records.run import Status
from archlab.training.divergence import divergence
from archlab.training.population import Moments
from archlab.training.progress import Pace
from archlab.training.recording import NormRecorder
from archlab.training.step_curves import StepCurves

if TYPE_CHECKING:
    import numpy as np

    from archlab.store.run_writer import RunWriter

    Array = np.ndarray[tuple[int, ...], np.dtype[Any]]

KEEP_SECONDS = 1.0
"""Seconds between two readings of the step curves, for which the device is waited for, into the store."""
RECORDING_SECONDS = 10.0
"""The same of what BatchNorm layers held, up to 16 MiB."""


class RunRecorder:
    """Records one training, and writes it into the store where it is given a writer.

    Args:
        device: of the network.
        norms: records what the BatchNorm layers hold; None where nothing of them is recorded.
        steps: how many the training will have, if that is known.
        probes: gives what was seen of the layers and the loss so far.
        looks: how often they have been looked at.
        uses: adds to a recording how the BatchNorm layers were used.
        settle: called before curves are read, for whoever fills in accuracies late.
    """

    def __init__(
        self,
        device: torch.device,
        norms: NormRecorder | None = None,
        *,
        steps: int = 1024,
        probes: Callable[[], Probes | None] = lambda: None,
        looks: Callable[[], int] = lambda: 0,
        uses: Callable[[NormRecording | None], NormRecording | None] = lambda recording: recording,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        self.steps = StepCurves(device, steps)
        self.norms = norms
        self._probes, self._count_looks, self._with_uses, self._settle = probes, looks, uses, settle
        self._writer: RunWriter | None = None
        self._keeps, self._recordings = Pace(KEEP_SECONDS), Pace(RECORDING_SECONDS)
        self._written = self._looks = 0

    def state(self) -> dict[str, Any]:
        """What was recorded so far, as a tree of plain values and tensors."""
        return {"steps": self.steps.state(), "norms": None if self.norms is None else self.norms.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.steps.restore(state["steps"])
        if self.norms is not None:
            self.norms.restore(state["norms"])

    def keep_in(self, writer: RunWriter) -> None:
        """Write what is recorded with this writer from now on."""
        self._writer = writer

    def before(self) -> None:
        """Note what has to be known before the next step: the running statistics, where that step gets a row."""
        if self.norms is not None and self.norms.due(len(self.steps) + 1):
            self.norms.before()

    def after(self, loss: Tensor | float | None = None, rate: float = math.nan) -> None:
        """Note a step: the loss of its batch, its learning rate, and what the BatchNorm layers hold after it."""
        self.steps.add(loss, rate=rate)
        if self.norms is not None and self.norms.due(len(self.steps)):
            self.norms.after(len(self.steps))

    def add_population(self, moments: Mapping[str, Moments]) -> None:
        """Note the precise statistics at the end of an epoch."""
        if self.norms is not None:
            self.norms.add_population(moments)

    def add_epoch(self, epoch: Epoch) -> None:
        """Keep the measurements at the end of an epoch, and all that led to them."""
        if self._writer is None:
            return
        self._keep()
        self._keep_recording()
        self._writer.append(epoch)

    def keep(self) -> None:
        """Keep the steps so far and what was probed, if it is time for it: once per second."""
        if self._writer is not None and self._keeps.is_due():
            self._keep()
            self._keep_recording()

    def curves(self, since: int = 0) -> dict[str, Array]:
        """Arrays by step so far; `StepCurves.arrays` says which. Waits for the device."""
        self._settle()
        return self.steps.arrays(since)

    def recording(self) -> NormRecording | None:
        """What the BatchNorm layers held, and how they were used; None where nothing of it is known."""
        return self._with_uses(None if self.norms is None else self.norms.recording())

    def divergence(self, classes: int) -> str:
        """Why the training, which came to its end, has diverged; empty where it hasn't."""
        losses = self.steps.losses.cpu().numpy()
        return divergence(losses[self.steps.told()], classes)

    def leave(self) -> Run:
        """The run, which stays behind as interrupted, kept as far as it got."""
        assert self._writer is not None
        self._keep()
        if (recording := self.recording()) is not None:
            self._writer.keep_recording(recording)
        return self._writer.leave()

    def end(self, status: Status, error: str = "") -> Run:
        """The run, which has ended so and is kept with all that was recorded.

        Args:
            status: `finished`, `diverged` or `failed`.
            error: why it diverged or failed.
        """
        assert self._writer is not None
        return self._writer.end(status, error, self.curves(), self.recording(), self._probes())

    def _keep_recording(self) -> None:
        if self._writer is not None and self._recordings.is_due() and (recording := self.recording()) is not None:
            self._writer.keep_recording(recording)

    def _keep(self) -> None:
        assert self._writer is not None
        looks = self._count_looks()
        if looks > self._looks and (probes := self._probes()) is not None:
            self._writer.keep_probes(probes)
            self._looks = looks
        self._writer.append_steps(self.curves(self._written))
        self._written = len(self.steps)
        self._keeps.restart()
