"""What time is read from: the processor's clock, or an accelerator's own.

An accelerator works through a queue, and a call returns before its work is done. So a mark is an event in that queue,
which notes the time when everything in front of it is done:

    clock.wait()                              # the queue is empty
    marks = [clock.mark()]
    network(x)                                # returns while the accelerator still computes
    marks.append(clock.mark())                # an event behind the last kernel
    clock.seconds(marks)                      # waits for it, and gives one number

Between two marks nothing has to wait, so that measuring doesn't slow down what it measures.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch


class Clock:
    """The processor's clock."""

    is_queued = False
    """Whether work goes on after the call that asked for it has returned."""

    def mark(self) -> Any:
        """The time now."""
        return time.perf_counter_ns()

    def seconds(self, marks: Sequence[Any]) -> list[float]:
        """The seconds between neighbouring marks: one less than there are marks."""
        return [(after - before) / 1e9 for before, after in pairwise(marks)]

    def wait(self) -> None:
        """Return when all work that was asked for is done."""


class EventClock(Clock):
    """A CUDA device's clock, read by events in its queue."""

    is_queued = True

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.current_stream(device)

    def mark(self) -> Any:
        """An event behind everything that the device was asked for."""
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(self.stream)
        return event

    def seconds(self, marks: Sequence[Any]) -> list[float]:
        """The seconds between neighbouring events, once the last has come to pass."""
        if marks:
            marks[-1].synchronize()
        return [before.elapsed_time(after) / 1e3 for before, after in pairwise(marks)]

    def wait(self) -> None:
        """Return when the queue is empty."""
        torch.cuda.synchronize(self.device)


class WaitingClock(Clock):
    """The processor's clock, read when an accelerator without events of its own has done all it was asked for."""

    def mark(self) -> Any:
        """The time once the queue is empty."""
        torch.accelerator.synchronize()
        return super().mark()

    def wait(self) -> None:
        """Return when the queue is empty."""
        torch.accelerator.synchronize()


def clock_of(device: torch.device) -> Clock:
    """The clock that times what runs on a device."""
    if device.type == "cuda":
        return EventClock(device)
    return Clock() if device.type == "cpu" else WaitingClock()
